"""`autocast`: so far only where it is off."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

from .. import cuda
from ..core.devices import device

__all__ = ["autocast", "is_autocast_available", "is_autocast_enabled"]


def is_autocast_available(device_type: str) -> bool:
    """Whether `autocast` can be switched on for this type of device: not yet for any."""
    return False


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """Whether `autocast` is on for this type of device: not yet for any."""
    return False


class autocast:
    """Turned off, or for a GPU that is not there (with PyTorch's warning), it does nothing, as a context or a decorator.

    Turned on it raises NotImplementedError: computing in lower precision is asked for with `module.to(torch.bfloat16)`.
    """

    def __init__(
        self, device_type: str, dtype: Any = None, enabled: bool = True, cache_enabled: bool | None = None
    ) -> None:
        if not isinstance(device_type, str):
            raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
        self.device = device(device_type).type
        if enabled and self.device == "cuda" and not cuda.is_available():
            warnings.warn("CUDA is not available. Disabling autocast.", stacklevel=2)
            enabled = False
        if enabled:
            raise NotImplementedError(
                f"autocast({device_type!r}) is not there yet: pass enabled=False, or convert the module and its inputs "
                "with .to(torch.bfloat16)"
            )
        self._enabled = False

    def __enter__(self) -> autocast:
        return self

    def __exit__(self, *exc: object) -> None:
        return None

    def __call__(self, func: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(func)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with self:
                return func(*args, **kwargs)

        return inside
