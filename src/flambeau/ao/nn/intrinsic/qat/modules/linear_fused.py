"""A linear layer and its batch normalization, which round the weight that will do both."""

from __future__ import annotations

from typing import Any, ClassVar

from ......core.tensor.tensor import Tensor
from ......nn import functional as F
from ......nn.modules.batchnorm import BatchNorm1d
from ......nn.modules.linear import Linear
from ......nn.utils.fusion import fuse_linear_bn_weights
from ....qat.modules._rounding import require_source, required, take_parameters
from ...modules import fused
from ._normalized import Normalized, take_normalization

__all__ = ["LinearBn1d"]


class LinearBn1d(Linear, Normalized, fused._FusedModule):
    """A linear layer and a batch normalization; the weight that will do both is what is rounded."""

    _FLOAT_MODULE: ClassVar[Any] = fused.LinearBn1d

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, eps: float = 1e-05, momentum: float = 0.1,
        freeze_bn: bool = False, qconfig: Any = None,
    ):  # fmt: skip
        Linear.__init__(self, in_features, out_features, bias)
        self.bn = BatchNorm1d(out_features, eps, momentum, True, True)
        self._begin(freeze_bn, required(qconfig))

    def forward(self, input: Tensor) -> Tensor:
        return self._normalized(lambda weight, bias: F.linear(input, weight, bias), 1)

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """The layer that trains in the place of `mod`, with its parameters. AssertionError without a `qconfig`."""
        require_source(cls, mod)
        layer, bn = mod[0], mod[1]
        made = cls(
            layer.in_features, layer.out_features, layer.bias is not None, bn.eps, bn.momentum, False, mod.qconfig
        )
        return take_normalization(take_parameters(made, layer), bn)

    def to_float(self) -> Any:
        """The linear layer that does both, and doesn't round."""
        made = Linear(self.in_features, self.out_features)
        made.weight, made.bias = fuse_linear_bn_weights(
            self.weight, self.bias, self.bn.running_mean, self.bn.running_var, self.bn.eps, self.bn.weight, self.bn.bias
        )
        return made
