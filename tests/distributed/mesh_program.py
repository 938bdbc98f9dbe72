"""What each rank of a launched program checks of tensors and models cut over processes; what fails is written down.

The models are trained as tutorials do it, and have to have the losses of one process.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import gc
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import jax
import numpy as np
import rank_program

import flambeau as fb
import flambeau.distributed as dist
import flambeau.distributed.checkpoint as dcp
from flambeau import nn
from flambeau.distributed._composable import checkpoint as composable_checkpoint
from flambeau.distributed._composable import replicate
from flambeau.distributed.algorithms._checkpoint.checkpoint_wrapper import CheckpointImpl, checkpoint_wrapper
from flambeau.distributed.algorithms.ddp_comm_hooks import debugging_hooks, default_hooks
from flambeau.distributed.algorithms.ddp_comm_hooks.post_localSGD_hook import PostLocalSGDState, post_localSGD_hook
from flambeau.distributed.algorithms.model_averaging.averagers import PeriodicModelAverager
from flambeau.distributed.algorithms.model_averaging.hierarchical_model_averager import HierarchicalModelAverager
from flambeau.distributed.checkpoint import state_dict as dsd
from flambeau.distributed.fsdp import (
    FSDPModule,
    FullStateDictConfig,
    MixedPrecisionPolicy,
    ShardingStrategy,
    StateDictType,
    fully_shard,
)
from flambeau.distributed.fsdp import FullyShardedDataParallel as FSDP
from flambeau.distributed.fsdp.wrap import ModuleWrapPolicy
from flambeau.distributed.optim import PostLocalSGDOptimizer, ZeroRedundancyOptimizer
from flambeau.distributed.pipelining import PipelineStage, Schedule1F1B, ScheduleGPipe
from flambeau.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor
from flambeau.distributed.tensor._utils import compute_local_shape_and_global_offset
from flambeau.distributed.tensor.experimental import implicit_replication, local_map
from flambeau.distributed.tensor.parallel import (
    ColwiseParallel,
    PrepareModuleInput,
    RowwiseParallel,
    SequenceParallel,
    loss_parallel,
    parallelize_module,
)
from flambeau.nn import functional as F
from flambeau.processes import exchange

RANK, WORLD = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
STEPS = int(os.environ.get("STEPS", "6"))
CHECKS: dict[str, Callable[[], None]] = {}


def check(function: Callable[[], None]) -> Callable[[], None]:
    CHECKS[function.__name__] = function
    return function


def refused(error: type[BaseException], text: str, call: Callable[[], object]) -> None:
    try:
        call()
    except error as found:
        assert text in str(found), found
    else:
        raise AssertionError(f"not refused: {text}")


def line() -> Any:
    return dist.init_device_mesh("cpu", (WORLD,))


class Attention(nn.Module):
    def __init__(self, d: int, heads: int):
        super().__init__()
        self.wq, self.wk, self.wv, self.wo = (nn.Linear(d, d, bias=False) for _ in range(4))
        self.size = d // heads

    def forward(self, x: Any) -> Any:
        b, t, _ = x.shape
        q, k, v = (w(x).view(b, t, -1, self.size).transpose(1, 2) for w in (self.wq, self.wk, self.wv))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.wo(mixed.transpose(1, 2).contiguous().view(b, t, -1))


class Gated(nn.Module):
    def __init__(self, d: int):
        super().__init__()
        self.w1, self.w2, self.w3 = nn.Linear(d, 2 * d), nn.Linear(2 * d, d), nn.Linear(d, 2 * d)

    def forward(self, x: Any) -> Any:
        return self.w2(F.silu(self.w1(x)) * self.w3(x))


class Block(nn.Module):
    def __init__(self, d: int, heads: int):
        super().__init__()
        self.norm1, self.attention, self.norm2, self.gated = nn.RMSNorm(d), Attention(d, heads), nn.RMSNorm(d), Gated(d)

    def forward(self, x: Any) -> Any:
        x = x + self.attention(self.norm1(x))
        return x + self.gated(self.norm2(x))


class GPT(nn.Module):
    def __init__(self, words: int = 32, d: int = 16, heads: int = 4):
        super().__init__()
        self.tokens = nn.Embedding(words, d)
        self.layers = nn.ModuleList(Block(d, heads) for _ in range(2))
        self.norm, self.out = nn.LayerNorm(d), nn.Linear(d, words, bias=False)

    def forward(self, x: Any) -> Any:
        x = self.tokens(x)
        for layer in self.layers:
            x = layer(x)
        return self.out(self.norm(x))


def gpt() -> GPT:
    fb.manual_seed(0)
    return GPT().double()


def text() -> Any:
    return fb.randint(0, 32, (STEPS, 8, 9), generator=fb.Generator().manual_seed(1))


def losses(model: Any, data: Any, over: Any = None, around: Any = contextlib.nullcontext) -> list[float]:
    optimizer, found = fb.optim.AdamW(model.parameters(), lr=1e-2), []
    for batch in data:
        optimizer.zero_grad()
        with around():
            loss = F.cross_entropy(model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())
            loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        loss = loss.detach()
        loss = loss.full_tensor() if isinstance(loss, DTensor) else loss.clone()
        if over is not None:
            dist.all_reduce(loss, dist.ReduceOp.AVG, group=over)
        found.append(loss.item())
    return found


_alone: list[list[float]] = []


def as_alone(found: list[float]) -> None:
    if not _alone:
        _alone.append(losses(gpt(), text()))
    np.testing.assert_allclose(found, _alone[0], rtol=1e-9)


def mine(data: Any, n: int = WORLD, number: int = RANK) -> Any:
    return data.chunk(n, 1)[number]


def sharded(mesh: Any, model: Any = None, **options: Any) -> Any:
    model = model or gpt()
    for layer in model.layers:
        fully_shard(layer, mesh=mesh, **options)
    return fully_shard(model, mesh=mesh, **options)


def cut(model: Any, mesh: Any, whole_loss: bool) -> Any:
    out = ColwiseParallel(
        input_layouts=Shard(1), output_layouts=Replicate() if whole_loss else Shard(-1), use_local_output=whole_loss
    )
    rows = RowwiseParallel(input_layouts=Replicate(), output_layouts=Shard(1))
    parallelize_module(model, mesh, {"tokens": rows, "norm": SequenceParallel(), "out": out})
    enter = PrepareModuleInput(input_layouts=(Shard(1),), desired_input_layouts=(Replicate(),))
    for layer in model.layers:
        parallelize_module(layer, mesh, {
            "norm1": SequenceParallel(), "norm2": SequenceParallel(), "attention": enter, "gated": enter,
            "attention.w[qkv]": ColwiseParallel(), "attention.wo": RowwiseParallel(output_layouts=Shard(1)),
            "gated.w1": ColwiseParallel(), "gated.w3": ColwiseParallel(), "gated.w2": RowwiseParallel(output_layouts=Shard(1)),
        })  # fmt: skip
    return model


@check
def tensors() -> None:
    mesh = line()
    fb.manual_seed(RANK)
    x = distribute_tensor(fb.randn(2 * WORLD, 4), mesh, [Shard(0)])  # the first rank's values
    fb.manual_seed(0)
    whole = fb.randn(2 * WORLD, 4)
    assert isinstance(x, DTensor) and x.placements == (Shard(0),) and x.device_mesh == mesh and x.is_leaf
    assert fb.equal(x.full_tensor(), whole) and fb.equal(x.to_local(), whole[2 * RANK : 2 * RANK + 2])
    assert repr(x).startswith("DTensor(local_tensor=tensor([[") and "placements=(Shard(dim=0),)" in repr(x)
    part = (fb.arange(4.0).view(2, 2) + 10 * RANK).requires_grad_()
    y = DTensor.from_local(part, mesh, [Shard(0)])
    assert y.shape == (2 * WORLD, 2)
    (y * y).sum().backward()
    assert fb.equal(part.grad, 2 * part.detach())
    (y.redistribute(placements=[Replicate()]).to_local() ** 2).sum().backward()
    assert fb.equal(part.grad, 4 * part.detach())
    sums = DTensor.from_local(fb.full((2,), RANK + 1.0), mesh, [Partial()])
    assert sums.full_tensor().tolist() == [WORLD * (WORLD + 1) / 2] * 2
    assert (x * 2.0 + fb.tensor(1.0)).placements == (Shard(0),) and fb.zeros_like(x).placements == (Shard(0),)
    two = dist.init_device_mesh("cpu", (WORLD, 1))
    assert DTensor.from_local(fb.ones(2), two, [Partial("avg"), Partial()]).full_tensor().tolist() == [1.0, 1.0]
    text = "Mixed Partial reduce types are not supported in the same placement list. Found reduce ops:"
    refused(ValueError, text, lambda: DTensor.from_local(fb.ones(2), two, [Partial("max"), Partial()]))
    for made in (
        x.new_zeros(x.shape),
        x.new_full(x.shape, 2.0),
        x.new_empty(x.shape, dtype=fb.int64),
        x.new_ones(3),
        x.new_full((2, 2), 1),
    ):
        same = made.shape == x.shape  # cut likewise; of another shape whole in each
        assert isinstance(made, DTensor) and made.placements == ((Shard(0) if same else Replicate()),)
    refused(
        RuntimeError,
        "got mixed torch.Tensor and DTensor, need to convert all torch.Tensor to DTensor",
        lambda: x + whole,
    )
    with implicit_replication():
        assert fb.allclose((x + whole).full_tensor(), 2 * whole)
    wrong = [fb.zeros(2, dtype=fb.int64) for _ in range(WORLD)]
    refused(
        ValueError,
        "Invalid usage of tensors with different dtypesFound torch.int64 and  torch.float32",
        lambda: dist.all_gather(wrong, fb.ones(2)),
    )
    assert dist.get_debug_level().name == os.environ.get("TORCH_DISTRIBUTED_DEBUG", "OFF")
    refused(ValueError, "from_local(shape=", lambda: DTensor.from_local(part, mesh, [Shard(0)], shape=(9, 2)))


@check
def sums_still_to_be_made() -> None:
    """Which results are `Partial`, as PyTorch's DTensors have it, and what each process has of them."""
    mesh, sums, S, R = line(), Partial(), Shard, Replicate()
    a, b = fb.arange(4.0 * WORLD).view(2, 2 * WORLD), fb.arange(6.0 * WORLD).view(2 * WORLD, 3)
    x, y = distribute_tensor(a, mesh, [S(1)]), distribute_tensor(b, mesh, [S(0)])
    product = x @ y
    assert product.placements == (sums,) and "placements=(Partial(sum),)" in repr(product)
    assert fb.equal(product.to_local(), a.chunk(WORLD, 1)[RANK] @ b.chunk(WORLD, 0)[RANK])
    assert fb.equal(product.full_tensor(), a @ b) and product.redistribute(placements=[R]).placements == (R,)
    tall = x.t() @ x  # nothing is contracted along the cut
    assert not tall.placements[0].is_partial() and fb.equal(tall.full_tensor(), a.t() @ a)
    for name, made, wanted in (
        ("sum", y.sum(), sums), ("sum along", y.sum(0, keepdim=True), sums), ("mean", y.mean(), Partial("avg")),
        ("max", y.max(), Partial("max")), ("amin", y.amin(0), Partial("min")), ("prod", y.prod(), Partial("product")),
        ("rows", y.sum(1), S(0)), ("add", product + product, sums), ("scaled", -(product * 2.0) / 4.0, sums),
        ("by a whole", product @ fb.ones_like(product).t(), sums), ("joined", fb.cat([product, product]), sums),
        ("turned", product.t(), sums), ("taken", product[:, 0], sums), ("cast", product.double(), sums),
        ("not linear", product.relu(), R), ("shifted", product + 1, R), ("deviation", y.std(), R),
    ):  # fmt: skip
        assert made.placements == (wanted,), (name, made.placements)
    assert repr(y.norm().placements) == "(_NormPartial(2),)"
    for made, wanted in (
        (y.norm(), b.norm()), (y.mean(), b.mean()), (y.amin(0), b.amin(0)), (y.prod(), b.prod()), (y.max(), b.max()),
        ((product * 2.0 - product).relu(), a @ b), (fb.cat([product, product]), fb.cat([a @ b] * 2)),
        (product @ product.t(), (a @ b) @ (a @ b).t()), (F.mse_loss(y, y * 2.0), F.mse_loss(b, b * 2)),
        ((y > 3).any(), (b > 3).any()), ((y > 3).all(), (b > 3).all()),
    ):  # fmt: skip
        assert fb.allclose(made.full_tensor(), wanted), (made, wanted)
    assert y.sum().item() == b.chunk(WORLD, 0)[RANK].sum()  # a process may ask without the others
    part = fb.full((2 * WORLD,), RANK + 1.0, requires_grad=True)
    total = WORLD * (WORLD + 1) / 2
    for op, value in (("sum", total), ("avg", total / WORLD), ("max", WORLD), ("min", 1.0)):
        kept = DTensor.from_local(part, mesh, [Partial(op)])
        assert kept.placements == (Partial(op),) and fb.equal(kept.to_local(), part)
        assert kept.redistribute(placements=[S(0)]).to_local().tolist() == [value, value]
        kept.redistribute(placements=[S(0)]).to_local().mul(RANK + 1).sum().backward()
        assert part.grad.tolist() == [1.0 + i // 2 for i in range(2 * WORLD)]
        part.grad = None
    (DTensor.from_local(part, mesh, [sums]) * 3).sum().backward()
    assert part.grad.tolist() == [3.0] * (2 * WORLD)
    w = distribute_tensor(b.clone().requires_grad_(), mesh, [S(0)])
    (x @ w).redistribute(placements=[R]).pow(2).sum().backward()
    plain = b.clone().requires_grad_()
    (a @ plain).pow(2).sum().backward()
    assert w.grad.placements == (S(0),) and fb.allclose(w.grad.full_tensor(), plain.grad)
    assert distribute_tensor(a, mesh, [sums]).to_local().allclose(a / WORLD)


# what PyTorch's DTensors give for x of 4 x 8 that is whole, in rows, in columns, or a sum (R is whole, S a sum, a number a cut)
PLACED = """
x.softmax(0) R R 1 R | x.log_softmax(1) R 0 R R | x.cumsum(0) R R 1 R | x.cumprod(1) R 0 R R | x.logcumsumexp(0) R R 1 R
x.cummax(0)[0] R R 1 1 | x.sort(0)[0] R R 1 1 | x.sort(1)[1] R 0 R 0 | x.argsort(0) R R 1 1 | x.topk(2, 1)[0] R 0 R 0
x.flip(0) R R 1 S | x.roll(1, 1) R 0 R S | x.tril() R R R R | x.repeat(2, 1) R * 1 S
F.layer_norm(x, (8,)) R 0 R R | F.layer_norm(x, (4, 8)) R R R R | F.glu(x, 1) R 0 R R | F.pad(x, (1, 1)) R 0 R *
fb.cat([x, x], 0) R R 1 S | fb.cat([x, x], 1) R 0 R S | fb.stack([x, x], 1) R 0 2 S | fb.hstack([x, x]) R 0 R S | fb.vstack([x, x]) R R 1 S
x[0] R R 0 S | x[:, 0] R 0 R S | x[1:3] R R 1 S | x[:, ::2] R 0 R S | x.narrow(1, 0, 4) R 0 R S | x.t()[0:2] R 1 R S | x.unbind(0)[1] R * 0 S
x.chunk(2, 1)[0] R 0 R S | x / y R 0 1 S | x + y R 0 1 S | y + x R 0 1 S | y - x R 0 1 S | y * x R 0 1 S | x.count_nonzero() R S S R
x.argmax(0) R R 0 R | x.var(1) R 0 R R | x.norm(dim=1) R 0 * R | x.logsumexp(0) R R 0 R | x.gather(1, index) R 0 R 0 | x.scatter(0, index, x) R R 1 1
F.linear(x, w, bias) R 0 S S | F.linear(x, w) R 0 S S | fb.addmm(y[:, :6], x, w.t()) R 0 S S | fb.einsum("ij,kj->ik", x, w) R 0 S S
x.mv(w[0]) R 0 S S | fb.einsum("ij,ij->j", x, x) R S 0 S | F.smooth_l1_loss(x, y) R A A R | F.huber_loss(y, x) R A A R
x.nansum(0) R S 0 * | x.nansum() R S S *
""".replace("\n", " | ").split(" | ")


@check
def placements_after_operators() -> None:
    """Placements are PyTorch's; values, and gradients of what is cut or whole, are those of plain tensors."""
    mesh, whole, sums = line(), Replicate(), Partial()
    kinds = {"R": whole, "S": sums, "A": Partial("avg"), "0": Shard(0), "1": Shard(1), "2": Shard(2)}
    whole_x = (fb.arange(8.0 * 2 * WORLD).double() * 7 % 17 / 4 - 1.6).view(2 * WORLD, 8)
    others = {"y": whole_x.flip(0) + 3, "w": whole_x.repeat(2, 1)[:6] * 0.5, "bias": fb.arange(6.0).double()}
    others["index"] = fb.arange(2 * WORLD)[:, None].expand(-1, 8) * 3 % 4
    laid = {name: distribute_tensor(t.contiguous(), mesh, [whole]) for name, t in others.items()}
    rows = [*filter(None, map(str.strip, PLACED))]
    for row in rows if STEPS > 3 else rows[::4]:
        text, *wanted = row.rsplit(" ", 4)
        plain = whole_x.clone().requires_grad_()
        right = eval(text, {"fb": fb, "F": F, "x": plain, **others})
        for kind, expected in zip((whole, Shard(0), Shard(1), sums), wanted, strict=True):
            leaf = distribute_tensor(whole_x, mesh, [kind]).requires_grad_()
            made = eval(text, {"fb": fb, "F": F, "x": leaf, **laid})
            assert expected == "*" or made.placements == (kinds[expected],), (text, kind, made.placements)
            assert fb.allclose(made.full_tensor(), right, rtol=1e-12), (text, kind)
            if made.is_floating_point() and kind is not sums:
                (made.redistribute(placements=[whole]) ** 2).sum().backward()
                plain.grad = None
                (right**2).sum().backward(retain_graph=True)
                assert fb.allclose(leaf.grad.full_tensor(), plain.grad, rtol=1e-10, atol=1e-12), (text, kind)


@check
def unlike_cuts_and_writes() -> None:
    """Of two cuts that of the first dimension stays, or that for which less is sent; what is written to stays as it lay."""
    mesh, whole = line(), Replicate()
    t = fb.arange(8.0 * WORLD).double().view(2 * WORLD, 4 * 1).repeat(1, WORLD).sin()
    rows, columns = (distribute_tensor(t, mesh, [p]).requires_grad_() for p in (Shard(0), Shard(1)))
    for made, right in (
        (rows + columns, 2 * t), (columns + rows, 2 * t), (columns * rows, t * t), (columns.lerp(rows, 0.5), t),
    ):  # fmt: skip
        assert made.placements == (Shard(0),) and fb.allclose(made.full_tensor(), right), made.placements
    assert fb.where(rows > 0, columns, columns).placements == (Shard(1),)
    (columns * rows).sum().backward()
    for leaf, placement in ((rows, Shard(0)), (columns, Shard(1))):
        assert leaf.grad.placements == (placement,) and fb.equal(leaf.grad.full_tensor(), t)
    for target in (whole, Shard(0), Shard(1)):
        for other in (whole, Shard(0), Shard(1)):
            given = distribute_tensor(t, mesh, [other])
            copied, added = (
                fb.zeros_like(distribute_tensor(t, mesh, [target])),
                distribute_tensor(t, mesh, [target]).clone(),
            )
            copied.copy_(given)
            added.add_(given)
            assert copied.placements == added.placements == (target,), (target, other)
            assert fb.equal(copied.full_tensor(), t) and fb.equal(added.full_tensor(), 2 * t)


@check
def unequal_parts() -> None:
    mesh, n = line(), 2 * WORLD + 1
    t = fb.arange(2.0 * n).view(n, 2)
    x = distribute_tensor(t, mesh, [Shard(0)])
    mine = [*t.chunk(WORLD), *[t[:0]] * WORLD][RANK]
    assert (
        x.shape == (n, 2)
        and x.placements == (Shard(0),)
        and fb.equal(x.to_local(), mine)
        and fb.equal(x.full_tensor(), t)
    )
    for made, wanted in ((x + x, mine * 2), ((x * 2 + 1).relu().exp(), (mine * 2 + 1).exp()), (x.sum(1), mine.sum(1))):
        assert made.placements == (Shard(0),) and fb.allclose(made.to_local(), wanted)
    along = [
        x.cumsum(1),
        x.cummax(1).values,
        x.flip(1),
        x.fliplr(),
        x.sort(1).values,
        x.topk(2, 1).values,
        x.softmax(1),
        x.tril(),
    ]
    for made in (*along[:-1], fb.copysign(x, -x), fb.special.i0(x / 9), fb.floor_divide(x, 3.0)):
        assert made.placements == (Shard(0),) and made.to_local().shape[0] == len(mine), made.placements
    for made, wanted in zip(along[:2], (t.cumsum(1), t), strict=True):
        assert fb.equal(made.full_tensor(), wanted)
    assert x.flipud().placements == x.cumsum(0).placements == along[-1].placements == (Replicate(),)
    recorded = distribute_tensor(t.clone(), mesh, [Shard(0)]).requires_grad_()
    (recorded.cumsum(1) * x).sum().full_tensor().backward()
    assert fb.equal(recorded.grad.full_tensor(), fb.stack([t.sum(1), t[:, 1]], 1))
    assert x.sum().placements == (Partial(),) and x.sum().full_tensor() == t.sum() and x.t().placements == (Shard(1),)
    assert fb.equal(x.redistribute(placements=[Replicate()]).to_local(), t)
    assert fb.equal(x.redistribute(placements=[Replicate()]).redistribute(placements=[Shard(0)]).to_local(), mine)
    assert distribute_tensor(fb.ones(1), mesh, [Shard(0)]).to_local().shape == (int(RANK == 0),)
    y = DTensor.from_local(mine, mesh, [Shard(0)], shape=t.shape, stride=t.stride())
    assert fb.equal(y.full_tensor(), t)
    leaf = distribute_tensor(t.clone(), mesh, [Shard(0)]).requires_grad_()
    for loss in (leaf.pow(2).sum(), leaf.to_local().pow(2).sum(), leaf.full_tensor().pow(2).sum()):
        loss.backward()
        assert leaf.grad.placements == (Shard(0),) and fb.equal(leaf.grad.to_local(), 2 * mine)
        leaf.grad = None

    def trained(parallel: bool) -> Any:
        fb.manual_seed(0)
        model = nn.Sequential(nn.Embedding(7, 6), nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 5)).double()
        if parallel:
            rows = RowwiseParallel(input_layouts=Replicate())
            parallelize_module(
                model, mesh, {"0": rows, "1": ColwiseParallel(use_local_output=False), "3": RowwiseParallel()}
            )
            lengths = [len(piece) for piece in fb.arange(9).chunk(WORLD)] + [0] * WORLD
            assert model[1].weight.to_local().shape[0] == lengths[RANK]
        optimizer = fb.optim.AdamW(model.parameters(), lr=0.05)
        for _ in range(3):
            optimizer.zero_grad()
            loss = model(fb.arange(7)).pow(2).mean()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.1)
            optimizer.step()
        if parallel:
            assert optimizer.state[model[1].weight]["exp_avg"].placements == (Shard(0),)
        return [loss.item(), *(p.full_tensor() if isinstance(p, DTensor) else p for p in model.parameters())]

    for ours, alone in zip(trained(True), trained(False), strict=True):
        np.testing.assert_allclose(fb.as_tensor(ours).detach(), fb.as_tensor(alone).detach(), rtol=1e-9)


