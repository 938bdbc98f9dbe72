"""What each rank of a launched program checks. Every check is done by all ranks at once; what fails is written down."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

import flambeau as fb
import flambeau.distributed as dist
from flambeau import nn
from flambeau.distributed import DistBackendError, ReduceOp
from flambeau.distributed.nn import functional as differentiable

RANK, WORLD = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
CHECKS: dict[str, Callable[[], None]] = {}


def check(function: Callable[[], None]) -> Callable[[], None]:
    CHECKS[function.__name__] = function
    return function


def rows(n: int, dtype: str = "float64", seed: int = 0) -> np.ndarray:
    """Everybody's values, the same in all ranks."""
    made = np.random.default_rng(seed).integers(1, 5, (WORLD, n))
    return made.astype(dtype)


def mine(n: int, dtype: str = "float64", seed: int = 0) -> fb.Tensor:
    return fb.from_numpy(rows(n, dtype, seed)[RANK].copy())


def same(got: fb.Tensor, wanted: np.ndarray) -> None:
    np.testing.assert_array_equal(got.detach().numpy(), wanted)


def refused(error: type[Exception], text: str, call: Callable[[], object]) -> None:
    try:
        call()
    except error as found:
        assert text in str(found), found
    else:
        raise AssertionError(f"not refused: {text}")


SIZES = (3, 20_000)  # the values that travel with the announcement, and those that go through a program of XLA


@check
def reductions() -> None:
    numpy_by = {
        "SUM": np.add, "PRODUCT": np.multiply, "MIN": np.minimum, "MAX": np.maximum, "BAND": np.bitwise_and,
        "BOR": np.bitwise_or, "BXOR": np.bitwise_xor,
    }  # fmt: skip
    for n in SIZES:
        for dtype in ("float32", "float64", "int64", "uint8", "bool", "complex128"):
            for name, function in numpy_by.items():
                if (name[0] == "B" and dtype[0] in "fc") or (dtype[0] == "c" and name != "SUM"):
                    continue
                x = mine(n, dtype)
                dist.all_reduce(x, getattr(ReduceOp, name))
                same(x, function.reduce(rows(n, dtype)).astype(dtype))
        x = mine(n)
        dist.all_reduce(x, ReduceOp.AVG)
        same(x, rows(n).mean(0))
        x = mine(n).bfloat16()
        dist.all_reduce(x)
        same(x.double(), rows(n).sum(0))
        x = mine(n)
        dist.reduce(x, WORLD - 1, ReduceOp.MAX)
        same(x, rows(n).max(0) if RANK == WORLD - 1 else rows(n)[RANK])
    refused(
        RuntimeError,
        "Cannot use ReduceOp.BAND with non-integral dtype",
        lambda: dist.all_reduce(mine(2), ReduceOp.BAND),
    )
    refused(ValueError, "does not support", lambda: dist.all_reduce(mine(2, "complex64"), ReduceOp.MAX))
    refused(
        RuntimeError,
        "can't be cast to the desired output type Long",
        lambda: dist.all_reduce(mine(2, "int64"), ReduceOp.AVG),
    )


