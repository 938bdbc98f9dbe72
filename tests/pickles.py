"""Checkpoints with pickles written by hand."""

from __future__ import annotations

import io
import pickle
import struct

from flambeau.checkpoint.archive import Writer

ALLOWED = (RuntimeError, pickle.UnpicklingError, EOFError)  # what a damaged file may raise
FOUR = {"0": struct.pack("<4f", 1, 2, 3, 4)}  # the bytes of a storage of four floats


def archive(pickled: bytes, storages: dict[str, bytes] | None = None, **records: bytes) -> bytes:
    """A file in torch's format with the given pickle."""
    file = io.BytesIO()
    writer = Writer(file.write)
    writer.add("x/data.pkl", pickled)
    writer.add("x/byteorder", b"little")
    for key, data in (storages or {}).items():
        writer.add(f"x/data/{key}", data)
    for name, data in records.items():
        writer.add(f"x/{name}", data)
    writer.close()
    return file.getvalue()


def pid(kind: str = "FloatStorage", key: str = "0", numel: int = 4) -> bytes:
    """The opcodes that name a storage."""
    text = b"(X\x07\x00\x00\x00storagectorch\n" + kind.encode() + b"\nX" + struct.pack("<I", len(key)) + key.encode()
    return text + b"X\x03\x00\x00\x00cpu" + number(numel) + b"tQ"


def number(n: int) -> bytes:
    data = n.to_bytes(16, "little", signed=True)
    return b"\x8a\x10" + data
