"""`torch.PyTorchFileReader`: the records of a `.pt` file, which is a zip archive with one folder."""

from __future__ import annotations

import zipfile
from typing import Any

import numpy as np

from ..core.array.dtypes import dtype as Dtype
from ..core.tensor.tensor import Tensor, from_host


class PyTorchFileReader:
    """Opens a file by its path, or one that is open. RuntimeError for what is no such archive, or for a record that isn't there."""

    __module__ = "torch"

    def __init__(self, name_or_buffer: Any):
        try:
            self._archive = zipfile.ZipFile(name_or_buffer)
        except zipfile.BadZipFile:
            raise RuntimeError(
                "PytorchStreamReader failed reading zip archive: failed finding central directory"
            ) from None
        self._names = self._archive.namelist()
        self._folder = self._names[0].partition("/")[0] if self._names else ""

    def get_all_records(self) -> list[str]:
        """The records' names, without the folder's."""
        return [name.partition("/")[2] for name in self._names]

    def has_record(self, name: str) -> bool:
        """Whether there is one."""
        return f"{self._folder}/{name}" in self._names

    def get_record(self, name: str) -> bytes:
        """A record's bytes."""
        if not self.has_record(name):
            raise RuntimeError(
                f"PytorchStreamReader failed locating file {name}: file not found. There are {self.get_all_records()}"
            )
        return self._archive.read(f"{self._folder}/{name}")

    def get_storage_from_record(self, name: str, numel: int, dtype: Dtype) -> Tensor:
        """The first `numel` elements of a record, as a vector."""
        values = np.frombuffer(self.get_record(name), dtype.numpy, numel)
        return from_host(values.copy())

    def serialization_id(self) -> str:
        """The archive's number; empty where none was written."""
        return self.get_record(".data/serialization_id").decode() if self.has_record(".data/serialization_id") else ""