@check
def checks_of_values() -> None:
    """What operators look for among values is looked for in those of all processes."""
    mesh = line()
    t = fb.arange(6.0 * WORLD).view(2 * WORLD, 3).sin()
    n = fb.arange(2 * WORLD) % 3
    x, classes = (distribute_tensor(v, mesh, [Shard(0)]) for v in (t, n))
    for function in (
        lambda x, n: F.cross_entropy(x, n),
        lambda x, n: x.gather(1, n[:, None]),
        lambda x, n: F.one_hot(n, 3),
        lambda x, n: F.embedding(n, x[:3] if x is t else distribute_tensor(t[:3], mesh, [Replicate()])),
        lambda x, n: F.binary_cross_entropy(x.sigmoid(), x.abs()),
    ):
        assert fb.allclose(function(x, classes).full_tensor(), function(t, n))
    beyond = n.clone()
    beyond[-1] = 5  # in the last process
    refused(
        IndexError, "Target 5 is out of bounds", lambda: F.cross_entropy(x, distribute_tensor(beyond, mesh, [Shard(0)]))
    )
    for call in (lambda: x.nonzero(), lambda: classes.bincount(), lambda: x[x > 0]):
        refused(RuntimeError, "Sharding propagation failed for", call)
    sums = DTensor.from_local(t, mesh, [Partial()])
    assert sums.redistribute(placements=[Partial()]).placements == (Partial(),)


