"""Mixed precision on the CPU by its old name."""

from __future__ import annotations

import warnings
from typing import Any

from ... import amp
from ...core.array.dtypes import bfloat16

__all__ = ["autocast"]


def _deprecated(name: str) -> None:
    text = f"`torch.cpu.amp.{name}(args...)` is deprecated. Please use `torch.amp.{name}('cpu', args...)` instead."
    warnings.warn(text, FutureWarning, stacklevel=3)


class autocast(amp.autocast):
    """As `torch.amp.autocast('cpu', ...)`."""

    def __init__(self, enabled: bool = True, dtype: Any = bfloat16, cache_enabled: bool = True) -> None:
        _deprecated("autocast")
        super().__init__("cpu", dtype=dtype, enabled=enabled, cache_enabled=cache_enabled)
