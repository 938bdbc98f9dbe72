"""More of what each rank checks, beside `mesh_program.py`: what counts collectives, hooks, meshes of two sides in one program."""

from __future__ import annotations

import copy
import pickle
import sys
import warnings
from collections.abc import Callable
from typing import Any

import mesh_program
import numpy as np
from mesh_program import RANK, STEPS, WORLD, _losses, _made, _sharded, check, refused

import flambeau as fb
import flambeau.distributed as dist
from flambeau import nn
from flambeau.distributed import ReduceOp, init_device_mesh
from flambeau.distributed.algorithms.ddp_comm_hooks import default_hooks, powerSGD_hook
from flambeau.distributed.fsdp import fully_shard
from flambeau.distributed.optim import ZeroRedundancyOptimizer
from flambeau.distributed.pipelining import PipelineStage, ScheduleInterleaved1F1B, ScheduleLoopedBFS
from flambeau.distributed.pipelining.microbatch import TensorChunkSpec, merge_chunks, split_args_kwargs_into_chunks
from flambeau.distributed.pipelining.schedules import get_schedule_class
from flambeau.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from flambeau.distributed.tensor.debug import CommDebugMode
from flambeau.distributed.tensor.experimental import _attention, context_parallel
from flambeau.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, SequenceParallel, parallelize_module
from flambeau.nn import functional as F
from flambeau.processes import exchange, joint


@check
def parameters_of_two_kinds_in_one_optimizer() -> None:
    """A model of which a part is cut: the optimizer has both."""
    mesh = init_device_mesh("cpu", (WORLD,))
    for kind in (fb.optim.AdamW, fb.optim.SGD):
        losses = []
        for cut in (True, False):
            fb.manual_seed(0)
            model = nn.Sequential(nn.Linear(4, 4 * WORLD), nn.GELU(), nn.Linear(4 * WORLD, 4), nn.Linear(4, 2)).double()
            if cut:
                parallelize_module(model, mesh, {"0": ColwiseParallel(), "2": RowwiseParallel()})
            optimizer, seen = kind(model.parameters(), lr=0.1), []
            for _ in range(3):
                optimizer.zero_grad()
                loss = model(fb.arange(8.0).double().reshape(2, 4)).pow(2).mean()
                loss.backward()
                optimizer.step()
                seen.append(loss.item())
            losses.append(seen)
        np.testing.assert_allclose(losses[0], losses[1], rtol=1e-10)


def _two_sides(shape: tuple[int, int], model: Any) -> Any:
    mesh = init_device_mesh("cpu", shape, mesh_dim_names=("replicate", "shard"))
    for block in model.blocks:
        fully_shard(block, mesh=mesh)
    return fully_shard(model, mesh=mesh)


