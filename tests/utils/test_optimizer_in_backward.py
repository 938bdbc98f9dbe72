"""Optimizers that step inside `backward()`, compared with PyTorch's."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch

import flambeau as fb


@pytest.mark.filterwarnings("ignore:`torch.jit")  # PyTorch's own module uses it
def test_parameters_step_when_their_gradients_are_there() -> None:
    found: list[Any] = []
    for lib in (fb, torch):
        optim = importlib.import_module(f"{lib.__name__}.distributed.optim")
        apply, listed = optim._apply_optimizer_in_backward, optim._get_in_backward_optimizers
        lib.manual_seed(0)
        model = lib.nn.Sequential(lib.nn.Linear(3, 4), lib.nn.Tanh(), lib.nn.Linear(4, 2), lib.nn.Linear(2, 2))
        apply(lib.optim.SGD, [model[0].weight], {"lr": 0.02})
        apply(lib.optim.Adam, list(model[2].parameters()), {"lr": 0.04})
        apply(lib.optim.SGD, [model[2].bias], {"lr": 0.5, "momentum": 0.9})
        apply(lib.optim.SGD, [model[3].bias], {"lr": 0.5}, register_hook=False)
        for _ in range(3):
            model(lib.ones(2, 3)).pow(2).sum().backward()
        found.append([[type(o).__name__ for o in listed(model)], [p.grad is None for p in model.parameters()]])
        found[-1].append([type(o).__name__ for o in model[2].bias._in_backward_optimizers])
        found[-1].append([p.detach().numpy() for p in model.parameters()])
    assert found[0][:3] == found[1][:3]
    for ours, theirs in zip(found[0][3], found[1][3], strict=True):
        assert abs(ours - theirs).max() < 1e-6
