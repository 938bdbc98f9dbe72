"""Devices by PyTorch's names, and the JAX devices behind them."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import re
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax._src.array import ArrayImpl
from jax._src.lib import xla_client

from ...native import reading
from ...native.channels_last import held as held_images
from ...runtime.ranks import each_its_own
from ...runtime.settings import changes_setting
from .meta import NOWHERE, MetaArray, NoData

_PLATFORMS = {"cpu": "cpu", "cuda": "gpu", "tpu": "tpu"}
_KNOWN = ("cpu", "cuda", "tpu", "meta", "mps", "xpu", "xla")


class device:
    """A device: `device('cpu')`, `device('cuda:0')`, `device('cuda', 0)`, `device(0)`.

    Making one does not need the device to be there; putting a tensor on it does.
    Raises RuntimeError for a string that is no device, and for a number where there is no accelerator.
    """

    __slots__ = ("type", "index")

    def __init__(self, type: Any = None, index: int | None = None):
        if isinstance(type, device):
            type, index = type.type, type.index
        elif isinstance(type, int) and not isinstance(type, bool):
            if type < 0:
                raise RuntimeError("Device index must not be negative")
            if not jax_devices("cuda"):
                raise RuntimeError("Cannot access accelerator device when none is available.")
            type, index = "cuda", type
        elif isinstance(type, str):
            if not type:
                raise RuntimeError("Device string must not be empty")
            match = re.fullmatch(r"([a-z]+)(?::(0|[1-9]\d*))?", type)
            if match is None:
                raise RuntimeError(f"Invalid device string: '{type}'")
            if match[2] is not None:
                if index is not None:
                    raise RuntimeError(
                        f"type (string) must not include an index because index was passed explicitly: {type}"
                    )
                index = int(match[2])
            type = match[1]
        else:
            raise TypeError(f"device() expects a string, an int or a device, got {type!r}")
        if type not in _KNOWN:
            raise RuntimeError(f"Expected one of {', '.join(_KNOWN)} device type at start of device string: {type}")
        self.type: str = type
        self.index: int | None = index

    def __repr__(self) -> str:
        return (
            f"device(type='{self.type}')" if self.index is None else f"device(type='{self.type}', index={self.index})"
        )

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __reduce__(self) -> tuple[Any, ...]:
        return (device, (self.type,) if self.index is None else (self.type, self.index))

    def __enter__(self) -> device:
        _stack.append(self)
        return self

    def __exit__(self, *exc: object) -> None:
        _stack.pop()


CPU = device("cpu")
META = device("meta")


class _Defaults(list[device]):
    """The default device, and those of `with` blocks above it."""


_stack: _Defaults = each_its_own(_Defaults([CPU]), _Defaults)


def get_default_device() -> device:
    """The device on which tensors are made when none is named."""
    return _stack[-1]


def asked_device() -> device | None:
    """The default device if somebody has set one, else None."""
    return _stack[-1] if len(_stack) > 1 or _stack[0] is not CPU else None


_device = device


@changes_setting
def set_default_device(device: Any) -> None:
    """Set the device on which tensors are made when none is named."""
    _stack[0] = CPU if device is None else _device(device)


@functools.cache
def jax_devices(type: str) -> tuple[Any, ...]:
    """JAX's devices of a type; empty if there are none."""
    try:
        return tuple(jax.local_devices(backend=_PLATFORMS[type]))
    except (RuntimeError, KeyError):
        return ()


@functools.cache
def to_jax(d: device) -> Any:
    """The JAX device. Raises RuntimeError (AssertionError for cuda and xpu, as PyTorch does) if it is not there."""
    if d.type == "meta":
        return NOWHERE
    found = jax_devices(d.type)
    if not found:
        if d.type == "cuda":
            raise AssertionError(
                "Torch not compiled with CUDA enabled: JAX finds no GPU here (is jax[cuda12] installed?)"
            )
        if d.type == "xpu":
            raise AssertionError("Torch not compiled with XPU enabled")
        raise RuntimeError(
            f"no {d.type} device is available here; JAX has {sorted({x.platform for x in jax.devices()})}"
        )
    index = d.index or 0
    if d.type == "cpu" and len(found) == 1:
        return found[0]  # any number means the one processor
    if index >= len(found):
        raise RuntimeError(f"{d}: invalid device ordinal, there are {len(found)} devices of this type")
    return found[index]


@functools.cache
def from_jax(d: Any) -> device:
    """The device of a JAX device."""
    if d.platform == "cpu":
        return CPU
    if d is NOWHERE:
        return META
    return device("cuda" if d.platform in ("gpu", "cuda", "rocm") else d.platform, d.local_hardware_id)


def resolve(d: Any) -> Any:
    """The JAX device of what a user gave as `device=` (None: the default)."""
    return to_jax(_stack[-1] if d is None else d if isinstance(d, device) else device(d))


