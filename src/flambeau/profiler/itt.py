"""Ranges for Intel's profilers: none can be told of them here."""

from __future__ import annotations

from typing import Any, NoReturn

__all__ = ["is_available", "mark", "range", "range_pop", "range_push"]


def is_available() -> bool:
    """False."""
    return False


def _refused() -> NoReturn:
    raise RuntimeError(
        "ITT functions not installed. Are you sure you have a ITT build? flambeau has none: use torch.profiler"
    )


def range_push(msg: str) -> None:
    """Refused with RuntimeError."""
    _refused()


def range_pop() -> None:
    """Refused with RuntimeError."""
    _refused()


def mark(msg: str) -> None:
    """Refused with RuntimeError."""
    _refused()


def range(msg: str, *args: Any, **kwargs: Any) -> None:
    """Refused with RuntimeError."""
    _refused()
