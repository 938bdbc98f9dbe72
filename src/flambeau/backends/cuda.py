"""Switches of products and attention on a GPU. They are accepted."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

from ..nn.attention import SDPBackend, sdpa_kernel
from ..nn.attention import enabled as kernels

matmul = SimpleNamespace(
    allow_tf32=False, allow_fp16_reduced_precision_reduction=True, allow_bf16_reduced_precision_reduction=True
)


def is_built() -> bool:
    """Whether this is a build of torch for CUDA: never."""
    return False


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
    def enable(enabled: bool) -> None:
        kernels[kernel] = bool(enabled)

    def is_enabled() -> bool:
        return kernels[kernel]

    enable.__name__ = enable.__qualname__ = f"enable_{name}_sdp"
    enable.__doc__ = "Accepted: there is one form of attention."
    is_enabled.__name__ = is_enabled.__qualname__ = f"{name}_sdp_enabled"
    is_enabled.__doc__ = f"What `{enable.__name__}` was told."
    return enable, is_enabled


enable_flash_sdp, flash_sdp_enabled = _switch("flash", SDPBackend.FLASH_ATTENTION)
enable_mem_efficient_sdp, mem_efficient_sdp_enabled = _switch("mem_efficient", SDPBackend.EFFICIENT_ATTENTION)
enable_math_sdp, math_sdp_enabled = _switch("math", SDPBackend.MATH)
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


can_use_flash_attention = can_use_efficient_attention = can_use_cudnn_attention = _never


@contextlib.contextmanager
def sdp_kernel(
    enable_flash: bool = True, enable_math: bool = True, enable_mem_efficient: bool = True, enable_cudnn: bool = True
) -> Iterator[None]:
    """The old form of `torch.nn.attention.sdpa_kernel`."""
    warnings.warn(
        f"`torch.backends.cuda.sdp_kernel()` is deprecated. In the future, this {'context'} manager will be removed. Please "
        f"see `torch.nn.attention.sdpa_kernel()` for the new {'context'} manager, with updated signature.",
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
