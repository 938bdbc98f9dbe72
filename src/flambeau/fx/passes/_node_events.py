"""What passes note of nodes while they split a graph."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..node import Node

__all__ = ["NodeEvent", "NodeEventTracker"]

TRACKED_NODES = "FX_NET_ACC_SPLITTER_TRACKER_TRACKED_NODES"


class NodeEvent:
    """Something that happened to a node, mostly because of another one."""

    def __init__(self, source: Node, desc: str, dep: Node | None = None) -> None:
        self.source, self.desc, self.dep = source, desc, dep

    def to_str(self) -> str:
        """The node, what happened and the other node, `#` without one."""
        return f"{self.source.name}: {self.desc} {self.dep.name if self.dep else '#'}"


class NodeEventTracker:
    """Gathers events. `tracker_mode` says what `dump` writes to files that begin with `dump_prefix`: 0 nothing, 1 all events, 2 also what led to
    those of the nodes that an environment variable names, 3 of nodes to which more than one thing happened."""

    def __init__(self, tracker_mode: int, dump_prefix: str) -> None:
        self.tracker_mode, self.dump_prefix = tracker_mode, dump_prefix
        self.events: list[NodeEvent] = []
        self.node_events: dict[str, list[int]] = {}
        self.writer: Callable[[str], Any] = print

    def add(self, node: Node, desc: str, dep: Node | None = None) -> None:
        """Note an event."""
        self.node_events.setdefault(node.name, []).append(len(self.events))
        self.events.append(NodeEvent(node, desc, dep))

    def print_node(
        self, node_name: str, recursive: bool = False, tab: str = "", writer: Callable[[str], Any] | None = None
    ) -> None:
        """A line for each event of a node; `recursive`: below it those of the node that it happened because of."""
        write = writer or self.writer
        for i in self.node_events.get(node_name, ()):
            event = self.events[i]
            write(tab + event.to_str())
            if recursive and event.dep is not None:
                self.print_node(event.dep.name, True, f"| {tab}", write)

    def to_dict(self) -> dict[str, list[str]]:
        """The lines by the nodes' names."""
        return {name: [self.events[i].to_str() for i in found] for name, found in self.node_events.items()}

    def print_all(self, writer: Callable[[str], Any] | None = None) -> None:
        """All events, by node."""
        write = writer or self.writer
        for name in self.node_events:
            write(f"Node: {name}:")
            self.print_node(name, tab="  ", writer=write)

    def _tracked(self) -> list[str]:
        if self.tracker_mode == 2:
            return os.environ.get(TRACKED_NODES, "").split(",")
        return [name for name, found in self.node_events.items() if len(found) > 1]

    def dump(self) -> None:
        """Write them into files."""
        if not self.tracker_mode:
            return
        lines: list[str] = []
        self.print_all(lines.append)
        _write(f"{self.dump_prefix}_all.txt", lines)
        if self.tracker_mode > 1:
            lines = []
            for name in self._tracked():
                lines.append(f"===== Tracking node {name} =====")
                self.print_node(name, True, "|-", lines.append)
                lines.append(f"===== End of tracking node {name} =====")
            _write(f"{self.dump_prefix}_nodes.txt", lines)


def _write(path: str, lines: list[str]) -> None:
    Path(path).write_text("".join(f"{line}\n" for line in lines))
