"""Planners and storages that a user writes, in one process: what they are asked, and what they make of a checkpoint, as in PyTorch."""

from __future__ import annotations

import importlib
import io
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import flambeau as fb

BOTH = pytest.mark.parametrize("library", [fb, torch], ids=["flambeau", "torch"])


def parts_of(t: Any) -> tuple[Any, Any, Any]:
    names = ("distributed.checkpoint", "distributed.checkpoint.storage", "distributed.checkpoint.planner")
    found = [importlib.import_module(f"{t.__name__}.{name}") for name in names]
    return found[0], found[1], found[2]


@pytest.fixture(autouse=True)
def alone() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def save_planner(t: Any, asked: list[Any]) -> Any:
    dcp, *_ = parts_of(t)

    class Smaller(dcp.DefaultSavePlanner):  # type: ignore[misc, name-defined]
        """Other names, in half precision."""

        def set_up_planner(self, state_dict: Any, storage_meta: Any = None, is_coordinator: bool = False) -> None:
            asked.append(("set up", sorted(state_dict), is_coordinator))
            super().set_up_planner({f"other.{k}": v for k, v in state_dict.items()}, storage_meta, is_coordinator)

        def create_local_plan(self) -> Any:
            plan = super().create_local_plan()
            for item in plan.items:
                asked.append((item.index, item.type.name, item.tensor_storage_size()))
                if item.tensor_data is not None:
                    item.tensor_data.properties.dtype = t.float16
            return plan

        def create_global_plan(self, all_plans: Any) -> Any:
            plans, index = super().create_global_plan(all_plans)
            return [replace(plan, planner_data="told") for plan in plans], index

        def finish_plan(self, new_plan: Any) -> Any:
            asked.append(("finish", new_plan.planner_data, [item.index.index for item in new_plan.items]))
            return super().finish_plan(new_plan)

        def transform_object(self, write_item: Any, object: Any) -> Any:
            made = super().transform_object(write_item, object)
            return made if isinstance(made, io.BytesIO) else made.to(t.float16)

    return Smaller()


def load_planner(t: Any, asked: list[Any]) -> Any:
    dcp, *_ = parts_of(t)

    class Doubling(dcp.DefaultLoadPlanner):  # type: ignore[misc, name-defined]
        """The names that the other has written, and twice the values."""

        def set_up_planner(self, state_dict: Any, metadata: Any = None, is_coordinator: bool = False) -> None:
            self.own = state_dict
            super().set_up_planner({f"other.{k}": v for k, v in state_dict.items()}, metadata, is_coordinator)

        def create_local_plan(self) -> Any:
            plan = super().create_local_plan()
            for i in plan.items:
                asked.append((i.type.name, i.dest_index, [*i.dest_offsets], i.storage_index, [*i.lengths]))
            return plan

        def load_bytes(self, read_item: Any, value: io.BytesIO) -> None:
            self.own[read_item.dest_index.fqn.partition(".")[2]] = t.load(value, weights_only=True)

        def commit_tensor(self, read_item: Any, tensor: Any) -> None:
            tensor.mul_(2)

    return Doubling()


def told(t: Any, folder: Path) -> Any:
    dcp, *_ = parts_of(t)
    asked: list[Any] = []
    dcp.save({"x": t.arange(6.0).view(2, 3) / 3, "n": 7}, checkpoint_id=folder, planner=save_planner(t, asked))
    index = dcp.FileSystemReader(folder).read_metadata()
    kinds = {name: type(entry).__name__ for name, entry in index.state_dict_metadata.items()}
    assert index.state_dict_metadata["other.x"].properties.dtype is t.float16
    found = {"n": 0, "x": t.zeros(2, 3, dtype=t.float64)}
    dcp.load(found, checkpoint_id=folder, planner=load_planner(t, asked))
    plain = {"other.x": t.zeros(2, 3)}
    dcp.load(plain, checkpoint_id=folder)
    return repr(asked), kinds, found["n"], found["x"].tolist(), plain["other.x"].tolist()


def test_planners_of_ones_own(tmp_path: Path) -> None:
    assert told(fb, tmp_path / "ours") == told(torch, tmp_path / "theirs")


