"""torch's format before 1.6: pickles of magic number, version, machine, object and storage keys, then the storages."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from pickle import UnpicklingError
from typing import Any

import numpy as np

from .archive import aligned
from .errors import brief, damaged
from .reader import StorageKey, Storages
from .unpickler import Inspector, Unpickler

MAGIC = 0x1950A86A20F9469CFC6C
VERSION = 1001


class LegacyFile:
    """A legacy file in `data`. After `load`, `end` is where it ends.

    The storages lie behind the pickle that tells their types, so that pickle is gone through twice: once just to see
    which storages it names.
    """

    def __init__(self, data: Any):
        self._data = data
        self.end: int = 0
        head = Unpickler(data)
        try:
            magic = head.load()
        except EOFError:
            raise
        except (UnpicklingError, RuntimeError) as e:
            raise _unknown(data, UnpicklingError, f" ({e})") from e
        if type(magic) is not int or magic != MAGIC:
            raise _unknown(data, RuntimeError)
        version, machine = head.load(), head.load()
        if version != VERSION:
            raise RuntimeError(f"the checkpoint has the format version {brief(version)}; only {VERSION} is known")
        if not isinstance(machine, dict):
            raise damaged(f"its machine should be a dict, got {brief(machine)}")
        little = machine.get("little_endian", True)
        self._swapped = little is not (sys.byteorder == "little")
        self._start = head.position

    def load(self, restore: Callable[..., Any], unpickle: Callable[[Any, int, Callable[[Any], Any]], Any]) -> Any:
        """The object: `unpickle(data, position, persistent_load)` makes it once the storages are there."""
        scout = Inspector(self._data, self._start)
        scout.load()
        named: dict[str, StorageKey] = {}
        for one in scout.storages:
            key = StorageKey.parse(one)
            if key is not None:
                named[key.key] = key
        tail = Unpickler(self._data, None, scout.position)
        keys = tail.load()
        if not isinstance(keys, list) or any(type(k) is not str for k in keys) or len(set(keys)) != len(keys):
            raise damaged("its storage keys should be a list of different names")
        records: dict[str, np.ndarray] = {}
        position = tail.position
        for key in keys:
            if key not in named:
                raise damaged(f"no tensor lies in its storage {brief(key)}")
            position = self._read(named[key], position, records)
        self.end = position

        def read(key: str) -> np.ndarray:
            if key not in records:
                raise damaged(f"its storage {brief(key)} is missing")
            return records[key]

        storages = Storages(read, lambda key: read(key).size, restore, self._swapped)
        made = unpickle(memoryview(self._data)[: scout.position], self._start, storages)
        storages.settle()
        return made

    def _read(self, key: StorageKey, position: int, records: dict[str, np.ndarray]) -> int:
        """Take the storage at `position`; returns where the next one begins."""
        start = position + 8
        if start <= len(self._data):
            (count,) = struct.unpack("<q" if not self._swapped else ">q", self._data[position:start])
            if count != key.numel:
                raise damaged(f"a storage of {key.numel} elements claims to have {count}")
        stop = start + key.nbytes
        if stop > len(self._data):
            raise RuntimeError(
                f"unexpected EOF, expected {stop - len(self._data)} more bytes. The file might be corrupted: they are of the "
                f"storage {brief(key.key)}"
            )
        record = aligned(key.nbytes)
        record[:] = np.frombuffer(self._data, np.uint8, key.nbytes, start)
        records[key.key] = record
        return stop


def _unknown(data: Any, kind: type[Exception], reason: str = "") -> Exception:
    head = bytes(data[:512])
    if head[257:262] == b"ustar":
        return RuntimeError(
            "this is a tar file, the first of torch's formats, which is not read: load it in PyTorch with weights_only=False "
            "(which runs code in it) and save it again"
        )
    if len(head) > 9 and head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] < 1 << 28:
        return RuntimeError("this is a safetensors file: load it with flambeau.checkpoint.load_safetensors")
    if b"PK\x03\x04".startswith(head[:4]) or head[:2] == b"PK":
        return damaged("its zip archive is cut off or broken")
    return kind(
        "Invalid magic number; corrupt file? This is not a file that torch.save made: it begins with "
        f"{head[:16]!r}{reason}"
    )
