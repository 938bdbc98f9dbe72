"""Sparse matrices, and batches of them, with compressed rows or columns, of single numbers or of blocks."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ...core.array import dtypes, formats
from ...core.array import geometry as geometries
from ...core.array.size import out_of_range
from ...core.dispatch import sparse_forms
from ...core.dispatch.operator import composite
from ...core.dispatch.sparse_forms import labelled
from ...core.tensor.sparse import (
    SparseOperand,
    empty,
    empty_compressed,
    is_sparse,
    layout_of,
    make,
    pattern,
    stored,
    values_of,
)  # fmt: skip
from ...core.tensor.tensor import Tensor
from ..making.constants import full_like
from ..making.creation import tensor as _tensor
from ..random.factories import randn_like
from ..shape.copies import declare_copy
from .coo import csr_rows, flat_indices, host_indices, index_tensor, sparse_dims, to_dense, to_sparse, to_sparse_coo
from .invariants import check_dims, check_order, check_sizes
from .layouts import KINDS, PRINTED, Kind, batch_dims, block_of


def _as_tensor(value: Any, dtype: Any = None) -> Tensor:
    return value if isinstance(value, Tensor) else _tensor(value, dtype=dtype)


# --- making ----------------------------------------------------------------------------------------------------------


class _Invariants:
    """Whether the order of indices is looked at where a call says nothing (`torch.sparse.check_sparse_tensor_invariants`)."""

    asked = False


invariants: _Invariants = _Invariants()


@composite(methods=False)
def sparse_compressed_tensor(
    compressed_indices: Any, plain_indices: Any, values: Any, size: Any = None, *, dtype: Any = None,
    layout: Any = None, device: Any = None, pin_memory: bool = False, requires_grad: bool = False,
    check_invariants: bool | None = None,
) -> Tensor:  # fmt: skip
    """A sparse matrix of a layout: row (or column) `i` holds `values[k]` at `plain_indices[k]`, k from `compressed_indices[i]` on.

    Of a layout with blocks the indices count blocks, and values are (nnz, block rows, block columns). Raises RuntimeError
    for other layouts and for parts that do not go together.
    """
    name = None if layout is None else layout.name
    if name not in KINDS:
        shown = "none" if name is None else PRINTED.get(name, "Strided")
        raise RuntimeError(f"sparse_compressed_tensor expected sparse compressed tensor layout but got {shown}")
    first, second = _as_tensor(compressed_indices), _as_tensor(plain_indices)
    values = _as_tensor(values, dtype)
    if dtype is not None or device is not None:
        values = values.to(device=device or values.device, dtype=dtype or values.dtype)
    made = _compressed(name, first, second, values, size, requires_grad)
    if invariants.asked if check_invariants is None else check_invariants:
        check_order(KINDS[name], np.asarray(first.detach()._array), np.asarray(second.detach()._array))
    return made


def _compressed(name: str, first: Tensor, second: Tensor, values: Tensor, size: Any, requires_grad: bool) -> Tensor:
    kind = KINDS[name]
    bounds, places = np.asarray(first.detach()._array), np.asarray(second.detach()._array)
    check_dims(kind, bounds, places, values)
    if size is None:
        size = _estimated(kind, bounds, places, tuple(values.shape))
    size = tuple(int(n) for n in size)
    check_sizes(kind, bounds, places, tuple(values.shape), size)
    moved = tuple(part.detach().to(values.device) for part in (first, second))
    if requires_grad and not values.requires_grad:
        return make(moved, values.detach(), size, True, name).requires_grad_()
    whole = geometries.whole(tuple(values.shape))
    seen = values._look(values._geometry, "SparseCompressedTensorBackward0", whole)
    return make(moved, seen, size, True, name)


def _estimated(kind: Kind, bounds: np.ndarray, places: np.ndarray, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The smallest tensor that these parts fit in."""
    batch = bounds.ndim - 1
    block = shape[batch + 1 : batch + 3] if kind.blocks else (1, 1)
    across, along = bounds.shape[-1] - 1, int(places.max()) + 1 if places.size else 0
    counts = (across, along) if kind.rows else (along, across)
    matrix = (counts[0] * block[0], counts[1] * block[1])
    return (*bounds.shape[:-1], *matrix, *shape[batch + 1 + 2 * kind.blocks :])


