"""`torch._tensor`: where PyTorch keeps its class of tensors."""

from .checkpoint.rebuild import _rebuild_from_type, _rebuild_from_type_v2
from .core.tensor.tensor import Tensor

__all__ = ["Tensor", "_rebuild_from_type", "_rebuild_from_type_v2"]
