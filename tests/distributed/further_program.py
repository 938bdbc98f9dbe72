"""What each rank checks beyond `more_program.py`: pipelines whose backward passes are cut into halves, what is refused, state dicts."""

from __future__ import annotations

import copy
import sys
import tempfile
import warnings
from typing import Any

import mesh_program
import more_program
import numpy as np
from mesh_program import RANK, STEPS, WORLD, check, line, refused

import flambeau as fb
import flambeau.distributed as dist
import flambeau.distributed.checkpoint as dcp
from flambeau import nn
from flambeau.distributed import init_device_mesh
from flambeau.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict
from flambeau.distributed.fsdp import FullyShardedDataParallel as FSDP
from flambeau.distributed.fsdp import MixedPrecision, ShardingStrategy, fully_shard
from flambeau.distributed.fsdp.wrap import CustomPolicy, ModuleWrapPolicy
from flambeau.distributed.pipelining import PipelineStage, ScheduleDualPipeV, ScheduleInterleavedZeroBubble
from flambeau.distributed.pipelining import ScheduleZBVZeroBubble as ZBV
from flambeau.distributed.pipelining.schedules import get_schedule_class
from flambeau.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor
from flambeau.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module
from flambeau.nn import functional as F

assert more_program.check is check  # its checks are run, too


class Block(nn.Module):
    """A stage with a weight that is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.twice = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x: Any) -> Any:
        return x + self.twice(fb.tanh(self.twice(self.first(x))))


@check
def pipelines_in_halves() -> None:
    """Losses and gradients are those of the whole model, for stages that lie in a row and in a V."""
    fb.manual_seed(0)
    whole = nn.Sequential(*[Block() for _ in range(2 * WORLD)]).double()
    x, y, cpu = fb.randn(8 * WORLD, 3).double(), fb.randn(8 * WORLD, 3).double(), fb.device("cpu")
    F.mse_loss(whole(x), y).backward()
    wanted = [p.grad.clone() for p in whole.parameters()]
    one_in_each, row = [RANK], [RANK, RANK + WORLD]
    v = [RANK, 2 * WORLD - 1 - RANK]
    for kind, own, n in ((ScheduleInterleavedZeroBubble, row, 2 * WORLD), (ZBV, v, 2 * WORLD), (ZBV, v, 1),
                         (ScheduleDualPipeV, v, 4 * WORLD)):  # fmt: skip
        whole.zero_grad()
        assert get_schedule_class(kind.__name__.removeprefix("Schedule")) is kind
        schedule: Any = kind([PipelineStage(whole[i], i, 2 * WORLD, cpu) for i in own], n, loss_fn=F.mse_loss)
        is_first, is_last, losses = 0 in own, 2 * WORLD - 1 in own, []
        schedule.step(*([x] if is_first else []), target=y if is_last else None, losses=losses)
        assert len(losses) == (n if is_last else 0)
        for i in own:
            for k, parameter in enumerate(whole[i].parameters()):
                np.testing.assert_allclose(parameter.grad.numpy(), wanted[4 * i + k].numpy(), rtol=1e-12, atol=1e-15)
    late: list[str] = []

    def builder() -> Any:
        late.append("built")
        return lambda: late.append("run")

    stage = PipelineStage(whole[RANK], RANK, WORLD, cpu, dw_builder=builder)
    ScheduleInterleavedZeroBubble([stage], WORLD, loss_fn=F.mse_loss).step(
        *([x] if RANK == 0 else []), target=y if RANK == WORLD - 1 else None
    )
    assert sorted(late) == ["built"] * WORLD + ["run"] * WORLD and late[: RANK + 1] == ["built"] * (RANK + 1), late
    few = [PipelineStage(whole[i], i, 2 * WORLD, cpu) for i in v]
    refused(ValueError, "at least as many microbatches as stages", lambda: ScheduleDualPipeV(few, 2 * WORLD - 1))
    refused(ValueError, "exactly 2 stages per rank, but got 1", lambda: ZBV(few[:1], 4))
    refused(ValueError, f"process {RANK} of {WORLD} has the stages", lambda: ZBV(few[::-1], 4))
    lone = [PipelineStage(whole[i], i, 2 * WORLD + 1, cpu) for i in one_in_each * 2]
    refused(ValueError, "must be evenly divisible by pp_size", lambda: ZBV(lone, 4))


@check
def wrong_peers_and_roots() -> None:
    """Where PyTorch has no default, there is none; objects' broadcasts have one."""
    x, group = fb.ones(1), dist.new_group(list(range(WORLD)))
    for call in (
        lambda: dist.broadcast(x),
        lambda: dist.reduce(x),
        lambda: dist.send(x),
        lambda: dist.P2POp(dist.isend, x),
        lambda: dist.P2POp(dist.isend, x, group=group),
    ):
        refused(ValueError, "Must specify global_rank or group_rank", call)
    refused(ValueError, "Can't specify both", lambda: dist.P2POp(dist.isend, x, 0, group_peer=0))
    refused(TypeError, "Expected parameter `tensor` of type torch.Tensor", lambda: dist.P2POp(dist.isend, "x", 0))
    for op in ("sum", 3):
        refused(TypeError, "incompatible function arguments", lambda: dist.reduce(x, 0, op=op))  # noqa: B023
    assert "group_dst=1" in repr(dist.P2POp(dist.isend, x, 1)) and "group_src=1" in repr(
        dist.P2POp(dist.irecv, x, 1, group)
    )
    given = [RANK]
    dist.broadcast_object_list(given)
    assert given == [0]


