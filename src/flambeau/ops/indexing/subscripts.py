"""`x[...]` and `x[...] = y` in all of NumPy's forms, with PyTorch's results.

Integers, slices, None and `...` make one view. What is left, tensors of indices and masks, is one gather from that
view or one scatter into it.
"""

from __future__ import annotations

import functools
import operator as python_operator
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...core.array import dtypes, geometry
from ...core.array.geometry import Geometry
from ...core.context.grad_mode import state as grad_state
from ...core.context.overrides import PASS
from ...core.dispatch import small
from ...core.dispatch.at_once import named
from ...core.dispatch.call import with_key
from ...core.dispatch.declared import Operator
from ...core.dispatch.errors import expansion_clash
from ...core.dispatch.host_numbers import HostNumber, HostScalar, as_int, as_key
from ...core.dispatch.limits import cast_number, fitting_number, looks_large
from ...core.dispatch.operator import Array, Arrays, inplace_form, operator
from ...core.dispatch.overloads import taken
from ...core.dispatch.promotion import convert
from ...core.dispatch.signature import ARRAY, ARRAYS, numbers_held, static_key
from ...core.dispatch.sparse_forms import instead
from ...core.tensor.sparse import SparseOperand
from ...core.tensor.tensor import Tensor, from_host
from ...native import reading
from ..making.creation import tensor
from ..shape.parts import sliced
from ..support.checks import on_host, refuse_outside
from .by_numpy import PICKED, PUT, subscript
from .masking import element, host_values, like_on_device, taped

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


_LISTS = (list, np.ndarray)


def _numbered(key: Any) -> Any:
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


def _from_list(key: list[Any]) -> Any:
    """A short list with anything else than numbers in it as the tuple of its members."""
    if any(isinstance(i, HostNumber) for i in key):
        return tensor(key)
    members = (Tensor, list, tuple, range, np.ndarray, slice, type(None), type(Ellipsis))
    if len(key) >= 32 or not any(isinstance(i, members) for i in key):
        return key
    warnings.warn(
        "Using a non-tuple sequence for multidimensional indexing is deprecated: use x[tuple(seq)] instead of x[seq], or "
        "x[torch.tensor(seq)] for a tensor of indices.",
        UserWarning,
        stacklevel=3,
    )
    return tuple(key)


# what an index item is: None, `...`, a bool or a 0-dim mask, a slice, an integer, a mask, a tensor of integers, what becomes a tensor
_NEW, _REST, _FLAG, _SLICE, _PLACE, _MASK, _INDEX, _LIST = range(8)
_INTS = frozenset((int, type(None)))
_BASIC = frozenset((int, slice))
_LONG = np.dtype(np.int64)
_MASKS = frozenset((np.dtype(np.bool_), np.dtype(np.uint8)))


def _kind(item: Any) -> int:
    """Which of these an index item is. A 0-dim tensor is an integer only if its value is known now."""
    kind = type(item)
    if kind is int:
        return _PLACE
    if kind is slice:
        return _SLICE
    if isinstance(item, Tensor):
        masks = item._np_dtype in _MASKS
        if item.ndim:
            return _MASK if masks else _INDEX
        return _FLAG if masks else _INDEX if isinstance(item._array, jax.core.Tracer) else _PLACE
    if item is None:
        return _NEW
    if item is Ellipsis:
        return _REST
    if kind is bool or kind is np.bool_:
        return _FLAG
    return _LIST if isinstance(item, (list, tuple, np.ndarray, range)) else _PLACE


