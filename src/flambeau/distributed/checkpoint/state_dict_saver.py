"""`save` and `async_save`."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from enum import Enum
from typing import Any

import numpy as np

from ...checkpoint.saving import save as save_file
from ...core.array import dtypes
from ...core.dispatch.messages import message
from ...core.tensor.tensor import Tensor
from ...processes import groups
from ..tensor import layouts
from .coordination import Ranks
from .default_planner import DefaultSavePlanner, is_plain
from .filesystem import FileSystemWriter
from .flattening import copied, flatten
from .metadata import (
    BytesStorageMetadata,
    ChunkStorageMetadata,
    Metadata,
    TensorProperties,
    TensorStorageMetadata,
)
from .planned import save_by_plan
from .stateful import states
from .storage import StorageWriter

__all__ = ["AsyncCheckpointerType", "AsyncSaveResponse", "async_save", "save", "save_state_dict"]


class AsyncCheckpointerType(Enum):
    """Who writes in the background."""

    THREAD = "thread"
    PROCESS = "process"


class AsyncSaveResponse:
    """What `async_save` gives with an `async_stager`: futures of the copy and of the whole."""

    def __init__(self, staging_completion: Future[Any], upload_completion: Future[Any]):
        self.staging_completion = staging_completion
        self.upload_completion = upload_completion


class _Part:
    """What one process writes: arrays by key, and the entries of the index that they make."""

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}
        self.tensors: dict[str, tuple[str, tuple[int, ...], list[tuple[tuple[int, ...], tuple[int, ...], str]]]] = {}
        self.things: list[str] = []

    def take_tensor(self, name: str, tensor: Tensor, mine: bool) -> None:
        """The boxes of a tensor that this process is to write."""
        sharding = layouts.sharding_of(tensor)
        boxes: list[tuple[tuple[int, ...], np.ndarray]] = []
        if sharding is None:
            if mine:
                boxes.append(((0,) * tensor.ndim, np.array(tensor.detach().resolve_conj()._array)))  # type: ignore[attr-defined]
        else:
            for shard in tensor._array.addressable_shards:
                if shard.replica_id == 0:
                    boxes.append((tuple(at.start or 0 for at in shard.index), np.array(shard.data)))
        chunks = []
        for offsets, values in boxes:
            key = (
                name
                if len(boxes) == 1 and values.shape == tuple(tensor.shape)
                else f"{name}@{','.join(map(str, offsets))}"
            )
            self.arrays[key] = values
            chunks.append((offsets, values.shape, key))

        if chunks:
            self.tensors[name] = (str(tensor.dtype).rpartition(".")[2], tuple(tensor.shape), chunks)

    def take_thing(self, name: str, value: Any) -> None:
        """What is no tensor."""
        file = io.BytesIO()
        save_file(value, file)
        self.arrays[name] = np.frombuffer(file.getvalue(), np.uint8)
        self.things.append(name)


def _owners(told: list[dict[str, int]]) -> dict[str, int]:
    """Which process writes what several have: the one with the least to write so far."""
    held, owners = [0] * len(told), {}
    for name in dict.fromkeys(name for names in told for name in names):
        having = [rank for rank, names in enumerate(told) if name in names]
        owners[name] = min(having, key=held.__getitem__)
        held[owners[name]] += told[owners[name]][name]
    return owners


def _part(flat: dict[str, Any], ranks: Ranks) -> _Part:
    """This process's part, copied: what happens to the tensors afterwards does not change it."""
    sizes = {n: v.nbytes if isinstance(v, Tensor) else 0 for n, v in flat.items() if not _is_cut(v)}
    owners = _owners(ranks.all(lambda: sizes))
    part = _Part()

    def take() -> None:
        for name, value in flat.items():
            mine = owners.get(name) == ranks.rank
            if isinstance(value, Tensor):
                part.take_tensor(name, value, mine)
            elif mine:
                part.take_thing(name, value)

    ranks.all(take)
    return part


def _is_cut(value: Any) -> bool:
    return isinstance(value, Tensor) and layouts.sharding_of(value) is not None


def _index(told: list[tuple[str, _Part]], paths: dict[str, tuple[Any, ...]]) -> Metadata:
    entries: dict[str, Any] = {}
    for file, part in told:
        for name, (kind, shape, chunks) in part.tensors.items():
            dtype = getattr(dtypes, kind)
            entry = entries.setdefault(name, TensorStorageMetadata(TensorProperties(dtype), shape, []))
            if entry.size != shape or entry.properties.dtype is not dtype:
                raise ValueError(f"{name} is {kind}{list(shape)} in one process and {list(entry.size)} in another")
            entry.chunks += [ChunkStorageMetadata(offsets, sizes, file, key) for offsets, sizes, key in chunks]
        entries.update({name: BytesStorageMetadata(file, name) for name in part.things})
    return Metadata(entries, {name: paths[name] for name in entries})