@check
def one_element_in_one_process() -> None:
    """A process reads its own part alone: who has nothing is told, and nobody waits for the others."""
    mesh = init_device_mesh("cpu", (WORLD,))
    one = distribute_tensor(fb.tensor([3.0]), mesh, [Shard(0)])
    if RANK == 0:
        assert one.item() == 3.0 == float(one)
    else:
        refused(RuntimeError, "Empty tensor not supported", one.item)
    if RANK == WORLD - 1:
        refused(RuntimeError, "not supported for tensor subclasses", one.tolist)


@check
def values_that_parts_do_not_tell() -> None:
    """What a sweep over the operators found: casts of summands that round, vectors of no dimension, results of the host's values."""
    mesh = init_device_mesh("cpu", (WORLD,))
    whole = fb.tensor([[-4.7, 2.3, 9.9]], dtype=fb.float64)
    share = 1 / 4 if RANK == 0 else 3 / 4 / (WORLD - 1)
    total = DTensor.from_local(whole * share, mesh, [Partial()])
    assert total.to(fb.float32).placements == (Partial(),)
    for kind in (fb.int64, fb.uint8, fb.bool, fb.complex128):
        made = total.to(kind)
        assert made.placements == (Replicate(),) and made.full_tensor().tolist() == whole.to(kind).tolist(), kind

    def laid(values: Any, placement: Any) -> Any:
        return distribute_tensor(values, mesh, [placement])

    one = laid(fb.tensor(-4.8), Replicate())
    at = laid(fb.zeros(WORLD, dtype=fb.int64), Shard(0))
    assert one.gather(0, laid(fb.tensor([0]), Shard(0))).full_tensor().tolist() == fb.tensor([-4.8]).tolist()
    assert one.index_fill(0, at, 2.0).full_tensor().item() == 2.0
    for placement in (Shard(0), Replicate()):
        x = laid(fb.arange(8.0 * WORLD).reshape(2 * WORLD, 4), placement)
        chosen = fb.masked_select(x, laid(fb.tensor(True), Replicate()))
        assert chosen.full_tensor().tolist() == list(range(8 * WORLD))
        rows = fb.repeat_interleave(x, laid(fb.full((2 * WORLD,), 2), Replicate()), dim=0)
        assert rows.full_tensor()[:, 0].tolist() == [4.0 * (i // 2) for i in range(4 * WORLD)]
    marks = laid(fb.arange(WORLD), Replicate())
    assert F.one_hot(marks).full_tensor().tolist() == fb.eye(WORLD, dtype=fb.int64).tolist()
    refused(RuntimeError, "it reads values that are cut", lambda: F.one_hot(laid(fb.arange(WORLD), Shard(0))))
    signal = fb.arange(2.0 * WORLD, dtype=fb.float64).reshape(1, 2 * WORLD)
    for transform in (fb.fft.irfftn, fb.fft.irfft2, fb.fft.rfft):
        made = transform(laid(signal, Shard(1)))
        np.testing.assert_allclose(made.full_tensor().numpy(), transform(signal).numpy(), atol=1e-12)


@check
def unequal_parts_of_what_takes_squares() -> None:
    """Whether a function goes element by element is told by the whole, which is the same in all processes, and not by a part."""
    mesh, n = init_device_mesh("cpu", (WORLD,)), 2 * WORLD + 1
    matrix = fb.eye(n).double() * 3 + fb.arange(float(n)).outer(fb.arange(float(n))).double() / 9
    pairs = fb.arange(6.0 * n).view(2, 3, n).double()
    for cut in (Shard(0), Shard(1)):
        laid = distribute_tensor(matrix, mesh, [cut])
        for function in (fb.linalg.cholesky, fb.linalg.inv, fb.linalg.matrix_exp, fb.linalg.det):
            assert fb.allclose(function(laid).full_tensor(), function(matrix)), function
    turned = pairs.transpose(1, 2).contiguous()
    laid = distribute_tensor(turned, mesh, [Shard(1)])
    assert fb.equal(fb.linalg.cross(laid, laid.flip(0)).full_tensor(), fb.linalg.cross(turned, turned.flip(0)))
    rows = fb.arange(2.0 * 3 * n).view(1, 6, n)  # pools of one element are no pools
    laid = distribute_tensor(rows, mesh, [Shard(2)])
    for size in (n // WORLD, n // WORLD + 1):
        found = F.adaptive_avg_pool1d(laid, size)
        assert fb.allclose(found.full_tensor(), F.adaptive_avg_pool1d(rows, size))


@check
def images_that_are_cut() -> None:
    """Convolutions of them, and their gradients, for equal and unequal parts."""
    mesh = init_device_mesh("cpu", (WORLD,))
    for n in (2 * WORLD, 2 * WORLD + 1):
        fb.manual_seed(0)
        made = []
        for cut in (True, False):
            x, w = fb.arange(n * 48.0).reshape(n, 3, 4, 4).sin(), fb.arange(54.0).reshape(2, 3, 3, 3).cos()
            if cut:
                x, w = distribute_tensor(x, mesh, [Shard(0)]), distribute_tensor(w, mesh, [Replicate()])
            x.requires_grad_()
            w.requires_grad_()
            out = F.conv2d(x, w, padding=1)
            out.square().sum().backward()
            made.append([t.full_tensor() if cut else t for t in (out, x.grad, w.grad)])
        for one, other in zip(*made, strict=True):
            assert fb.allclose(one, other, rtol=1e-4, atol=1e-4)


@check
def state_dicts_count_steps_in_plain_tensors() -> None:
    model: Any = fully_shard(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2)))
    optimizer = fb.optim.AdamW(model.parameters(), lr=0.1)
    model(fb.ones(2, 4)).sum().backward()
    optimizer.step()
    held = get_optimizer_state_dict(model, optimizer)
    kinds = {key: isinstance(value, DTensor) for key, value in held["state"]["0.weight"].items()}
    assert kinds == {"step": False, "exp_avg": True, "exp_avg_sq": True}
    held["state"]["0.weight"]["step"].fill_(7.0)
    set_optimizer_state_dict(model, optimizer, held)
    optimizer.step()
    found = get_optimizer_state_dict(model, optimizer)["state"]
    assert found["0.weight"]["step"].item() == 8.0 and found["1.bias"]["step"].item() == 2.0
    refused(RuntimeError, "Optimizers are not passed in", lambda: get_optimizer_state_dict(model, []))


@check
def a_side_of_one_process() -> None:
    """Layers that are cut along a side of one process are whole, and their gradients go through."""
    mesh = init_device_mesh("cpu", (WORLD, 1), mesh_dim_names=("dp", "tp"))
    data = fb.arange(8.0 * WORLD * STEPS).view(STEPS, -1, 8).double().sin()
    square = lambda model, x: model(x).pow(2).mean()  # noqa: E731
    plan: Any = {"0": ColwiseParallel(), "2": RowwiseParallel()}
    wanted = _trained(_mlp(), square, data, None, False)
    found = _trained(parallelize_module(_mlp(), mesh["tp"], plan), square, data, None, False)
    np.testing.assert_allclose(found, wanted, rtol=1e-9)
    mixed = parallelize_module(_mlp(), mesh["tp"], {"0": ColwiseParallel(output_layouts=Replicate())})
    mine = data.chunk(WORLD, 1)[RANK]  # a layer that is cut beside one that is not
    found = _trained(fully_shard(mixed, mesh=mesh["dp"]), square, mine, mesh["dp"].get_group(), False)
    np.testing.assert_allclose(found, wanted, rtol=1e-9)


@check
def groups_without_this_process() -> None:
    """Ranks are asked for in vain."""
    lone = dist.new_group([0])
    if RANK:
        for ask in (dist.get_group_rank, dist.get_global_rank):
            refused(ValueError, "is not part of group", lambda: ask(lone, 0))  # noqa: B023


def _trained(model: Any, step: Any, data: Any, group: Any, compiled: bool = True) -> list[float]:
    optimizer, found = fb.optim.AdamW(model.parameters(), lr=1e-2), []

    def whole(batch: Any) -> Any:
        optimizer.zero_grad()
        loss = step(model, batch)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss.detach()

    run = fb.compile(whole, fullgraph=True) if compiled else whole
    for batch in data:
        loss = run(batch).clone()
        if group is not None:
            dist.all_reduce(loss, dist.ReduceOp.AVG, group=group)
        found.append(loss.item())
    if compiled and group is not None and hasattr(model, "tokens"):  # what a check in one line tells, all hear of
        held = [p.to_local().clone() for p in model.parameters()]
        batch = data[0].clone()
        batch[0, 0] = 99 if dist.get_rank() < WORLD // 2 or dist.get_world_size(group) == WORLD else 0
        try:
            run(batch)
        except (IndexError, dist.DistBackendError):
            assert all(fb.equal(p.to_local(), was) for p, was in zip(model.parameters(), held, strict=True))
        else:
            raise AssertionError("an index out of range was not told")
    return found


def _mlp() -> Any:
    fb.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8), nn.Tanh()).double()


