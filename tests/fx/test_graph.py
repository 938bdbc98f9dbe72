"""Graphs, nodes, proxies and tracers: what they print, refuse and change, against torch."""

from __future__ import annotations

import copy
import math
import operator
import warnings
from collections import namedtuple
from typing import Any

import pytest
import torch

import flambeau as fb
from support.programs import agree
from support.traced import Model

Pair = namedtuple("Pair", "a b")
FNS = ("relu", "nn.functional.relu", "nn.functional.gelu", "conv2d", "einsum", "fft.fft", "linalg.norm", "special.expm1", "Tensor.add",
       "nn.functional.linear", "nn.functional.max_pool2d", "nn.functional.pad", "nn.Linear", "nn.init.zeros_", "split", "cat",
       "nn.functional.logsigmoid", "nn.functional.scaled_dot_product_attention", "Size", "_assert")  # fmt: skip


def find(library: Any, name: str) -> Any:
    for part in name.split("."):
        library = getattr(library, part)
    return library


@pytest.mark.parametrize("name", FNS)
def test_functions_have_torchs_names_and_are_found_by_them(name):
    node = fb.fx.node
    assert node._get_qualified_name(find(fb, name)) == torch.fx.node._get_qualified_name(find(torch, name))
    assert find(fb, node._get_qualified_name(find(fb, name)).removeprefix("torch.")) is find(fb, name)


def test_python_functions_have_their_names():
    for function in (len, math.sqrt, operator.add, operator.getitem, getattr, print):
        assert fb.fx.node._get_qualified_name(function) == torch.fx.node._get_qualified_name(function)


def test_names_get_numbers_as_torchs():
    asked = """x x x_1 x_1 x_5 x 1a a-b.c relu relu_ len len add_1 add add torch device x__2 _ _1 a_01 a_01 a_1 for inf self input
    x.y.z x_y_z fx_pytree pytree Conv2d relu_1 relu_2 relu relu""".split()

    def code(library):
        names = library.fx.graph._Namespace()
        return [names.create_name(candidate, None) for candidate in ["", *asked]]

    agree(code)
    for word in ("ConvTranspose2dFoo", "ABCDef", "a1B2", "LSTM", "BatchNorm"):
        assert fb.fx.graph._snake_case(word) == torch.fx.graph._snake_case(word)


def everything(library: Any) -> Any:
    """A graph with a node of every kind, and of every sign."""
    graph = library.fx.Graph()
    x = graph.placeholder("x")
    y = graph.placeholder("y", type_expr=int, default_value=3)
    added = graph.call_function(operator.iadd, (x, y))
    graph.call_function(operator.setitem, (x, 0, y))
    graph.call_method("foo", (x,), {"k": y})
    for args in ((x, "bar"), (x, "b-r"), (x, "b", 2)):
        graph.call_function(getattr, args)
    graph.call_function(print, (x,))
    graph.call_function(operator.add, (x, y), {"q": 1})
    graph.call_function(library.nn.Linear, (x,))
    graph.call_function(library.relu, (x,), name="zork", type_expr=library.Tensor)
    graph.create_node("call_function", library.relu, (x,), {}, "relu_5")
    graph.call_function(library.relu, (x,))
    graph.call_method("__add__", (x, 1))
    graph.call_module("a.0.b", (x,))
    graph.get_attr("p.q")
    graph.call_function(operator.not_, (x,))
    graph.call_function(math.floor, (x,))
    graph.call_function(library.cat, ([x, y],), {"dim": slice(x, None, 2)})
    graph.call_function(
        library.zeros, ((2,), {"a": (x,)}, float("inf"), None, ..., 1j, "q'\n", library.float32, library.device("cpu"))
    )
    graph.output([x, (added,), Pair(x, 1)], type_expr=int)
    return graph


def test_code_and_text_of_every_node():
    agree(lambda torch: str(everything(torch)).replace("test_graph.", ""))
    for root in ("self", "root"):
        agree(lambda torch, root=root: everything(torch).python_code(root).src)
    agree(lambda torch: everything(torch).python_code("self", verbose=True).src)
    agree(lambda torch: str(copy.deepcopy(everything(torch))))
    agree(lambda torch: [node.format_node() for node in everything(torch).nodes])
    agree(lambda torch: [node.is_impure() for node in everything(torch).nodes if node.op != "call_module"])
    agree(lambda torch: [str(n.users) + str(n.all_input_nodes) for n in everything(torch).nodes])


