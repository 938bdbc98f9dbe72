"""What is looked at when a compressed tensor is made, and gradients of sparse inputs against differences."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch

import flambeau as fb
import flambeau.sparse
from flambeau.autograd import gradcheck

PARTS: list[Any] = [
    ([0, 2], [1, 0], (1, 2)),
    ([0, 2], [1, 1], (1, 2)),
    ([0, 2], [0, 1], (1, 2)),
    ([0, 2], [0, 1], (3, 2)),
    ([1, 2], [0, 1], (1, 2)),
    ([0, 2], [0, 5], (1, 2)),
    ([0, 1, 3, 3], [0, 2, 1], (3, 3)),
    ([0, 1, 2, 3], [2, 1, 0], (3, 3)),
    ([0, 0, 0], [], (2, 2)),
    ([0, 2, 2, 3], [0, 2, 0], (3, 3)),
]


def _said(lib: Any, bounds: Any, places: Any, size: Any, **options: Any) -> str:
    said = []
    values = [1.0] * len(places)
    for make, shape in ((lib.sparse_csr_tensor, size), (lib.sparse_csc_tensor, size[::-1])):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                made = make(
                    lib.tensor(bounds), lib.tensor(places, dtype=lib.int64), lib.tensor(values), shape, **options
                )
            said.append(str(made.to_dense().tolist()))
        except RuntimeError as error:
            said.append(str(error).splitlines()[0])
    return "; ".join(said)


@pytest.mark.parametrize(("bounds", "places", "size"), PARTS)
def test_the_order_of_indices(bounds: Any, places: Any, size: Any) -> None:
    wanted = _said(torch, bounds, places, size, check_invariants=True)
    assert _said(fb, bounds, places, size, check_invariants=True) == wanted
    with fb.sparse.check_sparse_tensor_invariants():
        assert fb.sparse.check_sparse_tensor_invariants.is_enabled()
        assert _said(fb, bounds, places, size) == wanted
    assert not fb.sparse.check_sparse_tensor_invariants.is_enabled()


def test_gradients_of_sparse_inputs() -> None:
    dense = fb.rand(3, 2, dtype=fb.float64, requires_grad=True)
    held = fb.tensor([[0, 2.0, 0], [1, 0, 0], [0, 0, 3]], dtype=fb.float64)
    for sparse, masked in ((held.to_sparse().requires_grad_(), False), (held.to_sparse_csr().requires_grad_(), True)):
        assert gradcheck(fb.sparse.mm, (sparse, dense), masked=masked)
    assert gradcheck(lambda x: x * 2, held.to_sparse().requires_grad_(), masked=True)

    class Wrong(fb.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 3

    assert not gradcheck(
        lambda x: Wrong.apply(x.to_dense()), held.to_sparse().requires_grad_(), masked=True, raise_exception=False
    )


def test_dense_gradients_of_sparse_inputs() -> None:
    class Product(fb.autograd.Function):
        @staticmethod
        def forward(ctx: Any, a: Any, b: Any) -> Any:
            ctx.save_for_backward(a, b)
            return fb.sparse.mm(a, b)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            a, b = ctx.saved_tensors
            return g @ b.t(), fb.sparse.mm(a.t(), g)

    sparse = fb.tensor([[0, 2.0], [1, 0]]).to_sparse().requires_grad_()
    dense = fb.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    for make in (lambda x: x, lambda x: x * 3):
        wanted = fb.autograd.grad(fb.sparse.mm(make(sparse), dense).sum(), (sparse, dense))
        found = fb.autograd.grad(Product.apply(make(sparse), dense).sum(), (sparse, dense))
        for a, b in zip(found, wanted, strict=True):
            assert a.to_dense().tolist() == b.to_dense().tolist()
