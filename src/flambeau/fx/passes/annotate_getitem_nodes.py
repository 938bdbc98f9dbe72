"""The types of elements that a graph takes out of sequences of a known type."""

from __future__ import annotations

import operator
import typing
from typing import Any

from ..graph import Graph

__all__ = ["annotate_getitem_nodes"]


def annotate_getitem_nodes(graph: Graph) -> None:
    """Gives each `getitem` node the type of what it takes, where the sequence's node says it as a tuple, a list or a NamedTuple."""
    for node in graph.nodes:
        if node.target is operator.getitem and node.args[0].type is not None:
            found = element(node.args[0].type, node.args[1])
            if found is not None:
                node.type = found


def element(kind: Any, index: Any) -> Any:
    """The type of `sequence[index]` where a sequence of type `kind` tells it, else None."""
    parts, origin = typing.get_args(kind), typing.get_origin(kind)
    if origin is list:
        if len(parts) != 1:
            raise AssertionError(f"{kind} does not say what it is a list of")
        return parts[0]
    if origin is tuple:
        if len(parts) == 2 and parts[1] is Ellipsis:
            return parts[0]
        if index >= len(parts):
            raise AssertionError(f"{kind} has {len(parts)} elements, and element {index} of it is taken")
        return parts[index]
    if isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return kind.__annotations__.get(kind._fields[index])
    return None
