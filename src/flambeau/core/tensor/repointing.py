"""Which tensors may be re-pointed at another one's memory (`tensor.data = other`)."""

from __future__ import annotations

from typing import Any

from ..array.geometry import Geometry


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
