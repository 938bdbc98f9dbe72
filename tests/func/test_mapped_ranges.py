"""`linspace` and `logspace` between ends that are mapped, or inputs of a compiled function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import flambeau as fb
from support.values import same

STARTS, ENDS = [1.0, 2.0, -3.5], [3.0, 5.7, -3.5]
CALLS: dict[str, Callable[[Any], Any]] = {
    "linspace": lambda t: lambda a, b: t.linspace(a, b, 7),
    "an even number of steps": lambda t: lambda a, b: t.linspace(a, b, 4, dtype=t.float64),
    "one step": lambda t: lambda a, b: t.linspace(a, b, 1),
    "whole numbers": lambda t: lambda a, b: t.linspace(a, b, 5, dtype=t.int64),
    "logspace": lambda t: lambda a, b: t.logspace(a, b, 5),
    "another base": lambda t: lambda a, b: t.logspace(a, b, 4, base=2.0),
}


@pytest.mark.parametrize("name", CALLS)
def test_mapped_ends(name: str) -> None:
    made = [t.func.vmap(CALLS[name](t))(t.tensor(STARTS), t.tensor(ENDS)) for t in (fb, torch)]
    same(*made, rtol=1e-6)


def test_a_number_beside_a_mapped_end_does_not_change_the_dtype() -> None:
    made = fb.func.vmap(lambda a: fb.linspace(a, 5.0, 3))(fb.tensor([1.0, 2.0]))
    assert made.dtype is fb.float32  # torch has float64 there, and float32 for the same call of one sample
    assert made.tolist() == [[1.0, 3.0, 5.0], [2.0, 3.5, 5.0]]


def test_no_slopes() -> None:
    assert fb.func.grad(lambda a: fb.linspace(a, 5.0, 4).sum())(fb.tensor(1.0)).item() == 0
    assert not fb.linspace(fb.tensor(1.0, requires_grad=True), 2.0, 3).requires_grad


def test_a_compiled_function_has_one_program_for_all_ends() -> None:
    compiled = fb.compile(lambda a, b: fb.linspace(a, b, 4) * 2)
    for start, end in ((1.0, 2.0), (3.0, 0.0), (-1.0, 7.0)):
        made = compiled(fb.tensor(start), fb.tensor(end))
        assert np.allclose(made.numpy(), np.linspace(start, end, 4) * 2)
    assert len(fb.compile.explain(compiled)) == 1