def _parse(x: Tensor, key: Any) -> tuple[Geometry, list[tuple[int, Any]], str]:
    """The view of the basic items, the tensors with the view's dimensions that they index, and the view's name."""
    g = x._geometry
    if (quick := _of_numbers(g, key)) is not None:
        return quick[0], [], quick[1]
    items, kinds, taken = _items(g, key)
    shape, strides, offset = list(g.shape), list(g.strides), g.offset
    dim = 0  # in the view
    source = 0  # in the tensor
    advanced: list[tuple[int, Any]] = []
    name = "SliceBackward0" if type(key) is slice else "AliasBackward0"
    for item, kind in zip(items, kinds, strict=True):
        if kind == _PLACE:
            offset += _place(item, shape[dim], source) * strides[dim]
            del shape[dim], strides[dim]
            source += 1
            name = "SelectBackward0"
        elif kind == _SLICE:
            start, stop, step = _bounds(item)
            cut = sliced(Geometry(tuple(shape), tuple(strides), offset), dim, start, stop, step)
            if cut.shape[dim] != shape[dim] or step != 1:
                name = "SliceBackward0"
            shape, strides, offset = list(cut.shape), list(cut.strides), cut.offset
            dim += 1
            source += 1
        elif kind == _NEW:
            shape.insert(dim, 1)
            strides.insert(dim, shape[dim + 1] * strides[dim] if dim < len(strides) else 1)
            dim += 1
            name = "UnsqueezeBackward0"
        elif kind == _REST:
            skipped = len(g.shape) - taken
            dim += skipped
            source += skipped
        elif kind == _FLAG:
            shape.insert(dim, 1)
            strides.insert(dim, 1)
            advanced.append((dim, from_host(np.asarray([bool(item)]))))
            dim += 1
        else:
            if item._np_dtype not in _MASKS and item._np_dtype.name not in ("int64", "int32"):
                raise IndexError(f"tensors used as indices must be long, int, byte or bool tensors, got {item.dtype}")
            advanced.append((dim, item))
            takes = item.ndim if kind == _MASK else 1
            dim += takes
            source += takes
    return Geometry(tuple(shape), tuple(strides), offset, g.bits), advanced, name


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


def _inside(g: Geometry, items: tuple[Any, ...]) -> bool:
    """Whether these are tensors of 64-bit indices, one for each of the first dimensions, all of them known to be inside, and nobody
    has to be told of the call.
    """
    shape, inside = g.shape, reading.functions.all_inside
    if len(items) > len(shape) or grad_state.trace is not None or grad_state.around:
        return False
    for place, item in enumerate(items):
        if type(item) is not Tensor:
            return False
        array = item._storage.value if item._view is None else item._array
        size = shape[place]
        if array.dtype is not _LONG or not array.shape or not inside(array, -size, size):
            return False
    return True


def _items(g: Geometry, key: Any) -> tuple[list[Any], list[int], int]:
    """A key's items, lists as tensors, with one ellipsis at most; what they are; and how many dimensions they take."""
    items = list(key) if isinstance(key, tuple) else [key]
    kinds, taken = [], 0
    for n, item in enumerate(items):
        kind = _kind(item)
        if kind == _LIST:
            items[n] = item = _as_index(item)
            kind = _kind(item)
        kinds.append(kind)
        if kind > _FLAG:
            taken += item.ndim if kind == _MASK else 1
    if taken > len(g.shape):
        if not g.shape:
            raise IndexError(
                "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` in C++ to convert a "
                "0-dim tensor to a number"
            )
        raise IndexError(f"too many indices for tensor of dimension {len(g.shape)}")
    # PyTorch reads every further ellipsis as a full slice of nothing
    for n in [n for n, kind in enumerate(kinds) if kind == _REST][:0:-1]:
        del items[n], kinds[n]
    return items, kinds, taken


def _bounds(item: slice) -> tuple[int | None, int | None, int]:
    """A slice's start, stop and step."""
    step = 1 if item.step is None else python_operator.index(item.step)
    if step == 0:
        raise ValueError("slice step cannot be zero")
    if step < 0:
        raise ValueError("step must be greater than zero")
    start = None if item.start is None else as_int(item.start)
    stop = None if item.stop is None else as_int(item.stop)
    return start, stop, step


def _place(item: Any, size: int, source: int) -> int:
    """A number as an index from the front, along the tensor's dimension `source`."""
    try:
        index = item if type(item) is int else as_int(item.item() if isinstance(item, Tensor) else item)
    except TypeError:
        if isinstance(item, str):
            raise TypeError(f"new(): invalid data type 'str' ({_INDEX_KINDS.format('str')})") from None
        raise IndexError(_INDEX_KINDS.format(type(item).__name__)) from None
    if not -size <= index < size:
        raise IndexError(f"index {index} is out of bounds for dimension {source} with size {size}")
    return index + size if index < 0 else index


def _seen(x: Tensor, g: Geometry, name: str, key: Any) -> Tensor:
    relative = g
    if x._view is not None and (x._edge is not None or x._base is not None):
        relative = _parse_geometry(geometry.whole(x._view.shape), key)
    return x._look(g, name, relative)