def put(values: Any, where: Any) -> Any:
    """The values on a device (as `to_jax` gives it, or a sharding). Raises NoData for those that are on the meta device."""
    if where is NOWHERE:
        return MetaArray(np.shape(values), values.dtype)
    if type(values) is MetaArray:
        raise NoData
    if type(values) is np.ndarray:
        return from_numpy(values, where)
    if is_free(where) and not isinstance(values, jax.core.Tracer):
        return unbound(values, where)
    return _placed_apart(values, where)


_lent: dict[
    int, Any
] = {}  # id of an array whose memory something holds that no count of references tells of -> a weak reference to it


def lend(array: Any) -> Any:
    """Note that something else looks into an array's memory from now on, or has it, and give the array."""
    key = id(array)
    forget = _lent.pop  # a name of this function's, since globals may be gone when the last arrays are
    _lent[key] = weakref.ref(array, lambda _: forget(key, None))
    return array


def is_lent(array: Any) -> bool:
    """Whether something that no count of references tells of looks into an array's memory."""
    return bool(_lent) and id(array) in _lent


def _placed_apart(values: Any, where: Any) -> Any:
    source = _apart(values, where)
    made = jax.device_put(source, where)
    return lend(made) if type(source) is np.ndarray and type(values) is not np.ndarray else made


def _apart(values: Any, where: Any) -> Any:
    """Values of one device such that what is put at `where` has no memory in common with them that may be given over to a program.

    JAX does not copy what lies there already, and counts no holder. It never gives over memory that NumPy looks into.
    """
    device = getattr(values.sharding, "_device", None) if type(values) is ArrayImpl else None
    if (
        device is None
        or where is None
        or device not in (where.device_set if hasattr(where, "device_set") else (where,))
    ):
        return values
    return (
        np.asarray(values)
        if device.platform == "cpu" and not values.aval.weak_type
        else jax.numpy.array(values, copy=True)
    )


of_processes: set[Any] = set()  # devices of the client whose devices are the processes


def is_far(sharding: Any) -> bool:
    """Whether devices of other processes have a part, too, or could have one: a mesh of one process among several is one of
    the client that links them."""
    return not sharding.is_fully_addressable or not of_processes.isdisjoint(sharding.device_set)


def is_cut_far(array: Any) -> bool:
    """Whether other processes have values of an array that this one has not."""
    return isinstance(array, jax.Array) and not (array.is_fully_addressable or array.is_fully_replicated)


def spread(values: Any, sharding: Any) -> Any:
    """The values cut over devices as a sharding says. Where other processes have a part, all of them call this, and what is in
    this process alone is the same in each: every one takes its own part of it.
    """
    if type(values) is MetaArray:
        return values
    if not is_far(sharding):
        return _placed_apart(values, sharding)
    if isinstance(values, jax.Array) and is_far(values.sharding):
        return values if values.sharding == sharding else _mover(sharding)(values)
    host = np.asarray(values)
    return jax.make_array_from_callback(host.shape, sharding, lambda at: host[at])


@functools.lru_cache(256)
def _mover(sharding: Any) -> Any:
    return jax.jit(lambda values: values, out_shardings=sharding)


class _Mixing(threading.local):
    """Whether arrays of one process may be computed with together with those of several, as if they were the same in all."""

    on: bool = False

    @contextlib.contextmanager
    def allowed(self) -> Iterator[None]:
        before, self.on = self.on, True
        try:
            yield
        finally:
            self.on = before


mixing: _Mixing = _Mixing()


def brought_together(arrays: list[Any]) -> list[Any] | None:
    """Arrays of which some lie in several processes, with the others whole in each; None if that is not so or not allowed.
    Single numbers always go together.
    """
    far: list[Any] = [a for a in arrays if isinstance(a, jax.Array) and is_far(a.sharding)]
    near = [a for a in arrays if isinstance(a, jax.Array) and not is_far(a.sharding)]
    if not far or not (mixing.on or all(a.size == 1 and a.ndim == 0 for a in near)):
        return None
    whole = jax.sharding.NamedSharding(far[0].sharding.mesh, jax.sharding.PartitionSpec())
    return [spread(a, whole) if any(a is other for other in near) else a for a in arrays]


@functools.cache
def is_free(where: Any) -> bool:
    """Whether what lies here may be computed with together with what is cut over all the devices of this process.

    JAX moves arrays to where the others are unless they are bound to their device. Where there are several CPU devices, what
    is on the first of them is not bound.
    """
    return (
        isinstance(where, jax.Device) and where.platform == "cpu" and where is _first() and len(jax.local_devices()) > 1
    )


