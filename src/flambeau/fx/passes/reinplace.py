"""`torch.fx.passes.reinplace`: operators write into a tensor that nobody needs any more, where that is to be seen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...core.dispatch.overloads import OpOverload, ops
from ...core.tensor.tensor import Tensor
from ...utils import _pytree as pytree
from ..graph_module import GraphModule
from ..interpreter import Interpreter
from ..node import Node

__all__ = ["reinplace"]


class _Memory(Interpreter):
    """Runs a graph and takes down in which storages each node's tensors lie."""

    def __init__(self, module: GraphModule):
        super().__init__(module)
        self.values: dict[Node, Any] = {}

    def run_node(self, n: Node) -> Any:
        self.values[n] = result = super().run_node(n)
        return result

    def storages(self, node: Node) -> set[int]:
        """Which memory a node's value lies in."""
        return {id(t._storage) for t in _tensors(self.values.get(node))}


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from _tensors(part)


def _in_place(target: Any) -> OpOverload | None:
    """The overload that writes its result into its first argument and takes the same arguments; None if there is none."""
    if not isinstance(target, OpOverload) or target._schema.is_mutable or target.overloadpacket.__name__.endswith("_"):
        return None
    packet = getattr(ops.aten, target.overloadpacket.__name__ + "_", None)
    wanted = [(a.name, str(a.type)) for a in target._schema.arguments]
    for name in packet.overloads() if packet is not None else ():
        found = getattr(packet, name)
        arguments = found._schema.arguments
        same = [(a.name, str(a.type)) for a in arguments] == wanted
        if same and arguments[0].is_write and not any(a.is_write for a in arguments[1:]):
            return found
    return None


def _same_place(old: Any, new: Any) -> bool:
    """Whether a result can be written where an argument lies: no two of its elements share a place."""
    return (
        isinstance(old, Tensor)
        and isinstance(new, Tensor)
        and (old.shape, old.dtype) == (new.shape, new.dtype)
        and not any(stride == 0 and size > 1 for size, stride in zip(old.shape, old.stride(), strict=True))
    )


def reinplace(gm: GraphModule, *sample_args: Any) -> GraphModule:
    """Change `b = aten.add(a, 1)` to `aten.add_(a, 1)`, and `b` to `a` after it, wherever nobody can see the difference.

    `gm` is a graph of ATen operators that write nothing (as `make_fx` gives it); it is run once with `sample_args`, to see what shares
    memory, and is changed and returned. An argument is written to if it has the result's shape and dtype, if its memory is none
    of an input's or a parameter's, and if neither it nor another tensor in the same memory is read afterwards.
    """
    memory = _Memory(gm)
    memory.run(*[a.clone() if isinstance(a, Tensor) else a for a in sample_args])
    nodes = list(gm.graph.nodes)
    order = {node: i for i, node in enumerate(nodes)}
    outside: set[int] = set()
    for node in nodes:
        if node.op in ("placeholder", "get_attr"):
            outside |= memory.storages(node)
    # the nodes whose tensors lie in a storage, results that were written into it with them
    lying: dict[int, set[Node]] = {}
    places = {node: memory.storages(node) for node in nodes}
    for node, storages in places.items():
        for storage in storages:
            lying.setdefault(storage, set()).add(node)
    for node in nodes:
        target = _in_place(node.target) if node.op == "call_function" else None
        first = node.args[0] if node.args else None
        if target is None or not isinstance(first, Node) or not _same_place(memory.values[first], memory.values[node]):
            continue
        here = places[first]
        sharing = set().union(*(lying[s] for s in here))
        read_later = any(order[user] > order[node] for n in sharing for user in n.users)
        read_beside = any(
            a in sharing for a in pytree.tree_leaves((node.args[1:], dict(node.kwargs))) if isinstance(a, Node)
        )
        if len(here) != 1 or here & outside or read_later or read_beside:
            continue
        node.target = target
        node.replace_all_uses_with(first)
        for storage in places[node]:  # views of the result are views of what it was written into
            for other in lying.pop(storage, set()):
                places[other] = here
                lying[next(iter(here))].add(other)
    gm.recompile()
    return gm
