"""The tape of a region, taken down so that it can be played later."""

from __future__ import annotations

import copy
from typing import Any

import jax

from ..core.tape.nodes import AccumulateGrad, Edge, Node, _count
from ..core.tensor.tensor import Tensor
from .region import Exit, Region, Root


class Slot:
    """The place of a saved array in a recording."""

    __slots__ = ("own", "number")

    def __init__(self, own: bool, number: int):
        self.own: bool = own
        self.number: int = number


class Recording:
    """The nodes between a region's results and its exits, with slots in place of arrays and numbers in place of nodes.

    `own` are the arrays of the transform, which it has to hand out; `others` mean the same outside.
    """

    def __init__(self, region: Region, results: list[Tensor]):
        self.own: list[Any] = []
        self.others: list[Any] = []
        self.exits: list[Exit] = []
        self._region = region
        self._numbers: dict[Any, Any] = {}  # edge or node -> how it is told in the recording
        self._slots: dict[int, Slot] = {}
        edges = [r._tape_edge() for r in results]
        nodes = _nodes_of(region, [e for e in edges if e is not None])
        for number, node in enumerate(nodes):
            self._numbers[node] = number
        self.nodes: list[Node] = [_exchanged(node, self._array, self._edge) for node in nodes]
        self.outputs: list[Any] = [self._edge(e) for e in edges]
        del self._region, self._numbers, self._slots

    def _array(self, array: Any) -> Any:
        if not isinstance(array, jax.Array):
            return array
        slot = self._slots.get(id(array))
        if slot is None:
            own = self._region.owns(array)
            held = self.own if own else self.others
            slot = self._slots[id(array)] = Slot(own, len(held))
            held.append(array)
        return slot

    def _edge(self, edge: Edge | None) -> Any:
        """(number of a node, output number), or (-1, number of an exit)."""
        if edge is None:
            return None
        node, number = edge
        if node in self._numbers:
            found = self._numbers[node]
            return found if isinstance(found, tuple) else (found, number)
        if node in self._region.roots:
            key, exit = node, self._region.roots[node]
        elif node.order < self._region.start or self._region.stays_open:
            key, exit = edge, Exit((edge,), False)
        else:
            return None  # a leaf that was made inside
        found = self._numbers.get(key)
        if found is None:
            found = self._numbers[key] = (-1, len(self.exits))
            self.exits.append(exit)
        return found

    def play(self, own: list[Any], others: list[Any]) -> tuple[list[Edge | None], list[Edge]]:
        """Put nodes for these arrays onto the tape; gives the edges of the outputs and of the exits."""
        exits: list[Edge] = [(Root(), 0) for _ in self.exits]
        nodes: list[Node] = []

        def array(slot: Any) -> Any:
            return (own if slot.own else others)[slot.number] if type(slot) is Slot else slot

        def edge(told: Any) -> Edge | None:
            if told is None:
                return None
            number, output = told
            return exits[output] if number < 0 else (nodes[number], output)

        for node in self.nodes:
            made = copy.copy(node)
            made.order = next(_count)
            nodes.append(made)
            made.exchange(array, edge)
        return [edge(o) for o in self.outputs], exits


def _exchanged(node: Node, array: Any, edge: Any) -> Node:
    made = copy.copy(node)
    made.exchange(array, edge)
    return made


def _nodes_of(region: Region, edges: list[Edge]) -> list[Node]:
    """The nodes that were made in the region, in that order."""
    seen: set[Node] = set()
    stack = [e[0] for e in edges]
    while stack:
        node = stack.pop()
        if node in seen or node.order < region.start or node in region.roots or type(node) is AccumulateGrad:
            continue
        seen.add(node)
        stack.extend(e[0] for e in node.edges if e is not None)
    return sorted(seen, key=lambda n: n.order)