def unbound(values: Any, where: Any) -> Any:
    """The values on a device that `is_free`, not bound to it. Of what is whole on several devices, one's copy is taken."""
    sharding = jax.sharding.SingleDeviceSharding(where)
    first = values.addressable_shards[0]
    part = _apart(first.data, where) if first.device is where and values.is_fully_replicated else np.asarray(values)
    return xla_client.batched_device_put(_aval(values.shape, values.dtype), sharding, [part], [where], False)


def from_numpy(values: np.ndarray, where: Any = None) -> Any:
    """`jax.device_put(values, where)` of NumPy's values, without the 15 us in which Python finds out what they are.

    They are values also where a function is being traced.
    """
    if where is None and jax.config.jax_default_device is None:  # type: ignore[attr-defined]
        door = _door(_first())
    else:
        door = _door(where)
    if door is None or type(values) is not np.ndarray or not values.dtype.isbuiltin:
        with jax.ensure_compile_time_eval():
            return jax.device_put(values, where)
    device, sharding = door
    if not values.flags.c_contiguous:  # what NumPy spreads out or turns in 5 us takes JAX 150
        values = np.array(values, order="C")
    aval = _aval(values.shape, values.dtype)
    bound = where is not None and not is_free(where)
    return xla_client.batched_device_put(aval, sharding, [values], [device], bound)


def held(values: np.ndarray) -> Any:
    """NumPy's values as an array that programs take, wherever their other arguments are; NumPy's where there are several devices, or
    each call would move it.
    """
    return from_numpy(values) if len(jax.local_devices()) == 1 else values


def memory_of(array: Any) -> np.ndarray | None:
    """An array's own memory, in row-major order, as NumPy sees it; None where that can't be had without a copy."""
    if type(array) is not ArrayImpl or array.aval.weak_type or not array.dtype.isbuiltin:
        return None
    device = getattr(array.sharding, "_device", None)
    if device is None or device.platform != "cpu":
        return None
    host = np.asarray(array)
    return host if host.flags.c_contiguous else None


def is_on_the_cpu(array: Any) -> bool:
    """Whether an array lies on a CPU that is the only device."""
    device = getattr(array.sharding, "_device", None)
    return device is not None and device.platform == "cpu" and len(jax.local_devices()) == 1


def weak(value: float) -> Any:
    """A float or an int as an array that is as weak as it is, for programs to take; itself where there are several devices."""
    if len(jax.local_devices()) > 1:
        return value
    device, sharding = _door(_first())  # type: ignore[misc]
    values = np.asarray(value)
    aval = jax.core.ShapedArray((), values.dtype, weak_type=True)
    return xla_client.batched_device_put(aval, sharding, [values], [device], False)


_NUMBERS = {
    np.dtype(name): (getattr(ctypes, f"c_{kind}").from_address, np.dtype(name).itemsize)
    for name, kind in {
        "float32": "float", "float64": "double", "int64": "int64", "int32": "int32", "int16": "int16", "int8": "int8",
        "uint8": "uint8", "bool": "bool",
    }.items()
}  # fmt: skip


def number_in(array: Any, place: int = 0) -> Any:
    """The number at a place of an array, in row-major order, as Python's own; None where it is not at hand in the CPU's memory.

    JAX's way takes some microseconds, and keeps a look into the memory, after which XLA may not give it over to a program any more.
    """
    if held_images and id(array) in held_images:
        return None
    if (found := reading.functions.number_at(array, place)) is not None or type(array) is not ArrayImpl:
        return found
    reader = _NUMBERS.get(array.dtype)
    device = getattr(array.sharding, "_device", None)
    if reader is None or device is None or device.platform != "cpu" or array.is_deleted():
        return None
    if not array.is_ready():  # type: ignore[attr-defined]
        array.block_until_ready()
    return reader[0](array.unsafe_buffer_pointer() + place * reader[1]).value


def beside(values: np.ndarray, array: Any) -> Any:
    """NumPy's values as an array that lies where another one does, bound to the place as that is. What begins at a multiple of 64
    bytes is not copied: it stays the memory of whoever has it, and nothing may be written there.
    """
    sharding = array.sharding
    aval = _aval(values.shape, values.dtype)
    made = xla_client.batched_device_put(aval, sharding, [values], [sharding._device], array.committed)
    return lend(made)


@functools.cache
def _first() -> Any:
    return jax.local_devices()[0]


@functools.lru_cache(1024)
def _aval(shape: tuple[int, ...], dtype: np.dtype) -> Any:
    return jax.core.ShapedArray(shape, dtype)


@functools.cache
def _door(where: Any) -> tuple[Any, Any] | None:
    """A device of this process and its sharding (or that of an array which is there); None for what else JAX knows as a place."""
    lies = type(where) is jax.sharding.SingleDeviceSharding
    place = where._device if lies else where
    if not isinstance(place, jax.Device) or place.process_index != jax.process_index():
        return None
    return place, where if lies else jax.sharding.SingleDeviceSharding(where)