def test_annotations():
    def code(torch):
        from typing import Any, Dict, List, Optional, Tuple, Union  # noqa: UP035

        def typed(x: torch.Tensor, a: List[int], b: Optional[torch.Tensor] = None, c: Dict[str, int] = {}, d: Tuple[int, ...] = (),  # noqa: B006, UP006, UP045
                  e: list[int] = [], f: int | None = None, g: Any = None, h: Union[int, str] = 1, i: float = float("inf")):  # noqa: B006, UP007  # fmt: skip
            return x, float("nan")

        typed.__annotations__ = {  # this file's are texts
            "x": torch.Tensor, "a": List[int], "b": Optional[torch.Tensor], "c": Dict[str, int], "d": Tuple[int, ...],  # noqa: UP006, UP045
            "e": list[int], "f": int | None, "g": Any, "h": Union[int, str], "i": float, "return": Tuple[torch.Tensor, int],  # noqa: UP006, UP007
        }  # fmt: skip
        gm = torch.fx.symbolic_trace(typed)
        return gm.code, str(gm.graph)

    agree(code)


@pytest.mark.parametrize(
    "change",
    [
        lambda torch, g, n: g.erase_node(n[0]),
        lambda torch, g, n: n[5].kwargs.update(a=1),
        lambda torch, g, n: n[0].args.append(1),
        lambda torch, g, n: g.inserting_before(torch.fx.Graph().placeholder("x")),
        lambda torch, g, n: g.inserting_after(torch.fx.Graph().placeholder("x")),
        lambda torch, g, n: g.create_node("foo", "bar"),
        lambda torch, g, n: g.create_node("call_function", "bar"),
        lambda torch, g, n: g.create_node("call_function", torch.relu, [1]),
        lambda torch, g, n: g.create_node("call_function", torch.relu, (1,), [1]),
        lambda torch, g, n: torch.fx.Graph().output_node(),
        lambda torch, g, n: g.find_nodes(op="call_function"),
        lambda torch, g, n: torch.fx.Graph().erase_node(n[0]),
        lambda torch, g, n: torch.fx.wrap(3),
        lambda torch, g, n: torch.fx.wrap("abc"),
        lambda torch, g, n: torch.fx.Tracer().create_arg(object()),
        lambda torch, g, n: torch.fx.Tracer().create_arg({1, 2}),
        lambda torch, g, n: torch.fx.GraphModule({}, g),
        lambda torch, g, n: torch.fx.GraphModule(3, g),
        lambda torch, g, n: len(torch.fx.Proxy(n[0])),
        lambda torch, g, n: torch.add(torch.fx.Proxy(n[0]), torch.fx.Proxy(torch.fx.Graph().placeholder("x"))).foo,
    ],
)
def test_refusals(change):
    def code(torch):
        graph = everything(torch)
        return str(change(torch, graph, list(graph.nodes)))

    error = agree(code, words=0)
    assert isinstance(error, Exception)


def broken(torch: Any, how: str) -> Any:
    graph = torch.fx.Graph()
    x = graph.placeholder("x")
    y = graph.call_function(torch.relu, (x,))
    if how == "order":
        y.append(x)
    elif how == "name":
        y.name = "x"
    elif how == "other":
        graph.call_function(torch.relu, (torch.fx.Graph().placeholder("z"),))
    elif how == "kind":
        x.op = "foo"
    elif how == "missing":
        gm = torch.fx.symbolic_trace(Model(torch))
        del gm.l
        graph = gm.graph
    graph.output(y) if how != "missing" else None
    graph.lint()
    return str(graph)


@pytest.mark.parametrize("how", ["fine", "order", "name", "other", "kind", "missing"])
def test_lint(how):
    agree(lambda torch: broken(torch, how), words=None)


