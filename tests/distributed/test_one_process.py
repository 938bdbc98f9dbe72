"""A group of one process: results and refusals as PyTorch's with gloo and a world of one."""

from __future__ import annotations

import importlib
import inspect
import itertools
import os
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import torch
import torch.distributed

import flambeau as fb
import flambeau.distributed
from flambeau.distributed.pipelining.schedules import get_schedule_class
from flambeau.distributed.tensor.by_parts import _is_elementwise

BOTH = (torch, fb)


@pytest.fixture(autouse=True)
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    yield
    for t in BOTH:
        if t.distributed.is_initialized():
            t.distributed.destroy_process_group()


def begin(t: Any) -> Any:
    t.distributed.init_process_group("gloo", rank=0, world_size=1, store=t.distributed.HashStore())
    return t.distributed


def told(function: Callable[[], Any]) -> Any:
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            made = shown(function())
        return made, [str(w.message) for w in warned if w.category is FutureWarning]
    except Exception as error:
        return type(error).__name__, str(error).replace("flambeau", "torch").split("<class")[0]


def shown(value: Any) -> Any:
    if isinstance(value, (torch.Tensor, fb.Tensor)):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return [shown(v) for v in value]
    return str(value) if isinstance(value, (str, bytes)) else value


def into(made: Any, call: Callable[[Any], Any]) -> Any:
    return call(made), made


CASES: dict[str, Callable[[Any, Any, Any], Any]] = {
    "ranks": lambda t, d, x: (
        d.get_rank(),
        d.get_world_size(),
        d.get_backend(),
        d.get_process_group_ranks(d.group.WORLD),
    ),
    **{
        f"all_reduce {op}": lambda t, d, x, op=op: into(x, lambda m: d.all_reduce(m, op=getattr(d.ReduceOp, op)))
        for op in ("SUM", "AVG", "PRODUCT", "MIN", "MAX", "BAND")
    },
    "all_reduce of integers": lambda t, d, x: into(x.long(), lambda m: d.all_reduce(m, op=d.ReduceOp.BOR)),
    "all_reduce of a number": lambda t, d, x: d.all_reduce(3),
    "work": lambda t, d, x: (w := d.all_reduce(x, async_op=True)).wait() and (w.is_completed(), w.get_future().wait()),
    "broadcast": lambda t, d, x: into(x, lambda m: d.broadcast(m, 0)),
    "broadcast from nobody": lambda t, d, x: d.broadcast(x, 1),
    "all_gather": lambda t, d, x: into([t.zeros(3)], lambda m: d.all_gather(m, x)),
    "all_gather into two": lambda t, d, x: d.all_gather([t.zeros(3), t.zeros(3)], x),
    "all_gather into another size": lambda t, d, x: d.all_gather([t.zeros(2)], x),
    "all_gather_into_tensor": lambda t, d, x: into(t.zeros(3), lambda m: d.all_gather_into_tensor(m, x)),
    "gather": lambda t, d, x: into([t.zeros(3)], lambda m: d.gather(x, m, 0)),
    "gather into nothing": lambda t, d, x: d.gather(x, None, 0),
    "scatter": lambda t, d, x: into(t.zeros(3), lambda m: d.scatter(m, [x + 1], 0)),
    "scatter of nothing": lambda t, d, x: d.scatter(x, None, 0),
    "reduce": lambda t, d, x: into(x, lambda m: d.reduce(m, 0)),
    "reduce_scatter": lambda t, d, x: into(t.zeros(3), lambda m: d.reduce_scatter(m, [x])),
    "reduce_scatter_tensor": lambda t, d, x: into(t.zeros(3), lambda m: d.reduce_scatter_tensor(m, x * 2)),
    "all_to_all": lambda t, d, x: into([t.zeros(3)], lambda m: d.all_to_all(m, [x])),
    "all_to_all_single": lambda t, d, x: into(t.zeros(3), lambda m: d.all_to_all_single(m, x * 3)),
    "send to itself": lambda t, d, x: d.send(x, 0),
    "all_gather_object": lambda t, d, x: into([None], lambda m: d.all_gather_object(m, {"a": 1})),
    "broadcast_object_list": lambda t, d, x: into(["z"], lambda m: d.broadcast_object_list(m, 0)),
    "gather_object": lambda t, d, x: into([None], lambda m: d.gather_object("q", m, 0)),
    "scatter_object_list": lambda t, d, x: into([None], lambda m: d.scatter_object_list(m, ["k"], 0)),
    "barrier": lambda t, d, x: (d.barrier(), d.monitored_barrier()),
    "a new group": lambda t, d, x: (g := d.new_group([0])) and (g.size(), g.rank(), g.name(), d.get_group_rank(g, 0)),
    "a group of two": lambda t, d, x: d.new_group([0, 1]),
    "a rank twice": lambda t, d, x: d.new_group([0, 0]),
    "twice": lambda t, d, x: d.init_process_group("gloo", rank=0, world_size=1, store=d.HashStore()),
    "names": lambda t, d, x: (str(d.ReduceOp.SUM), repr(d.ReduceOp.MAX), d.Backend("GLOO"), d.Backend.NCCL),
    "what DDP knows": lambda t, d, x: [
        t.nn.parallel.DistributedDataParallel(t.nn.Linear(2, 2), **options)._get_ddp_logging_data()[key]
        for options in ({}, {"find_unused_parameters": True, "bucket_cap_mb": 1})
        for key in "backend_name module_name broadcast_buffers bucket_cap_bytes find_unused_parameters num_parameter_tensors rank".split()
    ],
    "backends' devices": lambda t, d, x: (
        d.Backend.backend_capability,
        [d.Backend.default_device_backend_map[kind] for kind in ("cpu", "cuda", "xpu", "mps")],
    ),
    "destroyed": lambda t, d, x: (d.destroy_process_group(), d.is_initialized()),
    "destroyed twice": lambda t, d, x: (d.destroy_process_group(), d.destroy_process_group()),
}


