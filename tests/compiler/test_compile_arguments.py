"""The arguments of `torch.compile` that say how much is compiled and what it is called."""

from __future__ import annotations

import copy
import inspect
import pickle
import warnings
from typing import Any

import pytest
import torch

import flambeau as fb


def choose(x: Any, which: str) -> Any:
    return x + {"a": 1, "b": 2, "c": 3, "d": 4}[which]


def _run(library: Any, limit: int | None, fullgraph: bool) -> tuple[list[float], int, str]:
    """The results of four signatures, how many were compiled, and what ended the loop."""
    seen: list[float] = []
    graphs = 0

    def count(graph: Any, inputs: Any) -> Any:
        nonlocal graphs
        graphs += 1
        return graph.forward

    ended = ""
    backend = {"backend": count} if library is torch else {}
    if library is torch:
        torch._dynamo.reset()
    compiled = library.compile(choose, fullgraph=fullgraph, recompile_limit=limit, **backend)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for which in "abcd":
                seen.append(compiled(library.ones(1), which).item())
        except Exception as error:
            ended = type(error).__name__
    return seen, graphs if library is torch else len(fb.compiler.explain(compiled)), ended


@pytest.mark.parametrize("fullgraph", [False, True])
def test_a_limit_counts_the_programs_of_all_signatures(fullgraph: bool) -> None:
    for limit, graphs in ((None, 4), (0, 0), (1, 1), (2, 2), (-1, 0)):  # as the slow test below finds in PyTorch
        ended = "FailOnRecompileLimitHit" if fullgraph and graphs < 4 else ""
        seen = [2.0, 3.0, 4.0, 5.0][: graphs if fullgraph else 4]
        assert _run(fb, limit, fullgraph) == (seen, graphs, ended)


@pytest.mark.slow  # PyTorch's compiler takes seconds to be imported
def test_a_limit_counts_what_pytorch_counts() -> None:
    for limit in (None, 0, 1, 2, -1):
        for fullgraph in (False, True):
            assert _run(fb, limit, fullgraph) == _run(torch, limit, fullgraph)


@pytest.mark.slow
def test_a_spec_of_another_kind_has_pytorchs_text() -> None:
    for wrong in (3, "z", [None]):
        texts = []
        for library in (torch, fb):
            with warnings.catch_warnings(), pytest.raises(TypeError) as raised:
                warnings.simplefilter("ignore")
                library.compile(choose, shapes_spec=wrong)
            texts.append(str(raised.value))
        assert texts[0] == texts[1]


def test_beyond_the_limit_a_warning_names_it() -> None:
    compiled = fb.compile(choose, name="chosen", recompile_limit=1)
    compiled(fb.ones(1), "a")
    with pytest.warns(
        UserWarning, match=r"chosen.* has been compiled 1 times \(recompile_limit\), and runs uncompiled"
    ):
        assert compiled(fb.ones(1), "b").item() == 3


def test_each_call_has_programs_of_its_own() -> None:
    first, second = (fb.compile(choose, isolate_recompiles=i, recompile_limit=1) for i in (True, False))
    first(fb.ones(1), "a")
    second(fb.ones(1), "b")
    assert len(fb.compiler.explain(first)) == len(fb.compiler.explain(second)) == 1


def test_a_module_keeps_its_name_and_limit_in_copies() -> None:
    layer = fb.nn.Linear(2, 2)
    compiled = fb.compile(name="layer", recompile_limit=1)(layer)
    for one in (compiled, copy.deepcopy(compiled), pickle.loads(pickle.dumps(compiled))):
        one(fb.ones(1, 2))
        assert str(fb.compiler.explain(one)).startswith("layer: 1 program\n")
        with pytest.warns(UserWarning, match="recompile_limit"):
            one(fb.ones(2, 2))
    layer.compile(name="in place", recompile_limit=1)
    assert layer(fb.ones(1, 2)).shape == (1, 2)


def test_shapes_are_refused_by_name() -> None:
    for nothing in (None, {}, {"x": None}):
        assert fb.compile(choose, shapes_spec=nothing)(fb.ones(1), "a").item() == 2
    with pytest.raises(TypeError, match="shapes_spec must be ParamsSpec, dict, or None, got int"):
        fb.compile(choose, shapes_spec=3)
    with pytest.raises(NotImplementedError, match="mark_dynamic"):
        fb.compile(choose, shapes_spec={"x": 3})


def test_the_arguments_are_pytorchs() -> None:
    ours, theirs = (inspect.signature(library.compile).parameters for library in (fb, torch))
    assert [(p.name, p.kind, p.default) for p in ours.values()] == [
        (p.name, p.kind, p.default) for p in theirs.values()
    ]


def test_parts_of_one_tensor_have_one_program_wherever_they_begin():
    """What a language model is trained on: `data[i:i + n]` and `data[i + 1:i + n + 1]`, at another `i` in each step."""
    data = fb.arange(120).view(60, 2)
    step = fb.compile(lambda x, y: ((x * y.view(-1, 2)).sum(), x[1:]))
    for i in range(0, 40, 3):
        total, part = step(data[i : i + 4], data[i + 1 : i + 5].view(-1))
        assert total.item() == (data[i : i + 4] * data[i + 1 : i + 5]).sum().item()
        assert part.data_ptr() == data[i + 1 :].data_ptr()
    assert step.traces == 1
    same = fb.compile(lambda x, y: (x + y, x is y))
    for i in range(3):
        part = data[i : i + 3]
        assert same(part, part)[1] and not same(part, data[i : i + 3])[1]
        assert same(part, data[i + 1 : i + 4])[0].tolist() == (part + data[i + 1 : i + 4]).tolist()
    assert same.traces == 2


@pytest.mark.parametrize("writes", [False, True])
def test_what_is_written_into_one_part_is_seen_through_the_others(writes):
    def function(x, y, flag):
        if flag:
            x.add_(1)
        return y.sum()

    step = fb.compile(function, fullgraph=True)
    results = []
    for library, call in ((torch, function), (fb, step)):
        memory = library.zeros(20)
        sums = [call(memory[i : i + 5], memory[i + 2 : i + 8], writes or i == 6).item() for i in range(8)]
        results.append((sums, memory.tolist()))
    assert results[0] == results[1]


ASKING = {
    "storage_offset": lambda x: x * x.storage_offset(),
    "of a view": lambda x: x * x[1:].storage_offset(),
    "as_strided": lambda x: x.as_strided((2,), (1,), 0) * 1,
    "beyond it": lambda x: x.as_strided((6,), (1,)) * 1,
    "nbytes": lambda x: x * x.untyped_storage().nbytes(),
    "is_set_to": lambda x: x * x.is_set_to(x.view(3)),
}


@pytest.mark.parametrize("function", ASKING.values(), ids=ASKING)
@pytest.mark.filterwarnings("ignore:(?s).*runs uncompiled")
def test_where_a_part_lies_in_its_memory_is_that_of_each_call(function):
    memory = fb.arange(20.0)
    step, both = fb.compile(function), fb.compile(lambda x, y: function(x) + 0 * y[0])
    for i in (3, 7, 0):
        part = memory[i : i + 3]
        wanted = function(part).tolist()
        assert step(part).tolist() == wanted == both(part, memory[i + 1 : i + 4]).tolist()


def test_a_diagonal_of_a_part_is_filled_in_the_program():
    memory = fb.zeros(2, 3, 3, 3)
    fb.compile(lambda x: x.fill_diagonal_(2.0), fullgraph=True)(memory[1])
    assert memory.sum().item() == 6 and memory[1, 1, 1, 1].item() == 2
