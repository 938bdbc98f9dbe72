"""A GPU's memory, as far as JAX's allocator tells."""

from __future__ import annotations

import contextlib
import subprocess
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from ..core.array.devices import jax_devices
from ._devices import index_of, required
from ._nvml import handle as _handle

__all__ = [
    "CUDAPluggableAllocator",
    "MemPool",
    "caching_allocator_alloc",
    "caching_allocator_delete",
    "caching_allocator_disabled",
    "caching_allocator_enable",
    "change_current_allocator",
    "empty_cache",
    "get_allocator_backend",
    "get_per_process_memory_fraction",
    "host_memory_stats",
    "host_memory_stats_as_nested_dict",
    "list_gpu_processes",
    "max_memory_allocated",
    "max_memory_cached",
    "max_memory_reserved",
    "mem_get_info",
    "memory_allocated",
    "memory_cached",
    "memory_reserved",
    "memory_snapshot",
    "memory_stats",
    "memory_stats_as_nested_dict",
    "memory_summary",
    "reset_accumulated_host_memory_stats",
    "reset_accumulated_memory_stats",
    "reset_max_memory_allocated",
    "reset_max_memory_cached",
    "reset_peak_host_memory_stats",
    "reset_peak_memory_stats",
    "set_per_process_memory_fraction",
    "use_mem_pool",
]


def _told(device: Any) -> dict[str, int]:
    """What the allocator tells; nothing without a GPU."""
    return dict(required(index_of(device)).memory_stats() or {}) if jax_devices("cuda") else {}


def empty_cache() -> None:
    """Nothing to do: XLA's allocator keeps its memory (XLA_PYTHON_CLIENT_ALLOCATOR=platform gives it back)."""


def memory_allocated(device: Any = None) -> int:
    """Bytes in use on a GPU; 0 without one, or where JAX does not tell."""
    return int(_told(device).get("bytes_in_use", 0))


def max_memory_allocated(device: Any = None) -> int:
    """The most bytes that were in use on a GPU since the process began; 0 without one, or where JAX does not tell."""
    return int(_told(device).get("peak_bytes_in_use", 0))


def memory_reserved(device: Any = None) -> int:
    """Bytes that the allocator holds; 0 without a GPU."""
    told = _told(device)
    return int(told.get("pool_bytes", told.get("bytes_reserved", told.get("bytes_in_use", 0))))


def max_memory_reserved(device: Any = None) -> int:
    """The most bytes that the allocator held; 0 without a GPU."""
    told = _told(device)
    return int(told.get("peak_pool_bytes", told.get("peak_bytes_in_use", 0)))


def memory_cached(device: Any = None) -> int:
    """The old name of `memory_reserved`."""
    warnings.warn(
        "`torch.cuda.memory_cached` has been renamed to `torch.cuda.memory_reserved`", FutureWarning, stacklevel=2
    )
    return memory_reserved(device)


def max_memory_cached(device: Any = None) -> int:
    """The old name of `max_memory_reserved`."""
    warnings.warn(
        "`torch.cuda.max_memory_cached` has been renamed to `torch.cuda.max_memory_reserved`",
        FutureWarning,
        stacklevel=2,
    )
    return max_memory_reserved(device)


_NAMES = {
    "allocated_bytes.all.current": "bytes_in_use",
    "allocated_bytes.all.peak": "peak_bytes_in_use",
    "reserved_bytes.all.current": "pool_bytes",
    "reserved_bytes.all.peak": "peak_pool_bytes",
    "allocation.all.allocated": "num_allocs",
}


def memory_stats(device: Any = None) -> OrderedDict[str, Any]:
    """PyTorch's names for those of JAX's figures that have one, then JAX's own; empty without a GPU."""
    told = _told(device)
    named = {name: told[theirs] for name, theirs in _NAMES.items() if theirs in told}
    return OrderedDict(sorted({**named, **told}.items()))


def memory_stats_as_nested_dict(device: Any = None) -> dict[str, Any]:
    """JAX's own figures."""
    return _told(device)


def memory_summary(device: Any = None, abbreviated: bool = False) -> str:
    """JAX's figures, one in a line."""
    return "\n".join(f"{name:>40}  {value:,}" for name, value in memory_stats(device).items())


def memory_snapshot(mempool_id: Any = None) -> list[Any]:
    """Refused: JAX's allocator doesn't list its blocks; `jax.profiler.save_device_memory_profile` writes a profile."""
    required()
    raise NotImplementedError("torch.cuda.memory_snapshot: JAX's allocator does not list its blocks")


def host_memory_stats() -> OrderedDict[str, Any]:
    """Empty: JAX keeps no pinned memory for the host."""
    return OrderedDict()


def host_memory_stats_as_nested_dict() -> dict[str, Any]:
    """Empty: JAX keeps no pinned memory for the host."""
    return {}


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """Bytes that are free on a GPU, and all: of what the driver tells, or the part that JAX may use. AssertionError without."""
    index = index_of(device)
    required(index)
    asked = ["nvidia-smi", f"--id={index}", "--query-gpu=memory.free,memory.total", "--format=csv,noheader,nounits"]
    try:
        free, total = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=20).stdout.split(",")
        return int(free) << 20, int(total) << 20
    except (OSError, ValueError, subprocess.SubprocessError):
        told = _told(index)
        limit = int(told.get("bytes_limit", 0))
        return limit - int(told.get("bytes_in_use", 0)), limit


