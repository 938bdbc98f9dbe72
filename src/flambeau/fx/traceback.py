"""`torch.fx.traceback`: which node runs now, and what is to be noted in the nodes that are made meanwhile."""

from __future__ import annotations

import copy
import enum
import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Self

from .graph import Graph
from .node import Node

__all__ = [
    "NodeSource", "NodeSourceAction", "annotate", "annotate_fn", "format_stack", "get_current_meta", "get_current_replay_node",
    "get_graph_provenance_json", "has_preserved_node_meta", "preserve_node_meta", "reset_grad_fn_seq_nr",
    "set_current_meta", "set_current_replay_node", "set_grad_fn_seq_nr", "set_stack_trace",
]  # fmt: skip

current_meta: dict[str, Any] = {}
should_preserve_node_meta = False


@contextmanager
def preserve_node_meta(enable: bool = True) -> Iterator[None]:
    """While entered, nodes that are made take over the `meta` of the node that runs."""
    global current_meta, should_preserve_node_meta
    before = should_preserve_node_meta, current_meta
    should_preserve_node_meta, current_meta = enable, dict(current_meta)
    try:
        yield
    finally:
        should_preserve_node_meta, current_meta = before


def has_preserved_node_meta() -> bool:
    """Whether `preserve_node_meta` is on."""
    return should_preserve_node_meta


def set_stack_trace(stack: list[str]) -> None:
    """Say where the program stands, for nodes made from now on."""
    if should_preserve_node_meta and stack:
        current_meta["stack_trace"] = "".join(stack)


def format_stack() -> list[str]:
    """Where the program stands."""
    import traceback

    if should_preserve_node_meta:
        return [current_meta.get("stack_trace", "")]
    return traceback.format_list(traceback.extract_stack()[:-1])


@contextmanager
def set_current_meta(node: Node, pass_name: str = "") -> Iterator[None]:
    """While entered, this node is the one that runs."""
    global current_meta
    if not (should_preserve_node_meta and node.meta):
        yield
        return
    before = current_meta
    current_meta = copy.copy(node.meta)
    try:
        yield
    finally:
        current_meta = before


def get_current_meta() -> dict[str, Any]:
    """The `meta` of the node that runs."""
    return current_meta


@contextmanager
def annotate(annotation_dict: dict[str, Any]) -> Iterator[None]:
    """While entered, these entries are in `meta["custom"]` of the nodes that are made."""
    had = "custom" in current_meta
    before = current_meta.get("custom", {})
    current_meta["custom"] = {**before, **annotation_dict}
    try:
        yield
    finally:
        if had:
            current_meta["custom"] = before
        else:
            del current_meta["custom"]


def annotate_fn(annotation_dict: dict[str, Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The same as a decorator."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def annotated(*args: Any, **kwargs: Any) -> Any:
            with annotate(annotation_dict):
                return function(*args, **kwargs)

        return annotated

    return decorate


class NodeSourceAction(enum.Enum):
    """What a pass did when it made a node."""

    CREATE = "create"
    REPLACE = "replace"


class NodeSource:
    """Where a node came from: a node's name, target and graph, the pass, what it did, and where that node came from in turn."""

    class NodeInfo(NamedTuple):
        """What is kept of the node."""

        name: str
        target: str
        graph_id: int

    def __init__(
        self, node: Node | None, pass_name: str = "", action: NodeSourceAction | list[NodeSourceAction] | None = None
    ) -> None:
        self.pass_name = pass_name
        self.action = [] if action is None else action if isinstance(action, list) else [action]
        self.node_info: Any = None
        self.from_node: list[NodeSource] = []
        if node is not None:
            self.node_info = self.NodeInfo(node.name, _target_name(node.target), id(node.graph))
            self.from_node = copy.deepcopy(node.meta.get("from_node", []))

    @property
    def name(self) -> str:
        """The node's name."""
        return self.node_info.name if self.node_info else ""

    @property
    def target(self) -> str:
        """The node's target as text."""
        return self.node_info.target if self.node_info else ""

    @property
    def graph_id(self) -> int:
        """Which graph it was in; -1 without a node."""
        return self.node_info.graph_id if self.node_info else -1

    def _get_action_string(self) -> str:
        return "+".join(action.value for action in self.action)

    def print_readable(self, indent: int = 0) -> str:
        """As text, a line for each step back."""
        told = f"name={self.name}, pass_name={self.pass_name}, action={self._get_action_string()}, graph_id={self.graph_id}"
        return f"{' ' * 4 * indent}({told})\n" + "".join(source.print_readable(indent + 1) for source in self.from_node)

    def __repr__(self) -> str:
        return self.print_readable()

    def to_dict(self) -> dict[str, Any]:
        """As dicts and lists."""
        return {
            "name": self.name,
            "target": self.target,
            "graph_id": self.graph_id,
            "pass_name": self.pass_name,
            "action": self._get_action_string(),
            "from_node": [source.to_dict() for source in self.from_node],
        }

    @classmethod
    def _from_dict(cls, d: dict[str, Any] | None) -> Self | None:
        """What `to_dict` told."""
        if d is None:
            return None
        made = cls(None, d.get("pass_name", ""), [NodeSourceAction(a) for a in d.get("action", "").split("+") if a])
        if d.get("name") or d.get("target") or d.get("graph_id", -1) != -1:
            made.node_info = cls.NodeInfo(d.get("name", ""), d.get("target", ""), d.get("graph_id", -1))
        made.from_node = [found for entry in d.get("from_node", []) if (found := cls._from_dict(entry)) is not None]
        return made

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NodeSource) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(str(self.to_dict()))


def _target_name(target: Any) -> str:
    return str(target)


_replayed: Node | None = None


@contextmanager
def set_current_replay_node(node: Node | None) -> Iterator[None]:
    """While entered, this node is the one that is made anew."""
    global _replayed
    before, _replayed = _replayed, node
    try:
        yield
    finally:
        _replayed = before


def get_current_replay_node() -> Node | None:
    """The node that is made anew now."""
    return _replayed


def set_grad_fn_seq_nr(seq_nr: int) -> None:
    """Note which step of the tape runs backwards, in nodes that are made from now on."""
    if should_preserve_node_meta:
        current_meta["grad_fn_seq_nr"] = [*current_meta.get("grad_fn_seq_nr", []), seq_nr]
        current_meta["in_grad_fn"] = current_meta.get("in_grad_fn", 0) + 1


def reset_grad_fn_seq_nr() -> None:
    """It has run: the one before it is noted again."""
    if should_preserve_node_meta and "in_grad_fn" in current_meta:
        left = current_meta["in_grad_fn"] - 1
        if left:
            current_meta["in_grad_fn"] = left
            current_meta["grad_fn_seq_nr"] = current_meta["grad_fn_seq_nr"][:-1]
        else:
            del current_meta["in_grad_fn"], current_meta["grad_fn_seq_nr"]


def get_graph_provenance_json(graph: Graph) -> dict[str, Any]:
    """Where the nodes that call functions came from, by their names."""
    return {
        node.name: [source.to_dict() for source in node.meta.get("from_node", [])]
        for node in graph.nodes
        if node.op == "call_function"
    }