@composite(methods=False)
def sparse_csr_tensor(
    crow_indices: Any, col_indices: Any, values: Any, size: Any = None, *, dtype: Any = None, device: Any = None,
    pin_memory: bool = False, requires_grad: bool = False, check_invariants: bool | None = None,
) -> Tensor:  # fmt: skip
    """A sparse matrix with compressed rows (`sparse_compressed_tensor`)."""
    return sparse_compressed_tensor(
        crow_indices, col_indices, values, size, dtype=dtype, layout=formats.sparse_csr, device=device,
        requires_grad=requires_grad, check_invariants=check_invariants,
    )  # fmt: skip


@composite(methods=False)
def sparse_csc_tensor(
    ccol_indices: Any, row_indices: Any, values: Any, size: Any = None, *, dtype: Any = None, device: Any = None,
    pin_memory: bool = False, requires_grad: bool = False, check_invariants: bool | None = None,
) -> Tensor:  # fmt: skip
    """A sparse matrix with compressed columns (`sparse_compressed_tensor`)."""
    return sparse_compressed_tensor(
        ccol_indices, row_indices, values, size, dtype=dtype, layout=formats.sparse_csc, device=device,
        requires_grad=requires_grad, check_invariants=check_invariants,
    )  # fmt: skip


@composite(methods=False)
def sparse_bsr_tensor(
    crow_indices: Any, col_indices: Any, values: Any, size: Any = None, *, dtype: Any = None, device: Any = None,
    pin_memory: bool = False, requires_grad: bool = False, check_invariants: bool | None = None,
) -> Tensor:  # fmt: skip
    """A sparse matrix of blocks with compressed rows (`sparse_compressed_tensor`)."""
    return sparse_compressed_tensor(
        crow_indices, col_indices, values, size, dtype=dtype, layout=formats.sparse_bsr, device=device,
        requires_grad=requires_grad, check_invariants=check_invariants,
    )  # fmt: skip


@composite(methods=False)
def sparse_bsc_tensor(
    ccol_indices: Any, row_indices: Any, values: Any, size: Any = None, *, dtype: Any = None, device: Any = None,
    pin_memory: bool = False, requires_grad: bool = False, check_invariants: bool | None = None,
) -> Tensor:  # fmt: skip
    """A sparse matrix of blocks with compressed columns (`sparse_compressed_tensor`)."""
    return sparse_compressed_tensor(
        ccol_indices, row_indices, values, size, dtype=dtype, layout=formats.sparse_bsc, device=device,
        requires_grad=requires_grad, check_invariants=check_invariants,
    )  # fmt: skip


# --- conversions -----------------------------------------------------------------------------------------------------


def _check_conversion(name: str, input: Tensor, dense_dim: int | None) -> int:
    """How many dimensions of a batch there will be. Raises what PyTorch does for a tensor that has no such form."""
    layout = layout_of(input)
    if layout == "strided":
        dense = dense_dim or 0
        if input.ndim < dense + 2 and (KINDS[name].blocks or input.ndim < 2):
            raise out_of_range(-2 - dense if KINDS[name].blocks else 1, input.ndim)
        if not 0 <= dense <= input.ndim - 2:
            raise RuntimeError(
                f"dense_to_{name}: dense_dim argument must be in [0,{input.ndim - 2}] range, but {dense} is given"
            )
        if 0 in input.shape[: input.ndim - dense - 2]:
            raise RuntimeError(f"to_{name}: Expected product of batch dimensions to be non-zero.")
        return int(input.ndim - dense - 2)
    origin = "coo" if layout == "sparse_coo" else "sparse_compressed"
    what = f"conversion from {PRINTED[layout]} to {PRINTED[name]}"
    if dense_dim is not None:
        raise RuntimeError(
            f"{'' if layout == name else origin + '_'}to_{name}: {what} with dense_dim argument given is not supported"
        )
    if layout == "sparse_coo":
        if sparse_dims(input) != 2:
            raise RuntimeError(f"coo_to_{name}: {what} for input tensors with sparse_dim()!=2 is not supported")
        return 0
    return batch_dims(input)


