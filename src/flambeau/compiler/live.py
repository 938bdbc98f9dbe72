"""Results on which `backward` may be called after the call: the gradients that a program gives for their cotangents."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from ..core.autograd.engine import grad as tape_grad
from ..core.context.tracing import Untraceable
from ..core.tape.nodes import AccumulateGrad
from ..core.tensor.tensor import Tensor, wrap
from . import backwards
from .arguments import Arguments
from .node import graph, used_up
from .plan import LEAF, OFF, USED_UP
from .recipes import Recipes
from .recorder import Recorder


def changed_edges(recorder: Recorder, arguments: Arguments, live: list[Tensor]) -> list[tuple[Any, int | None, int]]:
    """Tensors from outside whose place on the tape the function changes: (tensor, argument, what becomes of it)."""
    changed: list[tuple[Any, int | None, int]] = []
    for tensor, (before, _, _) in list(recorder.edges.items()):
        argument, edge = arguments.numbers.get(id(tensor)), tensor._edge
        if edge is before or tensor._base is not None or (argument is None and not recorder.is_outside(tensor)):
            continue
        if edge is None:
            changed.append((tensor, argument, OFF))
        elif type(edge[0]) is AccumulateGrad:
            if before is None or type(before[0]) is not AccumulateGrad:
                changed.append((tensor, argument, LEAF))
        elif used_up(edge[0]):
            changed.append((tensor, argument, USED_UP))
        else:
            changed.append((tensor, argument, len(live)))
            live.append(tensor)
    return changed


class Gradients:
    """Gradients of the live results by all that requires grad, for cotangents that come as further inputs (`seeds`).

    `wanted` are what these gradients belong to, tensors or arguments, and then what no gradient comes to although the results
    depend on it (a Function's backward gives None): they are on the tape through it all the same. `inner` are the live results that
    others are computed from.
    """

    def __init__(self) -> None:
        self.metas: list[tuple[tuple[int, ...], Any]] = []
        self.seeds: list[Any] = []
        self.wanted: list[tuple[Tensor, int | None]] = []
        self.inner: frozenset[int] = frozenset()

    def collect(self, recorder: Recorder, arguments: Arguments, recipes: Recipes) -> list[Any]:
        """Within the trace: the values of the gradients."""
        live = recipes.live
        _check_new_leaves(recorder, recipes)
        candidates = _on_tape(recorder, arguments, live)
        self.metas = [(tuple(t.shape), t._np_dtype) for t in live]
        with jax.ensure_compile_time_eval():
            self.seeds = [jax.device_put(np.zeros(*meta)) for meta in self.metas]
        weights = [wrap(jax.numpy.array(s, copy=True)) for s in self.seeds]
        edges: list[Any] = [t._tape_edge() for t in live]
        self.inner = backwards.inner(edges, recorder.start)
        targets = [t for t, _ in candidates]
        leaves: list[Any] = [t._tape_edge() for t in targets]
        with _graph_of_this_trace(live, targets, recorder.start):
            found = backwards.followed(
                lambda: tape_grad(live, targets, weights, retain_graph=True, allow_unused=True),
                recorder, edges, [edge[0] for edge in leaves],
            )  # fmt: skip
        reached = [(c, g._array) for c, g in zip(candidates, found, strict=True) if g is not None]
        under = backwards.below(edges, recorder.start)
        without = [c for c, g, edge in zip(candidates, found, leaves, strict=True) if g is None and edge in under]
        self.wanted = [candidate for candidate, _ in reached] + without
        return [array for _, array in reached]


def _check_new_leaves(recorder: Recorder, recipes: Recipes) -> None:
    """Raises Untraceable where a later backward pass would have to reach leaves that the function has made."""

    def is_new(node: Any) -> bool:
        if type(node) is not AccumulateGrad or node.order < recorder.start:
            return False
        leaf = node.variable
        return leaf is None or (id(leaf) not in recorder.stand_ins and recipes.is_young(leaf))

    handed_out = {id(tensor) for tensor in recipes.kept}
    for tensor in recipes.live:
        edge: Any = tensor._tape_edge()
        ends = [node for node in graph([edge[0]]) if type(node) is AccumulateGrad or node.order < recorder.start]
        new = [node for node in ends if is_new(node)]
        if new and (len(new) == len(ends) or any(id(node.variable) in handed_out for node in new)):
            raise Untraceable(
                "a result requires grad through a leaf made inside (requires_grad_, requires_grad=True), which each call would have "
                "to make anew"
            )


def _on_tape(recorder: Recorder, arguments: Arguments, live: list[Tensor]) -> list[tuple[Tensor, int | None]]:
    """What a gradient may go to: arguments and state that are on the tape, at places that were there before the trace."""
    sources = [t for _, t in recorder.sources.values() if isinstance(t, Tensor)]
    candidates: list[tuple[Tensor, int | None]] = [
        (s, i) for i, s in enumerate(arguments.stand_ins) if arguments.numbers.get(id(s)) == i
    ]
    candidates += [(t, None) for t in sources]
    known = {id(t) for t, _ in candidates}
    for node in graph([edge[0] for t in live if (edge := t._tape_edge()) is not None]):
        leaf = node.variable if type(node) is AccumulateGrad else None
        if leaf is not None and id(leaf) not in known:  # its memory was read through another tensor (`p.data`)
            known.add(id(leaf))
            candidates.append((leaf, None))
    return [
        (tensor, argument)
        for tensor, argument in candidates
        if (edge := tensor._tape_edge()) is not None
        and (type(edge[0]) is AccumulateGrad or edge[0].order < recorder.start)
    ]


@contextlib.contextmanager
def _graph_of_this_trace(live: list[Tensor], wanted: list[Tensor], start: int) -> Iterator[None]:
    """End the graph at tensors that were on the tape before: a call goes on from there on its own, through their edges."""
    ends: set[Any] = {edge[0] for t in wanted if (edge := t._tape_edge()) is not None}
    ends = {node for node in ends if type(node) is not AccumulateGrad}
    before = [(node, node.edges) for node in ends]
    for node, edges in before:
        node.edges = [None] * len(edges)
    try:
        for node in graph([edge[0] for t in live if (edge := t._tape_edge()) is not None]):
            if node.order < start and node not in ends and type(node) is not AccumulateGrad:
                raise Untraceable("a result goes back to a tensor that was on the tape before, through another one")
        yield
    finally:
        for node, edges in before:
            node.edges = edges