@check
def a_pipeline() -> None:
    """Stages in several processes have the losses and gradients of the whole model in one."""
    fb.manual_seed(0)
    whole = nn.Sequential(*[nn.Sequential(nn.Linear(4, 4), nn.Tanh()) for _ in range(WORLD)]).double()
    x, y = fb.randn(4 * WORLD, 4).double(), fb.randn(4 * WORLD, 4).double()
    expected = whole(x)
    F.mse_loss(expected, y).backward()
    wanted = [p.grad.clone() for p in whole[RANK].parameters()]
    for kind in (ScheduleGPipe, Schedule1F1B):
        whole.zero_grad()
        losses: list[Any] = []
        schedule = kind(PipelineStage(whole[RANK], RANK, WORLD, fb.device("cpu")), 2 * WORLD, loss_fn=F.mse_loss)
        for evaluated in (False, True):
            run = schedule.eval if evaluated else schedule.step
            found = run(*([x] if RANK == 0 else []), target=y if RANK == WORLD - 1 else None, losses=losses)
            assert (found is None) == (RANK < WORLD - 1)
        if RANK == WORLD - 1:
            assert not found.requires_grad
            assert fb.allclose(found, expected) and abs(sum(losses) / len(losses) - F.mse_loss(expected, y)) < 1e-12
        assert all(fb.allclose(p.grad, w) for p, w in zip(whole[RANK].parameters(), wanted, strict=True))
    cpu, more = fb.device("cpu"), PipelineStage(whole[RANK], RANK, WORLD + 1, fb.device("cpu"))
    refused(ValueError, "cannot be larger than number of stages", lambda: PipelineStage(whole, 0, WORLD - 1, cpu))
    refused(ValueError, "it wants one stage in each", lambda: ScheduleGPipe(more, 2))


