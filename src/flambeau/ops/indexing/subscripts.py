"""`x[...]` and `x[...] = y` in all of NumPy's forms, with PyTorch's results.

Integers, slices, None and `...` make one view. What is left, tensors of indices and masks, is one gather from that
view or one scatter into it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from ...core.array import dtypes, geometry
from ...core.array.geometry import Geometry
from ...core.context.grad_mode import state as grad_state
from ...core.context.overrides import PASS
from ...core.context.telling import warn
from ...core.dispatch import small
from ...core.dispatch.at_once import named
from ...core.dispatch.call import with_key
from ...core.dispatch.declared import Operator
from ...core.dispatch.errors import expansion_clash
from ...core.dispatch.host_numbers import HostNumber, HostScalar, as_key
from ...core.dispatch.limits import cast_number, fitting_number, looks_large
from ...core.dispatch.operator import Array, Arrays, inplace_form, operator
from ...core.dispatch.overloads import taken
from ...core.dispatch.promotion import convert
from ...core.dispatch.signature import ARRAY, ARRAYS, numbers_held, static_key
from ...core.dispatch.sparse_forms import instead
from ...core.tensor.sparse import SparseOperand
from ...core.tensor.tensor import Tensor, from_host
from ...native import reading
from ..support.checks import on_host, refuse_outside
from .by_numpy import PICKED, PUT, subscript
from .keys import FLAG, LISTS, MASKS, from_list, kind_of_item, numbered, parsed, parsed_geometry
from .masking import element, host_values, like_on_device, taped

_LONG = np.dtype(np.int64)


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


def _seen(x: Tensor, g: Geometry, name: str, key: Any) -> Tensor:
    relative = g
    if x._view is not None and (x._edge is not None or x._base is not None):
        relative = parsed_geometry(geometry.whole(x._view.shape), key)
    return x._look(g, name, relative)


_EMPTY = "index is out of bounds for dimension with size 0"


def _outside(place: int, size: int) -> str:
    return f"index {{}} is out of bounds for dimension {place} with size {size}"


_Indices = tuple[list[Any], tuple[bool, ...]]


def _indices(x: Tensor, advanced: list[tuple[int, Any]]) -> _Indices:
    """Index tensors, masks turned into the indices of their true elements, and which dimensions they are for."""
    tensors: dict[int, Any] = {}
    for dim, item in advanced:
        if item._np_dtype in MASKS:
            if item._np_dtype == np.uint8:
                warn("indexing with dtype torch.uint8 is now deprecated, please use a dtype torch.bool instead.")
            _refuse_misfit(x, dim, item)
            for k, where in enumerate(np.nonzero(host_values("index", item))):
                tensors[dim + k] = from_host(where)
        else:
            tensors[dim] = item
    places = sorted(tensors)
    made = [tensors[d] for d in places]
    if len(made) > 1:
        _together([tuple(i.shape) for i in made])
    size = x._geometry.shape
    if 0 in size and 0 in [size[d] for d in places] and not any(0 in i.shape for i in made):
        raise IndexError(_EMPTY)
    return made, tuple([d in tensors for d in range(places[-1] + 1)])


def _together(shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
    """The one shape of tensors of indices. IndexError where they have none."""
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        listed = ", ".join(str(list(s)) for s in shapes)
        raise IndexError(
            f"shape mismatch: indexing tensors could not be broadcast together with shapes {listed}"
        ) from None


def _refuse_misfit(x: Tensor, dim: int, mask: Tensor) -> None:
    """Raise IndexError for a mask of another shape than the dimensions of `x` from `dim` on."""
    shape = x._geometry.shape
    for k, n in enumerate(mask.shape):
        if n != shape[dim + k]:
            raise IndexError(
                f"The shape of the mask {list(mask.shape)} at index {k} does not match the shape of the indexed tensor "
                f"{list(shape)} at index {dim + k}"
            )


def spread(x: Tensor, advanced: list[tuple[int, Any]], values: Any = None) -> _Indices:
    """`_indices`, once all of them are known to be inside. Raises IndexError for one that isn't, or first what is wrong with `values`."""
    made = _indices(x, advanced)
    if any(0 in i.shape for i in made[0]):
        return made
    try:
        _refuse_outside(x, advanced, *made)
    except IndexError:
        if isinstance(values, Tensor):
            _refuse_values(x, values, *made)
        raise
    return made


def _refuse_values(x: Tensor, values: Tensor, indices: list[Any], dims: tuple[bool, ...]) -> None:
    """Raise RuntimeError for values that can't be put there: for their shape first, then for their dtype."""
    fitting(x.shape, values.shape, [i.shape for i in indices], dims)
    if values._np_dtype != x._np_dtype:
        raise RuntimeError(
            f"Index put requires the source and destination dtypes match, got {x.dtype.abbr} for the destination "
            f"and {values.dtype.abbr} for the source."
        )


def _refuse_outside(x: Tensor, advanced: list[tuple[int, Any]], indices: list[Any], dims: tuple[bool, ...]) -> None:
    shape = x._geometry.shape
    masked = {dim + k for dim, item in advanced if item._np_dtype in MASKS for k in range(item.ndim)}
    before: list[tuple[int, Any]] = []
    for dim, item in zip([d for d, marked in enumerate(dims) if marked], indices, strict=True):
        size = shape[dim]
        if dim not in masked:
            looked = any(item is other and size >= shape[at] for at, other in before)
            if not looked and 0 not in shape:  # nothing is read of an empty tensor
                # PyTorch counts the tensors of indices here, not the dimensions that they are for
                refuse_outside(item, size, functools.partial(_outside, len(before), size), IndexError, negative=True)
        before.append((dim, item))