@check
def one_program_of_copies_and_parts() -> None:
    """A compiled step over a mesh of two sides is one program: parts are gathered along one, gradients averaged along both."""
    wanted, clipped = _losses(_made(), STEPS, 1), _losses(_made(), 3, 1, clip=True)
    for shape in {(1, WORLD), (WORLD, 1), (2, WORLD // 2)}:
        model = _two_sides(shape, _made())
        sent: list[exchange.Sent] = []
        exchange.watchers.append(sent.append)
        np.testing.assert_allclose(_losses(model, STEPS, WORLD, compiled=True), wanted, rtol=1e-12)
        exchange.watchers.remove(sent.append)
        alone = [s for s in sent if s.operator]  # outside of the program: the mean of the losses
        assert len(alone) == STEPS < len(sent), sent
        assert model.first.weight.placements == (Replicate(), Shard(0))
        assert model.first.weight.grad.placements == (Replicate(), Shard(0))
        model = _two_sides(shape, _made())
        np.testing.assert_allclose(_losses(model, 3, WORLD, compiled=True, clip=True), clipped, rtol=1e-12)


@check
def queues_of_the_groups_store() -> None:
    store = dist.distributed_c10d._get_default_store()
    store.queue_push("queue", str(RANK))
    dist.barrier()
    assert store.check(["queue"]) and store.queue_len("queue") == WORLD
    dist.barrier()
    store.add("popped", int(store.queue_pop("queue")))
    dist.barrier()
    assert store.add("popped", 0) == WORLD * (WORLD - 1) // 2 and not store.check(["queue"])
    refused(dist.QueueEmptyError, "queue is empty", lambda: store.queue_pop("queue", block=False))


@check
def counted_collectives() -> None:
    """What XLA places and what is called, by module and pass."""
    ops, mesh = fb.ops, init_device_mesh("cpu", (WORLD,))
    mode = CommDebugMode()
    model: Any = nn.Sequential(nn.Linear(6, 4 * WORLD), nn.ReLU(), nn.Linear(4 * WORLD, 6))
    parallelize_module(model, mesh, {"0": ColwiseParallel(), "2": RowwiseParallel()})
    for _ in range(2):
        with mode:
            model(fb.ones(2, 6)).sum().backward()
        counts = mode.get_comm_counts()
        assert counts[ops.c10d_functional.all_reduce] == mode.get_total_counts() == 1, mode.counts
    assert mode.get_sharding_info()["Sequential.0.weight"] == (Shard(0),)
    assert set(mode.get_parameter_info()) == {"Sequential.0", "Sequential.2"}
    table = mode.generate_comm_debug_tracing_table(noise_level=0).splitlines()
    one = "*c10d_functional.all_reduce: 1\033[0m"
    assert table == [
        "Global", "  FORWARD PASS", f"\033[1;33m    {one}",
        "    Sequential", "      FORWARD PASS", f"\033[1;33m        {one}",
        "        Sequential.0", "        Sequential.1",
        "        Sequential.2", "          FORWARD PASS", f"\033[1;33m            {one}",
    ], table  # fmt: skip
    x = fb.ones(2, 6, requires_grad=True)
    with mode:
        model(x).sum().backward()
    assert mode.get_counts_of("Sequential", "BACKWARD").total() == 1, mode.counts
    cut = distribute_tensor(fb.ones(2 * WORLD, 4), mesh, [Shard(0)])
    with mode:
        cut.redistribute(placements=[Replicate()])
    assert dict(mode.get_comm_counts()) == {ops.c10d_functional.all_gather_into_tensor: 1}
    with mode:
        dist.all_reduce(fb.ones(2))
        dist.all_gather([fb.ones(2) for _ in range(WORLD)], fb.ones(2))
        dist.all_reduce(fb.ones(20_000))
        dist.barrier()
    assert dict(mode.get_comm_counts()) == {ops.c10d.allreduce_: 2, ops.c10d.allgather_: 1}
    sharded = _sharded(_made())
    with mode:
        sharded(fb.ones(2, 6).double()).sum().backward()
    blocks = len(sharded.blocks)
    assert dict(mode.get_comm_counts()) == {
        ops.c10d._allgather_base_: 1 + 2 * blocks, ops.c10d._reduce_scatter_base_: 1 + blocks
    }, mode.counts  # fmt: skip


def _by_hook(state: Any, hook: Any) -> list[float]:
    fb.manual_seed(0)
    model = nn.parallel.DistributedDataParallel(nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 4)))
    model.register_comm_hook(state, hook)
    optimizer, found = fb.optim.SGD(model.parameters(), lr=0.1), []
    for i in range(6):
        fb.manual_seed(i + 10 * RANK)
        optimizer.zero_grad()
        model(fb.randn(6, 12)).square().mean().backward()
        optimizer.step()
        found.append(model.module[0].weight.grad.norm().item())
    fb.manual_seed(0)  # the same in all processes, for other checks
    return found


# norms of the first weight's gradient, as PyTorch 2.13 has them with two processes
POWER = {
    (): [0.1644, 0.1161, 0.0567, 0.1699, 0.1199, 0.1710],
    (("orthogonalization_epsilon", 1e-6),): [0.1644, 0.1161, 0.0567, 0.1698, 0.1199, 0.1710],
    (("use_error_feedback", False), ("warm_start", False)): [0.1644, 0.1161, 0.0567, 0.1476, 0.0685, 0.0617],
    (("matrix_approximation_rank", 2), ("start_powerSGD_iter", 3), ("min_compression_rate", 0.5)): [
        0.1644, 0.1161, 0.1314, 0.1267, 0.1718, 0.0887
    ],
}  # fmt: skip


