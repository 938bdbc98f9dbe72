"""`torch.fx.passes.utils.fuser_utils`: put nodes of a graph into a module of their own."""

from __future__ import annotations

import copy
import operator
from collections.abc import Iterable, Sequence
from typing import Any

from ...graph import Graph
from ...graph_module import GraphModule
from ...node import Node
from ..tools_common import stable_topological_sort
from .common import lift_subgraph_as_module

NodeList = list[Node]


def topo_sort(nodes: Iterable[Node]) -> list[Node]:
    """The nodes in an order in which each comes after those of its inputs that are among them."""
    nodes = list(nodes)
    inside = set(nodes)
    waiting = {n: sum(i in inside for i in n.all_input_nodes) for n in nodes}
    ready = [n for n in nodes if waiting[n] == 0]
    done = []
    while ready:
        done.append(node := ready.pop(0))
        for user in node.users:
            if user in inside:
                waiting[user] -= 1
                if waiting[user] == 0:
                    ready.append(user)
    assert len(done) == len(nodes), "topological sorted nodes doesn't have same length as input nodes"
    return done


def validate_partition(partition: Iterable[Node]) -> bool:
    """Whether nothing outside of these nodes stands between them."""
    inside = set(partition)
    outputs = [user for node in inside for user in node.users if user not in inside]
    seen: set[Node] = set()
    while outputs:
        node = outputs.pop()
        if node in inside:
            return False
        if node not in seen:
            seen.add(node)
            outputs.extend(node.users)
    return True


def fuse_as_graphmodule(
    gm: GraphModule, nodes: Iterable[Node], module_name: str, partition_lookup_table: dict[Node, Any] | None = None,
    *, always_return_tuple: bool = False,
) -> tuple[GraphModule, tuple[Node, ...], tuple[Node, ...]]:  # fmt: skip
    """The nodes (in their order) as a GraphModule, and the nodes that are its inputs and outputs in `gm`."""
    nodes = list(nodes)
    for node in nodes:
        assert node.graph.owning_module is gm, f"{node} doesn't belong to passed in graph module {gm._get_name()}"
        assert not node._erased, f"{node} has been removed from owning graph"
        assert node in gm.graph.nodes, f"{node} is not found in graph module {gm._get_name()}"
    assert validate_partition(nodes), "Invalid partition, found dependency cycles"
    inside = set(nodes)
    graph = Graph()
    inputs: dict[Node, Node] = {}
    made: dict[Node, Node] = {}

    def remap(node: Node) -> Node:
        if node in inside:
            return made[node]
        if node not in inputs:
            if node.op == "get_attr":
                inputs[node] = graph.node_copy(node, lambda n: n)
            else:
                inputs[node] = graph.placeholder(node.name, type_expr=node.type)
                inputs[node].meta = copy.copy(node.meta)
        return inputs[node]

    for node in nodes:
        made[node] = graph.node_copy(node, remap)
    outputs = {n: made[n] for n in nodes if any(u not in inside for u in n.users)}
    results = tuple(outputs.values())
    graph.output(results if always_return_tuple or len(results) != 1 else results[0])
    graph.lint()
    fused, _ = lift_subgraph_as_module(gm, graph, comp_name="", class_name=module_name)
    outside = tuple(n for n in inputs if n.op != "get_attr")
    return fused, outside, tuple(outputs)


def insert_subgm(
    gm: GraphModule, sub_gm: GraphModule, orig_inputs: Sequence[Node], orig_outputs: Sequence[Node],
    insertion_point: Node | None = None,
) -> GraphModule:  # fmt: skip
    """Call a module in the place of the nodes that it was made of."""
    name = type(sub_gm).__name__
    gm.add_submodule(name, sub_gm)
    behind = insertion_point or orig_outputs[-1]
    with gm.graph.inserting_after(behind):
        call = gm.graph.call_module(name, args=tuple(orig_inputs))
    result = sub_gm.graph.output_node().args[0]
    if len(orig_outputs) == 1 and not isinstance(result, tuple):
        orig_outputs[0].replace_all_uses_with(call, propagate_meta=True)
    else:
        last = call
        for i, output in enumerate(orig_outputs):
            with gm.graph.inserting_after(last):
                last = gm.graph.call_function(operator.getitem, (call, i))
            output.replace_all_uses_with(last, propagate_meta=True)
    return gm


def erase_nodes(gm: GraphModule, nodes: Iterable[Node]) -> None:
    """Take nodes out, the last first."""
    for node in reversed(list(nodes)):
        gm.graph.erase_node(node)


def fuse_by_partitions(
    gm: GraphModule, partitions: list[dict[Node, int | None]], prefix: str = "fused_", always_return_tuple: bool = False
) -> GraphModule:
    """Put each set of nodes into a module of its own, `fused_<number>`."""
    for i, partition in enumerate(partitions):
        nodes = topo_sort(partition)
        fused, inputs, outputs = fuse_as_graphmodule(
            gm, nodes, f"{prefix}{i}", partition, always_return_tuple=always_return_tuple
        )
        insert_subgm(gm, fused, inputs, outputs)
        erase_nodes(gm, nodes)
    stable_topological_sort(gm)
    gm.graph.lint()
    return gm
