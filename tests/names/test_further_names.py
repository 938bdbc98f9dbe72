"""Small names of PyTorch's modules: what they give is PyTorch's, what is not here is refused by name."""

from __future__ import annotations

import importlib
import io
import signal
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

import flambeau as fb

LIBS = (torch, fb)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torch.fx.experimental.optimization  # it scripts modules, which warns


def both(module: str) -> tuple[ModuleType, ModuleType]:
    """A module of each library."""
    theirs, ours = (importlib.import_module(f"{lib.__name__}.{module}") for lib in LIBS)
    return theirs, ours


def told(function: Any, *args: Any, **kwargs: Any) -> Any:
    """A result, or the type of the error."""
    try:
        return function(*args, **kwargs)
    except Exception as error:
        return type(error).__name__


SHAPES: list[tuple[str, tuple[Any, ...]]] = [
    ("create_contiguous", ((2, 3, 4),)), ("create_contiguous", ((),)), ("create_contiguous", ((0, 3),)),
    ("check_consistent", (3, 3)), ("check_consistent", (3, 4)), ("check_consistent", (2, 3.0)), ("check_consistent", ((2,), (3,))),
    ("guarding_hint_or_throw", (3,)), ("guarding_hint_or_throw", (True,)), ("guarding_hint_or_throw", (2.5,)),
    ("compute_unbacked_bindings", (None, 1)), ("resolve_unbacked_bindings", (None, None)), ("canonicalize_bool_expr", (True,)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "args"), SHAPES)
def test_sizes(name: str, args: tuple[Any, ...]) -> None:
    theirs, ours = both("fx.experimental.symbolic_shapes")
    assert told(getattr(ours, name), *args) == told(getattr(theirs, name), *args)


def test_sizes_of_tensors_and_keys() -> None:
    for lib in LIBS:
        shapes = importlib.import_module(f"{lib.__name__}.fx.experimental.symbolic_shapes")
        shapes.check_consistent(lib.ones(2), lib.zeros(2))
        with pytest.raises(RuntimeError, match=r"Size\(\[3\]\) != torch.Size\(\[2\]\) \(old != new\)"):
            shapes.check_consistent(lib.ones(2), lib.ones(3))
        assert shapes.ConvertIntKey().get(True) == 1 and str(shapes.ConvertIntKey()).startswith(".cast")
        assert shapes.SymIntEqByExpr(3) == shapes.SymIntEqByExpr(3) != shapes.SymIntEqByExpr(4)
        graph = lib.fx.Graph()
        x = graph.placeholder("x")
        asked = [graph.call_function(f, (x, 0)) for f in (lib.ops.aten.sym_size.int, lib.ops.aten.add.Tensor)]
        assert [shapes.is_accessor_node(n) for n in asked] == [True, False]


def _sources(lib: Any) -> list[Any]:
    traceback = importlib.import_module(f"{lib.__name__}.fx.traceback")
    graph = lib.fx.symbolic_trace(lambda x, y: (x + y) * y).graph
    x, _, add, mul, _ = graph.nodes
    kind, action = traceback.NodeSource, traceback.NodeSourceAction
    add.meta["from_node"] = [kind(x, "first", action.CREATE)]
    source = kind(add, "second", [action.CREATE, action.REPLACE])
    again = kind._from_dict(source.to_dict())
    assert again == source and hash(again) == hash(source) and source != kind(mul)
    with traceback.set_current_replay_node(mul):
        replayed = traceback.get_current_replay_node().name
    with traceback.preserve_node_meta():
        noted = []
        for seq in (3, 4):
            traceback.set_grad_fn_seq_nr(seq)
            noted.append((list(traceback.current_meta["grad_fn_seq_nr"]), traceback.current_meta["in_grad_fn"]))
        traceback.reset_grad_fn_seq_nr()
        noted.append((list(traceback.current_meta["grad_fn_seq_nr"]), traceback.current_meta["in_grad_fn"]))
        traceback.reset_grad_fn_seq_nr()
        noted.append(dict(traceback.current_meta))
    text = [
        str(source),
        str(source.to_dict()),
        str(traceback.get_graph_provenance_json(graph)),
        kind(None, "p").print_readable(),
    ]
    return [*(t.replace(str(id(graph)), "G") for t in text), replayed, traceback.get_current_replay_node(), noted]


def test_where_nodes_come_from() -> None:
    assert _sources(fb) == _sources(torch)


