"""Diffusion: training, sampling, schedulers, an autoencoder, a conditioned network."""

import tempfile

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DDPMPipeline,
    DDPMScheduler,
    EulerDiscreteScheduler,
    UNet2DConditionModel,
    UNet2DModel,
)

torch.manual_seed(0)
u = UNet2DModel(
    sample_size=16,
    in_channels=1,
    out_channels=1,
    layers_per_block=1,
    block_out_channels=(16, 32),
    norm_num_groups=8,
    attention_head_dim=8,
    down_block_types=("DownBlock2D", "AttnDownBlock2D"),
    up_block_types=("AttnUpBlock2D", "UpBlock2D"),
)
s = DDPMScheduler(num_train_timesteps=100)
o = torch.optim.AdamW(u.parameters(), 1e-3)
x = torch.randn(2, 1, 16, 16)
for _i in range(2):
    n = torch.randn_like(x)
    t = torch.randint(0, 100, (2,))
    l = torch.nn.functional.mse_loss(u(s.add_noise(x, n, t), t).sample, n)
    o.zero_grad()
    l.backward()
    o.step()
    print(round(l.item(), 4))
u.eval()
p = DDPMPipeline(u, s)
p.set_progress_bar_config(disable=True)
im = p(batch_size=1, num_inference_steps=3, generator=torch.manual_seed(3), output_type="np").images
print(im.shape, round(float(im.mean()), 3))
for S in (DDIMScheduler, EulerDiscreteScheduler):
    c = S(num_train_timesteps=100)
    c.set_timesteps(3)
    y = torch.ones(1, 1, 16, 16) * c.init_noise_sigma
    with torch.no_grad():
        for t in c.timesteps:
            y = c.step(u(c.scale_model_input(y, t), t).sample, t, y).prev_sample
    print(S.__name__, round(y.abs().mean().item(), 3))
torch.manual_seed(1)
v = AutoencoderKL(block_out_channels=(16,), norm_num_groups=8, latent_channels=2)
z = v.encode(torch.randn(1, 3, 16, 16)).latent_dist
print(tuple(z.mode().shape), round(v.decode(z.mode()).sample.abs().mean().item(), 4), round(z.kl().item(), 3))
c = UNet2DConditionModel(
    sample_size=8,
    in_channels=2,
    out_channels=2,
    layers_per_block=1,
    block_out_channels=(16, 16),
    norm_num_groups=8,
    cross_attention_dim=8,
    attention_head_dim=4,
    down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
    up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
)
print(round(c(torch.randn(1, 2, 8, 8), 5, torch.randn(1, 3, 8)).sample.abs().mean().item(), 4))
d = tempfile.mkdtemp()
u.save_pretrained(d)
w = UNet2DModel.from_pretrained(d)
print(all(torch.equal(a, b) for a, b in zip(u.state_dict().values(), w.state_dict().values(), strict=False)))
