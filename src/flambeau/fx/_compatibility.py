"""`torch.fx._compatibility`: marks of how stable a name is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def compatibility(is_backward_compatible: bool) -> Callable[[T], T]:
    """Decorator that says so in the docstring."""

    def mark(marked: Any) -> Any:
        kept = "stable" if is_backward_compatible else "not stable: it may change"
        marked.__doc__ = f"{marked.__doc__ or ''}\n\n(This name is {kept}.)"
        return marked

    return mark