@pytest.mark.parametrize("name", CASES)
def test_as_pytorch(name: str) -> None:
    results = [told(lambda t=t: CASES[name](t, begin(t), t.arange(3.0))) for t in BOTH]
    assert results[0] == results[1]


BEFORE: dict[str, Callable[[Any, Any], Any]] = {
    "rank": lambda t, d: d.get_rank(),
    "all_reduce": lambda t, d: d.all_reduce(t.ones(2)),
    "available": lambda t, d: (
        d.is_available(),
        d.is_initialized(),
        d.is_nccl_available(),
        d.is_torchelastic_launched(),
    ),
    "without a rank": lambda t, d: d.init_process_group("gloo"),
    "an unknown backend": lambda t, d: d.init_process_group("foo", rank=0, world_size=1, store=d.HashStore()),
    "a file": lambda t, d: d.init_process_group(
        "gloo", init_method="file://" + tempfile.mktemp(), rank=0, world_size=1
    ),
    "an unknown scheme": lambda t, d: d.init_process_group("gloo", init_method="foo://x"),
    "no path": lambda t, d: d.init_process_group("gloo", init_method="file://", rank=0, world_size=2),
    "no port": lambda t, d: d.init_process_group("gloo", init_method="tcp://h", rank=0, world_size=2),
    "no rank for an address": lambda t, d: d.init_process_group("gloo", init_method="tcp://h:1"),
    "a store without a size": lambda t, d: d.init_process_group("gloo", rank=0, store=d.HashStore()),
    "a store without a rank": lambda t, d: d.init_process_group("gloo", world_size=2, store=d.HashStore()),
    "destroy": lambda t, d: d.destroy_process_group(),
    "ddp": lambda t, d: t.nn.parallel.DistributedDataParallel(t.nn.Linear(2, 2)),
}


@pytest.mark.parametrize("name", BEFORE)
def test_before_there_is_a_group(name: str) -> None:
    results = [told(lambda t=t: BEFORE[name](t, t.distributed)) for t in BOTH]
    assert results[0] == results[1]


def test_the_environment_of_a_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "0"}.items():
        monkeypatch.setenv(name, value)
    fb.distributed.init_process_group("gloo")
    assert fb.distributed.get_world_size() == 1 and os.environ["RANK"] == "0"


def test_a_store_of_one_process_is_refused_for_two() -> None:
    with pytest.raises(ValueError, match="a HashStore is seen by one process only"):
        fb.distributed.init_process_group("gloo", rank=0, world_size=2, store=fb.distributed.HashStore())
    assert not fb.distributed.is_initialized()