def _events(lib: Any, folder: Path) -> list[Any]:
    splitter = importlib.import_module(f"{lib.__name__}.fx.passes.splitter_base")
    x, _y, add, mul, _ = lib.fx.symbolic_trace(lambda x, y: (x + y) * y).graph.nodes
    out: list[Any] = []
    for mode in (0, 1, 3):
        tracker = splitter.NodeEventTracker(mode, str(folder / f"{lib.__name__}{mode}"))
        tracker.add(add, "first")
        tracker.add(add, "second", x)
        tracker.add(mul, "third", add)
        tracker.add(x, "fourth")
        text = io.StringIO()
        tracker.print_node(mul.name, recursive=True, tab="T", writer=text.write)
        tracker.print_node("nothing", writer=text.write)
        tracker.print_all(writer=text.write)
        tracker.dump()
        files = sorted(folder.glob(f"{lib.__name__}{mode}*"))
        out.append((tracker.to_dict(), text.getvalue(), [(f.name[len(lib.__name__) :], f.read_text()) for f in files]))
    return out


def test_what_happens_to_nodes(tmp_path: Path) -> None:
    assert _events(fb, tmp_path) == _events(torch, tmp_path)


def _moved(lib: Any, count: int, kept: bool) -> Any:
    splitter = importlib.import_module(f"{lib.__name__}.fx.passes.splitter_base")
    utils = importlib.import_module(f"{lib.__name__}.fx.passes.split_utils")

    def program(x: Any, y: Any) -> Any:
        size = lib.add(x, y).size(0)
        return (lib.relu(x) + size, size) if kept else lib.relu(size * 2 + x)

    graph = lib.fx.symbolic_trace(program).graph
    for node in graph.nodes:
        node.meta["type"] = int if node.name in ("size", "mul") else lib.Tensor
    calls = [n for n in graph.nodes if n.op.startswith("call")]
    parts = [splitter.Subgraph(True, calls[:count]), splitter.Subgraph(False, calls[count:])]
    utils.move_non_tensor_nodes_on_boundary(parts)
    return [[n.name for n in part.nodes] for part in parts]


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_nodes_without_tensors_move(count: int, kept: bool, capsys: pytest.CaptureFixture[str]) -> None:
    theirs = _moved(torch, count, kept), capsys.readouterr().out
    assert (_moved(fb, count, kept), capsys.readouterr().out) == theirs


def test_a_graph_is_split_by_a_dict() -> None:
    found = []
    for lib in LIBS:
        module = importlib.import_module(f"{lib.__name__}.fx.passes.split_module")
        graph = lib.fx.symbolic_trace(lambda x, y: (x + y) * y - x)
        calls = [n for n in graph.graph.nodes if n.op == "call_function"]
        made = module.split_module_simple(graph, dict(zip(calls, (0, 0, 1), strict=True)), partition_affix="q")
        inner = {k: [(n.op, n.name) for n in m.graph.nodes] for k, m in made.named_children()}
        out = made(lib.tensor([2.0]), lib.tensor([3.0])).item()
        found.append(([(n.op, n.name, str(n.args)) for n in made.graph.nodes], inner, out))
        with pytest.raises(KeyError):
            module.split_module_simple(graph, {calls[0]: 0})
    assert found[0] == found[1]


def test_networks_are_made_ready_for_inference() -> None:
    for lib in LIBS:
        module = importlib.import_module(f"{lib.__name__}.fx.experimental.optimization")
        nn = lib.nn
        net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.ReLU()).eval()
        net[1].running_mean.fill_(0.5)
        made = module.optimize_for_inference(net, {"mkldnn_layout_optimize": False})
        assert [n.target for n in made.graph.nodes] == ["input", "0", "3", "output"] or lib is torch
        x = lib.ones(1, 3, 5, 5)
        assert lib.allclose(made(x), net(x), atol=1e-5)
        with pytest.raises(RuntimeError, match="is not a dict"):
            module.optimize_for_inference(net, {"mkldnn_layout_optimize": 3})
        sets = module.UnionFind(4)
        for k in range(4):
            sets.make_set(k)
        sets.join(0, 1)
        sets.join(1, 3)
        assert [sets.find(k) == sets.find(0) for k in range(4)] == [True, True, False, True] and sets.size[0] == 3


def test_jacobians() -> None:
    found = []
    for lib in LIBS:
        module = importlib.import_module(f"{lib.__name__}.autograd.gradcheck")
        x = lib.tensor([1.0, 2.0], dtype=lib.float64, requires_grad=True)
        y = lib.tensor([[3.0]], dtype=lib.float64, requires_grad=True)
        with pytest.warns(FutureWarning, match="private API"):
            numerical = module.get_numerical_jacobian(lambda given: given[0] ** 2 * given[1].sum(), (x, y))
        with pytest.warns(FutureWarning, match="private API"):
            analytical, *flags = module.get_analytical_jacobian((x, y), x**2 * y.sum())
        single = module.get_numerical_jacobian_wrt_specific_input(
            lambda a, b: (a * b.sum(), a), 0, (x, y), (x * y.sum(), x), 1e-6
        )
        found.append([t.detach().round(decimals=4).tolist() for t in (*numerical, *analytical, *single)])
        assert flags == [True, True, True]
        with warnings.catch_warnings(), pytest.raises(ValueError, match="grad_out"):
            warnings.simplefilter("ignore")
            module.get_analytical_jacobian((x,), x**2, grad_out=2.0)
    assert found[0] == found[1]


