"""`torch.fx.passes.tools_common`: small helps for passes over graphs."""

from __future__ import annotations

import collections
import heapq
from collections.abc import Mapping
from typing import Any

from ...core.tensor.tensor import Tensor
from ...nn.modules.module import Module
from ...runtime.absent import refuse
from .._names import of_torch, qualified_name
from ..graph import Graph
from ..graph_module import GraphModule
from ..node import Node

__all__ = ["get_acc_ops_name", "get_node_target", "is_node_output_tensor", "legalize_graph", "stable_topological_sort"]

Tensors = tuple[Tensor, ...] | list[Tensor]
TensorOrTensors = Tensor | Tensors
NodeList = list[Node]
NodeSet = set[Node]
Names = list[str]
CALLABLE_NODE_OPS = {"call_module", "call_function", "call_method"}


def get_acc_ops_name(k: Any) -> str:
    """A function's name with that of its module."""
    if isinstance(k, str):
        return k
    if getattr(k, "__module__", None) and "acc_ops" in k.__module__:
        return f"acc_ops.{k.__name__}"
    module = of_torch(k.__module__).replace("torch._ops", "torch.ops")
    return f"{module if module else ''}.{k.__name__}"


def get_node_target(submodules: Mapping[str, Module], node: Node) -> str:
    """What a node calls: a function's name, a layer's type, a method's name."""
    assert node.op in CALLABLE_NODE_OPS, f"Expect op types of {', '.join(CALLABLE_NODE_OPS)}, but found {node.op}"
    if node.op == "call_module":
        called = submodules[str(node.target)]
        kind: Any = type(called)
        return get_acc_ops_name(getattr(called, "_base_class_origin", kind))
    if node.op == "call_function":
        function: Any = node.target
        if "acc_ops" in (getattr(function, "__module__", None) or ""):
            return f"acc_ops.{function.__name__}"
        return qualified_name(function)
    return str(node.target)


def is_node_output_tensor(node: Node) -> bool:
    """Whether its `meta["type"]`, as ShapeProp notes it, is a tensor."""
    kind = node.meta.get("type", None)
    return kind is not None and issubclass(kind, Tensor)


def _sorted_into(gm: GraphModule, stable: bool) -> GraphModule:
    waiting = {node: len(node.all_input_nodes) for node in gm.graph.nodes}
    place = {node: i for i, node in enumerate(gm.graph.nodes)}
    made = Graph()
    values: dict[Node, Node] = {}
    ready: Any = [(place[n], n) for n, count in waiting.items() if count == 0]
    queue: Any = ready if stable else collections.deque(ready)
    if stable:
        heapq.heapify(queue)
    elif any(n.op == "placeholder" for _, n in ready):  # inputs come first
        queue = collections.deque(sorted(ready, key=lambda e: 0 if e[1].op == "placeholder" else 1))
    while queue:
        _, node = heapq.heappop(queue) if stable else queue.popleft()
        values[node] = made.node_copy(node, values.__getitem__)
        for user in node.users:
            waiting[user] -= 1
            if waiting[user] == 0:
                entry = (place[user], user)
                if stable:
                    heapq.heappush(queue, entry)
                elif user.op == "get_attr":
                    queue.appendleft(entry)
                else:
                    queue.append(entry)
    if len(made.nodes) < len(gm.graph.nodes):
        raise RuntimeError(f"Input graph has cycles, unable to add {[n for n in waiting if waiting[n] != 0]}")
    made._codegen = gm.graph._codegen
    gm.graph = made
    return gm


def legalize_graph(gm: GraphModule) -> GraphModule:
    """Put the nodes into an order in which each comes after its inputs. RuntimeError for a circle."""
    return _sorted_into(gm, stable=False)


def stable_topological_sort(gm: GraphModule) -> GraphModule:
    """The same, as near to the order that they are in as possible."""
    return _sorted_into(gm, stable=True)


refuse(globals(), "the splitter of torch.fx.passes.splitter_base does not seek them", "FxNetAccFusionsFinder")
