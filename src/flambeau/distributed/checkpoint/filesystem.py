"""Checkpoints in a folder: one safetensors file of each process, and an index that is replaced when all are there."""

from __future__ import annotations

import contextlib
import io
import os
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...checkpoint import safetensors
from ...checkpoint.loading import load as load_file
from ...core.tensor.tensor import from_host
from ...futures import Future
from ...runtime import files
from . import metadata as meta
from ._files import FileSystem, FileSystemBase, SerializationFormat
from .metadata import (
    BytesStorageMetadata,
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    StorageMeta,
    TensorStorageMetadata,
)
from .planner import LoadItemType, LoadPlan, LoadPlanner, SavePlan, SavePlanner
from .storage import StorageReader, StorageWriter, WriteResult

__all__ = ["FileSystem", "FileSystemBase", "FileSystemReader", "FileSystemWriter", "SerializationFormat"]


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

    def reset(self, checkpoint_id: str | os.PathLike[str] | None = None) -> None:
        """Begin another checkpoint, in another folder if one is given."""
        if checkpoint_id is not None:
            self.path = Path(os.fsdecode(checkpoint_id))

    def set_up_storage_writer(self, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:
        """Nothing is to be made ready."""

    def storage_meta(self) -> StorageMeta | None:
        """The folder."""
        return StorageMeta(self.checkpoint_id, uuid.uuid4().hex)

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: str | os.PathLike[str]) -> bool:
        """Whether it is a folder's name that can be written."""
        return FileSystem.validate_checkpoint_id(checkpoint_id)

    def prepare_local_plan(self, plan: SavePlan) -> SavePlan:
        """As it is."""
        return plan

    def prepare_global_plan(self, plans: list[SavePlan]) -> list[SavePlan]:
        """Each process's plan gets the name of its file."""
        token = self.begin()
        return [replace(plan, storage_data=f"__{rank}_{token}.safetensors") for rank, plan in enumerate(plans)]

    def write_data(self, plan: SavePlan, planner: SavePlanner) -> Future[list[WriteResult]]:
        """Write this process's file."""
        arrays: dict[str, np.ndarray] = {}
        results = []
        for item in plan.items:
            name, data = item.index.fqn, planner.resolve_data(item)
            if isinstance(data, io.BytesIO):
                values, key = np.frombuffer(data.getvalue(), np.uint8), name
            else:
                values, at = np.array(data.detach().resolve_conj()._array), item.index.offset  # type: ignore[attr-defined]
                whole = item.tensor_data is None or tuple(item.tensor_data.size) == values.shape
                key = name if whole else f"{name}@{','.join(map(str, at or ()))}"
            arrays[key] = values
            results.append(WriteResult(item.index, values.nbytes, (plan.storage_data, key)))
        if arrays:
            self.write(plan.storage_data, arrays)
        done: Future[list[WriteResult]] = Future()
        done.set_result(results)
        return done

    def finish(self, index: Metadata, results: list[list[WriteResult]] | None = None) -> None:
        """Make what was written the checkpoint, and remove the files of the one before."""
        if results is not None:
            _placed(index, [one for told in results for one in told])
        self.path.mkdir(parents=True, exist_ok=True)
        text = index.text()
        files.replace(self.path / meta.INDEX, lambda file: file.write(text))
        kept = index.files()
        for old in self.path.glob("__*_*.safetensors"):
            if old.name not in kept:
                with contextlib.suppress(OSError):
                    old.unlink()


def _placed(index: Metadata, results: list[WriteResult]) -> None:
    """Say in the index where everything was written, and by which keys it is found."""
    for one in results:
        entry: Any = index.state_dict_metadata[one.index.fqn]
        if isinstance(entry, TensorStorageMetadata):
            entry = _chunk(entry, one.index)
        entry.file, entry.key = one.storage_data
    paths = index.planner_data if isinstance(index.planner_data, dict) else {}
    index.planner_data = {name: paths.get(name, (name,)) for name in index.state_dict_metadata}


def _chunk(entry: TensorStorageMetadata, index: MetadataIndex) -> ChunkStorageMetadata:
    """The chunk at a place. ValueError if there is none."""
    at = tuple(index.offset or ())
    for chunk in entry.chunks:
        if tuple(chunk.offsets) == at:
            return chunk
    raise ValueError(f"Could not find shard at {at} for {index.fqn}")


class FileSystemReader(StorageReader):
    """Reads a checkpoint that `FileSystemWriter` wrote: of each file, the bytes that are asked for."""

    def __init__(self, path: str | os.PathLike[str], _extension_registry: Any = None) -> None:
        self.path: Path = Path(os.fsdecode(path))
        self._views: dict[str, dict[str, np.ndarray]] = {}

    @property
    def checkpoint_id(self) -> Path:
        """The folder."""
        return self.path

    def reset(self, checkpoint_id: str | os.PathLike[str] | None = None) -> None:
        """Begin with another checkpoint, in another folder if one is given."""
        self._views = {}
        if checkpoint_id is not None:
            self.path = Path(os.fsdecode(checkpoint_id))

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        """The index. FileNotFoundError if there is none, RuntimeError for one that is damaged."""
        return meta.read(self.path)

    def set_up_storage_reader(self, metadata: Metadata, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:
        """Keep the index."""
        self._index = metadata

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: str | os.PathLike[str]) -> bool:
        """Whether it is a folder's name."""
        return FileSystem.validate_checkpoint_id(checkpoint_id)

    def prepare_local_plan(self, plan: LoadPlan) -> LoadPlan:
        """As it is."""
        return plan

    def prepare_global_plan(self, plans: list[LoadPlan]) -> list[LoadPlan]:
        """As they are."""
        return plans

    def read_data(self, plan: LoadPlan, planner: LoadPlanner) -> Future[None]:
        """Read the bytes of each item."""
        for item in plan.items:
            name = item.storage_index.fqn
            entry = self._index.state_dict_metadata[name]
            if item.type is LoadItemType.BYTE_IO:
                assert isinstance(entry, BytesStorageMetadata)
                planner.load_bytes(item, io.BytesIO(self._view(entry.file, entry.key).tobytes()))
                continue
            assert isinstance(entry, TensorStorageMetadata)
            start = [
                a + b for a, b in zip(_chunk(entry, item.storage_index).offsets, item.storage_offsets, strict=True)
            ]
            values = self.box(name, entry, [(a, a + n) for a, n in zip(start, item.lengths, strict=True)])
            target = planner.resolve_tensor(item).detach()  # type: ignore[attr-defined]
            if tuple(target.shape) != values.shape:
                raise AssertionError(f"req {item.storage_index} mismatch sizes {target.shape} vs {values.shape}")
            target.copy_(from_host(values))
            planner.commit_tensor(item, target)
        done: Future[None] = Future()
        done.set_result(None)
        return done

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
