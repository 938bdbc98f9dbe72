"""`torch.fx._lazy_graph_module`: GraphModules that generate their code when it is first needed. Here all do at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .graph_module import GraphModule


class _LazyGraphModule(GraphModule):
    """A GraphModule; its code is always up to date."""

    @classmethod
    def from_graphmodule(cls, gm: GraphModule) -> GraphModule:
        """The module itself if it is of this class, else one of the same graph."""
        return gm if isinstance(gm, cls) else cls(gm, gm.graph, type(gm).__name__)

    @staticmethod
    def force_recompile(gm: Any) -> None:
        """Nothing to do."""

    def real_recompile(self) -> None:
        """Generate the code anew."""
        self.recompile()


def _make_graph_module(*args: Any, graph_module_cls: type[GraphModule] | None = None, **kwargs: Any) -> GraphModule:
    return (graph_module_cls or GraphModule)(*args, **kwargs)


@contextmanager
def _use_lazy_graph_module(should_use: bool) -> Iterator[None]:
    yield


@contextmanager
def _force_skip_lazy_graph_module() -> Iterator[None]:
    yield


def _get_graph_module_cls() -> type[GraphModule]:
    return GraphModule
