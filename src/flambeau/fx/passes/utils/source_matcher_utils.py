"""`torch.fx.passes.utils.source_matcher_utils`: which nodes of a graph came of one layer, or of one function."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

from ..._names import qualified_name
from ...graph import Graph
from ...node import Node

__all__ = ["SourcePartition", "check_subgraphs_connected", "get_source_partitions"]


@dataclasses.dataclass
class SourcePartition:
    """The nodes of one call of a layer or function, and where they touch the rest of the graph.

    `input_nodes` are those outside that they read (parameters that the graph gets by itself left out), `output_nodes` those of them
    that are read outside, `params` those of them that get a parameter.
    """

    nodes: list[Node]
    source: Any
    input_nodes: list[Node] = dataclasses.field(default_factory=list)
    output_nodes: list[Node] = dataclasses.field(default_factory=list)
    params: list[Node] = dataclasses.field(default_factory=list)


def _layer(node: Node) -> tuple[str, Any] | None:
    """The path and the class of the innermost module that a node belongs to."""
    stack = node.meta.get("nn_module_stack")
    return next(reversed(stack.values())) if stack else None


def _is_class(kind: type, named: Any) -> bool:
    return named is kind or named == f"{kind.__module__}.{kind.__qualname__}"


def _is_call(source: Any, node: Node) -> bool:
    """Whether a node calls a function or method; a text is its name."""
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    if isinstance(source, str):
        return name.partition(".")[0] == source
    return node.target is source or (callable(node.target) and qualified_name(node.target) == qualified_name(source))


def _made(nodes: list[Node], source: Any) -> SourcePartition:
    inside = dict.fromkeys(nodes)
    read = dict.fromkeys(n for node in nodes for n in node.all_input_nodes)
    return SourcePartition(
        nodes,
        source,
        [n for n in read if n not in inside and n.op != "get_attr"],
        [n for n in nodes if any(user not in inside for user in n.users)],
        [n for n in nodes if n.op == "get_attr"],
    )


def get_source_partitions(
    graph: Graph, wanted_sources: Iterable[Any], filter_fn: Callable[[Node], bool] | None = None
) -> dict[Any, list[SourcePartition]]:
    """The parts of a graph that came of the classes of layers, functions or methods' names `wanted_sources`.

    A dict from source to its parts, in the graph's order; a source that nothing came of is left out. Layers are found by what
    `torch.export` notes of each node (`meta["nn_module_stack"]`: the innermost counts), functions by what is called.
    `filter_fn` leaves out parts of which it refuses a node.
    """
    found: dict[Any, list[SourcePartition]] = {}
    for source in wanted_sources:
        groups: dict[Any, list[Node]] = {}
        for node in graph.nodes:
            if node.op not in ("call_function", "call_method", "get_attr"):
                continue
            if isinstance(source, type):
                layer = _layer(node)
                if layer is not None and _is_class(source, layer[1]):
                    groups.setdefault(layer[0], []).append(node)
            elif node.op != "get_attr" and _is_call(source, node):
                groups[node] = [node]
        parts = [_made(nodes, source) for nodes in groups.values() if filter_fn is None or all(map(filter_fn, nodes))]
        if parts:
            found[source] = parts
    return found


def check_subgraphs_connected(subgraph1: SourcePartition, subgraph2: SourcePartition) -> bool:
    """Whether a node of the second part reads one of the first (not the other way round)."""
    return any(n in subgraph1.nodes for node in subgraph2.nodes for n in node.all_input_nodes)
