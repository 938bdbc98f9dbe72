"""Whether a graph is a program that can run."""

from __future__ import annotations

from typing import Any

from .node import Node, map_arg

_KINDS = ("placeholder", "call_method", "call_module", "call_function", "get_attr", "output")


def lint(graph: Any) -> None:
    """Raise RuntimeError for the first node that could not run."""
    seen: set[Node] = set()
    names: set[str] = set()
    for node in graph.nodes:
        if node.op not in _KINDS:
            raise RuntimeError(f"Node {node} had unknown opcode {node.op}!")
        if node.graph is not graph:
            raise RuntimeError(f"Node '{node}' does not belong to this Graph!")

        def look(arg: Node, node: Node = node) -> Node:
            _check_argument(graph, node, arg, seen)
            return arg

        map_arg(node.args, look)
        map_arg(node.kwargs, look)
        seen.add(node)
        if node.name in names:
            raise RuntimeError(f"Node redefined name {node.name}!")
        names.add(node.name)
    if graph.owning_module is not None:
        for node in graph.nodes:
            if node.op in ("get_attr", "call_module"):
                _check_target(graph.owning_module, node)


def _check_argument(graph: Any, node: Node, arg: Node, seen: set[Node]) -> None:
    if arg.graph is not graph:
        raise RuntimeError(
            f"Argument '{arg}' of Node '{node}' does not belong to this Graph, but was used as an argument! If you are copying "
            f"nodes from another graph, make sure to use ``arg_transform`` on node_copy() to remap values\n{graph}"
        )
    if arg not in seen:
        raise RuntimeError(
            f"Argument '{arg}' of Node '{node}' was used before it has been defined! "
            f"Please check that Nodes in the graph are topologically ordered\n{graph}"
        )


def _check_target(owner: Any, node: Node) -> None:
    if not isinstance(node.target, str):
        raise RuntimeError(f"Node {node} target {node.target} has type {type(node.target)} but a str is expected")
    above = ""
    for part in node.target.split("."):
        found = getattr(owner, part, None)
        if found is None:
            raise RuntimeError(f"Node {node} target {node.target} references nonexistent attribute {part} of {above}")
        above = f"{above}.{part}" if above else part
        owner = found
