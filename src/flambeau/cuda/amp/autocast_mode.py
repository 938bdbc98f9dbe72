"""Mixed precision on GPUs by its old name."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

from ... import amp

__all__ = ["autocast", "custom_bwd", "custom_fwd"]

_NAMED = "args..., device_type='cuda'"


def _deprecated(name: str, now: str = "'cuda', args...") -> None:
    text = f"`torch.cuda.amp.{name}(args...)` is deprecated. Please use `torch.amp.{name}({now})` instead."
    warnings.warn(text, FutureWarning, stacklevel=3)


class autocast(amp.autocast):
    """As `torch.amp.autocast('cuda', ...)`."""

    def __init__(self, enabled: bool = True, dtype: Any = None, cache_enabled: bool = True) -> None:
        _deprecated("autocast")
        super().__init__("cuda", dtype=dtype, enabled=enabled, cache_enabled=cache_enabled)


def custom_fwd(fwd: Callable[..., Any] | None = None, *, cast_inputs: Any = None) -> Any:
    """As `torch.amp.custom_fwd(device_type='cuda', ...)`."""
    _deprecated("custom_fwd", _NAMED)
    return functools.partial(amp.custom_fwd, device_type="cuda")(fwd, cast_inputs=cast_inputs)


def custom_bwd(bwd: Callable[..., Any]) -> Any:
    """As `torch.amp.custom_bwd(device_type='cuda')`."""
    _deprecated("custom_bwd", _NAMED)
    return amp.custom_bwd(bwd, device_type="cuda")
