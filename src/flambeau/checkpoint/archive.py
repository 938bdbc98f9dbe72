"""The container of torch's files: a zip archive whose records are stored as they are, each aligned to 64 bytes.

Nothing that the archive says about itself is believed before it is checked against the bytes that are there.
The format: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
"""

from __future__ import annotations

import hashlib
import itertools
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .errors import brief, damaged

ALIGNMENT = 64  # also what lets JAX use the memory without a copy
MAGIC = b"PK\x03\x04"
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_SHORTEST = 22  # the end of an archive's directory
_LIMIT_32 = 0xFFFFFFFF
_LIMIT_16 = 0xFFFF
# torch stores its records; one that someone compressed afterwards may grow by this much and no more
_EXPANSION = 20
_EXPANSION_FREE = 1 << 25  # all records together
_EXPANSION_FREE_PICKLE = 1 << 20  # of which each byte may become an object


def aligned(nbytes: int) -> np.ndarray:
    """Fresh bytes that start at a multiple of the alignment."""
    room = np.empty(nbytes + ALIGNMENT, np.uint8)
    start = -room.ctypes.data % ALIGNMENT
    return room[start : start + nbytes]


def fill(file: Any, target: np.ndarray) -> int:
    """Read into `target` until it is full or the file ends; returns the number of bytes read."""
    view, done = target.data, 0
    while done < len(view):
        if hasattr(file, "readinto"):
            count = file.readinto(view[done:])
        else:
            chunk = file.read(len(view) - done)
            count = len(chunk)
            view[done : done + count] = chunk
        if not count:
            break
        done += count
    return done


def missing(name: str) -> RuntimeError:
    """The error for a record that an archive lacks."""
    shown = brief(name.partition("/")[2] or name).strip("'")
    return damaged(f"PytorchStreamReader failed locating file {shown}: file not found")


class Record(NamedTuple):
    start: int  # of the data, in the file
    stored: int  # bytes in the file
    size: int  # bytes after decompression
    crc: int
    compressed: bool


class Reader:
    """The records of an archive in a seekable binary file; `mapped` is the same file as an array, or None.

    Raises RuntimeError if the archive is damaged or its records overlap.
    """

    def __init__(self, file: Any, mapped: np.ndarray | None = None):
        self._file = file
        self._mapped = mapped
        self.records: dict[str, Record] = {}
        file.seek(0, 2)
        end = file.tell()
        try:
            infos = zipfile.ZipFile(file).infolist()
        except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError, IndexError, struct.error) as e:
            raise RuntimeError(
                "PytorchStreamReader failed reading zip archive: "
                + ("not a ZIP archive" if end < _SHORTEST else "failed finding central directory")
                + f". The file is cut off or damaged ({e})"
            ) from e
        taken: list[tuple[int, int]] = []
        self._free = _EXPANSION_FREE
        for info in infos:
            if info.filename in self.records:
                raise damaged(f"it has two records named {brief(info.filename)}")
            self.records[info.filename] = record = self._locate(info, end)
            taken.append((info.header_offset, record.start + record.stored))
        taken.sort()
        for (_, stop), (start, _) in itertools.pairwise(taken):
            if start < stop:
                raise damaged("its records overlap")

    def _locate(self, info: zipfile.ZipInfo, end: int) -> Record:
        name = brief(info.filename)
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise RuntimeError(f"the record {name} is compressed by a method that torch's files do not have")
        if info.flag_bits & 1:
            raise RuntimeError(f"the record {name} is encrypted")
        stored = info.compress_type == zipfile.ZIP_STORED
        if info.header_offset < 0 or info.header_offset + _LOCAL_HEADER.size > end:
            raise damaged(f"the record {name} lies beyond its end")
        self._file.seek(info.header_offset)
        header = self._file.read(_LOCAL_HEADER.size)
        if len(header) != _LOCAL_HEADER.size or header[:4] != MAGIC:
            raise damaged(f"the record {name} has no header where the directory says")
        name_length, extra_length = _LOCAL_HEADER.unpack(header)[-2:]
        start = info.header_offset + _LOCAL_HEADER.size + name_length + extra_length
        if start + info.compress_size > end:
            raise damaged(f"the record {name} reaches beyond its end: is it cut off?")
        if stored and info.compress_size != info.file_size:
            raise damaged(f"the record {name} claims two sizes, {info.compress_size} and {info.file_size}")
        grown = 0 if stored else max(info.file_size - _EXPANSION * info.compress_size, 0)
        self._free -= grown
        if self._free < 0 or (info.filename.endswith(".pkl") and grown > _EXPANSION_FREE_PICKLE):
            raise RuntimeError(
                f"the record {name} claims to grow from {info.compress_size} to {info.file_size} bytes when "
                "decompressed, which is refused; torch does not compress its files: unpack it and zip it uncompressed"
            )
        return Record(start, info.compress_size, info.file_size, info.CRC, not stored)

    def size(self, name: str) -> int:
        """A record's size in bytes; RuntimeError if there is none."""
        return self._find(name).size

    def read(self, name: str, lazily: bool = False) -> np.ndarray:
        """A record's bytes, checked. With `lazily` and a mapped file, a view of the file, unchecked and unread."""
        record = self._find(name)
        if lazily and self._mapped is not None and not record.compressed:
            return self._mapped[record.start : record.start + record.stored]
        self._file.seek(record.start)
        data = aligned(record.stored)
        if fill(self._file, data) != record.stored:
            raise damaged(f"the record {brief(name)} is cut off")
        if record.compressed:
            data = _inflate(data, record.size, name)
        # torch writes 0 where it was told not to compute checksums
        if record.crc and zlib.crc32(data.data) != record.crc:
            raise damaged(f"the record {brief(name)} does not have its checksum")
        return data

    def _find(self, name: str) -> Record:
        record = self.records.get(name)
        if record is None:
            raise missing(name)
        return record


