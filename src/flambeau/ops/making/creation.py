"""Tensors from Python data, NumPy arrays and buffers. The names of `constants.py` show here too."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...core.array import devices, dtypes
from ...core.array.dtypes import as_dtype, get_default_dtype
from ...core.array.formats import strided
from ...core.array.narrow import NARROW, narrowed
from ...core.array.size import Size
from ...core.context.grad_mode import no_grad
from ...core.context.grad_mode import state as grad_state
from ...core.context.overrides import unseen
from ...core.context.telling import warn
from ...core.context.warned import warn_once
from ...core.dispatch.host_numbers import HostNumber, plain, settle
from ...core.dispatch.limits import cast_number
from ...core.dispatch.messages import message
from ...core.dispatch.operator import composite
from ...core.tape.nodes import is_differentiable
from ...core.tensor import memory
from ...core.tensor.looks import from_storage
from ...core.tensor.tensor import Tensor, wrap
from .constants import (
    check_options,
    deliver,
    device_like,
    empty,
    empty_like,
    filled,
    full,
    like,
    memory_order,
    new_empty,
    number_dtype,
    number_of,
    of_input,
    ones,
    place,
    size_of,
    zeros,
)

__all__ = [
    "as_tensor",
    "asarray",
    "cast_number",
    "deliver",
    "empty",
    "empty_like",
    "filled",
    "from_numpy",
    "frombuffer",
    "full",
    "like",
    "memory_order",
    "number_of",
    "ones",
    "place",
    "size_of",
    "tensor",
    "zeros",
]  # fmt: skip


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
            warn_once(message("list_of_arrays_is_slow"))
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
                f"only one element tensors can be converted to Python scalars, got one of shape {list(leaf.shape)}; "
                "torch.stack makes one tensor of several"
            )
        if leaf.requires_grad and grad_state.grad and leaf.is_floating_point():
            warn_once(message("recorded_as_number"))
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
                return np.array([_element(v, target) for v in values], target)
        elif found.category >= dtypes.FLOAT:
            return np.array([_element(v, target) for v in values], target)
    if target in NARROW:
        return narrowed(np.array(values, np.float64), target, np)
    try:
        with np.errstate(over="ignore"):
            return np.array(values, target)
    except OverflowError:
        raise ValueError("Overflow when unpacking long long: an integer is beyond the 64 bits of int64") from None


def _element(value: Any, target: np.dtype) -> Any:
    try:
        return cast_number(value, target)
    except RuntimeError as error:
        name = dtypes.from_numpy(target).name
        raise RuntimeError(f"value cannot be converted to type {name} without overflow: {value}") from error


def _checked(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "biufc" and array.dtype != dtypes.bfloat16.numpy and array.dtype not in NARROW:
        dtypes.from_numpy(array.dtype.type)  # raises TypeError
    if not array.dtype.isnative:
        raise ValueError(
            "given numpy array has byte order different from the native byte order. Conversion between byte orders is "
            "currently not supported."
        )
    return array


def _of_inputs(data: Any, make: Callable[[Any], Tensor]) -> Tensor | None:
    """A tensor of numbers of which a compiled program takes some as inputs; None if there are none."""
    if isinstance(data, HostNumber):
        return of_input(make, data)
    if type(data) not in (list, tuple) or not any(isinstance(value, HostNumber) for value in data):
        settle(data)
        return None
    made = make([plain(value) for value in data])
    with no_grad():
        for i, value in enumerate(data):
            if isinstance(value, HostNumber):
                made[i].fill_(value)  # type: ignore[attr-defined]
    return made


@composite(methods=False, asks_arguments=False, numbers=("data",))
def tensor(
    data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False
) -> Tensor:
    """A tensor with a copy of `data`: a number, nested sequences, a NumPy array or scalar.

    Python floats take the default dtype, ints int64; NumPy values and 0-dim tensors keep theirs.
    """
    check_options("tensor", None, pin_memory)
    if isinstance(data, Tensor):
        return _copied("torch.tensor", data, as_dtype(dtype) or data.dtype, device or data.device, requires_grad)
    if grad_state.trace is not None:
        options: Any = {"dtype": dtype, "device": device, "requires_grad": requires_grad}
        if (made := _of_inputs(data, lambda data: tensor(data, **options))) is not None:
            return made
    if isinstance(data, memory.Memory):
        data = np.asarray(_from_storage(data, as_dtype(dtype))._array)
    return place(host_values(data, as_dtype(dtype)), device, requires_grad)


def _copied(name: str, source: Tensor, dtype: dtypes.dtype, device: Any, requires_grad: bool) -> Tensor:
    warn(
        "To copy construct from a tensor, it is recommended to use sourceTensor.detach().clone() or "
        f"sourceTensor.detach().clone().requires_grad_(True), rather than {name}(sourceTensor)."
    )
    order = memory_order(source)
    if source.is_meta:  # type: ignore[attr-defined]
        return empty_like(source.detach(), dtype=dtype, device=device, requires_grad=requires_grad)
    values = np.asarray(source.detach()._array)
    ordered = values if order is None else values.transpose(order)
    return place(np.array(ordered, dtype.numpy, order="C"), device, requires_grad, order)


@composite(methods=False, asks_arguments=False, numbers=("data",))
def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """`data` as a tensor: itself if it is one already (and needs no conversion), sharing a NumPy array's memory."""
    device = devices.asked_device() if device is None else device
    if isinstance(data, Tensor):
        return _converted(data, dtype, device)
    if isinstance(data, np.ndarray) and data.dtype.isnative:
        return _converted(from_numpy(data), dtype, device)
    if isinstance(data, memory.Memory):
        return _converted(_from_storage(data, as_dtype(dtype)), None, device)
    return tensor(data, dtype=dtype, device=device)


