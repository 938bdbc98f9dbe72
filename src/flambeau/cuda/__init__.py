"""GPUs as JAX sees them, under torch's names. Without one the answers are those of PyTorch's builds without CUDA."""

from __future__ import annotations

import contextlib
import importlib
from types import TracebackType
from typing import Any

from ..core.array.devices import device as _device
from ..core.array.devices import jax_devices
from ..core.dispatch.help import explain_namespace as _explain
from ..core.tensor.tensor import Tensor
from . import graphs, memory, nvtx, properties, random, streams
from ._devices import index_of, required, wait
from .graphs import CUDAGraph, graph, graph_pool_handle, is_current_stream_capturing, make_graphed_callables
from .memory import (
    CUDAPluggableAllocator,
    MemPool,
    caching_allocator_alloc,
    caching_allocator_delete,
    caching_allocator_disabled,
    caching_allocator_enable,
    change_current_allocator,
    empty_cache,
    get_allocator_backend,
    get_per_process_memory_fraction,
    host_memory_stats,
    host_memory_stats_as_nested_dict,
    max_memory_allocated,
    max_memory_cached,
    max_memory_reserved,
    mem_get_info,
    memory_allocated,
    memory_cached,
    memory_reserved,
    memory_snapshot,
    memory_stats,
    memory_stats_as_nested_dict,
    memory_summary,
    reset_accumulated_host_memory_stats,
    reset_accumulated_memory_stats,
    reset_max_memory_allocated,
    reset_max_memory_cached,
    reset_peak_host_memory_stats,
    reset_peak_memory_stats,
    set_per_process_memory_fraction,
    use_mem_pool,
)
from .properties import (
    _CudaDeviceProperties,
    can_device_access_peer,
    clock_rate,
    device_memory_used,
    get_arch_list,
    get_device_capability,
    get_device_properties,
    get_gencode_flags,
    is_tf32_supported,
    list_gpu_processes,
    memory_usage,
    power_draw,
    temperature,
    utilization,
)
from .random import (
    get_rng_state,
    get_rng_state_all,
    initial_seed,
    manual_seed,
    manual_seed_all,
    seed,
    seed_all,
    set_rng_state,
    set_rng_state_all,
)
from .streams import (
    Event,
    ExternalStream,
    Stream,
    StreamContext,
    current_stream,
    default_stream,
    get_stream_from_external,
    set_stream,
    stream,
)

has_half: bool = True
has_magma: bool = False
default_generators: tuple[Any, ...] = ()  # the one on the host serves all devices


class DeferredCudaCallError(Exception):
    """What a call that waited for CUDA's start raised; none waits here."""


class cudaStatus:
    """Codes that CUDA's runtime gives back."""

    SUCCESS = 0
    ERROR_NOT_READY = 34


def check_error(res: int) -> None:
    """Raise CudaError for a code that is not `cudaStatus.SUCCESS`."""
    if res != cudaStatus.SUCCESS:
        raise CudaError(res)


class CudaError(RuntimeError):
    """An error code of CUDA's runtime."""

    def __init__(self, code: int):
        super().__init__(f"({code}) an error of CUDA's runtime")


def is_available() -> bool:
    """Whether JAX has a GPU."""
    return bool(jax_devices("cuda"))


def device_count() -> int:
    """The number of GPUs that JAX has."""
    return len(jax_devices("cuda"))


def current_device() -> int:
    """The index of the GPU in use. Raises AssertionError without one."""
    required()
    return 0


def get_device_name(device: Any = None) -> str:
    """The name of a GPU. Raises AssertionError without one."""
    return required(index_of(device)).device_kind


def synchronize(device: Any = None) -> None:
    """Wait until everything given to the device is done. AssertionError without one."""
    wait(index_of(device))


def set_device(device: Any) -> None:
    """Make a GPU the one that `cuda()` without an index means; so far only the first can be. AssertionError without one."""
    required(index_of(device))
    if index_of(device):
        raise NotImplementedError("cuda.set_device() is not there yet for another GPU than 0: say .to('cuda:1')")


class device(contextlib.AbstractContextManager[None]):
    """A context in which a GPU is the one in use; so far only the first can be. A negative index means none."""

    def __init__(self, device: Any):
        self.idx: int = index_of(device)

    def __enter__(self) -> None:
        if self.idx >= 0 and is_available():
            set_device(self.idx)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class device_of(device):
    """The same for the GPU on which a tensor lies; a tensor elsewhere means none."""

    def __init__(self, obj: Tensor):
        super().__init__(obj.get_device() if obj.is_cuda else -1)


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """Whether there is a GPU (XLA has bfloat16 on all)."""
    return is_available()


def is_initialized() -> bool:
    """Whether there is a GPU to use; JAX needs no further start."""
    return is_available()


def init() -> None:
    """Nothing to do where there is a GPU. AssertionError without one."""
    required()


_lazy_init = init


def _is_in_bad_fork() -> bool:
    return False


def cudart() -> Any:
    """Refused: JAX doesn't hand out CUDA's runtime. AssertionError without a GPU."""
    required()
    raise NotImplementedError("torch.cuda.cudart: JAX does not hand out CUDA's runtime")


def current_blas_handle() -> int:
    """Refused: XLA keeps its handles to itself. AssertionError without a GPU."""
    required()
    raise NotImplementedError("torch.cuda.current_blas_handle: XLA keeps its handles to itself")


def current_solver_handle() -> int:
    """Refused: XLA keeps its handles to itself. AssertionError without a GPU."""
    required()
    raise NotImplementedError("torch.cuda.current_solver_handle: XLA keeps its handles to itself")


def ipc_collect() -> None:
    """Nothing to collect: other processes can't see XLA's memory. AssertionError without a GPU."""
    required()


def get_sync_debug_mode() -> int:
    """0: nothing warns of waiting. AssertionError without a GPU."""
    required()
    return 0


def set_sync_debug_mode(debug_mode: int | str) -> None:
    """ "default" (0) is how it is; others are refused. AssertionError without a GPU."""
    required()
    if debug_mode not in (0, "default"):
        raise NotImplementedError("torch.cuda.set_sync_debug_mode: XLA does not tell when it waits for a device")


_LATE = {"amp", "green_contexts", "jiterator", "nccl", "profiler", "sparse", "tunable"}


def __getattr__(name: str) -> Any:
    from ..core.tensor.typed import CUDA_TENSOR_TYPES
    from ..core.tensor.typed_memory import CUDA_LEGACY

    if name in ("OutOfMemoryError", "AcceleratorError"):
        return getattr(importlib.import_module("flambeau"), name)
    if name == "_initialized":  # asked by reversible networks, which keep the state of the GPU's generator if so
        return is_initialized()
    if name == "GreenContext":
        return importlib.import_module(f"{__package__}.green_contexts").GreenContext
    if name in _LATE:
        return importlib.import_module(f"{__package__}.{name}")
    if name in CUDA_TENSOR_TYPES:
        return CUDA_TENSOR_TYPES[name]
    if name in CUDA_LEGACY:
        return CUDA_LEGACY[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r} (yet)")


_explain(globals(), "torch.cuda", homes=("flambeau.cuda",), without=("index_of", "required", "wait"))