def _to_numbers(name: str, input: Tensor, dense_dim: int | None) -> Tensor:
    layout = layout_of(input)
    batch = _check_conversion(name, input, dense_dim)
    if layout == name:
        return input
    if layout in KINDS and KINDS[layout].blocks:
        raise RuntimeError(
            f"sparse_compressed_to_{name}: expected SparseCsr or SparseCsc layout but got {PRINTED[layout]}"
        )
    form = to_sparse_coo(input) if is_sparse(input) else to_sparse(input, batch + 2)
    return labelled(compressed_numbers(name, form, batch), f"To{PRINTED[name]}Backward0", input)


def compressed_numbers(name: str, form: Tensor, batch: int) -> Tensor:
    """The compressed form of a tensor in coordinates, the first `batch` of which name a matrix.

    RuntimeError unless all matrices store equally many values.
    """
    form = form.coalesce()
    shape = tuple(form.shape)
    return _from_places(name, host_indices(form), values_of(form), shape[: batch + 2], shape)


def _from_places(name: str, places: np.ndarray, values: Tensor, counts: tuple[int, ...], shape: Any) -> Tensor:
    """A compressed tensor of the places (batch, row, column) of its values, whose numbers are below `counts`."""
    batch, by_rows = counts[:-2], KINDS[name].rows
    outer, inner = (places[-2], places[-1]) if by_rows else (places[-1], places[-2])
    across, matrices = counts[-2] if by_rows else counts[-1], math.prod(batch)
    which = flat_indices(places[:-2], batch)
    stored_by = np.bincount(which, minlength=matrices)
    if (stored_by != stored_by[:1]).any():
        raise RuntimeError("Expect the same number of specified elements per batch.")
    line = which * across + outer
    order = np.lexsort((inner, line))
    if (np.diff(order) != 1).any():
        inner, values = inner[order], values[index_tensor(order, values)]
    sums = np.cumsum(np.bincount(line, minlength=matrices * across).reshape(*batch, across), -1)
    bounds = np.concatenate([np.zeros((*batch, 1), np.int64), sums], -1)
    if batch:
        each = int(stored_by[0])
        inner, values = inner.reshape(*batch, each), values.reshape(*batch, each, *values.shape[1:])
    return make((index_tensor(bounds, values), index_tensor(inner, values)), values, shape, True, name)


def _to_blocks(name: str, input: Tensor, blocksize: Any, dense_dim: int | None) -> Tensor:
    layout = layout_of(input)
    size = (blocksize, blocksize) if isinstance(blocksize, int) else tuple(int(n) for n in blocksize)
    batch = _check_conversion(name, input, dense_dim)
    if layout == name:
        held = block_of(input)
        if held != size:
            raise RuntimeError(
                f"to_{name}: conversion from {PRINTED[name]} to {PRINTED[name]} with blocksize changed from "
                f"{list(held)} to {list(size)} is not supported"
            )
        return input
    if layout in KINDS and batch:
        raise RuntimeError(
            f"sparse_compressed_to_{name}: conversion from {PRINTED[layout]} to {PRINTED[name]} for batched inputs is not "
            "supported"
        )
    if len(size) != 2:
        raise RuntimeError(f"dense_to_{name}: blocksize needs to be a tuple of size 2, but got {len(size)}")
    if min(size) < 1:
        raise RuntimeError(f"dense_to_{name}: blocksize needs to be positive, but got {list(size)}")
    rows, columns = input.shape[batch : batch + 2]
    if rows % size[0] or columns % size[1]:
        raise RuntimeError(
            f"dense_to_{name}: tensor sparse size ({rows},{columns}) must be divisible by given blocksize "
            f"({','.join(map(str, size))})"
        )
    return labelled(compressed_blocks(name, input, batch, size), f"To{PRINTED[name]}Backward0", input)