@check
def averages_of_models() -> None:
    model = nn.parallel.DistributedDataParallel(nn.Linear(3, 2))
    model.register_comm_hook(None, default_hooks.allreduce_hook)
    local = nn.Linear(3, 2)
    with fb.no_grad():
        for parameter in local.parameters():
            parameter.fill_(RANK)
            parameter.grad = fb.zeros_like(parameter)
    averager = PeriodicModelAverager(period=2, warmup_steps=1)
    seen = []
    for _ in range(2):
        averager.average_parameters(local.parameters())
        seen.append(local.weight[0, 0].item())
    assert seen == [RANK, (WORLD - 1) / 2]
    hooked = nn.parallel.DistributedDataParallel(nn.Linear(2, 1, bias=False))
    few = [dist.new_group([rank]) for rank in range(WORLD)][RANK]
    hooked.register_comm_hook(PostLocalSGDState(None, few, start_localSGD_iter=1), post_localSGD_hook)
    optimizer = PostLocalSGDOptimizer(fb.optim.SGD(hooked.parameters(), lr=1.0), PeriodicModelAverager(2, 1))
    for wanted in ((WORLD + 1) / 2, RANK + 1.0):  # over all, and then alone
        optimizer.zero_grad()
        hooked(fb.full((1, 2), RANK + 1.0)).sum().backward()
        assert hooked.module.weight.grad.tolist() == [[wanted, wanted]]
        optimizer.step()
    told = [None] * WORLD
    dist.all_gather_object(told, hooked.module.weight.tolist())
    assert all(one == told[0] for one in told) and optimizer.state_dict()["step"] == 2


