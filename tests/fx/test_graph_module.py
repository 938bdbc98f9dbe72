"""GraphModules: copies, files, submodules, errors, hooks; running and transforming them."""

from __future__ import annotations

import copy
import importlib
import io
import pickle
import sys
import warnings
from typing import Any

import numpy as np
import pytest
import torch

import flambeau as fb
from support.programs import agree
from support.traced import Model
from support.values import array


def test_what_it_holds():
    def code(torch):
        model = Model(torch)
        model.unused = torch.nn.Linear(2, 2)
        gm = torch.fx.symbolic_trace(model.eval())
        seen = [repr(gm), str(gm), gm.training, list(gm.state_dict()), [n for n, _ in gm.named_modules()]]
        seen += [gm.add_submodule("seq.2", torch.nn.ReLU()), gm.add_submodule("foo.bar", torch.nn.ReLU())]
        seen += [
            gm.add_submodule("p.q", torch.nn.ReLU()),
            gm.delete_submodule("foo.bar"),
            gm.delete_submodule("foo.none"),
        ]
        seen += [gm.delete_submodule("none.x"), repr(gm)]
        gm.delete_all_unused_submodules()
        return [*seen, repr(gm), gm.meta, type(gm).__mro__[1].__name__, type(gm).__name__]

    agree(code)


def test_nodes_without_what_they_name():
    def warned(torch):
        gm = torch.fx.symbolic_trace(Model(torch))
        return str(gm.graph.get_attr("nope"))

    agree(warned)

    def refused(torch):
        torch.fx.symbolic_trace(Model(torch)).graph.call_module("nope")

    assert isinstance(agree(refused, words=0), AttributeError)


def test_only_the_wanted_members_are_copied():
    def code(torch):
        layer = torch.nn.Linear(3, 3)
        graph = torch.fx.Graph()
        x = graph.placeholder("x")
        w = graph.get_attr("deep.down.w")
        graph.output(graph.call_function(torch.add, (graph.call_module("layers.0", (x,)), w)))
        gm = torch.fx.GraphModule(
            {"layers": torch.nn.Module(), "layers.0": layer, "deep.down.w": torch.ones(3)}, graph, "Made"
        )
        return repr(gm), gm.code, list(gm.state_dict()), gm(torch.ones(2, 3)).shape

    agree(code)


def test_copies_and_pickles():
    def code(torch):
        gm = torch.fx.symbolic_trace(Model(torch).eval())
        gm.meta["mark"] = [1]
        x = torch.linspace(-1, 1, 6).reshape(2, 3)
        deep, shallow, pickled = copy.deepcopy(gm), copy.copy(gm), pickle.loads(pickle.dumps(gm))
        seen = []
        for made in (deep, shallow, pickled):
            seen += [
                made.code == gm.code,
                str(made.graph) == str(gm.graph),
                made(x),
                made.training,
                made.meta,
                type(made).__name__,
            ]
        return [*seen, deep.l is gm.l, shallow.l is gm.l, shallow.graph is gm.graph, deep.graph.owning_module is deep]

    agree(code)


def test_torchs_pickle_is_read(tmp_path):
    theirs = torch.fx.symbolic_trace(torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.GELU()))
    torch.save(theirs, tmp_path / "m.pt")
    ours = fb.load(tmp_path / "m.pt", weights_only=False)
    assert ours.code == theirs.code
    x = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_allclose(array(ours(fb.tensor(x))), array(theirs(torch.tensor(x))), rtol=1e-5, atol=1e-6)


def test_torch_reads_ours(tmp_path):
    ours = fb.fx.symbolic_trace(fb.nn.Sequential(fb.nn.Linear(3, 3), fb.nn.GELU()))
    fb.save(ours, tmp_path / "m.pt")
    theirs = torch.load(tmp_path / "m.pt", weights_only=False)
    assert theirs.code == ours.code
    x = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_allclose(array(ours(fb.tensor(x))), array(theirs(torch.tensor(x))), rtol=1e-5, atol=1e-6)


def test_files_of_a_module():
    gm = fb.fx.symbolic_trace(Model(fb))
    file = io.BytesIO()
    fb.save(gm.state_dict(), file)
    file.seek(0)
    other = fb.fx.symbolic_trace(Model(fb))
    assert not other.load_state_dict(fb.load(file)).missing_keys
    assert fb.equal(other.l.weight, gm.l.weight)


def test_to_folder(tmp_path, monkeypatch):
    gm = fb.fx.symbolic_trace(Model(fb))
    with pytest.warns(UserWarning, match="Was not able to save the following children modules as reprs"):
        gm.to_folder(tmp_path / "written_by_fx", "Written")
    monkeypatch.syspath_prepend(str(tmp_path))
    written = importlib.import_module("written_by_fx").Written()
    x = fb.linspace(-1, 1, 6).reshape(2, 3)
    assert fb.equal(written(x)["b"][1], gm(x)["b"][1])
    for name in [n for n in sys.modules if n.startswith("written_by_fx")]:
        del sys.modules[name]


