"""A Learner with one cycle."""

import tempfile

import fastai.callback.all  # noqa: F401 (it gives Learner its fit_one_cycle)
import torch
from fastai.basics import DataLoaders, Learner, MSELossFlat, mae, set_seed
from torch import nn

set_seed(0)
x = torch.randn(64, 4)
y = x.sum(1, keepdim=True)
ds = list(zip(x, y, strict=False))
dls = DataLoaders.from_dsets(ds[:48], ds[48:], bs=16, num_workers=0, shuffle=False)
l = Learner(
    dls,
    nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1)),
    loss_func=MSELossFlat(),
    metrics=[mae],
    path=tempfile.mkdtemp(),
)
with l.no_bar(), l.no_logging():
    l.fit_one_cycle(2, 1e-2)
print([[round(float(v), 4) for v in r] for r in l.recorder.values])
print(round((l.model(x[48:]) - y[48:]).abs().mean().item(), 4))
l.save("m")
l.load("m")
l.freeze()
l.unfreeze()
print(len(l.opt.hypers), l.loss_func)
