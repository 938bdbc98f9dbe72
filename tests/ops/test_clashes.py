"""Shapes and sizes that do not go together: PyTorch's texts."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import flambeau as fb
from support.outcomes import outcome


def _unpooled(t: Any, size: Any) -> Any:
    pooled, places = t.nn.functional.max_pool2d(t.zeros(1, 1, 4, 4), 2, return_indices=True)
    return t.nn.functional.max_unpool2d(pooled, places, 2, output_size=size(t))


ROWS = {
    "addmm of too many dimensions": lambda t: t.addmm(t.ones(2, 2, 3), t.ones(2, 4), t.ones(4, 3)),
    "addmm of another size": lambda t: t.addmm(t.ones(5), t.ones(2, 4), t.ones(4, 3)),
    "addr": lambda t: t.addr(t.ones(1, 2, 3), t.ones(2), t.ones(3)),
    "baddbmm": lambda t: t.baddbmm(t.ones(5, 1, 2, 3), t.ones(2, 2, 4), t.ones(2, 4, 3)),
    "assigned": lambda t: t.zeros(2, 2).__setitem__(0, t.ones(2, 2, 2)),
    "copied": lambda t: t.zeros(2, 2).copy_(t.ones(3)),
    "sizes and dimensions of fftn": lambda t: t.fft.fftn(t.ones(3, 3), s=(2,), dim=(0, 1)),
    "a dimension of none": lambda t: t.fft.fft(t.tensor(1.0), dim=1),
    "matrix_power of a vector": lambda t: t.linalg.matrix_power(t.ones(3), 2),
    "matrix_power of a wide one": lambda t: t.linalg.matrix_power(t.ones(2, 3), 2),
    "max_unpool2d to a tuple": lambda t: _unpooled(t, lambda t: (3, 6)),
    "max_unpool2d to a list": lambda t: _unpooled(t, lambda t: [3, 6]),
    "max_unpool2d to a Size": lambda t: _unpooled(t, lambda t: t.Size((3, 6))),
}


@pytest.mark.parametrize("name", ROWS)
def test_text(name: str) -> None:
    ours, theirs = (outcome(lambda t=t: ROWS[name](t)).error for t in (fb, torch))
    assert type(ours) is type(theirs)
    assert str(theirs) in str(ours)
