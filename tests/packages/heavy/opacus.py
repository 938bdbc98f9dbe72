"""Gradients per sample and private training."""

import warnings

import torch
from opacus import GradSampleModule, PrivacyEngine
from opacus.layers import DPLSTM
from opacus.validators import ModuleValidator

warnings.simplefilter("ignore")

torch.manual_seed(0)
m = torch.nn.Sequential(
    torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(144, 2)
)
print(len(ModuleValidator.validate(m)))
m = ModuleValidator.fix(m)
print(m[1])
x = torch.randn(8, 1, 8, 8)
y = torch.arange(8) % 2
g = GradSampleModule(m)
torch.nn.functional.cross_entropy(g(x), y).backward()
print([(n, tuple(p.grad_sample.shape), round(p.grad_sample.abs().sum().item(), 3)) for n, p in g.named_parameters()])
o = torch.optim.SGD(m.parameters(), 0.1)
d = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), 4)
m2 = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2))
e = PrivacyEngine()
m2, o, d = e.make_private(
    module=m2,
    optimizer=torch.optim.SGD(m2.parameters(), 0.1),
    data_loader=d,
    noise_multiplier=1.0,
    max_grad_norm=1.0,
    poisson_sampling=False,
)
for a, b in d:
    o.zero_grad()
    l = torch.nn.functional.cross_entropy(m2(a), b)
    l.backward()
    o.step()
    print(round(l.item(), 5))
print(round(e.get_epsilon(1e-3), 4))
torch.manual_seed(0)
r = GradSampleModule(DPLSTM(3, 4))
r(torch.randn(5, 2, 3))[0].sum().backward()
print([tuple(p.grad_sample.shape) for p in r.parameters()])
