"""A file that one process holds while others wait."""

from __future__ import annotations

import os
import time
import warnings


class FileBaton:
    """Held by whoever has made the file; `wait_seconds` pass between two looks of those that wait."""

    def __init__(self, lock_file_path: str, wait_seconds: float = 0.1, warn_after_seconds: float | None = None) -> None:
        self.lock_file_path, self.wait_seconds, self.warn_after_seconds = (
            lock_file_path,
            wait_seconds,
            warn_after_seconds,
        )
        self.fd: int | None = None

    def try_acquire(self) -> bool:
        """Make the file; False if it is there already."""
        try:
            self.fd = os.open(self.lock_file_path, os.O_CREAT | os.O_EXCL)
        except FileExistsError:
            return False
        return True

    def wait(self) -> None:
        """Wait until the file is gone. Warns once if that takes longer than it should."""
        begun, told = time.monotonic(), self.warn_after_seconds is None
        while os.path.exists(self.lock_file_path):
            time.sleep(self.wait_seconds)
            if not told and time.monotonic() - begun > (self.warn_after_seconds or 0):
                told = True
                warnings.warn(f"Waited on lock file for longer than {self.warn_after_seconds} seconds", stacklevel=2)

    def release(self) -> None:
        """Let go, and take the file away."""
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None
        os.remove(self.lock_file_path)