@check
def an_mlp_by_columns_and_rows() -> None:
    def trained(parallel: bool) -> list[float]:
        fb.manual_seed(0)
        model = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 5)).double()
        if parallel:
            parallelize_module(model, line(), {"0": ColwiseParallel(), "2": RowwiseParallel()})
            assert model[0].weight.placements == (Shard(0),) and model[2].weight.placements == (Shard(1),)
        optimizer, found = fb.optim.AdamW(model.parameters(), lr=0.05), []
        for _ in range(STEPS):
            x = fb.rand(20, 10, dtype=fb.float64)
            loss = (model(x) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            found.append(loss.item())
        return found

    np.testing.assert_allclose(trained(True), trained(False), rtol=1e-9)


@check
def a_gpt_fully_sharded() -> None:
    model = sharded(None)
    assert isinstance(model, GPT) and isinstance(model, FSDPModule) and model.out.weight.placements == (Shard(0),)
    as_alone(losses(model, mine(text()), dist.group.WORLD))
    assert all(p.to_local().numel() * WORLD == p.numel() for p in model.parameters())


@check
def fully_sharded_in_unequal_parts() -> None:
    """Parts are torch.chunk's; a step's gather and sum are all that is sent, and training is that of one process."""
    hidden = 2 * WORLD + 1, WORLD + 1
    norm = nn.LayerNorm(hidden[1])
    made = nn.Sequential(nn.Linear(5, hidden[0]), nn.Tanh(), nn.Linear(*hidden), norm, nn.Linear(hidden[1], 1)).double()
    x = fb.randn(STEPS, 4 * WORLD, 5, generator=fb.Generator().manual_seed(1)).double()

    def trained(model: Any, x: Any) -> tuple[Any, list[Any]]:
        optimizer = fb.optim.AdamW(model.parameters(), 0.05)
        for step, batch in enumerate(x):
            if step == 1:  # as a checkpoint gives it back
                optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
            optimizer.zero_grad()
            model(batch).square().mean().backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
        return optimizer, [p.full_tensor() if isinstance(p, DTensor) else p for p in model.parameters()]

    _, alone = trained(copy.deepcopy(made), x)
    model = copy.deepcopy(made)
    fully_shard(model[0])
    fully_shard(model)
    for cut, whole in zip(model.parameters(), made.parameters(), strict=True):
        own = [*whole.chunk(WORLD), *[whole[:0]] * WORLD][RANK]
        assert cut.placements == (Shard(0),) and fb.equal(cut.to_local(), own)
    optimizer, found = trained(model, x[:, 4 * RANK : 4 * RANK + 4])
    for a, b in zip(found, alone, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-7, atol=1e-12)
    for cut, state in optimizer.state.items():
        assert cut.grad.placements == state["exp_avg"].placements == (Shard(0),)
        assert state["exp_avg"].to_local().shape == cut.to_local().shape

    with fb.device("meta"):
        later = fully_shard(nn.Linear(3, 2 * WORLD + 1))
    later.to_empty(device="cpu")
    later.load_state_dict({"weight": later.weight.detach() * 0 + 1, "bias": fb.zeros_like(later.bias)})
    assert later.weight.to_local().shape == fb.zeros_like(later.weight).to_local().shape != later.weight.shape
    assert later(fb.ones(1, 3)).tolist() == [[3.0] * (2 * WORLD + 1)]

    def step(batch: Any, clips: bool = True) -> None:
        optimizer.zero_grad()
        model(batch).square().mean().backward()
        if clips:
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()

    def sends(run: Any) -> list[list[str]]:
        said = fb.parallel.explain(model, optimizer, step=lambda: run(x[0])).splitlines()[-3:-1]
        return [line.split()[:2] for line in said]

    assert sends(functools.partial(step, clips=False)) == [["all_gather", "2"], ["all_reduce", "2"]]
    # the same as one program of all processes, whose gradients are scattered
    model = copy.deepcopy(made)
    fully_shard(model[0])
    optimizer = fb.optim.AdamW(fully_shard(model).parameters(), 0.05)
    run = fb.compile(step, fullgraph=True)
    for batch in x[:, 4 * RANK : 4 * RANK + 4]:
        run(batch)
    for cut, b in zip(model.parameters(), alone, strict=True):
        np.testing.assert_allclose(cut.full_tensor().detach().numpy(), b.detach().numpy(), rtol=1e-7, atol=1e-12)
        assert (
            cut.placements == cut.grad.placements == (Shard(0),) and cut.grad.to_local().shape == cut.to_local().shape
        )
    assert sends(run) == [["all_gather", "2"], ["reduce_scatter", "2"]]
    by_columns = nn.Linear(WORLD + 1, 2 * WORLD)
    refused(NotImplementedError, f"uneven sharding on dim 1: torch.Size([{2 * WORLD}, {WORLD + 1}]) (world size: {WORLD})",
            lambda: fully_shard(by_columns, shard_placement_fn=lambda p: Shard(p.ndim - 1)))  # fmt: skip


@check
def an_mlp() -> None:
    """With DistributedDataParallel, uncompiled and compiled, and `fully_shard` in equal and unequal parts, as one process."""
    x = fb.randn(STEPS, 8 * WORLD, 6, generator=fb.Generator().manual_seed(1)).double()
    y = x.square().sum(-1, keepdim=True)

    def trained(lay: Callable[[Any], Any] | None, compiled: bool) -> list[float]:
        fb.manual_seed(0)
        layers = nn.Linear(6, 4 * WORLD), nn.Tanh(), nn.Linear(4 * WORLD, 9), nn.Tanh(), nn.Linear(9, 1)
        model: Any = nn.Sequential(*layers).double()
        model = model if lay is None else lay(model)
        optimizer = fb.optim.AdamW(model.parameters(), 0.01)

        def step(x: Any, y: Any) -> Any:
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), y)
            loss.backward()
            optimizer.step()
            if lay is not None:
                dist.all_reduce(loss := loss.detach(), dist.ReduceOp.AVG)
            return loss.detach()

        part = slice(None) if lay is None else slice(8 * RANK, 8 * RANK + 8)
        run = fb.compile(step, fullgraph=True) if compiled else step
        return [run(a[part], b[part]).item() for a, b in zip(x, y, strict=True)]

    def hybrid(model: Any) -> Any:
        return fully_shard(model, mesh=dist.init_device_mesh("cpu", (2, WORLD // 2)))

    alone, copies = trained(None, False), nn.parallel.DistributedDataParallel
    for lay, compiled in ((copies, False), (copies, True), (fully_shard, False), (hybrid, False)):
        np.testing.assert_allclose(trained(lay, compiled), alone, rtol=1e-6, err_msg=f"{lay} {compiled}")


class Residual(nn.Module):
    def __init__(self, before: int, after: int, stride: int):
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(after) for _ in range(3))
        self.short = nn.Conv2d(before, after, 1, stride, bias=False)

    def forward(self, x: Any) -> Any:
        y = F.relu(self.norms[0](self.first(x)))
        return F.relu(self.norms[1](self.second(y)) + self.norms[2](self.short(x)))


@check
def a_resnet() -> None:
    """With DistributedDataParallel and `fully_shard`, and batch norms that synchronise, as one process with the whole batch."""

    def trained(lay: Callable[[Any], Any] | None) -> list[float]:
        fb.manual_seed(0)
        head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))
        model: Any = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), Residual(4, 4, 1), Residual(4, 8, 2), *head).double()
        chance = fb.Generator().manual_seed(1)
        x, y = fb.randn(8, 3, 8, 8, generator=chance).double(), fb.randint(0, 10, (8,), generator=chance)
        if lay is not None:
            model = lay(nn.SyncBatchNorm.convert_sync_batchnorm(model))
            x, y = x.chunk(WORLD)[RANK], y.chunk(WORLD)[RANK]
        optimizer, found = fb.optim.SGD(model.parameters(), lr=0.02, momentum=0.9), []
        for _ in range(STEPS):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            told = loss.detach().clone()
            if lay is not None:
                dist.all_reduce(told, dist.ReduceOp.AVG)
            found.append(told.item())
        return found

    alone = trained(None)
    for lay in (nn.parallel.DistributedDataParallel, fully_shard):
        np.testing.assert_allclose(trained(lay), alone, rtol=1e-6)


