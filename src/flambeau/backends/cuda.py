"""Switches of products and attention on a GPU. They are accepted."""

from __future__ import annotations

import contextlib
import enum
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from ..core.array.devices import jax_devices as jax_devices
from ..core.dispatch.help import explain_namespace as _explain_namespace
from ..cuda._devices import index_of as index_of
from ..cuda._devices import required as required
from ..nn.attention import SDPBackend as SDPBackend
from ..nn.attention import enabled as kernels
from ..nn.attention import sdpa_kernel as sdpa_kernel
from ..runtime.settings import Telling as _Telling
from ..runtime.settings import asks_setting as _asks_setting
from ..runtime.settings import changes_setting as _changes_setting
from ._precision import both as _both
from ._precision import switch as _switch_of


class cuBLASModule(_Telling):
    """Switches of products in less precision. They are remembered; XLA's own are `jax_default_matmul_precision` and XLA_FLAGS."""

    allow_tf32 = _both("cuda", "matmul")
    fp32_precision = _switch_of("cuda", "matmul")

    def __init__(self) -> None:
        self.allow_fp16_accumulation = False
        self.allow_fp16_reduced_precision_reduction = True
        self.allow_bf16_reduced_precision_reduction = True

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"Unknown attribute {name}")


matmul: cuBLASModule = cuBLASModule()


def is_built() -> bool:
    """Whether this is a build of torch for CUDA: never."""
    return False


# --- plans of Fourier transforms: XLA keeps them to itself ----------------------------------------------------------


class cuFFTPlanCacheAttrContextProp:
    """An attribute that is read by one function and written by another; a text refuses to be written."""

    def __init__(self, getter: Callable[[Any], Any], setter: Callable[[Any, Any], None] | str):
        self.getter = getter
        self.setter = setter

    def __get__(self, obj: Any, owner: Any = None) -> Any:
        return self.getter(obj.device_index)

    def __set__(self, obj: Any, value: Any) -> None:
        if isinstance(self.setter, str):
            raise RuntimeError(self.setter)
        self.setter(obj.device_index, value)


def _held(device_index: int) -> int:
    required(device_index)
    return 0


def _limit(device_index: int, size: int) -> None:
    required(device_index)
    raise NotImplementedError("torch.backends.cuda.cufft_plan_cache.max_size: XLA keeps its plans to itself")


class cuFFTPlanCache:
    """The plans for one GPU: XLA does not tell of its own, so none are seen. AssertionError without a GPU."""

    def __init__(self, device_index: int):
        self.device_index = device_index

    size: cuFFTPlanCacheAttrContextProp = cuFFTPlanCacheAttrContextProp(
        _held, ".size is a read-only property showing the number of plans currently in the cache"
    )  # type: ignore[arg-type]
    max_size: cuFFTPlanCacheAttrContextProp = cuFFTPlanCacheAttrContextProp(_held, _limit)

    def clear(self) -> None:
        """Nothing is seen, so nothing is thrown away."""
        required(self.device_index)


