"""Between checkpoints of several processes and single files."""

from __future__ import annotations

import os
from typing import Any

from ...checkpoint.loading import load as load_file
from ...checkpoint.saving import save as save_file
from ...core.tensor.tensor import Tensor
from ...futures import Future
from ...processes import groups
from ...processes.objects import broadcast_object_list
from .default_planner import DefaultLoadPlanner
from .filesystem import FileSystemReader
from .flattening import flatten
from .metadata import Metadata, TensorProperties, TensorStorageMetadata
from .planner import LoadItemType, LoadPlan, LoadPlanner
from .planner_helpers import own_chunks
from .state_dict_loader import everything
from .state_dict_saver import save
from .storage import StorageReader

__all__ = ["BroadcastingTorchSaveReader", "DynamicMetaLoadPlanner", "dcp_to_torch_save", "torch_save_to_dcp"]


def dcp_to_torch_save(dcp_checkpoint_dir: str | os.PathLike[str], torch_save_path: str | os.PathLike[str]) -> None:
    """Write all that a checkpoint holds into one file, as `torch.save` does. By one process."""
    save_file(everything(FileSystemReader(dcp_checkpoint_dir)), torch_save_path)


def torch_save_to_dcp(torch_save_path: str | os.PathLike[str], dcp_checkpoint_dir: str | os.PathLike[str]) -> None:
    """Write what is in a file of `torch.save` as a checkpoint. By one process."""
    save(load_file(torch_save_path, weights_only=True), checkpoint_id=dcp_checkpoint_dir, no_dist=True)


class DynamicMetaLoadPlanner(DefaultLoadPlanner):
    """Makes the index of what is asked for, where a file has none: each tensor is whole, of the asked shape."""

    def set_up_planner(
        self, state_dict: dict[str, Any], metadata: Metadata | None = None, is_coordinator: bool = False
    ) -> None:
        """Flatten the names. RuntimeError for what is no tensor."""
        super().set_up_planner(state_dict, metadata, is_coordinator)
        entries: dict[str, Any] = {}
        for name, tensor in self.state_dict.items():
            if not isinstance(tensor, Tensor):
                raise RuntimeError(
                    f"Non-tensor value identified at {name}. At this time DynamicMetaLoadPlanner only supports loading Tensors."
                )
            whole = own_chunks([((0,) * tensor.ndim, tensor.shape)])
            entries[name] = TensorStorageMetadata(TensorProperties(tensor.dtype), tensor.shape, whole)
        self.metadata = Metadata(entries)


class BroadcastingTorchSaveReader(StorageReader):
    """Reads files of `torch.save`: one process reads, all others get the tensors from it. With `DynamicMetaLoadPlanner`."""

    def __init__(self, checkpoint_id: str | os.PathLike[str] | None = None, coordinator_rank: int = 0) -> None:
        self.checkpoint_id, self.coordinator_rank = checkpoint_id, coordinator_rank

    def reset(self, checkpoint_id: str | os.PathLike[str] | None = None) -> None:
        """Begin with another file."""
        self.checkpoint_id = checkpoint_id

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        """There is none."""
        return Metadata({})

    def set_up_storage_reader(self, metadata: Metadata, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:
        """Keep who reads. AssertionError without a file, or where another process leads."""
        self.is_coordinator = is_coordinator
        if self.is_coordinator and groups.is_initialized() and groups.get_rank() != self.coordinator_rank:
            raise AssertionError(f"the process that leads is not {self.coordinator_rank}")
        if self.checkpoint_id is None:
            raise AssertionError("BroadcastingTorchSaveReader: there is no checkpoint_id")

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: str | os.PathLike[str]) -> bool:
        """Whether there is such a file."""
        return os.path.isfile(checkpoint_id)

    def prepare_local_plan(self, plan: LoadPlan) -> LoadPlan:
        """As it is."""
        return plan

    def prepare_global_plan(self, plans: list[LoadPlan]) -> list[LoadPlan]:
        """As they are."""
        return plans

    def read_data(self, plan: LoadPlan, planner: LoadPlanner) -> Future[None]:
        """Send each tensor to all processes, each of which takes its parts. RuntimeError for what is no tensor."""
        assert isinstance(planner, DefaultLoadPlanner)
        read: dict[str, Any] = {}
        if self.is_coordinator:
            assert self.checkpoint_id is not None
            read, _ = flatten(load_file(self.checkpoint_id, map_location="cpu", weights_only=True))
        alone = not groups.is_initialized() or groups.get_world_size() == 1
        for name in sorted(planner.state_dict):  # also those of which this process has no part
            told = [read.get(name)]
            if not alone:
                broadcast_object_list(told, src=self.coordinator_rank)
            for item in plan.items:
                if item.dest_index.fqn == name:
                    _take(item, told[0], planner)
        done: Future[None] = Future()
        done.set_result(None)
        return done


def _take(item: Any, value: Any, planner: LoadPlanner) -> None:
    name = item.dest_index.fqn
    if item.type is LoadItemType.BYTE_IO or not isinstance(value, Tensor):
        raise RuntimeError(f"Non-tensor value identified at {name}: the file has {type(value).__name__}")
    whole = planner.state_dict[name]  # type: ignore[attr-defined]
    if value.shape != whole.shape:
        raise AssertionError(f"req {name} mismatch sizes {whole.shape} vs {value.shape}")
    for dim, (start, length) in enumerate(zip(item.storage_offsets, item.lengths, strict=True)):
        value = value.narrow(dim, start, length)  # type: ignore[attr-defined]
    target = planner.resolve_tensor(item).detach()  # type: ignore[attr-defined]
    target.copy_(value)
    planner.commit_tensor(item, target)