@check
def moves() -> None:
    for n in SIZES:
        n *= WORLD
        all_rows = rows(n)
        for dtype in ("float64", "bool", "complex64"):
            x = mine(n, dtype)
            dist.broadcast(x, 1)
            same(x, rows(n, dtype)[1])
        parts = [fb.zeros(n, dtype=fb.float64) for _ in range(WORLD)]
        dist.all_gather(parts, mine(n))
        same(fb.stack(parts), all_rows)
        flat = fb.zeros(n * WORLD, dtype=fb.float64)
        dist.all_gather_single(flat, mine(n))
        same(flat, all_rows.reshape(-1))
        held = [fb.zeros(n, dtype=fb.float64) for _ in range(WORLD)] if RANK == 1 else None
        dist.gather(mine(n), held, 1)
        if held is not None:
            same(fb.stack(held), all_rows)
        x = fb.zeros(n, dtype=fb.float64)
        dist.scatter(x, list(fb.from_numpy(all_rows)) if RANK == 1 else None, 1)
        same(x, all_rows[RANK])
        x = fb.zeros(n // WORLD, dtype=fb.float64)
        dist.reduce_scatter_single(x, mine(n))
        same(x, all_rows.sum(0).reshape(WORLD, -1)[RANK])
        dist.reduce_scatter(x, list(mine(n).view(WORLD, -1)), ReduceOp.MAX)
        same(x, all_rows.max(0).reshape(WORLD, -1)[RANK])
        x = fb.zeros(n, dtype=fb.float64)
        dist.all_to_all_single(x, mine(n))
        same(x, all_rows.reshape(WORLD, WORLD, -1)[:, RANK].reshape(-1))


@check
def uneven_exchange() -> None:
    gives = [[i + j + 1 for j in range(WORLD)] for i in range(WORLD)]
    source = fb.arange(float(sum(gives[RANK]))) + 100 * RANK
    takes = [gives[i][RANK] for i in range(WORLD)]
    target = fb.zeros(sum(takes))
    dist.all_to_all_single(target, source, takes, gives[RANK])
    wanted = []
    for i in range(WORLD):
        start = sum(gives[i][:RANK])
        wanted.append(np.arange(start, start + gives[i][RANK]) + 100 * i)
    same(target, np.concatenate(wanted).astype("float32"))
    outs = [fb.zeros(size) for size in takes]
    dist.all_to_all(outs, list(source.split(gives[RANK])))
    same(fb.cat(outs), np.concatenate(wanted).astype("float32"))
    wrong = [takes[0] + 1, *takes[1:]]
    refused(
        RuntimeError, "which takes", lambda: dist.all_to_all_single(fb.zeros(sum(wrong)), source, wrong, gives[RANK])
    )


@check
def messages() -> None:
    after, before = (RANK + 1) % WORLD, (RANK - 1) % WORLD
    x = fb.zeros(3, dtype=fb.float64)
    sent, got = dist.isend(mine(3), after, tag=7), dist.irecv(x, before, tag=7)
    assert sent.wait() and got.wait() and got.is_completed()
    same(x, rows(3)[before])
    ops = [dist.P2POp(dist.isend, mine(3, seed=1), after), dist.P2POp(dist.irecv, x, before)]
    for work in dist.batch_isend_irecv(ops):
        work.wait()
    same(x, rows(3, seed=1)[before])
    if RANK == 0:
        for other in range(1, WORLD):
            dist.send(fb.ones(2) * other, other)
        assert {dist.recv(y := fb.zeros(1)) for _ in range(1, WORLD)} == set(range(1, WORLD)), y
    else:
        y = fb.zeros(2)
        assert dist.recv(y, 0) == 0 and y.tolist() == [RANK, RANK]
        dist.send(fb.ones(1), 0)
    refused(ValueError, "should not be the same as the rank of the current process", lambda: dist.send(x, RANK))


@check
def objects() -> None:
    got = [None] * WORLD
    dist.all_gather_object(got, {"rank": RANK, "t": fb.ones(RANK + 1)})
    assert [g["rank"] for g in got] == list(range(WORLD)) and got[1]["t"].tolist() == [1, 1]
    held = [RANK, "x" * RANK]
    dist.broadcast_object_list(held, 1)
    assert held == [1, "x"]
    one = [None]
    dist.scatter_object_list(one, [f"to {i}" for i in range(WORLD)] if RANK == 0 else None, 0)
    assert one == [f"to {RANK}"]
    gathered = [None] * WORLD if RANK == 0 else None
    dist.gather_object(("of", RANK), gathered, 0)
    assert gathered is None or gathered == [("of", i) for i in range(WORLD)]
    if RANK == 0:
        dist.send_object_list([1, {"a": 2}], 1)
    elif RANK == 1:
        two = [None, None]
        assert dist.recv_object_list(two, 0) == 0 and two == [1, {"a": 2}]


@check
def groups() -> None:
    pair = dist.new_group([1, 0])
    last = dist.new_group([WORLD - 1])
    if RANK < 2:
        assert dist.get_process_group_ranks(pair) == [0, 1] and dist.get_rank(pair) == RANK
        x = fb.ones(1) * (RANK + 1)
        dist.all_reduce(x, group=pair)
        assert x.item() == 3
    if RANK == WORLD - 1:
        assert dist.get_global_rank(last, 0) == RANK and dist.get_world_size(last) == 1
    else:
        assert last is dist.GroupMember.NON_GROUP_MEMBER and dist.get_rank(last) == -1
    own, every = dist.new_subgroups(1)
    assert len(every) == WORLD and dist.get_process_group_ranks(own) == [RANK]
    dist.all_reduce(
        large := fb.ones(20_000), group=own
    )  # more than goes with an announcement, and nobody to send it to
    assert large.sum().item() == 20_000
    store = dist.distributed_c10d._get_default_store()
    store.set(f"key {RANK}", str(RANK))
    assert store.get(f"key {1 - RANK if RANK < 2 else 0}") == (b"10"[RANK : RANK + 1] if RANK < 2 else b"0")
    store.add("count", 2)
    dist.barrier()
    assert store.add("count", 0) == 2 * WORLD and store.compare_set("key 0", "0", "5" if RANK == 0 else "0") in (
        b"5",
        b"0",
    )


@check
def handles() -> None:
    x, y = mine(3), mine(20_000)
    works = [dist.all_reduce(x, async_op=True), dist.all_reduce(y, async_op=True)]
    dist.all_reduce(z := mine(3, seed=2))  # begun later, so done later
    for work in reversed(works):
        assert work.wait() and work.is_success() and work.exception() is None
    same(x, rows(3).sum(0))
    same(y, rows(20_000).sum(0))
    same(z, rows(3, seed=2).sum(0))
    doubled = dist.all_reduce(mine(3), async_op=True).get_future().then(lambda f: f.value()[0] * 2)
    same(doubled.wait(), 2 * rows(3).sum(0))


@check
def disagreement() -> None:
    one = dist.new_group(timeout=timedelta(seconds=5))
    text = f"[Rank {RANK}]: Detected mismatch between collectives on ranks."
    refused(RuntimeError, text, lambda: dist.all_reduce(fb.ones(2 + (RANK == 0)), group=one))
    refused(RuntimeError, text, lambda: dist.barrier(one) if RANK == 0 else dist.all_reduce(fb.ones(2), group=one))
    layer = nn.SyncBatchNorm(2 + (RANK == 0), process_group=one)
    model = nn.Sequential()
    model.add_module("norm", layer)
    try:
        model(fb.ones(4, 2 + (RANK == 0)))
    except RuntimeError as error:
        notes = str(error) + " ".join(getattr(error, "__notes__", ()))
        assert text in notes and "norm" in notes, notes
    else:
        raise AssertionError("the ranks' layers differ")
    averaged = nn.parallel.DistributedDataParallel(nn.Sequential(nn.Linear(2, 1)), process_group=one)
    try:
        averaged(fb.ones(1, 2)).sum().backward() if RANK == 0 else dist.barrier(one)
    except RuntimeError as error:
        notes = str(error) + " ".join(getattr(error, "__notes__", ()))
        assert text in notes and (RANK > 0 or "0.weight" in notes), notes
    else:
        raise AssertionError("one rank alone averages")
    if RANK == 0:
        two = dist.new_group(timeout=timedelta(seconds=0.3), use_local_synchronization=True, ranks=list(range(WORLD)))
        missing = ", ".join(map(str, range(1, WORLD)))
        refused(
            RuntimeError,
            f"[Rank 0]: Timed out waiting 300ms for rank {missing} in all_reduce",
            lambda: dist.all_reduce(fb.ones(1), group=two),
        )
        wanted = "[Rank 0]: Rank 1 failed to pass monitoredBarrier in 200 ms"
        refused(RuntimeError, wanted, lambda: dist.monitored_barrier(two, timedelta(seconds=0.2)))


def trained(
    make: Callable[[], nn.Module], shape: tuple[int, ...], parallel: bool, compiled: bool = False, **options: object
) -> list[float]:
    """Losses of some steps: of the whole batch, or of the ranks' parts of it, averaged."""
    fb.manual_seed(RANK if parallel else 0)
    model = make().double()
    if parallel:
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        model = nn.parallel.DistributedDataParallel(model, **options)
        assert all(name.startswith("module.") for name in model.state_dict())
    optimizer = fb.optim.AdamW(model.parameters(), 0.01)
    generator = fb.Generator().manual_seed(1)
    inputs = fb.randn(4, 4 * WORLD, *shape, generator=generator, dtype=fb.float64)
    targets = fb.randn(4, 4 * WORLD, 2, generator=generator, dtype=fb.float64)

    def step(x: fb.Tensor, y: fb.Tensor) -> fb.Tensor:
        optimizer.zero_grad()
        loss = (model(x) - y).square().mean()
        loss.backward()
        optimizer.step()
        return loss.detach()

    run = fb.compile(step, fullgraph=True) if compiled else step
    losses = []
    for x, y in zip(inputs, targets, strict=True):
        part = slice(RANK * 4, RANK * 4 + 4) if parallel else slice(None)
        loss = run(x[part], y[part]).clone()
        if parallel:
            dist.all_reduce(loss, ReduceOp.AVG)
        losses.append(loss.item())
    return losses


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 2))