def test_what_checkpoints_name(tmp_path: Path) -> None:
    for lib in LIBS:
        meta = importlib.import_module(f"{lib.__name__}.distributed.checkpoint.metadata")
        index = meta.MetadataIndex("a", [1, 2], 3)
        assert index == meta.MetadataIndex("a", [1, 2], 4) and hash(index) == hash(meta.MetadataIndex("a", [1, 2]))
        assert index.offset == lib.Size([1, 2]) and index != meta.MetadataIndex("b", [1, 2], 3)
        with pytest.raises(AttributeError):
            index.fqn = "b"
        files = importlib.import_module(f"{lib.__name__}.distributed.checkpoint.filesystem")
        disk = files.FileSystem()
        folder = disk.init_path(str(tmp_path / lib.__name__ / "in"))
        disk.mkdir(folder)
        with disk.create_stream(disk.concat_path(folder, "f"), "wb") as stream:
            stream.write(b"abc")
        disk.rename(disk.concat_path(folder, "f"), disk.concat_path(folder, "g"))
        assert [Path(p).name for p in disk.ls(folder)] == ["g"] and disk.exists(folder)
        disk.rm_file(disk.concat_path(folder, "g"))
        assert disk.ls(folder) == []
        checked = [
            files.FileSystem.validate_checkpoint_id(i) for i in ("relative", "s3://x/y", Path("a"), str(tmp_path))
        ]
        assert checked == [True, False, True, True]
        with pytest.raises(TypeError):
            files.FileSystemBase()


def test_launches() -> None:
    for lib in LIBS:
        parts = importlib.import_module(f"{lib.__name__}.distributed.elastic.multiprocessing")
        std = parts.Std
        assert std.from_str("0:1,1:3") == {0: std.OUT, 1: std.ALL} and std.from_str("2") is std.ERR
        with pytest.raises(ValueError, match="4"):
            std.from_str("4")
        assert parts.to_map({1: std.ERR}, 2) == {0: std.NONE, 1: std.ERR} and len(parts.to_map(std.OUT, 3)) == 3
        error = parts.SignalException("end", signal.SIGTERM)
        assert str(error) == "end" and error.sigval is signal.SIGTERM
        run = importlib.import_module(f"{lib.__name__}.distributed.run")
        assert [run.parse_min_max_nnodes(n) for n in ("3", "1:4")] == [(3, 3), (1, 4)]
        with pytest.raises(RuntimeError, match="MIN:MAX"):
            run.parse_min_max_nnodes("1:2:3")
        assert run.determine_local_world_size("5") == 5


def test_reports_ask_programs() -> None:
    theirs, ours = both("utils.collect_env")

    def answers(command: Any) -> tuple[int, str, str]:
        return 0, "gcc (X) 9.1\nclang version 5.0\ncmake version 3.2\nDescription:\tOne 1", ""

    for name in "get_gcc_version get_clang_version get_cmake_version get_lsb_version get_os check_release_file get_gpu_info".split():
        for run in (answers, lambda command: (1, "", "no")):
            assert told(getattr(ours, name), run) == told(getattr(theirs, name), run), name
    for command in ("echo a; echo b >&2; exit 3", ["echo", "a"]):
        assert ours.run(command) == theirs.run(command)
    assert ours.run("surely_not_there")[0] == theirs.run("surely_not_there")[0] == 127
    assert ours.run_and_return_first_line(ours.run, "printf 'a\\nb'") == "a"
    for name in ("get_platform", "get_python_platform", "get_libc_version", "is_xnnpack_available", "get_nvidia_smi"):
        assert getattr(ours, name)() == getattr(theirs, name)() or name == "is_xnnpack_available", name