def in_memory(t: Any, asked: list[Any]) -> tuple[Any, Any]:
    _, storage, planner = parts_of(t)
    held: dict[Any, Any] = {}

    class Writer(storage.StorageWriter):  # type: ignore[misc, name-defined]
        def reset(self, checkpoint_id: Any = None) -> None:
            asked.append(("reset", checkpoint_id))

        def set_up_storage_writer(self, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:
            asked.append(("set up", is_coordinator))

        def prepare_local_plan(self, plan: Any) -> Any:
            return replace(plan, storage_data="mine")

        def prepare_global_plan(self, plans: Any) -> Any:
            asked.append(("plans", [plan.storage_data for plan in plans]))
            return plans

        def write_data(self, plan: Any, planner: Any) -> Any:
            for item in plan.items:
                data = planner.resolve_data(item)
                held[item.index] = data.getvalue() if isinstance(data, io.BytesIO) else data.clone()
            made = t.futures.Future()
            made.set_result([storage.WriteResult(item.index, 1, None) for item in plan.items])
            return made

        def finish(self, metadata: Any, results: Any) -> None:
            asked.append(("finish", sorted(metadata.state_dict_metadata), [len(one) for one in results]))
            held[""] = metadata

        @classmethod
        def validate_checkpoint_id(cls, checkpoint_id: Any) -> bool:
            return True

    class Reader(storage.StorageReader):  # type: ignore[misc, name-defined]
        def reset(self, checkpoint_id: Any = None) -> None:
            asked.append(("reset", checkpoint_id))

        def read_metadata(self, *args: Any, **kwargs: Any) -> Any:
            return held[""]

        def set_up_storage_reader(self, metadata: Any, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:
            asked.append(("set up", metadata is held[""], is_coordinator))

        def prepare_local_plan(self, plan: Any) -> Any:
            return plan

        def prepare_global_plan(self, plans: Any) -> Any:
            return plans

        def read_data(self, plan: Any, own: Any) -> Any:
            for item in plan.items:
                asked.append(item)
                if item.type is planner.LoadItemType.BYTE_IO:
                    own.load_bytes(item, io.BytesIO(held[item.storage_index]))
                    continue
                values = held[item.storage_index]
                for dim, (start, length) in enumerate(zip(item.storage_offsets, item.lengths, strict=True)):
                    values = values.narrow(dim, start, length)
                target = own.resolve_tensor(item).detach()
                target.copy_(values)
                own.commit_tensor(item, target)
            made = t.futures.Future()
            made.set_result(None)
            return made

        @classmethod
        def validate_checkpoint_id(cls, checkpoint_id: Any) -> bool:
            return True

    return Writer(), Reader()


def stored(t: Any) -> Any:
    dcp, *_ = parts_of(t)
    asked: list[Any] = []
    writer, reader = in_memory(t, asked)
    state = {"b": {"w": t.arange(4.0), "k": "text"}, "a": t.ones((), dtype=t.int64)}
    dcp.save(state, storage_writer=writer, checkpoint_id="somewhere")
    state["b"]["w"].zero_()
    found = {"b": {"w": t.zeros(4), "k": ""}, "a": t.zeros((), dtype=t.int64)}
    dcp.load(found, storage_reader=reader)
    seen = repr(asked)
    later = dcp.async_save({"z": state["a"]}, storage_writer=writer) if t is fb else None
    state["a"].add_(5)
    assert later is None or (later.result() and asked.pop()[1] == ["z"])
    return seen, found["b"]["w"].tolist(), found["b"]["k"], found["a"].item()


def test_storages_of_ones_own() -> None:
    assert stored(fb) == stored(torch)


@BOTH
def test_what_is_abstract(library: Any) -> None:
    _, storage, planner = parts_of(library)
    for kind in (storage.StorageWriter, storage.StorageReader, planner.SavePlanner):
        with pytest.raises(TypeError, match="abstract"):
            kind()


def test_files_of_one_process(tmp_path: Path) -> None:
    """What PyTorch wrote by `torch.save` (whose own reader wants a group of processes)."""
    dcp = fb.distributed.checkpoint
    torch.save({"m": {"w": torch.arange(6.0)}, "b": torch.ones(2), "n": 3}, tmp_path / "all.pt")

    def read(state: Any) -> Any:
        reader, planner = dcp.format_utils.BroadcastingTorchSaveReader(), dcp.format_utils.DynamicMetaLoadPlanner()
        dcp.load(state, checkpoint_id=tmp_path / "all.pt", storage_reader=reader, planner=planner)
        return state

    with pytest.raises(dcp.CheckpointException, match="DynamicMetaLoadPlanner only supports loading Tensors"):
        read({"n": 0})
    for wrong, told in (
        ({"n": fb.zeros(())}, "Non-tensor value identified at n"),
        ({"b": fb.zeros(3)}, "mismatch sizes"),
    ):
        with pytest.raises(dcp.CheckpointException, match=told):
            read(wrong)
    found = read({"m": {"w": fb.zeros(6)}, "b": fb.zeros(2, dtype=fb.float64)})
    assert (
        found["m"]["w"].tolist() == [0, 1, 2, 3, 4, 5]
        and found["b"].dtype is fb.float64
        and found["b"].tolist() == [1, 1]
    )


def test_all_or_some_of_a_checkpoint(tmp_path: Path) -> None:
    def read(t: Any, keys: Any) -> Any:
        dcp, *_ = parts_of(t)
        dcp.save({"m": {"w": t.arange(3.0), "k": 1}, "mm": t.ones(())}, checkpoint_id=tmp_path / t.__name__)
        planners = importlib.import_module(f"{t.__name__}.distributed.checkpoint.default_planner")
        loading = importlib.import_module(f"{t.__name__}.distributed.checkpoint.state_dict_loader")
        found: dict[str, Any] = {}
        reader = dcp.FileSystemReader(tmp_path / t.__name__)
        loading._load_state_dict(found, reader, planner=planners._EmptyStateDictLoadPlanner(keys=keys), no_dist=True)
        return repr(dict(sorted(found.items())))

    for keys in (None, {"m"}, {"mm"}, {"m.k"}):
        assert read(fb, keys) == read(torch, keys)


def test_another_process_is_a_thread_here(tmp_path: Path) -> None:
    kind = fb.distributed.checkpoint.state_dict_saver.AsyncCheckpointerType.PROCESS
    state = {"x": fb.ones(2)}
    later = fb.distributed.checkpoint.async_save(state, checkpoint_id=tmp_path, async_checkpointer_type=kind)
    state["x"].zero_()
    later.result()
    fb.distributed.checkpoint.load(state, checkpoint_id=tmp_path)
    assert state["x"].tolist() == [1, 1]
