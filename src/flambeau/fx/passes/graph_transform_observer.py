"""`torch.fx.passes.graph_transform_observer`: a context around a pass over a graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from ..graph import Graph
from ..graph_module import GraphModule

__all__ = ["GraphTransformObserver"]
_T = TypeVar("_T")


class GraphTransformObserver:
    """Names a pass over a GraphModule, counts passes, and sees the nodes that it makes and erases.

    `log_url`, which draws the graph before and after, is refused (NotImplementedError): `fx.passes.graph_drawer` does that.
    """

    _passes = 0

    def __init__(
        self, gm: GraphModule, passname: str, subsystem: str | None = None, log_url: str | None = None
    ) -> None:
        if log_url is not None:
            raise NotImplementedError(
                "GraphTransformObserver(log_url=...): draw the graph with torch.fx.passes.graph_drawer before and after the pass"
            )
        type(self)._passes += 1
        self.gm = gm
        self.passname = passname
        self.subsystem = subsystem

    @classmethod
    def get_current_pass_count(cls) -> int:
        """How many passes were named so far."""
        return cls._passes

    def apply_gm_pass(self, pass_fn: Callable[[GraphModule], _T]) -> _T:
        """What a function of the GraphModule gives."""
        with self:
            return pass_fn(self.gm)

    def apply_graph_pass(self, pass_fn: Callable[[Graph], _T]) -> _T:
        """What a function of its graph gives."""
        with self:
            return pass_fn(self.gm.graph)

    def __enter__(self) -> GraphTransformObserver:
        self._before: set[Any] = set(self.gm.graph.nodes)
        return self

    def __exit__(self, *error: object) -> None:
        after = set(self.gm.graph.nodes)
        self.created_nodes = {node.name for node in after - self._before}
        self.erased_nodes = {node.name for node in self._before - after}
