"""Checkpoints in a folder: one safetensors file of each process, and an index that is replaced when all are there."""

from __future__ import annotations

import contextlib
import io
import os
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...checkpoint import safetensors
from ...checkpoint.loading import load as load_file
from ...core.tensor.tensor import from_host
from ...runtime import files
from . import metadata as meta
from ._files import FileSystem, FileSystemBase, SerializationFormat
from .metadata import Metadata, TensorStorageMetadata

__all__ = ["FileSystem", "FileSystemBase", "FileSystemReader", "FileSystemWriter", "SerializationFormat"]


class StorageWriter:
    """Where checkpoints are written: there is `FileSystemWriter`."""


class StorageReader:
    """Where checkpoints are read: there is `FileSystemReader`."""


def _stored(values: np.ndarray) -> np.ndarray:
    """complex128, which the format lacks, as pairs."""
    return (
        np.ascontiguousarray(values).reshape(*values.shape, 1).view(np.float64)
        if values.dtype == np.complex128
        else values
    )


class FileSystemWriter(StorageWriter):
    """Writes checkpoints into a folder. One that is there is replaced as a whole: until the last file is written, the old one
    is what is read. FileExistsError with `overwrite=False`.

    How many threads write and what is copied when is taken and changes nothing.
    """

    def __init__(
        self, path: str | os.PathLike[str], single_file_per_rank: bool = True, sync_files: bool = True, thread_count: int = 1,
        per_thread_copy_ahead: int = 10_000_000, cache_staged_state_dict: bool = False, overwrite: bool = True,
        _extensions: Any = None, serialization_format: Any = None,
    ) -> None:  # fmt: skip
        self.path: Path = Path(os.fsdecode(path))
        self.overwrite = overwrite

    @property
    def checkpoint_id(self) -> Path:
        """The folder."""
        return self.path

    def begin(self) -> str:
        """What the names of this checkpoint's files have that no other's have."""
        if not self.overwrite and (self.path / meta.INDEX).exists():
            raise FileExistsError(f"Checkpoint already exists and self.overwrite={self.overwrite}.")
        return uuid.uuid4().hex[:8]

    def write(self, name: str, arrays: dict[str, np.ndarray]) -> None:
        """One process's file."""
        self.path.mkdir(parents=True, exist_ok=True)
        tensors = {key: from_host(_stored(values)) for key, values in arrays.items()}
        safetensors.save_safetensors(tensors, self.path / name)

    def finish(self, index: Metadata) -> None:
        """Make what was written the checkpoint, and remove the files of the one before."""
        self.path.mkdir(parents=True, exist_ok=True)
        text = index.text()
        files.replace(self.path / meta.INDEX, lambda file: file.write(text))
        kept = index.files()
        for old in self.path.glob("__*_*.safetensors"):
            if old.name not in kept:
                with contextlib.suppress(OSError):
                    old.unlink()


class FileSystemReader(StorageReader):
    """Reads a checkpoint that `FileSystemWriter` wrote: of each file, the bytes that are asked for."""

    def __init__(self, path: str | os.PathLike[str], _extension_registry: Any = None) -> None:
        self.path: Path = Path(os.fsdecode(path))
        self._views: dict[str, dict[str, np.ndarray]] = {}

    @property
    def checkpoint_id(self) -> Path:
        """The folder."""
        return self.path

    def read_metadata(self) -> Metadata:
        """The index. FileNotFoundError if there is none, RuntimeError for one that is damaged."""
        return meta.read(self.path)

    def _view(self, file: str, key: str) -> np.ndarray:
        if file not in self._views:
            self._views[file] = safetensors.views(self.path / file)
        if key not in self._views[file]:
            raise RuntimeError(f"the index of {self.path} is wrong: {key!r:.80} is not in {file}")
        return self._views[file][key]

    def box(self, name: str, entry: TensorStorageMetadata, at: Sequence[tuple[int, int]]) -> np.ndarray:
        """The elements of a tensor from `start` to `stop` along each dimension. RuntimeError if the checkpoint lacks some."""
        kind = entry.properties.dtype.numpy
        made = np.empty([stop - start for start, stop in at], kind)
        found = 0
        for chunk in entry.chunks:
            ends = [o + n for o, n in zip(chunk.offsets, chunk.sizes, strict=True)]
            low = [max(a, o) for (a, _), o in zip(at, chunk.offsets, strict=True)]
            high = [min(b, e) for (_, b), e in zip(at, ends, strict=True)]
            if any(a >= b for a, b in zip(low, high, strict=True)) and made.size:
                continue
            values = self._view(chunk.file, chunk.key)
            if kind == np.complex128:
                values = values.view(np.complex128)
            values = values.reshape(chunk.sizes)
            if values.dtype != kind and kind != np.bool_:
                raise RuntimeError(f"the index of {self.path} is wrong: {name} is {values.dtype} in {chunk.file}")
            part = values[tuple(slice(a - o, b - o) for a, b, o in zip(low, high, chunk.offsets, strict=True))]
            made[tuple(slice(a - s, b - s) for a, b, (s, _) in zip(low, high, at, strict=True))] = part
            found += part.size
        if found < made.size:
            raise RuntimeError(f"the checkpoint {self.path} lacks elements of {name}")
        return made

    def thing(self, file: str, key: str) -> Any:
        """What is no tensor. UnpicklingError for what may not be loaded (`torch.serialization.add_safe_globals`)."""
        return load_file(io.BytesIO(self._view(file, key).tobytes()), weights_only=True)


def whole(entry: TensorStorageMetadata) -> list[tuple[int, int]]:
    """The box of all elements."""
    return [(0, n) for n in entry.size]
