"""Graphs cut into what a backend takes and what it doesn't; passes that run a graph for its shapes alone."""

from __future__ import annotations

import importlib

import pytest
import torch

import flambeau as fb


def f(lib, x, y):
    a = lib.relu(x)
    b = lib.tanh(a)
    c = lib.sin(b) + y
    d = lib.cos(c)
    return d * lib.sigmoid(a)


def mixed(lib, x, y):
    a, b = lib.relu(x), lib.tanh(y)
    n = lib.sigmoid(a).size(0)
    return (lib.sin(b) + lib.cos(a)).reshape(n, -1), lib.sin(a) * 2


def chain(lib, x, y):
    return lib.relu(lib.sin(x)) + lib.cos(y)


def cut(lib, function, options, names="relu sin cos sigmoid size reshape"):
    passes = f"{lib.__name__}.fx.passes"
    base = importlib.import_module(f"{passes}.splitter_base")
    support = importlib.import_module(f"{passes}.operator_support")
    taken = [getattr(lib, n) for n in names.split() if hasattr(lib, n)] + names.split()

    class Support(support.OperatorSupportBase):
        def is_node_supported(self, submodules, node):
            return node.target in taken

    graph = lib.fx.symbolic_trace(lambda x, y: function(lib, x, y))
    given = lib.ones(2, 2), lib.full((2, 2), 0.5)
    splitter = base._SplitterBase(graph, given, Support(), base._SplitterSettingBase(**options))
    made = splitter.generate_split_results()
    shown = [[n.name for n in made.split_module.graph.nodes]]
    for name, part in made.split_module.named_children():
        shown.append([name, *(n.name for n in part.graph.nodes), len(made.submodule_inputs[name])])
    result = made.split_module(*given)
    return shown, [r.tolist() for r in (result if isinstance(result, tuple) else (result,))]


@pytest.mark.parametrize(
    "options", [{}, {"min_acc_module_size": 2}, {"skip_fusion": True}, {"allow_non_tensor": True}], ids=str
)
@pytest.mark.parametrize("function", [f, mixed, chain])
def test_pieces_are_pytorchs(function, options, capsys) -> None:
    theirs = cut(torch, function, options)
    told = capsys.readouterr().out
    ours = cut(fb, function, options)
    assert ours[0] == theirs[0] and capsys.readouterr().out == told
    for a, b in zip(ours[1], theirs[1], strict=True):
        assert fb.allclose(fb.tensor(a), fb.tensor(b))


def test_a_graph_runs_for_its_shapes() -> None:
    shown = []
    for lib in (torch, fb):
        passes = f"{lib.__name__}.fx.passes"
        fake = importlib.import_module(f"{lib.__name__}._subclasses.fake_tensor").FakeTensorMode
        model = lib.nn.Sequential(lib.nn.Linear(4, 3), lib.nn.ReLU())
        graph = lib.fx.symbolic_trace(model)
        prop = importlib.import_module(f"{passes}.fake_tensor_prop").FakeTensorProp
        result = prop(graph, fake(allow_non_fake_inputs=True)).propagate(lib.ones(2, 4))
        values = [tuple(n.meta["val"].shape) for n in graph.graph.nodes]
        shape_prop = importlib.import_module(f"{passes}.shape_prop").ShapeProp
        shape_prop(graph, fake_mode=fake(allow_non_fake_inputs=True)).propagate(lib.ones(5, 4))
        shapes = [tuple(n.meta["tensor_meta"].shape) for n in graph.graph.nodes]
        observer = importlib.import_module(f"{passes}.graph_transform_observer").GraphTransformObserver
        removed = observer(graph, "dead").apply_graph_pass(lambda g: g.eliminate_dead_code())
        shown.append((type(result).__name__, values, shapes, removed))
    assert shown[0] == shown[1]
