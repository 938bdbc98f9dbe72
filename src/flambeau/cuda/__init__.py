"""GPUs as JAX sees them, under torch's names. Without one the answers are those of PyTorch's builds without CUDA."""

from __future__ import annotations

import contextlib
import importlib
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..core.array.devices import device as _device
from ..core.array.devices import jax_devices as jax_devices
from ..core.dispatch.help import explain_namespace as _explain
from ..core.tensor.tensor import Tensor
from . import graphs, memory, nvtx, properties, random, streams
from ._devices import index_of as index_of
from ._devices import required as required
from ._devices import wait as wait
from .graphs import CUDAGraph as CUDAGraph
from .graphs import graph as graph
from .graphs import graph_pool_handle as graph_pool_handle
from .graphs import is_current_stream_capturing as is_current_stream_capturing
from .graphs import make_graphed_callables as make_graphed_callables
from .memory import CUDAPluggableAllocator as CUDAPluggableAllocator
from .memory import MemPool as MemPool
from .memory import caching_allocator_alloc as caching_allocator_alloc
from .memory import caching_allocator_delete as caching_allocator_delete
from .memory import caching_allocator_disabled as caching_allocator_disabled
from .memory import caching_allocator_enable as caching_allocator_enable
from .memory import change_current_allocator as change_current_allocator
from .memory import empty_cache as empty_cache
from .memory import get_allocator_backend as get_allocator_backend
from .memory import get_per_process_memory_fraction as get_per_process_memory_fraction
from .memory import host_memory_stats as host_memory_stats
from .memory import host_memory_stats_as_nested_dict as host_memory_stats_as_nested_dict
from .memory import list_gpu_processes as list_gpu_processes
from .memory import max_memory_allocated as max_memory_allocated
from .memory import max_memory_cached as max_memory_cached
from .memory import max_memory_reserved as max_memory_reserved
from .memory import mem_get_info as mem_get_info
from .memory import memory_allocated as memory_allocated
from .memory import memory_cached as memory_cached
from .memory import memory_reserved as memory_reserved
from .memory import memory_snapshot as memory_snapshot
from .memory import memory_stats as memory_stats
from .memory import memory_stats_as_nested_dict as memory_stats_as_nested_dict
from .memory import memory_summary as memory_summary
from .memory import reset_accumulated_host_memory_stats as reset_accumulated_host_memory_stats
from .memory import reset_accumulated_memory_stats as reset_accumulated_memory_stats
from .memory import reset_max_memory_allocated as reset_max_memory_allocated
from .memory import reset_max_memory_cached as reset_max_memory_cached
from .memory import reset_peak_host_memory_stats as reset_peak_host_memory_stats
from .memory import reset_peak_memory_stats as reset_peak_memory_stats
from .memory import set_per_process_memory_fraction as set_per_process_memory_fraction
from .memory import use_mem_pool as use_mem_pool
from .properties import _CudaDeviceProperties
from .properties import can_device_access_peer as can_device_access_peer
from .properties import clock_rate as clock_rate
from .properties import device_memory_used as device_memory_used
from .properties import get_arch_list as get_arch_list
from .properties import get_device_capability as get_device_capability
from .properties import get_device_properties as get_device_properties
from .properties import get_gencode_flags as get_gencode_flags
from .properties import is_tf32_supported as is_tf32_supported
from .properties import memory_usage as memory_usage
from .properties import power_draw as power_draw
from .properties import temperature as temperature
from .properties import utilization as utilization
from .random import get_rng_state as get_rng_state
from .random import get_rng_state_all as get_rng_state_all
from .random import initial_seed as initial_seed
from .random import manual_seed as manual_seed
from .random import manual_seed_all as manual_seed_all
from .random import seed as seed
from .random import seed_all as seed_all
from .random import set_rng_state as set_rng_state
from .random import set_rng_state_all as set_rng_state_all
from .streams import Event as Event
from .streams import ExternalStream as ExternalStream
from .streams import Stream as Stream
from .streams import StreamContext as StreamContext
from .streams import current_stream as current_stream
from .streams import default_stream as default_stream
from .streams import get_stream_from_external as get_stream_from_external
from .streams import set_stream as set_stream
from .streams import stream as stream

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
        if self.idx < 0:
            return
        if not is_available():
            raise RuntimeError("PyTorch was compiled without CUDA support: JAX finds no GPU here")
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


def _lazy_call(callable: Any, **kwargs: Any) -> None:
    """Call a function once GPUs are in use: at once where there is one, and never without."""
    if is_available():
        callable()


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


if TYPE_CHECKING:  # what `__getattr__` finds: a type checker takes a module that has one to have every name
    from . import amp, green_contexts, jiterator, nccl, profiler, sparse, tunable
    from .green_contexts import GreenContext as GreenContext

    AcceleratorError: type[RuntimeError]
    OutOfMemoryError: type[RuntimeError]
    BFloat16Tensor: Any
    BoolTensor: Any
    ByteTensor: Any
    CharTensor: Any
    DoubleTensor: Any
    FloatTensor: Any
    HalfTensor: Any
    IntTensor: Any
    LongTensor: Any
    ShortTensor: Any
    UInt16Tensor: Any
    UInt32Tensor: Any
    UInt64Tensor: Any
    BFloat16Storage: Any
    BoolStorage: Any
    ByteStorage: Any
    CharStorage: Any
    DoubleStorage: Any
    FloatStorage: Any
    HalfStorage: Any
    IntStorage: Any
    LongStorage: Any
    ShortStorage: Any
    ComplexDoubleStorage: Any
    ComplexFloatStorage: Any
else:

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
