"""Elements in other places, copies, masks and writing over tensors, against torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import flambeau as fb
from support.properties import examples
from support.rows import agree, refuse

ROWS = """
f(2).repeat(2, 3)
f(2, 2).repeat((2, 1, 0))
t.tile(f(2), (2, 2))
f(2, 2).tile(2)
f(2, 2).tile(dims=(1, 2))
t.tile(input=f(2, 2), dims=(1, 2))
f(2, 3).view(size=(6,))
f(2, 3).reshape(shape=(3, 2))
t.reshape(input=f(2, 3), shape=(6,))
f(2, 3).permute(dims=(1, 0))
f(3).expand(size=(2, 3))
f(2, 3).detach().resize_(size=(3, 2))
t.repeat_interleave(f(2, 2), 2)
t.repeat_interleave(f(2, 2), 2, dim=1)
t.repeat_interleave(f(2, 2), i([1, 2]), dim=1)
t.repeat_interleave(f(2, 2), i([2]), dim=0)
t.repeat_interleave(i([1, 0, 2]))
t.flip(f(2, 3), [0])
f(2, 3).flip(0, -1)
t.fliplr(f(2, 3))
t.flipud(f(2, 3))
t.roll(f(3, 2), 1)
t.roll(f(3, 2), (1, -2), (0, 1))
t.rot90(f(3, 2))
t.rot90(f(3, 2, 2), -1, [1, 2])
t.tril(f(3, 3))
t.triu(f(2, 3, 4), 1)
t.tril(b([[True, True], [True, True]]), -1)
x = f(3, 3) * 2; x.tril_(-1); x
t.diag(f(3))
t.diag(f(2), -1)
t.diag(f(2, 3), 1)
t.diag_embed(f(2, 3), 1)
t.diag_embed(f(2, 3), -1, 0, 2)
t.diagflat(f(2, 2), 1)
t.trace(f(2, 3))
t.trace(i([[1, 2], [3, 4]]).to(t.int32))
t.diagonal_scatter(f(3, 3), f(2), 1)
t.diagonal_scatter(f(2, 3, 4), f(2, 3), dim1=1, dim2=2)
t.select_scatter(f(3, 2), f(2), 0, -1)
t.slice_scatter(f(5, 2), f(2, 2), 0, 1, 4, 2)
f(2, 3).clone()
f(2, 3).t().contiguous()
t.cross(f(2, 3), f(2, 3), dim=1)
t.linalg.cross(f(2, 3), f(1, 3))
t.cdist(f(2, 3), f(4, 3))
t.cdist(f(2, 3), f(4, 3), p=1)
t.cdist(f(5, 2, 3), f(4, 3), p=inf)
t.renorm(f(3, 4), 2, 0, 1)
t.renorm(f(3, 4), 1, 1, 0.5)
"""

UNNAMED = """
t.vander(h(3))
t.vander(i([1, 2, 3]), N=2, increasing=True)
t.cov(f(3, 5))
t.cov(f(5))
t.cov(f(2, 3), correction=0, fweights=i([1, 2, 3]))
t.cov(f(2, 3), fweights=i([1, 2, 3]), aweights=t.tensor([1.0, 2.0, 0.5], dtype=t.float64))
t.corrcoef(f(3, 5))
"""

MASKS = """
t.where(f(3) > 0, f(3), f(3))
t.where(f(3) > 0, f(3), 1)
t.where(b([True, False]), 1, 2.5)
t.where(b([True, False]), i([1, 2]), 1.5)
t.where(b([True, False]), h(2), t.tensor(1.0, dtype=t.float64))
f(3).where(b([True, False, True]), 3)
t.where(b([True, False, True]))
t.nonzero(i([[0, 1], [2, 0]]))
t.nonzero(i([[0, 1], [2, 0]]), as_tuple=True)
t.nonzero(i(1))
t.argwhere(i([[0, 1], [2, 0]]))
t.masked_fill(f(2, 2), b([True, False]), 3)
t.masked_fill(f(2, 2), b([[True], [False]]), f())
t.masked_fill(i([1, 2]), b([True, False]), 1.5)
x = f(3) * 2; x.masked_fill_(b([True, False, True]), -inf); x
t.masked_select(f(2, 2), b([True, False]))
f(3).masked_select(b([True, False, True]))
t.masked_scatter(f(2, 2), b([[True, False], [True, True]]), f(5))
x = f(3) * 2; x.fill_(f()); x
t.fill(f(3), 2)
i([1, 2]).fill_(3.7)
x = f(2, 2) * 2; x.copy_(f(2)); x
x = f(2, 2) * 2; y = x[0]; y.copy_(f(2)); x
i([1, 2]).copy_(h(2) * 4)
x = f(2) * 2; x.zero_(); x
"""

ERRORS = """
~ t.masked_fill(h(2), i([0, 1]), 1)
~ h(2, 2).repeat(2)
h(2, 2).repeat(-1, 2)
t.repeat_interleave(h(2, 2), i([1, 2, 3]), dim=1)
t.repeat_interleave(h(2, 2), -2)
t.repeat_interleave(h(2, 2), i([1, -2]), dim=0)
t.flip(h(2, 2), [0, 0])
t.flip(h(2, 2), [3])
t.fliplr(h(2))
t.roll(h(3, 2), (1, 2), (0,))
~ t.rot90(h(3, 2), 1, [0, 0])
t.rot90(h(3))
t.tril(h(2))
t.diag(h(2, 2, 2))
t.diag_embed(h(2), 0, 0, 0)
t.trace(h(2))
t.vander(h(2, 2))
t.diagonal_scatter(h(2, 2), h(3))
t.select_scatter(h(2, 2), h(3), 0, 1)
t.slice_scatter(h(3, 2), h(2, 3), 0, 1)
t.where(i([0, 1]), h(2), 1.5)
t.where(b([True, False]), h(3), 1)
t.masked_fill(h(2), b([True, False]), h(1))
h().masked_fill_(b([True, False]), 2)
t.masked_select(h(2, 2), b([True, False, True]))
t.masked_select(h(2), i([0, 1]))
t.masked_scatter(h(2), b([True, True]), h(1))
h(2).copy_(h(2, 2))
h(2).fill_(h(1))
f(2).fill_(1)
f(2).copy_(h(2))
t.cross(h(2, 2), h(2, 2))
t.linalg.cross(h(2, 2), h(2, 2))
~ t.cdist(h(2, 3), h(4, 2))
t.cdist(h(2, 3), h(4, 3), p=-1)
t.renorm(h(2), 1, 1, 0.5)
t.cov(h(2, 2, 2))
t.cov(h(2, 3), fweights=h(3))
"""


@pytest.mark.parametrize("row", ROWS.strip().splitlines())
def test_rearranging(row: str) -> None:
    agree(row)


@pytest.mark.parametrize("row", UNNAMED.strip().splitlines())
def test_statistics(row: str) -> None:
    agree(row, names=False)


@pytest.mark.parametrize("row", MASKS.strip().splitlines())
def test_masks_and_writes(row: str) -> None:
    agree(row, names=False)


@pytest.mark.parametrize("row", ERRORS.strip().splitlines())
def test_errors(row: str) -> None:
    refuse(row)


def test_clone_keeps_the_order_in_memory() -> None:
    for make in (lambda t: t.zeros(2, 3).t(), lambda t: t.zeros(2, 3, 4).permute(1, 2, 0), lambda t: t.zeros(4)[::2]):
        assert make(fb).clone().stride() == make(torch).clone().stride()
    x = fb.arange(6.0).view(2, 3).t().requires_grad_()
    y = x.clone()
    y.mul(fb.tensor([[1.0, 2], [3, 4], [5, 6]])).sum().backward()
    assert x.grad.tolist() == [[1, 2], [3, 4], [5, 6]]
    assert y.contiguous().stride() == (2, 1)
    assert y.tolist() == x.tolist()


def test_contiguous_is_the_tensor_itself_if_it_can_be() -> None:
    x = fb.zeros(2, 3)
    assert x.contiguous() is x
    assert x.t().contiguous().is_contiguous()


def test_windows_of_a_size_that_is_a_tensor_have_a_shape_of_ints() -> None:
    shapes = [t.arange(6.0).unfold(0, t.tensor(2), t.tensor(2)).shape for t in (fb, torch)]
    assert tuple(shapes[0]) == tuple(shapes[1])
    assert all(type(n) is int for n in shapes[0])


def test_a_copy_does_not_alias() -> None:
    x = fb.ones(3)
    y = fb.zeros(3).copy_(x)
    z = x.clone()
    x.add_(1)
    assert y.tolist() == z.tolist() == [1, 1, 1]


@examples(15)
@given(st.integers(-7, 7), st.integers(1, 5))
def test_rolling_back(shift: int, size: int) -> None:
    x = fb.arange(size)
    assert np.array_equal(x.roll(shift).roll(-shift).numpy(), x.numpy())


@pytest.mark.parametrize("make", ["t.tensor(1)", "np.int64(1)"])
def test_offsets_of_other_kinds(make):
    def look(t):
        return t.diagonal(t.arange(12.0).reshape(3, 4), eval(make, {"t": t, "np": np})).tolist()

    assert look(fb) == look(torch)
