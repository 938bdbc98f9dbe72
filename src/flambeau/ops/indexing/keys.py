"""The keys of `x[...]` in all of NumPy's forms: what each item is, and the view that integers, slices, None and `...` make."""

from __future__ import annotations

import operator as python_operator
from typing import Any

import jax
import numpy as np

from ...core.array.geometry import Geometry
from ...core.context.telling import warn
from ...core.dispatch.host_numbers import HostNumber, as_int
from ...core.dispatch.messages import message
from ...core.tensor.tensor import Tensor, from_host
from ..making.creation import tensor
from ..shape.parts import sliced

_INDEX_KINDS = (
    "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices (got {})"
)


def _as_index(item: Any) -> Any:
    """A list, NumPy array or range as a tensor of indices."""
    if type(item) is list and any(isinstance(i, HostNumber) for i in item):
        return tensor(item)
    try:
        array = np.asarray(item if not isinstance(item, (list, tuple)) else _nested(item))
    except ValueError:
        raise TypeError(_INDEX_KINDS.format(type(item).__name__)) from None
    if array.size == 0 and array.dtype.kind == "f":
        array = array.astype(np.int64)
    if array.dtype.kind == "i" or (array.dtype.kind == "u" and array.dtype != np.uint8):
        array = array.astype(np.int64, copy=False)
    if array.dtype.kind not in "bui":
        raise IndexError(f"tensors used as indices must be long, int, byte or bool tensors (got {array.dtype})")
    return from_host(array)


LISTS = (list, np.ndarray)


def numbered(key: Any) -> Any:
    """A list of ints or an array of them as the tensor of indices that it stands for; any other key as it is."""
    if type(key) is list and not (key and all(type(i) is int for i in key)):
        return key
    if type(key) is np.ndarray and not (key.dtype.kind == "i" and key.ndim and key.size):
        return key
    try:
        return (from_host(np.array(key, np.int64)),)
    except OverflowError:
        return key


def _nested(item: Any) -> Any:
    if isinstance(item, (list, tuple)):
        return [_nested(i) for i in item]
    return np.asarray(item._array) if isinstance(item, Tensor) else item


def from_list(key: list[Any]) -> Any:
    """A short list with anything else than numbers in it as the tuple of its members."""
    if any(isinstance(i, HostNumber) for i in key):
        return tensor(key)
    members = (Tensor, list, tuple, range, np.ndarray, slice, type(None), type(Ellipsis))
    if len(key) >= 32 or not any(isinstance(i, members) for i in key):
        return key
    warn(message("index_by_sequence"))
    return tuple(key)


# what an index item is: None, `...`, a bool or a 0-dim mask, a slice, an integer, a mask, a tensor of integers, what becomes a tensor
NEW, REST, FLAG, SLICE, PLACE, MASK, INDEX, LIST = range(8)
_TAKES_ONE = frozenset((PLACE, SLICE, MASK, INDEX))
_INTS = frozenset((int, type(None)))
_BASIC = frozenset((int, slice))
MASKS = frozenset((np.dtype(np.bool_), np.dtype(np.uint8)))


def kind_of_item(item: Any) -> int:
    """Which of these an index item is. A 0-dim tensor is an integer only if its value is known now."""
    kind = type(item)
    if kind is int:
        return PLACE
    if kind is slice:
        return SLICE
    if isinstance(item, Tensor):
        masks = item._np_dtype in MASKS
        if item.ndim:
            return MASK if masks else INDEX
        return FLAG if masks else INDEX if isinstance(item._array, jax.core.Tracer) else PLACE
    if item is None:
        return NEW
    if item is Ellipsis:
        return REST
    if kind is bool or kind is np.bool_:
        return FLAG
    return LIST if isinstance(item, (list, tuple, np.ndarray, range)) else PLACE


def parsed(x: Tensor, key: Any) -> tuple[Geometry, list[tuple[int, Any]], str]:
    """The view of the basic items, the tensors with the view's dimensions that they index, and the view's name."""
    g = x._geometry
    if (quick := _of_numbers(g, key)) is not None:
        return quick[0], [], quick[1]
    items, kinds, taken = items_of(g, key)
    shape, strides, offset = list(g.shape), list(g.strides), g.offset
    dim = 0  # in the view
    advanced: list[tuple[int, Any]] = []
    name = "SliceBackward0" if type(key) is slice else "AliasBackward0"
    for place, (item, kind) in enumerate(zip(items, kinds, strict=True)):
        if dim + (kind in _TAKES_ONE) > len(shape):
            _refuse_beyond(item, kind, dim, len(shape), place)
        elif kind == PLACE:
            offset += _place(item, shape[dim], place) * strides[dim]
            del shape[dim], strides[dim]
            name = "SelectBackward0"
        elif kind == SLICE:
            start, stop, step = bounds(item)
            cut = sliced(Geometry(tuple(shape), tuple(strides), offset), dim, start, stop, step)
            if cut.shape[dim] != shape[dim] or step != 1:
                name = "SliceBackward0"
            shape, strides, offset = list(cut.shape), list(cut.strides), cut.offset
            dim += 1
        elif kind == NEW:
            shape.insert(dim, 1)
            strides.insert(dim, shape[dim + 1] * strides[dim] if dim < len(strides) else 1)
            dim += 1
            name = "UnsqueezeBackward0"
        elif kind == REST:
            dim += len(g.shape) - taken
        elif kind == FLAG:
            shape.insert(dim, 1)
            strides.insert(dim, 1)
            advanced.append((dim, from_host(np.asarray([bool(item)]))))
            dim += 1
        else:
            if item._np_dtype not in MASKS and item._np_dtype.name not in ("int64", "int32"):
                raise IndexError(f"tensors used as indices must be long, int, byte or bool tensors, got {item.dtype}")
            advanced.append((dim, item))
            dim += item.ndim if kind == MASK else 1
    return Geometry(tuple(shape), tuple(strides), offset, g.bits), advanced, name


