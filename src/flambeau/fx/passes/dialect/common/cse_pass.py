"""`torch.fx.passes.dialect.common.cse_pass`: equal computations are made once."""

from __future__ import annotations

from typing import Any

from .....core.dispatch.overloads import OpOverload, ops
from .....utils import _pytree as pytree
from ....graph import Graph
from ....graph_module import GraphModule
from ....node import Node
from ...infra.pass_base import PassBase, PassResult

__all__ = ["CSEPass", "get_CSE_banned_ops"]

_DRAWS = """dropout _fused_dropout _standard_gamma bernoulli multinomial native_dropout normal poisson binomial rrelu rand_like rand
    randint randint_like randn randn_like randperm rrelu_with_noise""".split()
_MAKES = "empty empty_like".split()


def get_CSE_banned_ops() -> set[Any]:
    """The operators that give something else each time, by their packets: draws of random numbers, memory not written yet."""
    found = {getattr(ops.aten, name, None) for name in (*_DRAWS, *_MAKES)}
    return found - {None}


def _is_kept(node: Node, banned: set[Any]) -> bool:
    """Whether a node stays although there is an equal one."""
    target = node.target
    if node.op in ("placeholder", "output", "get_attr", "call_module") or node.is_impure():
        return True
    if isinstance(target, OpOverload):
        return target in banned or target.overloadpacket in banned or target._schema.is_mutable
    name = target if isinstance(target, str) else getattr(target, "__name__", "")
    return target in banned or (name.endswith("_") and not name.endswith("__")) or name in _DRAWS or name in _MAKES


class CSEPass(PassBase):
    """Leaves out nodes that compute what an earlier one computes. `banned_ops` are left alone (`get_CSE_banned_ops()` if not given)."""

    def __init__(self, banned_ops: Any = None):
        self.banned_ops: set[Any] = get_CSE_banned_ops() if banned_ops is None else set(banned_ops)
        super().__init__()

    def call(self, graph_module: GraphModule) -> PassResult:
        graph, copies = Graph(), dict[Node, Node]()
        seen: dict[Any, Node] = {}
        modified = False
        for node in graph_module.graph.nodes:
            if _is_kept(node, self.banned_ops):
                copies[node] = graph.node_copy(node, copies.__getitem__)
                continue
            key = self._key(node, copies)
            if key is not None and key in seen:
                copies[node] = seen[key]
                modified = True
                continue
            copies[node] = graph.node_copy(node, copies.__getitem__)
            if key is not None:
                seen[key] = copies[node]
        graph.set_codegen(graph_module.graph._codegen)
        return PassResult(GraphModule(graph_module, graph), modified)

    def _key(self, node: Node, copies: dict[Node, Node]) -> Any:
        """What is the same for equal computations; None if an argument can't be compared."""
        leaves, structure = pytree.tree_flatten((node.args, node.kwargs))
        told = tuple((type(leaf), copies[leaf] if isinstance(leaf, Node) else leaf) for leaf in leaves)
        key = (node.op, node.target, told, str(structure))
        try:
            hash(key)
        except TypeError:
            return None
        return key