def _converted(source: Any, dtype: Any, device: Any) -> Any:
    target = as_dtype(dtype) or source.dtype
    where = source.device if device is None else devices.device(device)
    if target is source.dtype and devices.to_jax(where) is devices.to_jax(source.device):
        return source
    return source.to(device=where, dtype=target)


def _from_storage(source: Any, dtype: Any) -> Tensor:
    """A storage's memory as a tensor: its bits are read, not converted. Bytes are int64 if nothing else is said."""
    return source.look(dtype or getattr(source, "dtype", dtypes.int64))


@composite(methods=False, asks_arguments=False)
def from_file(
    filename: Any,
    shared: bool | None = None,
    size: int | None = 0,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool | None = False,
    requires_grad: bool = False,
) -> Tensor:
    """The first `size` elements of a file, read when they are used. With `shared`, writes go into the file.

    Raises RuntimeError if the file can't be opened or is too short, NotImplementedError for memory other than the CPU's.
    """
    if pin_memory:
        raise RuntimeError("tensors constructed from a file cannot be pinned")
    where = devices.device(devices.asked_device() or "cpu" if device is None else device)
    if where.type != "cpu" or layout not in (None, strided):
        backend = where.type.upper() if layout in (None, strided) else "SparseCPU"
        raise NotImplementedError(f"Could not run 'aten::from_file' with arguments from the '{backend}' backend")
    target = as_dtype(dtype) or get_default_dtype()
    held = memory.UntypedStorage.from_file(filename, bool(shared), (size or 0) * target.itemsize)
    made = held.look(target)
    return made.requires_grad_() if requires_grad else made


@composite(methods=False, asks_arguments=False)
def asarray(
    obj: Any, *, dtype: Any = None, device: Any = None, copy: bool | None = None, requires_grad: bool | None = None
) -> Tensor:
    """`obj` as a tensor, sharing memory where that is possible (never with copy=True, always with copy=False).

    It stays on the tape as `obj` is. With `requires_grad=False` it is off the tape: a leaf itself, where nothing had to be copied.
    """
    device = devices.asked_device() if device is None else device
    if isinstance(obj, memory.Memory):
        obj, dtype = _from_storage(obj, as_dtype(dtype)), None
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
            raise ValueError(f"can't alias tensor with dtype '{source.dtype.abbr}' into dtype '{made.dtype.abbr}'.")
        if copy and made is source:
            made = source.clone()
    if requires_grad is None and isinstance(obj, Tensor) and obj.requires_grad:
        warn_once(message("asarray_keeps_grad"))
        requires_grad = True
    return _on_tape(made, bool(requires_grad))


def _on_tape(made: Tensor, requires_grad: bool) -> Tensor:
    if requires_grad is made.requires_grad:
        return made
    if not requires_grad:
        return made.requires_grad_(False) if made.is_leaf else made.detach()
    if not is_differentiable(made._np_dtype):
        raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
    return made.requires_grad_()


@composite(methods=False, asks_arguments=False)
@unseen
def from_numpy(ndarray: np.ndarray) -> Tensor:
    """A tensor that shares the memory of a NumPy array: a write to either is seen by both."""
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(ndarray).__name__})")
    array = _checked(ndarray)
    if not array.flags.writeable:
        warn_once(
            "The given NumPy array is not writable, and there are no tensors that can't be written to: a write to this one fails. "
            "Copy the array first"
        )
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
    if grad_state.trace is not None:
        grad_state.trace.borrowed.add(made._storage)
    return made


@composite(methods=False, asks_arguments=False)
@unseen
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


@composite(methods=True, public=(), numbers=("data",))
def new_tensor(
    self: Tensor, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, layout: Any = None,
    pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """A tensor with a copy of `data`, in this one's dtype and on its device."""
    check_options("new_tensor", layout, pin_memory)
    target, where = as_dtype(dtype) or self.dtype, device_like(self, device)
    if isinstance(data, Tensor):
        return _copied("tensor.new_tensor", data, target, where, requires_grad)
    if grad_state.trace is not None:
        options: Any = {"dtype": dtype, "device": device, "requires_grad": requires_grad}
        if (made := _of_inputs(data, lambda data: new_tensor(self, data, **options))) is not None:
            return made
    return place(host_values(data, target), where, requires_grad)


@composite(methods=True, public=())
def new(self: Tensor, *args: Any, device: Any = None) -> Tensor:
    """A tensor of this one's dtype: of a size (`new(2, 3)`, `new(x.shape)`) or with the given data (`new([1, 2])`)."""
    if args and isinstance(args[0], Size):
        return new_empty(self, args[0], device=device)
    if not args or all(isinstance(a, int) for a in args):
        return new_empty(self, *(args or (0,)), device=device)
    return new_tensor(self, args[0], device=device) if not isinstance(args[0], Tensor) else args[0].detach()
