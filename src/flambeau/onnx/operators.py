"""`torch.onnx.operators`: functions that an export writes in terms of sizes."""

from __future__ import annotations

from typing import Any

from ..core.tensor.tensor import Tensor
from ..ops.making.conversion import tensor

__all__ = ["reshape_from_tensor_shape", "shape_as_tensor"]


def shape_as_tensor(x: Tensor) -> Tensor:
    """The shape as an int64 tensor. In an export it is a constant."""
    return tensor(list(x.shape))


def reshape_from_tensor_shape(x: Tensor, shape: Tensor) -> Any:
    """Reshape by an int64 tensor of sizes."""
    return x.reshape([int(n) for n in shape])
