"""Layers whose methods are called or given away by themselves (`layer.forward(x)`): what the layer holds is read there, too."""

from __future__ import annotations

import functools
from typing import Any

import pytest

import flambeau as fb
from compiler.scenarios import Case
from flambeau import nn

WAYS: dict[str, Any] = {
    "method": lambda compile, m: compile(m.forward),
    "function": lambda compile, m: functools.partial(compile(type(m).forward), m),
    "partial": lambda compile, m: compile(functools.partial(type(m).forward, m)),
    "attribute": lambda compile, m: setattr(m, "forward", compile(m.forward)) or m,
    "within": lambda compile, m: compile(lambda x: m.forward(x)),
    "of the class": lambda compile, m: compile(lambda x: type(m).forward(m, x)),
    "handed over": lambda compile, m: compile(lambda x: next(map(m.forward, [x]))),
    "to a library": lambda compile, m: compile(
        lambda x: fb.utils.checkpoint.checkpoint(m.forward, x, use_reentrant=False)
    ),
    "made around": lambda compile, m: compile(fb.vmap(m.forward)),
}


def _set(name: str, make: Any) -> Any:
    return lambda m: setattr(m, name, make())


CHANGES: dict[str, tuple[Any, Any]] = {
    "weight": (lambda: nn.Linear(3, 2), _set("weight", lambda: nn.Parameter(fb.ones(2, 3)))),
    "bias": (lambda: nn.Linear(3, 2), _set("bias", lambda: None)),
    "number": (lambda: nn.LeakyReLU(0.1), _set("negative_slope", lambda: 0.7)),
    "mode": (lambda: nn.Dropout(0.0), lambda m: (setattr(m, "p", 1.0), m.eval())),
    "probability": (lambda: nn.Dropout(0.0), _set("p", lambda: 1.0)),
    "buffer": (lambda: nn.BatchNorm1d(3).eval(), _set("running_mean", lambda: fb.ones(3))),
    "layers": (lambda: nn.Sequential(nn.Linear(3, 2), nn.Tanh()), lambda m: m.append(nn.ReLU())),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("way", WAYS)
def test_what_a_layer_holds(way, change) -> None:
    if way == "made around" and change in ("mode", "probability", "buffer"):
        pytest.skip("draws, or takes rows, under vmap")
    make, alter = CHANGES[change]

    def scenario(compile, x):
        fb.manual_seed(0)
        layer = make()
        f = WAYS[way](compile, layer)
        x = fb.tensor([[1.0, -2.0, 3.0], [0.5, 1.0, -1.0]])
        yield f(x)
        yield f(x)
        alter(layer)
        yield f(x)
        yield f(x)

    Case(scenario).check()


def test_method_of_a_layer_beside_forward() -> None:
    def scenario(compile, x):
        layer = nn.Conv1d(1, 2, 3, padding=1)
        f = compile(lambda x: layer._conv_forward(x, layer.weight, layer.bias))
        x = fb.ones(1, 1, 6)
        yield f(x)
        layer.stride = (2,)
        yield f(x)

    Case(scenario).check()
