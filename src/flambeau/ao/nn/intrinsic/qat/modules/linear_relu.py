"""A linear layer and a ReLU, which round the weight while they train."""

from __future__ import annotations

from typing import Any, ClassVar

from ......core.tensor.tensor import Tensor
from ......nn import functional as F
from ......nn.modules.activation import ReLU
from ......nn.modules.linear import Linear as _Linear
from ....qat.modules._rounding import give_copies
from ....qat.modules.linear import Linear
from ...modules import fused

__all__ = ["LinearReLU"]


class LinearReLU(Linear, fused._FusedModule):
    """A linear layer, whose weight is rounded before it is used, and a ReLU."""

    _FLOAT_MODULE: ClassVar[Any] = fused.LinearReLU

    def __init__(self, in_features: int, out_features: int, bias: bool = True, qconfig: Any = None) -> None:
        Linear.__init__(self, in_features, out_features, bias, qconfig)

    def forward(self, input: Tensor) -> Tensor:
        return F.relu(F.linear(input, self.rounded(), self.bias))  # type: ignore[no-any-return]

    def to_float(self) -> Any:
        """The two layers, which don't round, with copies of the parameters."""
        layer = _Linear(self.in_features, self.out_features, bias=self.bias is not None)
        return fused.LinearReLU(give_copies(layer, self), ReLU())
