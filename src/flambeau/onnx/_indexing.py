"""Reading and writing by indices, and what is found by a condition, in ONNX's operators.

What is written to is found by reading: the same index, applied to the numbers of all places, gives the places that it names.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ._graph import KINDS, Builder, Size, Unsupported, Value, np_name
from ._pointwise import handles


def _is_mask(index: Value) -> bool:
    return np_name(index.dtype) in ("bool", "uint8")


# --- reading ---------------------------------------------------------------------------------------------------------


@handles("getitem")
def getitem(b: Builder, out: Any, input: Any, index: Any) -> Any:
    return _picked(b, input.name, input.ndim, index)


def _picked(b: Builder, name: str, ndim: int, index: Any) -> str:
    """What the index picks: first slices and single places, then all tensors at once."""
    indices = list(index) if isinstance(index, tuple) else [index]
    used = sum(i.ndim if isinstance(i, Value) and _is_mask(i) else i is not None and i is not Ellipsis for i in indices)
    if Ellipsis in [i for i in indices if not isinstance(i, Value)]:
        at = next(k for k, i in enumerate(indices) if i is Ellipsis)
        indices[at : at + 1] = [slice(None)] * (ndim - used)
    dim, tensors = 0, list[tuple[int, str, int]]()
    for i in indices:
        if i is None:
            name, ndim = b.node("Unsqueeze", [name, b.constant([dim])]), ndim + 1
            dim += 1
        elif isinstance(i, slice):
            name = _sliced(b, name, i, dim)
            dim += 1
        elif isinstance(i, int) and not isinstance(i, bool):
            name, ndim = b.node("Gather", [name, b.constant(i)], axis=dim), ndim - 1
        elif isinstance(i, Value) and not i.dtype.is_floating_point:
            found = _places(b, i) if _is_mask(i) else [(b.node("Cast", [i.name], to=KINDS["int64"]), i.ndim)]
            tensors += [(dim + k, *one) for k, one in enumerate(found)]
            dim += len(found)
        elif isinstance(i, (list, tuple)) and i and all(type(k) is int for k in i):
            tensors.append((dim, b.constant(list(i)), 1))
            dim += 1
        else:
            raise Unsupported(f"indexing with {type(i).__name__}")
    if len(tensors) == 1:
        return b.node("Gather", [name, tensors[0][1]], axis=tensors[0][0])
    return _gathered(b, name, ndim, tensors) if tensors else name


def _places(b: Builder, mask: Value) -> list[tuple[str, int]]:
    """For each dimension of a mask the places where it holds."""
    if not mask.ndim:
        raise Unsupported("indexing with a mask without dimensions")
    found = b.node("NonZero", [mask.name])
    return [(b.node("Gather", [found, b.constant(d)], axis=0), 1) for d in range(mask.ndim)]


def _gathered(b: Builder, name: str, ndim: int, tensors: list[tuple[int, str, int]]) -> str:
    """The elements that several index tensors name together; their dimensions stand where the first one does, or, if others
    stand between them, in front."""
    dims = [dim for dim, _, _ in tensors]
    total = tensors[0][1]
    for _, other, _ in tensors[1:]:
        total = b.node("Add", [total, other])
    shape = b.node("Shape", [total])
    stacked = [b.node("Unsqueeze", [b.node("Expand", [i, shape]), b.constant([-1])]) for _, i, _ in tensors]
    rest = [d for d in range(ndim) if d not in dims]
    made = b.node("GatherND", [b.transpose(name, [*dims, *rest]), b.node("Concat", stacked, axis=-1)])
    many = max(rank for _, _, rank in tensors)
    if dims != list(range(dims[0], dims[0] + len(dims))):
        return str(made)
    first, total_dims = dims[0], many + len(rest)
    return b.transpose(made, [*range(many, many + first), *range(many), *range(many + first, total_dims)])


def _sliced(b: Builder, name: str, part: slice, dim: int) -> str:
    if part == slice(None):
        return name
    step = 1 if part.step is None else part.step
    if not isinstance(step, int):
        raise Unsupported("a step that depends on a size")
    start = b.size(0 if part.start is None else part.start)
    end = b.size(np.iinfo(np.int64).max if part.stop is None else part.stop)
    return str(b.node("Slice", [name, start, end, b.constant([dim]), b.constant([step])]))


@handles("nonzero", "argwhere")
def nonzero(b: Builder, out: Any, input: Value, *, as_tuple: bool = False) -> Any:
    if not input.ndim:
        raise Unsupported("a tensor without dimensions")
    if as_tuple:
        return [name for name, _ in _places(b, input)]
    return b.transpose(b.node("NonZero", [input.name]), [1, 0])


@handles("where")
def where(b: Builder, out: Any, condition: Value, input: Any = None, other: Any = None) -> Any:
    if input is None:
        return nonzero(b, out, condition, as_tuple=True)
    if isinstance(input, Value) and np_name(input.dtype) == "bool" and np_name(condition.dtype) != "bool":
        condition, input = input, condition  # the method's order: x.where(condition, other)
    return b.node("Where", [condition.name, b.operand(input, out.dtype), b.operand(other, out.dtype)])


@handles("masked_select")
def masked_select(b: Builder, out: Any, input: Value, mask: Value) -> Any:
    both = b.node("Or", [b.node("Cast", [input.name], to=KINDS["bool"]), mask.name])
    shape = b.node("Shape", [both])
    flat = [b.node("Reshape", [b.node("Expand", [v.name, shape]), b.constant([-1])]) for v in (input, mask)]
    return b.node("Compress", flat, axis=0)


# --- writing ---------------------------------------------------------------------------------------------------------


@handles("setitem", "__setitem__")
def setitem(b: Builder, out: Any, input: Value, index: Any, value: Any) -> Any:
    return _written(b, input, index, value)


@handles("index_put", "_index_put_impl")
def index_put(b: Builder, out: Any, input: Value, indices: Any, values: Any, accumulate: bool = False) -> Any:
    index = tuple(slice(None) if i is None else i for i in indices)
    return _written(b, input, index, values, "add" if accumulate else None)


@handles("index_fill")
def index_fill(b: Builder, out: Any, input: Value, dim: int, index: Value, value: Any) -> Any:
    return _written(b, input, _along(input, dim, index), value)


@handles("index_copy")
def index_copy(b: Builder, out: Any, input: Value, dim: int, index: Value, source: Value) -> Any:
    return _written(b, input, _along(input, dim, index), source)


@handles("index_add")
def index_add(b: Builder, out: Any, input: Value, dim: int, index: Value, source: Value, *, alpha: Any = 1) -> Any:
    if alpha != 1:
        source = Value(b.node("Mul", [source.name, b.scalar(alpha, source.dtype)]), source.like)
    return _written(b, input, _along(input, dim, index), source, "add")


def _along(input: Value, dim: int, index: Value) -> tuple[Any, ...]:
    if not input.ndim:
        raise Unsupported("a tensor without dimensions")
    return (*[slice(None)] * (dim % input.ndim), index)


def _written(b: Builder, input: Value, index: Any, value: Any, reduction: str | None = None) -> Any:
    """The tensor with a value, broadcast, at the places that the index names."""
    if reduction and (b.opset < 16 or np_name(input.dtype) == "bool"):
        raise Unsupported("adding to places below opset 16, or of booleans")
    shape = b.node("Shape", [input.name])
    count = b.node("ReduceProd", [shape], keepdims=0)
    numbers = b.node("Range", [b.constant(0), count, b.constant(1)])
    places = _picked(b, b.node("Reshape", [numbers, shape]), input.ndim, index)
    given = b.operand(value, input.dtype)
    extra = (value.ndim if isinstance(value, Value) else 0) - _picked_dims(input.ndim, index)
    if extra > 0:
        given = b.node("Squeeze", [given, b.constant(list(range(extra)))])
    spread = b.node("Expand", [given, b.node("Shape", [places])])
    flat = [b.node("Reshape", [name, b.constant([-1])]) for name in (input.name, places, spread)]
    return b.node("Reshape", [b.node("ScatterElements", flat, axis=0, reduction=reduction), shape])


def _picked_dims(ndim: int, index: Any) -> int:
    """How many dimensions the picked part has."""
    parts = index if isinstance(index, tuple) else (index,)
    tensors = [p for p in parts if isinstance(p, Value)]
    gone = sum(p.ndim if _is_mask(p) else 1 for p in tensors)
    gone += sum(isinstance(p, (int, Size)) and not isinstance(p, bool) for p in parts)
    return ndim - gone + sum(p is None for p in parts) + max((1 if _is_mask(p) else p.ndim for p in tensors), default=0)
