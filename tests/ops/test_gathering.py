"""Reading and writing at tensors of indices, against torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import flambeau as fb
from support.programs import agree as programs_agree
from support.properties import examples
from support.rows import agree, refuse

J = "j = i([[0, 1, 2], [2, 0, 0]]); "
K = "k = i([0, 2, 0]); "

ROWS = """
J t.gather(f(3, 3), 0, j)
J t.gather(f(2, 3), 1, j)
J f(3, 3).gather(-2, j.to(t.int32))
t.gather(f(), 0, i(0))
t.gather(f(2, 2), 0, i([]))
J t.scatter(f(3, 3), 0, j, f(2, 3))
J t.scatter(f(3, 3), 0, j, 3)
J t.scatter(f(3, 3), 1, j, value=2.5)
J t.scatter(f(3, 3), 1, j, value=t.tensor(2.5))
J t.scatter(f(3, 3), 1, j, True)
J t.scatter(f(3, 3), 1, j, 2 + 0j)
J t.scatter_add(f(3, 3), 0, j, f(2, 3))
J t.scatter_add(f(2, 4), 1, j, f(2, 3))
J t.scatter_reduce(f(3, 3), 0, j, f(2, 3), "sum")
J t.scatter_reduce(f(3, 3), 0, j, f(2, 3), "mean")
J t.scatter_reduce(f(3, 3), 0, j, f(2, 3), "prod")
J t.scatter_reduce(f(3, 3), 0, j, f(2, 3), "amax")
J t.scatter_reduce(f(3, 3), 0, j, f(2, 3), "amin")
J t.scatter_reduce(f(3, 3), 1, j, f(2, 3), "sum", include_self=False)
J t.scatter_reduce(f(3, 3), 1, j, f(2, 3), "mean", include_self=False)
J t.scatter_reduce(f(3, 3), 1, j, f(2, 3), "prod", include_self=False)
J t.scatter_reduce(f(3, 3), 1, j, f(2, 3), "amax", include_self=False)
t.scatter_reduce(v([1.0, 2, 2]), 0, i([1, 1, 2]), v([2.0, 2, 1]), "amax")
t.scatter_reduce(v([1.0, 2, 0]), 0, i([1, 1, 2]), v([0.0, 3, 4]), "prod")
t.scatter_reduce(v([1.0, 2, 0]), 0, i([1, 1, 2]), v([0.0, 0, 0]), "prod")
x = f(3, 3) * 2; J x.scatter_(0, j, f(2, 3)); x
x = f(3, 3) * 2; J x.scatter_add_(0, j, f(2, 3)); x
K t.index_select(f(3, 2), 0, k)
K f(2, 3).index_select(-1, k)
t.index_select(f(3, 2), 0, i([]))
K t.index_add(f(3, 2), 0, k, f(3, 2))
K t.index_add(f(2, 3), 1, k, f(2, 3), alpha=2)
t.index_copy(f(3, 2), 0, i([0, 2]), f(2, 2))
K t.index_fill(f(3, 2), 0, k, 2.5)
K t.index_fill(f(3, 2), 0, k, f())
t.index_fill(f(3, 2), 0, i([-1]), 2.5)
K t.index_reduce(f(3, 2), 0, k, f(3, 2), "prod")
K t.index_reduce(f(3, 2), 0, k, f(3, 2), "mean")
K t.index_reduce(f(3, 2), 0, k, f(3, 2), "amax")
K t.index_reduce(f(3, 2), 0, k, f(3, 2), "amin", include_self=False)
x = f(3, 2) * 2; K x.index_add_(0, k, f(3, 2)); x
t.index_put(f(3, 2), (i([0, 2]),), f(2, 2))
t.index_put(f(3, 2), (i([0, 0]), i([1, 1])), f(2), True)
t.index_put(f(3, 2), (b([True, False, True]),), f(2))
x = f(3, 2) * 2; x.index_put_((i([0, -1]),), f(2)); x
t.take(f(2, 3), i([[0, 5], [-1, 2]]))
t.put(f(2, 3), i([0, -1]), f(2))
t.put(f(2, 3), i([0, 0]), f(2), accumulate=True)
t.take_along_dim(f(2, 3), i([[0], [2]]), 1)
t.take_along_dim(f(2, 3), i([[1, 0, 1]]), 0)
t.take_along_dim(f(2, 3), i([5, 0]))
"""

UNNAMED = """
t.unravel_index(i([3, 5]), (2, 3))
t.unravel_index(i([-7, -1, 6, 30]), (2, 3))
J t.scatter(h(3, 3), 0, j, 3.0, reduce="add")
J b([[False] * 3] * 3).scatter_(1, j, True)
J t.scatter(i([[0] * 3] * 3), 1, j, value=2.7, reduce="add")
t.scatter(h(3), 0, i([1]), t.tensor(5.0))
x = t.zeros(3); x[b([True, False, True])] = i([2]); x
x = t.zeros(3, 3); x[:, b([True, False, True])] = t.tensor(True); x
J t.scatter(h(3, 3), 0, j, h(2, 3), reduce="multiply")
J t.scatter_add(b([[True] * 3] * 3), 0, j, b([[True] * 3] * 3))
J t.scatter_reduce(i([[1, 2, 3]] * 3), 0, j, i([[3, 4, 5]] * 2), "mean")
J t.scatter_reduce(i([[1, 2, 3]] * 3), 0, j, i([[3, 4, 5]] * 2), "amax", include_self=False)
"""

ERRORS = """
t.gather(h(2, 2), 0, i([[0, 5]]))
t.gather(h(2, 2), 0, i([[0, -1]]))
t.gather(h(2, 2), 0, h(2, 2))
~ t.gather(h(2, 2), 0, i([0, 1]))
t.gather(h(2, 2), 1, i([[0, 0]] * 3))
t.gather(h(2, 2), 2, i([[0, 0]]))
t.scatter(h(2, 2), 0, i([[0, 1]] * 2), h(1, 2))
~ t.scatter(h(2, 2), 0, i([[0, 1]]), i([[0, 1]]))
t.scatter(h(2, 2), 0, i([[0, 2]]), h(1, 2))
t.scatter(h(2, 2), 0, i([[0, 1]]), h(1, 2), reduce="prod")
~ t.scatter(h(2, 2), 0, i([[0, 1]]), t.tensor(5.0))
~ t.scatter(t.zeros(3, dtype=t.uint8), 0, i([1]), 300)
t.scatter_add(h(2, 2), 0, i([[0, -2]]), h(1, 2))
t.index_select(h(2, 2), 0, i([0, 2]))
t.index_select(h(2, 2), 0, i([-1]))
t.index_select(h(2, 2), 0, i([[0]]))
t.index_select(h(2, 2), 0, h(2))
t.index_add(h(2, 2), 0, i([0, 1]), h(3, 2))
t.index_add(h(2, 2), 0, i([0, 1]), h(2, 3))
t.index_add(h(2, 2), 0, i([[0, 1]]), h(2, 2))
t.index_add(h(2, 2), 0, i([0, 2]), h(2, 2))
t.index_add(h(2, 2), 0, i([0, 1]), f(2, 2))
t.index_copy(h(2, 2), 0, i([0, 1]), h(3, 2))
t.index_copy(h(2, 2), 0, i([0, 2]), h(2, 2))
t.index_fill(h(2, 2), 0, i([2]), 3)
t.index_fill(h(2, 2), 0, i([0]), h(1))
t.index_reduce(h(2, 2), 0, i([0, 1]), h(2, 2), "sum")
t.index_put(h(2, 2), (i([0]), i([0]), i([0])), h(1))
t.index_put(h(2, 2), (i([2]),), h(2))
t.index_put(h(2, 2), (i([0, 1]),), h(3), True)
t.take(h(2, 2), i([4]))
t.take(h(2, 2), h(1))
t.put(h(2, 2), i([0, 1]), h(3))
t.put(h(2, 2), i([0, 9]), h(2))
t.take_along_dim(h(2, 2), i([0, 1]), 0)
x = t.zeros(3); x[i([0, 2])] = t.tensor(2); x
x = t.zeros(3); x[i([0, 2])] = t.tensor(True); x
~ t.zeros(3, dtype=t.int64).scatter(0, i([1]), float("nan"))
"""


def _rows(text: str) -> list[str]:
    rows = []
    for row in text.strip().splitlines():
        for short, full in (("J ", J), ("K ", K)):
            if row.startswith(short):
                row = full + row[2:]
            row = row.replace("; " + short, "; " + full)
        rows.append(row)
    return rows


@pytest.mark.parametrize("row", _rows(ROWS))
def test_gathering(row: str) -> None:
    agree(row)


@pytest.mark.parametrize("row", _rows(UNNAMED))
def test_without_gradients(row: str) -> None:
    agree(row, names=False)


@pytest.mark.parametrize("row", _rows(ERRORS))
def test_errors(row: str) -> None:
    refuse(row)


@examples(15)
@given(st.permutations(range(5)))
def test_scatter_undoes_gather(order: list[int]) -> None:
    x = fb.arange(5.0)
    index = fb.tensor(list(order))
    again = fb.zeros(5).scatter_(0, index, x.gather(0, index))
    assert np.array_equal(again.numpy(), x.numpy())


@pytest.mark.parametrize("place", [[0, 0, 1], [2, 2, 2], [-1, 2, 0]])
def test_values_put_twice_in_one_place_get_its_gradient(place):
    def run(t, compiled=False):
        def step(x, v):
            y = x * 2
            y[place] += 1
            y[place] *= x[place]
            z = (x * 3).index_put((t.tensor(place),), v)
            loss = (y * t.tensor([1.0, 2.0, 3.0])).sum() + (z * t.tensor([5.0, 7.0, 9.0])).sum()
            loss.backward()
            return loss

        x, v = (t.tensor(n, requires_grad=True) for n in ([1.0, 2.0, 3.0], [10.0, 20.0, 30.0]))
        loss = (fb.compile(step) if compiled else step)(x, v)
        return loss.item(), x.grad.tolist(), v.grad.tolist()

    assert run(fb) == run(fb, compiled=True) == run(torch)


INDICES = [
    lambda t: t.ones(4)[t.tensor([0], dtype=t.int8)],
    lambda t: t.ones(4)[t.tensor([[0, 1]], dtype=t.int16)],
    lambda t: t.ones(4).__setitem__(t.tensor([0], dtype=t.int8), 2),
    lambda t: t.ones(4)[t.tensor([0], dtype=t.int32)],
    lambda t: t.ones(4)[t.tensor(1, dtype=t.int8)],
    lambda t: t.ones(4)[np.array([0, 3], np.int8)],
    lambda t: t.ones(2, 4).__setitem__(0, np.ones(4)),
    lambda t: t.ones(4).__setitem__(0, np.float32(3)),
    lambda t: t.ones(4).__setitem__(t.tensor([True, False, True, False]), np.ones(2)),
    lambda t: t.ones(4).__setitem__(0, np.int64(3)),
    lambda t: t.ones(4).__setitem__(0, np.float64(3)),
]


@pytest.mark.parametrize("code", INDICES)
def test_kinds_of_indices_and_values(code) -> None:
    programs_agree(code, words=None)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 3), (0, 0)])
def test_picking_from_empty_tensors(shape):
    """Numbers for a dimension of size 0 are refused in PyTorch's words; where another one is empty, any number reads nothing."""

    def told(lib, pick):
        try:
            return list(pick(lib, lib.empty(shape)).shape)
        except (IndexError, RuntimeError) as error:
            return type(error).__name__, str(error)

    for dim in range(len(shape)):
        for numbers in ([0], [1, 0], [-1], [9], [[[0]], [[0]]]):

            def taken(lib, x, dim=dim, numbers=numbers):
                return x[(slice(None),) * dim + (lib.tensor(numbers),)]

            assert told(fb, taken) == told(torch, taken)

        def selected(lib, x, dim=dim):
            return x.index_select(dim, lib.tensor([0]))

        assert told(fb, selected) == told(torch, selected)


@pytest.mark.parametrize("dtype", ["uint16", "uint32", "uint64", "int8", "int16"])
def test_tensors_of_other_integers_are_no_indices(dtype):
    for lib in (fb, torch):
        index = lib.tensor([0, 1]).to(getattr(lib, dtype))
        for key in (index, (index, index), (slice(None), index), (index, 1)):
            with pytest.raises(IndexError, match="tensors used as indices must be long, int, byte or bool tensors"):
                lib.ones(2, 2)[key]
        assert lib.arange(4)[index.numpy()].tolist() == [0, 1]  # an array of NumPy's becomes one of longs
