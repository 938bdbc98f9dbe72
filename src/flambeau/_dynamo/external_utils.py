"""`torch._dynamo.external_utils`: what programs ask of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..compiler import is_compiling, wrap_numpy

__all__ = ["is_compiling", "wrap_inline", "wrap_numpy"]


def wrap_inline(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The function itself: functions that a compiled one calls are always taken into its program."""
    return fn