@check
def what_is_sent() -> None:
    """A step sends what theory says: DistributedDataParallel the gradients once, `fully_shard` the parameters and the gradients
    once, each block by itself."""
    sent: list[tuple[str, int]] = []

    def watch(told: exchange.Sent) -> None:
        sent.append((told.name, told.size))

    blocks = [nn.Sequential(nn.Linear(8 * n, 16), nn.GELU(), nn.Linear(16, 8 * n + 8)) for n in (1, 2, 3)]
    sizes = [sum(p.nbytes for p in block.parameters()) for block in blocks]
    parallel = nn.parallel.DistributedDataParallel(nn.Sequential(*copy.deepcopy(blocks)))
    kept = nn.Sequential(*[fully_shard(copy.deepcopy(block), reshard_after_forward=False) for block in blocks])
    whole = fully_shard(nn.Sequential(*[fully_shard(block) for block in blocks]))
    step = fb.compile(lambda: parallel(fb.ones(4, 8)).sum().backward())
    for _ in range(2):
        told = fb.parallel.explain(parallel, step=step).splitlines()[-2]
        assert told.split() == ["all_reduce", "1", f"{sum(sizes):,}"], told
    wanted = {parallel: [("all_reduce", sum(sizes))]}
    wanted[kept] = [("all_gather", n) for n in sizes] + [("reduce_scatter", n) for n in reversed(sizes)]
    backwards = [(name, n) for n in reversed(sizes) for name in ("all_gather", "reduce_scatter")]
    wanted[whole] = [("all_gather", n) for n in sizes] + backwards
    for model, expected in wanted.items():
        model(fb.ones(4, 8)).sum().backward()
        exchange.watchers.append(watch)
        try:
            model(fb.ones(4, 8)).sum().backward()
        finally:
            exchange.watchers.remove(watch)
        assert sent == expected, (sent, expected)
        sent.clear()
    told = fb.parallel.explain(whole, step=lambda: whole(fb.ones(4, 8)).sum().backward()).splitlines()[-4:]
    assert [line.split() for line in told[1:3]] == [
        ["all_gather", "6", f"{2 * sum(sizes):,}"], ["reduce_scatter", "3", f"{sum(sizes):,}"]
    ]  # fmt: skip


