"""`annotate_getitem_nodes`, beside PyTorch's."""

from __future__ import annotations

import importlib
import operator
from typing import NamedTuple

import pytest
import torch

import flambeau as fb


class Pair(NamedTuple):
    first: int
    second: list[str]


KINDS = [tuple[int, list[str]], tuple[int, ...], list[float], Pair, tuple, list, None, dict[str, int], int | None]


def annotated(lib, kind, index):
    passes = importlib.import_module(f"{lib.__name__}.fx.passes.annotate_getitem_nodes")
    graph = lib.fx.Graph()
    x = graph.placeholder("x")
    x.type = kind
    taken = graph.call_function(operator.getitem, (x, index))
    again = graph.call_function(operator.getitem, (taken, 0))
    graph.output(again)
    try:
        assert passes.annotate_getitem_nodes(graph) is None
    except (AssertionError, IndexError) as error:
        return type(error)
    return taken.type, again.type


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("index", [0, 1, -1, 5])
def test_elements_of_typed_sequences_have_their_types(kind, index) -> None:
    assert annotated(fb, kind, index) == annotated(torch, kind, index)
