"""A linear layer that rounds its weight while it trains."""

from __future__ import annotations

from typing import Any, ClassVar

from .....core.tensor.tensor import Tensor
from .....nn import functional as F
from .....nn.modules.linear import Linear as _Linear
from ._rounding import Rounded, give_copies, require_source, required, take_parameters

__all__ = ["Linear"]


class Linear(_Linear, Rounded):  # type: ignore[misc]
    """A linear layer whose weight is rounded before it is used."""

    _FLOAT_MODULE: ClassVar[Any] = _Linear

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, qconfig: Any = None, device: Any = None, dtype: Any = None
    ) -> None:  # fmt: skip
        super().__init__(in_features, out_features, bias, device=device, dtype=dtype)
        self.qconfig = required(qconfig)
        self.weight_fake_quant = qconfig.weight()

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.rounded(), self.bias)  # type: ignore[no-any-return]

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """The layer that trains in the place of `mod`, with its parameters. AssertionError without a `qconfig`."""
        require_source(cls, mod)
        first = mod if isinstance(mod, _Linear) else mod[0]
        made = cls(first.in_features, first.out_features, bias=first.bias is not None, qconfig=mod.qconfig)
        return take_parameters(made, first)

    def to_float(self) -> Any:
        """A linear layer that doesn't round, with a copy of the parameters."""
        return give_copies(_Linear(self.in_features, self.out_features, self.bias is not None), self)