class _Shape:
    """Enough of a tensor for `_parse`."""

    def __init__(self, g: Geometry):
        self._geometry = g


def _parse_geometry(g: Geometry, key: Any) -> Geometry:
    return _parse(_Shape(g), key)[0]  # type: ignore[arg-type]


_EMPTY = "index is out of bounds for dimension with size 0"


def _outside(place: int, size: int) -> str:
    return f"index {{}} is out of bounds for dimension {place} with size {size}"


def _spread(x: Tensor, advanced: list[tuple[int, Any]]) -> tuple[list[Any], tuple[bool, ...]]:
    """Index tensors, masks turned into the indices of their true elements, and which dimensions they are for."""
    tensors: dict[int, Any] = {}
    shape = x._geometry.shape
    for dim, item in advanced:
        if item._np_dtype in _MASKS:
            if item._np_dtype == np.uint8:
                warnings.warn(
                    "indexing with dtype torch.uint8 is now deprecated, please use a dtype torch.bool instead.",
                    UserWarning,
                    stacklevel=3,
                )
            for k, n in enumerate(item.shape):
                if n != shape[dim + k]:
                    raise IndexError(
                        f"The shape of the mask {list(item.shape)} at index {k} does not match the shape of the indexed tensor "
                        f"{list(shape)} at index {dim + k}"
                    )
            for k, where in enumerate(np.nonzero(host_values("index", item))):
                tensors[dim + k] = from_host(where)
        else:
            size = shape[dim]
            if size == 0 and item.numel():
                raise IndexError(_EMPTY)
            looked = tensors and any(item is other and size >= shape[at] for at, other in tensors.items())
            if not looked and 0 not in shape:  # nothing is read of an empty tensor
                # PyTorch counts the tensors of indices here, not the dimensions that they are for
                refuse_outside(item, size, functools.partial(_outside, len(tensors), size), IndexError, negative=True)
            tensors[dim] = item
    places = sorted(tensors)
    return [tensors[d] for d in places], tuple([d in tensors for d in range(places[-1] + 1)])


@operator(methods=False, public=(), grad="IndexBackward0", narrow=True, by_numpy=PICKED)
def index(input: Array, indices: Arrays, dims: tuple[bool, ...]) -> Array:
    """Gather at index arrays for the dimensions marked in `dims`."""
    indexed = [n for n, marked in zip(input.shape, dims, strict=False) if marked]
    if 0 in indexed and all(i.size for i in indices):
        raise IndexError(_EMPTY)
    try:
        return input[subscript(indices, dims)]
    except (ValueError, TypeError):
        shapes = ", ".join(str(list(i.shape)) for i in indices)
        raise IndexError(
            f"shape mismatch: indexing tensors could not be broadcast together with shapes {shapes}"
        ) from None


@functools.cache
def _index_at(count: int) -> Callable[..., Any]:
    """`index` in the first dimensions, so many, of the tensor and the indices one by one."""
    return with_key(index.operator, (ARRAY, (ARRAYS, count), static_key((True,) * count)))  # type: ignore[attr-defined]


def _put_index(input: Array, values: Array, indices: Arrays, dims: tuple[bool, ...]) -> Array:
    where = subscript(indices, dims)
    target = jax.eval_shape(lambda a: a[where], input).shape
    extra = values.ndim - len(target)
    if extra > 0 and values.shape[:extra] == (1,) * extra:
        values = values.reshape(values.shape[extra:])
    try:
        values = jnp.broadcast_to(values, target)
    except ValueError:
        raise RuntimeError(
            f"shape mismatch: value tensor of shape {list(values.shape)} cannot be broadcast to indexing result of shape "
            f"{list(target)}"
        ) from None
    # an element that is named twice hands its gradient to each value that was put there, as in PyTorch
    return input.at[where].set(convert(values, input.dtype), unique_indices=True)


def _overwrite(input: Array, values: Array) -> Array:
    extra = values.ndim - input.ndim
    if extra > 0 and values.shape[:extra] == (1,) * extra:
        values = values.reshape(values.shape[extra:])
    try:
        return jnp.broadcast_to(convert(values, input.dtype), input.shape)
    except ValueError:
        raise expansion_clash(input.shape, values.shape, dtypes.from_numpy(values.dtype)) from None