def test_stores(tmp_path: Path) -> None:
    file = itertools.count()
    makers = (
        lambda d: d.HashStore(),
        lambda d: d.PrefixStore("p", d.HashStore()),
        lambda d: d.FileStore(str(tmp_path / f"{next(file)}"), 1),
        lambda d: d.TCPStore("localhost", 0, 1, True),
    )
    for make in makers:
        found = []
        for t in BOTH:
            store = make(t.distributed)
            store.set("a", "1")
            found.append(
                [store.get("a"), store.add("n", 2), store.add("n", 3), store.get("n"), store.check(["a"]), store.check(["b"]),
                 store.delete_key("a"), store.compare_set("k", "", "v"), store.compare_set("k", "v", "w"), store.get("k"),
                 store.append("k", "x"), store.get("k"), store.multi_set(["r", "s"], ["1", "2"]), store.multi_get(["s", "r"]),
                 told(lambda store=store: store.wait(["never"], timedelta(milliseconds=20)))[0]]
            )  # fmt: skip
        assert found[0] == found[1]


def other_client(d: Any, store: Any) -> Any:
    """A second connection to a store's server: PyTorch's first one is taken while it waits, and its pushes wait with it."""
    if isinstance(store, d.PrefixStore):
        below = store.underlying_store
        return store if (other := other_client(d, below)) is below else d.PrefixStore("p", other)
    return d.TCPStore("localhost", store.port, 1, False) if isinstance(store, d.TCPStore) else store


def test_queues_of_stores(tmp_path: Path) -> None:
    file = itertools.count()
    makers = (
        lambda d: d.HashStore(),
        lambda d: d.PrefixStore("p", d.PrefixStore("q", d.HashStore())),
        lambda d: d.TCPStore("localhost", 0, 1, True),
        lambda d: d.PrefixStore("p", d.TCPStore("localhost", 0, 1, True)),
    )
    for make in makers:
        found = []
        for t in BOTH:
            store = make(t.distributed)
            store.set("a", "1")
            found.append(
                [store.queue_len("q"), store.queue_push("q", b"1"), store.queue_push("q", "two"), store.queue_len("q"),
                 store.check(["q"]), store.queue_pop("q"), store.queue_pop("q", block=False), store.check(["q"]),
                 told(lambda store=store: store.queue_pop("q", False)), store.list_keys()]
            )  # fmt: skip
            with ThreadPoolExecutor(1) as pool:  # it waits for what comes later
                later = pool.submit(store.queue_pop, "q")
                other_client(t.distributed, store).queue_push("q", b"late")
                found[-1].append(later.result(60))
        assert found[0] == found[1]
    refused = [
        told(lambda t=t: t.distributed.FileStore(str(tmp_path / f"{next(file)}"), 1).queue_push("q", "1")) for t in BOTH
    ]
    assert refused[0] == refused[1] and refused[0][0] == "NotImplementedError"


def test_a_module_in_its_wrapper() -> None:
    found = []
    for t in BOTH:
        begin(t)
        t.manual_seed(0)
        model = t.nn.parallel.DistributedDataParallel(t.nn.Linear(2, 2))
        model(t.ones(1, 2)).sum().backward()
        with model.no_sync():
            model(t.ones(1, 2)).sum().backward()
        found.append((repr(model), list(model.state_dict()), model.module.weight.grad.tolist()))
        assert "not needed" in told(lambda t=t: t.nn.parallel.DistributedDataParallel(t.nn.ReLU()))[1]
    assert found[0] == found[1]


def test_the_wrapper_takes_torchs_options() -> None:
    ours, theirs = (inspect.signature(t.nn.parallel.DistributedDataParallel).parameters for t in (fb, torch))
    assert [(n, p.default) for n, p in ours.items()] == [(n, p.default) for n, p in theirs.items()]
    begin(fb)
    with pytest.raises(NotImplementedError, match="mixed_precision"):
        fb.nn.parallel.DistributedDataParallel(fb.nn.Linear(2, 2), mixed_precision=object())


