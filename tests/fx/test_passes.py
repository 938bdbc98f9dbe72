"""Passes over graphs: patterns, shapes, splitting, fusing, feature by feature against torch."""

from __future__ import annotations

import importlib
import sys
import warnings
from typing import Any

import pytest

import flambeau as fb
from support.programs import agree


def passes(library: Any, name: str) -> Any:
    return importlib.import_module(f"{library.__name__}.fx.{name}")


def staged(torch: Any) -> Any:
    """A module of several steps, traced."""

    class S(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = (torch.nn.Linear(3, 3) for _ in range(3))
            self.w = torch.nn.Parameter(torch.ones(3))
            self.register_buffer("bu", torch.ones(3))
            self.seq = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.ReLU())

        def forward(self, x, y=None, k=2):
            h = self.a(x) + self.w
            g = self.b(h).relu() + k
            z = self.c(g + h) * self.bu
            return self.seq(z) + x, g

    return torch.fx.symbolic_trace(S())


PARTS = [
    [0, 0, 1, 1, 1, 2, 2, 2, 2, 2, 2],
    [0] * 11,
    [1, 1, 0, 0, 0, 2, 2, 2, 2, 2, 2],
    [0, 0, "a", "a", 1, 1, 1, 1, 1, 1, 1],
    [0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0],
]


@pytest.mark.parametrize("parts", PARTS)
@pytest.mark.parametrize(
    "options", [{}, {"partition_affix": "foo"}, {"tuple_return": True}, {"keep_original_node_name": True}]
)
def test_split_module(parts, options):
    def code(torch):
        gm = staged(torch)
        left, names = iter(parts), {}
        split = passes(torch, "passes.split_module").split_module(gm, gm, lambda n: next(left), names, **options)
        x = torch.linspace(-1, 1, 6).reshape(2, 3)
        inside = [(n, m.code, list(m.state_dict())) for n, m in split.named_children()]
        return split.code, str(split.graph), inside, names, split(x), gm(x)

    ours = agree(code)
    if isinstance(ours, tuple):
        assert ours[1][-1] == ours[1][-2]


def test_split_by_tags():
    def code(torch):
        gm = staged(torch)
        for i, node in enumerate(gm.graph.nodes):
            if node.op not in ("placeholder", "output"):
                node.tag = "red" if i < 8 else "blue"
        split, names = passes(torch, "passes.split_utils").split_by_tags(gm, ["red", "blue"], return_fqn_mapping=True)
        return split.code, split.red.code, split.blue.code, names, split(torch.ones(1, 3), None, 2)

    agree(code)


def test_fusing_nodes():
    def code(torch):
        gm = staged(torch)
        fuser = passes(torch, "passes.utils.fuser_utils")
        nodes = {n: None for n in gm.graph.nodes if n.name in ("b", "relu")}
        torn = [n for n in gm.graph.nodes if n.name in ("b", "add_2")]
        fused = fuser.fuse_by_partitions(gm, [nodes])
        return fuser.validate_partition(torn), fused.code, fused.fused_0.code, fused(torch.ones(1, 3))

    agree(code)


def test_shapes():
    def code(torch):
        gm = staged(torch)
        shape_prop = passes(torch, "passes.shape_prop")
        shape_prop.ShapeProp(gm).propagate(torch.ones(2, 3))
        metas = [(n.name, str(n.meta.get("tensor_meta")), n.meta["type"].__name__) for n in gm.graph.nodes]
        sizes = passes(torch, "passes.graph_manipulation").get_size_of_node(
            gm, next(n for n in gm.graph.nodes if n.name == "a")
        )
        return (
            metas,
            gm.print_readable(print_output=False, include_stride=True),
            tuple(sizes),
        )

    agree(code)

    def failing(torch):
        passes(torch, "passes.shape_prop").ShapeProp(staged(torch)).propagate(torch.ones(2, 4))

    assert isinstance(agree(failing, words=0), RuntimeError)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"colored": True},
        {"expanded_def": True},
        {"additional_meta": ["foo"]},
        {"include_device": True},
        {"include_stride": True},
    ],
)
def test_what_readable_code_tells(options):
    def code(torch):
        gm = staged(torch)
        passes(torch, "passes.shape_prop").ShapeProp(gm).propagate(torch.ones(2, 3))
        for node in gm.graph.nodes:
            node.meta["foo"] = "bar"
            if node.name == "relu":
                node.meta.update(custom={"a": 1}, stack_trace='File "a.py", line 3, in f\n    x = 1')
        return gm.print_readable(print_output=False, **options), gm.graph.python_code("self", **options).src

    agree(code)


