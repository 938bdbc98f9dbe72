"""What is not there yet can be imported and asked for, and says what it is when it is used."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.device_mesh
import torch.distributed.fsdp
import torch.distributed.tensor

import flambeau as fb
from flambeau.distributed.algorithms._checkpoint.checkpoint_wrapper import (
    CheckpointWrapper,
    apply_activation_checkpointing,
)
from flambeau.distributed.checkpoint.state_dict import get_state_dict, set_state_dict


@pytest.fixture
def group():
    fb.distributed.init_process_group("gloo", rank=0, world_size=1, store=fb.distributed.HashStore())
    yield
    fb.distributed.destroy_process_group()


@pytest.mark.parametrize("name", ["fsdp", "tensor", "tensor.parallel", "tensor.placement_types", "device_mesh"])
def test_public_names_are_there(name: str) -> None:
    theirs = importlib.import_module(f"torch.distributed.{name}")
    ours = importlib.import_module(f"flambeau.distributed.{name}")
    missing = {"DataParallelMeshDims"} | {n for n in getattr(theirs, "__all__", ()) if not hasattr(ours, n)}
    assert missing == {"DataParallelMeshDims"}


def test_what_is_not_there_says_so() -> None:
    fsdp, tensor = fb.distributed.fsdp, fb.distributed.tensor
    for call in (
        lambda: fsdp.share_comm_ctx([]),
        lambda: fb.distributed.rpc.init_rpc("worker"),
        lambda: importlib.import_module("flambeau.distributed.autograd").context(),
        lambda: importlib.import_module("flambeau.distributed.pipelining").pipeline(fb.nn.Linear(1, 1)),
    ):
        with pytest.raises(NotImplementedError, match="it is not there yet; DistributedDataParallel"):
            call()
    assert not isinstance(fb.ones(2), tensor.DTensor)


def test_settings_are_data() -> None:
    for name in (
        "MixedPrecision",
        "CPUOffload",
        "FullStateDictConfig",
        "ShardedOptimStateDictConfig",
        "CPUOffloadPolicy",
    ):
        ours, theirs = getattr(fb.distributed.fsdp, name)(), getattr(torch.distributed.fsdp, name)()
        assert {k: v for k, v in vars(ours).items() if k[0] != "_"} == {
            k: v for k, v in vars(theirs).items() if k[0] != "_"
        }
    assert [s.name for s in fb.distributed.fsdp.ShardingStrategy] == [
        s.name for s in torch.distributed.fsdp.ShardingStrategy
    ]
    for lib in (fb, torch):
        Shard, Replicate, Partial = (getattr(lib.distributed.tensor, n) for n in ("Shard", "Replicate", "Partial"))
        assert Shard(1) == Shard(1) != Shard(0) and Shard(1).is_shard(1) and not Shard(1).is_shard(0)
        assert Replicate().is_replicate() and Partial().is_partial() and repr(Partial()) == "Partial(sum)"


def test_a_mesh_of_one(group: None) -> None:
    mesh = fb.distributed.init_device_mesh("cpu", (1, 1), mesh_dim_names=("data", "tensor"))
    assert mesh.shape == (1, 1) and mesh["data"].ndim == 1 and mesh.get_local_rank("tensor") == 0
    assert mesh.get_group("data").size() == 1 and mesh == fb.distributed.init_device_mesh(
        "cpu", (1, 1), mesh_dim_names=("data", "tensor")
    )
    with pytest.raises(RuntimeError, match="Mesh should not be bigger than default world size 1, but found 2"):
        fb.distributed.init_device_mesh("cpu", (2,))
    with pytest.raises(KeyError):
        mesh["model"]


MESHES = {
    "a side that is not there": lambda m, n, d: m["x"],
    "of two sides": lambda m, n, d: m["data", "x"],
    "without names": lambda m, n, d: n["x"],
    "group by name": lambda m, n, d: m.get_group("x"),
    "group without names": lambda m, n, d: n.get_group("x"),
    "which group": lambda m, n, d: m.get_group(),
    "which place": lambda m, n, d: m.get_local_rank(),
    "place by name": lambda m, n, d: m.get_local_rank("x"),
    "place too far": lambda m, n, d: m.get_local_rank(5),
    "flat without names": lambda m, n, d: n._flatten(),
    "a number of a device": lambda m, n, d: d.init_device_mesh("cpu:0", (1,)),
    "too few names": lambda m, n, d: d.init_device_mesh("cpu", (1, 1), mesh_dim_names=("a",)),
    "one name twice": lambda m, n, d: d.init_device_mesh("cpu", [1, 1], mesh_dim_names=["a", "a"]),
}


def test_what_meshes_say() -> None:
    """PyTorch gives some errors several arguments, which Python prints as a tuple."""
    found: list[dict[str, Any]] = []
    for t in (torch, fb):
        d = t.distributed
        d.init_process_group("gloo", rank=0, world_size=1, store=d.HashStore())
        init = d.device_mesh.init_device_mesh
        meshes = init("cpu", (1, 1), mesh_dim_names=("data", "tensor")), init("cpu", (1, 1))
        found.append({})
        for name, call in MESHES.items():
            try:
                found[-1][name] = repr(call(*meshes, d.device_mesh))
            except (KeyError, RuntimeError, ValueError, IndexError) as error:
                found[-1][name] = type(error).__name__, error.args
        d.destroy_process_group()
    assert found[0] == found[1]


def test_parts_of_what_was_cut_before() -> None:
    found = []
    for t in (torch, fb):
        kinds = t.distributed.tensor.placement_types
        made, shard = kinds._StridedShard(1, split_factor=2), kinds.Shard(1)
        same = made == kinds._StridedShard(1, split_factor=2), made == kinds._StridedShard(1, split_factor=3)
        found.append((repr(made), str(made), made.is_shard(1), made == shard, isinstance(made, kinds.Shard), same))
    assert found[0] == found[1]


def test_collectives_keep_gradients(group: None) -> None:
    x = fb.ones(3, requires_grad=True)
    functional = fb.distributed.nn.functional
    (functional.all_reduce(x * 2) + functional.all_gather(x)[0]).sum().backward()
    assert x.grad.tolist() == [3, 3, 3]


def test_activation_checkpointing_as_a_wrapper() -> None:
    fb.manual_seed(0)
    model = fb.nn.Sequential(fb.nn.Linear(3, 4), fb.nn.Tanh(), fb.nn.Linear(4, 1))
    x = fb.randn(5, 3)
    plain = model(x).sum()
    plain.backward()
    wanted = model[0].weight.grad.clone()
    names = list(model.state_dict())
    model.zero_grad()
    apply_activation_checkpointing(model, check_fn=lambda m: isinstance(m, fb.nn.Linear))
    assert isinstance(model[0], CheckpointWrapper) and list(model.state_dict()) == names
    model.load_state_dict(model.state_dict())
    model(x).sum().backward()
    assert fb.equal(model[0].weight.grad, wanted)


def test_state_dicts_by_name() -> None:
    def trained():
        fb.manual_seed(0)
        model = fb.nn.Sequential(fb.nn.Linear(2, 3), fb.nn.Linear(3, 1))
        optimizer = fb.optim.AdamW([{"params": model[1].parameters(), "lr": 0.1}, {"params": model[0].parameters()}])
        return model, optimizer

    model, optimizer = trained()
    model(fb.ones(4, 2)).sum().backward()
    optimizer.step()
    weights, state = get_state_dict(model, optimizer)
    assert set(state["state"]) == set(weights) and state["param_groups"][0]["params"] == ["1.weight", "1.bias"]
    other, fresh = trained()
    set_state_dict(other, fresh, model_state_dict=weights, optim_state_dict=state)
    for key, held in optimizer.state_dict()["state"].items():
        assert fb.equal(held["exp_avg"], fresh.state_dict()["state"][key]["exp_avg"])
    assert fresh.param_groups[0]["lr"] == 0.1 and fb.equal(other[0].weight, model[0].weight)


def test_which_modules_are_wrapped() -> None:
    wrap, theirs = fb.distributed.fsdp.wrap, importlib.import_module("torch.distributed.fsdp.wrap")
    for lib, module in ((fb, wrap), (torch, theirs)):
        layer = lib.nn.Linear(10, 10)
        for recurse in (True, False):
            assert module.transformer_auto_wrap_policy(layer, recurse, 110, {lib.nn.Linear}) is True
            assert bool(module.size_based_auto_wrap_policy(layer, recurse, 110, min_num_params=100)) is True
            assert bool(module.size_based_auto_wrap_policy(layer, recurse, 110, min_num_params=1000)) is False
        assert module.ModuleWrapPolicy({lib.nn.Linear})(layer, recurse=False) is True


def test_styles_print_what_they_were_made_with() -> None:
    def made(house: Any) -> list[str]:
        p = importlib.import_module(f"{house.__name__}.distributed.tensor.parallel")
        placed = importlib.import_module(f"{house.__name__}.distributed.tensor.placement_types")
        cut, whole = placed.Shard, placed.Replicate()
        return [
            repr(style)
            for style in (
                p.ColwiseParallel(),
                p.RowwiseParallel(output_layouts=cut(1), use_local_output=False),
                p.SequenceParallel(sequence_dim=0),
                p.PrepareModuleInput(input_layouts=(cut(1), None), desired_input_layouts=(whole, None)),
                p.PrepareModuleInput(input_kwarg_layouts={"a": cut(0)}, desired_input_kwarg_layouts={"a": whole}),
                p.PrepareModuleOutput(output_layouts=cut(0), desired_output_layouts=whole),
                p.PrepareModuleInputOutput(
                    input_layouts=cut(0),
                    desired_input_layouts=whole,
                    output_layouts=whole,
                    desired_output_layouts=cut(0),
                ),
            )
        ]

    assert made(fb) == made(torch)


def test_an_error_of_the_main_function_is_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As torchrun's launcher reads it: the same keys, and the same message."""

    def main(code: object) -> str:
        """Main."""
        if code == "fails":
            raise ValueError("no")
        if code is not None:
            raise SystemExit(code)
        return "done"

    found = []
    for house in ("flambeau", "torch"):
        errors = importlib.import_module(f"{house}.distributed.elastic.multiprocessing.errors")
        file, recorded = tmp_path / house, errors.record(main)
        monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(file))
        assert recorded(None) == "done" and recorded(0) is None and recorded.__doc__ == "Main."
        with pytest.raises(SystemExit) as end:
            recorded(3)
        assert end.value.code == 3 and not file.exists()
        with pytest.raises(ValueError, match="no"):
            recorded("fails")
        told = json.loads(file.read_text())["message"]
        found.append((told["message"], set(told["extraInfo"])))
    assert found[0] == found[1]
