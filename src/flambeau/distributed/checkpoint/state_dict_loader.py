"""`load`: into tensors as they lie now, whatever the mesh was that saved them."""

from __future__ import annotations

import os
from typing import Any

import jax

from ...core.array import devices
from ...core.context.grad_mode import no_grad
from ...core.dispatch.messages import message
from ...core.tensor.tensor import Tensor, from_host, wrap
from ..tensor import layouts
from .coordination import Ranks
from .default_planner import DefaultLoadPlanner, is_plain
from .filesystem import FileSystemReader, whole
from .flattening import flatten, put
from .metadata import BytesStorageMetadata, Metadata, TensorStorageMetadata
from .planned import load_by_plan
from .stateful import Stateful, states
from .storage import StorageReader

__all__ = ["load", "load_state_dict"]


def read_into(tensor: Tensor, name: str, entry: TensorStorageMetadata, reader: FileSystemReader) -> None:
    """Write a saved tensor's values into one that is there: each device's part is read by itself. ValueError for another shape."""
    if tuple(entry.size) != tuple(tensor.shape):
        raise ValueError(f"Size mismatch between saved {entry.size} and current: {tensor.shape} for {name}")
    sharding = layouts.sharding_of(tensor)
    if tensor.is_meta:
        raise ValueError(f"{name} is on the meta device: give it memory first (to_empty)")
    if sharding is None:
        values = from_host(reader.box(name, entry, whole(entry)))
    else:
        lengths = tuple(tensor.shape)

        def part(at: Any) -> Any:
            box = [s.indices(n)[:2] for s, n in zip(at, lengths, strict=True)]
            return reader.box(name, entry, box).astype(tensor._np_dtype)

        values = wrap(jax.make_array_from_callback(lengths, sharding, part))
    with no_grad():
        tensor.detach().copy_(values)  # type: ignore[attr-defined]


def _read(flat: dict[str, Any], reader: FileSystemReader, partial: bool) -> dict[str, Any]:
    """Fill the tensors; gives the values that are no tensors."""
    index: Metadata = reader.read_metadata()
    found: dict[str, Any] = {}
    for name in flat:
        if name not in index.state_dict_metadata and not partial:
            raise RuntimeError(f"Missing key in checkpoint state_dict: {name}.")
    for name, value in flat.items():
        entry = index.state_dict_metadata.get(name)
        if entry is None:
            continue
        if isinstance(entry, BytesStorageMetadata):
            found[name] = reader.thing(entry.file, entry.key)
        elif isinstance(value, Tensor):
            read_into(value, name, entry, reader)
        else:
            raise ValueError(message("checkpoint_of_a_tensor", name=name, kind=type(entry)))
    return found


def _reader(checkpoint_id: Any, storage_reader: Any) -> StorageReader:
    if storage_reader is None:
        if checkpoint_id is None:
            raise RuntimeError(message("checkpoint_id_missing"))
        return FileSystemReader(os.fspath(checkpoint_id))
    if type(storage_reader) is FileSystemReader and checkpoint_id is not None:
        return FileSystemReader(checkpoint_id)
    if checkpoint_id is not None:
        storage_reader.reset(checkpoint_id)
    made: StorageReader = storage_reader
    return made


def load(
    state_dict: dict[str, Any], *, checkpoint_id: str | os.PathLike[str] | None = None, storage_reader: StorageReader | None = None,
    planner: Any = None, process_group: Any = None, no_dist: bool = False,
) -> None:  # fmt: skip
    """Fill a state dict in place from a folder, all processes together: tensors keep their memory, dtype and layout, and of the
    files each process reads the bytes of its own parts. Other values are replaced, and objects with `load_state_dict()` given
    theirs. A planner of one's own decides what is read into what, a storage reader where it is found.

    CheckpointException in all processes if one fails: there is no checkpoint, it lacks a name, or a tensor has another shape.
    """
    reader = _reader(checkpoint_id, storage_reader)
    ranks = Ranks(process_group, no_dist, "load")
    given = dict(sorted(states(state_dict).items(), key=lambda entry: str(entry[0])))  # alike in all processes
    if type(reader) is FileSystemReader and is_plain(planner):
        _load(given, reader, getattr(planner, "allow_partial_load", False), ranks)
    else:
        load_by_plan(given, reader, planner or DefaultLoadPlanner(), ranks)
    for key, value in state_dict.items():
        if isinstance(value, Stateful):
            value.load_state_dict(given[key])
        else:
            state_dict[key] = given[key]


def _load(given: dict[str, Any], reader: FileSystemReader, partial: bool, ranks: Ranks) -> None:
    flat, paths = flatten(given)
    found: dict[str, Any] = {}
    ranks.all(lambda: found.update(_read(flat, reader, partial)))
    for name, value in found.items():
        put(given, paths[name], value)


def _load_state_dict(
    state_dict: dict[str, Any], storage_reader: StorageReader, process_group: Any = None, coordinator_rank: int = 0,
    no_dist: bool = False, planner: Any = None,
) -> None:  # fmt: skip
    """By plans alone, into the state dict as it is: objects are not asked for their states."""
    load_by_plan(state_dict, storage_reader, planner or DefaultLoadPlanner(), Ranks(process_group, no_dist, "load"))


def load_state_dict(
    state_dict: dict[str, Any], storage_reader: StorageReader, process_group: Any = None, coordinator_rank: int = 0,
    no_dist: bool = False, planner: Any = None,
) -> None:  # fmt: skip
    """The old name of `load`."""
    load(state_dict, storage_reader=storage_reader, process_group=process_group, no_dist=no_dist, planner=planner)


def everything(reader: FileSystemReader, values: bool = True) -> dict[str, Any]:
    """All that a checkpoint holds, in nested dictionaries; without `values`, tensors are on the meta device."""
    index: Metadata = reader.read_metadata()
    made: dict[str, Any] = {}
    for name, entry in index.state_dict_metadata.items():
        if isinstance(entry, BytesStorageMetadata):
            value = reader.thing(entry.file, entry.key)
        elif values:
            value = from_host(reader.box(name, entry, whole(entry)))
        else:
            value = wrap(devices.MetaArray(tuple(entry.size), entry.properties.dtype.numpy))
        put(made, index.planner_data[name], value)
    return made
