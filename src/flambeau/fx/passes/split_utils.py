"""`torch.fx.passes.split_utils`: split a graph by the tags of its nodes."""

from __future__ import annotations

import copy
import operator
from dataclasses import dataclass, field
from typing import Any

from ..graph import Graph
from ..graph_module import GraphModule
from ..node import Node, map_arg
from .tools_common import CALLABLE_NODE_OPS, is_node_output_tensor
from .utils.common import HolderModule, lift_subgraph_as_module

__all__ = ["Component", "getattr_recursive", "move_non_tensor_nodes_on_boundary", "setattr_recursive", "split_by_tags"]


def getattr_recursive(obj: Any, name: str) -> Any:
    """What lies at a path; None if there is nothing."""
    for part in name.split("."):
        if not hasattr(obj, part):
            return None
        obj = getattr(obj, part)
    return obj


def setattr_recursive(obj: Any, attr: str, value: Any) -> None:
    """Put a value at a path."""
    *path, name = attr.split(".")
    for part in path:
        obj = getattr(obj, part)
    setattr(obj, name, value)


@dataclass
class Component:
    """The part of the graph that has one tag."""

    graph: Graph
    order: int
    name: str
    input_placeholders: list[Node] = field(default_factory=list)
    orig_inputs: list[Node] = field(default_factory=list)
    orig_outputs: list[Node] = field(default_factory=list)
    getattr_maps: dict[Node, Node] = field(default_factory=dict)
    constructor_args: list[str] = field(default_factory=list)
    gm: GraphModule | None = None


def split_by_tags(
    gm: GraphModule, tags: list[str], return_fqn_mapping: bool = False, return_tuple: bool = False,
    GraphModuleCls: type[GraphModule] = GraphModule,
) -> Any:  # fmt: skip
    """A GraphModule with one submodule for each tag, in their order; each node has its tag in `node.tag`.

    RuntimeError if a node uses a result of a later tag. With `return_fqn_mapping` also what the members were called.
    """
    components = {tag: Component(Graph(), i, tag) for i, tag in enumerate(tags)}
    home: dict[Node, Component] = {}
    inside: dict[Node, Node] = {}
    main = Graph()
    values: dict[Node, Node] = {}
    attributes: dict[Node, list[Component]] = {}
    output: Node | None = None
    for node in gm.graph.nodes:
        if node.op == "placeholder":
            values[node] = main.placeholder(node.name, type_expr=node.type)
            values[node].meta = copy.copy(node.meta)
        elif node.op == "output":
            output = node
        elif node.op == "get_attr":
            attributes[node] = []
        else:
            assert hasattr(node, "tag"), f"Node does not have tag: {node.format_node()}"
            component = home[node] = components[node.tag]

            def remap(used: Node, node: Node = node, component: Component = component) -> Node:
                return _inside(used, node, component, home, inside)

            inside[node] = component.graph.node_copy(node, remap)
    assert output is not None
    for node in output.all_input_nodes:
        if node in home and node not in home[node].orig_outputs:
            home[node].orig_outputs.append(node)
    root: dict[str, Any] = {}
    mapping: dict[str, str] = {}
    for component in components.values():
        _finish(gm, component, inside, main, values, root, mapping, return_tuple)
    main.output(map_arg(output.args[0], values.__getitem__))
    made = GraphModuleCls(HolderModule(root), main)
    made.train(gm.training)
    return (made, mapping) if return_fqn_mapping else made


def _inside(
    used: Node, node: Node, component: Component, home: dict[Node, Component], inside: dict[Node, Node]
) -> Node:
    """What stands for an input inside of a part."""
    if used.op == "get_attr":
        if used not in component.getattr_maps:
            component.getattr_maps[used] = component.graph.get_attr(str(used.target), type_expr=used.type)
        return component.getattr_maps[used]
    there = home.get(used)
    if used.op in CALLABLE_NODE_OPS and there is component:
        return inside[used]
    if there is not None and there.order > component.order:
        raise RuntimeError(f"{node} ({component.name}) uses {used}, which comes later ({there.name})")
    if there is not None and used not in there.orig_outputs:
        there.orig_outputs.append(used)
    if used not in component.orig_inputs:
        component.orig_inputs.append(used)
        held = component.graph.placeholder(used.name, type_expr=used.type)
        held.meta = copy.copy(used.meta)
        component.input_placeholders.append(held)
    return component.input_placeholders[component.orig_inputs.index(used)]


def _finish(
    gm: GraphModule, component: Component, inside: dict[Node, Node], main: Graph, values: dict[Node, Node],
    root: dict[str, Any], mapping: dict[str, str], return_tuple: bool,
) -> None:  # fmt: skip
    results = tuple(inside[n] for n in component.orig_outputs)
    single = len(results) == 1 and not return_tuple
    component.graph.output(results[0] if single else results)
    component.gm, names = lift_subgraph_as_module(gm, component.graph, comp_name=component.name)
    mapping.update(names)
    root[component.name] = component.gm
    call = main.call_module(component.name, tuple(values[n] for n in component.orig_inputs))
    if single:
        values[component.orig_outputs[0]] = call
    else:
        for i, node in enumerate(component.orig_outputs):
            values[node] = main.call_function(operator.getitem, (call, i))


def move_non_tensor_nodes_on_boundary(subgraphs: list[Any]) -> None:
    """Move nodes that give no tensor to a later part that uses them, with all that hangs on them, and say so.

    A part has `is_acc` and a list `nodes`. A node stays where it is if a third part needs it.
    """
    home = {node: k for k, part in enumerate(subgraphs) for node in part.nodes}
    names = [f"{'acc' if part.is_acc else 'gpu'}_{k}" for k, part in enumerate(subgraphs)]
    for here, part in enumerate(subgraphs):
        waiting = [
            n for n in part.nodes if not is_node_output_tensor(n) and any(home.get(u, here) != here for u in n.users)
        ]
        done: set[Node] = set()
        while waiting:
            node = waiting.pop(0)
            if node in done or home.get(node) != here:
                continue
            done.add(node)
            there = next((home[u] for u in node.users if home.get(u, here) != here), None)
            moved = None if there is None else _hanging(node, home, here, there)
            for found in moved or ():
                assert there is not None
                print(
                    f"In order move the non-tensor node {node.name} on boundary, moved node {found.name} from {names[here]} "
                    f"to {names[there]}"
                )
                part.nodes.remove(found)
                subgraphs[there].nodes.append(found)
                home[found] = there
                waiting += [n for n in found.all_input_nodes if home.get(n) == here and not is_node_output_tensor(n)]


def _hanging(node: Node, home: dict[Node, int], here: int, there: int) -> list[Node] | None:
    """A node of one part and all that needs it there; None if others than the second part need it, too."""
    found: list[Node] = []
    stack = [node]
    while stack:
        at = stack.pop()
        if at in found or at.op == "output" or home.get(at) == there:
            continue
        if home.get(at) != here:
            return None
        found.append(at)
        stack += list(at.users)
    return found