def test_surgery():
    def code(torch):
        graph = torch.fx.Graph()
        x = graph.placeholder("x")
        a = graph.call_function(torch.neg, (x,))
        kept = graph.call_function(torch.rand, (3,))
        b = graph.call_method("add_", (x, 1))
        graph.output((a, x))
        seen = [graph.eliminate_dead_code(), str(graph), kept.is_impure()]
        with graph.inserting_before(a):
            q = graph.call_function(torch.sin, (x,))
            with graph.inserting_after(q):
                graph.call_function(torch.cos, (x,))
                graph.call_function(torch.tan, (x,))
        with graph.inserting_after():
            graph.call_function(torch.exp, (x,))
        with graph.inserting_before():
            graph.call_function(torch.log, (x,))
        seen += [
            str(graph),
            str(a.replace_all_uses_with(q)),
            str(graph),
            str(b._erased),
            a < q,
            q <= a,
            len(graph.nodes),
        ]
        a.args = (q, [x, {"k": q}])
        a.update_arg(0, 5)
        a.insert_arg(1, x)
        a.update_kwarg("out", q)
        seen += [
            str(graph),
            str(q.users),
            str(list(reversed(graph.nodes))),
            str(graph.find_nodes(op="call_function", target=torch.sin)),
        ]
        other, places = torch.fx.Graph(), {}
        result = other.graph_copy(torch.fx.symbolic_trace(Model(torch)).graph, places)
        return [*seen, str(other), str(result), len(places)]

    agree(code)


def test_generated_code_can_be_changed():
    def code(torch):
        gm = torch.fx.symbolic_trace(Model(torch))
        before, given = gm.code, []

        def make(current):
            given.append(current)
            return lambda body: ["print('begin')\n", *body]

        with gm.graph.on_generate_code(make):
            gm.recompile()
            changed = gm.code
        gm.recompile()
        return changed, given, gm.code == before

    agree(code)


def test_a_users_code_generator():
    def code(torch):
        class Listed(torch.fx.CodeGen):
            def gen_fn_def(self, free_vars, maybe_return_annotation, **kwargs):
                return f"def forward(self, args_list){maybe_return_annotation}:\n    {', '.join(free_vars)} = args_list"

            def process_inputs(self, *inputs):
                return inputs[0]

        gm = torch.fx.symbolic_trace(lambda x, y: x + y)
        gm.graph.set_codegen(Listed())
        gm.recompile()
        pair = [torch.ones(2), torch.ones(2)]
        return gm.code, gm(pair), torch.fx.Interpreter(gm).run(pair)

    agree(code)


class Bad:
    """Programs that look into their values."""

    branch = staticmethod(lambda x: 1 if x.sum() > 0 else 2)
    loop = staticmethod(lambda x: [a for a in x])  # noqa: C416
    star = staticmethod(lambda x: max(*x))
    length = staticmethod(lambda x: len(x))
    number = staticmethod(lambda x: range(x))
    whole = staticmethod(lambda x: int(x))
    real = staticmethod(lambda x: float(x))
    member = staticmethod(lambda x: 3 in x)
    keys = staticmethod(lambda x: dict(**x))
    negation = staticmethod(lambda x: not x)


@pytest.mark.parametrize("name", [n for n in vars(Bad) if not n.startswith("_")])
def test_what_looks_into_values_is_refused(name):
    def error(library):
        with pytest.raises((ValueError, TypeError, RuntimeError)) as caught:
            library.fx.symbolic_trace(getattr(Bad, name))
        return type(caught.value).__name__, str(caught.value)

    assert error(fb) == error(torch)


def test_assertions_can_be_traced():
    # pytest would rewrite an assertion that stood here; torch itself does not know those of this version of Python
    scope: dict[str, Any] = {}
    exec("def f(x):\n    assert x.shape[0] > 2\n    return x\ndef g(x):\n    return x if x.shape[0] > 2 else -x", scope)

    class Asserting(fb.fx.Tracer):
        trace_asserts = True

    gm = fb.fx.GraphModule({}, Asserting().trace(scope["f"]))
    assert "assert_fn = torch.fx.proxy.assert_fn(gt)" in gm.code
    gm(fb.ones(3))
    with pytest.raises(AssertionError):
        gm(fb.ones(2))
    with pytest.raises(fb.fx.proxy.TraceError):
        Asserting().trace(scope["g"])