def test_imports_of_a_pickle_are_imports_alone():
    with pytest.raises(ValueError, match="is no import"):
        fb.fx._imports.run_import_block("import os; os.abort()", {})
    with pytest.raises(ValueError, match="is no import"):
        fb.fx._imports.run_import_block("x = 1", {})


def test_hooks_run_and_are_copied():
    gm = fb.fx.symbolic_trace(Model(fb))
    seen: list[str] = []
    gm.l.register_forward_hook(lambda *a: seen.append("layer"))
    gm.register_forward_pre_hook(lambda *a: seen.append("before"))
    gm(fb.ones(1, 3))
    copy.deepcopy(gm)(fb.ones(1, 3))
    assert seen == ["before", "layer"] * 2


def test_an_error_shows_the_generated_line():
    gm = fb.fx.symbolic_trace(Model(fb))
    with pytest.raises(RuntimeError, match=r"mat1 and mat2 shapes cannot be multiplied \(1x4 and 3x3\)") as caught:
        gm(fb.ones(4))
    assert any("Call using an FX-traced Module, line 5" in note for note in caught.value.__notes__)


def test_an_interpreter_says_at_which_node_it_failed():
    def code(torch, *args):
        torch.fx.Interpreter(torch.fx.symbolic_trace(Model(torch))).run(*args)

    for arguments in (lambda torch: (torch.ones(4),), lambda torch: ()):
        with pytest.raises(RuntimeError) as theirs:
            code(torch, *arguments(torch))
        with pytest.raises(RuntimeError) as ours:
            code(fb, *arguments(fb))
        first, _, at = str(theirs.value).partition("\n\n")
        assert first in str(ours.value)
        assert at.partition("\nUse tlparse")[0] in str(ours.value)


def test_interpreters_and_transformers_of_users():
    def code(torch):
        functional = torch.nn.functional
        calls = []

        class Noting(torch.fx.Interpreter):
            def run_node(self, n):
                calls.append((n.name, len(self.env)))
                return super().run_node(n)

            def call_module(self, target, args, kwargs):
                return super().call_module(target, args, kwargs) * 0

        class Sigmoid(torch.fx.Transformer):
            def call_function(self, target, args, kwargs):
                if target is functional.relu:
                    return super().call_function(torch.sigmoid, args, {})
                return super().call_function(target, args, kwargs)

            def call_module(self, target, args, kwargs):
                return args[0] if target == "seq.1" else super().call_module(target, args, kwargs)

        gm = torch.fx.symbolic_trace(Model(torch))
        x = torch.ones(1, 3)
        result = Noting(gm).run(x)
        part = torch.fx.Interpreter(gm).run(
            x, initial_env={n: torch.zeros(1, 3) for n in gm.graph.nodes if n.name == "l"}
        )
        boxed = [x, None, 3]
        boxed_result = torch.fx.Interpreter(gm, garbage_collect_values=False).boxed_run(boxed)
        changed = Sigmoid(gm).transform()
        return calls, result, part, boxed, boxed_result, changed.code, changed(x)

    agree(code)


def test_hooks_on_changes():
    def code(torch):
        gm = torch.fx.symbolic_trace(Model(torch))
        seen = []
        gm._register_create_node_hook(lambda n: seen.append(("made", n.name)))
        gm._register_erase_node_hook(lambda n: seen.append(("gone", n.name)))
        old = next(n for n in gm.graph.nodes if n.name == "relu")
        with gm._set_replace_hook(lambda old, new, user: seen.append((old.name, new, user.name))):
            with gm.graph.inserting_after(old):
                new = gm.graph.call_function(torch.tanh, old.args)
            old.replace_all_uses_with(new)
        gm.graph.erase_node(old)
        gm.recompile()
        return seen, gm.code

    agree(code)


def test_a_compiled_module_follows_its_graph():
    gm = fb.fx.symbolic_trace(Model(fb))
    compiled = fb.compile(lambda x: gm(x)["b"][0], fullgraph=True)
    x = fb.linspace(-1, 1, 6).reshape(2, 3)
    before = gm(x)["b"][0]
    assert fb.allclose(compiled(x), before)
    for node in gm.graph.nodes:
        if node.target is fb.nn.functional.relu:
            node.target, node.kwargs = fb.tanh, {}
    gm.recompile()
    changed = gm(x)["b"][0]
    assert not fb.allclose(changed, before)
    assert fb.allclose(compiled(x), changed)