def test_state_dicts_without_the_wrapper() -> None:
    """A checkpoint of a wrapped model has the names of the model."""
    begin(fb)
    helpers = fb.distributed.checkpoint.state_dict
    inner = fb.nn.Sequential(fb.nn.Linear(2, 1))
    model = fb.nn.Sequential(fb.nn.parallel.DistributedDataParallel(inner))
    optimizer = fb.optim.AdamW(model.parameters())
    model(fb.ones(1, 2)).sum().backward()
    optimizer.step()
    weights, state = helpers.get_state_dict(model, optimizer)
    names = ["0.0.weight", "0.0.bias"]
    assert list(weights) == list(state["state"]) == state["param_groups"][0]["params"] == names
    before = inner[0].weight.detach().clone()
    fb.nn.init.zeros_(inner[0].weight)
    helpers.set_state_dict(model, optimizer, model_state_dict={**weights, names[0]: before}, optim_state_dict=state)
    assert fb.equal(inner[0].weight, before)


def _held_by_a_checkpoint_wrapper(torch, wrapper):
    torch.manual_seed(0)
    inner = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
    held = wrapper(inner)
    found = [list(held.state_dict()), [n for n, _ in held.named_parameters()], str(held[0]), held[0].in_features]
    held.load_state_dict({key: value * 2 for key, value in held.state_dict().items()})
    held(torch.ones(2, 3)).sum().backward()
    outer = torch.nn.Sequential(held, torch.nn.ReLU())
    outer.load_state_dict(outer.state_dict())
    return [*found, list(outer.state_dict()), [round(p.grad.sum().item(), 4) for p in held.parameters()]]


def test_a_wrapper_shows_the_names_of_what_it_holds():
    from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper as theirs

    from flambeau.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper as ours

    assert _held_by_a_checkpoint_wrapper(fb, ours) == _held_by_a_checkpoint_wrapper(torch, theirs)


def test_a_compiled_function_asks_for_the_group_that_is_there() -> None:
    def told(x: fb.Tensor) -> fb.Tensor:
        if not fb.distributed.is_initialized():
            return x
        fb.distributed.all_reduce(x := x + 1)
        return x * 10 ** len(fb.distributed.get_backend())

    run, found = fb.compile(told), []
    for _ in range(2):
        found.append(run(fb.zeros(1)).item())
        begin(fb)
        found.append(run(fb.zeros(1)).item())
        fb.distributed.destroy_process_group()
    assert found == [0, 10**4, 0, 10**4]


def test_what_a_mesh_of_one_device_gives_back_is_plain() -> None:
    d = fb.distributed
    d.init_process_group("gloo", rank=0, world_size=1, store=d.HashStore())
    try:
        mesh = d.init_device_mesh("cpu", (1,))
        x = d.tensor.distribute_tensor(fb.arange(4.0), mesh, [d.tensor.Shard(0)]).requires_grad_()
        whole = x.full_tensor()
        for plain in (
            whole,
            whole * 2,
            x.detach().to_local(),
            x.detach().redistribute(placements=[d.tensor.Replicate()]).to_local(),
        ):
            assert not isinstance(plain, d.tensor.DTensor)
        whole.square().sum().backward()
        assert isinstance(x.grad, d.tensor.DTensor) and x.grad.full_tensor().tolist() == [0, 2, 4, 6]
    finally:
        d.destroy_process_group()


