"""Places on the tape, as users hold them: `GradientEdge`."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np

from ..array import dtypes
from ..array.size import Size
from ..dispatch.messages import message
from ..tape.nodes import AccumulateGrad, Edge, Node, OperatorNode, ViewNode, shown
from ..tape.several import ViewsNode
from ..tensor.tensor import Tensor


class GradientEdge(NamedTuple):
    """Where a gradient goes: a node of the tape, and the number of its output. It serves where tensors do in `grad` and `backward`."""

    node: Node
    output_nr: int
    ownership_token: Any = None


GradientEdge.__module__ = "flambeau.autograd.graph"


def get_gradient_edge(tensor: Tensor) -> GradientEdge:
    """The edge of a tensor, which may be held without its values. RuntimeError if it does not require grad."""
    edge = tensor._tape_edge()
    if edge is None:
        raise RuntimeError("It is not possible to get the gradient edge for a Tensor that does not require gradients")
    return GradientEdge(shown(edge[0]), edge[1])


def edge_of(target: Any) -> Edge | None:
    """The edge of a tensor or of a GradientEdge."""
    if isinstance(target, Tensor):
        return target._tape_edge()
    if isinstance(target, GradientEdge):
        if not isinstance(target.node, Node):
            raise RuntimeError(
                f"GradientEdge's first object must be an autograd.graph.Node but got {type(target.node).__name__}"
            )
        return target.node, target.output_nr
    raise TypeError(f"expected Tensor or GradientEdge, got {type(target).__name__}")


def leaf_of(target: Any) -> Tensor:
    """The tensor whose `.grad` keeps what arrives: the tensor itself, or that of a leaf's edge."""
    if isinstance(target, Tensor):
        return target
    leaf = target.node.leaf() if isinstance(target.node, AccumulateGrad) else None
    if leaf is None:
        raise RuntimeError(
            "backward(inputs=...): a GradientEdge must be that of a leaf here, whose .grad can be added to"
        )
    return leaf  # type: ignore[no-any-return]


def shape_of(target: Any) -> tuple[tuple[int, ...], np.dtype]:
    """The shape and dtype of what is at a place. RuntimeError if the node does not know."""
    if isinstance(target, Tensor):
        return tuple(target.shape), target._np_dtype
    node, number = target.node, target.output_nr
    if isinstance(node, AccumulateGrad) and node.leaf() is not None:
        return shape_of(node.leaf())
    if isinstance(node, OperatorNode) and (node.saved or node.released) is not None:
        arguments: Any = node.saved or node.released
        made = jax.eval_shape(node.program.function, *arguments)
        made = made[number] if isinstance(made, tuple) else made
        return tuple(made.shape), np.dtype(made.dtype)
    if isinstance(node, ViewNode) and target.output_nr == 0:
        dtype = next((shape_of(GradientEdge(*e))[1] for e in node.edges if e), np.dtype(np.float32))
        return tuple(node.g.shape), dtype
    if isinstance(node, ViewsNode):
        return shape_of(GradientEdge(node.single(number), 0))
    metas = getattr(node, "metas", None)
    if metas is not None and len(metas) > number and len(metas[number]) == 2:
        return metas[number]  # type: ignore[no-any-return]
    raise RuntimeError(f"{node.name()} does not know the shape of its output {number}: pass grad_tensors")


def refuse_unlike(i: int, gradient: Tensor, shape: Any, dtype: np.dtype) -> None:
    """RuntimeError for a gradient that is given for an output of another shape, or of complex numbers for real ones."""
    if gradient.shape != tuple(shape):
        raise RuntimeError(
            f"Mismatch in shape: grad_output[{i}] has a shape of {gradient.shape} and output[{i}] has a shape of {Size(shape)}."
        )
    if (gradient._np_dtype.kind == "c") != (dtype.kind == "c"):
        raise RuntimeError(message("complex_gradient_dtype", i=i, given=gradient.dtype, own=dtypes.from_numpy(dtype)))


__all__ = ["GradientEdge", "edge_of", "get_gradient_edge", "leaf_of", "refuse_unlike", "shape_of"]