@check
def gradients_as_two_factors() -> None:
    for given, wanted in POWER.items():
        state = powerSGD_hook.PowerSGDState(None, **{"start_powerSGD_iter": 2, **dict(given)})
        found = _by_hook(state, powerSGD_hook.powerSGD_hook)
        shared = [None] * WORLD
        dist.all_gather_object(shared, found)
        assert shared == [found] * WORLD and state.iter == 6
        if WORLD == 2:
            np.testing.assert_allclose(found, wanted, atol=6e-5)
    if WORLD == 2:
        assert state.compression_stats()[1:] == (1236, 474)
    with_all = powerSGD_hook.PowerSGDState(None, 64, start_powerSGD_iter=2, min_compression_rate=0)
    plain = _by_hook(None, default_hooks.allreduce_hook)
    np.testing.assert_allclose(_by_hook(with_all, powerSGD_hook.powerSGD_hook), plain, rtol=1e-4)
    square = powerSGD_hook.PowerSGDState(None, 64, start_powerSGD_iter=2)
    np.testing.assert_allclose(_by_hook(square, powerSGD_hook.batched_powerSGD_hook), plain, rtol=1e-4)
    again = pickle.loads(pickle.dumps(state))
    assert again.process_group is None and again.iter == 6 and again.warm_start
    refused(ValueError, "2 or more", lambda: powerSGD_hook.PowerSGDState(None, start_powerSGD_iter=1))


@check
def a_compiled_step_holds_one_block() -> None:
    """With `reshard_after_forward` a program gathers twice, and holds the whole weights of some blocks at a time; what the optimizer
    updates is not gathered at all."""
    width, depth, made, compile = 64 * WORLD, 8, [], joint.Form.compile
    block = 4 * width * (width + 1)

    def compiled(self: Any) -> None:
        compile(self)
        made.append(self._compiled)

    joint.Form.compile = compiled  # type: ignore[method-assign]
    losses, held = [], []
    try:
        for again, gathers in ((False, depth), (True, 2 * depth - 1)):
            fb.manual_seed(0)
            model: Any = nn.Sequential(*[nn.Sequential(nn.Linear(width, width), nn.Tanh()) for _ in range(depth)])
            for part in (*model, model):
                fully_shard(part, reshard_after_forward=again)
            optimizer = fb.optim.AdamW(model.parameters(), lr=0.01)

            def step(x: Any) -> Any:
                optimizer.zero_grad()  # noqa: B023
                loss = model(x).square().mean()  # noqa: B023
                loss.backward()
                optimizer.step()  # noqa: B023
                return loss.detach()

            run = fb.compile(step, fullgraph=True)
            losses.append([run(fb.ones(2, width) * (RANK + 1)).item() for _ in range(3)])
            text = made[-1].as_text()
            assert text.count(" all-gather(") == gathers and text.count(" reduce-scatter(") == depth
            held.append(made[-1].memory_analysis().temp_size_in_bytes)
    finally:
        joint.Form.compile = compile  # type: ignore[method-assign]
    assert losses[0] == losses[1]
    assert 2 * held[1] < held[0] and depth * block < held[0], (held, block)


@check
def own_parts_of_outputs() -> None:
    mesh = init_device_mesh("cpu", (WORLD,))
    model: Any = nn.Sequential(nn.LayerNorm(6), nn.Dropout(0.0))
    parallelize_module(model, mesh, {"0": SequenceParallel(sequence_dim=0),
                                     "1": SequenceParallel(sequence_dim=0, use_local_output=True)})  # fmt: skip
    out = model(fb.ones(3, 6) * RANK)
    assert out.shape == (3, 6) and not isinstance(out, DTensor)


