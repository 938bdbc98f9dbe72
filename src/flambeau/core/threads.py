"""How many threads XLA may use on the CPU."""

from __future__ import annotations

import os

_threads: int | None = None


def get_num_threads() -> int:
    """The number of CPU threads that XLA's programs use."""
    return _threads or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_num_threads(number: int) -> None:
    """Accepted and remembered; XLA takes the number of the process's cores when it starts."""
    global _threads
    if not isinstance(number, int) or isinstance(number, bool):
        raise TypeError(f"set_num_threads expects an int, but got {type(number).__name__}")
    if number <= 0:
        raise RuntimeError("set_num_threads expects a positive integer")
    _threads = number


def get_num_interop_threads() -> int:
    """As `get_num_threads`: XLA has one pool."""
    return get_num_threads()


def set_num_interop_threads(number: int) -> None:
    """Accepted: XLA has one pool."""
