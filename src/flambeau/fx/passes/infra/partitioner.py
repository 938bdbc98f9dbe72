"""`torch.fx.passes.infra.partitioner`: the parts of a graph that a backend takes, as large as they can be without a circle."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence

from ...graph_module import GraphModule
from ...node import Node, _get_qualified_name
from ..operator_support import OperatorSupportBase
from ..utils.fuser_utils import fuse_by_partitions, validate_partition

__all__ = ["CapabilityBasedPartitioner", "Partition"]


class Partition:
    """Some nodes that become one module."""

    def __init__(
        self, id: int | None = None, nodes: Iterable[Node] | None = None, node_orders: Iterable[int] | None = None
    ):
        self.id = id
        self.nodes: dict[Node, int | None] = {}
        given = list(nodes or ())
        orders = [None] * len(given) if node_orders is None else list(node_orders)
        for node, order in zip(given, orders, strict=True):
            self.nodes[node] = order

    def __repr__(self) -> str:
        return str(self.nodes)

    def add_node(self, node: Node, node_order: int | None = None) -> None:
        """One more."""
        self.nodes[node] = node_order

    def remove_node(self, node: Node) -> None:
        """One less."""
        del self.nodes[node]

    def size(self) -> int:
        """How many there are."""
        return len(self.nodes)


def _users_first(node: Node, parts: list[set[Node]]) -> list[set[Node]]:
    """The parts that use a node, then the others; the youngest first."""
    young = parts[::-1]
    using = [part for part in young if any(user in part for user in node.users)]
    return using + [part for part in young if not any(part is other for other in using)]


class CapabilityBasedPartitioner:
    """Joins the nodes that `operator_support` takes, and that may be joined without a circle between the parts.

    A part with a single function that computes (none of `non_compute_ops`) is left where it was, unless
    `allows_single_node_partition` or the node is one of `allowed_single_node_partition_ops`. Parts that do not touch are joined too,
    unless `skip_horizontal_fusion`.
    """

    def __init__(
        self,
        graph_module: GraphModule,
        operator_support: OperatorSupportBase,
        allows_single_node_partition: bool = False,
        non_compute_ops: Sequence[str] | None = None,
        allowed_single_node_partition_ops: Sequence[str] | None = None,
        skip_horizontal_fusion: bool = False,
    ) -> None:
        self.graph_module = graph_module
        self.operator_support = operator_support
        self.allows_single_node_partition = allows_single_node_partition
        self.non_compute_ops: list[str] = list(non_compute_ops or ())
        self.allowed_single_node_partition_ops: list[str] = list(allowed_single_node_partition_ops or ())
        self.skip_horizontal_fusion = skip_horizontal_fusion

    def propose_partitions(self) -> list[Partition]:
        """The parts. From the end of the graph each node that is taken joins parts that use it, then those before it."""
        modules = dict(self.graph_module.named_modules())
        order = {node: i for i, node in enumerate(self.graph_module.graph.nodes)}
        parts: list[set[Node]] = []
        for node in reversed(order):
            if not self.operator_support.is_node_supported(modules, node):
                continue
            mine, place = {node}, len(parts)  # (a joined part stands where the oldest of its parts stood)
            for other in _users_first(node, parts):
                touches = any(user in other for inside in mine for user in inside.users)
                if (touches or not self.skip_horizontal_fusion) and validate_partition(mine | other):
                    place = min(place, parts.index(other))
                    parts.remove(other)
                    mine |= other
            parts.insert(place, mine)
        self._with_their_source(parts)
        kept = [part for part in parts if part and (self.allows_single_node_partition or self._is_worth_it(part))]
        return [
            Partition(i, sorted(part, key=order.__getitem__), sorted(order[n] for n in part))
            for i, part in enumerate(kept)
        ]

    def _with_their_source(self, parts: list[set[Node]]) -> None:
        """An element of a result lies where the result does, or beside it."""
        of = {node: part for part in parts for node in part}
        for node in self.graph_module.graph.nodes:
            if node.target is not operator.getitem or node.op != "call_function":
                continue
            home, now = of.get(node.args[0]), of.get(node)
            if home is now:
                continue
            if now is not None:
                now.remove(node)
                del of[node]
            if home is not None:
                home.add(node)
                of[node] = home

    def _is_worth_it(self, part: set[Node]) -> bool:
        computing = 0
        for node in part:
            if node.op != "call_function":
                continue
            name = _get_qualified_name(node.target)  # type: ignore[arg-type]
            if name in self.allowed_single_node_partition_ops:
                return True
            computing += node.target is not operator.getitem and name not in self.non_compute_ops
        return computing > 1

    def fuse_partitions(self, partitions: list[Partition], prefix: str = "fused_") -> GraphModule:
        """The graph with each part as a module of its own."""
        return fuse_by_partitions(self.graph_module, [part.nodes for part in partitions], prefix=prefix)

    def remove_bookend_non_compute_ops(self, partitions: list[Partition]) -> None:
        """Leave nodes that compute nothing out of a part where they stand at its edge."""

        def bare(node: Node) -> bool:
            return node.op == "call_function" and _get_qualified_name(node.target) in self.non_compute_ops  # type: ignore[arg-type]

        for part in partitions:
            changed = True
            while changed:
                edge = [
                    n
                    for n in part.nodes
                    if bare(n)
                    and (
                        not any(i in part.nodes for i in n.all_input_nodes) or not any(u in part.nodes for u in n.users)
                    )
                ]
                for node in edge:
                    part.remove_node(node)
                changed = bool(edge)

    def partition_and_fuse(self, prefix: str = "fused_") -> GraphModule:
        """`propose_partitions`, then `fuse_partitions`."""
        return self.fuse_partitions(self.propose_partitions(), prefix)