def _inflate(data: np.ndarray, size: int, name: str) -> np.ndarray:
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        plain = engine.decompress(data.data, size + 1)
    except zlib.error as e:
        raise damaged(f"the record {brief(name)} cannot be decompressed ({e})") from e
    if len(plain) != size:
        raise damaged(f"the record {brief(name)} does not have the size that it claims, {size}")
    result = aligned(size)
    result[:] = np.frombuffer(plain, np.uint8)
    return result


class Writer:
    """Writes an archive front to back, through `write` alone: a pipe or socket will do."""

    def __init__(self, write: Callable[[Any], Any]):
        self._write = write
        self._position = 0
        self._directory: list[bytes] = []
        self._checksums: list[tuple[str, int]] = []

    def add(self, name: str, data: Any) -> None:
        """Append a record; `data` is anything with a contiguous buffer."""
        data = memoryview(data).cast("B")
        size, crc, offset = len(data), zlib.crc32(data), self._position
        encoded = name.encode()
        large = size >= _LIMIT_32
        extra = struct.pack("<2H2Q", 1, 16, size, size) if large else b""
        # what is left to the next aligned place goes into a field that readers skip
        gap = -(offset + _LOCAL_HEADER.size + len(encoded) + len(extra) + 4) % ALIGNMENT
        extra += struct.pack("<2s H", b"FB", gap) + b"Z" * gap
        sizes = (_LIMIT_32, _LIMIT_32) if large else (size, size)
        common = (45 if large else 20, 0x0800, 0, 0, 0x21, crc, *sizes, len(encoded))
        self._put(_LOCAL_HEADER.pack(MAGIC, *common, len(extra)) + encoded + extra)
        self._put(data)

        wide = [size, size] if large else []
        if far := offset >= _LIMIT_32:
            wide.append(offset)
        extra = struct.pack(f"<2H{len(wide)}Q", 1, 8 * len(wide), *wide) if wide else b""
        entry = struct.pack("<4s6H3I", b"PK\x01\x02", 45 if wide else 20, *common[:-1])
        entry += struct.pack("<5H2I", len(encoded), len(extra), 0, 0, 0, 0, _LIMIT_32 if far else offset)
        self._directory.append(entry + encoded + extra)
        self._checksums.append((name, crc))

    def fingerprint(self) -> str:
        """Forty digits that tell this content from another."""
        digest = hashlib.sha256(repr(self._checksums).encode()).digest()
        return str(int.from_bytes(digest, "big") % 10**40).zfill(40)

    def close(self) -> None:
        """Write the directory."""
        count, start = len(self._directory), self._position
        for entry in self._directory:
            self._put(entry)
        length, end = self._position - start, self._position
        if count >= _LIMIT_16 or start >= _LIMIT_32 or length >= _LIMIT_32:
            self._put(struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, length, start))
            self._put(struct.pack("<4sIQI", b"PK\x06\x07", 0, end, 1))
        count, length, start = min(count, _LIMIT_16), min(length, _LIMIT_32), min(start, _LIMIT_32)
        self._put(struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, count, count, length, start, 0))

    def _put(self, data: Any) -> None:
        self._write(data)
        self._position += len(data)