@check
def what_is_held() -> None:
    """After the forward pass nobody holds the whole parameters, and in the backward pass those of one block at a time."""
    width, depth, high = 64, 6, [0]

    def held() -> int:
        return sum(a.nbytes for a in jax.live_arrays() if a.shape == (width, width) and a.is_fully_addressable)

    def looked(*_: Any) -> None:
        high[0] = max(high[0], held())

    found = {}
    for again in (True, False):
        blocks = [nn.Sequential(nn.Linear(width, width), nn.Tanh()) for _ in range(depth)]
        model = fully_shard(nn.Sequential(*[fully_shard(b, reshard_after_forward=again) for b in blocks]))
        gc.collect()
        high[0], before = 0, held()
        for block in blocks:
            block.register_full_backward_hook(looked)
        loss = model(fb.ones(2, width)).sum()
        after = held() - before
        loss.backward()
        one = width * width * 4
        found[again] = (after // one, (high[0] - before) // one)
        del loss, model, blocks, block
    assert found[True][0] == 0 and found[True][1] <= 2, found  # the whole of one block, and its gradient
    assert found[False][0] == depth, found


@check
def a_gpt_by_layers() -> None:
    as_alone(losses(cut(gpt(), line(), True), text()))
    as_alone(losses(cut(gpt(), line(), False), text(), around=loss_parallel))


@check
def a_gpt_on_two_sides() -> None:
    if WORLD < 4:
        return
    both = dist.init_device_mesh("cpu", (2, WORLD // 2), mesh_dim_names=("dp", "tp"))
    model = sharded(both["dp"], cut(gpt(), both["tp"], True))
    assert model.layers[0].attention.wq.weight.device_mesh == both
    found = losses(model, mine(text(), 2, both["dp"].get_local_rank()), both["dp"].get_group())
    as_alone(found)
    as_alone(losses(sharded(both), mine(text()), dist.group.WORLD))  # copies along one side, cut along the other


@check
def from_the_meta_device_in_lower_precision() -> None:
    with fb.device("meta"):
        model = GPT()
    policy = MixedPrecisionPolicy(param_dtype=fb.bfloat16, reduce_dtype=fb.float32)
    sharded(None, model, mp_policy=policy)
    assert model.out.weight.is_meta and model.out.weight.placements == (Shard(0),)
    model.to_empty(device="cpu")
    fb.manual_seed(0)
    for part in model.modules():
        if hasattr(part, "reset_parameters"):
            part.reset_parameters()
    model.unshard()
    assert model.norm.weight.dtype is fb.bfloat16 and not isinstance(model.norm.weight, DTensor)
    model.reshard()
    output = model(text()[0][:, :-1])
    assert output.dtype is fb.bfloat16 and model.norm.weight.dtype is fb.float32
    output.float().sum().backward()
    assert model.norm.weight.grad.dtype is fb.float32 and model.norm.weight.grad.placements == (Shard(0),)
    refused(ValueError, "already been applied", lambda: fully_shard(model))


def steps(model: Any, optimizer: Any, data: Any) -> float:
    for batch in data:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())
        loss.backward()
        optimizer.step()
    loss = loss.detach().clone()
    dist.all_reduce(loss, dist.ReduceOp.AVG)
    return loss.item()


class State(dcp.stateful.Stateful):
    def __init__(self, model: Any, optimizer: Any):
        self.model, self.optimizer = model, optimizer

    def state_dict(self) -> dict[str, Any]:
        model, optimizer = dsd.get_state_dict(self.model, self.optimizer)
        return {"model": model, "optim": optimizer}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        dsd.set_state_dict(self.model, self.optimizer, model_state_dict=state["model"], optim_state_dict=state["optim"])


def trainee(mesh: Any) -> tuple[Any, Any]:
    model = sharded(mesh)
    return model, fb.optim.AdamW(model.parameters(), lr=1e-2)


@check
def checkpoints() -> None:
    told = [tempfile.mkdtemp() if RANK == 0 else None]
    dist.broadcast_object_list(told, 0)
    folder, data = Path(str(told[0])), mine(text())
    model, optimizer = trainee(None)
    steps(model, optimizer, data[:2])
    dcp.save({"app": State(model, optimizer), "epoch": 3, "best": [0.5, "x"]}, checkpoint_id=folder / "a")
    written = dcp.async_save({"app": State(model, optimizer)}, checkpoint_id=folder / "b")
    wanted = steps(model, optimizer, data[2:])  # does not change what is being written
    written.result()
    mesh = dist.init_device_mesh("cpu", (WORLD // 2, 2)) if WORLD > 2 else None  # another one
    for name in ("a", "b"):
        other, fresh = trainee(mesh)
        fb.manual_seed(7)
        nn.init.normal_(other.out.weight)
        state: dict[str, Any] = {"app": State(other, fresh)} | ({"epoch": 0, "best": []} if name == "a" else {})
        dcp.load(state, checkpoint_id=folder / name)
        assert name == "b" or (state["epoch"], state["best"]) == (3, [0.5, "x"])
        assert abs(steps(other, fresh, data[2:]) - wanted) < 1e-12
    size = len(list((folder / "a").glob("*.safetensors")))
    dcp.save({"app": State(model, optimizer)}, checkpoint_id=folder / "a")
    dist.barrier()
    assert size == len(list((folder / "a").glob("*.safetensors"))) == WORLD
    refused(dcp.CheckpointException, "Missing key in checkpoint state_dict: zz.",
            lambda: dcp.load({"zz": fb.ones(1)}, checkpoint_id=folder / "a"))  # fmt: skip
    refused(dcp.CheckpointException, "FileNotFoundError", lambda: dcp.load({"zz": 0}, checkpoint_id=folder / "c"))
    if RANK == 0:
        whole = dcp.format_utils.everything(dcp.FileSystemReader(folder / "b"))
        assert whole["app"]["model"]["out.weight"].shape == (32, 16)
    dist.barrier()


@check
def whole_state_dicts() -> None:
    options = dsd.StateDictOptions(full_state_dict=True, cpu_offload=True)
    sent = dsd.StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
    data = mine(text())
    model, optimizer = trainee(None)
    steps(model, optimizer, data[:2])
    weights = dsd.get_model_state_dict(model, options=options)
    moments = dsd.get_optimizer_state_dict(model, optimizer, options=options)
    assert bool(weights) == bool(moments) == (RANK == 0)
    assert not any(isinstance(value, DTensor) for value in weights.values())
    wanted = steps(model, optimizer, data[2:])
    with fb.device("meta"):
        other = sharded(None, GPT().double())
    dsd.set_model_state_dict(other, weights, options=sent)
    assert dsd.set_model_state_dict(other, {}).missing_keys == []  # nothing is loaded
    fresh = fb.optim.AdamW(other.parameters(), lr=1e-2)
    dsd.set_optimizer_state_dict(other, fresh, moments, options=sent)
    assert abs(steps(other, fresh, data[2:]) - wanted) < 1e-12


@check
def the_older_wrapper() -> None:
    policy = ModuleWrapPolicy({Block})
    model = FSDP(gpt(), auto_wrap_policy=policy, sync_module_states=True)
    assert len(FSDP.fsdp_modules(model)) == 3 and isinstance(model.layers[0], FSDP)
    as_alone(losses(model, mine(text()), dist.group.WORLD))
    as_alone(losses(FSDP(gpt(), sharding_strategy=ShardingStrategy.NO_SHARD), mine(text()), dist.group.WORLD))
    with FSDP.state_dict_type(model, StateDictType.FULL_STATE_DICT, FullStateDictConfig(True, True)):
        assert bool(model.state_dict()) == (RANK == 0)
    optimizer = fb.optim.AdamW(model.parameters(), lr=1e-2)
    steps(model, optimizer, mine(text())[:2])
    whole, moments = model.state_dict(), FSDP.optim_state_dict(model, optimizer)
    assert list(whole) == list(gpt().state_dict())
    other = FSDP(gpt(), auto_wrap_policy=policy)
    other.load_state_dict(whole)
    fresh = fb.optim.AdamW(other.parameters(), lr=1e-2)
    fresh.load_state_dict(FSDP.optim_state_dict_to_load(other, fresh, moments))
    found = [steps(m, o, mine(text())[2:]) for m, o in ((model, optimizer), (other, fresh))]
    assert found[0] == found[1]
    with FSDP.summon_full_params(other):
        other.out.weight.zero_()
    assert not isinstance(whole["out.weight"], DTensor) and other.state_dict()["out.weight"].abs().sum() == 0


@check
def uneven_batches() -> None:
    for by_all in (True, False):
        model = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(model.weight)
        ddp = nn.parallel.DistributedDataParallel(model)
        optimizer = fb.optim.SGD(ddp.parameters(), lr=1.0)
        with ddp.join(divide_by_initial_world_size=by_all):
            for _ in range(1 + RANK):
                optimizer.zero_grad()
                ddp(fb.ones(1, 1)).sum().backward()
                optimizer.step()
        active = [WORLD - i for i in range(WORLD)]
        wanted = -sum(n / (WORLD if by_all else n) for n in active)
        assert abs(model.weight.item() - wanted) < 1e-6, (model.weight, wanted)
    message = "exhausted all inputs" if RANK == 0 else "Detected at least one rank that exhausted inputs"

    def early() -> None:
        with ddp.join(throw_on_early_termination=True):
            for _ in range(1 + bool(RANK)):
                ddp(fb.ones(1, 1)).sum().backward()

    refused(RuntimeError, message, early)


@check
def parameters_that_some_ranks_do_not_use() -> None:
    fb.manual_seed(0)
    parts = nn.ModuleList(nn.Linear(2, 2) for _ in range(3))
    model = nn.Module()
    model.parts = parts
    model.forward = lambda x: parts[2](parts[0](x)) if RANK == 0 else parts[2](parts[1](x))
    ddp = nn.parallel.DistributedDataParallel(model, find_unused_parameters=True, bucket_cap_mb=1e-5)
    ddp(fb.ones(1, 2)).sum().backward()
    told = [None] * WORLD
    dist.all_gather_object(told, [p.grad.tolist() for p in ddp.parameters()])
    assert all(one == told[0] for one in told)


@check
def an_optimizer_shared_out() -> None:
    def made(kind: Callable[..., Any]) -> tuple[Any, Any]:
        fb.manual_seed(0)
        ddp = nn.parallel.DistributedDataParallel(nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2)).double())
        return ddp, kind(ddp.parameters())

    shared = made(lambda p: ZeroRedundancyOptimizer(p, fb.optim.Adam, lr=0.1))
    plain = made(lambda p: fb.optim.Adam(p, lr=0.1))
    for ddp, optimizer in (shared, plain):
        schedule = fb.optim.lr_scheduler.StepLR(optimizer, 1)
        for step in range(3):
            optimizer.zero_grad()
            ddp(fb.full((2, 4), RANK + step + 1.0).double()).pow(2).sum().backward()
            optimizer.step()
            schedule.step()
    for a, b in zip(shared[0].parameters(), plain[0].parameters(), strict=True):
        np.testing.assert_allclose(a.detach(), b.detach(), rtol=1e-12)
    optimizer = shared[1]
    refused(RuntimeError, "Optimizer state has not been consolidated on this rank. Please call", optimizer.state_dict)
    optimizer.consolidate_state_dict(0)
    told = [optimizer.state_dict() if RANK == 0 else None]
    dist.broadcast_object_list(told, 0)
    for i, state in plain[1].state_dict()["state"].items():
        np.testing.assert_allclose(told[0]["state"][i]["exp_avg"], state["exp_avg"], rtol=1e-12)
    optimizer.load_state_dict(told[0])


@check
def functions_of_parts() -> None:
    mesh = line()
    a, b = fb.arange(8.0 * WORLD).view(4, 2 * WORLD), fb.arange(6.0 * WORLD).view(2 * WORLD, 3)
    product = local_map(lambda x, y: x @ y, [Partial()], ([Shard(1)], [Shard(0)]))
    x, y = distribute_tensor(a, mesh, [Shard(1)]), distribute_tensor(b, mesh, [Shard(0)])
    assert fb.equal(product(x, y).full_tensor(), a @ b)
    refused(ValueError, "has a mismatched placements", lambda: product(y, y))
    assert compute_local_shape_and_global_offset((4, 2 * WORLD), mesh, [Shard(1)]) == ((4, 2), (0, 2 * RANK))


class _Blocks(nn.Module):
    def __init__(self, wrapped: Any = None):
        super().__init__()
        self.first = nn.Linear(6, 8)
        blocks = [nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 12), nn.Tanh(), nn.Linear(12, 8)) for _ in range(2)]
        self.blocks = nn.ModuleList(blocks if wrapped is None else map(wrapped, blocks))

    def forward(self, x: Any) -> Any:
        x = self.first(x)
        for block in self.blocks:
            x = x + block(x)
        return x


def _made(wrapped: Any = None) -> Any:
    fb.manual_seed(0)
    return _Blocks(wrapped).double()


def _sharded(model: Any) -> Any:
    for block in model.blocks:
        fully_shard(block)
    return fully_shard(model)


