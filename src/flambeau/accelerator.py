"""The accelerator of this machine, whichever kind it is: a GPU if JAX has one."""

from __future__ import annotations

from typing import Any

from . import cuda
from .core.array.devices import device

__all__ = [
    "current_accelerator",
    "current_device_idx",
    "current_device_index",
    "device_count",
    "empty_cache",
    "is_available",
    "max_memory_allocated",
    "memory_allocated",
    "synchronize",
]


def is_available() -> bool:
    """Whether there is an accelerator."""
    return cuda.is_available()


def device_count() -> int:
    """How many accelerators there are."""
    return cuda.device_count()


def current_accelerator(check_available: bool = False) -> device | None:
    """The kind of accelerator as a device without an index; None without one."""
    return device("cuda") if cuda.is_available() else None


def _required() -> None:
    if not cuda.is_available():
        raise RuntimeError("Cannot access accelerator device when none is available.")


def current_device_index() -> int:
    """The index of the accelerator in use. RuntimeError without one."""
    _required()
    return cuda.current_device()


current_device_idx = current_device_index


def synchronize(device: Any = None, /) -> None:
    """Wait until everything given to the accelerator is done. RuntimeError without one."""
    _required()
    cuda.synchronize(device)


def empty_cache() -> None:
    """Nothing to do: XLA's allocator keeps its memory. RuntimeError without an accelerator."""
    _required()


def memory_allocated(device_index: Any = None, /) -> int:
    """Bytes in use on the accelerator. RuntimeError without one."""
    _required()
    return cuda.memory_allocated(device_index)


def max_memory_allocated(device_index: Any = None, /) -> int:
    """The most bytes that were in use on the accelerator. RuntimeError without one."""
    _required()
    return cuda.max_memory_allocated(device_index)
