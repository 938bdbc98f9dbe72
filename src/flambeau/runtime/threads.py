"""How many threads programs may use on the CPU."""

from __future__ import annotations

from .. import native
from .settings import asks_setting, changes_setting

_threads: int | None = None


@asks_setting
def get_num_threads() -> int:
    """The number of CPU threads that programs use."""
    if _threads is not None:
        return _threads
    return native.processors()


@changes_setting
def set_num_threads(number: int) -> None:
    """How many threads the native kernels use. XLA's own operators keep the number of cores that it found when it started."""
    global _threads
    _check("set_num_threads", number)
    _threads = number
    native.set_num_threads(number)


@asks_setting
def get_num_interop_threads() -> int:
    """As `get_num_threads`: XLA has one pool."""
    return get_num_threads()


def set_num_interop_threads(number: int) -> None:
    """Accepted: XLA has one pool. RuntimeError for what is no positive int."""
    _check("set_num_interop_threads", number)


def _check(function: str, number: int) -> None:
    if not isinstance(number, int) or isinstance(number, bool):
        raise RuntimeError(f"{function} expects an int, but got {type(number).__name__}")
    if number <= 0:
        raise RuntimeError(f"{function} expects a positive integer")
