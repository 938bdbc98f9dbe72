"""A time in which no code runs but the one that is traced."""

from __future__ import annotations

import contextlib
import gc
import signal
import threading
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Finalizers that the collector would run wait, and so do handlers of signals: what they do is not the function's.

    Without the collector a deep network's tens of thousands of operations are written down more quickly, too.
    The handlers run at the end, and may raise there. Ctrl-C's own handler does not wait, unless the user has put another in its place.
    """
    collects = gc.isenabled()
    gc.disable()
    waiting: list[int] = []
    handlers = _handlers() if threading.current_thread() is threading.main_thread() else {}
    for number in handlers:
        signal.signal(number, lambda number, frame: waiting.append(number))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        try:
            for number in waiting:
                signal.raise_signal(number)
        finally:
            if collects:  # not before: what a handler raises within a collector's callback is lost
                gc.enable()


def _handlers() -> dict[int, Any]:
    """The handlers in Python, by their signals."""
    found = {int(number): signal.getsignal(number) for number in signal.valid_signals()}
    return {n: h for n, h in found.items() if callable(h) and h is not signal.default_int_handler}