def test_a_store_is_written_at_each_call() -> None:
    store = fb.distributed.PrefixStore("a", fb.distributed.HashStore())
    run = fb.compile(lambda x: x + store.add("n", 1))
    with pytest.warns(UserWarning, match=r"PrefixStore\.add: do that outside"):
        assert [run(fb.zeros(1)).item() for _ in range(3)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("name", "each", "n"),
    [("InterleavedZeroBubble", 2, 8), ("InterleavedZeroBubble", 1, 3), ("ZBVZeroBubble", 2, 9), ("ZBVZeroBubble", 2, 3), ("DualPipeV", 2, 11)],
)  # fmt: skip
def test_orders_of_pipelines_in_halves(name: str, each: int, n: int) -> None:
    """Every process does what PyTorch's does, in that order."""
    schedules = pytest.importorskip("torch.distributed.pipelining.schedules")
    fakes, size = importlib.import_module("torch.testing._internal.distributed.fake_pg"), 4
    ours: Any = get_schedule_class(name)
    numbers = [0, 2 * size - 1] if "V" in name else list(range(0, size * each, size))
    torch.distributed.init_process_group("fake", rank=0, world_size=size, store=fakes.FakeStore())
    try:
        stages = [schedules.PipelineStage(torch.nn.Identity(), i, size * each, torch.device("cpu")) for i in numbers]
        wanted = schedules.get_schedule_class(name)(stages, n, loss_fn=torch.nn.functional.mse_loss).pipeline_order
    finally:
        torch.distributed.destroy_process_group()
    for rank in range(size):
        made = ours.__new__(ours)
        made.rank, made.pp_group_size, made.n_local_stages, made._n = rank, size, each, n
        made.number_of_rounds = max(1, n // size)
        made.microbatches_per_round = n // made.number_of_rounds
        own = [rank, 2 * size - 1 - rank] if "V" in name else list(range(rank, size * each, size))
        text = " ".join(f"{own[which]}{what}{number}" for what, which, number in made._order())
        theirs = " ".join(str(one) for one in wanted[rank] if one is not None)
        assert text == re.sub(r"\((\w+);(\w+)\)OVERLAP_F_B", r"\1 \2", theirs)


def hooked(t: Any, hook: Any) -> Any:
    dist = begin(t)
    try:
        model = t.nn.parallel.DistributedDataParallel(t.nn.Linear(2, 1, bias=False))
        model.register_comm_hook(None, hook(t))
        model(t.ones(1, 2)).sum().backward()
        return model.module.weight.grad, model.device_type, model.is_multi_device_module
    finally:
        dist.destroy_process_group()


def tripled(t: Any) -> Any:
    def hook(state: Any, bucket: t.distributed.GradBucket) -> t.futures.Future[t.Tensor]:
        made = t.futures.Future()
        made.set_result(bucket.buffer() * 3)
        return made

    hook.__annotations__ = {"bucket": t.distributed.GradBucket, "return": t.futures.Future[t.Tensor]}
    return hook


def annotated(**kinds: Any) -> Any:
    def made(t: Any) -> Any:
        hook = tripled(t)
        hook.__annotations__ = kinds
        return hook

    return made


_NOT = "Communication hook"
SUMS = ([[[3.0, 3.0]], "cpu", False], [])


# PyTorch's answers as it gave them: its group, torn down in a process that goes on, may wait for the interpreter for ever
@pytest.mark.parametrize(
    ("hook", "answer"),
    [
        (tripled, SUMS),
        (annotated(), SUMS),
        (annotated(bucket=int), ("ValueError", f"{_NOT}: bucket annotation should be dist.GradBucket.")),
        (
            annotated(**{"return": int}),
            ("ValueError", f"{_NOT}: return annotation should be torch.futures.Future[torch.Tensor]."),
        ),
        (lambda t: 3, ("TypeError", f"{_NOT} must be callable.")),
    ],
)
def test_hooks_of_one_process_are_called_and_their_annotations_looked_at(hook: Any, answer: Any) -> None:
    assert told(lambda: hooked(fb, hook)) == answer


def test_a_hook_gives_a_future() -> None:
    with pytest.raises(RuntimeError, match=r"must return a .*Future object, but got builtins.int"):
        hooked(fb, lambda t: lambda state, bucket: 3)


def leaf(t: Any, kind: str = "float32") -> Any:
    return t.ones(2, dtype=getattr(t, kind), requires_grad=True)


@pytest.mark.parametrize(
    "params",
    [
        lambda t: [], lambda t: 3, lambda t: leaf(t), lambda t: [leaf(t), {"params": [leaf(t)]}],
        lambda t: [leaf(t), leaf(t, "float16")], lambda t: [{"params": [leaf(t, "float64")]}, {"params": [leaf(t)]}],
        lambda t: iter([leaf(t), leaf(t)]),
    ],
)  # fmt: skip
def test_what_zero_takes(params: Any) -> None:
    def run(t: Any) -> Any:
        dist = begin(t)
        module = importlib.import_module(f"{t.__name__}.distributed.optim")
        try:
            made = module.ZeroRedundancyOptimizer(params(t), t.optim.SGD, lr=0.1)
            return len(made.param_groups), told(lambda: made.load_state_dict({"state": {}, "param_groups": []}))
        finally:
            dist.destroy_process_group()

    assert told(lambda: run(fb)) == told(lambda: run(torch))


def test_what_reduces_within_is_not_elementwise() -> None:
    """A function that says how two elements become one is elementwise, what it serves is not."""
    shape = jax.ShapeDtypeStruct((4, 2), np.float64)
    for function in (
        lambda x: jax.lax.reduce(x, np.float64(0), lambda a, b: a + 2 * b, (0, 1)),
        lambda x: jax.lax.scan(lambda total, row: (total + row, total * row), np.zeros(2), x)[1],
    ):
        assert not _is_elementwise(function, (shape,))
    assert _is_elementwise(lambda x: jax.nn.relu(x) + jax.nn.gelu(x) + jax.jit(jax.numpy.sin)(x), (shape,))


def test_one_process_gives_out_whole_tensors_alone() -> None:
    def run(t: Any) -> Any:
        module = importlib.import_module(f"{t.__name__}.distributed.checkpoint.state_dict")
        return module.get_model_state_dict(
            t.nn.Linear(2, 1), options=module.StateDictOptions(broadcast_from_rank0=True)
        )

    assert told(lambda: run(fb)) == told(lambda: run(torch))
    assert told(lambda: run(fb))[0] == "ValueError"


def _wrapped(t: Any) -> Any:
    wraps = importlib.import_module(f"{t.__name__}.distributed.fsdp.wrap")

    class Wrapper(t.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self, module: Any, **settings: Any) -> None:
            super().__init__()
            self.module, self.settings = module, settings

    found = [type(wraps.wrap(t.nn.Linear(2, 2), a=1)).__name__]
    with wraps.enable_wrap(wrapper_cls=Wrapper, a=1, b=2):
        found += [wraps.wrap(t.nn.Linear(2, 2)).settings, wraps.wrap(t.nn.Linear(2, 2), b=3, c=4).settings]
    found.append(type(wraps.wrap(t.nn.Linear(2, 2))).__name__)
    with pytest.raises(TypeError, match="wrapper_cls"):
        wraps.enable_wrap()
    return found


def test_modules_wrapped_where_they_are_made() -> None:
    assert _wrapped(fb) == _wrapped(torch)


def test_settings_of_sharded_modules() -> None:
    fsdp = fb.distributed.fsdp
    kind, full, cut = fsdp.StateDictType, fsdp.FullStateDictConfig, fsdp.ShardedStateDictConfig
    model = fsdp.FullyShardedDataParallel(fb.nn.Sequential(fb.nn.Linear(2, 2)))
    change, asked = model.set_state_dict_type, model.get_state_dict_type
    assert repr(asked(model).optim_state_dict_config) == repr(torch.distributed.fsdp.FullOptimStateDictConfig())
    with pytest.raises(
        RuntimeError, match=r"Expected state_dict_config of type .*FullStateDictConfig.* but got .*Sharded"
    ):
        change(model, kind.FULL_STATE_DICT, cut())
    with pytest.raises(RuntimeError, match="Expected optim_state_dict_config of type"):
        change(model, kind.FULL_STATE_DICT, full(), fsdp.ShardedOptimStateDictConfig())
    assert change(model, kind.SHARDED_STATE_DICT).state_dict_config == full()
    assert type(asked(model).state_dict_config) is cut and asked(fb.nn.Linear(2, 2)) is None
    assert change(fb.nn.Linear(2, 2), kind.FULL_STATE_DICT).state_dict_type is None
    with fsdp.FullyShardedDataParallel.state_dict_type(fb.nn.Linear(2, 2), kind.FULL_STATE_DICT):
        pass
    wrong = {"ignored_modules": [1]}, {"ignored_states": [1]}, {"ignored_modules": [], "ignored_states": []}
    for settings, told in zip(wrong, ("nn.Module list", "all nn.Parameter", "Cannot pass both"), strict=True):
        with pytest.raises(ValueError, match=told):
            fsdp.FullyShardedDataParallel(fb.nn.Linear(2, 2), **settings)
    with pytest.raises(ValueError, match="not already have FSDP applied"):
        fsdp.FullyShardedDataParallel(fb.nn.Sequential(model), auto_wrap_policy=fsdp.wrap.always_wrap_policy)
    with pytest.raises(ValueError, match="False/True or a kwarg dict, but it returned 1"):
        policy = fsdp.wrap.CustomPolicy(lambda m: 1)
        fsdp.FullyShardedDataParallel(fb.nn.Sequential(fb.nn.Linear(2, 2)), auto_wrap_policy=policy)
    with (
        pytest.raises(NotImplementedError, match="rank0_only=True is not supported"),
        model.summon_full_params(model, rank0_only=True),
    ):
        pass
