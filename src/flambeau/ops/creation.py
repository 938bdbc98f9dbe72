"""Tensors from nothing, from Python data and from NumPy.

Values are made with NumPy on the host and then put on their device: making a tensor compiles nothing.
"""

from __future__ import annotations

import itertools
import math
import operator as python_operator
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from ..core import devices, dtypes
from ..core.dtypes import as_dtype, get_default_dtype
from ..core.geometry import contiguous_strides
from ..core.operator import _attach, composite, store
from ..core.random import empty_on_host
from ..core.storage import Storage
from ..core.tensor import Tensor, from_storage, wrap

# --- helpers that all creation shares --------------------------------------------------------------------------------


def place(
    values: np.ndarray, device: Any = None, requires_grad: bool = False, order: tuple[int, ...] | None = None
) -> Tensor:
    """A tensor of NumPy values that nobody else holds: JAX may keep the very buffer.

    `order` names the dimensions from the one with the largest stride to the one with the smallest; `values` are then
    given with their dimensions in that order.
    """
    array = jax.device_put(values, devices.resolve(device))
    if order is None:
        made = wrap(array)
    else:
        shape, strides = [0] * len(order), [0] * len(order)
        for dim, n, step in zip(order, values.shape, contiguous_strides(values.shape), strict=True):
            shape[dim], strides[dim] = n, step
        made = from_storage(Storage(array), tuple(shape), tuple(strides))
    return made.requires_grad_() if requires_grad else made


def size_of(name: str, dims: tuple[Any, ...], size: Any = None) -> tuple[int, ...]:
    """The shape meant by `f(2, 3)`, `f((2, 3))` or `f(size=(2, 3))`. Raises TypeError or RuntimeError if it is none."""
    if size is None:
        if not dims:
            raise TypeError(f'{name}() missing 1 required positional arguments: "size"')
        size = dims[0] if len(dims) == 1 and isinstance(dims[0], (tuple, list)) else dims
    elif dims:
        raise TypeError(f"{name}() got the size twice: {dims} and size={size}")
    if not isinstance(size, (tuple, list)):
        size = (size,)
    made = []
    for position, n in enumerate(size):
        try:
            if isinstance(n, bool):
                raise TypeError
            made.append(python_operator.index(n))
        except TypeError:
            raise TypeError(
                f"{name}(): argument 'size' must be tuple of ints, but found element of type {type(n).__name__} "
                f"at pos {position}"
            ) from None
    if any(n < 0 for n in made):
        bad = next(n for n in made if n < 0)
        raise RuntimeError(f"Trying to create tensor with negative dimension {bad}: {made}")
    return tuple(made)


def deliver(
    fill: Callable[[np.dtype], np.ndarray],
    default: dtypes.dtype | None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    out: Tensor | None = None,
    order: tuple[int, ...] | None = None,
) -> Tensor:
    """What all factories end with: choose the dtype, have the values made, put them where they belong."""
    target = as_dtype(dtype)
    if out is None:
        target = target or default or get_default_dtype()
        return place(fill(target.numpy), device, requires_grad, order)
    if target not in (None, out.dtype):
        raise RuntimeError(f"dtype {target} does not match dtype of out parameter ({out.dtype})")
    store(out, place(fill(out.dtype.numpy), out.device))
    return out.requires_grad_() if requires_grad else out


def filled(shape: tuple[int, ...], value: Any) -> Callable[[np.dtype], np.ndarray]:
    """A maker of arrays that hold one value."""

    def fill(dtype: np.dtype) -> np.ndarray:
        made = empty_on_host(shape, dtype, zeros=not value)
        if value:
            made.fill(cast_number(value, dtype))
        return made

    return fill