put_index_: Callable[..., Any] = inplace_form(
    Operator(_put_index, None, None, "IndexPutBackward0", narrow=True, by_numpy=PUT), "__setitem__"
)
overwrite_: Callable[..., Any] = inplace_form(Operator(_overwrite, None, None, "CopyBackwards", narrow=True), "copy_")


def _getitem(self: Tensor, key: Any) -> Tensor:
    if isinstance(key, list):
        key = _from_list(key)
    if grad_state.dispatch_modes and (found := taken("getitem", self, key)) is not PASS:
        return found
    items = (key,) if type(key) is Tensor else _numbered(key) if type(key) in _LISTS else key
    try:
        if type(items) is tuple and items and type(items[0]) is Tensor:
            if (made := named(self, *items)) is not None:
                return made
            if _inside(self._geometry, items):
                return _index_at(len(items))(self, *items)
        g, advanced, name = _parse(self, key)
    except SparseOperand as error:
        return instead("__getitem__", error, (self, key), {})
    if advanced:
        seen = self if g == self._geometry else _seen(self, g, name, key)
        if len(advanced) == 1 and (chosen := _chosen(seen, *advanced[0])) is not None:
            return chosen
        indices, dims = _spread(seen, advanced)
        return index(seen, indices, dims)
    return _seen(self, g, name, key)


def _chosen(x: Tensor, dim: int, mask: Tensor) -> Tensor | None:
    """`x[mask]` picked out by NumPy, since a program would serve for one number of true elements alone; None where that can't be."""
    if mask._np_dtype != np.bool_ or grad_state.around or grad_state.trace is not None or taped(x):
        return None
    if tuple(mask.shape) != tuple(x.shape[dim : dim + mask.ndim]) or (values := on_host(x)) is None:
        return None
    key: Any = (*(slice(None),) * dim, host_values("index", mask))
    return like_on_device(values[key], x)


def _value(x: Tensor, value: Any) -> Any:
    if isinstance(value, Tensor) or (type(value) is float and x._np_dtype.kind == "f" and not looks_large(value)):
        return value
    value = as_key(value)
    if isinstance(value, HostScalar) and not isinstance(value.plain, (float, complex)):
        value = value.settle()  # most scalars of NumPy's are refused
    if isinstance(value, HostNumber):
        if x.dtype.is_floating_point or (x._np_dtype == np.int64 and value.whole):
            return value
        value = value.settle()
    if isinstance(value, (bool, int, float, complex)):
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise ValueError("Overflow when unpacking long long")
        dtype = x._np_dtype
        if dtype.kind in "iub":
            return cast_number(value, dtype).item()
        if type(value) is complex and dtype.kind != "c":
            cast_number(value, dtype)  # which refuses an imaginary part
        if looks_large(value) and dtype.itemsize > 2:  # halves take what becomes infinite
            fitting_number(value, dtype)
        return value
    if isinstance(value, (np.ndarray, np.generic, list, tuple)):
        if isinstance(value, (list, tuple)):
            raise TypeError(f"can't assign a {type(value).__name__} to a {x.type()} (make it a tensor first)")
        if not isinstance(value, np.integer):
            raise TypeError(f"can't assign a numpy.{type(value).__name__} to a {x.type()} (make it a tensor first)")
        return from_host(np.array(value))
    raise TypeError(f"can't assign a {type(value).__name__} to a {x.type()}")


def refuse_bytes(places: list[tuple[int, Tensor]], values: int) -> None:
    """Raise RuntimeError for one value where one mask of bytes holds: a fill, which takes bools alone."""
    if values == 1 and len(places) == 1 and places[0][1]._np_dtype == np.uint8:
        raise RuntimeError("masked_fill_ only supports boolean masks, but got mask with dtype unsigned char")


def _setitem(self: Tensor, key: Any, value: Any) -> None:
    if isinstance(key, list):
        key = _from_list(key)
    given, value = value, _value(self, value)
    if grad_state.dispatch_modes and taken("setitem", self, key, value) is not PASS:
        return
    g, advanced, name = _parse(self, key)
    if not advanced:
        if not _written_at_once(self, g, value):
            overwrite_(self if g == self._geometry else _seen(self, g, name, key), value)
        return
    seen = self if g == self._geometry else _seen(self, g, name, key)
    refuse_bytes(advanced, value.numel() if isinstance(value, Tensor) else 1)
    if isinstance(value, Tensor) and value._np_dtype != self._np_dtype and (value.ndim or isinstance(given, Tensor)):
        value = _of_one(seen, advanced, value, key)
    if _set_masked(seen, advanced, value):
        return
    indices, dims = _spread(seen, advanced)
    put_index_(seen, value, indices, dims)