def test_patterns():
    def code(torch):
        relu = torch.nn.functional.relu

        class Twice(torch.nn.Module):
            def forward(self, x, y):
                a = relu(x + y) * 2
                b = relu(a + x) * 2
                return torch.cat([b, relu(x * y)], dim=-1), relu(y) * 3

        def literal(x):
            return relu(x) * 2

        def nothing(x):
            return torch.erf(x)

        def join(x, y):
            return relu(x + y)

        def joined(x, y):
            return torch.sigmoid(x) - y

        class Layer(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.act = torch.nn.Tanh()

            def forward(self, x):
                return self.act(x)

        seen = []
        for pattern, new in (
            (literal, nothing),
            (join, joined),
            (lambda x, y: x * y, lambda x, y: torch.pow(x, y)),
            (literal, Layer()),
        ):
            gm = torch.fx.symbolic_trace(Twice())
            new = torch.fx.symbolic_trace(new) if isinstance(new, torch.nn.Module) else new
            matches = torch.fx.replace_pattern(gm, pattern, new)
            gm.graph.lint()
            seen += [str(matches), gm.code, list(dict(gm.named_modules())), gm(torch.ones(2), torch.ones(2) * 2)]
        gm = torch.fx.symbolic_trace(Twice())
        rewriter = torch.fx.subgraph_rewriter
        found = rewriter.replace_pattern_with_filters(
            gm, lambda x: relu(x) * 7, nothing, [lambda m, g, p: True], ignore_literals=True
        )
        return [*seen, str([f.replacements for f in found]), gm.code]

    agree(code)


def test_convolutions_take_over_their_normalizations():
    def code(torch):
        class Net(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.c1, self.b1 = torch.nn.Conv2d(2, 3, 3), torch.nn.BatchNorm2d(3)
                self.c2, self.b2 = torch.nn.Conv2d(3, 3, 1, bias=False), torch.nn.BatchNorm2d(3)
                self.l, self.bl, self.d = torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2), torch.nn.Dropout()

            def forward(self, x):
                x = torch.nn.functional.relu(self.b1(self.c1(x)))
                x = self.d(self.b2(self.c2(x)))
                return self.bl(self.l(x.mean((2, 3))))

        net = Net().double().eval()
        for norm in (net.b1, net.b2, net.bl):
            norm.running_mean.fill_(0.3)
            norm.running_var.fill_(1.7)
        x = torch.linspace(-1, 1, 100, dtype=torch.float64).reshape(2, 2, 5, 5)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch uses what it has deprecated
            optimization = passes(torch, "experimental.optimization")
            fused = optimization.fuse(net)
        return (
            fused.code,
            repr(fused),
            torch.allclose(fused(x), net(x)),
            optimization.remove_dropout(net).code,
            repr(net),
        )

    agree(code)


def test_passes_in_order():
    def code(torch):
        base, manager = passes(torch, "passes.infra.pass_base"), passes(torch, "passes.infra.pass_manager")
        ran = []

        class Tanh(base.PassBase):
            def requires(self, graph_module):
                ran.append("requires")

            def call(self, graph_module):
                ran.append("tanh")
                found = [n for n in graph_module.graph.nodes if n.op == "call_method" and n.target == "relu"]
                for node in found:
                    node.target = "tanh"
                return base.PassResult(graph_module, bool(found))

        def nothing(gm):
            ran.append("nothing")

        wrapped = manager.pass_result_wrapper(nothing)
        tanh = Tanh()
        ordered = manager.PassManager(
            [wrapped, tanh], constraints=[manager.this_before_that_pass_constraint(tanh, wrapped)]
        )
        result = ordered(staged(torch))
        return ran, result.modified, result.graph_module.code, wrapped.__name__

    agree(code)

    def failing(torch):
        passes(torch, "passes.infra.pass_manager").PassManager([lambda gm: None])(staged(torch))

    assert type(agree(failing)) is Exception


def test_small_helps():
    def code(torch):
        gm = staged(torch)
        modules = dict(gm.named_modules())
        common, manipulation = passes(torch, "passes.tools_common"), passes(torch, "passes.graph_manipulation")
        support = passes(torch, "passes.operator_support")
        targets = [common.get_node_target(modules, n) for n in gm.graph.nodes if n.op.startswith("call")]
        known = support.OperatorSupport({"torch.nn.modules.linear.Linear": None, "relu": None})
        both = support.chain(known, support.OpSupports.decline_if_node_in_names({"b"}))
        supported = [(known.is_node_supported(modules, n), both.is_node_supported(modules, n)) for n in gm.graph.nodes]
        nodes = list(gm.graph.nodes)
        nodes[3].prepend(nodes[-2])
        orders = [
            [n.name for n in sort(gm).graph.nodes] for sort in (common.stable_topological_sort, common.legalize_graph)
        ]
        manipulation.replace_target_nodes_with(gm, "call_method", "relu", "call_method", "sigmoid")
        gm.recompile()
        attributes = passes(torch, "passes.param_fetch").extract_attrs_for_lowering(gm.a)
        return targets, supported, orders, gm.code, sorted(attributes)

    agree(code)


def test_arguments_by_signature():
    def code(torch):
        class M(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.l = torch.nn.Linear(3, 3)

            def forward(self, x):
                return torch.nn.functional.dropout(self.l(x), 0.3)

        gm = torch.fx.symbolic_trace(M())
        return [str(n.normalized_arguments(gm, normalize_to_only_use_kwargs=True)) for n in gm.graph.nodes]

    agree(code)


def test_equal_graphs():
    compare = fb.fx.passes.utils.common.compare_graphs
    one, other = (fb.fx.symbolic_trace(lambda x, y: fb.relu(x) + y).graph for _ in range(2))
    assert compare(one, other)
    assert not compare(one, fb.fx.symbolic_trace(lambda x, y: fb.relu(y) * x).graph)


def test_pictures_need_a_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydot", None)
    with pytest.raises(RuntimeError, match="FXGraphDrawer requires the pydot package to be installed"):
        fb.fx.passes.graph_drawer.FxGraphDrawer(staged(fb), "name")


class Pydot:
    """Stands for the package: keeps what is drawn."""

    class Dot:
        def __init__(self, name, **style):
            self.nodes, self.edges = {}, []

        def add_node(self, node):
            self.nodes[node.name] = node.label

        def add_edge(self, edge):
            self.edges.append(edge.ends)

    class Node:
        def __init__(self, name, label, **style):
            self.name, self.label = name, label

    class Edge:
        def __init__(self, *ends):
            self.ends = ends


def test_pictures(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydot", Pydot)
    gm = staged(fb)
    fb.fx.passes.shape_prop.ShapeProp(gm).propagate(fb.ones(2, 3))
    drawer = fb.fx.passes.graph_drawer.FxGraphDrawer
    full = drawer(gm, "full").get_dot_graph()
    assert ("x", "a") in full.edges and ("a.weight", "a") in full.edges and ("w", "add") in full.edges
    assert "torch.nn.modules.linear.Linear" in full.nodes["a"] and "in_features=3" in full.nodes["a"]
    assert "shape=torch.Size([2, 3])" in full.nodes["add"] and "target=operator.add" in full.nodes["add"]
    less = drawer(
        gm, "less", ignore_getattr=True, ignore_parameters_and_buffers=True, skip_node_names_in_args=False
    ).get_dot_graph()
    assert set(full.nodes) - set(less.nodes) == {"w", "bu", *(n for n in full.nodes if "." in n)}
    dropout = fb.fx.symbolic_trace(lambda x: fb.nn.functional.dropout(x, 0.3))
    assert "training: True" in drawer(dropout, "named", normalize_args=True).get_dot_graph().nodes["dropout"]


def test_annotations_of_values():
    def code(torch):
        annotate = passes(torch, "annotate").annotate
        gm = torch.fx.symbolic_trace(lambda x: annotate(x + 1, torch.Tensor) * 2)
        return gm.code

    agree(code)


def test_types_of_tensors():
    def code(torch):
        kinds = passes(torch, "tensor_type")
        one, other = kinds.TensorType((1, kinds.Dyn)), kinds.TensorType((1, 2))
        pairs = [(one, other), (other, one), (kinds.Dyn, one), (one, kinds.Dyn), (other, kinds.TensorType((1,)))]
        seen = [(kinds.is_consistent(a, b), kinds.is_more_precise(a, b), a == b) for a, b in pairs]
        return seen, repr(one), repr(kinds.Dyn)

    agree(code)


def test_a_node_is_matched_once() -> None:
    def code(torch: Any) -> str:
        graph = torch.fx.symbolic_trace(lambda x, z: torch.add(x, z) + torch.add(x, x))
        found = torch.fx.replace_pattern(graph, lambda x, y: torch.add(x, y), lambda x, y: torch.sub(x, y))
        return f"{len(found)} {graph.code}"

    assert code(fb) == code(importlib.import_module("torch"))


def test_partitions_are_pytorchs() -> None:
    """The parts of random graphs, the modules that they become, and what these compute."""
    import importlib
    import operator
    import random

    def run(name: str) -> list[Any]:
        torch, made = importlib.import_module(name), []
        support = importlib.import_module(f"{name}.fx.passes.operator_support").OperatorSupport
        partitioner = importlib.import_module(f"{name}.fx.passes.infra.partitioner").CapabilityBasedPartitioner

        class Some(support):
            def is_node_supported(self, submodules: Any, node: Any) -> bool:
                taken = (torch.sin, torch.cos, operator.add, operator.getitem, torch.split)
                return node.op == "call_method" or (node.op == "call_function" and node.target in taken)

        for seed in range(25):

            def program(x: Any, seed: int = seed) -> Any:
                choose, values = random.Random(seed), [x]
                for _ in range(8):
                    a, b = choose.choice(values), choose.choice(values)
                    steps = [
                        lambda a=a: torch.sin(a), lambda a=a: torch.cos(a), lambda a=a, b=b: a + b, lambda a=a: torch.tan(a),
                        lambda a=a, b=b: a * b, lambda a=a: a.neg(), lambda a=a: torch.split(a, 1)[0],
                    ]  # fmt: skip
                    values.append(choose.choice(steps)())
                return values[-1] + values[-2]

            graph = torch.fx.symbolic_trace(program, concrete_args={"seed": seed})
            graph.graph.eliminate_dead_code()
            graph.recompile()
            expected = graph(torch.ones(3, 2))
            for options in ({"allows_single_node_partition": True}, {}, {"skip_horizontal_fusion": True}):
                found = partitioner(graph, Some(), **options)
                parts = found.propose_partitions()
                made.append([sorted(map(str, part.nodes)) for part in parts])
            fused = found.fuse_partitions(parts, prefix="part_")
            assert torch.allclose(fused(torch.ones(3, 2)), expected)
            made.append([n.name for n in fused.graph.nodes])
        return made

    ours, theirs = run("flambeau"), run("torch")
    assert ours == theirs
