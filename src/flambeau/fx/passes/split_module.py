"""`torch.fx.passes.split_module`: a graph as a graph of smaller modules."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ...nn.modules.module import Module
from ..graph import Graph
from ..graph_module import GraphModule
from ..node import Node, map_arg

__all__ = ["Partition", "split_module", "split_module_simple"]


@dataclass(eq=False)
class Partition:
    """One of the smaller modules: its nodes, what comes in and goes out, and which others it waits for."""

    name: str
    submod_name: str = ""
    node_names: list[str] = field(default_factory=list)
    inputs: dict[str, None] = field(default_factory=dict)
    outputs: dict[str, None] = field(default_factory=dict)
    dependencies: dict[str, None] = field(default_factory=dict)
    dependents: dict[str, None] = field(default_factory=dict)
    graph: Graph = field(default_factory=Graph)
    environment: dict[Node, Node] = field(default_factory=dict)
    targets: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.submod_name = self.submod_name or f"submod_{self.name}"

    def __repr__(self) -> str:
        return (
            f"name: {self.name},\n nodes: {self.node_names},\n inputs: {self.inputs},\n outputs: {self.outputs},\n "
            f"partitions depended on: {self.dependencies},\n partition dependents: {self.dependents}"
        )


def _attribute(module: Module, target: str) -> Any:
    found: Any = module
    for part in target.split("."):
        if not hasattr(found, part):
            raise AttributeError(f"Operator target {target} not found!")
        found = getattr(found, part)
    return found


class _Splitter:
    def __init__(self, m: GraphModule, names: dict[str, str], affix: str | None):
        self.m = m
        self.names = names
        self.affix = f"{affix}_" if affix else ""
        self.partitions: dict[str, Partition] = {}
        self.home: dict[Node, str] = {}

    def assign(self, split_callback: Callable[[Node], Any]) -> None:
        """Ask where each node belongs."""
        for node in self.m.graph.nodes:
            if node.op in ("placeholder", "get_attr", "output"):
                continue
            name = str(split_callback(node))
            if name not in self.partitions:
                self.partitions[name] = Partition(name, f"submod_{self.affix}{name}")
            self.partitions[name].node_names.append(node.name)
            self.home[node] = name

    def note_uses(self) -> None:
        """Note what goes from one part to another."""

        def note(used: Node, user: Node) -> Node:
            there, here = self.home.get(used), self.home.get(user)
            if there != here:
                if there is not None:
                    self.partitions[there].outputs.setdefault(used.name)
                    if here is not None:
                        self.partitions[there].dependents.setdefault(here)
                if here is not None:
                    self.partitions[here].inputs.setdefault(used.name)
                    if there is not None:
                        self.partitions[here].dependencies.setdefault(there)
            return used

        for node in self.m.graph.nodes:
            map_arg((node.args, node.kwargs), functools.partial(note, user=node))

    def order(self) -> list[str]:
        """The parts in an order in which each comes after those that it waits for. RuntimeError for a circle."""
        waiting = {name: len(p.dependencies) for name, p in self.partitions.items()}
        ready = [name for name, count in waiting.items() if count == 0]
        done = []
        while ready:
            done.append(name := ready.pop(0))
            for other in self.partitions[name].dependents:
                waiting[other] -= 1
                if waiting[other] == 0:
                    ready.append(other)
        if len(done) != len(self.partitions):
            raise RuntimeError("cycle exists between partitions!")
        return done

    def fill(self, keep_node_name: bool, keep_input_name: bool) -> None:
        """Copy the nodes into their parts."""
        by_name = {node.name: node for node in self.m.graph.nodes}
        for part in self.partitions.values():
            for name in part.inputs:
                node = by_name[name]
                held = part.graph.placeholder(
                    name if keep_input_name else f"arg_{len(part.environment)}", type_expr=node.type
                )
                held.meta = node.meta.copy()
                part.environment[node] = held
        for node, name in self.home.items():
            part = self.partitions[name]
            args, kwargs = map_arg((node.args, node.kwargs), part.environment.__getitem__)
            target: Any = node.target
            if node.op in ("call_module", "get_attr"):
                value = _attribute(self.m, str(target))
                target = str(target).replace(".", "_")
                part.targets[target] = value
                self.names[f"{part.submod_name}.{target}"] = str(node.target)
            made = part.graph.create_node(
                node.op, target, args, kwargs, node.name if keep_node_name else None, node.type
            )
            made.meta = node.meta.copy()
            part.environment[node] = made

    def assemble(self, order: list[str], keep_order: bool, tuple_return: bool) -> GraphModule:
        """The graph that calls the parts."""
        graph = Graph()
        values: dict[str, Node] = {}
        attributes: dict[str, Any] = {}
        by_name = {node.name: node for node in self.m.graph.nodes}
        for node in self.m.graph.nodes:
            if node.op == "placeholder":
                values[node.name] = made = graph.node_copy(node, lambda n: values[n.name])
                made.meta = node.meta.copy()
        for node in self.m.graph.nodes:
            if node.op == "get_attr":
                values[node.name] = made = graph.get_attr(str(node.target), type_expr=node.type)
                made.meta = node.meta.copy()
                attributes[str(node.target)] = _attribute(self.m, str(node.target))
        for name in list(self.partitions) if keep_order else order:
            part = self.partitions[name]
            results = [part.environment[by_name[n]] for n in part.outputs]
            single = len(results) == 1 and not tuple_return
            part.graph.output(results[0] if single else tuple(results) if results else ())
            attributes[part.submod_name] = GraphModule(part.targets, part.graph)
            call = graph.call_module(part.submod_name, tuple(values[n] for n in part.inputs))
            if single:
                values[next(iter(part.outputs))] = call
            else:
                for i, output in enumerate(part.outputs):
                    values[output] = graph.call_function(operator.getitem, (call, i))
        for node in self.m.graph.nodes:
            if node.op == "output":
                made = graph.output(map_arg(node.args[0], lambda n: values[n.name]), type_expr=node.type)
                made.meta = node.meta.copy()
        return GraphModule(attributes, graph)


def split_module(
    m: GraphModule,
    root_m: Module,
    split_callback: Callable[[Node], Any],
    qualname_map: dict[str, str] | None = None,
    keep_original_order: bool | None = False,
    keep_original_node_name: bool | None = False,
    keep_original_input_name: bool = True,
    *,
    partition_affix: str | None = None,
    tuple_return: bool = False,
) -> GraphModule:
    """A GraphModule of submodules `submod_<name>`; `split_callback(node)` says into which one a node goes.

    `qualname_map` takes up what the submodules' members are called in `m`. `partition_affix` goes into the submodules' names,
    `tuple_return` makes each return a tuple. RuntimeError if two of them need results of each other.
    """
    splitter = _Splitter(m, qualname_map if qualname_map is not None else {}, partition_affix)
    splitter.assign(split_callback)
    splitter.note_uses()
    order = splitter.order()
    splitter.fill(bool(keep_original_node_name), keep_original_input_name)
    return splitter.assemble(order, bool(keep_original_order), tuple_return)


def split_module_simple(
    m: GraphModule, node_to_partition: dict[Node, int], *, partition_affix: str | None = None
) -> GraphModule:
    """`split_module` by a dict. KeyError for a node that it has not, RuntimeError if two parts need results of each other."""
    return split_module(m, m, node_to_partition.__getitem__, partition_affix=partition_affix)
