"""What is shown of work that lasts longer than a second."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_STEP = 1 << 24  # bytes that go by between two looks at the clock


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """For work whose end is not known: from a second on, a line on standard error with the time gone by. It is gone when the work is done."""
    from rich import progress
    from rich.console import Console

    console = Console(stderr=True, markup=False)
    if not console.is_terminal:
        yield
        return
    columns = progress.SpinnerColumn(), progress.TextColumn("{task.description}"), progress.TimeElapsedColumn()
    shown = progress.Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False)
    shown.add_task(what, total=None)
    timer = threading.Timer(1, shown.start)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()  # so that it is not started after it was stopped
        shown.stop()


class Bar:
    """Counts bytes, and shows a bar on standard error when a second has gone by. It is gone when the work is done."""

    def __init__(self, what: str, total: int):
        self._what, self._total, self._done = what, total, 0
        self._begun = time.monotonic()
        self._shown: Any = None

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: Any) -> None:
        if self._shown is not None:
            self._shown.stop()

    def advance(self, count: int) -> None:
        """So many bytes more are done."""
        self._done += count
        if self._shown is None and time.monotonic() - self._begun > 1:
            from rich import progress
            from rich.console import Console

            columns = (
                progress.TextColumn("{task.description}"), progress.BarColumn(), progress.DownloadColumn(),
                progress.TimeRemainingColumn(),
            )  # fmt: skip
            self._shown = progress.Progress(*columns, console=Console(stderr=True), transient=True)
            self._shown.add_task(self._what, total=self._total)
            self._shown.start()
        if self._shown is not None:
            self._shown.update(0, completed=min(self._done, self._total))


class Watched:
    """A binary file whose reads and writes are counted, a piece at a time."""

    def __init__(self, file: Any, bar: Bar):
        self._file, self._bar = file, bar

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> Watched:
        return self

    def __exit__(self, *_: Any) -> None:
        self._file.close()

    def read(self, count: int = -1) -> bytes:
        """As of the file."""
        data = self._file.read(count)
        self._bar.advance(len(data))
        return data

    def readinto(self, target: Any) -> int:
        """As of the file, at most a piece: whoever reads asks again."""
        count = self._file.readinto(memoryview(target).cast("B")[:_STEP])
        self._bar.advance(count)
        return count

    def write(self, data: Any) -> int:
        """As of the file, and whole."""
        view = memoryview(data).cast("B")
        for start in range(0, len(view), _STEP):
            piece = view[start : start + _STEP]
            self._file.write(piece)
            self._bar.advance(len(piece))
        return len(view)