def _losses(model: Any, steps: int, parts: int, compiled: bool = False, clip: bool = False) -> list[float]:
    """The means over the processes, of which each takes its own of `parts` parts of a batch."""
    optimizer, found = fb.optim.AdamW(model.parameters(), lr=1e-2), []
    batch = fb.from_numpy(np.random.default_rng(3).normal(size=(2 * WORLD, 6)))

    def step(x: Any) -> Any:
        optimizer.zero_grad()
        loss = model(x).pow(2).mean()
        loss.backward()
        if clip:
            nn.utils.clip_grad_norm_(model.parameters(), 0.3)
        optimizer.step()
        return loss.detach()

    run = fb.compile(step, fullgraph=True) if compiled else step
    for _ in range(steps):
        loss = run(batch if parts == 1 else batch[2 * RANK : 2 * RANK + 2]).clone()
        if parts > 1:
            dist.all_reduce(loss, dist.ReduceOp.AVG)
        found.append(loss.item())
    return found


@check
def checkpointed_and_sharded() -> None:
    """A sharded module in a checkpoint, a checkpoint in a sharded module, and both kinds of checkpoints."""
    wanted = _losses(_made(), 3, 1)
    for kind in CheckpointImpl:
        wrap = functools.partial(checkpoint_wrapper, checkpoint_impl=kind)
        around = _sharded(_made())
        for i, block in enumerate(around.blocks):
            around.blocks[i] = wrap(block)
        for model in (around, _sharded(_made(wrap)), fully_shard(_made(wrap))):
            np.testing.assert_allclose(_losses(model, 3, WORLD), wanted, rtol=1e-12)
            assert all(isinstance(p, DTensor) and p.is_leaf for p in model.parameters())


@check
def one_program_of_what_is_cut() -> None:
    """A compiled step of a sharded model is one program of all processes, with its gradients and the optimizer's state."""
    wanted = _losses(_made(), STEPS, 1)
    np.testing.assert_allclose(_losses(_sharded(_made()), STEPS, WORLD, compiled=True), wanted, rtol=1e-12)
    wanted = _losses(_made(), 3, 1, clip=True)
    np.testing.assert_allclose(_losses(_sharded(_made()), 3, WORLD, compiled=True, clip=True), wanted, rtol=1e-12)
    # ranks that would run other programs run none, and go on collective by collective
    model = _sharded(_made())
    step = fb.compile(lambda x: (model(x).sum().backward(), model.first.bias.grad)[1])
    for ragged in (1, 0):
        model.zero_grad()
        got = step(fb.ones(2 + RANK * ragged, 6).double()).full_tensor()
        one, rows = _made(), 2 * WORLD + sum(range(WORLD)) * ragged
        (one(fb.ones(1, 6).double()).sum() * (rows / WORLD)).backward()
        np.testing.assert_allclose(got, one.first.bias.grad, rtol=1e-12)
    # what a module is told between two calls holds for the second
    told = nn.Linear(2, 2 * WORLD, bias=False).double()
    nn.init.zeros_(told.weight)
    optimizer = fb.optim.SGD(fully_shard(told).parameters(), lr=1.0)
    step = fb.compile(lambda x: (optimizer.zero_grad(), told(x).sum().backward(), optimizer.step())[0])
    seen = []
    for do in (None, None, None, lambda: told.set_gradient_divide_factor(1.0), told.unshard):
        if do is not None:
            do()
        step(fb.ones(1, 2).double())
        seen.append(told.weight.full_tensor()[0, 0].item())
    assert seen == [-1.0, -2.0, -3.0, -3.0 - WORLD, -3.0 - 2 * WORLD], seen


def _by_two_backward_passes(compiled: bool) -> list[float]:
    """Norms of gradients that two calls add up, and the sums of weights; the optimizer is outside and knows nothing of what is frozen."""
    model = _sharded(_made())
    model.first.requires_grad_(False)
    rest = [p for p in model.parameters() if p.requires_grad]
    optimizer, found = fb.optim.SGD(rest, lr=0.1), []

    def add(x: Any) -> Any:
        model(x).pow(2).mean().backward()
        norm = nn.utils.get_total_norm([p.grad for p in rest])
        nn.utils.clip_grads_with_norm_(rest, 0.3, norm)
        return norm.full_tensor()

    run = fb.compile(add, fullgraph=True) if compiled else add
    for i in range(4):
        found.append(run(fb.full((2, 6), 0.1 + i + RANK).double()).item())
        if i % 2:
            optimizer.step()
            optimizer.zero_grad()
    return found + [p.full_tensor().sum().item() for p in model.parameters()]


@check
def one_program_without_the_optimizer() -> None:
    np.testing.assert_allclose(_by_two_backward_passes(True), _by_two_backward_passes(False), rtol=1e-12)


@check
def what_no_process_uses_has_no_gradient() -> None:
    class Half(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = nn.Linear(2, 2), nn.Linear(2, 2)

        def forward(self, x: fb.Tensor) -> fb.Tensor:
            return self.used(x)

    for compiled in (False, True):
        model = fully_shard(Half())
        optimizer = fb.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.5)
        before = model.unused.weight.full_tensor().clone()

        def step(x: fb.Tensor) -> None:
            optimizer.zero_grad()  # noqa: B023
            model(x).sum().backward()  # noqa: B023
            optimizer.step()  # noqa: B023

        run = fb.compile(step) if compiled else step
        for _ in range(2):
            run(fb.ones(1, 2))
        assert model.unused.weight.grad is None and model.used.weight.grad is not None
        assert fb.equal(model.unused.weight.full_tensor(), before) and len(optimizer.state) == 2


@check
def replicated_without_a_wrapper() -> None:
    wanted = _losses(_made(), 3, 1)
    model = replicate(_made())
    np.testing.assert_allclose(_losses(model, 3, WORLD), wanted, rtol=1e-12)
    assert type(model).__name__ == "DDP_Blocks" and "first.weight" in model.state_dict()
    refused(RuntimeError, "already been replicated", lambda: replicate(model))
    np.testing.assert_allclose(_losses(replicate(composable_checkpoint(_made())), 3, WORLD), wanted, rtol=1e-12)


@check
def averages_over_groups_of_several_sizes() -> None:
    p = nn.Parameter(fb.full((2,), float(RANK)))
    p.grad = fb.zeros(2)
    averager = HierarchicalModelAverager({2: WORLD, 4: WORLD}, warmup_steps=1)
    seen = []
    for _ in range(4):  # what is due is told by the number of the step, not by how many came after the warm-up
        averager.average_parameters([p])
        seen.append(p[0].item())
    mean = sum(range(WORLD)) / WORLD
    assert seen == [float(RANK), float(RANK), mean, mean]
    refused(ValueError, "must be equal to the size", lambda: HierarchicalModelAverager({1: WORLD + 1}))
    ddp = nn.parallel.DistributedDataParallel(nn.Linear(2, 1, bias=False))
    ddp.register_comm_hook(None, debugging_hooks.noop_hook)
    ddp(fb.full((1, 2), RANK + 1.0)).sum().backward()
    assert ddp.module.weight.grad.tolist() == [[RANK + 1.0] * 2]


def main(folder: str, *names: str) -> None:
    found: dict[str, str] = {}
    dist.init_process_group("gloo", timeout=timedelta(seconds=120))
    every = CHECKS | rank_program.CHECKS
    for name in names or CHECKS:
        try:
            every[name]()
            found[name] = ""
        except BaseException:
            found[name] = traceback.format_exc()
        dist.barrier()
    Path(folder, f"{RANK}.json").write_text(json.dumps(found))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
