"""A backward pass in two halves: first the gradients of what was given, later those of the parameters on the way.

So a stage of a pipeline can send on what the stage before it waits for, and do the rest while it would wait itself. The nodes between
outputs and inputs run for the inputs alone; those among them that something else hangs on keep what has arrived, and run again for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..tape.nodes import Edge, Node, Taped
from ..tensor.tensor import Tensor
from . import engine
from .edges import GradientEdge, edge_of
from .hooking import JOINT, taped_of


class Rest:
    """The second half, to be run once."""

    def __init__(self, between: set[Node]):
        self._between = between
        self._seeds: list[tuple[GradientEdge, Taped]] = []

    def keep(self, node: Node, slots: Sequence[Taped | None]) -> None:
        """What has arrived at a node that is to run again."""
        self._seeds += [(GradientEdge(node, i), slot) for i, slot in enumerate(slots) if slot is not None]

    def run(self) -> None:
        """Add the gradients of the leaves that are not among the inputs to their `.grad`."""
        seeds, self._seeds = self._seeds, []
        if seeds:
            edges, values = zip(*seeds, strict=True)
            engine.run_beside(edges, values, self._between)


def inputs_first(outputs: Sequence[Any], inputs: Sequence[Tensor], grad_outputs: Any = None) -> tuple[list[Any], Rest]:
    """The gradients of `inputs` (None for one that nothing came from), and the rest of the backward pass."""
    roots = [edge_of(root) for root in outputs]
    wanted = [edge for edge in map(edge_of, inputs) if edge is not None]
    between, to_run = engine._paths([e for e in roots if e], wanted)
    rest = Rest(between)
    given = engine._root_grads(list(outputs), grad_outputs)
    joints = {node for node in to_run if any(e is not None and e[0] not in between for e in node.edges)}
    handles = [engine._hooks_of(node, JOINT).add(_keeper(rest, node)) for node in joints]
    try:
        found = _first_half(roots, outputs, given, wanted, rest)
    finally:
        for handle in handles:
            handle.remove()
    for node in to_run - joints:
        node.release()
    arrived = dict(zip(wanted, found, strict=True))
    return [arrived.get(edge_of(value)) for value in inputs], rest  # type: ignore[arg-type]


def _first_half(
    roots: Sequence[Edge | None], outputs: Sequence[Any], given: list[Taped], wanted: list[Edge], rest: Rest
) -> list[Any]:
    inside = [i for i, edge in enumerate(roots) if edge is not None and edge[0] in rest._between]
    for i, edge in enumerate(roots):
        if edge is not None and i not in inside:
            rest._seeds.append((GradientEdge(*edge), given[i]))
    if not inside:
        return [None] * len(wanted)
    return engine._run([outputs[i] for i in inside], [given[i] for i in inside], True, False, wanted)


def _keeper(rest: Rest, node: Node) -> Any:
    def keep(slots: list[Tensor | None]) -> None:
        rest.keep(node, list(map(taped_of, slots)))

    return keep


__all__ = ["Rest", "inputs_first"]
