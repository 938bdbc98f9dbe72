"""Which module needs which: a directed graph that remembers the order in which it grew."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


class DiGraph:
    """Nodes with attributes, and edges between them."""

    def __init__(self) -> None:
        self._nodes: dict[str, dict[str, Any]] = {}
        self._successors: dict[str, dict[str, None]] = {}
        self._predecessors: dict[str, dict[str, None]] = {}
        self._brought: dict[str, str] = {}  # by which other one a node came in

    def add_node(self, n: str, **kwargs: Any) -> None:
        """Add a node; one that is there gets these attributes, too."""
        if n not in self._nodes:
            self._nodes[n], self._successors[n], self._predecessors[n] = {}, {}, {}
        self._nodes[n].update(kwargs)

    def add_edge(self, u: str, v: str) -> None:
        """Add an edge, and the nodes where they are missing."""
        self.add_node(u)
        if v not in self._nodes:
            self._brought[v] = u
        self.add_node(v)
        self._successors[u][v] = None
        self._predecessors[v][u] = None

    def successors(self, n: str) -> Iterator[str]:
        """The nodes that `n` points to. ValueError if there is no such node."""
        return iter(self._of(self._successors, n))

    def predecessors(self, n: str) -> Iterator[str]:
        """The nodes that point to `n`. ValueError if there is no such node."""
        return iter(self._of(self._predecessors, n))

    @staticmethod
    def _of(table: dict[str, dict[str, None]], n: str) -> dict[str, None]:
        if n not in table:
            raise ValueError(f"The node {n} is not in the digraph.")
        return table[n]

    @property
    def edges(self) -> Iterator[tuple[str, str]]:
        """All edges, those of the older node first."""
        return ((u, v) for u, found in self._successors.items() for v in found)

    @property
    def nodes(self) -> dict[str, dict[str, Any]]:
        """The nodes and their attributes."""
        return self._nodes

    def __iter__(self) -> Iterator[str]:
        return iter(self._nodes)

    def __contains__(self, n: object) -> bool:
        return n in self._nodes

    def forward_transitive_closure(self, src: str) -> set[str]:
        """All that can be reached from `src`, and itself."""
        return self._closure(self._successors, src)

    def backward_transitive_closure(self, src: str) -> set[str]:
        """All from which `src` can be reached, and itself."""
        return self._closure(self._predecessors, src)

    def _closure(self, table: dict[str, dict[str, None]], start: str) -> set[str]:
        found, waiting = {start}, [start]
        while waiting:
            fresh = self._of(table, waiting.pop()).keys() - found
            found |= fresh
            waiting += fresh
        return found

    def all_paths(self, src: str, dst: str) -> str:
        """The part of the graph that lies on any path from `src` to `dst`, in DOT. ValueError if one of them is no node."""
        between = self.forward_transitive_closure(src) & self.backward_transitive_closure(dst)
        part = DiGraph()
        for u, v in self.edges:
            if u in between and v in between:
                part.add_edge(u, v)
        return part.to_dot()

    def first_path(self, dst: str) -> list[str]:
        """The path by which `dst` came into the graph, from its beginning."""
        path = [dst]
        while path[-1] in self._brought:
            path.append(self._brought[path[-1]])
        return path[::-1]

    def to_dot(self) -> str:
        """The graph in DOT, Graphviz's language."""
        lines = "\n".join(f'"{u}" -> "{v}";' for u, v in self.edges)
        return f"digraph G {{\nrankdir = LR;\nnode [shape=box];\n{lines}\n}}\n"