def memory_order(input: Tensor, memory_format: Any = None) -> tuple[int, ...] | None:
    """The dimensions by falling stride, if a tensor made in `input`'s likeness keeps them; None for row-major."""
    asked = getattr(memory_format, "order", None)
    if asked is not None:
        return tuple(asked)
    if memory_format is not None and "preserve" not in str(memory_format):
        return None
    if input._view is None or input._view.contiguous:
        return None
    shape, strides = input._view.shape, input._view.strides
    if any(step == 0 and n > 1 for n, step in zip(shape, strides, strict=True)):
        return None
    return tuple(sorted(range(len(shape)), key=lambda d: (-strides[d], -shape[d])))


def like(
    input: Tensor,
    fill: Callable[[tuple[int, ...]], Callable[[np.dtype], np.ndarray]],
    dtype: Any,
    device: Any,
    requires_grad: bool,
    memory_format: Any = None,
) -> Tensor:
    """A tensor with `input`'s shape and, unless told otherwise, its dtype, device and order in memory."""
    if not isinstance(input, Tensor):
        raise TypeError(f"argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    order = memory_order(input, memory_format)
    shape = tuple(input.shape) if order is None else tuple(input.shape[d] for d in order)
    return deliver(fill(shape), input.dtype, dtype, _device_like(input, device), requires_grad, order=order)


def _device_like(input: Tensor, device: Any) -> Any:
    return input.device if device is None else device


def number_of(name: str, argument: str, value: Any) -> Any:
    """The Python number that an argument gives. Raises TypeError if it is none."""
    if isinstance(value, Tensor) and value.ndim == 0:
        return value._array.item()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (bool, int, float, complex)):
        return value
    raise TypeError(f"{name}(): argument '{argument}' must be Number, not {type(value).__name__}")


def number_dtype(value: Any) -> dtypes.dtype:
    """The dtype that a Python number becomes."""
    if isinstance(value, bool):
        return dtypes.bool
    if isinstance(value, int):
        return dtypes.int64
    return get_default_dtype() if isinstance(value, float) else dtypes.default_complex()


def cast_number(value: Any, dtype: np.dtype) -> Any:
    """A Python number as an element. Raises RuntimeError if the element type cannot hold it."""
    if dtype.kind == "b":
        return np.bool_(value)
    overflow = RuntimeError(
        f"value cannot be converted to type {dtypes.from_numpy(dtype).name} without overflow: {value}"
    )
    if isinstance(value, complex) and dtype.kind != "c":
        if value.imag:
            raise overflow
        value = value.real
    if dtype.kind in "iu":
        if isinstance(value, float):
            if not math.isfinite(value):
                raise overflow
            value = int(value)
        limits = np.iinfo(dtype)
        lowest = -limits.max if dtype.kind == "u" else limits.min  # negative numbers wrap into unsigned types
        if not lowest <= value <= limits.max:
            raise overflow
        return dtype.type(value % (limits.max + 1) if dtype.kind == "u" else value)
    with np.errstate(over="ignore"):
        return dtype.type(value)


# --- from data -------------------------------------------------------------------------------------------------------


def _is_sequence(value: Any) -> bool:
    return isinstance(value, Sequence) or (hasattr(value, "__len__") and hasattr(value, "__getitem__"))


def _levels(data: Any) -> tuple[list[Any], tuple[int, ...]]:
    """The leaves of nested sequences, and their shape. Raises ValueError or TypeError if the nesting is ragged."""
    level: list[Any] = [data]
    shape: list[int] = []
    while level and _is_sequence(first := level[0]) and not isinstance(first, (Tensor, np.generic)):
        if isinstance(first, (str, bytes)):
            raise ValueError(f"too many dimensions '{type(first).__name__}'")
        if isinstance(first, dict):
            raise RuntimeError("Could not infer dtype of dict")
        n = len(first)
        for item in level:
            if not _is_sequence(item) or isinstance(item, Tensor):
                raise TypeError(f"not a sequence: expected one of length {n} at dim {len(shape)}, got {item!r}")
            if len(item) != n:
                raise ValueError(f"expected sequence of length {n} at dim {len(shape)} (got {len(item)})")
        shape.append(n)
        level = list(itertools.chain.from_iterable(level))
        if level and all(isinstance(item, np.ndarray) and item.ndim for item in level):
            sizes = {item.shape for item in level}
            if len(sizes) > 1:
                raise ValueError(f"expected arrays of one shape at dim {len(shape)}, got {sorted(sizes)}")
            inner = np.stack(level)
            return list(inner.reshape(-1)), (*shape, *inner.shape[1:])
    return level, tuple(shape)


