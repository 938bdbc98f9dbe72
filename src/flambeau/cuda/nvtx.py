"""Ranges that NVIDIA's profilers show: named parts of JAX's own trace here."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from ..core.array.devices import jax_devices

__all__ = ["mark", "range", "range_end", "range_pop", "range_push", "range_start"]


_open: list[Any] = []
_apart: dict[int, Any] = {}


def _needed() -> None:
    if not jax_devices("cuda"):
        raise RuntimeError("NVTX functions not installed. Are you sure you have a CUDA build? JAX finds no GPU here")


def range_push(msg: str) -> int:
    """Open a range, within those that are open; how many were open before. RuntimeError without a GPU."""
    _needed()
    import jax

    annotation = jax.profiler.TraceAnnotation(msg)
    annotation.__enter__()
    _open.append(annotation)
    return len(_open) - 1


def range_pop() -> int:
    """Close the innermost range; how many are open after it. RuntimeError without a GPU."""
    _needed()
    if _open:
        _open.pop().__exit__(None, None, None)
    return len(_open)


def mark(msg: str) -> None:
    """A range that closes at once. RuntimeError without a GPU."""
    range_push(msg)
    range_pop()


@contextlib.contextmanager
def range(msg: str, *args: Any, **kwargs: Any) -> Iterator[None]:
    """A context that is a range; the text is filled in as `str.format` does."""
    range_push(msg.format(*args, **kwargs))
    try:
        yield
    finally:
        range_pop()


def range_start(msg: str) -> int:
    """Open a range apart from the others; the number by which it is closed. RuntimeError without a GPU."""
    _needed()
    import jax

    annotation = jax.profiler.TraceAnnotation(msg)
    annotation.__enter__()
    number = max(_apart, default=0) + 1
    _apart[number] = annotation
    return number


def range_end(range_id: int) -> None:
    """Close it. A number that is not open means nothing. RuntimeError without a GPU."""
    _needed()
    if range_id in _apart:
        _apart.pop(range_id).__exit__(None, None, None)
