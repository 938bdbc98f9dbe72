"""Reductions of sparse tensors over the elements that a mask keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..core.dispatch.messages import message
from ..core.tensor.sparse import is_sparse, layout_of, stored, values_of
from ..core.tensor.tensor import Tensor
from ..ops.making.constants import full
from ..ops.shape.joining import cat
from ..ops.sparse.coo import host_indices, index_tensor, resized, sparse_dims

_WITHOUT_MASK = ("sum",)
_IN_COORDINATES = ("sum", "prod", "amax", "amin")


def check_strided(name: str, input: Tensor) -> None:
    """ValueError for a sparse tensor that a function is given which has no form for them."""
    if is_sparse(input):
        raise ValueError(f"masked {name} expects strided tensor (got torch.{layout_of(input)} tensor)")


def _check(name: str, input: Tensor, mask: Tensor | None, keepdim: bool) -> None:
    layout = layout_of(input)
    if layout != "sparse_csr" and not (layout == "sparse_coo" and name in _IN_COORDINATES):
        known = "strided, sparse_coo or sparse_csr" if name in _IN_COORDINATES else "strided or sparse_csr"
        raise ValueError(f"masked {name} expects {known} tensor (got torch.{layout} tensor)")
    if mask is None and name not in _WITHOUT_MASK:
        raise ValueError(f"masked {name} expects explicit mask for {layout} tensor input")
    if layout == "sparse_csr" and not keepdim:
        kind = RuntimeError if name in ("sum", "prod") else AssertionError
        raise kind(message("masked_rows_keepdim"))
    if sparse_dims(input.to_sparse_coo()) != input.ndim:
        raise NotImplementedError(f"masked {name} of sparse tensors with dense dimensions: use .to_dense() first")


def _places(mask: Tensor, shape: tuple[int, ...]) -> np.ndarray:
    """Where a mask keeps elements of a tensor of this shape: (dimensions, how many), in order."""
    if not is_sparse(mask):
        mask = mask.to_sparse()
    mask = mask.to_sparse_coo().coalesce()
    kept = host_indices(mask)[:, np.asarray(stored(mask).values._array).astype(bool)]
    sizes = tuple(mask.shape)
    lead = len(shape) - len(sizes)
    for d, size in enumerate(shape):
        if d < lead:
            kept = np.insert(kept, d, 0, axis=0)
        if size != (sizes[d - lead] if d >= lead else 1):
            if d >= lead and sizes[d - lead] != 1:
                raise RuntimeError(f"the mask's shape {list(sizes)} does not go with that of the input, {list(shape)}")
            kept = np.repeat(kept, size, axis=1)
            kept[d] = np.tile(np.arange(size), kept.shape[1] // max(size, 1))
    return kept[:, np.lexsort(kept[::-1])] if len(kept) else kept


def _numbers(places: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return np.ravel_multi_index(tuple(places), shape) if len(shape) else np.zeros(places.shape[1], np.int64)


def _values_at(input: Tensor, values: Tensor, places: np.ndarray) -> Tensor:
    """The values at these places, zeros where none is stored."""
    shape = tuple(input.shape)
    mine, asked = _numbers(host_indices(input), shape), _numbers(places, shape)
    at = np.searchsorted(mine, asked)
    stored_here = np.append(mine, -1)[np.minimum(at, len(mine))] == asked
    return cat([values, values.new_zeros((1,))])[index_tensor(np.where(stored_here, at, len(mine)), input)]


def reduce_sparse(
    name: str, input: Tensor, axes: tuple[int, ...], keepdim: bool, mask: Tensor | None, identity: Callable[[Any], Any],
    cast: Callable[[Tensor], Tensor],
) -> Tensor:  # fmt: skip
    """`name` of the elements that a mask keeps, without one of those that are stored; what is not stored counts as 0.

    Gives a tensor of the input's layout, with an element for each group of which the mask keeps something; of all together one.
    """
    _check(name, input, mask, keepdim)
    layout, shape = layout_of(input), tuple(input.shape)
    input = input.to_sparse_coo().coalesce()
    values = cast(values_of(input))
    places = host_indices(input) if mask is None else _places(mask, shape)
    values = values if mask is None else _values_at(input, values, places)
    rest = [d for d in range(len(shape)) if d not in axes]
    groups, to = np.unique(_numbers(places[rest], tuple(shape[d] for d in rest)), return_inverse=True)
    if not rest:  # there is one group, whether something is kept of it or not
        groups = np.zeros(1, np.int64)
    where = index_tensor(to.reshape(-1), input)
    start = full((len(groups),), identity(values.dtype), dtype=values.dtype, device=values.device)
    made = start.scatter_reduce(0, where, values, "sum" if name == "mean" else name)
    if name == "mean":
        made = made / index_tensor(np.bincount(to.reshape(-1), minlength=len(groups)), input)
    left = (
        np.stack(np.unravel_index(groups, [shape[d] for d in rest])) if rest else np.zeros((0, len(groups)), np.int64)
    )
    if not rest and layout == "sparse_coo" and not bool((made != 0).any()):
        left, made = left[:, :0], made[:0]
    for d in axes if keepdim else ():
        left = np.insert(left, d, 0, axis=0)
    size = [1 if d in axes else n for d, n in enumerate(shape) if keepdim or d not in axes]
    found = resized(input, left, made, size, not rest or layout == "sparse_csr")
    return found.to_sparse_csr() if layout == "sparse_csr" else found


__all__ = ["check_strided", "reduce_sparse"]