@check
def device_ids_on_a_cpu() -> None:
    for given in ([0], [fb.device("cpu")]):
        text = f"but got device_ids {given}, output_device None, and module parameters {{device(type='cpu')}}."
        refused(ValueError, text, lambda: nn.parallel.DistributedDataParallel(nn.Linear(2, 2), device_ids=given))  # noqa: B023
    refused(
        ValueError,
        "device_ids None, output_device 1,",
        lambda: nn.parallel.DistributedDataParallel(nn.Linear(2, 2), output_device=1),
    )
    assert nn.parallel.DistributedDataParallel(nn.Linear(2, 2), device_ids=[]).device_ids == []
    shared = ZeroRedundancyOptimizer(nn.Linear(2, 2).parameters(), fb.optim.Adam, lr=0.1)
    assert isinstance(shared.optim, fb.optim.Adam)


# What PyTorch's profiler shows of each with gloo: names, and the shapes of what goes in (of rank 0, of rank 1 where it differs)
def _profiled() -> dict[str, tuple[Callable[[], Any], str, Any]]:
    t = lambda: fb.ones(2, 3)  # noqa: E731
    two = lambda: [t() for _ in range(WORLD)]  # noqa: E731
    all_two = [[2, 3]] * WORLD
    cplx = lambda: fb.ones(2, dtype=fb.complex64)  # noqa: E731
    return {
        "all_reduce": (lambda: dist.all_reduce(t()), "all_reduce", [[2, 3]]),
        "complex": (lambda: dist.all_reduce(cplx()), "all_reduce", [[2, 2]]),
        "begun": (lambda: dist.all_reduce(t(), async_op=True).wait(), "all_reduce", [[2, 3]]),
        "broadcast": (lambda: dist.broadcast(t(), 0), "broadcast", [[2, 3]]),
        "reduce": (lambda: dist.reduce(t(), 0), "reduce", [[2, 3]]),
        "all_gather": (lambda: dist.all_gather(two(), t()), "all_gather", [[2, 3]]),
        "gather": (lambda: dist.gather(t(), two() if RANK == 0 else None), "gather", [[2, 3]]),
        "scatter": (lambda: dist.scatter(t(), two() if RANK == 0 else None), "scatter", all_two if RANK == 0 else []),
        "all_to_all": (lambda: dist.all_to_all(two(), two()), "all_to_all", all_two),
        "all_to_all_single": (lambda: dist.all_to_all_single(fb.ones(4, 3), fb.ones(4, 3)), "all_to_all", [[4, 3]]),
        "barrier": (lambda: dist.barrier(), "barrier", []),
        "coalesced": (lambda: dist.all_reduce_coalesced([t(), t()]), "all_reduce", [[2, 3], [2, 3]]),
        "message": (
            lambda: dist.send(t(), 1) if RANK == 0 else dist.recv(t(), 0), "send" if RANK == 0 else "recv", [[2, 3]]
        ),
        "from any": (
            lambda: dist.send(t(), 1) if RANK == 0 else dist.recv(t()), "send" if RANK == 0 else "recvAnySource", [[2, 3]]
        ),
    }  # fmt: skip


@check
def collectives_in_profiles() -> None:
    for case, (call, name, shapes) in _profiled().items():
        with fb.autograd.profiler.profile(record_shapes=True) as profile:
            call()
        found = [e for e in profile.function_events if e.name.startswith("gloo:")]
        assert [(e.name, e.input_shapes, e.is_async) for e in found] == [(f"gloo:{name}", shapes, True)], (case, found)


