"""Signals while XLA computes: they must find a stack of their own.

On x86-64 the matrix products of XLA's CPU client (oneDNN's, where the inner dimension is large) point the processor's stack register
into a buffer while they run. The kernel puts the frame of a signal's handler below that register, into whatever lies there: Ctrl-C, an
alarm or a profiler's timer would leave other arrays' memory changed, or end the process in `malloc`. Python's handlers run on the
alternate stack of a thread where it has one (`sigaltstack`), so the main thread, to which signals go, gets one; and the threads
of the client are made with all signals blocked, so that none goes to them.
"""

from __future__ import annotations

import ctypes
import dataclasses
import functools
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

_SIZE = 1 << 18  # bytes; a handler in C needs some KiB more than the processor's registers, which are 11 KiB with AMX
_DISABLED = 2  # SS_DISABLE
_OWN = {"SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSEGV", "SIGSYS", "SIGTRAP"}  # of the thread that has caused them


class _Stack(ctypes.Structure):
    """Linux's `stack_t`."""

    _fields_ = (("start", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


def keep_signals_off() -> None:
    """Give the main thread a stack for signals, unless it has one, and keep signals from the threads of XLA's CPU client."""
    if not sys.platform.startswith("linux"):
        return
    if threading.current_thread() is threading.main_thread():
        _give_a_stack()
    _block_in_clients()


def _give_a_stack() -> None:
    library, found = ctypes.CDLL(None), _Stack()
    library.malloc.restype = ctypes.c_void_p
    if library.sigaltstack(None, ctypes.byref(found)) == 0 and found.flags & _DISABLED:
        start = library.malloc(ctypes.c_size_t(_SIZE))  # for ever: the kernel knows it, also when the interpreter ends
        if start:
            library.sigaltstack(ctypes.byref(_Stack(start, 0, _SIZE)), None)


def _block_in_clients() -> None:
    """Threads begin with the mask of the one that makes them, and the client makes its own when it is made."""
    from jax._src import xla_bridge

    known: dict[str, Any] = getattr(xla_bridge, "_backend_factories", {})
    registration = known.get("cpu")
    if dataclasses.is_dataclass(registration) and not isinstance(registration, type):
        made: Any = dataclasses.replace(registration, factory=_unsignalled(registration.factory))  # type: ignore[attr-defined]
        known["cpu"] = made


def _unsignalled(make: Callable[..., Any]) -> Callable[..., Any]:
    blocked = {number for number in signal.valid_signals() if _name(number) not in _OWN}

    @functools.wraps(make)
    def made(*args: Any, **kwargs: Any) -> Any:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
        try:
            return make(*args, **kwargs)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    return made


def _name(number: int) -> str:
    return number.name if isinstance(number, signal.Signals) else ""
