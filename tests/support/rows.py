"""Rows of expressions, each evaluated with flambeau and with torch: results, gradients, names and errors must agree.

In an expression, `t` is the library, and leaves are made by `f(2, 3)` (float64 values, requires grad), `c` (complex),
`s(3)` (a symmetric positive definite matrix), `i([0, 1])` (int64), `b([True])` (bool), `h` (float32, no grad).
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import torch

import flambeau as fb

from .outcomes import outcome
from .values import same, to_flambeau


class World:
    """One library's names for the expressions, with the leaves that it has made."""

    def __init__(self, ours: bool):
        self.ours = ours
        self.leaves: list[Any] = []
        self.random = np.random.default_rng(3)
        self.names = {
            "t": fb if ours else torch,
            "f": self.f,
            "c": self.c,
            "s": self.s,
            "i": lambda values: self.make(torch.tensor(values, dtype=torch.int64)),
            "b": lambda values: self.make(torch.tensor(values, dtype=torch.bool)),
            "h": lambda *shape: self.make(torch.tensor(self.random.standard_normal(shape), dtype=torch.float32)),
            "v": lambda values: self.leaf(np.array(values, np.float64)),
            "inf": math.inf,
            "nan": math.nan,
        }

    def make(self, value: torch.Tensor) -> Any:
        return to_flambeau(value) if self.ours else value

    def leaf(self, values: np.ndarray) -> Any:
        made = self.make(torch.tensor(values).requires_grad_())
        self.leaves.append(made)
        return made

    def f(self, *shape: int) -> Any:
        return self.leaf(np.asarray(self.random.standard_normal(shape)))

    def c(self, *shape: int) -> Any:
        return self.leaf(np.asarray(self.random.standard_normal(shape) + 1j * self.random.standard_normal(shape)))

    def s(self, n: int) -> Any:
        root = self.random.standard_normal((n, n))
        return self.leaf(root @ root.T + np.eye(n))

    def run(self, row: str) -> Any:
        *before, last = row.split("; ")
        names = dict(self.names)
        for statement in before:
            exec(statement, names)
        return eval(last, names)


def _outputs(value: Any) -> list[Any]:
    if isinstance(value, (tuple, list)):
        return [o for v in value for o in _outputs(v)]
    return [value] if isinstance(value, (fb.Tensor, torch.Tensor)) else []


def _backward(world: World, value: Any) -> list[Any]:
    """The gradients of the leaves for gradients of the outputs that have no pattern."""
    outputs = [output for output in _outputs(value) if output.requires_grad]
    given = []
    for output in outputs:
        weights = torch.cos(torch.arange(output.numel(), dtype=torch.float64)).reshape(tuple(output.shape))
        if output.is_complex():
            weights = weights + 0.5j
        given.append(world.make(weights.to(getattr(torch, str(output.dtype).split(".")[-1]))))
    if outputs:
        world.names["t"].autograd.backward(outputs, given)
    return [leaf.grad for leaf in world.leaves]


def _name(node: Any) -> str:
    return repr(node).split()[0].lstrip("<").split("::")[-1]


def agree(row: str, *, names: bool = True, **tolerance: float) -> None:
    """Assert equal results, `grad_fn` names and gradients."""
    ours, theirs = World(True), World(False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = theirs.run(row)
        made = ours.run(row)
    same(made, expected, **tolerance)
    for mine, other in zip(_outputs(made), _outputs(expected), strict=True):
        assert mine.requires_grad == other.requires_grad, (row, other.grad_fn)
        if names and other.grad_fn is not None:
            assert _name(mine.grad_fn) == _name(other.grad_fn), row
    wanted = _backward(theirs, expected)
    for mine, other in zip(_backward(ours, made), wanted, strict=True):
        if mine is not None or other is not None:
            other = torch.zeros(tuple(mine.shape), dtype=torch.float64) if other is None else other
            same(mine, other, **tolerance)


def refuse(row: str) -> None:
    """Assert that both raise the same type of error, with the same text (a row with `~` in front: any text)."""
    text = not row.startswith("~ ")
    row = row.removeprefix("~ ")
    ours, theirs = outcome(lambda: World(True).run(row)), outcome(lambda: World(False).run(row))
    assert theirs.error is not None, f"torch does not refuse {row}"
    assert ours.error is not None, f"not refused: {row} ({theirs.error!r})"
    assert type(ours.error).__name__.lstrip("_") == type(theirs.error).__name__.lstrip("_"), repr(ours.error)
    if text:
        assert str(ours.error) == str(theirs.error).splitlines()[0]