def test_tracers_of_users():
    def code(torch):
        class Own(torch.fx.Tracer):
            def is_leaf_module(self, m, module_qualified_name):
                return module_qualified_name == "seq"

            def to_bool(self, obj):
                return True

            def iter(self, obj):
                return iter([obj[0], obj[1]])

            def create_proxy(self, kind, target, args, kwargs, name=None, type_expr=None):
                made = super().create_proxy(kind, target, args, kwargs, name, type_expr)
                self.seen.append((kind, str(made)))
                return made

        own = Own()
        own.seen = []
        model = Model(torch)
        graph = own.trace(model)
        free = Own()
        free.seen = []
        loop = free.trace(lambda x: sum(x) if x.any() else x)
        gm = torch.fx.GraphModule(model, graph, "Named")
        return str(graph), own.seen, str(loop), gm.code, repr(gm), graph._tracer_cls.__name__

    agree(code)


def test_parameters_with_constant_shapes():
    def code(torch):
        class M(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.w = torch.nn.Parameter(torch.ones(2, 3))
                self.register_buffer("b", torch.ones(3))

            def forward(self, x):
                return x.view(self.w.shape) * self.w.size()[0] + self.w.ndim + self.w.numel() + self.b + self.b.sum()

        tracer = torch.fx.Tracer()
        tracer.proxy_buffer_attributes = True
        return str(torch.fx.Tracer(param_shapes_constant=True).trace(M())), str(tracer.trace(M()))

    agree(code)


def test_concrete_arguments():
    def code(torch):
        trace, ph = torch.fx.symbolic_trace, torch.fx.PH
        fixed = trace(lambda x, b, c: x + b if c else x - 1, concrete_args={"b": 5, "c": True})
        none = trace(lambda x, b=None: x + 1 if b is None else x - 1, concrete_args={"b": None})
        text = trace(lambda x, b="a": x + 1 if b == "a" else x - 1, concrete_args={"b": "a"})
        tree = trace(lambda x, d: x + d["a"] + d["b"][0], concrete_args={"d": {"a": ph, "b": [ph, 2]}})
        pair = trace(lambda d: {"s": d[0] + d[1], "t": [d[0]]}, concrete_args={"d": (ph, ph)})
        one = torch.ones(2)
        results = [fixed(one, 5, True), none(one), text(one), tree(one, {"a": one, "b": [one, 2]}), pair((one, one))]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch calls what it has deprecated
            copied = copy.deepcopy(tree)
        return (
            [g.code for g in (fixed, none, text, tree, pair)],
            results,
            copied(one, {"a": one, "b": [one, 2]}),
            copied.code,
        )

    agree(code)

    def refused(torch):
        gm = torch.fx.symbolic_trace(lambda x, b: x + b, concrete_args={"b": 5})
        return gm(torch.ones(2), 6)

    assert isinstance(agree(refused), AssertionError)


def test_where_a_node_comes_from():
    tracer = fb.fx.Tracer()
    tracer.record_stack_traces = True
    model = Model(fb)
    gm = fb.fx.GraphModule(model, tracer.trace(model))
    traces = {n.name: n.stack_trace for n in gm.graph.nodes}
    assert traces["x"] is None
    assert traces["mul"].count("File ") == 1
    assert "traced.py" in traces["mul"] and "z = self.l(x) + self.p * 2 - self.b" in traces["mul"]
    assert "in forward, code: z = functional.relu(z)" in gm.print_readable(print_output=False)


def test_modules_stack():
    def code(torch):
        graph = torch.fx.symbolic_trace(Model(torch)).graph
        stacks = [list(n.meta.get("nn_module_stack", {}).items()) for n in graph.nodes]
        return [[(key, path, kind.__name__) for key, (path, kind) in stack] for stack in stacks]

    agree(code)


def test_table_needs_a_package(capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tabulate", None)
    with pytest.raises(ImportError):
        everything(fb).print_tabular()
    assert "relies on the library `tabulate`" in capsys.readouterr().out


def test_what_is_public_is_there():
    missing = {}
    for name in (
        "",
        ".node",
        ".graph",
        ".graph_module",
        ".proxy",
        ".interpreter",
        "._symbolic_trace",
        ".subgraph_rewriter",
    ):
        theirs = __import__(f"torch.fx{name}", fromlist=["x"])
        ours = __import__(f"flambeau.fx{name}", fromlist=["x"])
        absent = [
            n for n in getattr(theirs, "__all__", ()) if not hasattr(ours, n) and n != "MetaProxy"
        ]  # for fake tensors
        if absent:
            missing[name] = absent
    assert missing == {}
