"""Sparse gradients: their sums, and those of sparse tensors."""

from __future__ import annotations

from ..tape.nodes import Taped, add_arrays, add_taped
from ..tensor.sparse import SparseArray, SparseLook, add_arrays_sparse, stored
from ..tensor.tensor import Tensor


def add_gradients(a: Taped, b: Taped, taped: bool) -> Taped:
    """The sum of two gradients, each dense or sparse."""
    if type(a[0]) is SparseArray or type(b[0]) is SparseArray:
        if taped and (a[1] is not None or b[1] is not None):
            raise NotImplementedError(
                "derivatives of a sum of sparse gradients: use sparse=False where create_graph=True"
            )
        return add_arrays_sparse(a[0], b[0]), None
    return add_taped(a, b) if taped else (add_arrays(a[0], b[0]), None)


def stored_gradient(root: Tensor, gradient: Tensor) -> Tensor:
    """The gradient of a sparse tensor's stored values."""
    if type(gradient._view) is SparseLook:
        gradient = gradient.to_dense()
    return gradient[tuple(stored(root).indices)]