def convolutional() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2))


def as_one_process(make: Callable[[], nn.Module], shape: tuple[int, ...], *options: dict[str, object]) -> None:
    whole = trained(make, shape, parallel=False)
    for some in options:
        np.testing.assert_allclose(trained(make, shape, True, **some), whole, rtol=1e-10, err_msg=str(some))


@check
def one_process_and_many() -> None:
    as_one_process(mlp, (6,), {}, {"compiled": True})
    as_one_process(convolutional, (1, 6, 6), {"bucket_cap_mb": 1e-4})


@check
def one_process_and_many_by_all_options() -> None:
    if os.environ.get("ALL_OPTIONS"):
        several = (
            {"bucket_cap_mb": 1e-4},
            {"find_unused_parameters": True},
            {"static_graph": True},
            {"compiled": True},
        )
        as_one_process(mlp, (6,), *several)
        as_one_process(convolutional, (1, 6, 6), {}, *several)


class Halves(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.never = nn.Linear(3, 1), nn.Linear(3, 1), nn.Linear(3, 1)

    def forward(self, x: fb.Tensor) -> fb.Tensor:
        return self.first(x) + self.second(x) if RANK == 0 else self.first(x)


@check
def averaged_gradients() -> None:
    model = nn.parallel.DistributedDataParallel(nn.Linear(3, 1))
    with model.no_sync():
        model(fb.ones(1, 3) * RANK).sum().backward()
    assert model.module.weight.grad.tolist() == [[RANK] * 3]
    model(fb.ones(1, 3) * RANK).sum().backward()
    mean = 2 * sum(range(WORLD)) / WORLD
    assert model.module.weight.grad.tolist() == [[mean] * 3]
    halves = nn.parallel.DistributedDataParallel(Halves(), find_unused_parameters=True)
    halves(fb.ones(1, 3)).sum().backward()
    assert halves.module.never.weight.grad is None
    np.testing.assert_allclose(halves.module.second.bias.grad.numpy(), [1 / WORLD], rtol=1e-6)
    broken = nn.parallel.DistributedDataParallel(nn.Sequential(nn.Linear(3, 1), nn.Linear(1, 1)))

    def fail(grad: fb.Tensor) -> None:
        raise ValueError("in the backward pass")

    made = broken.module[0](fb.ones(1, 3))
    made.register_hook(fail)
    refused(ValueError, "in the backward pass", lambda: broken.module[1](made).sum().backward())
    broken.zero_grad()
    broken(fb.ones(1, 3) * RANK).sum().backward()
    slope = broken.module[1].weight.item()
    mean = sum(range(WORLD)) / WORLD
    np.testing.assert_allclose(broken.module[0].weight.grad.numpy(), [[slope * mean] * 3], rtol=1e-6)
    strict = nn.parallel.DistributedDataParallel(nn.Sequential(nn.Linear(3, 1), nn.Linear(1, 1)))
    strict.module[0](fb.ones(1, 3)).sum().backward()
    refused(RuntimeError, "Expected to have finished reduction in the prior iteration", lambda: strict(fb.ones(1, 3)))

    @fb.compile
    def unfinished(x: fb.Tensor) -> None:
        (strict(x).detach() + strict.module[0](x)).sum().backward()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        unfinished(fb.ones(1, 3))
    refused(
        RuntimeError, "Expected to have finished reduction in the prior iteration", lambda: unfinished(fb.ones(1, 3))
    )
    hooked = nn.parallel.DistributedDataParallel(nn.Linear(3, 1))
    from flambeau.distributed.algorithms.ddp_comm_hooks import default_hooks

    hooked.register_comm_hook(None, default_hooks.bf16_compress_hook)
    hooked(fb.ones(1, 3) * RANK).sum().backward()
    assert hooked.module.weight.grad.tolist() == [[sum(range(WORLD)) / WORLD] * 3]
    refused(
        RuntimeError, "appears not to match sizes", lambda: nn.parallel.DistributedDataParallel(nn.Linear(3 + RANK, 1))
    )


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.register_buffer("count", fb.zeros(1))

    def forward(self, x: fb.Tensor) -> fb.Tensor:
        self.count += 1 + RANK
        return self.layer(x)


@check
def buffers_of_averaged_models() -> None:
    """Rank 0's are taken before a pass, but not after one in `no_sync` or without gradients."""
    model, first, mine = nn.parallel.DistributedDataParallel(Counting()), 0, 0
    taken = True
    for synced, gradients in [(1, 1), (0, 1), (0, 1), (1, 1), (1, 1), (1, 0), (1, 0), (1, 1), (1, 1)]:
        with contextlib.nullcontext() if synced else model.no_sync(), fb.set_grad_enabled(bool(gradients)):
            model(fb.ones(1, 1))
        first, mine, taken = first + 1, (first if taken else mine) + 1 + RANK, bool(synced and gradients)
        assert model.module.count.item() == mine, (synced, gradients)


@check
def gradients_of_collectives() -> None:
    """The derivative of everybody's weighted sum of what all ranks get, by this rank's input."""
    x = (fb.arange(float(WORLD)) + RANK + 1).double().requires_grad_()
    cases = {
        "all_reduce": (lambda: differentiable.all_reduce(x), lambda w: w.sum(0)),
        "broadcast": (lambda: differentiable.broadcast(x, 1), lambda w: w.sum(0) if RANK == 1 else 0 * w[0]),
        "reduce": (lambda: differentiable.reduce(x, 0), lambda w: w[0]),
        "all_gather": (lambda: fb.cat(differentiable.all_gather(x)), lambda w: w.sum(0).reshape(WORLD, -1)[RANK]),
        "_all_gather_base": (
            lambda: dist.nn.functional._all_gather_base(fb.zeros(WORLD * WORLD).double(), x),
            lambda w: w.sum(0).reshape(WORLD, -1)[RANK],
        ),
        "reduce_scatter": (
            lambda: differentiable.reduce_scatter(fb.zeros(1), list(x.view(WORLD, 1))),
            lambda w: w.reshape(-1),
        ),
        "all_to_all_single": (lambda: differentiable.all_to_all_single(fb.zeros(WORLD), x), lambda w: w[:, RANK]),
    }
    for name, (call, wanted) in cases.items():
        x.grad = None
        made = call()
        weights = np.random.default_rng(3).integers(1, 9, (WORLD, made.numel())).astype("float64")
        (made * fb.from_numpy(weights[RANK].copy())).sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), wanted(weights), err_msg=name)


