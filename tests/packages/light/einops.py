"""Rearranging, reducing and contracting by name, as functions and as layers."""

import torch
from einops import einsum, pack, parse_shape, rearrange, reduce, repeat, unpack
from einops.layers.torch import EinMix, Rearrange, Reduce
from torch import nn

torch.manual_seed(0)
images = torch.randn(2, 3, 8, 8, dtype=torch.float64, requires_grad=True)
patches = rearrange(images, "b c (h p) (w q) -> b (h w) (p q c)", p=4, q=4)
print(patches.shape, parse_shape(images, "b c h w"))
loss = reduce(images, "b c h w -> b c", "mean").sum() + repeat(images, "b c h w -> b c (h r) w", r=2).square().mean()
loss.backward()
print(loss.item(), images.grad.sum().item())
net = nn.Sequential(
    Rearrange("b c (h p) (w q) -> b (h w) (p q c)", p=4, q=4),
    nn.Linear(48, 16),
    Reduce("b n d -> b d", "max"),
    EinMix("b d -> b e", weight_shape="d e", bias_shape="e", d=16, e=2),
).double()
print(net)
print(net(images).tolist())
print(einsum(images, images, "b c h w, b d h w -> b c d").sum().item())
packed, shapes = pack([images, images[:, :1]], "b * h w")
print(packed.shape, shapes, [part.shape for part in unpack(packed, shapes, "b * h w")])
