"""What may be set of a tensor from outside: its memory (`tensor.data = other`)."""

from __future__ import annotations

from typing import Any

from ..array.geometry import Geometry
from ..tape.nodes import is_differentiable


def refuse_other_kinds(tensor: Any, other: Any) -> None:
    """Raises RuntimeError if `tensor` can't have the memory of `other`."""
    if tensor._edge is not None and not is_differentiable(other._np_dtype):
        raise RuntimeError("data set to a tensor that requires gradients must be floating point or complex dtype")
    if not may_hold(tensor, other):
        raise RuntimeError(
            "Attempted to call `variable.set_data(tensor)`, but `variable` and `tensor` have incompatible tensor type."
        )


def may_hold(tensor: Any, other: Any) -> bool:
    """Whether the memory of `other` is of the kind that `tensor` has: dense, sparse or nested, and with values or without."""
    if _kind(tensor) != _kind(other) or tensor.is_nested != other.is_nested:
        return False
    return (tensor.device.type == "meta") == (other.device.type == "meta")


def _kind(tensor: Any) -> str:
    view = tensor._view
    if view is None or type(view) is Geometry:
        return "dense"
    return "coordinates" if view.layout == "sparse_coo" else "compressed"
