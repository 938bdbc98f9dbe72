"""Views of tensors that were there before a call: each call makes them anew, with their place on the tape and their base."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..core.array.geometry import Geometry
from ..core.context.tracing import Untraceable
from ..core.tape.nodes import AccumulateGrad, ViewNode
from ..core.tape.several import ViewsNode
from ..core.tensor.tensor import Tensor, blank
from .recorder import Recorder

_LARGE = 100_000  # elements that are not compared one by one


class Following(NamedTuple):
    """How a view follows its base: the name of its node, if it has one, and why autograd can't follow it, if so.

    `dense` says that its geometry is given in the base's own, contiguous values; `detached`, that it shares the memory alone.
    """

    label: str | None
    refusal: str | None
    dense: bool = False
    detached: bool = False


def following(view: Tensor, edge: Any, recorder: Recorder) -> Following | None:
    """How a view of a tensor from before the trace follows it; None if the function has moved either on the tape."""
    base = view._base
    assert base is not None
    if (before := recorder.edges.get(base)) is not None and before[0] is not base._edge:
        return None
    target = base._tape_edge()
    if edge is None or (view._edge is None and view._refusal is not None):
        return Following(None, view._refusal) if target is None or view._refusal is not None else None
    step = edge
    while step is not None and target is not None and not (step[0] is target[0] and step[1] == target[1]):
        step = step[0].edges[0] if type(step[0]) in (ViewNode, ViewsNode) else None
    if step is None or target is None or type(edge[0]) is AccumulateGrad:
        return None
    return Following(edge[0].label, view._refusal)


def check_dense(tensor: Tensor) -> None:
    """Raises Untraceable for an argument in whose memory a view of its values may have no place."""
    if not tensor.is_contiguous():
        raise Untraceable("it gives out a view of an argument that is not contiguous; give it argument.contiguous()")


def share(a: Geometry, b: Geometry) -> bool:
    """Whether two views of one memory have an element in common, or may have one."""
    if max(a.numel, b.numel) > _LARGE or a.bits is not None or b.bits is not None:
        reach = [
            (g.offset, g.offset + sum((n - 1) * s for n, s in zip(g.shape, g.strides, strict=True))) for g in (a, b)
        ]
        return reach[0][0] <= reach[1][1] and reach[1][0] <= reach[0][1]
    return bool(np.isin(_places(a).reshape(-1), _places(b).reshape(-1)).any())


def _places(g: Geometry) -> np.ndarray:
    found = np.full(g.shape, g.offset, np.int64)
    for axis, (n, step) in enumerate(zip(g.shape, g.strides, strict=True)):
        found += (np.arange(n) * step).reshape([-1 if i == axis else 1 for i in range(len(g.shape))])
    return found


def look(base: Tensor, view: Geometry, how: Following) -> Tensor:
    """A view of a tensor, as the function has made it."""
    own = base._view
    if how.dense and own is not None:
        offset = own.offset
        if own.bits is not None and view.bits is not None:
            offset = offset * own.bits.itemsize // view.bits.itemsize
        view = view._replace(offset=view.offset + offset, bits=view.bits or own.bits)
    edge = None if how.label is None else base._tape_edge()
    made = blank(Tensor, base._storage, view)
    if how.detached:
        return made
    root = base if base._base is None else base._base
    made._base, made._edge_version = root, root._edge_version
    made._refusal = how.refusal or base._refusal
    if edge is not None:
        made._edge = (ViewNode(how.label or "", edge, tuple(base._geometry.shape), base._place(view)), 0)
    return made
