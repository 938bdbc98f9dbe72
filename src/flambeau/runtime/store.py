"""A folder of entries by key, shared by processes and bounded: what is in it can be made again.

An entry is written beside its place and renamed, so that readers see all of it or nothing; a digest before its contents tells
what was damaged. Whatever goes wrong with the folder only means that an entry is not there.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import time
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

_DIGEST = 16  # bytes before the contents
_LOOK = 2 << 20  # bytes that a process writes from one look at a part of the folder to the next
_OURS = re.compile(r"[0-9a-f]{40}")
_PARTS = 16  # by the key's first digit; each has its share of the room, so that no look goes through everything
_BEGUN = ".new"
_ABANDONED = 3600.0  # seconds
_DAY = 86400.0  # an entry that is used is marked so once a day: not all disks note it themselves


class Store:
    """Entries in `folder`, which take up to some `limit` bytes. Keys are 40 digits of hexadecimal numbers, evenly spread."""

    def __init__(self, folder: Path, limit: int):
        self.folder = folder
        self.limit = limit
        # what may be written before a look; processes that write little look at times
        self._room = secrets.randbelow(_LOOK)
        self._writes = True

    def find(self, key: str) -> bytes | None:
        """The contents under a key, or None. What is damaged is removed."""
        path = self._path(key)
        try:
            with open(path, "rb") as file:
                found = file.read()
                if time.time() - os.fstat(file.fileno()).st_mtime > _DAY:
                    with contextlib.suppress(OSError):
                        os.utime(path)
        except OSError:
            return None
        if _digest(key, found[_DIGEST:]) == found[:_DIGEST]:
            return found[_DIGEST:]
        self.remove(key)
        return None

    def remove(self, key: str) -> None:
        """Have nothing under a key."""
        with contextlib.suppress(OSError):
            os.unlink(self._path(key))

    def keep(self, key: str, contents: bytes) -> None:
        """Have contents under a key, for all processes. A folder that can't be written is not tried again."""
        if not self._writes:
            return
        path = self._path(key)
        beside = path.with_name(f"{secrets.token_hex(8)}{_BEGUN}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with open(beside, "xb") as file:
                    file.write(_digest(key, contents) + contents)
                os.replace(beside, path)
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(beside)
        except OSError:
            self._writes = False
            return
        self._room -= len(contents)
        if self._room < 0:
            self._room = _LOOK
            self._trim(path)

    def _trim(self, latest: Path) -> None:
        """Remove what was not used for longest from the part of `latest`, if there is too much; that one stays."""
        entries = sorted(self._entries(latest), reverse=True)
        total = sum(size for _, size, _ in entries)
        share = self.limit // _PARTS
        if total <= share:
            return
        while entries and total > share * 3 // 4:
            _, size, path = entries.pop()
            total -= size
            with contextlib.suppress(OSError):
                os.unlink(path)

    def _path(self, key: str) -> Path:
        return self.folder / key[0] / key

    def _entries(self, latest: Path) -> Iterator[tuple[float, int, str]]:
        """When each was last used, its size, and its path. What a killed process has begun is removed."""
        now = time.time()
        with contextlib.suppress(OSError), os.scandir(latest.parent) as found:
            for file in found:
                with contextlib.suppress(OSError):
                    about = file.stat(follow_symlinks=False)
                    if file.name.endswith(_BEGUN):
                        if now - about.st_mtime > _ABANDONED:
                            os.unlink(file.path)
                    elif _OURS.fullmatch(file.name) and file.name != latest.name:
                        yield max(about.st_atime, about.st_mtime), about.st_size, file.path


def _digest(key: str, contents: bytes) -> bytes:
    return blake2b(contents, digest_size=_DIGEST, key=key.encode()).digest()
