"""`torch.fx.passes.utils.matcher_utils`: find a small graph in a large one."""

from __future__ import annotations

import copy
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from ...graph import Graph
from ...graph_module import _get_attr
from ...node import Node

__all__ = ["InternalMatch", "SubgraphMatcher"]


@dataclass
class InternalMatch:
    """One place where a pattern was found."""

    anchors: list[Node]
    nodes_map: dict[Node, Any] = field(default_factory=dict)
    placeholder_nodes: list[Any] = field(default_factory=list)
    returning_nodes: list[Node] = field(default_factory=list)
    name_node_map: dict[str, Node] = field(default_factory=dict)

    def __copy__(self) -> InternalMatch:
        return InternalMatch(
            anchors=self.anchors, nodes_map=self.nodes_map.copy(), placeholder_nodes=self.placeholder_nodes.copy(),
            returning_nodes=self.returning_nodes.copy(),
        )  # fmt: skip


class SubgraphMatcher:
    """Finds the places where a graph does what a pattern does: the same calls on the same arguments.

    The pattern's placeholders stand for any value. What the pattern computes in between may not be used outside of it.
    `ignore_literals`: numbers and texts may differ. ValueError for a pattern without nodes.
    """

    def __init__(
        self, pattern: Graph, match_output: bool = False, match_placeholder: bool = False,
        remove_overlapping_matches: bool = True, ignore_literals: bool = False,
    ):  # fmt: skip
        self.pattern = pattern
        self.match_output = match_output
        self.match_placeholder = match_placeholder
        self.remove_overlapping_matches = remove_overlapping_matches
        self.ignore_literals = ignore_literals
        if len(pattern.nodes) == 0:
            raise ValueError("SubgraphMatcher cannot be initialized with an empty pattern")
        for node in pattern.nodes:
            if node.op not in ("output", "placeholder") and not node.users:
                raise AssertionError("SubgraphMatcher cannot be initialized with an pattern with dead code")
        self.pattern_placeholder_nodes: list[Node] = [n for n in pattern.nodes if n.op == "placeholder"]
        output = next(iter(reversed(pattern.nodes)))
        self.pattern_returning_nodes: list[Node] = output.all_input_nodes
        self.pattern_anchors: list[Node] = (
            [output] if match_output else [n for n in output.all_input_nodes if len(n.users) == 1]
        )

    def match(self, graph: Graph, node_name_match: str = "") -> list[InternalMatch]:
        """All places, in the graph's order, none of which overlap."""
        candidates: dict[Node, list[Node]] = defaultdict(list)
        for anchor in self.pattern_anchors:
            candidates[anchor] = [n for n in graph.nodes if self._nodes_are_equal(anchor, n, node_name_match)]
        found: list[InternalMatch] = []

        def search(at: int, match: InternalMatch) -> None:
            if at == len(self.pattern_anchors):
                match.placeholder_nodes = [
                    match.nodes_map[n] for n in self.pattern_placeholder_nodes if n in match.nodes_map
                ]
                match.returning_nodes = [match.nodes_map[n] for n in self.pattern_returning_nodes]
                found.append(match)
                return
            anchor = self.pattern_anchors[at]
            for node in candidates[anchor]:
                trial = copy.copy(match)
                if self._match_nodes(anchor, node, trial, node_name_match):
                    search(at + 1, trial)

        if self.pattern_anchors:
            search(0, InternalMatch(anchors=self.pattern_anchors))
        found = [m for m in found if self._complete(m) and self._is_contained(m.nodes_map)]
        return self._remove_overlapping_matches(found) if self.remove_overlapping_matches else found

    def _complete(self, match: InternalMatch) -> bool:
        used = [n for n in self.pattern_placeholder_nodes if n.users]
        return all(n in match.nodes_map for n in used)

    def _match_attributes(self, pn: Node, gn: Node) -> bool:
        assert isinstance(pn.target, str) and isinstance(gn.target, str)
        wanted = _get_attr(pn.graph.owning_module, pn.target)  # type: ignore[arg-type]
        there = _get_attr(gn.graph.owning_module, gn.target)  # type: ignore[arg-type]
        return type(wanted) is type(there)

    def _nodes_are_equal(self, pn: Node, gn: Node, node_name_match: str = "") -> bool:
        if not self.match_placeholder and pn.op == "placeholder":
            return True
        if node_name_match and node_name_match in gn.name:
            return True
        if pn.op != gn.op:
            return False
        if pn.op in ("placeholder", "output"):
            return True
        return self._match_attributes(pn, gn) if pn.op == "get_attr" else pn.target == gn.target

    def _is_contained(self, nodes_map: dict[Node, Any]) -> bool:
        """Whether what the pattern computes in between is used by nothing else."""
        inside = {gn for pn, gn in nodes_map.items() if isinstance(gn, Node) and pn.op != "placeholder"}
        for pn, gn in nodes_map.items():
            between = pn.op != "placeholder" and pn not in self.pattern_returning_nodes
            if between and isinstance(gn, Node) and any(user not in inside for user in gn.users):
                return False
        return True

    def _remove_overlapping_matches(self, matches: list[InternalMatch]) -> list[InternalMatch]:
        kept: list[InternalMatch] = []
        taken: set[Node] = set()
        for match in matches:
            own = {
                gn
                for pn, gn in match.nodes_map.items()
                if isinstance(gn, Node) and pn.op not in ("placeholder", "output")
            }
            if not own & taken:
                kept.append(match)
                taken |= own
        return kept

    def _match_literals(self, pn: Any, gn: Any, match: InternalMatch) -> bool:
        if isinstance(pn, Node):
            if pn.op != "placeholder":
                return False
            if pn in match.nodes_map:
                return bool(match.nodes_map[pn] == gn)
            match.nodes_map[pn] = gn
            return True
        return self.ignore_literals or bool(type(pn) is type(gn) and pn == gn) or bool(pn == gn)

    def _match_nodes(self, pn: Node, gn: Node, match: InternalMatch, node_name_match: str = "") -> bool:
        if pn in match.nodes_map:
            return bool(match.nodes_map[pn] is gn)
        if gn in match.nodes_map.values():  # a node is one node of the pattern, also where that is a placeholder
            return False
        if not self._nodes_are_equal(pn, gn, node_name_match):
            return False
        before = copy.copy(match)
        match.nodes_map[pn] = gn
        if pn.op == "placeholder":
            return True
        args = _arguments(pn, gn)
        if args is not None and all(self._match_args(a, b, match, node_name_match) for a, b in zip(*args, strict=True)):
            return True
        match.nodes_map = before.nodes_map
        return False

    def _match_args(self, a: Any, b: Any, match: InternalMatch, name: str) -> bool:
        if isinstance(a, Node) and isinstance(b, Node):
            return self._match_nodes(a, b, match, name)
        if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
            return len(a) == len(b) and all(self._match_args(x, y, match, name) for x, y in zip(a, b, strict=True))
        if isinstance(a, dict) and isinstance(b, dict):
            return a.keys() == b.keys() and all(self._match_args(a[k], b[k], match, name) for k in a)
        if isinstance(a, slice) and isinstance(b, slice):
            return self._match_args((a.start, a.stop, a.step), (b.start, b.stop, b.step), match, name)
        if isinstance(b, Node) and not isinstance(a, Node):
            return False
        return self._match_literals(a, b, match)


def _arguments(pn: Node, gn: Node) -> tuple[list[Any], list[Any]] | None:
    """The arguments of both in one order; None if they do not go together."""
    if len(pn.args) == len(gn.args) and pn.kwargs.keys() == gn.kwargs.keys():
        return [*pn.args, *pn.kwargs.values()], [*gn.args, *(gn.kwargs[k] for k in pn.kwargs)]
    if pn.graph.owning_module is None or gn.graph.owning_module is None:
        return None
    both = [n.normalized_arguments(n.graph.owning_module, normalize_to_only_use_kwargs=True) for n in (pn, gn)]
    if None in both or both[0].kwargs.keys() != both[1].kwargs.keys():
        return None
    keys = list(both[0].kwargs)
    return [both[0].kwargs[k] for k in keys], [both[1].kwargs[k] for k in keys]
