"""What `async_op=True` gives: a collective that runs, or has ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from ..core.tensor.tensor import Tensor
from .errors import DistBackendError
from .exchange import Pending


class Work:
    """A collective that was begun. Its tensors have their new values once `wait` has returned."""

    def __init__(self, pending: Any, write: Callable[[Any], Any], results: list[Tensor], source: int = -1):
        self._pending, self._write, self._results, self._source = pending, write, results, source
        self._written = False

    def _finish(self) -> None:
        if self._pending.error is not None:
            raise self._pending.error
        if not self._written:
            self._written = True
            self._write(self._pending.value)

    def wait(self, timeout: timedelta | None = None) -> bool:
        """True, once it has ended. What went wrong in it is raised; DistBackendError after the timeout."""
        if not self._pending.wait(None if timeout is None else timeout.total_seconds()):
            raise DistBackendError(f"Wait timeout: the operation did not end within {timeout}")
        self._finish()
        return True

    synchronize = wait

    def is_completed(self) -> bool:
        """Whether it has ended."""
        if not self._pending.done():
            return False
        if self._pending.error is None:
            self._finish()
        return True

    def is_success(self) -> bool:
        """Whether it has ended without an error."""
        return self.is_completed() and self._pending.error is None

    def exception(self) -> BaseException | None:
        """What went wrong, or None."""
        return self._pending.error

    def source_rank(self) -> int:
        """Who sent what was received."""
        return self._source

    _source_rank = source_rank

    def result(self) -> list[Tensor]:
        """The tensors that it writes to."""
        return self._results

    def get_future(self) -> Future:
        """Something to `wait()` for that gives the results."""
        return Future(self)


class Future:
    """The results of a Work, or what functions make of them."""

    def __init__(self, work: Any, value: Callable[[], Any] | None = None):
        self._work = work
        self._made = value

    def wait(self) -> Any:
        """The value, once the work has ended."""
        self._work.wait()
        return self._work.result() if self._made is None else self._made()

    value = wait

    def done(self) -> bool:
        """Whether the work has ended."""
        return self._work.is_completed()

    def then(self, callback: Callable[[Any], Any]) -> Future:
        """The same for what a function makes of this."""
        held: list[Any] = []

        def made() -> Any:
            if not held:
                held.append(callback(self))
            return held[0]

        return Future(self._work, made)


class Awaited(Pending):
    """What is done by whoever waits for it: a receipt, which nobody else waits for."""

    def __init__(self, attempt: Callable[[float], bool], job: Callable[[], Any], limit: float):
        super().__init__()
        self._attempt, self._job = attempt, job
        self._until = time.monotonic() + limit

    def done(self) -> bool:
        if not super().done() and self._attempt(0.0):
            self.do(self._job)
        return super().done()

    def wait(self, timeout: float | None = None) -> bool:
        if super().done():
            return True
        until = self._until if timeout is None else min(self._until, time.monotonic() + timeout)
        if self._attempt(until) or timeout is None:
            self.do(self._job)
            return True
        return False


class _All(Pending):
    """Several collectives, which end in the order in which they were begun."""

    def __init__(self, works: list[Work]):
        super().__init__()
        self._works = works

    def done(self) -> bool:
        if all(work.is_completed() for work in self._works):
            self.do(self._take)
        return super().done()

    def wait(self, timeout: float | None = None) -> bool:
        for work in self._works:
            if not work._pending.wait(timeout):
                return False
        self.do(self._take)
        return True

    def _take(self) -> None:
        for work in self._works:
            work.wait()


def several(works: list[Work], results: list[Tensor]) -> Work:
    """One Work for several."""
    return works[0] if len(works) == 1 else Work(_All(works), lambda _: None, results)
