"""Tensors from and to other libraries, under torch's module path."""

from __future__ import annotations

from typing import Any

from ..core.tensor.tensor import Tensor
from ..ops.making.conversion import from_dlpack


def to_dlpack(tensor: Tensor) -> Any:
    """The tensor as a capsule, which another library's `from_dlpack` takes."""
    return tensor.__dlpack__()


__all__ = ["from_dlpack", "to_dlpack"]
