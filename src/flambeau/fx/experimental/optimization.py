"""`torch.fx.experimental.optimization`: join a convolution with the batch normalization after it; drop dropout."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from ... import nn
from ...nn.modules.module import Module
from ...nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval
from ...runtime.absent import refuse
from .. import _symbolic_trace as _trace
from ..graph import Graph
from ..graph_module import GraphModule
from ..interpreter import Transformer
from ..node import Argument, Node, Target

__all__ = [
    "UnionFind", "extract_subgraph", "fuse", "matches_module_pattern", "optimize_for_inference", "remove_dropout",
    "replace_node_module", "reset_modules",
]  # fmt: skip

_PAIRS: dict[tuple[type, type], Any] = {
    (nn.Conv1d, nn.BatchNorm1d): fuse_conv_bn_eval,
    (nn.Conv2d, nn.BatchNorm2d): fuse_conv_bn_eval,
    (nn.Conv3d, nn.BatchNorm3d): fuse_conv_bn_eval,
    (nn.Linear, nn.BatchNorm1d): fuse_linear_bn_eval,
}


def _parent_name(target: str) -> tuple[str, str]:
    parent, _, name = target.rpartition(".")
    return parent, name


def matches_module_pattern(pattern: Iterable[type], node: Node, modules: dict[str, Any]) -> bool:
    """Whether a node calls a layer of the second type on the result of one of the first."""
    if not node.args:
        return False
    for there, kind in zip((node.args[0], node), pattern, strict=False):
        if not isinstance(there, Node) or there.op != "call_module" or not isinstance(there.target, str):
            return False
        if there.target not in modules or type(modules[there.target]) is not kind:
            return False
    return True


def replace_node_module(node: Node, modules: dict[str, Any], new_module: Module) -> None:
    """Put a module in the place of the one that a node calls."""
    assert isinstance(node.target, str)
    parent, name = _parent_name(node.target)
    modules[node.target] = new_module
    setattr(modules[parent], name, new_module)


def fuse(model: Module, inplace: bool = False, no_trace: bool = False) -> Module:
    """A copy of a model in `eval()` in which each batch normalization is a part of the layer before it (convolution, linear).

    AssertionError for a layer that trains. `no_trace`: the model is a GraphModule already.
    """
    if not inplace:
        model = copy.deepcopy(model)
    if not no_trace or not isinstance(model, GraphModule):
        traced = _trace.symbolic_trace(model)
    else:
        traced = model
    modules = dict(traced.named_modules())
    graph = copy.deepcopy(traced.graph)
    for pattern, join in _PAIRS.items():
        for node in graph.nodes:
            if not matches_module_pattern(pattern, node, modules):
                continue
            first = node.args[0]
            assert isinstance(first, Node)
            norm = modules[str(node.target)]
            if len(first.users) > 1 or not norm.track_running_stats:
                continue
            fused = join(modules[str(first.target)], norm)
            replace_node_module(first, modules, fused)
            node.replace_all_uses_with(first)
            graph.erase_node(node)
    return GraphModule(traced, graph)


def remove_dropout(model: Module) -> Module:
    """The model without its dropout layers."""

    class DropoutRemover(Transformer):
        def call_module(self, target: Target, args: tuple[Argument, ...], kwargs: dict[str, Any]) -> Any:
            if isinstance(self.submodules[str(target)], nn.Dropout):
                assert len(args) == 1
                return args[0]
            return super().call_module(target, args, kwargs)

    return DropoutRemover(_trace.symbolic_trace(model)).transform()


def extract_subgraph(orig_module: Module, nodes: list[Node], inputs: list[Node], outputs: list[Node]) -> GraphModule:
    """Some nodes of a graph as a GraphModule of its own; `inputs` become its placeholders."""
    graph = Graph()
    values: dict[Node, Node] = {}
    for node in inputs:
        values[node] = graph.placeholder(node.name)
    for node in nodes:
        values[node] = graph.node_copy(node, values.__getitem__)
    graph.output([values[node] for node in outputs])
    graph.lint()
    return GraphModule(orig_module, graph)


def optimize_for_inference(
    model: Module, pass_config: dict[str, Any] | None = None, tracer: type[_trace.Tracer] = _trace.Tracer
) -> Module:
    """A GraphModule of the model with batch normalizations joined into the layers before them, and without dropout.

    `pass_config` turns parts off: `conv_bn_fuse`, `remove_dropout`. What it says of `mkldnn_layout_optimize` changes nothing, since
    XLA chooses how values lie. RuntimeError if that is neither False nor a dict.
    """
    config = {"conv_bn_fuse": True, "remove_dropout": True, "mkldnn_layout_optimize": {}, **(pass_config or {})}
    if config["conv_bn_fuse"]:
        model = fuse(model)
    if config["remove_dropout"]:
        model = remove_dropout(model)
    layout = config["mkldnn_layout_optimize"]
    if layout is not False and not isinstance(layout, dict):
        raise RuntimeError("mkldnn_layout_optimize config is not a dict")
    graph = tracer().trace(copy.deepcopy(model))
    return GraphModule(graph.owning_module if graph.owning_module is not None else model, graph)


def reset_modules(nodes: Iterable[Node], modules: dict[str, Any], old_modules: dict[Module, Module]) -> None:
    """Put the modules that nodes called before (`old_modules`, by those of now) back into their places."""
    for node in nodes:
        if node.op == "call_module" and modules[str(node.target)] in old_modules:
            replace_node_module(node, modules, old_modules[modules[str(node.target)]])


class UnionFind:
    """Sets of the numbers below n that are joined: each set is called by one of its numbers."""

    def __init__(self, n: int):
        self.parent: list[int | None] = [None] * n
        self.size = [0] * n

    def make_set(self, v: int) -> None:
        """A set of one number."""
        self.parent[v], self.size[v] = v, 1

    def find(self, v: int) -> int:
        """What the number's set is called. AssertionError if it is in none."""
        above = self.parent[v]
        assert above is not None, "Parent is None"
        if above != v:
            above = self.parent[v] = self.find(above)
        return above

    def join(self, a: int, b: int) -> int:
        """Make one set of two; what it is called, the larger one's name."""
        a, b = self.find(a), self.find(b)
        if a == b:
            return a
        if self.size[a] < self.size[b]:
            a, b = b, a
        self.parent[b] = a
        self.size[a] += self.size[b]
        return a


refuse(
    globals(),
    "oneDNN's layout of memory is not here, since XLA chooses its own",
    "MklSubgraph gen_mkl_autotuner modules_to_mkldnn use_mkl_length",
)
