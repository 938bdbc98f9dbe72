"""Storages: the cells that tensors look into."""

from __future__ import annotations

import sys
from typing import Any

import jax
import numpy as np

from . import devices, geometry
from .grad_mode import state


class Storage:
    """A cell with one immutable array. All tensors that share memory share the cell.

    `version` counts the writes, so that a view knows when what it read is out of date.
    """

    __slots__ = ("value", "version", "host", "__weakref__")
    volatile = False  # whether the values can change without a new version
    on_host = False  # whether the values are in NumPy memory

    def __init__(self, value: Any):
        self.value = value
        self.version = 0

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    @property
    def dtype(self) -> np.dtype:
        return self.value.dtype

    def read(self, g: geometry.Geometry) -> Any:
        return geometry.read(self.value, g)

    def set(self, value: Any) -> None:
        """Replace the whole value."""
        self.value = value
        self.version += 1

    def set_part(self, g: geometry.Geometry, value: Any) -> None:
        self.set(geometry.write(self.value, g, value))

    def set_host(self, values: np.ndarray) -> None:
        """Replace the whole value by NumPy values that nobody else holds. They go to the device when first read."""
        self.__class__ = HostStorage  # type: ignore[assignment]
        self.host = values
        self.version += 1

    def share_with(self, array: np.ndarray | None = None) -> np.ndarray:
        """From now on, hold the values in NumPy memory (`array`, or a copy of the value) and return it.

        A write from either side is seen by the other, as PyTorch's shared memory has it. When nobody else holds the
        memory any more, the storage goes back to an immutable array.
        """
        if array is None:
            array = np.array(self.host if self.on_host else self.value)
        self.host = array.view()  # an object of our own, so that the owner's reference count tells of the others
        self.__class__ = SharedStorage  # type: ignore[assignment]
        return array


class Kept:
    """A storage on its way through `copy`, which keeps it, or through `pickle`, which copies it for every tensor."""

    def __init__(self, storage: Storage):
        self.storage = storage

    def __reduce__(self) -> Any:
        if state.trace is not None:
            raise RuntimeError("a tensor cannot be pickled inside a compiled function, which has no values yet")
        value = self.storage.value
        return _unpickled, (np.array(value), str(devices.from_jax(next(iter(value.devices())))))


def _unpickled(values: np.ndarray, where: str) -> Kept:
    return Kept(Storage(jax.device_put(values, devices.to_jax(devices.device(where)))))


class HostStorage(Storage):
    """A CPU storage whose values are still NumPy's. The first read makes it an ordinary one.

    Layers are made of values that are filled two or three times before anything is computed with them; this saves the
    trips to the device.
    """

    __slots__ = ()
    on_host = True

    @property
    def value(self) -> Any:  # type: ignore[override]
        host = self.host
        if host is None:  # another thread was here first
            return Storage.value.__get__(self)  # type: ignore[attr-defined]
        with jax.ensure_compile_time_eval():  # a value also where a function is being traced
            value = jax.device_put(host, devices.to_jax(devices.CPU))
        _settle(self, value)
        return value

    @property
    def shape(self) -> tuple[int, ...]:
        return self.host.shape

    @property
    def dtype(self) -> np.dtype:
        return self.host.dtype

    def set(self, value: Any) -> None:
        _settle(self, value)
        self.version += 1


def _settle(storage: Storage, value: Any) -> None:
    storage.__class__ = Storage
    storage.value = value
    storage.host = None


class SharedStorage(Storage):
    """A storage whose values lie in NumPy memory that others hold too. Every read is a fresh copy."""

    __slots__ = ()
    volatile = True
    on_host = True

    @property
    def value(self) -> Any:  # type: ignore[override]
        with jax.ensure_compile_time_eval():
            value = jax.device_put(self.host.copy(), devices.to_jax(devices.CPU))
        if _holders(self.host) <= _HOLDERS_ALONE:
            self.host = None
            self.__class__ = Storage  # type: ignore[assignment]
            self.value = value
            self.version += 1
        return value

    @property
    def shape(self) -> tuple[int, ...]:
        return self.host.shape

    @property
    def dtype(self) -> np.dtype:
        return self.host.dtype

    def read(self, g: geometry.Geometry) -> Any:
        if g.bits is not None or not self.host.flags.c_contiguous:
            return geometry.read(self.value, g)
        return jax.device_put(self.view(g).copy())

    def view(self, g: geometry.Geometry) -> np.ndarray:
        """The NumPy array that shows the same elements, sharing the memory."""
        size = self.host.itemsize
        flat = self.host.reshape(-1)[g.offset :] if g.numel else self.host.reshape(-1)
        return np.lib.stride_tricks.as_strided(flat, g.shape, [s * size for s in g.strides])

    def set(self, value: Any) -> None:
        self.host[...] = np.asarray(value)
        self.version += 1

    set_host = set


def _owner(array: np.ndarray) -> Any:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def _holders(view: np.ndarray) -> int:
    """How many references the memory's owner has; as many as there can be if the owner is no array."""
    owner = _owner(view)
    return sys.maxsize if owner.base is not None else sys.getrefcount(owner)


_HOLDERS_ALONE = _holders(np.zeros(1).view())