@operator(methods=False, public=(), grad="IndexBackward0", narrow=True, by_numpy=PICKED)
def index(input: Array, indices: Arrays, dims: tuple[bool, ...]) -> Array:
    """Gather at index arrays for the dimensions marked in `dims`."""
    _together([i.shape for i in indices])
    indexed = [n for n, marked in zip(input.shape, dims, strict=False) if marked]
    if 0 in indexed and all(i.size for i in indices):
        raise IndexError(_EMPTY)
    return input[subscript(indices, dims)]


@functools.cache
def _index_at(count: int) -> Callable[..., Any]:
    """`index` in the first dimensions, so many, of the tensor and the indices one by one."""
    return with_key(index.operator, (ARRAY, (ARRAYS, count), static_key((True,) * count)))  # type: ignore[attr-defined]


def fitting(shape: Any, given: Any, indices: list[Any], dims: tuple[bool, ...], trims: bool = True) -> tuple[int, ...]:
    """The shape that values have where `x[...] = values` puts them; leading dimensions of one are too many but fall away if it `trims`.

    Takes the shapes of all of them. Raises RuntimeError where the values don't fit.
    """
    joint = _together([tuple(i) for i in indices])
    marked = [d for d, is_marked in enumerate(dims) if is_marked]
    rest = [n for d, n in enumerate(shape) if d >= len(dims) or not dims[d]]
    first = marked[0] if marked[-1] - marked[0] < len(marked) else 0
    target = (*rest[:first], *joint, *rest[first:])
    extra = len(given) - len(target)
    given = tuple(given)
    if trims and extra > 0 and given[:extra] == (1,) * extra:
        given = given[extra:]
    if len(given) > len(target) or any(n not in (1, m) for n, m in zip(given[::-1], target[::-1], strict=False)):
        raise RuntimeError(
            f"shape mismatch: value tensor of shape {list(given)} cannot be broadcast to indexing result of shape "
            f"{list(target)}"
        )
    return given


def _put_index(input: Array, values: Array, indices: Arrays, dims: tuple[bool, ...]) -> Array:
    values = values.reshape(fitting(input.shape, values.shape, [i.shape for i in indices], dims))
    # an element that is named twice hands its gradient to each value that was put there, as in PyTorch
    return input.at[subscript(indices, dims)].set(convert(values, input.dtype), unique_indices=True)


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
        key = from_list(key)
    if grad_state.dispatch_modes and (found := taken("getitem", self, key)) is not PASS:
        return found
    items = (key,) if type(key) is Tensor else numbered(key) if type(key) in LISTS else key
    try:
        if type(items) is tuple and items and type(items[0]) is Tensor:
            if (made := named(self, *items)) is not None:
                return made
            if _inside(self._geometry, items):
                return _index_at(len(items))(self, *items)
        g, advanced, name = parsed(self, key)
    except SparseOperand as error:
        return instead("__getitem__", error, (self, key), {})
    if advanced:
        seen = self if g == self._geometry else _seen(self, g, name, key)
        if len(advanced) == 1 and (chosen := _chosen(seen, *advanced[0])) is not None:
            return chosen
        indices, dims = spread(seen, advanced)
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


def refuse_bytes(x: Tensor, places: list[tuple[int, Tensor]], values: int) -> None:
    """Raise RuntimeError for one value where one mask of bytes holds: a fill, which takes bools alone."""
    if values == 1 and len(places) == 1 and places[0][1]._np_dtype == np.uint8:
        _refuse_misfit(x, *places[0])
        raise RuntimeError("masked_fill_ only supports boolean masks, but got mask with dtype unsigned char")


def _setitem(self: Tensor, key: Any, value: Any) -> None:
    if isinstance(key, list):
        key = from_list(key)
    given, value = value, _value(self, value)
    if grad_state.dispatch_modes and taken("setitem", self, key, value) is not PASS:
        return
    if key is False:
        return
    g, advanced, name = parsed(self, None if key is True else key)
    if not advanced:
        if not _written_at_once(self, g, value):
            overwrite_(self if g == self._geometry else _seen(self, g, name, key), value)
        return
    seen = self if g == self._geometry else _seen(self, g, name, key)
    refuse_bytes(seen, advanced, value.numel() if isinstance(value, Tensor) else 1)
    if isinstance(value, Tensor) and value._np_dtype != self._np_dtype and (value.ndim or isinstance(given, Tensor)):
        value = _of_one(seen, advanced, value, key)
    if _set_masked(seen, advanced, value):
        return
    indices, dims = spread(seen, advanced, value)
    put_index_(seen, value, indices, dims)


def _of_one(x: Tensor, advanced: list[tuple[int, Any]], value: Tensor, key: Any) -> Tensor:
    """A value of another dtype for one mask, which is a fill and casts. RuntimeError for any other."""
    items = key if isinstance(key, tuple) else (key,)
    single = value.numel() == 1 and len(advanced) == 1 and advanced[0][1]._np_dtype == np.bool_
    if single and not any(kind_of_item(i) == FLAG for i in items):
        _refuse_misfit(x, *advanced[0])
        return element(value.reshape(()), x)  # type: ignore[no-any-return, attr-defined]
    _refuse_values(x, value, *_indices(x, advanced))
    return value


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
