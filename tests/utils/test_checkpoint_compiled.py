"""Compiled functions within checkpointed parts, and parts within functions that run uncompiled: what the whole gives uncompiled."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import flambeau as fb
from flambeau.utils.checkpoint import checkpoint, checkpoint_sequential, create_selective_checkpoint_contexts

nn = fb.nn


class Counting(nn.Module):
    """Its number of calls, of which each run of a part makes one, is of no account to what the tape saves."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.calls = nn.Linear(3, 3), 0

    def forward(self, x: Any) -> Any:
        self.calls += 1
        return self.linear(x).tanh()


def model() -> Any:
    fb.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3), Counting()).double()


def part(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    return checkpoint(function, *args, use_reentrant=False, **options)


def keeping() -> Any:
    return create_selective_checkpoint_contexts([fb.ops.aten.addmm.default])


def residual(block: Any) -> Any:
    return lambda x: block(x) * x + x


# of a block and an input
PARTS: dict[str, Callable[[Any, Any], Any]] = {
    "alone": lambda block, x: part(block, x),
    "among operators": lambda block, x: part(residual(block), x),
    "twice": lambda block, x: part(lambda y: block(block(y) + y).sin(), x),
    "within another": lambda block, x: part(lambda y: part(residual(block), y * 2).cos() + block(y), x),
    "with draws": lambda block, x: part(lambda y: nn.functional.dropout(block(y), 0.5) * y, x),
    "with a policy": lambda block, x: part(residual(block), x, context_fn=keeping),
    "to its end": lambda block, x: part(residual(block), x, early_stop=False),
    "in a row": lambda block, x: part(residual(block), part(residual(block), x)),
    "with a branch": lambda block, x: part(lambda y: block(y) * 2 if y.sum() > -100 else y, x),
    "reentrant": lambda block, x: checkpoint(residual(block), x, use_reentrant=True),
    "in segments": lambda block, x: checkpoint_sequential([block, residual(block), block], 2, x, use_reentrant=False),
}


def results(step: Callable[[Any], Any], weights: list[Any]) -> list[Any]:
    fb.manual_seed(1)
    found = []
    for size in (2, 2, 3, 2):
        x = fb.arange(3.0 * size, dtype=fb.float64).reshape(size, 3).div(5).requires_grad_()
        loss = step(x)
        loss.backward()
        found += [g.numpy().copy() for g in (loss.detach(), x.grad, *(w.grad for w in weights))]
        for w in weights:
            w.grad = None
    return found


@pytest.mark.parametrize("name", PARTS)
def test_as_uncompiled(name: str) -> None:
    made = PARTS[name]
    plain = model()
    wanted = results(lambda x: made(plain, x).pow(2).sum(), list(plain.parameters()))
    block = model()
    compiled = fb.compile(block)

    def branching(x: Any) -> Any:
        fb.rand(1).item()
        loss = made(again, x).pow(2).sum()
        return loss if loss > 0 else -loss

    def drawing(x: Any) -> Any:
        fb.rand(1)
        return made(plain, x).pow(2).sum()

    again = model()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        given = results(lambda x: made(compiled, x).pow(2).sum(), list(block.parameters()))
        broken = results(fb.compile(branching), list(again.parameters()))
    for mine, theirs in zip(given, wanted, strict=True):
        assert mine == pytest.approx(theirs, rel=1e-9)
    wanted = results(drawing, list(plain.parameters()))
    for mine, theirs in zip(broken, wanted, strict=True):
        assert mine == pytest.approx(theirs, rel=1e-9)


def test_only_the_input_is_held() -> None:
    """A program's node within a part holds no more than a part does."""

    def held(step: Callable[[Any], Any]) -> int:
        import jax

        x = fb.randn(500, 64).requires_grad_()
        step(x).backward()
        before = sum(a.nbytes for a in jax.live_arrays())
        loss = step(x)
        after = sum(a.nbytes for a in jax.live_arrays())
        loss.backward()
        return after - before

    net = nn.Sequential(*(nn.Sequential(nn.Linear(64, 64), nn.Tanh()) for _ in range(6)))
    compiled = fb.compile(net)
    size = 500 * 64 * np.dtype(np.float32).itemsize
    assert held(lambda x: net(x).sum()) > 5 * size
    assert held(lambda x: part(lambda y: compiled(y) + y, x).sum()) < 2 * size
