"""Putting tensors together, against torch."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import flambeau as fb
from support.properties import examples
from support.rows import agree, refuse

ROWS = """
t.cat([f(2, 3), f(1, 3)])
t.cat([f(2, 3), f(2, 1)], dim=-1)
t.cat([f(2, 3), f(0)], 1)
t.cat([h(0), h(0)])
t.cat([h(2), i([1])])
t.cat([i([1]).to(t.int32), i([1])])
t.concat([f(2), f(3)])
t.concatenate([f(2), f(3)], axis=0)
t.stack([f(2, 3), f(2, 3)])
t.stack([f(2, 3), f(2, 3)], -1)
t.stack([h(2), i([1, 2])], 1)
t.hstack([f(2), f(3)])
t.hstack([f(2, 2), f(2, 3)])
t.hstack([f(), f()])
t.vstack([f(3), f(2, 3)])
t.row_stack([f(3), f(2, 3)])
t.dstack([f(3), f(3)])
t.dstack([f(2, 3), f(2, 3)])
t.column_stack([f(2), f(2, 3)])
t.block_diag(f(2), f(2, 3), f())
t.block_diag()
"""

CHOICES = """
t.combinations(f(4))
t.combinations(i([1, 2, 3]), 3, True)
t.combinations(i([1, 2, 3]), 0)
t.combinations(i([1, 2, 3]), 5)
"""

ERRORS = """
~ t.cat(h(2, 3))
t.cat([h(2, 3), h(2, 4)])
t.cat([h(2, 3), h(2)])
t.cat([])
t.cat([1, 2])
t.cat([h(2, 3), h(0, 5)], 1)
t.cat([h(), h()])
t.cat([h(2, 3), h(2, 3)], 2)
t.stack([h(2, 3), h(2, 4)])
t.stack([])
t.stack([h(2), h(2)], 5)
t.hstack([])
t.column_stack([])
t.block_diag(h(2, 2, 2))
t.combinations(h(2, 2))
t.combinations(i([1]), -1)
"""


@pytest.mark.parametrize("row", ROWS.strip().splitlines())
def test_joining(row: str) -> None:
    agree(row)


@pytest.mark.parametrize("row", CHOICES.strip().splitlines())
def test_combinations(row: str) -> None:
    agree(row, names=False)


@pytest.mark.parametrize("row", ERRORS.strip().splitlines())
def test_errors(row: str) -> None:
    refuse(row)


def test_out() -> None:
    out = fb.zeros(4)
    assert fb.cat([fb.ones(2), fb.zeros(2)], out=out) is out
    assert out.tolist() == [1, 1, 0, 0]


@examples(15)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=4), st.sampled_from([0, 1]))
def test_cat_and_split_undo_each_other(sizes: list[int], dim: int) -> None:
    shape = [2, 2]
    parts = []
    for n, size in enumerate(sizes):
        shape[dim] = size
        parts.append(fb.full(tuple(shape), float(n)))
    for part, again in zip(parts, fb.cat(parts, dim).split(sizes, dim), strict=True):
        assert part.tolist() == again.tolist()
