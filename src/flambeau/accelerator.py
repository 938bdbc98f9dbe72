"""The accelerator of this machine, whichever kind it is: a GPU if JAX has one."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from . import cuda
from .core.array import dtypes
from .core.array.devices import device
from .core.dispatch.help import explain_namespace as _explain_namespace

__path__: list[str] = []  # the modules below it are in `served.txt`
__all__ = [
    "Graph",
    "current_accelerator",
    "current_device_idx",
    "current_device_index",
    "current_stream",
    "device_count",
    "device_index",
    "empty_cache",
    "empty_host_cache",
    "get_device_capability",
    "get_memory_info",
    "is_available",
    "max_memory_allocated",
    "max_memory_reserved",
    "memory_allocated",
    "memory_reserved",
    "memory_stats",
    "reset_accumulated_memory_stats",
    "reset_peak_memory_stats",
    "set_device_idx",
    "set_device_index",
    "set_stream",
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


def current_device_idx() -> int:
    """The old name of `current_device_index`."""
    warnings.warn("Use `current_device_index` instead.", FutureWarning, stacklevel=2)
    return current_device_index()


def set_device_index(device: Any, /) -> None:
    """Make an accelerator the one in use; so far only the first can be. RuntimeError without one."""
    _required()
    cuda.set_device(device)


def set_device_idx(device: Any, /) -> None:
    """The old name of `set_device_index`."""
    warnings.warn("Use `set_device_index` instead.", FutureWarning, stacklevel=2)
    set_device_index(device)


class device_index(cuda.device):
    """A context in which an accelerator is the one in use; None means none. RuntimeError on entering it without one."""

    def __init__(self, device: int | None, /):
        self._asked = device is not None
        super().__init__(-1 if device is None else device)

    def __enter__(self) -> None:
        if self._asked:
            _required()
        super().__enter__()


def current_stream(device: Any = None, /) -> cuda.Stream:
    """The stream of the accelerator. RuntimeError without one."""
    _required()
    return cuda.current_stream(device)


def set_stream(stream: cuda.Stream) -> None:
    """Nothing to do: an accelerator has one stream. RuntimeError without one."""
    _required()
    cuda.set_stream(stream)


def get_device_capability(device: Any = None, /) -> dict[str, Any]:
    """The dtypes that the accelerator computes with. RuntimeError without one."""
    _required()
    return {"supported_dtypes": {d for d in dtypes.DTYPES if d.category != dtypes.COMPLEX}}


class Graph:
    """Refused: XLA records its own. RuntimeError without an accelerator, NotImplementedError with one."""

    def __init__(self, *args: Any, **options: Any):
        _required()
        raise NotImplementedError("torch.accelerator.Graph: compile the step with torch.compile")


def synchronize(device: Any = None, /) -> None:
    """Wait until everything given to the accelerator is done. RuntimeError without one."""
    _required()
    cuda.synchronize(device)


def empty_cache() -> None:
    """Nothing to do: XLA's allocator keeps its memory. RuntimeError without an accelerator."""
    _required()


def empty_host_cache() -> None:
    """Nothing to do: JAX keeps no pinned memory. RuntimeError without an accelerator."""
    _required()


def _of_the_device(name: str, says: str) -> Callable[..., Any]:
    asked = getattr(cuda, name)

    def told(device_index: Any = None, /) -> Any:
        _required()
        return asked(device_index)

    told.__name__ = told.__qualname__ = {"mem_get_info": "get_memory_info"}.get(name, name)
    told.__doc__ = f"{says} RuntimeError without an accelerator."
    return told


memory_allocated: Callable[..., Any] = _of_the_device("memory_allocated", "Bytes in use on the accelerator.")
max_memory_allocated: Callable[..., Any] = _of_the_device(
    "max_memory_allocated", "The most bytes that were in use on the accelerator."
)
memory_reserved: Callable[..., Any] = _of_the_device("memory_reserved", "Bytes that the allocator holds.")
max_memory_reserved: Callable[..., Any] = _of_the_device(
    "max_memory_reserved", "The most bytes that the allocator held."
)
memory_stats: Callable[..., Any] = _of_the_device("memory_stats", "The allocator's figures.")
get_memory_info: Callable[..., Any] = _of_the_device("mem_get_info", "Bytes that are free, and all.")
reset_peak_memory_stats: Callable[..., Any] = _of_the_device(
    "reset_peak_memory_stats", "Warns: peaks are of the whole process."
)
reset_accumulated_memory_stats: Callable[..., Any] = _of_the_device(
    "reset_accumulated_memory_stats", "Warns: sums are of the whole process."
)

_explain_namespace(globals(), "torch.accelerator")