@check
def methods_of_groups() -> None:
    group: Any = dist.group.WORLD
    x, ones = lambda: fb.tensor([RANK + 1.0, 2.0]), lambda: [fb.ones(2) for _ in range(WORLD)]
    options: Any = dist.AllreduceOptions()
    options.reduceOp = ReduceOp.MAX
    wanted = {
        "sum": (group.allreduce([x()]), [[3.0, 4.0]]),
        "of one": (group.allreduce(x(), ReduceOp.MAX), [[2.0, 2.0]]),
        "options": (group.allreduce([x()], opts=options), [[2.0, 2.0]]),
        "coalesced": (group.allreduce_coalesced([x(), fb.ones(2)]), [[3.0, 4.0], [2.0, 2.0]]),
        "broadcast": (group.broadcast(x(), 1), [[2.0, 2.0]]),
        "reduce": (group.reduce([x()]), [[3.0, 4.0] if RANK == 0 else [1.0 + RANK, 2.0]]),
        "allgather": (group.allgather([ones()], [x()]), [[1.0, 2.0], [2.0, 2.0]]),
        "base": (group._allgather_base(fb.ones(4), x()), [[1.0, 2.0, 2.0, 2.0]]),
        "gather": (group.gather([ones()] if RANK == 0 else [], [x()]), [[1.0, 2.0], [2.0, 2.0]] if RANK == 0 else []),
        "scatter": (group.scatter(fb.zeros(2), [x(), x()] if RANK == 1 else [], 1), [[2.0, 2.0]]),
        "reduce_scatter": (group.reduce_scatter([fb.ones(2)], [[x(), fb.ones(2)]]), [[3.0, 4.0] if RANK == 0 else [2.0, 2.0]]),
        "alltoall": (group.alltoall(ones(), [x(), fb.zeros(2)]), [[1.0, 2.0], [2.0, 2.0]] if RANK == 0 else [[0.0, 0.0]] * 2),
        "alltoall_base": (group.alltoall_base(fb.zeros(2), x(), [], []), [[1.0, 2.0] if RANK == 0 else [2.0, 2.0]]),
        "barrier": (group.barrier(), []),
        "message": (group.send([x()], 1, 3) if RANK == 0 else group.recv([fb.zeros(2)], 0, 3), [[1.0, 2.0]]),
    }  # fmt: skip
    for case, (work, values) in wanted.items():
        assert work.wait() and [r.tolist() for r in work.result()] == values, (case, work.result())
    assert group.allreduce([x()]).get_future().then(lambda f: f.value()[0] / 2).wait().tolist() == [1.5, 2.0]
    begun: Any = dist.all_reduce_coalesced([x(), x()], async_op=True)
    assert [r.tolist() for r in begun.wait()] == [[3.0, 4.0]] * 2
    refused(ValueError, "give one tensor, not 2", lambda: group.allreduce([x(), x()]))


