"""Sparse tensors turned, picked from, joined and written as text."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core.array.printing import format_part, format_tensor, with_suffixes
from ...core.array.size import normalized_dim
from ...core.dispatch.operator import composite
from ...core.dispatch.sparse_forms import sparse_form
from ...core.tensor.sparse import SparseOperand, empty, is_sparse, layout_of, make, stored, values_of
from ...core.tensor.tensor import Tensor
from ..making.text import dense_text
from ..shape.joining import cat
from .arithmetic import coordinates
from .coo import dim_of, host_indices, index_tensor, resized, sparse_dims, to_sparse_coo
from .layouts import batch_dims, block_of, dense_dims

_ROWS, _COLUMNS = ("crow_indices", "col_indices"), ("ccol_indices", "row_indices")
_PART_NAMES = {
    "sparse_coo": ("indices",), "sparse_csr": _ROWS, "sparse_bsr": _ROWS, "sparse_csc": _COLUMNS, "sparse_bsc": _COLUMNS,
}  # fmt: skip
_TURNED = {
    "sparse_csr": "sparse_csc", "sparse_csc": "sparse_csr", "sparse_bsr": "sparse_bsc", "sparse_bsc": "sparse_bsr",
}  # fmt: skip

# --- turned ----------------------------------------------------------------------------------------------------------


@sparse_form("permute")
def _permute(input: Tensor, *dims: Any) -> Tensor:
    coordinates("permute", input)
    order = [dim_of(input, d) for d in (dims[0] if len(dims) == 1 and not isinstance(dims[0], int) else dims)]
    if sorted(order) != list(range(input.ndim)):
        raise RuntimeError(
            "permute(sparse_coo): number of dimensions in the tensor input does not match the length of the desired "
            f"ordering of dimensions, or some are named twice: {order}"
        )
    count = sparse_dims(input)
    if any((d < count) != (i < count) for i, d in enumerate(order)):
        raise RuntimeError("permute(sparse_coo): sparse and dense dimensions cannot change places")
    values = values_of(input)
    if count < input.ndim:
        values = values.permute(0, *(d - count + 1 for d in order[count:]))
    shape = [input.shape[d] for d in order]
    coalesced = stored(input).coalesced and order[:count] == list(range(count))
    return resized(input, host_indices(input)[order[:count]], values, shape, coalesced)


@sparse_form("transpose", "swapaxes", "swapdims")
def _transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    order = list(range(input.ndim))
    a, b = dim_of(input, dim0), dim_of(input, dim1)
    order[a], order[b] = order[b], order[a]
    held = stored(input)
    return _turned(input, a, b) if isinstance(held.indices, tuple) else _permute(input, order)


def _turned(input: Tensor, a: int, b: int) -> Tensor:
    """Two dimensions of a compressed tensor exchanged: those of its matrices, or two of the batch."""
    held, batch = stored(input), batch_dims(input)
    if dense_dims(input):
        raise RuntimeError("transpose(): hybrid sparse compressed tensors with dense dimensions are not supported")
    if (a < batch) != (b < batch):
        kinds = ["Batch" if d < batch else "Sparse" for d in (a, b)]
        raise RuntimeError(
            "transpose(): can only transpose dimensions of the same type (Batch, Sparse, Dense), got "
            f"{a}({kinds[0]}) and {b}({kinds[1]})"
        )
    if a == b:
        return input
    shape = list(input.shape)
    shape[a], shape[b] = shape[b], shape[a]
    values = values_of(input)
    if a < batch:
        indices = tuple(part.transpose(a, b) for part in held.indices)
        return make(indices, values.transpose(a, b), shape, True, held.layout)
    turned = values.transpose(-2, -1) if block_of(input) else values
    return make(held.indices, turned, shape, True, _TURNED[held.layout])


@sparse_form("_matrix_transpose")
def _matrix_transpose(input: Tensor) -> Tensor:
    if input.ndim < 2:
        raise RuntimeError(
            f"tensor.mT is only supported on matrices or batches of matrices. Got {input.ndim}-D tensor."
        )
    return _transpose(input, -2, -1)


@sparse_form("t", "_reversed")
def _t(input: Tensor) -> Tensor:
    if input.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {input.ndim}D")
    return input if input.ndim < 2 else _transpose(input, 0, 1)


@sparse_form("unsqueeze")
def _unsqueeze(input: Tensor, dim: int) -> Tensor:
    coordinates("unsqueeze", input)
    dim = normalized_dim(dim, input.ndim + 1)
    count, held = sparse_dims(input), stored(input)
    shape = [*held.shape[:dim], 1, *held.shape[dim:]]
    if dim > count:
        return make(held.indices, values_of(input).unsqueeze(dim - count + 1), shape, held.coalesced)
    indices = np.insert(host_indices(input), dim, 0, axis=0)
    return resized(input, indices, values_of(input), shape, held.coalesced)


@sparse_form("expand", "expand_as", "broadcast_to")
def _expand(input: Tensor, *shape: Any, **others: Any) -> Tensor:
    raise RuntimeError("expand is unsupported for Sparse tensors")


@sparse_form("reshape", "flatten")
def _reshape(input: Tensor, *shape: Any, **others: Any) -> Tensor:
    raise RuntimeError("reshape is not implemented for sparse tensors")


# --- picked ----------------------------------------------------------------------------------------------------------


@sparse_form("select")
def _select(input: Tensor, dim: int, index: int) -> Tensor:
    dim = dim_of(input, dim)
    size = input.shape[dim]
    if not -size <= index < size:
        raise IndexError(
            f"select(): index {index} out of range for tensor of size {list(input.shape)} at dimension {dim}"
        )
    index %= size
    shape = [n for d, n in enumerate(input.shape) if d != dim]
    if layout_of(input) != "sparse_coo":
        if not batch_dims(input) <= dim < batch_dims(input) + 2:
            return _select_whole(input, dim, index, shape)
        if batch_dims(input):
            raise RuntimeError(
                "select(): selecting sparse dimensions is not supported for batched sparse compressed tensors."
            )
        input = to_sparse_coo(input).coalesce()
    count = sparse_dims(input)
    if dim >= count:
        return make(
            stored(input).indices, values_of(input).select(dim - count + 1, index), shape, stored(input).coalesced
        )
    indices = host_indices(input)
    found = np.flatnonzero(indices[dim] == index)
    values = values_of(input)[index_tensor(found, input)]
    if count == 1:
        return values.sum(0)
    kept = np.delete(indices[:, found], dim, 0)
    return resized(input, kept, values, shape, len(found) < 2)


def _select_whole(input: Tensor, dim: int, index: int, shape: list[int]) -> Tensor:
    """One of a batch of compressed matrices, or one number of each dense value."""
    held, batch = stored(input), batch_dims(input)
    if dim < batch:
        indices = tuple(part.select(dim, index) for part in held.indices)
        return make(indices, values_of(input).select(dim, index), shape, True, held.layout)
    return make(held.indices, values_of(input).select(dim - input.ndim, index), shape, True, held.layout)


@sparse_form("narrow_copy")
def _narrow_copy(input: Tensor, dim: int, start: int, length: int) -> Tensor:
    if layout_of(input) != "sparse_coo":
        raise RuntimeError(f"Sparse {layout_of(input)[-3:].upper()} tensors do not have strides: use .to_dense() first")
    if not 0 <= dim < input.ndim:
        raise RuntimeError(f"Dimension {dim} out of range. Expecting 0 <= dim < {input.ndim}.")
    size = input.shape[dim]
    if start < 0 or length < 0 or start + length > size:
        raise RuntimeError(
            f"Invalid range to narrow. range(start, start+length) must be a subset of range(0, {size})."
            f" The range is ({start}, {start + length})"
        )
    held, count = stored(input), sparse_dims(input)
    shape = [length if d == dim else n for d, n in enumerate(input.shape)]
    if dim >= count:
        return make(held.indices, values_of(input).narrow(dim - count + 1, start, length), shape, held.coalesced)
    indices = host_indices(input)
    found = np.flatnonzero((indices[dim] >= start) & (indices[dim] < start + length))
    kept = indices[:, found]
    kept[dim] -= start
    return resized(input, kept, values_of(input)[index_tensor(found, input)], shape, held.coalesced)


@sparse_form("__getitem__")
def _getitem(self: Tensor, index: Any) -> Tensor:
    parts = list(index) if isinstance(index, tuple) else [index]
    if Ellipsis in [p for p in parts if not isinstance(p, Tensor)]:
        at = parts.index(Ellipsis)
        parts[at : at + 1] = [slice(None)] * (self.ndim - len(parts) + 1)
    made, dim = self, 0
    for part in parts:
        if part is None:
            made, dim = made.unsqueeze(dim), dim + 1
        elif isinstance(part, slice) and part == slice(None):
            dim += 1
        elif isinstance(part, (int, np.integer)) and not isinstance(part, bool):
            size = made.shape[dim]
            if not -size <= part < size:
                raise IndexError(f"index {part} is out of bounds for dimension {dim} with size {size}")
            made = made.select(dim, int(part))
        else:
            error = SparseOperand(layout_of(self))
            error.name = "as_strided" if isinstance(part, slice) else "index.Tensor"
            raise error
    return made


@sparse_form("index_select")
def _index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    coordinates("index_select", input)
    dim, count = dim_of(input, dim), sparse_dims(input)
    shape = [len(index) if d == dim else n for d, n in enumerate(input.shape)]
    if dim >= count:
        held = stored(input)
        return make(held.indices, values_of(input).index_select(dim - count + 1, index), shape, held.coalesced)
    wanted = np.asarray(index._array)
    if wanted.size and not (-input.shape[dim] <= wanted.min() and wanted.max() < input.shape[dim]):
        raise IndexError("index_select(): index out of range in self")
    indices = host_indices(input)
    new, old = np.nonzero((wanted % input.shape[dim])[:, None] == indices[dim][None])
    places = indices[:, old].copy()
    places[dim] = new
    return resized(input, places, values_of(input)[index_tensor(old, input)], shape)


@sparse_form("unbind")
def _unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    return tuple(_select(input, dim, i) for i in range(input.shape[dim_of(input, dim)]))


# --- joined ----------------------------------------------------------------------------------------------------------


@sparse_form("cat", "concat", "concatenate")
def _cat(tensors: Any, dim: int = 0) -> Tensor:
    tensors = list(tensors)
    if not all(is_sparse(t) for t in tensors):
        raise RuntimeError("cat: all of the tensors should be sparse, or none of them")
    coordinates("cat", *tensors)
    first = tensors[0]
    dim, count = dim_of(first, dim), sparse_dims(first)
    for i, tensor in enumerate(tensors):
        if sparse_dims(tensor) != count or [n for d, n in enumerate(tensor.shape) if d != dim] != [
            n for d, n in enumerate(first.shape) if d != dim
        ]:
            raise RuntimeError(
                f"Sizes of tensors must match except in dimension {dim}: tensor {i} has the shape {list(tensor.shape)}, "
                f"the first one {list(first.shape)}"
            )
    if dim >= count:
        raise NotImplementedError("cat of sparse tensors along a dense dimension: use .to_dense() first")
    places, start = [], 0
    for tensor in tensors:
        indices = host_indices(tensor).copy()
        indices[dim] += start
        start += tensor.shape[dim]
        places.append(indices)
    shape = [start if d == dim else n for d, n in enumerate(first.shape)]
    values = cat([values_of(t) for t in tensors])
    coalesced = dim == 0 and all(stored(t).coalesced for t in tensors)
    return resized(first, np.concatenate(places, 1), values, shape, coalesced)


@sparse_form("stack")
def _stack(tensors: Any, dim: int = 0) -> Tensor:
    return _cat([t.unsqueeze(dim) for t in tensors], dim)


# --- as text ---------------------------------------------------------------------------------------------------------


@composite(public=())
def sparse_resize_(self: Tensor, size: Any, sparse_dim: int, dense_dim: int) -> Tensor:
    """Give a sparse tensor another shape; only its sparse dimensions, and only to larger ones while it stores values."""
    held = stored(self)
    size = tuple(size)
    if sparse_dim != sparse_dims(self) or dense_dim != held.values.ndim - 1 or len(size) != self.ndim:
        raise RuntimeError("sparse_resize_: changing the number of sparse or dense dimensions is not supported here")
    if any(new < old for new, old in zip(size, held.shape, strict=True)) and held.values.shape[0]:
        raise RuntimeError("shrinking the size of dimensions of a non-empty sparse tensor is not supported")
    self._view = type(self._view)(size, held.layout)  # type: ignore[arg-type, misc]
    held.shape = size
    return self


@composite(public=())
def sparse_resize_and_clear_(self: Tensor, size: Any, sparse_dim: int, dense_dim: int) -> Tensor:
    """Give a sparse tensor another shape, and let it store nothing."""
    coordinates("sparse_resize_and_clear_", self)
    shape = tuple(int(n) for n in size)
    if sparse_dim + dense_dim != len(shape):
        raise RuntimeError(
            f"number of dimensions must be sparse_dim ({sparse_dim}) + dense_dim ({dense_dim}), but got {len(shape)}"
        )
    stored(self).become(stored(empty(shape, self._np_dtype, self.device, dense_dim)))
    self._view = type(self._view)(shape, "sparse_coo")  # type: ignore[arg-type, misc]
    return self


@composite()
def resize_as_sparse_(self: Tensor, the_template: Tensor) -> Tensor:
    """Give a sparse tensor the shape of another one."""
    return sparse_resize_(self, the_template.shape, sparse_dims(the_template), stored(the_template).values.ndim - 1)


def text(self: Tensor) -> str:
    """The printed form of a sparse tensor."""
    held = stored(self)
    compressed = isinstance(held.indices, tuple)
    names = _PART_NAMES[held.layout]
    lines = []
    for name, part in zip(names, held.indices if compressed else (held.indices,), strict=True):
        lines.append(format_part(name, np.asarray(part._array), part.dtype, len("tensor(")))
    lines.append(format_part("values", np.asarray(held.values._array), self.dtype, len("tensor(")))
    sizes = [f"size={tuple(int(n) for n in self.shape)}", f"nnz={self._nnz()}"]
    more = [] if self.device.type == "cpu" else [f"device='{self.device}'"]
    if f"dtype={self.dtype!r}" in format_tensor(np.zeros(1, self.dtype.numpy), self.dtype):
        more.append(f"dtype={self.dtype!r}")
    more.append(f"layout=torch.{held.layout}")
    node = self.grad_fn
    if node is not None:
        more.append(f"grad_fn=<{node.label}>")
    elif self.requires_grad:
        more.append("requires_grad=True")
    return _joined(lines, sizes, more, compressed)


def _joined(parts: list[str], sizes: list[str], more: list[str], compressed: bool) -> str:
    indent = len("tensor(")
    gap = ",\n" + " " * indent
    body = "tensor(" + gap.join(parts)
    return with_suffixes(body, [*sizes, *more], indent, anew=not compressed)


def _either(self: Tensor, *, tensor_contents: Any = None) -> str:
    return text(self) if is_sparse(self) else dense_text(self, tensor_contents=tensor_contents)


Tensor.__repr__ = _either  # type: ignore[assignment]