def test_modules_inside_of_modules():
    def code(torch):
        class Outer(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.inner = torch.fx.symbolic_trace(Model(torch))

            def forward(self, x):
                return self.inner(x)["a"]

        class Whole(torch.fx.Tracer):
            def is_leaf_module(self, m, module_qualified_name):
                return isinstance(m, torch.fx.GraphModule) or super().is_leaf_module(m, module_qualified_name)

        outer = Outer()
        gm = torch.fx.GraphModule(outer, Whole().trace(outer))
        again = torch.fx.symbolic_trace(gm)
        return gm.print_readable(print_output=False), torch.fx.symbolic_trace(outer).code, again.code

    agree(code)


def test_immutable_collections():
    def code(torch):
        kinds = torch.fx.immutable_collections
        many, pairs = kinds.immutable_list([1, 2]), kinds.immutable_dict(a=1)
        seen = [
            [*many, 3],
            hash(many) == hash(kinds.immutable_list([1, 2])),
            pickle.loads(pickle.dumps(many)),
            pairs,
            {**pairs},
        ]
        for change in (
            lambda: many.append(3),
            lambda: many.__setitem__(0, 1),
            lambda: pairs.update(b=2),
            lambda: pairs.pop("a"),
        ):
            with pytest.raises(TypeError) as caught:
                change()
            seen.append(str(caught.value))
        mapped = torch.fx.node.map_aggregate(({"a": [1, (2,)]}, slice(1, None, 2)), lambda v: v if v is None else v + 1)
        return [*seen, mapped, type(mapped[0]["a"]).__name__]

    agree(code)


def in_style_of_timm(torch: Any) -> Any:
    """Feature extraction as model collections write it: tracers with node paths, wrapped functions, another output."""
    fx = torch.fx

    class NodePathTracer(fx.Tracer):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.current_module_qualname = ""
            self.node_to_qualname = {}

        def call_module(self, m, forward, args, kwargs):
            before = self.current_module_qualname
            try:
                self.current_module_qualname = self.path_of_module(m)
                return super().call_module(m, forward, args, kwargs)
            finally:
                self.current_module_qualname = before

        def create_proxy(self, kind, target, args, kwargs, name=None, type_expr=None):
            proxy = super().create_proxy(kind, target, args, kwargs, name, type_expr)
            prefix = self.current_module_qualname
            own = prefix if kind == "call_module" else f"{prefix}.{proxy.node.name}".strip(".")
            self.node_to_qualname[proxy.node] = own
            return proxy

    class Block(torch.nn.Module):
        def __init__(self, width):
            super().__init__()
            self.conv = torch.nn.Conv2d(width, width, 3, padding=1)
            self.scale = torch.nn.Parameter(torch.full((width, 1, 1), 0.5))

        def forward(self, x):
            return x + torch.nn.functional.gelu(self.conv(x)) * self.scale

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = torch.nn.Conv2d(3, 4, 3)
            self.blocks = torch.nn.Sequential(Block(4), Block(4))
            self.head = torch.nn.Linear(4, 2)

        def forward(self, x):
            return self.head(self.blocks(self.stem(x)).mean((2, 3)))

    net = Net().eval()
    tracer = NodePathTracer(autowrap_functions=())
    graph = tracer.trace(net)
    gm = fx.GraphModule(tracer.root, graph, "Net")
    names = {tracer.node_to_qualname[n]: n for n in gm.graph.nodes if n in tracer.node_to_qualname}
    wanted = {"stem": "first", "blocks.0.mul": "scaled", "blocks.1.add_1": "last"}
    for node in reversed(gm.graph.nodes):
        if node.op == "output":
            gm.graph.erase_node(node)
            break
    with gm.graph.inserting_after(list(gm.graph.nodes)[-1]):
        gm.graph.output({out: names[name] for name, out in wanted.items()})
    gm.graph.eliminate_dead_code()
    gm.recompile()

    class Dual(fx.GraphModule):
        def __init__(self, root, train_graph, eval_graph, class_name="GraphModule"):
            super(fx.GraphModule, self).__init__()
            self.__class__.__name__ = class_name
            self.train_graph, self.eval_graph = train_graph, eval_graph
            for node in [*train_graph.nodes, *eval_graph.nodes]:
                if node.op in ("get_attr", "call_module"):
                    fx.graph_module._copy_attr(root, self, node.target)
            self.train()
            self.graph = train_graph

        def train(self, mode=True):
            if mode and not self.training:
                self.graph = self.train_graph
            elif not mode and self.training:
                self.graph = self.eval_graph
            return super().train(mode=mode)

    dual = Dual(net, copy.deepcopy(gm.graph), gm.graph, "Extractor")
    x = torch.linspace(-1, 1, 3 * 64).reshape(1, 3, 8, 8)
    return sorted(names), gm.code, dual.eval()(x), dual.train().code, repr(dual), list(dual.state_dict())


def test_feature_extraction():
    agree(in_style_of_timm)


def test_no_warning_of_its_own():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gm = fb.fx.symbolic_trace(Model(fb))
        pickle.loads(pickle.dumps(gm))(fb.ones(1, 3))