class cuFFTPlanCacheManager:
    """The plans of all GPUs, by index; used itself, those of the first."""

    def __getitem__(self, device: Any) -> cuFFTPlanCache:
        index, there = index_of(device), len(jax_devices("cuda"))
        if not 0 <= index < there:
            raise RuntimeError(
                f"cufft_plan_cache: expected 0 <= device index < {there}, but got device with index {index}"
            )
        return cuFFTPlanCache(index)

    def __getattr__(self, name: str) -> Any:
        return getattr(cuFFTPlanCache(0), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(cuFFTPlanCache(0), name, value)


cufft_plan_cache: cuFFTPlanCacheManager = cuFFTPlanCacheManager()


# --- which library computes: XLA chooses -----------------------------------------------------------------------------


class _BlasBackend(enum.Enum):
    Default, Cublas, Cublaslt, Ck = range(4)


class _LinalgBackend(enum.Enum):
    Default, Cusolver, Magma = range(3)


class _ROCmFABackend(enum.Enum):
    Default, AOTriton, Ck = range(3)


def _preferred(name: str, kind: type[enum.Enum], at_first: enum.Enum, spoken: dict[str, str]) -> Any:
    def preferred(backend: Any = None) -> Any:
        if isinstance(backend, str):
            if backend not in spoken:
                raise RuntimeError(f"Unknown input value. Choose from: {', '.join(spoken)}.")
            backend = kind[spoken[backend]]
        if backend is not None and not isinstance(backend, kind):
            raise RuntimeError("Unknown input value type.")
        if backend not in (None, at_first, kind["Default"]):
            raise RuntimeError(
                f"torch.backends.cuda.{name}: Cannot set preferred backend to {backend.name} if PyTorch has not been compiled "
                "with it: XLA chooses between its libraries itself"
            )
        return at_first

    preferred.__name__ = preferred.__qualname__ = name
    preferred.__doc__ = "The library that PyTorch would prefer. XLA chooses: another one is refused (RuntimeError)."
    return preferred


preferred_blas_library: Any = _preferred(
    "preferred_blas_library", _BlasBackend, _BlasBackend.Cublas,
    {"default": "Default", "cublas": "Cublas", "cublaslt": "Cublaslt", "hipblaslt": "Cublaslt", "ck": "Ck"},
)  # fmt: skip
preferred_linalg_library: Any = _preferred(
    "preferred_linalg_library", _LinalgBackend, _LinalgBackend.Default,
    {"default": "Default", "cusolver": "Cusolver", "magma": "Magma"},
)  # fmt: skip
preferred_rocm_fa_library: Any = _preferred(
    "preferred_rocm_fa_library", _ROCmFABackend, _ROCmFABackend.Default,
    {"default": "Default", "aotriton": "AOTriton", "ck": "Ck"},
)  # fmt: skip


def blas_workspace_size(size: int | None = None, backend: Any = None) -> int:
    """Refused: XLA keeps its libraries' memory to itself. AssertionError without a GPU."""
    required()
    raise NotImplementedError("torch.backends.cuda.blas_workspace_size: XLA keeps its libraries' memory to itself")


def cublas_workspace_size(size: int | None = None) -> int:
    """Refused, as `blas_workspace_size`."""
    return blas_workspace_size(size, "cublas")


def cublaslt_workspace_size(size: int | None = None) -> int:
    """Refused, as `blas_workspace_size`."""
    return blas_workspace_size(size, "cublaslt")


# --- attention: one form of it takes everything; which kernels were named is remembered ----------------------------


class SDPAParams:
    """The arguments of an attention, to ask what a kernel would say of them."""

    def __init__(
        self, query: Any, key: Any, value: Any, attn_mask: Any, dropout: float, is_causal: bool, enable_gqa: bool
    ) -> None:
        self.query = query
        self.key = key
        self.value = value
        self.attn_mask = attn_mask
        self.dropout = dropout
        self.is_causal = is_causal
        self.enable_gqa = enable_gqa


def _switch(name: str, kernel: SDPBackend) -> tuple[Callable[[bool], None], Callable[[], bool]]:
    @_changes_setting
    def enable(enabled: bool) -> None:
        kernels[kernel] = bool(enabled)

    @_asks_setting
    def is_enabled() -> bool:
        return kernels[kernel]

    enable.__name__ = enable.__qualname__ = f"enable_{name}_sdp"
    enable.__doc__ = "Accepted: there is one form of attention."
    is_enabled.__name__ = is_enabled.__qualname__ = f"{name}_sdp_enabled"
    is_enabled.__doc__ = f"What `{enable.__name__}` was told."
    return enable, is_enabled


enable_flash_sdp: Callable[..., Any]
flash_sdp_enabled: Callable[..., Any]
enable_flash_sdp, flash_sdp_enabled = _switch("flash", SDPBackend.FLASH_ATTENTION)
enable_mem_efficient_sdp: Callable[..., Any]
mem_efficient_sdp_enabled: Callable[..., Any]
enable_mem_efficient_sdp, mem_efficient_sdp_enabled = _switch("mem_efficient", SDPBackend.EFFICIENT_ATTENTION)
enable_math_sdp: Callable[..., Any]
math_sdp_enabled: Callable[..., Any]
enable_math_sdp, math_sdp_enabled = _switch("math", SDPBackend.MATH)
enable_cudnn_sdp: Callable[..., Any]
cudnn_sdp_enabled: Callable[..., Any]
enable_cudnn_sdp, cudnn_sdp_enabled = _switch("cudnn", SDPBackend.CUDNN_ATTENTION)
_reduced = {"allowed": False}


def allow_fp16_bf16_reduction_math_sdp(enabled: bool) -> None:
    """Accepted: sums of half precision numbers are made in float32."""
    _reduced["allowed"] = bool(enabled)


def fp16_bf16_reduction_math_sdp_allowed() -> bool:
    """What `allow_fp16_bf16_reduction_math_sdp` was told."""
    return _reduced["allowed"]


def is_flash_attention_available() -> bool:
    """Whether PyTorch's own kernel is there: never."""
    return False


def is_ck_sdpa_available() -> bool:
    """Whether AMD's kernel is there: never."""
    return False


def _never(params: SDPAParams, debug: bool = False) -> bool:
    """Whether PyTorch's own kernel takes these arguments: it is not there."""
    return False


can_use_cudnn_attention: Callable[..., Any]
can_use_efficient_attention: Callable[..., Any]
can_use_flash_attention = can_use_efficient_attention = can_use_cudnn_attention = _never


@contextlib.contextmanager
def sdp_kernel(
    enable_flash: bool = True, enable_math: bool = True, enable_mem_efficient: bool = True, enable_cudnn: bool = True
) -> Iterator[None]:
    """The old form of `torch.nn.attention.sdpa_kernel`."""
    warnings.warn(
        "`torch.backends.cuda.sdp_kernel()` is deprecated. In the future, this context manager will be removed. Please "
        "see `torch.nn.attention.sdpa_kernel()` for the new context manager, with updated signature.",
        FutureWarning,
        stacklevel=3,
    )
    wanted = {
        SDPBackend.FLASH_ATTENTION: enable_flash,
        SDPBackend.MATH: enable_math,
        SDPBackend.EFFICIENT_ATTENTION: enable_mem_efficient,
        SDPBackend.CUDNN_ATTENTION: enable_cudnn,
    }
    with sdpa_kernel([kernel for kernel, on in wanted.items() if on]):
        yield


_explain_namespace(globals(), "torch.backends.cuda")
