"""A run of the engine that is after the gradients of given tensors computes those alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import flambeau as fb
from flambeau.core.tape.programs import Program


def _gradients(lib: Any, which: str, again: bool) -> list[np.ndarray]:
    draw = np.random.default_rng(0)
    x, w, b = (lib.tensor(draw.normal(size=size), requires_grad=True) for size in ((4, 5), (3, 5), (3,)))
    leaves = {"x": x, "w": w, "b": b}
    hidden = lib.nn.functional.linear(x, w, b)
    loss = (lib.sigmoid(hidden) * (x @ w.mT)).pow(2).sum()
    made = lib.autograd.grad(loss, [leaves[name] for name in which], create_graph=again)
    if again:
        made = lib.autograd.grad(sum(g.pow(2).sum() for g in made), [leaves[name] for name in which])
    return [g.detach().numpy() for g in made]


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("which", ["x", "w", "xw", "xwb", "b"])
def test_as_in_torch(which: str, again: bool) -> None:
    for ours, theirs in zip(_gradients(fb, which, again), _gradients(torch, which, again), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10)


def test_others_are_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    derivative = Program.derivative
    monkeypatch.setattr(Program, "derivative", lambda self, *which: seen.append(which[0]) or derivative(self, *which))
    conv, x = fb.nn.Conv1d(3, 4, 3), fb.randn(2, 3, 8, requires_grad=True)
    (by_x,) = fb.autograd.grad(conv(x).sum(), x)
    assert by_x.shape == x.shape and all(len(wanted) == 1 for wanted in seen)
    seen.clear()
    conv(x).sum().backward(inputs=[conv.weight])
    assert x.grad is None and conv.bias.grad is None and conv.weight.grad.shape == conv.weight.shape
    assert all(len(wanted) == 1 for wanted in seen)


def test_hooks_see_what_was_asked_for() -> None:
    for lib in (fb, torch):
        told = []
        x, w = lib.ones(2, requires_grad=True), lib.ones(2, requires_grad=True)
        y = x * w
        y.grad_fn.register_hook(lambda into, out, told=told: told.append([g is not None for g in into]))
        lib.autograd.grad(y.sum(), x)
        assert told == [[True, False]]