def _writer(checkpoint_id: Any, storage_writer: Any) -> StorageWriter:
    if storage_writer is None:
        if checkpoint_id is None:
            raise RuntimeError(message("checkpoint_id_missing"))
        return FileSystemWriter(os.fspath(checkpoint_id))
    if type(storage_writer) is FileSystemWriter and checkpoint_id is not None:
        return FileSystemWriter(checkpoint_id, overwrite=storage_writer.overwrite)
    if checkpoint_id is not None:
        storage_writer.reset(checkpoint_id)
    made: StorageWriter = storage_writer
    return made


def _write(writer: FileSystemWriter, part: _Part, paths: dict[str, tuple[Any, ...]], ranks: Ranks) -> Metadata:
    token = ranks.all(writer.begin)[0]
    file = f"__{ranks.rank}_{token}.safetensors"
    arrays, part.arrays = part.arrays, {}

    def write() -> Any:
        if arrays:
            writer.write(file, arrays)
        return file, part, paths

    told = ranks.all(write)
    index = _index([(name, one) for name, one, _ in told], {k: v for *_, more in told for k, v in more.items()})
    ranks.all(lambda: writer.finish(index) if ranks.rank == 0 else None)
    return index


def save(
    state_dict: dict[str, Any], *, checkpoint_id: str | os.PathLike[str] | None = None, storage_writer: StorageWriter | None = None,
    planner: Any = None, process_group: Any = None, no_dist: bool = False, use_collectives: bool = True,
) -> Metadata:  # fmt: skip
    """Write nested dictionaries of tensors and other values into a folder, all processes together. Objects with `state_dict()` are
    asked for it.

    A planner of one's own decides what is written under which names, a storage writer where; both are asked as plans go.
    Of a tensor on a mesh each process writes its part, of what several have one writes it: one safetensors file for each process,
    and an index that takes the place of the old one when all are written. CheckpointException in all processes if one fails.
    """
    writer = _writer(checkpoint_id, storage_writer)
    ranks = Ranks(process_group, no_dist)
    if type(writer) is not FileSystemWriter or not is_plain(planner):
        return save_by_plan(states(state_dict), writer, planner or DefaultSavePlanner(), ranks)
    flat, paths = flatten(states(state_dict))
    return _write(writer, _part(flat, ranks), paths, ranks)


_thread: ThreadPoolExecutor | None = None
_own_groups: dict[Any, Any] = {}


def _own_group(given: Any) -> Any:
    """A group of the same processes whose collectives go beside the others'."""
    members = groups.chosen(given)
    if members not in _own_groups:
        _own_groups.clear()
        _own_groups[members] = groups.new_group(list(members.ranks), use_local_synchronization=True)
    return _own_groups[members]


def async_save(
    state_dict: dict[str, Any], *, checkpoint_id: str | os.PathLike[str] | None = None, storage_writer: StorageWriter | None = None,
    planner: Any = None, process_group: Any = None, async_checkpointer_type: AsyncCheckpointerType = AsyncCheckpointerType.THREAD,
    async_stager: Any = None, no_dist: bool = False, use_collectives: bool = True,
) -> Any:  # fmt: skip
    """`save` by a thread: what is to be written is copied before this returns. Gives a Future of the index.

    Several are written one after the other, by a thread also where another process is asked for. NotImplementedError for stagers.
    """
    global _thread
    if async_stager is not None:
        raise NotImplementedError("async_save: values are copied at once and written by a thread; leave the stager out")
    writer = _writer(checkpoint_id, storage_writer)
    ranks = Ranks(process_group, no_dist)
    _thread = _thread or ThreadPoolExecutor(1, thread_name_prefix="async_save")
    beside = ranks if ranks.alone else Ranks(_own_group(process_group))
    job: Callable[[], Metadata]
    if type(writer) is not FileSystemWriter or not is_plain(planner):
        staged, planned = copied(states(state_dict)), planner or DefaultSavePlanner()
        job = lambda: save_by_plan(staged, writer, planned, beside)  # noqa: E731
        return _thread.submit(job)
    flat, paths = flatten(states(state_dict))
    part = _part(flat, ranks)
    job = lambda: _write(writer, part, paths, beside)  # noqa: E731
    return _thread.submit(job)


def save_state_dict(
    state_dict: dict[str, Any], storage_writer: StorageWriter, process_group: Any = None, coordinator_rank: int = 0,
    no_dist: bool = False, planner: Any = None,
) -> Metadata:  # fmt: skip
    """The old name of `save`."""
    return save(
        state_dict, storage_writer=storage_writer, process_group=process_group, no_dist=no_dist, planner=planner
    )