def compressed_blocks(name: str, input: Tensor, batch: int, size: tuple[int, ...]) -> Tensor:
    """The form in blocks of a tensor of whatever layout, the first `batch` dimensions of which name a matrix."""
    shape = tuple(input.shape)
    leading, (rows, columns), dense = shape[:batch], shape[batch : batch + 2], shape[batch + 2 :]
    counts = (*leading, rows // size[0], columns // size[1])
    if is_sparse(input):
        places = host_indices(to_sparse_coo(input)).copy()
        places[-2:] //= np.array(size)[:, None]
        kept = np.zeros(counts, bool)
        kept[tuple(places)] = True
        input = to_dense(input)
    else:
        mask = (np.asarray(input._array) != 0).reshape(*shape[: batch + 2], -1).any(-1)
        kept = mask.reshape(*leading, counts[-2], size[0], counts[-1], size[1]).any((-3, -1))
    parts = input.reshape(*leading, counts[-2], size[0], counts[-1], size[1], *dense).transpose(batch + 1, batch + 2)
    found = np.stack(np.nonzero(kept))
    return _from_places(name, found, parts[tuple(index_tensor(found, input))], counts, shape)


def _in_its_places(
    input: Tensor, inner: str, function: Callable[[Tensor], Tensor], layout: Any = None, requires_grad: bool = False
) -> Tensor:
    """A tensor that stores other values where a compressed one stores its own. `inner`: what PyTorch names for coordinates."""
    if layout_of(input) == "sparse_coo":
        error = SparseOperand()
        error.name = inner
        raise error
    if layout not in (None, input.layout):
        raise RuntimeError(
            f"empty_like with different sparse layout is not supported (self is {PRINTED[layout_of(input)]} but you requested "
            f"{PRINTED.get(layout.name, 'Strided')})"
        )
    made = pattern(input, function(values_of(input).detach()))
    return made.requires_grad_() if requires_grad else made


@sparse_forms.sparse_form("ones_like", "full_like")
def _full_like(
    input: Tensor, fill_value: Any = 1, *, layout: Any = None, requires_grad: bool = False, **options: Any
) -> Tensor:
    return _in_its_places(input, "fill_.Scalar", lambda v: full_like(v, fill_value, **options), layout, requires_grad)


@sparse_forms.sparse_form("randn_like")
def _randn_like(input: Tensor, *, layout: Any = None, requires_grad: bool = False, **options: Any) -> Tensor:
    return _in_its_places(input, "normal_", lambda v: randn_like(v, **options), layout, requires_grad)


@sparse_forms.sparse_form("empty_like")
def _empty_like(input: Tensor, *, layout: Any = None, requires_grad: bool = False, **options: Any) -> Tensor:
    if layout_of(input) == "sparse_coo":
        return zeros_like(input, requires_grad=requires_grad, **options)
    return _in_its_places(input, "empty_like", lambda v: full_like(v, 0, **options), layout, requires_grad)


def in_layout_of(form: Tensor, like: Tensor) -> Tensor:
    """A tensor in coordinates in the compressed layout of another one of its shape."""
    name = layout_of(like)
    if KINDS[name].blocks:
        return compressed_blocks(name, form, batch_dims(like), block_of(like))
    return compressed_numbers(name, form, batch_dims(like))


@sparse_forms.sparse_form("zeros_like")
def zeros_like(input: Tensor, *, dtype: Any = None, device: Any = None, layout: Any = None, **others: Any) -> Tensor:
    """A tensor of the layout of `input`, or of `layout` with blocks as they are there, that stores nothing."""
    shape, layout = tuple(input.shape), layout_of(input) if layout is None else layout.name
    dtype, device = (dtype or input.dtype).numpy, device or input.device
    if layout == "sparse_coo":
        made = empty(shape, dtype, device, stored(input).values.ndim - 1)
    else:
        made = empty_compressed(shape, dtype, device, layout, batch_dims(input), block_of(input))
    return made.requires_grad_() if others.get("requires_grad") else made


@composite(public=())
def to_sparse_csr(input: Tensor, dense_dim: int | None = None) -> Tensor:
    """A matrix with compressed rows."""
    return _to_numbers("sparse_csr", input, dense_dim)


@composite(public=())
def to_sparse_csc(input: Tensor, dense_dim: int | None = None) -> Tensor:
    """A matrix with compressed columns."""
    return _to_numbers("sparse_csc", input, dense_dim)


@composite(public=())
def to_sparse_bsr(input: Tensor, blocksize: Any, dense_dim: int | None = None) -> Tensor:
    """A matrix of blocks with compressed rows."""
    return _to_blocks("sparse_bsr", input, blocksize, dense_dim)


@composite(public=())
def to_sparse_bsc(input: Tensor, blocksize: Any, dense_dim: int | None = None) -> Tensor:
    """A matrix of blocks with compressed columns."""
    return _to_blocks("sparse_bsc", input, blocksize, dense_dim)


# --- parts -----------------------------------------------------------------------------------------------------------


def _part(input: Tensor, rows: bool, number: int) -> Tensor:
    layout = layout_of(input)
    if layout not in KINDS or KINDS[layout].rows is not rows:
        name, what = Kind(rows, False).names[number], "row" if rows else "column"
        got = PRINTED.get(layout, "Strided")
        raise RuntimeError(f"{name} expected sparse {what} compressed tensor layout but got {got}")
    return stored(input).indices[number].detach()


@composite(public=())
def crow_indices(input: Tensor) -> Tensor:
    """Where each row's values begin."""
    return _part(input, True, 0)


@composite(public=())
def col_indices(input: Tensor) -> Tensor:
    """The column of each value."""
    return _part(input, True, 1)


@composite(public=())
def ccol_indices(input: Tensor) -> Tensor:
    """Where each column's values begin."""
    return _part(input, False, 0)


@composite(public=())
def row_indices(input: Tensor) -> Tensor:
    """The row of each value."""
    return _part(input, False, 1)


for _name in ("indices", "values", "crow_indices", "col_indices", "ccol_indices", "row_indices"):
    declare_copy(_name, getattr(Tensor, _name))


@composite(methods=False)
def _convert_indices_from_coo_to_csr(input: Tensor, size: int, *, out_int32: bool = False) -> Tensor:
    """Where each of `size` rows begins, of the sorted rows of values."""
    counts = np.bincount(np.asarray(input._array), minlength=size)
    bounds = index_tensor(np.concatenate([[0], np.cumsum(counts)]), input)
    return bounds.to(dtypes.int32) if out_int32 else bounds


@composite(methods=False)
def _convert_indices_from_csr_to_coo(
    crow_indices: Tensor, col_indices: Tensor, *, out_int32: bool = False, transpose: bool = False
) -> Tensor:
    """The coordinates of compressed rows, a row and a column each (or the other way round)."""
    pair = [csr_rows(crow_indices), np.asarray(col_indices._array)]
    made = index_tensor(np.stack(pair[::-1] if transpose else pair), col_indices)
    return made.to(dtypes.int32) if out_int32 else made


# --- forms written for rows and coordinates --------------------------------------------------------------------------

# Made of the values alone, in whatever layout, or turned by themselves.
_ANY_LAYOUT = frozenset(
    (
        "div true_divide pow clone cast transpose swapaxes swapdims t _reversed _matrix_transpose select unbind __getitem "
        "zeros_like empty_like ones_like full_like randn_like zero"
    ).split()
)
_KEEP_LAYOUT = ("add", "sub", "mul")


def _through_rows(name: str, form: Any, of_values: bool, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A form's result where a tensor has compressed columns or blocks: those that look at indices get compressed rows."""
    sparse = [a for a in args if is_sparse(a)]
    number = name.strip("_") in ("mul", "imul") and len(sparse) == 1 and all(
        a is sparse[0] or not isinstance(a, Tensor) or a.ndim == 0 for a in args
    )  # fmt: skip
    if of_values or number or name.rstrip("_") in _ANY_LAYOUT:
        return form(*args, **kwargs)
    if name.endswith("_") and not (name.startswith("__") and not name.startswith("__i")):
        error = SparseOperand(layout_of(sparse[0]))
        error.name = name
        raise error
    rows = (compressed_numbers("sparse_csr", to_sparse_coo(a), _batch(a)) if is_sparse(a) else a for a in args)
    made = form(*rows, **kwargs)
    layouts = {(layout_of(a), _batch(a), () if layout_of(a) == "sparse_coo" else block_of(a)) for a in sparse}
    if name not in _KEEP_LAYOUT or len(layouts) > 1 or not is_sparse(made):
        return made
    return in_layout_of(to_sparse_coo(made), sparse[0])


def _batch(tensor: Tensor) -> int:
    return sparse_dims(tensor) - 2 if layout_of(tensor) == "sparse_coo" else batch_dims(tensor)


sparse_forms.through_rows = _through_rows
