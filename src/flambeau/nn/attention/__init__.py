"""Which kernels of attention may be used. There is one form of it here, so all of this is remembered and changes nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from typing import Any

from ...core.dispatch.help import explain_namespace as _explain

__all__ = [
    "WARN_FOR_UNFUSED_KERNELS",
    "SDPBackend",
    "activate_flash_attention_impl",
    "current_flash_attention_impl",
    "list_flash_attention_impls",
    "register_flash_attention_impl",
    "restore_flash_attention_impl",
    "sdpa_kernel",
]  # fmt: skip

WARN_FOR_UNFUSED_KERNELS = False


class SDPBackend(Enum):
    """The kernels that PyTorch has for `scaled_dot_product_attention`."""

    ERROR = -1
    MATH = 0
    FLASH_ATTENTION = 1
    EFFICIENT_ATTENTION = 2
    CUDNN_ATTENTION = 3
    OVERRIDEABLE = 4

    def __int__(self) -> int:
        return self.value

    __index__ = __int__


_KERNELS = (
    SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH,
    SDPBackend.OVERRIDEABLE,
)  # fmt: skip
_PRIORITY = (
    SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH, SDPBackend.CUDNN_ATTENTION,
    SDPBackend.OVERRIDEABLE,
)  # fmt: skip
enabled: dict[Any, bool] = dict.fromkeys(_KERNELS, True)  # what `torch.backends.cuda` is asked for, too
_priority = list(_PRIORITY)


def _cur_sdpa_kernel_backends(with_priority: bool = False) -> list[SDPBackend]:
    found = [kernel for kernel in _KERNELS if enabled[kernel]]
    return sorted(found, key=_priority.index) if with_priority else found


@contextlib.contextmanager
def sdpa_kernel(backends: list[SDPBackend] | SDPBackend, set_priority: bool = False) -> Iterator[None]:
    """Name the kernels that may be used. AssertionError if `backends` is neither an SDPBackend nor a list of them."""
    wanted = [backends] if isinstance(backends, SDPBackend) else backends
    if not isinstance(wanted, list) or not all(isinstance(b, SDPBackend) for b in wanted):
        kind = SDPBackend.__name__
        got = type(backends).__name__
        raise AssertionError(f"Backend must be an instance of {kind} or a list of {kind} instances, got {got}")
    before, order = dict(enabled), list(_priority)
    enabled.update({kernel: kernel in wanted for kernel in _KERNELS})
    if set_priority:
        first = list(dict.fromkeys(b for b in wanted if b in enabled))
        _priority[:] = [*first, *(b for b in order if b not in first)]
    try:
        yield
    finally:
        enabled.update(before)
        _priority[:] = order


# --- other implementations of flash attention -------------------------------------------------------------------------

_implementations: dict[str, Callable[..., Any]] = {}
_active: list[tuple[str, Any]] = []


def register_flash_attention_impl(impl: str, *, register_fn: Callable[..., Any]) -> None:
    """Remember a function that puts an implementation in place, and returns what takes it away (`remove()`) or None."""
    _implementations[impl] = register_fn


def list_flash_attention_impls() -> Sequence[str]:
    """The names that were registered."""
    return sorted(_implementations)


def current_flash_attention_impl() -> str | None:
    """The name of the active implementation; None for the usual one."""
    return _active[-1][0] if _active else None


def activate_flash_attention_impl(impl: str) -> None:
    """Call the function registered under this name. ValueError if there is none."""
    if impl not in _implementations:
        raise ValueError(
            f"Unknown flash attention impl {impl!r}. Available implementations: {list_flash_attention_impls()}"
        )
    restore_flash_attention_impl(_raise_warn=False)
    _active.append((impl, _implementations[impl]()))


def restore_flash_attention_impl(_raise_warn: bool = True) -> None:
    """Take the active implementation away."""
    if _active:
        _, handle = _active.pop()
        if handle is not None:
            handle.remove()


from . import bias, flex_attention, varlen  # noqa: E402

_explain(globals(), "torch.nn.attention")
