"""`torch.fx.experimental.const_fold`: what of a graph depends on no input is computed once."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from ...core.context.grad_mode import no_grad
from ...core.tensor.tensor import Tensor
from ...nn.modules.container import ParameterList
from ...nn.modules.module import Module
from ...nn.parameter import Parameter
from .._symbolic_trace import symbolic_trace
from ..graph import Graph
from ..graph_module import GraphModule
from ..node import Node

__all__ = ["FoldedGraphModule", "get_unique_attr_name_in_module", "split_const_subgraphs"]

FOLDED = "_FX_CONST_FOLDED_ATTRS"


class FoldedGraphModule(GraphModule):
    """A graph whose constant part, `const_subgraph_module`, is computed at the first call, or by `run_folding`."""

    def __init__(
        self,
        root: Module,
        graph: Graph,
        const_subgraph: Graph | None = None,
        fx_const_folded_attrs_name: str | None = None,
        device_for_folded_attrs: str = "cuda",
    ):
        super().__init__(root, graph)
        self.const_subgraph_module: GraphModule | None = (
            None if const_subgraph is None else GraphModule(root, const_subgraph)
        )
        self.has_folding_been_run: bool = False
        self.fx_const_folded_attrs_name = fx_const_folded_attrs_name
        self.device_for_folded_attrs = device_for_folded_attrs

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self.has_folding_been_run:
            self.run_folding()
        return super().__call__(*args, **kwargs)

    def run_folding(self) -> None:
        """Compute the constant part. AssertionError the second time."""
        if self.const_subgraph_module is None or self.fx_const_folded_attrs_name is None:
            return
        if self.has_folding_been_run:
            raise AssertionError("Folding has already been run")
        self.has_folding_been_run = True
        made = self.const_subgraph_module()
        folded = ParameterList([_constant(m) for m in made]) if isinstance(made, tuple) else _constant(made)
        setattr(self, self.fx_const_folded_attrs_name, folded)


def _constant(value: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    return Parameter(value.detach(), requires_grad=value.requires_grad)


def get_unique_attr_name_in_module(mod_traced: Module, name: str) -> str:
    """The name, with a number behind it if a module has an attribute of that name."""
    found, number = name, 1
    while hasattr(mod_traced, found):
        found, number = f"{name}_{number}", number + 1
    return found


def _constant_nodes(graph: Graph, skip: Callable[[Node], bool] | None) -> list[Node]:
    found: list[Node] = []
    for node in graph.nodes:
        if node.op in ("placeholder", "output") or (
            node.op != "get_attr" and not set(node.all_input_nodes) <= set(found)
        ):
            continue
        if not (skip is not None and skip(node)) and not node.is_impure():
            found.append(node)
    return found


def split_const_subgraphs(
    module: Module,
    skip_folding_node_fn: Callable[[Node], bool] | None = None,
    device_for_folded_attrs: str = "cpu",
) -> FoldedGraphModule:
    """The graph of a module, with what depends on no input in a graph of its own.

    A node for which `skip_folding_node_fn` is true stays where it is.
    """
    traced = module if isinstance(module, GraphModule) else symbolic_trace(module)
    constant = _constant_nodes(traced.graph, skip_folding_node_fn)
    if all(node.op == "get_attr" for node in constant):
        return FoldedGraphModule(traced, traced.graph)
    apart = set(constant)
    given = [n for n in constant if n.op != "get_attr" and any(user not in apart for user in n.users)]
    name = get_unique_attr_name_in_module(traced, FOLDED)
    inner = _inner(constant, given)
    graph = _outer(traced.graph, apart, given, name)
    with no_grad():
        setattr(traced, name, None)
    folded = FoldedGraphModule(traced, graph, inner, name, device_for_folded_attrs)
    delattr(traced, name)
    return folded


def _inner(constant: list[Node], given: list[Node]) -> Graph:
    """The graph that computes the constants `given`."""
    needed: set[Node] = set()
    waiting = list(given)
    while waiting:
        node = waiting.pop()
        if node not in needed:
            needed.add(node)
            waiting += node.all_input_nodes
    graph, copies = Graph(), dict[Node, Node]()
    for node in sorted(constant, key=lambda node: node.op != "get_attr"):
        if node in needed:
            copies[node] = graph.node_copy(node, copies.__getitem__)
            if node.op == "get_attr":
                copies[node]._rename(f"{node.name}_1")
    made = tuple(copies[node] for node in given)
    graph.output(made if len(made) > 1 else made[0])
    return graph


def _outer(whole: Graph, apart: set[Node], given: list[Node], name: str) -> Graph:
    """The graph without them."""
    graph, copies = Graph(), dict[Node, Node]()
    begun = False
    for node in whole.nodes:
        if node.op == "placeholder":
            copies[node] = graph.node_copy(node)
        elif node not in apart:
            if not begun:
                begun = True
                _gets(graph, copies, apart, given, name)
            copies[node] = graph.node_copy(node, copies.__getitem__)
    return graph


def _gets(graph: Graph, copies: dict[Node, Node], apart: set[Node], given: list[Node], name: str) -> None:
    for node in sorted(apart):
        if node.op == "get_attr" and any(user not in apart for user in node.users):
            copies[node] = graph.node_copy(node)
    folded = graph.get_attr(name)
    for place, node in enumerate(given):
        copies[node] = folded if len(given) == 1 else graph.call_function(operator.getitem, (folded, place))
