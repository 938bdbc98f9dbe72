"""What the C library does with freed memory. Only glibc can be told."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys

_MUCH = 64 << 20  # bytes


def _is_kept() -> bool:
    return os.environ.get("FLAMBEAU_MALLOC", "1") != "0" and sys.platform.startswith("linux")


def keep_freed() -> None:
    """Have the C library keep the memory of freed arrays for the next ones, up to 1 GiB, instead of giving it back.

    The kernel hands memory out in pages of 4 KiB that it clears first; for the large arrays of a network on the CPU that
    takes as long as many an operator. `FLAMBEAU_MALLOC=0` leaves the C library as it is.
    """
    if not _is_kept():
        return
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
        library.mallopt(mmap_threshold, 1 << 30)
        library.mallopt(trim_threshold, 1 << 30)


class Growth:
    """How far the process has grown. Where it grows by much, `look` gives what was freed meanwhile back to the system.

    A compiler's memory is of no more use. And glibc (2.36) often does not find the large block again that a program freed: asked for
    aligned memory it looks for some bytes more than that has left, so that there are two of them after the second run.
    """

    def __init__(self) -> None:
        self._most: int | None = _resident() if _is_kept() else None

    def look(self) -> bool:
        """Whether the process was never so large by 64 MiB."""
        most, now = self._most, _resident()
        if most is None or now is None or now - most < _MUCH:
            return False
        self._most = now
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
        return True


def _resident() -> int | None:
    """Bytes of this process that lie in memory; None where nobody tells."""
    try:
        with open("/proc/self/statm", "rb", buffering=0) as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None
