"""`torch.PyTorchFileWriter`: a `.pt` file, record by record."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import PurePath
from typing import Any

from ..core.tensor.memory import UntypedStorage, bytes_of
from ..core.tensor.typed_memory import TypedStorage
from .archive import Writer


class PyTorchFileWriter:
    """Writes to a path or an open file. The file is whole after `write_end_of_file`; RuntimeError for records after that."""

    __module__ = "flambeau"

    def __init__(self, file: Any, compute_crc32: bool = True, storage_alignment: int = 64):
        if not compute_crc32 or storage_alignment != 64:
            raise NotImplementedError(
                "PyTorchFileWriter: checksums are always written, and records begin at multiples of 64 bytes: leave "
                "compute_crc32 and storage_alignment as they are"
            )
        self._file: Any = None
        if isinstance(file, str):
            self._file = open(file, "wb")  # noqa: SIM115
            self._name = PurePath(file).stem
            write: Callable[[Any], Any] = self._file.write
        else:
            self._name, write = "archive", file.write
        self._writer, self._written, self._version, self._done = Writer(write), set[str](), 3, False

    def archive_name(self) -> str:
        """The folder in which the records are: the file's name, or "archive"."""
        return self._name

    def serialization_id(self) -> str:
        """The number that tells this content from another; empty before the end is written."""
        return self._writer.fingerprint() if self._done else ""

    def get_all_written_records(self) -> set[str]:
        """The records' names."""
        return set(self._written)

    def set_min_version(self, version: int) -> None:
        """The format's version that readers have to know, if it is above 3."""
        self._version = max(self._version, version)

    def write_record(self, name: str, data: Any, size: int) -> None:
        """The first `size` bytes of a text, of bytes or of a storage. RuntimeError for a name that there is."""
        if self._done or name in self._written:
            raise RuntimeError(
                f"PyTorchFileWriter: {'the end is written' if self._done else f'there is a record {name!r}'}"
            )
        if isinstance(data, TypedStorage):
            data = data.untyped()
        if isinstance(data, UntypedStorage):
            content: Any = bytes_of(data._cell).data
        elif isinstance(data, str | bytes | bytearray | memoryview):
            content = data.encode() if isinstance(data, str) else data
        else:
            raise TypeError(f"PyTorchFileWriter.write_record: a text, bytes or a storage, not {type(data).__name__}")
        self._writer.add(f"{self._name}/{name}", memoryview(content).cast("B")[:size])
        self._written.add(name)

    def write_record_metadata(self, name: str, size: int) -> None:
        """A record of `size` bytes that are zeros."""
        self.write_record(name, bytes(size), size)

    def write_end_of_file(self) -> None:
        """What readers look for, and the directory."""
        for name, content in (("version", f"{self._version}\n"), ("byteorder", sys.byteorder)):
            if name not in self._written:
                self.write_record(name, content, len(content))
        number = self._writer.fingerprint()
        self.write_record(".data/serialization_id", number, len(number))
        self._writer.close()
        self._done = True
        if self._file is not None:
            self._file.close()
