"""The planners that there are: names are flattened, tensors are cut as they lie."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from ...checkpoint.loading import load as load_file
from ...checkpoint.saving import save as save_file
from ...core.context.grad_mode import no_grad
from ...core.dispatch.messages import message
from ...core.tensor.tensor import Tensor, from_host, wrap
from ..tensor import layouts, parts
from .flattening import Path, flatten, put
from .metadata import (
    BytesStorageMetadata,
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    StorageMeta,
    TensorStorageMetadata,
)
from .planner import LoadPlan, LoadPlanner, ReadItem, SavePlan, SavePlanner, WriteItem, WriteItemType
from .planner_helpers import _create_read_items, _create_write_items, copied, is_cut, own_boxes, tensors_of

__all__ = [
    "DefaultLoadPlanner",
    "DefaultSavePlanner",
    "create_default_global_load_plan",
    "create_default_global_save_plan",
    "create_default_local_load_plan",
    "create_default_local_save_plan",
]


class DefaultSavePlanner(SavePlanner):
    """Writes everything once. The other options change nothing; NotImplementedError for containers that are not to be flattened."""

    mappings: dict[str, Path]

    def __init__(
        self, flatten_state_dict: bool = True, flatten_sharded_tensors: bool = True, dedup_replicated_tensors: bool | None = None,
        dedup_save_to_lowest_rank: bool = False, enable_plan_caching: bool = False,
    ) -> None:  # fmt: skip
        _flat(flatten_state_dict)
        self.flatten_state_dict, self.flatten_sharded_tensors = flatten_state_dict, flatten_sharded_tensors
        self.dedup_save_to_lowest_rank = dedup_save_to_lowest_rank
        self.mappings = {}

    def set_up_planner(
        self, state_dict: dict[str, Any], storage_meta: StorageMeta | None = None, is_coordinator: bool = False
    ) -> None:
        """Flatten the names."""
        self.state_dict, self.mappings = flatten(state_dict)
        self.is_coordinator = is_coordinator

    def create_local_plan(self) -> SavePlan:
        """All that this process has."""
        plan = create_default_local_save_plan(self.state_dict, self.is_coordinator)
        self.plan: SavePlan = replace(plan, planner_data=self.mappings)
        return self.plan

    def create_global_plan(self, all_plans: list[SavePlan]) -> tuple[list[SavePlan], Metadata]:
        """What several would write, one writes: the one with the least to write so far, or the first."""
        plans, index = create_default_global_save_plan(_each_once(all_plans, self.dedup_save_to_lowest_rank))
        paths = [plan.planner_data for plan in all_plans if isinstance(plan.planner_data, dict)]
        index.planner_data = {name: path for own in paths for name, path in own.items()}
        self.global_plan, self.metadata = plans, index
        return plans, index

    def finish_plan(self, new_plan: SavePlan) -> SavePlan:
        """Keep it."""
        self.plan = new_plan
        return new_plan

    def resolve_data(self, write_item: WriteItem) -> Tensor | io.BytesIO:
        """The values, by `lookup_object` and `transform_object`."""
        found: Tensor | io.BytesIO = self.transform_object(write_item, self.lookup_object(write_item.index))
        return found

    def lookup_object(self, index: MetadataIndex) -> Any:
        """The value of a name; of a tensor on a mesh the part at a place."""
        value = self.state_dict[index.fqn]
        return _part_at(value, index) if is_cut(value) else value

    def transform_object(self, write_item: WriteItem, object: Any) -> Any:
        """What is no tensor, pickled."""
        if write_item.type is not WriteItemType.BYTE_IO:
            return object.detach()
        file = io.BytesIO()
        save_file(object, file)
        file.seek(0)
        return file


class DefaultLoadPlanner(LoadPlanner):
    """Reads what the state dict asks for. With `allow_partial_load`, what the checkpoint lacks stays as it is."""

    mappings: dict[str, Path]
    original_state_dict: dict[str, Any]

    def __init__(
        self, flatten_state_dict: bool = True, flatten_sharded_tensors: bool = True, allow_partial_load: bool = False
    ) -> None:
        _flat(flatten_state_dict)
        self.flatten_state_dict, self.flatten_sharded_tensors = flatten_state_dict, flatten_sharded_tensors
        self.original_state_dict, self.mappings = {}, {}
        self.allow_partial_load = allow_partial_load

    def set_up_planner(
        self, state_dict: dict[str, Any], metadata: Metadata | None = None, is_coordinator: bool = False
    ) -> None:
        """Flatten the names."""
        self.original_state_dict = state_dict
        self.state_dict, self.mappings = flatten(state_dict)
        self.metadata, self.is_coordinator = metadata, is_coordinator
        self._parts: dict[MetadataIndex, Tensor] = {}

    def create_local_plan(self) -> LoadPlan:
        """All that the state dict asks for. RuntimeError for a name that the checkpoint lacks, ValueError for another shape."""
        if self.metadata is None:
            raise AssertionError("self.metadata is not None")
        return create_default_local_load_plan(self.state_dict, self.metadata, not self.allow_partial_load)

    def create_global_plan(self, global_plan: list[LoadPlan]) -> list[LoadPlan]:
        """As they are."""
        return create_default_global_load_plan(global_plan)

    def finish_plan(self, new_plan: LoadPlan) -> LoadPlan:
        """As it is."""
        return new_plan

    def load_bytes(self, read_item: ReadItem, value: io.BytesIO) -> None:
        """Put what is no tensor into the state dict."""
        name = read_item.dest_index.fqn
        put(self.original_state_dict, self.mappings[name], load_file(value, weights_only=True))

    def resolve_tensor(self, read_item: ReadItem) -> Tensor:
        """The elements of a tensor, by `lookup_tensor` and `transform_tensor`."""
        return self.transform_tensor(read_item, self.lookup_tensor(read_item.dest_index))

    def commit_tensor(self, read_item: ReadItem, tensor: Tensor) -> None:
        """Nothing is left to do."""

    def lookup_tensor(self, index: MetadataIndex) -> Tensor:
        """The tensor of a name; of one on a mesh a tensor that holds the part at a place, which is put into it at the end."""
        value: Tensor = self.state_dict[index.fqn]
        if not is_cut(value):
            return value.detach()
        if index not in self._parts:
            self._parts[index] = _part_at(value, index)
        return self._parts[index]

    def transform_tensor(self, read_item: ReadItem, tensor: Tensor) -> Tensor:
        """A part of it."""
        for dim, (start, length) in enumerate(zip(read_item.dest_offsets, read_item.lengths, strict=True)):
            tensor = tensor.narrow(dim, start, length)  # type: ignore[attr-defined]
        return tensor

    def _settle(self) -> None:
        """Put the parts that were read into the tensors on meshes."""
        known = self.metadata.state_dict_metadata if self.metadata is not None else {}
        for name, tensor in tensors_of(self.state_dict):  # by all processes, also by those without a part of it
            if name in known:
                found = {index.offset: part for index, part in self._parts.items() if index.fqn == name}
                with no_grad():
                    tensor.detach().copy_(_laid(tensor, found))  # type: ignore[attr-defined]
        self._parts = {}


class _EmptyStateDictLoadPlanner(DefaultLoadPlanner):
    """Reads all that a checkpoint holds, or what lies under some names, into an empty state dict."""

    def __init__(self, keys: set[str] | None = None, *args: Any, **kwargs: Any) -> None:
        self.keys = keys
        super().__init__(*args, **kwargs)

    def _wanted(self, name: str, path: Path) -> bool:
        heads = {name, *(".".join(map(str, path[:n])) for n in range(1, len(path) + 1))}
        return self.keys is None or bool(heads & set(self.keys))

    def set_up_planner(
        self, state_dict: dict[str, Any], metadata: Metadata | None = None, is_coordinator: bool = False
    ) -> None:
        """Make room. AssertionError for a state dict that is not empty."""
        if state_dict or metadata is None:
            raise AssertionError("the state dict is to be empty, and there has to be an index")
        for name, entry in metadata.state_dict_metadata.items():
            path = (metadata.planner_data or {}).get(name, (name,))
            if not self._wanted(name, path):
                continue
            room: Any = None
            if isinstance(entry, TensorStorageMetadata):
                room = from_host(np.zeros(tuple(entry.size), entry.properties.dtype.numpy))
            put(state_dict, path, room)
        super().set_up_planner(state_dict, metadata, is_coordinator)


def _flat(asked: bool) -> None:
    if not asked:
        raise NotImplementedError("flatten_state_dict=False: checkpoints hold values by their full names")


def is_plain(planner: Any) -> bool:
    """Whether a planner does what `save` and `load` do without one."""
    return planner is None or type(planner) in (DefaultSavePlanner, DefaultLoadPlanner)


def _part_at(tensor: Tensor, index: MetadataIndex) -> Tensor:
    """A copy of the part that this process has of a tensor at a place. KeyError if it has none there."""
    found = dict(own_boxes(tensor))
    return from_host(copied(found[tuple(index.offset or (0,) * tensor.ndim)]))


def _laid(tensor: Tensor, found: dict[Any, Tensor]) -> Tensor:
    """A tensor of these parts that lies as another does; what is not among them stays."""
    own = {at: found[at]._array if at in found else values for at, values in own_boxes(tensor)}
    held = parts.of(tensor)
    if held is not None and held.keeps and held.mesh.several:
        made: Tensor = parts.tensor(parts.Parts([next(iter(own.values()))], held.mesh, held.placements, held.shape))
        return made
    sharding: Any = layouts.sharding_of(tensor)
    each = lambda at: own[tuple(side.start or 0 for side in at)]  # noqa: E731
    return wrap(jax.make_array_from_callback(tuple(tensor.shape), sharding, each))


def create_default_local_save_plan(state_dict: dict[str, Any], is_coordinator: bool) -> SavePlan:
    """What a process would write of a flat state dict."""
    return SavePlan([item for name, value in state_dict.items() for item in _create_write_items(name, value)])


def _each_once(plans: list[SavePlan], to_the_first: bool) -> list[SavePlan]:
    having: dict[MetadataIndex, list[int]] = {}
    sizes: dict[MetadataIndex, int] = {}
    for rank, plan in enumerate(plans):
        for item in plan.items:
            having.setdefault(item.index, []).append(rank)
            sizes[item.index] = item.tensor_storage_size() or 1
    held, kept = [0] * len(plans), set()
    for index, ranks in having.items():
        owner = ranks[0] if to_the_first else min(ranks, key=held.__getitem__)
        held[owner] += sizes[index]
        kept.add((owner, index))
    return [
        replace(plan, items=[item for item in plan.items if (rank, item.index) in kept])
        for rank, plan in enumerate(plans)
    ]


def create_default_global_save_plan(
    all_plans: list[SavePlan], rewrite_index_hints: bool = True
) -> tuple[list[SavePlan], Metadata]:
    """The plans and the index that they make. AssertionError for what is no tensor and stands in two plans."""
    entries: dict[str, Any] = {}
    plans = []
    for plan in all_plans:
        items = []
        for item in plan.items:
            name, data = item.index.fqn, item.tensor_data
            if data is None:
                if name in entries:
                    raise AssertionError(f"{name} stands in two plans")
                entries[name] = BytesStorageMetadata()
                items.append(item)
                continue
            entry = entries.setdefault(name, TensorStorageMetadata(replace(data.properties), data.size, []))
            if not isinstance(entry, TensorStorageMetadata) or tuple(entry.size) != tuple(data.size):
                raise ValueError(f"{name} has the shape {list(data.size)} in one process and another one elsewhere")
            index = MetadataIndex(name, item.index.offset, len(entry.chunks)) if rewrite_index_hints else item.index
            entry.chunks.append(ChunkStorageMetadata(data.chunk.offsets, data.chunk.sizes))
            items.append(replace(item, index=index))
        plans.append(replace(plan, items=items))
    return plans, Metadata(entries, {})


def create_default_local_load_plan(state_dict: dict[str, Any], metadata: Metadata, strict: bool = True) -> LoadPlan:
    """What a process is to read for a flat state dict. RuntimeError for a name that is not there, unless not `strict`."""
    items = []
    for name, value in state_dict.items():
        entry = metadata.state_dict_metadata.get(name)
        if entry is None:
            if strict:
                raise RuntimeError(f"Missing key in checkpoint state_dict: {name}.")
            continue
        if isinstance(entry, TensorStorageMetadata):
            if not isinstance(value, Tensor):
                raise ValueError(message("checkpoint_of_a_tensor", name=name, kind=type(entry)))
            if tuple(entry.size) != tuple(value.shape):
                raise ValueError(f"Size mismatch between saved {entry.size} and current: {value.shape} for {name}")
            if value.is_meta:
                raise ValueError(f"{name} is on the meta device: give it memory first (to_empty)")
        items += _create_read_items(name, entry, value)
    return LoadPlan(items)


def create_default_global_load_plan(all_plans: list[LoadPlan]) -> list[LoadPlan]:
    """As they are."""
    return all_plans