def _of_one(x: Tensor, advanced: list[tuple[int, Any]], value: Tensor, key: Any) -> Tensor:
    """A value of another dtype for one mask, which is a fill and casts. RuntimeError for any other."""
    items = key if isinstance(key, tuple) else (key,)
    single = value.numel() == 1 and len(advanced) == 1 and advanced[0][1]._np_dtype == np.bool_
    if single and not any(isinstance(i, Tensor) and not i.ndim for i in items):
        dim, mask = advanced[0]
        if tuple(mask.shape) != tuple(x.shape[dim : dim + mask.ndim]):
            _spread(x, advanced)  # which says so
        return element(value.reshape(()), x)  # type: ignore[no-any-return, attr-defined]
    if grad_state.trace is None and not x.is_meta:  # type: ignore[attr-defined]
        indices, dims = _spread(x, advanced)
        arrays = [i._array for i in indices]
        jax.eval_shape(
            lambda a, v, *at: _put_index(a, v, at, dims), x._array, value._array, *arrays
        )  # the shapes come first
    raise RuntimeError(
        f"Index put requires the source and destination dtypes match, got {x.dtype.abbr} for the destination "
        f"and {value.dtype.abbr} for the source."
    )


_ORDINARY = frozenset((bool, int, float))


def _written_at_once(x: Tensor, g: Geometry, value: Any) -> bool:
    """Write a value that fits as it is where `g` lies, by one program, if nobody has to be told; else give False."""
    base = x if x._base is None else x._base
    quiet = not (grad_state.around or grad_state.trace or grad_state.transforms or grad_state.scope)
    if not quiet or g.bits is not None or (grad_state.grad and not (x._edge is None and base._edge is None)):
        return False
    if type(value) is Tensor:
        own = value._storage.shape if value._view is None else value._view.shape
        fits = len(own) <= len(g.shape) and all(n in (1, m) for n, m in zip(own[::-1], g.shape[::-1], strict=False))
        if not fits or value._np_dtype != x._np_dtype or (grad_state.grad and value._tape_edge() is not None):
            return False
        if small.put(x._storage, g, value):
            base._edge_version += 1
            return True
        value = value._array
    elif type(value) not in _ORDINARY or not x._np_dtype.isbuiltin:
        return False
    elif small.put(x._storage, g, value):
        base._edge_version += 1
        return True
    else:
        value = numbers_held.array(value)
    x._storage.set_part(g, value)
    base._edge_version += 1
    return True


def _put_where(input: Array, values: Array, mask: Array) -> Array:
    return jnp.where(mask, convert(values, input.dtype), input)


put_where_: Callable[..., Any] = inplace_form(
    Operator(_put_where, None, None, "IndexPutBackward0", narrow=True), "__setitem__"
)


def _set_masked(x: Tensor, advanced: list[tuple[int, Any]], value: Any) -> bool:
    """`x[mask] = value` with one value for all chosen places, which one program does, whichever and however many they are."""
    (dim, mask), *others = advanced
    if others or mask._np_dtype != np.bool_ or tuple(mask.shape) != tuple(x.shape[dim : dim + mask.ndim]):
        return False
    below = x.ndim - dim - mask.ndim
    if isinstance(value, Tensor):
        if value.ndim == below + 1 and value.shape[0] == 1:
            value = value[0]
        inner = x.shape[x.ndim - below :]
        if value.ndim > below or any(n not in (1, m) for n, m in zip(value.shape[::-1], inner[::-1], strict=False)):
            return False
    put_where_(x, value, mask.reshape(*mask.shape, *(1,) * below) if below else mask)
    return True


def _delitem(self: Tensor, key: Any) -> None:
    raise TypeError("Tensor does not support deleting items")


Tensor.__getitem__ = _getitem  # type: ignore[attr-defined]
Tensor.__delitem__ = _delitem  # type: ignore[attr-defined]
Tensor.__setitem__ = _setitem  # type: ignore[attr-defined]