class _Chosen(nn.Module):
    """The sum of what those layers give that a call names."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Linear(2, 1, bias=False) for _ in range(3))

    def forward(self, x: Any, names: str) -> Any:
        return sum(getattr(self, name)(x) for name in names)


@check
def gradients_kept_from_passes_without_sync() -> None:
    """What one rank alone has used in `no_sync` is averaged with the next pass."""
    model: Any = nn.parallel.DistributedDataParallel(_Chosen(), find_unused_parameters=True)
    x = fb.ones(1, 2) * (RANK + 1)
    with model.no_sync():
        model(x, "a" if RANK == 0 else "b").sum().backward()
    model(x, "c").sum().backward()
    found = {name: p.grad.flatten().tolist() for name, p in model.module.named_parameters()}
    assert found == {"a.weight": [0.5, 0.5], "b.weight": [1.0, 1.0], "c.weight": [1.5, 1.5]}, found
    model.zero_grad()
    model(x, "c").sum().backward()
    assert model.module.a.weight.grad is None


@check
def sparse_sums() -> None:
    x: Any = fb.sparse_coo_tensor([[0, RANK + 1, 0]], fb.ones(3, 2) * (RANK + 1), (4, 2))
    dist.all_reduce(x)
    assert x.is_coalesced() and x.to_dense().tolist() == [[6.0, 6.0], [1.0, 1.0], [2.0, 2.0], [0.0, 0.0]]
    nothing: Any = fb.zeros(4, 2).to_sparse(1) if RANK else x
    work: Any = dist.all_reduce(nothing, async_op=True)
    assert work.wait() and nothing.to_dense().tolist()[:2] == [[6.0, 6.0], [1.0, 1.0]]
    refused(RuntimeError, "only works with ReduceOp.SUM", lambda: dist.all_reduce(x, ReduceOp.MAX))
    for unused in (False, True):
        alone: Any = nn.Sequential(nn.Embedding(5, 2, sparse=True), nn.Linear(2, 1))
        model: Any = nn.parallel.DistributedDataParallel(alone, find_unused_parameters=unused)
        wanted = []
        for rank in range(WORLD):
            alone.zero_grad()
            alone(fb.tensor([rank, 2, 2])).sum().backward()
            wanted.append([p.grad.to_dense() for p in alone.parameters()])
        model.zero_grad()
        model(fb.tensor([RANK, 2, 2])).sum().backward()
        assert alone[0].weight.grad.is_sparse
        for p, each in zip(alone.parameters(), zip(*wanted, strict=True), strict=True):
            fb.testing.assert_close(p.grad.to_dense(), sum(each) / WORLD)


@check
def copies_of_unequal_parts() -> None:
    """They lie as what they are of, and nothing is sent for them."""
    mesh = init_device_mesh("cpu", (WORLD,))
    cut: Any = distribute_tensor(fb.arange(6.0).view(3, 2), mesh, [Shard(0)])
    model = parallelize_module(nn.Linear(3, 3), mesh, ColwiseParallel())
    with CommDebugMode() as sent:
        made = [cut.clone(), copy.deepcopy(cut), copy.copy(cut), copy.deepcopy(nn.Parameter(cut))]
        twin: Any = copy.deepcopy(nn.Sequential(model))
    assert sent.get_total_counts() == 0
    for each in made:
        assert each.placements == (Shard(0),) and each.to_local().tolist() == cut.to_local().tolist()
    before = model.weight.to_local().tolist()
    assert twin[0].weight.placements == (Shard(0),) and twin[0].weight.to_local().tolist() == before
    optimizer = fb.optim.SGD(model.parameters(), lr=0.5)
    model(fb.ones(1, 3)).sum().backward()
    optimizer.step()
    cut.add_(1)
    assert model.weight.to_local().tolist() != before == twin[0].weight.to_local().tolist()
    assert made[0].to_local().tolist() == made[1].to_local().tolist() == (cut - 1).to_local().tolist()


@check
def what_is_not_copied() -> None:
    mesh, model = init_device_mesh("cpu", (WORLD,)), nn.Linear(4, 4)
    assert copy.deepcopy(mesh) == mesh
    for call in (copy.copy, copy.deepcopy, pickle.dumps):
        refused(TypeError, "cannot pickle", lambda: call(dist.group.WORLD))  # noqa: B023
    refused(TypeError, "cannot pickle a DeviceMesh", lambda: pickle.dumps(mesh))
    fully_shard(model)
    refused(AssertionError, "FSDP does not support deepcopy", lambda: copy.deepcopy(nn.Sequential(model)))
    averaged: Any = copy.deepcopy(nn.parallel.DistributedDataParallel(nn.Linear(2, 2)))
    averaged(fb.ones(1, 2) * (RANK + 1)).sum().backward()
    assert averaged.module.weight.grad.tolist() == [[1.5, 1.5]] * 2


@check
def parts_of_a_group() -> None:
    group: Any = dist.new_group([1, 0])
    for size, parts in ((1, [[0], [1]]), (2, [[0, 1]])):
        own, made = dist.new_subgroups(size, group=group)
        assert own.ranks == tuple(next(part for part in parts if RANK in part)) and len(made) == len(parts)
        x = fb.tensor([1.0 + RANK])
        dist.all_reduce(x, group=own)
        assert x.item() == (3.0 if size == 2 else 1.0 + RANK)
    alone = dist.new_group([0])
    if RANK == 0:
        own, _ = dist.new_subgroups(1, group=alone)
        assert own.ranks == (0,)
    else:
        refused(ValueError, "this process is not in the group", lambda: dist.new_subgroups(1, group=alone))
    whole = fb.zeros(WORLD)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        dist._all_gather_base(whole, fb.ones(1) * RANK)
    assert whole.tolist() == [0.0, 1.0] and "Please use `torch.distributed.all_gather_single` instead" in str(
        said[0].message
    )


@check
def a_monitored_barrier_names_who_does_something_else() -> None:
    dist.barrier()
    if RANK == 0:
        refused(RuntimeError, "Rank 1 failed to pass monitoredBarrier", dist.monitored_barrier)
    else:
        refused(RuntimeError, "Rank 0 is running collective: monitored_barrier()", dist.barrier)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        dist.monitored_barrier(timeout=60.0)
    assert "assuming it represents seconds" in str(said[0].message)
    for call in (dist.monitored_barrier, dist.new_group):
        refused(TypeError, "Expected timeout argument to be of type datetime.timedelta, got 5", lambda: call(timeout=5))  # noqa: B023


@check
def a_pipeline_of_several_stages_in_each_process() -> None:
    """Three stages in each process have the losses and gradients of the whole model, in few micro-batches and in many."""
    fb.manual_seed(0)
    whole = nn.Sequential(*[nn.Sequential(nn.Linear(4, 4), nn.Tanh()) for _ in range(3 * WORLD)]).double()
    x, y = fb.randn(4, 8 * WORLD).double(), fb.randn(4, 8 * WORLD).double()  # cut along the second dimension
    expected = whole(x.T)
    (2 * F.mse_loss(expected, y.T)).backward()
    wanted = [p.grad.clone() for p in whole.parameters()]
    own, cpu = range(RANK, 3 * WORLD, WORLD), fb.device("cpu")
    last = RANK == WORLD - 1

    class Turned(nn.Module):
        def __init__(self, layer: Any, number: int):
            super().__init__()
            self.layer, self.number = layer, number

        def forward(self, value: Any, sign: int = 1) -> Any:
            assert sign == -1
            return self.layer(value.T if self.number == 0 else value)

    def stages() -> list[Any]:
        return [PipelineStage(Turned(whole[i], i), i, 3 * WORLD, cpu) for i in own]

    def loss(output: Any, target: Any, factor: Any) -> Any:
        return F.mse_loss(output, target) * factor[0]

    held: list[int] = []
    for kind, n in ((ScheduleInterleaved1F1B, 2 * WORLD), (ScheduleLoopedBFS, 4), (ScheduleInterleaved1F1B, 1)):
        whole.zero_grad()
        cut = {"args_chunk_spec": TensorChunkSpec.from_tuple((1,))} if kind is ScheduleInterleaved1F1B else {}
        schedule, losses = kind(stages(), n, loss_fn=loss, **cut), []
        given = [x if cut else x.T.contiguous()] if RANK == 0 else []
        if not cut:
            schedule._stages[0].submod.number = -1
        factor = {"factor": fb.full((n,), 2.0).double()} if last else None
        for run in (schedule.step, schedule.eval):
            found = run(*given, target=y.T if last else None, losses=losses, loss_kwargs=factor, sign=-1)
        assert (found is not None) == last
        if last:
            assert fb.allclose(found, expected) and len(losses) == n
            assert abs(sum(losses) / n - 2 * F.mse_loss(expected, y.T)) < 1e-12
        for i in own:
            assert all(fb.allclose(p.grad, wanted[2 * i + k]) for k, p in enumerate(whole[i].parameters()))
        order = schedule._order()
        held.append(max(sum({"F": 1, "B": -1}[what] for what, *_ in order[:k]) for k in range(len(order))))
    # by turns fewer micro-batches are held than breadth first, where all are
    assert held[0] == min(6 * WORLD, 2 * WORLD + 2 * (WORLD - 1 - RANK) + 1) and held[1:] == [12, 3]
    refused(
        ValueError, "multiple of the number of rounds (2)", lambda: ScheduleInterleaved1F1B(stages(), 2 * WORLD + 1)
    )
    refused(ValueError, f"process {RANK} of {WORLD} has the stages", lambda: ScheduleLoopedBFS(stages()[::-1], 2))
    refused(TypeError, "a list of stages is wanted", lambda: ScheduleLoopedBFS(stages()[0], 2))
    assert get_schedule_class("interleaved1f1b") is ScheduleInterleaved1F1B
    parts, named = split_args_kwargs_into_chunks((fb.arange(4), {"a": (fb.ones(2), "b")}), {"c": fb.zeros(2)}, 2)
    assert merge_chunks(parts, None)[0].tolist() == [0, 1, 2, 3] and parts[1][1]["a"][1] == "b" and len(named) == 2
    assert merge_chunks([fb.ones(1, 2), fb.zeros(1, 1)], TensorChunkSpec(1)).tolist() == [[1, 1, 0]]


@check
def parameters_that_come_after_a_step() -> None:
    """What is added to an optimizer that is shared out has the numbers of one that is not; who has what stays."""
    found = []
    for kind in (ZeroRedundancyOptimizer, lambda p, of, **options: of(p, **options)):
        fb.manual_seed(0)
        early, late = [nn.Parameter(fb.randn(3, n)) for n in (4, 2, 1)], [nn.Parameter(fb.randn(n)) for n in (2, 5)]
        optimizer = kind(early, fb.optim.Adam, lr=0.1)
        for step in range(4):
            if step == 2:
                optimizer.add_param_group({"params": late, "lr": 0.5})
            for i, p in enumerate(early + late):
                p.grad = fb.full_like(p, step - i - 0.5)
            optimizer.step()
        assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.5]
        found.append([p.detach() for p in early + late])
    assert all(fb.allclose(a, b) for a, b in zip(*found, strict=True))


@check
def attention_over_a_sequence_that_is_cut() -> None:
    """Outputs and gradients are those of the whole sequence in one process, whichever way it is cut."""
    mesh = init_device_mesh("cpu", (WORLD,))
    fb.manual_seed(0)
    x, y = fb.randn(2, 4 * WORLD, 8).double(), fb.randn(2, 4 * WORLD, 8).double()
    inputs, targets, places = x.clone(), y.clone(), fb.arange(4 * WORLD)
    layer = nn.Linear(8, 16).double()

    def computed(x: Any, causal: bool) -> Any:
        q, k, v = (part.unflatten(2, (-1, 2)).transpose(1, 2) for part in layer(x).split([8, 4, 4], 2))
        return F.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=True).transpose(1, 2).flatten(2)

    for causal, balanced, compiled in (
        (True, True, False),
        (True, False, False),
        (False, True, False),
        (True, True, True),
    ):
        layer.zero_grad()
        wanted = computed(x, causal)
        F.mse_loss(wanted, y).backward()
        gradients = [p.grad.clone() for p in layer.parameters()]
        layer.zero_grad()
        _attention._cp_options.enable_load_balance = balanced
        run = fb.compile(computed) if compiled else computed
        with context_parallel(mesh, buffers=[inputs, targets, places], buffer_seq_dims=[1, 1, 0]):
            last = 4 * WORLD - 2 * RANK
            ends = [2 * RANK, 2 * RANK + 1, last - 2, last - 1] if balanced else list(range(4 * RANK, 4 * RANK + 4))
            assert places.tolist() == ends and inputs.shape == (2, 4, 8)
            found = run(inputs, causal)
            F.mse_loss(found, targets).backward()
            assert fb.allclose(found, wanted[:, places])
            (whole,) = _attention.context_parallel_unshard(mesh, [found], [1])
        assert fb.allclose(whole, wanted) and fb.equal(inputs, x) and places.tolist() == list(range(4 * WORLD))
        for parameter, gradient in zip(layer.parameters(), gradients, strict=True):
            dist.all_reduce(parameter.grad, ReduceOp.AVG)
            assert fb.allclose(parameter.grad, gradient)
    with context_parallel(mesh, buffers=[inputs], buffer_seq_dims=[1], no_restore_buffers={inputs}):
        pass
    assert inputs.shape == (2, 4, 8)
    for error, text, buffers in (
        (ValueError, f"a sequence of {2 * WORLD + 1} can't be cut into {2 * WORLD}", [fb.ones(2 * WORLD + 1)]),
        (ValueError, "none that requires grad", [nn.Parameter(fb.ones(4 * WORLD))]),
        (ValueError, "the same number of elements", []),
    ):
        cut = context_parallel(mesh, buffers=buffers, buffer_seq_dims=[0])
        refused(error, text, cut.__enter__)
    with context_parallel(mesh):
        q = fb.ones(1, 2, 4, 8)
        mask = fb.ones(4, 4).bool()
        refused(NotImplementedError, "neither attn_mask nor", lambda: F.scaled_dot_product_attention(q, q, q, mask))
        refused(NotImplementedError, "this process's part alone", lambda: nn.MultiheadAttention(8, 2)(q[0], q[0], q[0]))
    refused(NotImplementedError, "'allgather' and 'alltoall'", lambda: _attention.set_rotate_method("ring"))


if __name__ == "__main__":
    mesh_program.main(*sys.argv[1:])