def test_other_small_names() -> None:
    for lib in LIBS:
        mode = importlib.import_module(f"{lib.__name__}.amp.autocast_mode")
        product = mode.autocast_decorator(lib.autocast("cpu"), lambda a: (a @ a).dtype)
        assert product(lib.ones(2, 2)) == lib.bfloat16 and product.__name__ == "<lambda>"
        variable = importlib.import_module(f"{lib.__name__}.autograd.variable")
        assert type(variable.Variable) is variable.VariableMeta and isinstance(lib.ones(1), variable.Variable)
        numbers = importlib.import_module(f"{lib.__name__}.utils.tensorboard.summary")
        assert [numbers.half_to_int(f) for f in (0.0, 1.0, -2.5)] == [0, 1065353216, -1071644672]
        assert numbers.int_to_half(1078530000) == pytest.approx(3.14159)
        apply = importlib.import_module(f"{lib.__name__}.nn.parallel.parallel_apply")
        assert apply.get_a_var([1, {"a": (lib.ones(2),)}]).shape == (2,) and apply.get_a_var("abc") is None
        queues = importlib.import_module(f"{lib.__name__}.multiprocessing.queue")
        left, right = lib.multiprocessing.Pipe()
        queues.ConnectionWrapper(left).send({"x": lib.ones(2)})
        other = queues.ConnectionWrapper(right)
        assert other.recv()["x"].tolist() == [1.0, 1.0] and not other.closed
        left.close(), right.close()
        signature = importlib.import_module(f"{lib.__name__}.export.graph_signature")
        assert repr(signature.SymIntArgument("a")) == "SymIntArgument(name='a')"
        groups = importlib.import_module(f"{lib.__name__}.distributed.distributed_c10d")
        kinds = (groups.ReduceOp.SUM, groups.ReduceOp.AVG, groups.ReduceOp.MAX, groups.ReduceOp.PRODUCT)
        assert [groups.supports_complex(k) for k in kinds] == [True, True, False, False]
        assert groups.GroupName("a") == "a" and groups.BroadcastOptions().rootRank == 0


REFUSED = """
    fx.experimental.symbolic_shapes.StatelessSymbolicContext fx.experimental.proxy_tensor.PythonKeyTracer
    fx.experimental.optimization.MklSubgraph
    multiprocessing.reductions.rebuild_cuda_tensor jit.annotations.get_signature optim.adamw.adamw
""".split()


@pytest.mark.parametrize("path", REFUSED)
def test_what_is_not_here_says_so(path: str) -> None:
    module, _, name = path.rpartition(".")
    space = importlib.import_module(f"flambeau.{module}")
    assert name in space.__all__ and hasattr(importlib.import_module(f"torch.{module}"), name)
    with pytest.raises(NotImplementedError, match=rf"^torch\.{path}: "):
        getattr(space, name)(1, x=2)


def test_views_that_negate_are_refused() -> None:
    assert (torch._neg_view(torch.ones(2)) == -1).all()
    with pytest.raises(NotImplementedError, match=r"^_neg_view: .*torch\.neg"):
        fb._neg_view(fb.ones(2))


def test_hooks_of_ddp_by_name() -> None:
    ours = importlib.import_module("flambeau.distributed.algorithms.ddp_comm_hooks")
    theirs = importlib.import_module("torch.distributed.algorithms.ddp_comm_hooks")
    assert list(ours.DDPCommHookType.__members__) == list(theirs.DDPCommHookType.__members__)

    class Model:
        def register_comm_hook(self, state: Any, hook: Any) -> None:
            self.got = state, hook.__name__

    for name in ("ALLREDUCE", "FP16_COMPRESS", "BF16_COMPRESS", "NOOP"):
        given = []
        for module in (theirs, ours):
            model = Model()
            module.register_ddp_comm_hook(getattr(module.DDPCommHookType, name), model, 3)
            given.append(model.got)
        assert given[0] == given[1]
    model = Model()
    ours.register_ddp_comm_hook(ours.DDPCommHookType.BATCHED_POWER_SGD_RANK2, model)
    assert model.got[0].matrix_approximation_rank == 2 and model.got[1] == "batched_powerSGD_hook"
    with pytest.raises(NotImplementedError, match="FP16_COMPRESS"):
        ours.register_ddp_comm_hook(ours.DDPCommHookType.QUANTIZE_PER_TENSOR, model)


def _passes(lib: Any) -> list[Any]:
    module = importlib.import_module(f"{lib.__name__}.fx.passes.pass_manager")

    def a(x: list[str]) -> list[str]:
        return [*x, "a"]

    def b(x: list[str]) -> list[str]:
        return [*x, "b"]

    def c(x: list[str]) -> None:
        x.append("c")

    in_place = module.inplace_wrapper(c)
    manager = module.PassManager([a, b])
    out = [manager([]), module.loop_pass(a, n_iter=3)([]), module.loop_pass(b, predicate=lambda x: len(x) < 2)([])]
    manager.add_pass(in_place)
    manager.remove_pass(["a"])
    out.append(module.log_hook(manager.passes[0])([]))
    manager.replace_pass(b, a)
    out += [manager([]), in_place.__name__, told(module.loop_pass, a), told(module.loop_pass, a, 2, len)]
    manager.add_constraint(module.these_before_those_pass_constraint(c, a))
    out += [told(manager, []), module.PassManager()(3)]
    for make in (module.this_before_that_pass_constraint, module.these_before_those_pass_constraint):
        out.append([make(a, b)(x, y) for x, y in ((a, b), (b, a), (a, in_place), (in_place, a))])
    return out


def test_passes_in_order() -> None:
    assert _passes(fb) == _passes(torch)
