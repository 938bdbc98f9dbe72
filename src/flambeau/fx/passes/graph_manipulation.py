"""`torch.fx.passes.graph_manipulation`: replace targets, and count what nodes hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ...core.tensor.tensor import Tensor
from ..graph_module import GraphModule
from ..node import Node
from .shape_prop import ShapeProp, TensorMetadata

__all__ = ["get_size_of_all_nodes", "get_size_of_node", "get_tensor_meta", "replace_target_nodes_with"]


class size_bytes(NamedTuple):
    """Bytes of a node's result, and of this with the parameters of what it calls."""

    output_size: int
    total_size: int


def replace_target_nodes_with(
    fx_module: GraphModule,
    old_op: str,
    old_target: Callable[..., Any] | str,
    new_op: str,
    new_target: Callable[..., Any] | str,
) -> None:
    """Let the nodes of one kind and target have another kind and target."""
    for node in fx_module.graph.nodes:
        if node.op == old_op and node.target == old_target:
            node.op = new_op
            node.target = new_target


def get_size_of_all_nodes(fx_module: GraphModule, args: list[Tensor] | None = None) -> None:
    """Put a `size_bytes` into each node; with arguments, shapes are found by running the module on them."""
    if args is not None:
        ShapeProp(fx_module).propagate(*args)
    for node in fx_module.graph.nodes:
        if node.op == "output":
            break
        node.size_bytes = get_size_of_node(fx_module, node)  # type: ignore[attr-defined]


def get_tensor_meta(node: Node) -> Any:
    """A node's `TensorMetadata`. RuntimeError if shapes were not propagated."""
    meta = node.meta.get("tensor_meta")
    if not meta:
        raise RuntimeError(
            f"Node {node} has no tensor metadata associated with it! Check that shape propagation has run."
        )
    return meta


def get_size_of_node(fx_module: GraphModule, node: Node) -> size_bytes:
    """The bytes of a node's result and parameters."""
    total = 0
    if node.op == "call_module":
        called = dict(fx_module.named_modules())[str(node.target)]
        total = sum(p.numel() * p.element_size() for p in called.parameters())
    meta = get_tensor_meta(node)
    metas: list[TensorMetadata] = []
    _collect(meta, metas)
    output = sum(_numel(m) * m.dtype.itemsize for m in metas)
    return size_bytes(output, total + output)


def _collect(meta: Any, found: list[TensorMetadata]) -> None:
    if isinstance(meta, TensorMetadata):
        found.append(meta)
    elif isinstance(meta, (list, tuple)):
        for part in meta:
            _collect(part, found)
    elif isinstance(meta, dict):
        _collect(list(meta.values()), found)


def _numel(meta: TensorMetadata) -> int:
    count = 1
    for size in meta.shape:
        count *= size
    return count