@check
def in_a_compiled_function() -> None:
    @fb.compile(fullgraph=True)
    def function(x: fb.Tensor) -> tuple[fb.Tensor, ...]:
        y = x * 2
        dist.all_reduce(y)
        got = fb.zeros_like(x)
        work = dist.irecv(got, (RANK - 1) % WORLD)
        dist.send(x, (RANK + 1) % WORLD)
        work.wait()
        every = x.new_zeros(WORLD * x.numel())
        dist.all_gather_single(every, x)
        dist.barrier()
        return y + 1, got, every

    for seed in range(3):
        y, got, every = function(mine(3, seed=seed))
        same(y, 2 * rows(3, seed=seed).sum(0) + 1)
        same(got, rows(3, seed=seed)[(RANK - 1) % WORLD])
        same(every, rows(3, seed=seed).reshape(-1))


@check
def compiled_forward_passes() -> None:
    """What a compiled forward pass sends, its backward pass outside does not send again: ranks may run it uncompiled."""

    def centred(x: fb.Tensor) -> fb.Tensor:
        return (x - differentiable.all_reduce(x.tanh().mean(0)) / WORLD).pow(2)

    run = fb.compile(centred, fullgraph=True)
    for function in (centred, run, run if RANK else centred):
        x = mine(6).reshape(3, 2).requires_grad_()
        y, forwards = meetings(function, x)
        _, backwards = meetings(y.sum().backward)
        if function is centred:
            wanted = x.grad.numpy()
        assert (forwards, backwards) == (1, 1)
        np.testing.assert_allclose(x.grad.numpy(), wanted, rtol=1e-12)


