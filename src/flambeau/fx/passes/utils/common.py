"""`torch.fx.passes.utils.common`: a graph as a module of its own, and whether two graphs are the same."""

from __future__ import annotations

from ....nn.modules.module import Module
from ...graph import Graph
from ...graph_module import GraphModule
from .matcher_utils import SubgraphMatcher

__all__ = ["HolderModule", "compare_graphs", "lift_subgraph_as_module"]


class HolderModule(Module):
    """A module of the modules of a dict."""

    def __init__(self, d: dict[str, Module | None]):
        super().__init__()
        for name, module in d.items():
            self.add_module(name, module)


def lift_subgraph_as_module(
    gm: GraphModule, subgraph: Graph, comp_name: str = "", class_name: str = "GraphModule"
) -> tuple[GraphModule, dict[str, str]]:
    """A GraphModule of a graph over members of `gm`, and what these are called in it."""
    names: dict[str, str] = {}
    made = GraphModule(gm, subgraph, class_name)
    for node in subgraph.nodes:
        if node.op in ("call_module", "get_attr"):
            names[str(node.target)] = f"{comp_name}.{node.target}"
    return made, names


def compare_graphs(left: Graph, right: Graph) -> bool:
    """Whether both do the same."""
    matcher = SubgraphMatcher(left, match_output=True, match_placeholder=True)
    return len(matcher.match(right)) > 0