def _leaf_dtype(leaf: Any) -> dtypes.dtype:
    if isinstance(leaf, Tensor):
        return leaf.dtype
    if isinstance(leaf, (np.generic, np.ndarray)):
        return dtypes.from_numpy(leaf.dtype)
    if isinstance(leaf, (bool, int, float, complex)):
        return number_dtype(leaf)
    if isinstance(leaf, (str, bytes)):
        raise TypeError(f"new(): invalid data type '{type(leaf).__name__}'")
    if _is_sequence(leaf) and not isinstance(leaf, dict):
        raise TypeError(f"'{type(leaf).__name__}' object found among numbers: the nesting is ragged")
    raise RuntimeError(f"Could not infer dtype of {type(leaf).__name__}")


def _leaf_value(leaf: Any) -> Any:
    if isinstance(leaf, Tensor):
        if leaf._array.size != 1:
            raise ValueError(
                f"only one-element tensors can be converted to Python scalars, got one of shape {list(leaf.shape)}; "
                "torch.stack makes one tensor of several"
            )
        return leaf._array.item()
    return leaf.item() if isinstance(leaf, (np.generic, np.ndarray)) else leaf


_PURE = {bool: 0, int: 1, float: 2, complex: 3}


def host_values(data: Any, dtype: dtypes.dtype | None = None) -> np.ndarray:
    """The values of nested Python data, or of anything that NumPy can read, in a fresh array."""
    if not isinstance(data, (list, tuple)) and hasattr(data, "__array__") and not isinstance(data, np.generic):
        array = _checked(np.asarray(data))
        return array.astype((dtype or dtypes.from_numpy(array.dtype)).numpy)
    if isinstance(data, (str, bytes)):
        raise TypeError(f"new(): invalid data type '{type(data).__name__}'")
    leaves, shape = _levels(data)
    kinds = set(map(type, leaves))
    if kinds <= _PURE.keys():
        found = number_dtype(max(kinds, key=_PURE.__getitem__)(0)) if kinds else get_default_dtype()
        values = leaves
    else:
        found = _leaf_dtype(leaves[0])
        for leaf in leaves[1:]:
            found = dtypes.promote_types(found, _leaf_dtype(leaf))
        values = [_leaf_value(leaf) for leaf in leaves]
    target = (dtype or found).numpy
    return _cast_all(values, found, target).reshape(shape)


def _cast_all(values: list[Any], found: dtypes.dtype, target: np.dtype) -> np.ndarray:
    """Python numbers of the dtype `found`, as elements of `target`."""
    if found.is_complex and target.kind not in "cb":
        raise TypeError("must be real number, not complex")
    if target.kind == "b":
        return np.array([bool(v) for v in values], np.bool_)
    if target.kind in "iu":
        if found.category == dtypes.INTEGER and target != np.int64:
            limits = np.iinfo(target)
            if values and not (limits.min <= min(values) and max(values) <= limits.max):
                return np.array([cast_number(v, target) for v in values], target)
        elif found.category >= dtypes.FLOAT:
            return np.array([cast_number(v, target) for v in values], target)
    try:
        with np.errstate(over="ignore"):
            return np.array(values, target)
    except OverflowError:
        raise ValueError("Overflow when unpacking long long: an integer is beyond the 64 bits of int64") from None