def _refuse_beyond(item: Any, kind: int, dim: int, ndim: int, place: int) -> None:
    """Raise IndexError for an item that a second ellipsis has moved behind the last dimension, which PyTorch lets it."""
    if kind == PLACE:
        _place(item, 0, place)
    if kind in (MASK, INDEX):
        raise IndexError(f"too many indices for tensor of dimension {ndim} (got {dim + 1})")
    if kind != REST and item != slice(None):
        most = ndim if kind in (NEW, FLAG) else ndim - 1
        raise IndexError(f"Dimension out of range (expected to be in range of [{-most - 1}, {most}], but got {dim})")


def _of_numbers(g: Geometry, key: Any) -> tuple[Geometry, str] | None:
    """The view of a key of ints and slices of ints alone, all of them inside, and its name; None for any other key."""
    items = key if type(key) is tuple else (key,)
    shape, strides, offset = g.shape, g.strides, g.offset
    if len(items) > len(shape) or type(offset) is not int or not _BASIC.issuperset(map(type, items)):
        return None
    kept: list[int] = []
    steps: list[int] = []
    name = "SliceBackward0" if type(key) is slice else "AliasBackward0"
    for item, n, stride in zip(items, shape, strides, strict=False):
        kind = type(item)
        if type(n) is not int:
            return None
        if kind is int:
            if not -n <= item < n:
                return None
            offset += (item + n if item < 0 else item) * stride
            name = "SelectBackward0"
        else:
            if not _INTS.issuperset((type(item.start), type(item.stop), type(item.step))):
                return None
            if item.step is not None and item.step <= 0:
                return None
            start, stop, step = item.indices(n)
            count = max(0, -((start - stop) // step))
            offset += start * stride
            kept.append(count)
            steps.append(stride * step)
            if count != n or step != 1:
                name = "SliceBackward0"
    rest = len(items)
    return Geometry((*kept, *shape[rest:]), (*steps, *strides[rest:]), offset, g.bits), name


_OF_ONE = {
    SLICE: message("slice_of_zero_dim"),
    PLACE: message("index_of_zero_dim"),
}


def items_of(g: Geometry, key: Any) -> tuple[list[Any], list[int], int]:
    """A key's items, lists as tensors; what they are; and how many dimensions they take."""
    items = list(key) if isinstance(key, tuple) else [key]
    kinds, taken = [], 0
    for n, item in enumerate(items):
        kind = kind_of_item(item)
        if kind == LIST:
            items[n] = item = _as_index(item)
            kind = kind_of_item(item)
        kinds.append(kind)
        if kind > FLAG:
            taken += item.ndim if kind == MASK else 1
    if taken > len(g.shape):
        if not g.shape and not isinstance(key, (tuple, Tensor)) and kinds[0] in _OF_ONE:
            raise IndexError(_OF_ONE[kinds[0]])
        raise IndexError(f"too many indices for tensor of dimension {len(g.shape)}")
    return items, kinds, taken


def bounds(item: slice) -> tuple[int | None, int | None, int]:
    """A slice's start, stop and step."""
    step = 1 if item.step is None else python_operator.index(item.step)
    if step == 0:
        raise ValueError("slice step cannot be zero")
    if step < 0:
        raise ValueError("step must be greater than zero")
    start = None if item.start is None else as_int(item.start)
    stop = None if item.stop is None else as_int(item.stop)
    return start, stop, step


def _place(item: Any, size: int, place: int) -> int:
    """A number, at this place of the key, as an index from the front."""
    try:
        index = item if type(item) is int else as_int(item.item() if isinstance(item, Tensor) else item)
    except TypeError:
        if isinstance(item, str):
            raise TypeError(f"new(): invalid data type 'str' ({_INDEX_KINDS.format('str')})") from None
        raise IndexError(_INDEX_KINDS.format(type(item).__name__)) from None
    if not -size <= index < size:
        raise IndexError(f"index {index} is out of bounds for dimension {place} with size {size}")
    return index + size if index < 0 else index


class _Shape:
    """Enough of a tensor for `parsed`."""

    def __init__(self, g: Geometry):
        self._geometry = g


def parsed_geometry(g: Geometry, key: Any) -> Geometry:
    return parsed(_Shape(g), key)[0]  # type: ignore[arg-type]