def meetings(function: Callable[..., Any], *arguments: fb.Tensor) -> tuple[Any, int]:
    """What a call gives, and how often the ranks of the default group have met for it."""
    exchange = dist.group.WORLD.exchange
    before = exchange._count
    return function(*arguments), exchange._count - before


@check
def one_program_of_all_ranks() -> None:
    """Collectives of a compiled function are operations of one program wherever all ranks have the same; else the ranks meet for each."""

    def function(x: fb.Tensor) -> tuple[fb.Tensor, ...]:
        total, product, root = x * 2, x.clone(), x.clone()
        dist.all_reduce(total)
        dist.all_reduce(product, ReduceOp.PRODUCT)
        dist.barrier()
        dist.broadcast(root, 1)
        every, part, turned = x.new_zeros(WORLD, len(x)), x.new_zeros(2), x.new_zeros(2 * WORLD)
        dist.all_gather_single(every, x)
        rows_of = x[:2] * fb.arange(1.0, WORLD + 1).reshape(-1, 1)
        dist.reduce_scatter_single(part, rows_of.reshape(-1), ReduceOp.AVG)
        dist.all_to_all_single(turned, rows_of.reshape(-1))
        return total + 1, product, root, every, part, turned

    compiled = fb.compile(function, fullgraph=True)
    for seed in range(3):
        x = mine(3, seed=seed).float()
        wanted, alone = meetings(function, x)
        made, met = meetings(compiled, x)
        assert alone == 8 and met == (2 if seed == 0 else 1), (
            alone,
            met,
        )  # before the first run, all have to have compiled
        for a, b in zip(made, wanted, strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-6)

    def summed(x: fb.Tensor) -> fb.Tensor:
        dist.all_reduce(total := x.sum())
        return total

    run = fb.compile(summed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of batches of another length
        for length in (3 + RANK, 3 + RANK, 2, 2):
            lengths = 2 * WORLD if length == 2 else 3 * WORLD + WORLD * (WORLD - 1) // 2
            made, met = meetings(run, fb.ones(length))
            assert made.item() == lengths, (length, made)
        assert met == 1
        for other in range(WORLD):  # one of the ranks runs uncompiled
            made, met = meetings(summed if other == RANK else run, fb.ones(2))
            assert made.item() == 2 * WORLD and met == 2
    weighed = fb.compile(lambda x: (x := x * (RANK + 1), dist.all_reduce(x))[0])  # not the same program
    assert [weighed(fb.ones(2)).tolist() for _ in range(2)] == [[WORLD * (WORLD + 1) / 2] * 2] * 2


@check
def errors_of_one_rank() -> None:
    """What goes wrong in one rank of a compiled step is an error in all: nobody's parameters change, and the group goes on."""
    model = nn.parallel.DistributedDataParallel(nn.Sequential(nn.Embedding(4, 2), nn.Linear(2, 1)))
    optimizer = fb.optim.SGD(model.parameters(), 0.1)

    def step(i: fb.Tensor) -> None:
        optimizer.zero_grad()
        model(i).pow(2).mean().backward()
        optimizer.step()

    run = fb.compile(step)
    for length in (2, 2 + RANK):  # one program of all ranks, and each its own
        outside = fb.full((length,), 7 if RANK == 1 else 3)
        for bad in (False, True, False):
            before = model.module[1].weight.tolist()
            if not bad:
                run(fb.ones(length, dtype=fb.long))
            elif RANK == 1:
                refused(IndexError, "in module.0 (Embedding): index out of range", lambda i=outside: run(i))
            else:
                refused(DistBackendError, "rank 1 has", lambda i=outside: run(i))
            assert (model.module[1].weight.tolist() == before) is bad
            every: list[Any] = [None] * WORLD
            dist.all_gather_object(every, model.module[1].weight.tolist())
            assert every == [every[0]] * WORLD

    class Summed(nn.Module):
        def forward(self, x: fb.Tensor) -> fb.Tensor:
            dist.all_reduce(x := x * 2)
            return x

    summed = fb.compile(nn.Sequential(nn.Identity(), Summed()))
    refused(DistBackendError, "Detected mismatch between collectives on ranks", lambda: summed(fb.ones(2 + RANK)))
    try:
        summed(fb.ones(2 + RANK))
    except DistBackendError as error:
        assert any("1 (Summed)" in note for note in error.__notes__), error.__notes__
    assert summed(fb.ones(2)).tolist() == [2 * WORLD] * 2


@check
def meshes() -> None:
    mesh = dist.init_device_mesh("cpu", (1, WORLD), mesh_dim_names=("data", "tensor"))
    assert (
        mesh["tensor"].size() == WORLD and mesh.get_local_rank("tensor") == RANK and mesh.get_coordinate() == (0, RANK)
    )
    assert repr(mesh) == f"DeviceMesh((data=1, tensor={WORLD}), 'cpu', stride=((), 1))"
    flat = mesh._flatten("all")
    assert mesh["all"] is flat is mesh._flatten("all") and flat.shape == (WORLD,) and flat.get_local_rank() == RANK
    dist.all_reduce(one := fb.ones(1), group=flat.get_group())
    assert one.item() == WORLD and mesh["tensor"]._flatten("line").get_group().size() == WORLD
    refused(ValueError, "data already exists for submesh of the DeviceMesh(", lambda: mesh._flatten("data"))
    x = fb.ones(1) * RANK
    dist.all_reduce(x, group=mesh.get_group("tensor"))
    assert x.item() == sum(range(WORLD)) and mesh.get_group("data").size() == 1
    made = dist._functional_collectives.all_gather_tensor(x.new_tensor([[float(RANK)]]), 1, mesh.get_group("tensor"))
    assert made.tolist() == [list(map(float, range(WORLD)))]


def main(folder: str, *names: str) -> None:
    dist.init_process_group("gloo", timeout=timedelta(seconds=60))
    found = {}
    for name in names or CHECKS:
        started = time.monotonic()
        try:
            CHECKS[name]()
            found[name] = ""
            print(name, round(time.monotonic() - started, 2), "s", flush=True)
        except BaseException:
            found[name] = traceback.format_exc()
        Path(folder, f"{RANK}.json").write_text(json.dumps(found))
        dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