def _kept(name: str) -> None:
    required()
    warnings.warn(
        f"torch.cuda.{name}: JAX's allocator keeps its figures from the start of the process and can't be told to begin anew, "
        "so peaks stay those of the whole process; take differences of memory_allocated()",
        stacklevel=3,
    )


def reset_peak_memory_stats(device: Any = None) -> None:
    """Warns: peaks stay those of the whole process. AssertionError without a GPU."""
    _kept("reset_peak_memory_stats")


def reset_accumulated_memory_stats(device: Any = None) -> None:
    """Warns as `reset_peak_memory_stats`."""
    _kept("reset_accumulated_memory_stats")


def reset_max_memory_allocated(device: Any = None) -> None:
    """Warns as `reset_peak_memory_stats`."""
    _kept("reset_max_memory_allocated")


def reset_max_memory_cached(device: Any = None) -> None:
    """Warns as `reset_peak_memory_stats`."""
    _kept("reset_max_memory_cached")


def reset_peak_host_memory_stats() -> None:
    """Nothing to do: JAX keeps no pinned memory for the host."""


def reset_accumulated_host_memory_stats() -> None:
    """Nothing to do: JAX keeps no pinned memory for the host."""


def set_per_process_memory_fraction(fraction: float, device: Any = None) -> None:
    """Refused: XLA_PYTHON_CLIENT_MEM_FRACTION says it before the process starts. AssertionError without a GPU."""
    required(index_of(device))
    if not isinstance(fraction, float):
        raise TypeError("Invalid type for fraction argument, must be `float`")
    if not 0 <= fraction <= 1:
        raise ValueError(f"Invalid fraction value: {fraction}. Allowed range: 0~1")
    raise NotImplementedError(
        "torch.cuda.set_per_process_memory_fraction: set XLA_PYTHON_CLIENT_MEM_FRACTION before the process starts"
    )


def get_per_process_memory_fraction(device: Any = None) -> float:
    """The part of a GPU's memory that JAX may use. AssertionError without a GPU."""
    required(index_of(device))
    _, total = mem_get_info(device)
    return min(1.0, int(_told(device).get("bytes_limit", total)) / total) if total else 1.0


def get_allocator_backend() -> str:
    """`native`: JAX's own allocator."""
    return "native"


@contextlib.contextmanager
def use_mem_pool(pool: Any, device: Any = None) -> Iterator[None]:
    """Refused: XLA's memory comes from one pool."""
    required(index_of(device))
    raise NotImplementedError("torch.cuda.use_mem_pool: XLA's memory comes from one pool")
    yield


def caching_allocator_alloc(size: int, device: Any = None, stream: Any = None) -> int:
    """Refused: XLA gives memory to arrays only. AssertionError without a GPU."""
    required(index_of(device))
    raise NotImplementedError("torch.cuda.caching_allocator_alloc: XLA gives memory to arrays only")


def caching_allocator_delete(mem_ptr: int) -> None:
    """Refused as `caching_allocator_alloc`."""
    required()
    raise NotImplementedError("torch.cuda.caching_allocator_delete: XLA gives memory to arrays only")


def caching_allocator_enable(value: bool = True) -> None:
    """True is how it is; False is refused where there is a GPU."""
    if not value and jax_devices("cuda"):
        raise NotImplementedError(
            "torch.cuda.caching_allocator_enable(False): set XLA_PYTHON_CLIENT_ALLOCATOR=platform"
        )


@contextlib.contextmanager
def caching_allocator_disabled() -> Iterator[None]:
    """A context in which memory that was given back is not kept: refused where there is a GPU."""
    caching_allocator_enable(False)
    yield


class CUDAPluggableAllocator:
    """Refused: XLA takes no allocators from outside."""

    def __init__(self, path_to_so_file: str, alloc_fn_name: str, free_fn_name: str):
        raise NotImplementedError("torch.cuda.CUDAPluggableAllocator: XLA takes no allocators from outside")


class MemPool:
    """Refused: XLA's memory comes from one pool."""

    def __init__(self, *args: Any, **options: Any):
        raise RuntimeError("Tried to instantiate dummy base class MemPool: XLA's memory comes from one pool")


def change_current_allocator(allocator: Any) -> None:
    """Refused: XLA takes no allocators from outside."""
    raise NotImplementedError("torch.cuda.change_current_allocator: XLA takes no allocators from outside")


def _record_memory_history(enabled: str | None = "all", *args: Any, **options: Any) -> None:
    """Refused where there is a GPU: `jax.profiler.save_device_memory_profile` writes what lives at a moment."""
    required()
    if enabled is not None:
        raise NotImplementedError(
            "torch.cuda.memory._record_memory_history: use jax.profiler.save_device_memory_profile"
        )


def list_gpu_processes(device: Any = None) -> str:
    """The processes that use a GPU, and their memory."""
    try:
        library, handle = _handle(device)
    except ModuleNotFoundError:
        return "pynvml module not found, please install nvidia-ml-py"
    lines = [f"GPU:{index_of(device)}"]
    found = library.nvmlDeviceGetComputeRunningProcesses(handle)
    for process in found:
        lines.append(f"process {process.pid:>10d} uses {process.usedGpuMemory / (1 << 20):>12.3f} MB GPU memory")
    return "\n".join(lines if found else [*lines, "no processes are running"])