def _checked(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "biufc" and array.dtype != dtypes.bfloat16.numpy:
        dtypes.from_numpy(array.dtype.type)  # raises TypeError
    if not array.dtype.isnative:
        raise ValueError(
            "given numpy array has byte order different from the native byte order. Conversion between byte orders is "
            "currently not supported."
        )
    return array


@composite(methods=False)
def tensor(
    data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False
) -> Tensor:
    """A tensor with a copy of `data`: a number, nested sequences, a NumPy array or scalar.

    Python floats take the default dtype, ints int64; NumPy values and 0-dim tensors keep theirs.
    """
    if isinstance(data, Tensor):
        return _copied("torch.tensor", data, as_dtype(dtype) or data.dtype, device or data.device, requires_grad)
    return place(host_values(data, as_dtype(dtype)), device, requires_grad)


def _copied(name: str, source: Tensor, dtype: dtypes.dtype, device: Any, requires_grad: bool) -> Tensor:
    warnings.warn(
        "To copy construct from a tensor, it is recommended to use sourceTensor.detach().clone() or "
        f"sourceTensor.detach().clone().requires_grad_(True), rather than {name}(sourceTensor).",
        UserWarning,
        stacklevel=4,
    )
    order = memory_order(source)
    values = np.asarray(source.detach()._array)
    return place(np.array(values.transpose(order), dtype.numpy, order="C"), device, requires_grad, order)


@composite(methods=False)
def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """`data` as a tensor: itself if it is one already (and needs no conversion), sharing a NumPy array's memory."""
    if isinstance(data, Tensor):
        return _converted(data, dtype, device)
    if isinstance(data, np.ndarray) and data.dtype.isnative:
        return _converted(from_numpy(data), dtype, device)
    return tensor(data, dtype=dtype, device=device)


def _converted(source: Any, dtype: Any, device: Any) -> Any:
    target = as_dtype(dtype) or source.dtype
    where = source.device if device is None else devices.device(device)
    if target is source.dtype and devices.to_jax(where) is devices.to_jax(source.device):
        return source
    return source.to(device=where, dtype=target)


@composite(methods=False)
def asarray(
    obj: Any, *, dtype: Any = None, device: Any = None, copy: bool | None = None, requires_grad: bool = False
) -> Tensor:
    """`obj` as a tensor, sharing memory where that is possible (never with copy=True, always with copy=False)."""
    if not isinstance(obj, (Tensor, np.ndarray)):
        if isinstance(obj, (bytes, bytearray, memoryview)):
            shared = frombuffer(obj, dtype=as_dtype(dtype) or get_default_dtype())
            made = shared.clone() if copy else shared
        elif copy is False:
            raise ValueError("can't alias arbitrary sequence into a tensor.")
        else:
            made = tensor(obj, dtype=dtype, device=device)
    else:
        source: Any = obj if isinstance(obj, Tensor) else from_numpy(obj)
        made = _converted(source, dtype, device)
        if copy is False and made is not source:
            raise ValueError(f"can't alias tensor with dtype '{source.dtype}' into dtype '{made.dtype}'.")
        if copy and made is source:
            made = source.clone()
    made = made if requires_grad or not isinstance(obj, Tensor) or made.requires_grad is False else made.detach()
    return made.requires_grad_() if requires_grad else made


@composite(methods=False)
def from_numpy(ndarray: np.ndarray) -> Tensor:
    """A tensor that shares the memory of a NumPy array: a write to either is seen by both."""
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(ndarray).__name__})")
    array = _checked(ndarray)
    if any(step < 0 for step in array.strides):
        raise ValueError(
            "At least one stride in the given numpy array is negative, and tensors with negative strides are not "
            "currently supported. (You can probably work around this by making a copy of your array with array.copy().)"
        )
    if any(step % array.itemsize for step in array.strides):
        raise ValueError(
            "given numpy array strides not a multiple of the element byte size. Copy the numpy array first."
        )
    if array.flags.c_contiguous:
        return wrap_shared(array)
    strides = tuple(step // array.itemsize for step in array.strides)
    extent = sum((n - 1) * step for n, step in zip(array.shape, strides, strict=True)) + 1 if array.size else 0
    flat = np.lib.stride_tricks.as_strided(array, (extent,), (array.itemsize,))
    return from_storage(wrap_shared(flat)._storage, array.shape, strides)


def wrap_shared(array: np.ndarray) -> Tensor:
    """A tensor over contiguous NumPy memory that others hold too."""
    if not array.flags.writeable:
        array = array.copy()
    made = wrap(None)
    made._storage.share_with(array)
    return made


@composite(methods=False)
def frombuffer(buffer: Any, *, dtype: Any, count: int = -1, offset: int = 0, requires_grad: bool = False) -> Tensor:
    """A tensor over the bytes of an object with the buffer protocol, sharing its memory if that is writable."""
    target = as_dtype(dtype)
    if target is None:
        raise TypeError("frombuffer(): argument 'dtype' must be torch.dtype, not None")
    total, step = memoryview(buffer).nbytes, target.itemsize
    if total == 0 or count == 0:
        raise ValueError(f"both buffer length ({total}) and count ({count}) must not be 0")
    if not 0 <= offset < total:
        raise ValueError(
            f"offset ({offset} bytes) must be non-negative and no greater than buffer length ({total} bytes) minus 1"
        )
    if count < 0 and (total - offset) % step:
        raise ValueError(
            f"buffer length ({total} bytes) after offset ({offset} bytes) must be a multiple of element size ({step})"
        )
    if count > 0 and count * step > total - offset:
        raise ValueError(
            f"requested buffer length ({count} * {step} bytes) after offset ({offset} bytes) must not be greater than "
            f"actual buffer length ({total} bytes)"
        )
    made = wrap_shared(np.frombuffer(buffer, target.numpy, count, offset))
    return made.requires_grad_() if requires_grad else made


# --- constant values -------------------------------------------------------------------------------------------------


def _constant(name: str, value: int, doc: str) -> tuple[Any, Any, Any]:
    """The factory of a constant, its `_like` form and its `new_` method."""

    def make(
        *dims: Any,
        size: Any = None,
        out: Tensor | None = None,
        dtype: Any = None,
        layout: Any = None,
        device: Any = None,
        requires_grad: bool = False,
        pin_memory: bool = False,
        memory_format: Any = None,
    ) -> Tensor:
        shape = size_of(name, dims, size)
        order = getattr(memory_format, "order", None)
        laid = shape if order is None else tuple(shape[d] for d in order)
        return deliver(filled(laid, value), None, dtype, device, requires_grad, out, order)

    def make_like(
        input: Tensor,
        *,
        dtype: Any = None,
        layout: Any = None,
        device: Any = None,
        requires_grad: bool = False,
        memory_format: Any = None,
        pin_memory: bool = False,
    ) -> Tensor:
        return like(input, lambda shape: filled(shape, value), dtype, device, requires_grad, memory_format)

    def make_new(
        self: Tensor,
        *dims: Any,
        size: Any = None,
        dtype: Any = None,
        device: Any = None,
        requires_grad: bool = False,
        layout: Any = None,
        pin_memory: bool = False,
    ) -> Tensor:
        shape = size_of("new_" + name, dims, size)
        return deliver(filled(shape, value), self.dtype, dtype, _device_like(self, device), requires_grad)

    for function, called, text in (
        (make, name, f"A tensor {doc}, of the given shape."),
        (make_like, name + "_like", f"A tensor {doc}, with `input`'s shape, dtype, device and order in memory."),
        (make_new, "new_" + name, f"A tensor {doc}, with this one's dtype and device."),
    ):
        function.__name__ = function.__qualname__ = called
        function.__doc__ = text
    _attach(make_new, (make_new.__name__,))
    return composite(methods=False)(make), composite(methods=False)(make_like), make_new


zeros, zeros_like, new_zeros = _constant("zeros", 0, "of zeros")
ones, ones_like, new_ones = _constant("ones", 1, "of ones")
empty, empty_like, new_empty = _constant("empty", 0, "whose values do not matter (here zeros)")


@composite(methods=False)
def full(
    size: Any,
    fill_value: Any,
    *,
    out: Tensor | None = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A tensor of one value; the dtype is the one that the value has as a Python number."""
    if not isinstance(size, (tuple, list)):
        raise TypeError(f"full(): argument 'size' (position 1) must be tuple of ints, not {type(size).__name__}")
    value = number_of("full", "fill_value", fill_value)
    found = fill_value.dtype if isinstance(fill_value, Tensor) else number_dtype(value)
    return deliver(filled(size_of("full", (size,)), value), found, dtype, device, requires_grad, out)


@composite(methods=False)
def full_like(
    input: Tensor,
    fill_value: Any,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
    pin_memory: bool = False,
) -> Tensor:
    """A tensor of one value, with `input`'s shape, dtype, device and order in memory."""
    value = number_of("full_like", "fill_value", fill_value)
    return like(input, lambda shape: filled(shape, value), dtype, device, requires_grad, memory_format)


@composite(methods=True, public=())
def new_full(
    self: Tensor,
    size: Any,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    layout: Any = None,
    pin_memory: bool = False,
) -> Tensor:
    """A tensor of one value, with this one's dtype and device."""
    value = number_of("new_full", "fill_value", fill_value)
    fill = filled(size_of("new_full", (size,)), value)
    return deliver(fill, self.dtype, dtype, _device_like(self, device), requires_grad)


@composite(methods=True, public=())
def new_tensor(
    self: Tensor,
    data: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    layout: Any = None,
    pin_memory: bool = False,
) -> Tensor:
    """A tensor with a copy of `data`, in this one's dtype and on its device."""
    target, where = as_dtype(dtype) or self.dtype, _device_like(self, device)
    if isinstance(data, Tensor):
        return _copied("tensor.new_tensor", data, target, where, requires_grad)
    return place(host_values(data, target), where, requires_grad)


@composite(methods=True, public=())
def new(self: Tensor, *args: Any, device: Any = None) -> Tensor:
    """A tensor of this one's dtype: of a size (`new(2, 3)`) or with the given data (`new([1, 2])`)."""
    if not args or all(isinstance(a, int) for a in args):
        return new_empty(self, *(args or (0,)), device=device)
    return new_tensor(self, args[0], device=device) if not isinstance(args[0], Tensor) else args[0].detach()


@composite(methods=False)
def scalar_tensor(
    s: Any,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A 0-dim tensor; in the default dtype unless told otherwise."""
    if isinstance(s, Tensor) and s.ndim:
        raise TypeError("scalar_tensor(): argument 's' (position 1) must be Number, not Tensor")
    return deliver(filled((), number_of("scalar_tensor", "s", s)), None, dtype, device, requires_grad)


@composite(methods=False)
def empty_strided(
    size: Any,
    stride: Any,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A tensor with the given shape and strides (in elements), whose values do not matter (here zeros)."""
    shape, strides = size_of("empty_strided", (size,)), tuple(int(s) for s in stride)
    if len(shape) != len(strides):
        raise RuntimeError(
            f"dimensionality of sizes ({len(shape)}) must match dimensionality of strides ({len(strides)})"
        )
    if any(s < 0 for s in strides):
        raise RuntimeError(f"strides must not be negative, got sizes={list(shape)} and strides={list(strides)}")
    extent = 0 if 0 in shape else sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) + 1
    made = from_storage(deliver(filled((extent,), 0), None, dtype, device)._storage, shape, strides)
    return made.requires_grad_() if requires_grad else made


@composite(methods=True, public=())
def new_empty_strided(self: Tensor, size: Any, stride: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """`torch.empty_strided` with this tensor's dtype and device."""
    return empty_strided(size, stride, dtype=dtype or self.dtype, device=_device_like(self, device))
