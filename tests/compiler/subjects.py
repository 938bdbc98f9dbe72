"""What scenarios of several files read and write: an object with attributes, a module that counts, a small training."""

from __future__ import annotations

from typing import Any

import flambeau as fb
from flambeau import nn


class Box:
    """An object with attributes."""

    def __init__(self, **attributes: Any):
        self.__dict__.update(attributes)


def count_up(box):
    box.n += 1
    return box.n


class Counting(nn.Module):
    """Counts its calls in `n`: how, the kind says."""

    def __init__(self, kind: str):
        super().__init__()
        self.kind = kind
        if kind == "buffer":
            self.register_buffer("n", fb.zeros(()))
        elif kind == "parameter":
            self.n = nn.Parameter(fb.zeros(()), requires_grad=False)
        else:
            self.n: Any = 0 if kind == "number" else fb.zeros(())

    def forward(self, x):
        if self.kind == "rebound":
            self.n = self.n + 1
        elif self.kind == "method":
            self.n.add_(1)
        else:
            self.n += 1
        return self.n * x


class Training:
    """One linear layer and its optimizer."""

    def __init__(self, optimizer: Any = fb.optim.SGD, **options: Any):
        self.model = nn.Linear(3, 1)
        self.opt = optimizer(self.model.parameters(), **{"lr": 0.1, **options})

    def backward(self, x):
        self.opt.zero_grad()
        loss = self.model(x).pow(2).mean()
        loss.backward()
        return loss

    def look(self):
        groups = [{k: v for k, v in g.items() if k in ("lr", "momentum", "betas")} for g in self.opt.param_groups]
        return groups, list(self.model.parameters())
