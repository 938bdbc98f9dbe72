"""Results that come later: `Future`, completed by hand, with callbacks in the thread that completes it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from .core.context.tracing import refuse_in_trace
from .core.dispatch.help import explain_namespace as _explain
from .runtime.settings import asks_setting

T = TypeVar("T")

__all__ = ["Future", "collect_all", "wait_all"]


class Future(Generic[T]):
    """A value, or an error, that somebody will set."""

    def __init__(self, *, devices: Any = None):
        self._done = threading.Event()
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], None]] = []
        self._value: Any = None
        self._error: BaseException | None = None

    @asks_setting
    def done(self) -> bool:
        """Whether the value or the error is there."""
        return self._done.is_set()

    def wait(self) -> T:
        """The value, as soon as it is there; an error is raised."""
        self._done.wait()
        return self.value()

    def value(self) -> T:
        """The value; an error is raised. RuntimeError where neither is there yet."""
        refuse_in_trace("takes the value of a Future")
        if not self.done():
            raise RuntimeError("the Future is not completed() yet: call wait()")
        if self._error is not None:
            raise self._error
        return self._value

    def set_result(self, result: T) -> None:
        """Complete it with a value. RuntimeError the second time."""
        self._complete(result, None)

    def set_exception(self, result: Exception) -> None:
        """Complete it with an error, which `wait` raises."""
        if not isinstance(result, Exception):
            raise AssertionError(f"{result} is of type {type(result)}, not an Exception.")
        self._complete(None, result)

    def _complete(self, value: Any, error: BaseException | None) -> None:
        with self._lock:
            if self._done.is_set():
                raise RuntimeError(
                    "Attempting to mark a completed Future as complete again. Note that a Future can only be marked "
                    "completed once."
                )
            self._value, self._error = value, error
            self._done.set()
            waiting, self._callbacks = self._callbacks, []
        for callback in waiting:
            callback()

    def _when_done(self, callback: Callable[[], None]) -> None:
        with self._lock:
            if not self._done.is_set():
                self._callbacks.append(callback)
                return
        callback()

    def then(self, callback: Callable[[Future[T]], Any]) -> Future[Any]:
        """A future of what `callback(self)` gives when this one is complete."""
        following: Future[Any] = Future()

        def run() -> None:
            try:
                result = callback(self)
            except Exception as error:
                text = f"Got the following error when running the callback: {type(error).__name__}: {error}"
                failed = RuntimeError(text)
                failed.__cause__ = error
                following.set_exception(failed)
            else:
                following.set_result(result)

        self._when_done(run)
        return following

    def add_done_callback(self, callback: Callable[[Future[T]], None]) -> None:
        """Call `callback(self)` when it is complete. What it gives is nobody's; its error is printed."""

        def run() -> None:
            try:
                callback(self)
            except Exception as error:
                import traceback

                print(f"[the callback of a Future raised] {''.join(traceback.format_exception(error))}", end="")

        self._when_done(run)


def collect_all(futures: Sequence[Future[Any]]) -> Future[list[Future[Any]]]:
    """A future of the list of these, complete when all of them are."""
    together: Future[list[Future[Any]]] = Future()
    left = len(futures)
    if not left:
        together.set_result([])
    lock = threading.Lock()

    def one_more() -> None:
        nonlocal left
        with lock:
            left -= 1
            last = left == 0
        if last:
            failed = next((future._error for future in futures if future._error is not None), None)
            together._complete(list(futures) if failed is None else None, failed)

    for future in futures:
        future._when_done(one_more)
    return together


def wait_all(futures: Sequence[Future[Any]]) -> list[Any]:
    """The values of all, when they are there; the first error is raised."""
    return [future.wait() for future in collect_all(futures).wait()]


_explain(globals(), "torch.futures")
