"""A training loop that Accelerator has prepared, its saved state, models without memory."""

import tempfile
from pathlib import Path

import torch
from accelerate import Accelerator, infer_auto_device_map, init_empty_weights, load_checkpoint_and_dispatch
from accelerate.utils import set_seed
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

set_seed(0)
accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
print(accelerator.device, accelerator.num_processes, accelerator.is_main_process)
net = nn.Linear(8, 1)
optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
x = torch.randn(64, 8)
loader = DataLoader(TensorDataset(x, x.sum(1, keepdim=True)), 16, shuffle=True)
net, optimizer, loader, schedule = accelerator.prepare(
    net, optimizer, loader, torch.optim.lr_scheduler.LinearLR(optimizer)
)
for inputs, targets in loader:
    with accelerator.accumulate(net):
        loss = (net(inputs) - targets).square().mean()
        accelerator.backward(loss)
        if accelerator.sync_gradients:
            accelerator.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    print(round(loss.item(), 4), schedule.get_last_lr())
folder = Path(tempfile.mkdtemp())
accelerator.save_state(folder / "state")
before = net.weight.detach().clone()
with torch.no_grad():
    net.weight.zero_()
accelerator.load_state(folder / "state")
print(torch.equal(net.weight, before), accelerator.gather(torch.ones(2)), accelerator.unwrap_model(net))
accelerator.save_model(net, folder / "model")
with init_empty_weights():
    empty = nn.Linear(8, 1)
print(empty.weight.device, infer_auto_device_map(empty))
full = load_checkpoint_and_dispatch(empty, folder / "model", device_map={"": "cpu"})
print(full.weight.device, torch.equal(full.weight, before))
