"""Models of every kind, traced by both libraries: the same code, the same graph, the same numbers, the same errors."""

from __future__ import annotations

import copy
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import flambeau as fb
from support.values import array

FILES = {name: Path(__file__).with_name(f"{name}.py") for name in ("networks", "expressions")}
# the private name of torch's function is not there
OTHER_TEXT = {"_threshold": "threshold"}


@lru_cache(None)
def models(library: Any) -> dict[str, tuple[type, tuple[Any, ...]]]:
    found: dict[str, tuple[type, tuple[Any, ...]]] = {}
    for name, path in FILES.items():
        scope = {"torch": library, "__name__": name}
        exec(compile(path.read_text(), str(path), "exec"), scope)
        found.update(scope["MODELS"])
    return found


NAMES = sorted(models(fb))


def built(library: Any, name: str) -> tuple[Any, tuple[Any, ...]]:
    cls, inputs = models(library)[name]
    library.manual_seed(0)
    return cls(), inputs


def traced(library: Any, name: str) -> str:
    module, _ = built(library, name)
    try:
        gm = library.fx.symbolic_trace(module)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    gm.graph.lint()
    text = f"{gm.code}\n{gm.graph}\n{gm.print_readable(print_output=False)}"
    for theirs, ours in OTHER_TEXT.items():
        text = text.replace(theirs, ours)
    return text


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [leaf for part in value for leaf in leaves(part)]
    return [value] if hasattr(value, "shape") else []


@pytest.mark.parametrize("name", NAMES)
def test_text_is_torchs(name):
    ours, theirs = traced(fb, name), traced(torch, name)
    if theirs.partition(":")[0].endswith("Error"):
        kind, _, text = theirs.partition(": ")
        assert ours.startswith(f"{kind}: ")
        assert text in ours
    else:
        assert ours == theirs


SOME = [
    "MLP",
    "Res",
    "Attn",
    "Emb",
    "Dense",
    "Two",
    "Params",
    "Tied",
    "Inner",
    "Slices",
    "Leafy",
    "Split",
    "ListArg",
    "NTout",
    "Drop",
]


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in SOME else pytest.mark.slow) for n in NAMES])
def test_numbers_are_the_modules(name):
    def results(make: Any) -> list[Any]:
        module, inputs = built(fb, name)
        run = make(module)
        fb.manual_seed(1)
        return leaves(run(*inputs))

    trace = fb.fx.symbolic_trace
    try:
        expected = results(lambda module: module)
        trace(built(fb, name)[0])
    except (ValueError, TypeError, IndexError):  # those that can't be traced, as the test above compares
        return
    for make in (
        trace,
        lambda module: fb.fx.Interpreter(trace(module)).run,
        lambda module: copy.deepcopy(trace(module)),
        lambda module: fb.fx.Transformer(trace(module)).transform(),
    ):
        found = results(make)
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(array(one), array(other))


@pytest.mark.parametrize("name", ["MLP", "Res", "Attn", "Tied"])
@pytest.mark.parametrize("compiled", [False, True])
def test_trains_like_torch(name, compiled):
    def losses(library: Any) -> list[float]:
        module, inputs = built(library, name)
        gm = library.fx.symbolic_trace(module).double()
        inputs = tuple(i.double() for i in inputs)
        optimizer = library.optim.SGD(gm.parameters(), lr=0.1)

        def step() -> Any:
            optimizer.zero_grad()
            loss = gm(*inputs).pow(2).mean()
            loss.backward()
            optimizer.step()
            return loss

        run = library.compile(step, fullgraph=True) if compiled and library is fb else step
        library.manual_seed(2)
        return [run().item() for _ in range(3)]

    assert losses(fb) == pytest.approx(losses(torch), rel=1e-9)
