"""Grad modes, under torch's module path."""

from __future__ import annotations

from ..core.context.grad_mode import enable_grad, inference_mode, no_grad, set_grad_enabled
from ..runtime.settings import asks_setting


class _Setting:
    """A switch that is set at once and, if it is used as a context manager, until the block ends."""

    now = True
    setter = ""

    def __init__(self, mode: bool = True):
        if not isinstance(mode, bool):
            raise TypeError(f"{self.setter}(): argument 'enabled' (position 1) must be bool, not {type(mode).__name__}")
        self.mode = mode
        self.prev: bool = type(self).now
        type(self).now = self.mode

    def __enter__(self) -> None:
        return None

    def __exit__(self, *exc: object) -> None:
        type(self).now = self.prev

    def clone(self) -> _Setting:
        return type(self)(self.mode)


class set_multithreading_enabled(_Setting):
    """Whether a backward pass may use other threads. It is remembered; every pass runs in the thread that calls it."""

    setter = "set_multithreading_enabled"


@asks_setting
def _is_multithreading_enabled() -> bool:
    """Whether a backward pass may use other threads."""
    return set_multithreading_enabled.now


class enforce_grad_layout_policy(_Setting):
    """Whether `.grad` has its parameter's strides. It is remembered; gradients are row-major, as all results are."""

    setter = "set_grad_layout_enforcement_enabled"


__all__ = [
    "enable_grad",
    "enforce_grad_layout_policy",
    "inference_mode",
    "no_grad",
    "set_grad_enabled",
    "set_multithreading_enabled",
]
