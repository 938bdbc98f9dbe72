"""Handles to registered hooks."""

from collections.abc import Callable
from typing import Any, TypeVar

from ..core.autograd.engine import RemovableHandle
from ..core.tensor.copying import warn_if_has_hooks

__all__ = ["RemovableHandle", "unserializable_hook", "warn_if_has_hooks"]

_Hook = TypeVar("_Hook", bound=Callable[..., Any])


def unserializable_hook(f: _Hook) -> _Hook:
    """Mark a hook on a tensor as one that a pickle may leave behind without a warning. Serves as a decorator."""
    f.__torch_unserializable__ = True  # type: ignore[attr-defined]
    return f
