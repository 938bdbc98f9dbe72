"""Passes that rewrite graphs, the table of decompositions, and what `torch.export` notes of its nodes: as in torch."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

import pytest
import torch

import flambeau as fb


def module(name: str) -> tuple[Any, Any]:
    """A module of both libraries."""
    return importlib.import_module(f"torch.{name}"), importlib.import_module(f"flambeau.{name}")


def with_library(function: Any, lib: Any) -> Any:
    return lambda x: function(lib, x)


def code(made: Any) -> str:
    return made.code.replace("flambeau", "torch").strip()


# --- reinplace -------------------------------------------------------------------------------------------------------

REINPLACED = {
    "a chain": lambda t, x: (x + 1).relu().sigmoid().neg(),
    "a clone of the input": lambda t, x: (x.clone() + 1) * 2,
    "read later": lambda t, x: (x + 1) * 2 + (x + 1).exp(),
    "a result that is given back": lambda t, x: (lambda y: (y, y * 2))(x + 1),
    "a view whose base is given back": lambda t, x: (lambda y: (y.view(-1) + 1, y))(x.clone()),
    "a view whose base nobody reads": lambda t, x: x.clone().view(-1).add(1),
    "another dtype": lambda t, x: (x + 1).to(t.float64) + 1,
    "another shape": lambda t, x: (x.sum(0) + x).exp() + 1,
    "an expanded one": lambda t, x: x.sum(0).expand(2, 3) + 1,
    "a comparison": lambda t, x: (x + t.ones(2, 3) > 0).logical_not(),
    "the same one twice": lambda t, x: (lambda y: y + y)(x.exp()),
    "what is made of nothing": lambda t, x: t.zeros(3) + x[0],
}


@pytest.mark.parametrize("name", REINPLACED)
def test_reinplace(name: str) -> None:
    made = []
    for lib in (torch, fb):
        make_fx = importlib.import_module(f"{lib.__name__}.fx.experimental.proxy_tensor").make_fx
        reinplace = importlib.import_module(f"{lib.__name__}.fx.passes.reinplace").reinplace
        x = lib.arange(6.0).view(2, 3)
        graph = make_fx(with_library(REINPLACED[name], lib))(x)
        expected = graph(x)
        changed = reinplace(graph, x)
        assert changed is graph
        for e, g in zip(*[v if isinstance(v, tuple) else (v,) for v in (expected, graph(x))], strict=True):
            assert e.tolist() == g.tolist()
        assert x.tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
        made.append(code(graph))
    assert made[0] == made[1]


# --- normalize -------------------------------------------------------------------------------------------------------


def layers(t: Any) -> Any:
    class M(t.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.l, self.d, self.b, self.e = (
                t.nn.Linear(2, 2),
                t.nn.Dropout(0.3),
                t.nn.BatchNorm1d(2),
                t.nn.Embedding(3, 2),
            )

        def forward(self, x: Any, i: Any) -> Any:
            y = self.d(self.b(self.l(x))) - self.e(i)
            y = t.nn.functional.relu(y) @ y.t()
            return t.cat([y, y], 0) ** 2, -y, t.nn.functional.dropout(y, 0.2, training=False), t.sum(y, 0)

    return M().eval()


@pytest.mark.parametrize("keywords", [True, False])
def test_normalize_args(keywords: bool) -> None:
    made = []
    for lib, normalize in zip((torch, fb), module("fx.experimental.normalize"), strict=True):
        graph = lib.fx.symbolic_trace(layers(lib))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, of types that it can't tell
            made.append(code(normalize.NormalizeArgs(graph, keywords).transform()))
    assert made[0] == made[1]


def test_normalize_operators() -> None:
    ours = module("fx.experimental.normalize")[1]
    graph = ours.NormalizeOperators(
        fb.fx.symbolic_trace(lambda x, y: fb.add(x, y) * fb.div(x, 2) > fb.sub(x, y, alpha=2))
    )
    text = graph.transform().code
    assert "x + y" in text and "x / 2" in text and "torch.sub(x, y, alpha = 2)" in text.replace("flambeau", "torch")


def test_a_result_has_no_annotation_where_the_signature_is_written_anew() -> None:
    def plain(x: Any, y: int = 3) -> int:
        return x

    def keyword(x: Any, *, y: int = 3) -> int:
        return x

    def several(x: Any, *ys) -> int:  # type: ignore[no-untyped-def]
        return x

    for f in (plain, keyword, several):
        assert code(fb.fx.symbolic_trace(f)) == code(torch.fx.symbolic_trace(f))


# --- what torch.export notes, and the parts that are found by it ---------------------------------------------------------


def network(t: Any) -> Any:
    class M(t.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.s = t.nn.Sequential(t.nn.Linear(3, 4), t.nn.ReLU())
            self.l, self.c = t.nn.Linear(4, 2), t.nn.Conv1d(1, 2, 1)

        def forward(self, x: Any) -> Any:
            y = self.l(self.s(x))
            return t.relu(self.c(y.unsqueeze(1)).flatten(1))

    return M()


def test_export_notes_the_modules_of_a_node() -> None:
    stacks = []
    for lib in (torch, fb):
        graph = lib.export.export(network(lib), (lib.ones(2, 3),)).module().graph
        calls = [n for n in graph.nodes if n.op in ("call_function", "call_method")]
        stacks.append([[path for path, _ in n.meta["nn_module_stack"].values()] for n in calls])
        kinds = [kind for n in calls for _, kind in n.meta["nn_module_stack"].values()]
        assert f"{lib.__name__}.nn.modules.linear.Linear" in kinds
    assert stacks[0] == stacks[1]


def test_source_partitions() -> None:
    found = []
    for lib, matcher in zip((torch, fb), module("fx.passes.utils.source_matcher_utils"), strict=True):
        graph = lib.export.export(network(lib), (lib.ones(2, 3),)).module().graph
        parts = matcher.get_source_partitions(
            graph, [lib.nn.Linear, lib.nn.ReLU, lib.nn.Conv1d, lib.nn.GELU, "flatten"]
        )
        texts = {
            getattr(k, "__name__", k): [[list(map(str, x)) for x in (p.nodes, p.input_nodes, p.output_nodes, p.params)] for p in v]
            for k, v in parts.items()
        }  # fmt: skip
        linear, relu = parts[lib.nn.Linear], parts[lib.nn.ReLU][0]
        joined = [
            matcher.check_subgraphs_connected(*pair)
            for pair in ((linear[0], relu), (relu, linear[0]), (relu, linear[1]))
        ]
        none = matcher.get_source_partitions(graph, [lib.nn.Linear], lambda node: node.name != "linear")
        found.append((texts, joined, [str(p.nodes) for p in none[lib.nn.Linear]]))
    assert found[0] == found[1]


def test_a_signature_says_what_is_changed() -> None:
    signature = fb.export.export(network(fb), (fb.ones(2, 3),)).graph_signature
    assert signature.buffers_to_mutate == signature.user_inputs_to_mutate == {}
    assert signature.inputs_to_lifted_tensor_constants == {}
    with pytest.raises(RuntimeError, match="Expecting `args` to be a tuple of example positional inputs") as error:
        fb.export.export(network(fb), fb.ones(2, 3))
    assert type(error.value).__name__ == "UserError"


# --- decompositions --------------------------------------------------------------------------------------------------


def test_the_registry() -> None:
    said = []
    for lib, decomp in zip((torch, fb), module("_decomp"), strict=True):
        aten, own = lib.ops.aten, {}  # type: Any, dict[Any, Any]
        rule = decomp.register_decomposition([aten.sinc, aten.cos.default], registry=own)(lambda x: x)
        texts: list[Any] = [sorted(str(k) for k in own if "out" not in str(k)), rule(3)]
        for wrong in (
            lambda: decomp.register_decomposition(aten.cos.default, registry=own)(rule),  # noqa: B023
            lambda: decomp.register_decomposition(aten.cos.default, type="x")(rule),  # noqa: B023
            lambda: decomp.get_decompositions([aten.cos.default], type="x"),  # noqa: B023
        ):
            with pytest.raises((RuntimeError, AssertionError)) as error:
                wrong()
            texts.append((type(error.value), str(error.value)))
        decomp.remove_decompositions(own, [aten.cos])
        said.append([*texts, len([k for k in own if "out" not in str(k)])])
    assert said[0] == said[1]


def test_decompositions_compute_what_their_operators_do() -> None:
    x, y, z, v = (fb.randn(3, 3, dtype=fb.float64) for _ in range(4))
    b, vec = fb.randn(2, 3, 3, dtype=fb.float64), fb.randn(3, dtype=fb.float64)
    arguments = {
        "addmm": (x, y, z, 2, 3), "baddbmm": (b, b, b, 0, 2), "addmv": (vec, x, vec, 2, 1), "addr": (x, vec, vec, 1, 4), "addcmul": (x, y, z, 2),
        "addcdiv": (x, y, z, 3), "silu": (x,), "mish": (x,), "gelu": (x, "none"), "hardsigmoid": (x,), "hardswish": (x * 4,),
        "leaky_relu": (x, 0.2), "elu": (x, 0.5), "softplus": (x * 20, 2, 20), "threshold": (x, 0.1, 7.0), "_softmax": (x, 1, False),
        "_log_softmax": (x, 0, False), "native_layer_norm": (x, [3], vec, vec, 1e-5), "mse_loss": (x, y, 1), "rsub": (x, y, 2),
        "lerp": (x, y, 0.3), "t": (v,),
    }  # fmt: skip
    table = fb._decomp.core_aten_decompositions()
    assert {op.overloadpacket.__name__ for op in table} == set(arguments)
    for op, rule in table.items():
        given = arguments[op.overloadpacket.__name__]
        if op in (fb.ops.aten.rsub.Scalar, fb.ops.aten.lerp.Tensor):
            given = (x, 3) if op is fb.ops.aten.rsub.Scalar else (x, y, z)
        count = sum(not a.kwarg_only for a in op._schema.arguments)
        named = dict(zip([a.name for a in op._schema.arguments[count:]], given[count:], strict=False))
        results = (rule(*given[:count], **named), op(*given[:count], **named))
        for mine, whole in zip(*[r if isinstance(r, tuple) else (r,) for r in results], strict=True):
            fb.testing.assert_close(mine, whole)


def test_make_fx_with_decompositions() -> None:
    make_fx = importlib.import_module("flambeau.fx.experimental.proxy_tensor").make_fx
    table = fb._decomp.get_decompositions([fb.ops.aten.addmm, fb.ops.aten.silu])
    x = fb.randn(2, 2)
    graph = make_fx(lambda a, b: fb.nn.functional.silu(fb.addmm(a, a, b)), decomposition_table=table)(x, x)
    names = [n.target.overloadpacket.__name__ for n in graph.graph.nodes if n.op == "call_function"]
    assert names == ["mm", "add", "sigmoid", "mul"]
    fb.testing.assert_close(graph(x, x), fb.nn.functional.silu(fb.addmm(x, x, x)))


def test_factories_in_a_graph_say_where_they_lie() -> None:
    def f(t: Any, x: Any) -> Any:
        return (
            t.zeros(2),
            t.ones(2, dtype=t.int64),
            t.full((2,), 3),
            t.zeros_like(x),
            x.new_zeros(2),
            x.new_full((2,), 3),
            t.arange(3),
            x.to(t.float64),
        )

    made = []
    for lib in (torch, fb):
        make_fx = importlib.import_module(f"{lib.__name__}.fx.experimental.proxy_tensor").make_fx
        made.append(make_fx(with_library(f, lib))(lib.ones(2)))
    assert code(made[0]) == code(made[1])
    assert [r.tolist() for r in made[1](fb.ones(2))] == [r.tolist() for r in made[0](torch.ones(2))]
