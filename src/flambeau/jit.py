"""Marks that code written for TorchScript carries. Nothing is compiled to TorchScript here: Python runs the code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

__all__ = ["Final", "annotate", "export", "ignore", "is_scripting", "is_tracing", "script_if_tracing", "unused"]

T = TypeVar("T")


def is_scripting() -> bool:
    """Always False: code is never inside a TorchScript compiler."""
    return False


def is_tracing() -> bool:
    """Always False: code is never inside TorchScript's tracer."""
    return False


def export(fn: T) -> T:
    """The function itself."""
    return fn


def unused(fn: T) -> T:
    """The function itself."""
    return fn


def script_if_tracing(fn: T) -> T:
    """The function itself, since nothing traces."""
    return fn


def ignore(drop: Any = False, **kwargs: Any) -> Any:
    """The function itself, with or without arguments to the decorator."""
    if callable(drop):
        return drop

    def mark(fn: Callable[..., Any]) -> Callable[..., Any]:
        return fn

    return mark


def annotate(the_type: Any, the_value: T) -> T:
    """The value itself."""
    return the_value
