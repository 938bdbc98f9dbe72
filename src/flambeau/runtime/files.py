"""Files that are replaced as a whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import gc
import io
import os
import secrets
import stat
import weakref
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

_DEVICES = ("/dev/fd/", "/dev/std", "/proc/")  # what another program holds open: its file must stay the same one
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
_NO_UNNAMED = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT, errno.EACCES, errno.ENOSYS)
# (device, inode, id): a file that is cut or overwritten under a map ends the process (SIGBUS) or changes its values
_maps: weakref.WeakValueDictionary[tuple[int, int, int], np.ndarray] = weakref.WeakValueDictionary()


class WriteError(OSError, RuntimeError):
    """A file that could not be written: an OSError, and what PyTorch raises for it, a RuntimeError."""


def replace(path: str | os.PathLike[str], fill: Callable[[Any], None]) -> None:
    """Have `fill(file)` write the file at `path`. What stood there stays as it was until all is written and synced.

    The new file is written beside the old one and renamed over it; it has the old one's mode and, where that is allowed,
    its owner. A symbolic link stays and its target is replaced. What is no regular file (a pipe, a device), and a file in
    a folder that cannot be written, are written directly; `fill` may then run a second time.

    Raises WriteError if the file can't be written; no temporary file is left then.
    """
    try:
        if not _replaced(path, fill):
            _overwrite(path, fill)
    except WriteError:
        raise
    except OSError as e:
        what = f"{e.strerror or e}; the file that stood there is unchanged" if _is_full(e) else e.strerror or str(e)
        raise WriteError(e.errno, what, os.fspath(path)) from e


def put_archive(target: Any, parts: Mapping[str, str | bytes]) -> None:
    """A zip archive of these parts, to a path (as `replace` does it) or into a binary file."""

    def fill(file: Any) -> None:
        with zipfile.ZipFile(file, "w") as archive:
            for name, content in parts.items():
                archive.writestr(name, content)

    if isinstance(target, (str, os.PathLike)):
        replace(target, fill)
    else:
        fill(target)


def complete(write: Callable[[Any], Any]) -> Callable[[Any], None]:
    """A `write` that writes all: what the given one leaves over is written by further calls.

    Raises BlockingIOError if nothing can be written now, OSError if nothing was written.
    """
    raw = isinstance(getattr(write, "__self__", None), io.RawIOBase)

    def whole(data: Any) -> None:
        count = write(data)
        left = memoryview(data).cast("B") if raw or (type(count) is int and count < len(data)) else b""
        while True:
            if raw and count is None:
                raise BlockingIOError(errno.EAGAIN, "write could not complete without blocking")
            if type(count) is not int or count >= len(left):
                return
            if count <= 0:
                raise OSError(errno.EIO, f"the file's write() wrote {count} of {len(left)} bytes")
            left = left[count:]
            count = write(left)

    return whole


def mapped(file: Any) -> np.memmap:
    """An open file's bytes, read when they are used. The file can be replaced meanwhile, but must not be cut."""
    found = np.memmap(file, np.uint8, "r")
    note_map(file.fileno(), found)
    return found


def note_map(number: int, found: np.ndarray) -> None:
    """Remember, as long as it lives, that an array lies in the file with this descriptor."""
    about = os.fstat(number)
    _maps[about.st_dev, about.st_ino, id(found)] = found


def _is_full(error: OSError) -> bool:
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _replaced(path: Any, fill: Callable[[Any], None]) -> bool:
    """Whether the file was written; False if it has to be written directly."""
    old = _status(path)
    if (old is not None and not stat.S_ISREG(old.st_mode)) or os.path.abspath(path).startswith(_DEVICES):
        return False
    target = os.path.realpath(path)
    folder = os.path.dirname(target)
    if not _may_replace(target, folder, old):
        return False
    beside = os.path.join(folder, f".{secrets.token_hex(8)}.tmp")
    try:
        try:
            file, named = _begin(folder, beside)
        except OSError as e:
            if e.errno in _FORBIDDEN:
                return False
            raise
        with file:
            fill(file)
            file.flush()
            _take_after(file.fileno(), old)
            os.fsync(file.fileno())
            if not named:
                # with a folder's descriptor it is linkat(), which follows the link to what has no name yet
                os.link(f"/proc/self/fd/{file.fileno()}", beside, src_dir_fd=file.fileno())
        try:
            os.replace(beside, target)
        except OSError as e:
            if old is not None and e.errno in (*_FORBIDDEN, errno.EBUSY):  # a file that is mounted by itself
                return False
            raise
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside)
    _sync_folder(folder)
    return True


def _status(path: Any) -> os.stat_result | None:
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None


def _may_replace(target: str, folder: str, old: os.stat_result | None) -> bool:
    if not os.access(folder, os.W_OK | os.X_OK):
        return False
    if old is None:
        return True
    if not os.access(target, os.W_OK):  # a file that may not be written is not to be exchanged either
        return False
    about, me = os.stat(folder), os.geteuid() if hasattr(os, "geteuid") else 0
    return not about.st_mode & stat.S_ISVTX or me in (0, old.st_uid, about.st_uid)


def _begin(folder: str, beside: str) -> tuple[Any, bool]:
    """A new file, and whether it has its name yet: one without a name is gone when the process is killed."""
    unnamed = getattr(os, "O_TMPFILE", None)
    if unnamed is not None and os.path.isdir("/proc/self/fd"):
        try:
            return os.fdopen(os.open(folder, os.O_WRONLY | unnamed, 0o666), "wb"), False
        except OSError as e:
            if e.errno not in _NO_UNNAMED:
                raise
    return os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb"), True


def _take_after(number: int, old: os.stat_result | None) -> None:
    if old is None or not hasattr(os, "fchown"):
        return
    new = os.fstat(number)
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        with contextlib.suppress(OSError):
            os.fchown(number, old.st_uid, old.st_gid)
    os.fchmod(number, stat.S_IMODE(old.st_mode))


def _is_mapped(old: os.stat_result) -> bool:
    return any(key[:2] == (old.st_dev, old.st_ino) for key in list(_maps))


def _overwrite(path: Any, fill: Callable[[Any], None]) -> None:
    old = _status(path)
    if old is not None and _is_mapped(old):
        gc.collect()  # it may be garbage
    if old is not None and _is_mapped(old):
        raise WriteError(
            errno.EBUSY,
            "tensors lie in this file (which was loaded with mmap=True, or by from_file), and its folder does not allow to replace it: save "
            "to another folder, or load without mmap",
            os.fspath(path),
        )
    with open(path, "wb") as file:
        fill(file)


def _sync_folder(folder: str) -> None:
    """Have the new name on the disk, where a folder can be synced."""
    with contextlib.suppress(OSError):
        number = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
        try:
            os.fsync(number)
        finally:
            os.close(number)
