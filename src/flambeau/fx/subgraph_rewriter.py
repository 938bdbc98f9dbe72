"""`torch.fx.subgraph_rewriter`: put one small program in the place of another, wherever it occurs."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..nn.modules.module import Module
from ._symbolic_trace import symbolic_trace
from .graph import Graph
from .graph_module import GraphModule
from .node import Node
from .passes.utils.matcher_utils import InternalMatch, SubgraphMatcher

__all__ = ["Match", "ReplacedPatterns", "replace_pattern", "replace_pattern_with_filters"]


class Match(NamedTuple):
    """A place where a pattern was found: the node of its result, and what its nodes are there."""

    anchor: Node
    nodes_map: dict[Node, Node]


@dataclass
class ReplacedPatterns:
    """The same, with the nodes that stand there now."""

    anchor: Node
    nodes_map: dict[Node, Node]
    replacements: list[Node]


def replace_pattern(
    gm: GraphModule, pattern: Callable[..., Any] | GraphModule, replacement: Callable[..., Any] | GraphModule
) -> list[Match]:
    """Wherever `gm` does what `pattern` does, let it do what `replacement` does; returns the places.

    Both are functions or modules of the same arguments. What the pattern computes in between may not be used elsewhere.
    """
    return [Match(anchor=m.anchor, nodes_map=m.nodes_map) for m in _replace_pattern(gm, pattern, replacement)]


def replace_pattern_with_filters(
    gm: GraphModule,
    pattern: Callable[..., Any] | Graph | GraphModule,
    replacement: Callable[..., Any] | Graph | GraphModule | None = None,
    match_filters: list[Callable[[InternalMatch, Graph, Graph], bool]] | None = None,
    ignore_literals: bool = False,
    replacement_callback: Callable[[InternalMatch, Graph, Graph], Graph] | None = None,
    node_name_match: str = "",
) -> list[ReplacedPatterns]:
    """The same where all filters are true of a place. `replacement_callback` makes the replacement for each place."""
    return _replace_pattern(
        gm, pattern, replacement, match_filters, ignore_literals, replacement_callback, node_name_match
    )


def _graph_of(program: Any) -> Graph:
    if isinstance(program, GraphModule):
        return program.graph
    return program if isinstance(program, Graph) else symbolic_trace(program).graph


def _replace_attributes(gm: GraphModule, replacement: Module) -> None:
    """Bring the modules and attributes that the replacement uses over, and drop those that nobody uses any more."""
    gm.delete_all_unused_submodules()
    if isinstance(replacement, GraphModule):
        replacement.graph.lint()
    for node in gm.graph.nodes:
        if node.op not in ("call_module", "get_attr"):
            continue
        assert isinstance(node.target, str)
        here, there = _look(gm, node.target), _look(replacement, node.target)
        if here is not None:
            continue
        if there is None:
            raise RuntimeError(
                f'Attempted to create a "{node.op}" node during subgraph rewriting with target {node.target}, but the referenced '
                f"attribute does not exist in the replacement GraphModule"
            )
        if isinstance(there, Module):
            gm.add_submodule(node.target, copy.deepcopy(there))
        else:
            from .graph_module import _assign_attr

            _assign_attr(copy.deepcopy(there), gm, node.target)


def _look(module: Any, target: str) -> Any:
    for part in target.split("."):
        module = getattr(module, part, None)
    return module


def _replace_pattern(
    gm: GraphModule,
    pattern: Any,
    replacement: Any = None,
    match_filters: list[Callable[..., bool]] | None = None,
    ignore_literals: bool = False,
    replacement_callback: Callable[..., Graph] | None = None,
    node_name_match: str = "",
) -> list[ReplacedPatterns]:
    searched = gm.graph
    wanted = _graph_of(pattern)
    matcher = SubgraphMatcher(wanted, remove_overlapping_matches=True, ignore_literals=ignore_literals)
    places = [
        m for m in matcher.match(searched, node_name_match)
        if all(keep(m, searched, wanted) for keep in match_filters or ())
    ]  # fmt: skip
    common = None
    if isinstance(replacement, GraphModule):
        common = replacement.graph
    elif isinstance(replacement, Graph):
        common = replacement
    elif callable(replacement):
        common = symbolic_trace(replacement).graph
    else:
        assert replacement_callback is not None, (
            "Must provide either a replacement GraphModule or a replacement callback"
        )
    now: dict[Node, Node] = {}  # what stands in the place of nodes that were replaced before
    replaced = []
    for place in places:
        fresh = common
        if replacement_callback is not None:
            fresh = replacement_callback(place, gm.graph, wanted)
        assert fresh is not None
        replaced.append(_replace_one(gm, place, fresh, wanted, now))
    gm.recompile()
    if isinstance(replacement, Module):
        _replace_attributes(gm, replacement)
    return replaced


def _replace_one(
    gm: GraphModule, place: InternalMatch, replacement: Graph, wanted: Graph, now: dict[Node, Node]
) -> ReplacedPatterns:
    for key, node in list(place.nodes_map.items()):
        place.nodes_map[key] = now.get(node, node) if isinstance(node, Node) else node
    inputs = [now.get(n, n) if isinstance(n, Node) else n for n in place.placeholder_nodes]
    placeholders = [n for n in replacement.nodes if n.op == "placeholder"]
    assert len(placeholders) == len(inputs), (
        f"{len(placeholders)} inputs of the replacement, {len(inputs)} of the pattern"
    )
    values: dict[Any, Any] = dict(zip(placeholders, inputs, strict=True))
    with gm.graph.inserting_before(_first_user(gm, place)):
        result = gm.graph.graph_copy(replacement, values)
    results = (result,) if isinstance(result, Node) else tuple(result or ())
    assert len(place.returning_nodes) == len(results), "the replacement must return as many values as the pattern"
    for old, new in zip(place.returning_nodes, results, strict=True):
        old.replace_all_uses_with(new)
        now[old] = new
    for node in reversed(wanted.nodes):
        old_node = place.nodes_map.get(node)
        if node.op not in ("placeholder", "output") and isinstance(old_node, Node):
            gm.graph.erase_node(old_node)
    made = [v for k, v in values.items() if k not in placeholders]
    return ReplacedPatterns(anchor=place.anchors[0], nodes_map=place.nodes_map, replacements=made)


def _first_user(gm: GraphModule, place: InternalMatch) -> Node:
    """The first node that uses a result, in front of which the replacement goes."""
    users = {user for node in place.returning_nodes for user in node.users}
    if not users:  # nobody uses it: the place of the pattern itself
        return place.returning_nodes[0].next
    return next(node for node in gm.graph.nodes if node in users)