def _of_text(model: Any, batch: Any) -> Any:
    return F.cross_entropy(model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())


@check
def one_program_of_layers_that_are_cut() -> None:
    """A compiled step with layers cut over processes, and fully sharded along another side of a mesh, is one program of all of them."""
    text, numbers = mesh_program.text(), fb.from_numpy(np.random.default_rng(3).normal(size=(STEPS, 4 * WORLD, 8)))
    square = lambda model, x: model(x).pow(2).mean()  # noqa: E731
    cut_mlp = {"0": ColwiseParallel(), "2": RowwiseParallel()}
    ways: list[tuple[Any, Any, Any, Any, Any]] = [
        (mesh_program.gpt, lambda model, mesh: mesh_program.cut(model, mesh, True), lambda m, mesh: mesh_program.sharded(mesh, m),
         _of_text, text),
        (_mlp, lambda model, mesh: parallelize_module(model, mesh, cut_mlp),
         lambda m, mesh: fully_shard(m, mesh=mesh), square, numbers),
    ]  # fmt: skip
    for make, cut, shard, step, data in ways:
        wanted = _trained(make(), step, data, None, False)
        if make is _mlp:
            by_layers = _trained(cut(make(), mesh_program.line()), step, data, None)
            np.testing.assert_allclose(by_layers, wanted, rtol=1e-9)
        for rows in (1, 2) if make is _mlp else (WORLD // 2,):
            both = init_device_mesh("cpu", (rows, WORLD // rows), mesh_dim_names=("dp", "tp"))
            model = shard(cut(make(), both["tp"]), both["dp"])
            mine = data.chunk(rows, 1)[both["dp"].get_local_rank()]
            found = _trained(model, step, mine, both["dp"].get_group())
            np.testing.assert_allclose(found, wanted, rtol=1e-9)
            assert all(p.device_mesh == both and p.grad.placements == p.placements for p in model.parameters())


@check
def draws_that_are_cut() -> None:
    """What is drawn of tensors in equal and unequal parts, or for them, lies as PyTorch's does, with the draws of one process."""
    draws: dict[str, Any] = {
        "multinomial": lambda x: fb.multinomial(x, 3),
        "replaced": lambda x: fb.multinomial(x, 5, replacement=True),
        "bernoulli": fb.bernoulli,
        "normal": lambda x: fb.normal(x, x),
        "poisson": fb.poisson,
        "gamma": fb._standard_gamma,
        "rrelu": lambda x: F.rrelu(x - 0.5, training=True),
        "dropout": F.dropout,
        "masked": lambda x: fb.native_dropout(x, 0.5, True)[1],
        "uniform": lambda x: x.clone().uniform_(),
        "geometric": lambda x: (x * 2).geometric_(0.3),
        "each": lambda x: x.clone().bernoulli_(x),
        "recorded": lambda x: x.clone().requires_grad_().mul(2).exponential_(),
        "row": lambda x: _filled_row(x.clone()),
    }
    by_rows = {"multinomial", "replaced"}
    ways: list[tuple[int, Any]] = [(2, Shard(0)), (3, Shard(0)), (3, Shard(1)), (3, Replicate()), (3, Partial())]
    for n, placement in ways if WORLD == 2 else ways[:1]:
        whole = fb.linspace(0.1, 0.9, n * 5).view(n, 5)
        for name, draw in draws.items():
            found = []
            for x in (whole, distribute_tensor(whole, line(), [placement])):
                fb.manual_seed(3)
                found.append(draw(x))
            told = name, n, placement, found[1]
            assert isinstance(found[1], DTensor), told
            if name != "row" and (name != "dropout" or not placement.is_partial()):
                lost = placement.is_partial() or (name in by_rows and placement == Shard(1))
                assert found[1].placements == (Replicate() if lost else placement,), told
            assert fb.equal(found[1].full_tensor(), found[0]), told


def _filled_row(x: Any) -> Any:
    x[1].normal_()
    return x


@check
def looks_at_unequal_parts() -> None:
    """Looks that have the cut dimension as it is stay in parts, and so do reductions along others; with the values and gradients of
    the whole."""
    n = 2 * WORLD + 1
    looks: list[tuple[Any, Any, Any]] = [  # and how what they give lies, of rows and of columns that are cut
        (lambda x: x[1], 0, None),
        (lambda x: x[:, 1], None, 0),
        (lambda x: x[1:3], 1, None),
        (lambda x: x[:, ::2], None, 0),
        (lambda x: x[None].expand(3, n, n), 2, 1),
        (lambda x: x.t()[1:], None, 1),
        (lambda x: x.split(2, 1)[1], None, 0),
        (lambda x: x.view(n * n), None, None),
        (lambda x: x.max(1)[0], None, 0),
        (lambda x: x.kthvalue(2, 0)[0], 0, None),
        (lambda x: x.var(0, keepdim=True), 1, None),
        (lambda x: x.logsumexp(1), None, 0),
        (lambda x: x.median(1, keepdim=True)[0], None, 0),
        (lambda x: fb.linalg.cross(x[:, :3], x[:, 1:4]), None, 0),
        (lambda x: fb.addmm(x, x, x), 1, 0),
    ]
    values = fb.linspace(0, 3, n * n).view(n, n).double().sin()
    for dim in (0, 1):
        for number, (look, of_columns, of_rows) in enumerate(looks):
            wanted = of_columns if dim else of_rows
            whole = values.clone().requires_grad_()
            cut = distribute_tensor(values, line(), [Shard(dim)]).requires_grad_()
            made, found = look(whole).exp(), look(cut)
            told = number, dim, found
            assert found.placements == (Replicate() if wanted is None else Shard(wanted),), told
            found = found.exp()
            made.square().sum().backward()
            found.square().sum().backward()
            np.testing.assert_allclose(found.full_tensor().detach(), made.detach(), rtol=1e-12, err_msg=str(told))
            assert cut.grad.placements == (Shard(dim),), told
            np.testing.assert_allclose(cut.grad.full_tensor(), whole.grad, rtol=1e-9, atol=1e-12, err_msg=str(told))
    mesh = init_device_mesh("cpu", (1, WORLD))
    both = distribute_tensor(values, mesh, [Shard(1), Shard(0)])
    assert both[:, None].placements == (Shard(2), Shard(0)) and fb.equal(both[:, None].full_tensor()[:, 0], values)
    assert fb.equal(both[:, 1:].full_tensor(), values[:, 1:])
    equal = distribute_tensor(fb.arange(4.0 * WORLD).view(2 * WORLD, 2), line(), [Shard(0)])
    assert fb.equal(fb.hash_tensor(equal, dim=0).full_tensor(), fb.hash_tensor(equal.full_tensor(), dim=0))


@check
def failures_of_checkpoints() -> None:
    """Each rank hears of every rank's error, with the calls in which it was raised; a tensor is not read into what is none."""
    folder = [tempfile.mkdtemp() if RANK == 0 else ""]
    dist.broadcast_object_list(folder)
    dcp.save({"w": fb.ones(2)}, checkpoint_id=folder[0])
    wrong: dict[str, Any] = {"w": 3} if RANK else {"w": fb.zeros(3)}
    try:
        dcp.load(wrong, checkpoint_id=folder[0])
    except dcp.CheckpointException as found:
        texts = {rank: f"{type(error).__name__} {error}" for rank, (error, _) in found.failures.items()}
        assert sorted(texts) == list(range(WORLD)) and texts[0].startswith("ValueError Size mismatch"), texts
        assert all(text.startswith("ValueError Invalid checkpoint metadata for w") for text in [*texts.values()][1:])
        assert all(calls[-1].name in str(found) for _, calls in found.failures.values())
    else:
        raise AssertionError("not refused")


class Doubled(dcp.DefaultLoadPlanner):
    """Reads what `Renamed` wrote, and twice the values."""

    def set_up_planner(self, state_dict: Any, metadata: Any = None, is_coordinator: bool = False) -> None:
        super().set_up_planner({f"other.{k}": v for k, v in state_dict.items()}, metadata, is_coordinator)

    def commit_tensor(self, read_item: Any, tensor: Any) -> None:
        tensor.mul_(2)


class Renamed(dcp.DefaultSavePlanner):
    """Writes under other names."""

    def set_up_planner(self, state_dict: Any, storage_meta: Any = None, is_coordinator: bool = False) -> None:
        assert is_coordinator is (RANK == 0)
        super().set_up_planner({f"other.{k}": v for k, v in state_dict.items()}, storage_meta, is_coordinator)

    def finish_plan(self, new_plan: Any) -> Any:
        self.written = [item.index.fqn for item in new_plan.items]
        return super().finish_plan(new_plan)


@check
def planners_of_ones_own() -> None:
    """Parts go through them as they lie, equal ones, unequal ones and repeated ones; what several have one writes."""
    folder = [tempfile.mkdtemp() if RANK == 0 else ""]
    dist.broadcast_object_list(folder)
    mesh = line()
    values = {"even": fb.arange(4.0 * WORLD), "uneven": fb.arange(2.0 * WORLD + 1).reshape(-1, 1), "short": fb.ones(1)}
    kinds = {**dict.fromkeys(values, Shard(0)), "repeated": Replicate()}
    values["repeated"] = fb.arange(3.0)
    cut = {name: distribute_tensor(value, mesh, [kinds[name]]) for name, value in values.items()}
    saving = Renamed()
    work = dcp.async_save({**cut, "plain": fb.ones(2)}, checkpoint_id=folder[0], planner=saving)
    work.result()
    told: list[Any] = [None] * WORLD
    dist.all_gather_object(told, saving.written)
    assert sum(names.count("other.repeated") + names.count("other.plain") for names in told) == 2, told
    assert all("other.even" in names for names in told) and sum(names.count("other.short") for names in told) == 1
    found = {name: distribute_tensor(fb.zeros_like(value), mesh, [kinds[name]]) for name, value in values.items()}
    other = {name: distribute_tensor(fb.zeros_like(value), mesh, [Replicate()]) for name, value in values.items()}
    for state in (found, other):
        dcp.load({**state, "plain": (plain := fb.zeros(2))}, checkpoint_id=folder[0], planner=Doubled())
        assert plain.tolist() == [2.0, 2.0]
        for name, tensor in state.items():
            assert fb.equal(tensor.full_tensor(), 2 * values[name]), name
    if RANK == 0:
        fb.save(values, f"{folder[0]}/all.pt")
    dist.barrier()
    tools = dcp.format_utils
    reader, planner = tools.BroadcastingTorchSaveReader(), tools.DynamicMetaLoadPlanner()
    dcp.load(found, checkpoint_id=f"{folder[0]}/all.pt", storage_reader=reader, planner=planner)
    for name, tensor in found.items():
        assert fb.equal(tensor.full_tensor(), values[name]) and tensor.placements == (kinds[name],), name


class Normed(nn.Module):
    """Two layers and running statistics between them."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.norm, self.b = nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3)

    def forward(self, x: Any) -> Any:
        return self.b(self.norm(self.a(x)))


@check
def gradients_of_two_kinds_are_not_clipped() -> None:
    cut, plain = (nn.Parameter(t) for t in (distribute_tensor(fb.arange(8.0), line(), [Shard(0)]), fb.ones(3)))
    cut.grad, plain.grad = fb.ones_like(cut), fb.ones(3)
    for clip in (nn.utils.clip_grad_norm_, nn.utils.clip_grad_value_):
        refused(RuntimeError, "got mixed torch.Tensor and DTensor", lambda clip=clip: clip([cut, plain], 0.5))  # type: ignore[misc]
    assert fb.equal(plain.grad, fb.ones(3))
    nn.utils.clip_grad_norm_([cut], 0.5)
    assert fb.allclose(cut.grad.full_tensor(), fb.full((8,), 0.5 / 8**0.5))


@check
def settings_of_single_wrapped_modules() -> None:
    """Whole gradients are seen and written to; norms keep float32 beside mixed precision; policies say settings."""
    fb.manual_seed(0)
    plain = Normed().double()
    x = fb.randn(4 * WORLD, 4).double()
    policy = CustomPolicy(
        lambda m: {"sharding_strategy": ShardingStrategy.NO_SHARD} if m is model.b else isinstance(m, nn.Linear)
    )
    model = copy.deepcopy(plain)
    wrapped: Any = FSDP(model, auto_wrap_policy=policy)
    assert wrapped.b.sharding_strategy is ShardingStrategy.NO_SHARD and wrapped.a.sharding_strategy.name == "FULL_SHARD"
    assert wrapped.check_is_root() and not wrapped.a.check_is_root()
    refused(RuntimeError, "only be called on the root", lambda: wrapped.a.clip_grad_norm_(1.0))
    for each in (plain.eval(), wrapped.eval()):
        each(x).square().mean().backward()
    with FSDP.summon_full_params(wrapped, with_grads=True):
        for name, p in wrapped.named_parameters():
            want = plain.get_parameter(name)
            assert fb.allclose(p.grad, want.grad, rtol=1e-12) and fb.equal(p, want), name
        wrapped.norm.weight.grad.fill_(5.0)
    assert fb.equal(wrapped.norm.weight.grad.full_tensor(), fb.full((6,), 5.0).double())
    with FSDP.summon_full_params(wrapped, with_grads=True, writeback=False):
        wrapped.norm.weight.grad.fill_(7.0)
    assert fb.equal(wrapped.norm.weight.grad.full_tensor(), fb.full((6,), 5.0).double())
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        mixed: Any = FSDP(
            Normed(),
            auto_wrap_policy=ModuleWrapPolicy({nn.Linear}),
            mixed_precision=MixedPrecision(param_dtype=fb.bfloat16),
        )
    assert ["separate FSDP" in str(one.message) for one in told] == [True]
    out = mixed(x.float())
    out.float().sum().backward()
    assert type(mixed.norm) is FSDP and out.dtype is fb.bfloat16 and mixed.norm.running_mean.dtype is fb.float32
    assert {p.grad.dtype for p in mixed.parameters()} == {fb.float32}


if __name__ == "__main__":
    mesh_program.main(*sys.argv[1:])
