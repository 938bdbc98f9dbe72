"""Sparse gradients: their sums, and those of sparse tensors."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from ..tape.nodes import Taped, add_arrays, add_taped
from ..tensor.sparse import SparseArray, SparseLook, add_arrays_sparse, from_array, make, pattern, stored, to_array
from ..tensor.tensor import Tensor, from_host, wrap


def add_gradients(a: Taped, b: Taped, taped: bool) -> Taped:
    """The sum of two gradients, each dense or sparse."""
    if type(a[0]) is SparseArray or type(b[0]) is SparseArray:
        if taped and (a[1] is not None or b[1] is not None):
            dense_first = (b, a) if type(a[0]) is SparseArray and type(b[0]) is not SparseArray else (a, b)
            first, second = (from_array(*value) for value in dense_first)
            total = first + second  # an operator, with a gradient of its own
            return to_array(total), total._tape_edge()
        return add_arrays_sparse(a[0], b[0]), None
    return add_taped(a, b) if taped else (add_arrays(a[0], b[0]), None)


def _one_of_each(tensor: Tensor) -> np.ndarray | None:
    """Which stored values to take, one of each place; None if no place has several."""
    held = stored(tensor)
    if held.coalesced or isinstance(held.indices, tuple):
        return None
    places = np.asarray(held.indices._array)
    first = np.unique(places, axis=1, return_index=True)[1] if len(places) else np.arange(min(1, places.shape[1]))
    return first if len(first) < places.shape[1] else None


def sparse_gradient(tensor: Tensor, values: Tensor) -> Tensor:
    """The gradient of a sparse tensor of that of its stored values. Values at one place have one gradient, which is there once."""
    first = _one_of_each(tensor)
    if first is None:
        return pattern(tensor.detach(), values)
    indices = wrap(stored(tensor).indices._array[:, first])
    return make(indices, values[from_host(first, values.device)], stored(tensor).shape, True)


def carried_gradient(tensor: Tensor, value: Taped) -> Taped:
    """The same for a tensor in coordinates, as the tape carries it."""
    first, indices = _one_of_each(tensor), stored(tensor).indices._array
    if first is not None:
        picked = from_array(*value)[from_host(first, tensor.device)]
        indices, value = indices[:, first], (picked._array, picked._tape_edge())
    return SparseArray(indices, value[0], tuple(tensor.shape)), value[1]


def through_sparse(tensor: Tensor, hook: Callable[[Tensor], Any]) -> Callable[[Tensor], Any]:
    """A hook of a sparse tensor as one of its stored values: it sees a sparse gradient, and may give one."""
    ref = weakref.ref(tensor)

    @functools.wraps(hook)
    def hooked(values: Tensor) -> Any:
        like = ref()
        if like is None:
            return None
        given = sparse_gradient(like, values)
        out = hook(given)
        out = given if out is None else out
        return stored_gradient(like, out) if isinstance(out, Tensor) and out.shape == like.shape else out

    return hooked


def _same_places(one: Any, other: Any) -> bool:
    return all(np.array_equal(a._array, b._array) for a, b in zip(one, other, strict=True))


def stored_gradient(root: Tensor, gradient: Tensor) -> Tensor:
    """The gradient of a sparse tensor's stored values."""
    places = stored(root).indices
    if isinstance(places, tuple):
        held = stored(gradient) if type(gradient._view) is SparseLook else None
        if held is not None and held.layout == stored(root).layout and _same_places(held.indices, places):
            return gradient.values()
        if stored(root).layout != "sparse_csr" or root.ndim != 2:
            raise NotImplementedError(
                f"a gradient of a {stored(root).layout} tensor that has other places: use .to_sparse_coo()"
            )
        places = stored(root.detach().to_sparse_coo()).indices
    if type(gradient._view) is SparseLook:
        gradient = gradient.to_dense()
    return gradient[tuple(places)]
