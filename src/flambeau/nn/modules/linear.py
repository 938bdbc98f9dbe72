"""Affine layers."""

from __future__ import annotations

import math
from typing import Any

from ...core.tensor.tensor import Tensor
from ...ops.making.creation import empty
from .. import functional as F
from .. import init
from ..parameter import Parameter, UninitializedParameter
from .lazy import LazyModuleMixin
from .module import Module
from .utils import _shown

__all__ = ["Bilinear", "Identity", "LazyLinear", "Linear"]


def uniform_by_fan_in(weight: Tensor, bias: Tensor | None) -> None:
    """Draw a weight and a bias from the uniform distribution within +-1 / sqrt(fan in), the weight first."""
    init.kaiming_uniform_(weight, a=math.sqrt(5))
    if bias is not None:
        fan_in = init._calculate_fan_in_and_fan_out(weight)[0]
        bound = 1 / math.sqrt(fan_in) if fan_in else 0  # a bias of zeros is drawn, too: the generator goes on
        init.uniform_(bias, -bound, bound)


def _add_parameters(layer: Any, shape: tuple[int, ...], bias: bool, device: Any, dtype: Any) -> None:
    """A weight of this shape, and a bias of its first size (or none), with values still to be drawn."""
    layer.weight = Parameter(empty(shape, device=device, dtype=dtype))
    layer.register_parameter("bias", Parameter(empty(shape[0], device=device, dtype=dtype)) if bias else None)


class Identity(Module):
    """Returns its input; takes and forgets any arguments."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        return input


class Linear(Module):
    """`input @ weight.T + bias` over the last dimension: `(*, in_features)` to `(*, out_features)`."""

    in_features: int
    out_features: int
    weight: Parameter
    bias: Parameter | Any  # or None: this way a checker does not warn at every use

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        _add_parameters(self, (out_features, in_features), bias, device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        uniform_by_fan_in(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        return _shown(in_features=self.in_features, out_features=self.out_features, bias=self.bias is not None)


class NonDynamicallyQuantizableLinear(Linear):
    """A `Linear` under the name that PyTorch's attention gives its output projection."""


class Bilinear(Module):
    """`input1 @ weight[o] @ input2 + bias[o]` for each output feature o."""

    weight: Parameter
    bias: Parameter | Any  # or None: this way a checker does not warn at every use

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if in1_features <= 0:
            raise ValueError(f"in1_features must be > 0, but got (in1_features={in1_features})")
        self.in1_features = in1_features
        self.in2_features = in2_features
        self.out_features = out_features
        _add_parameters(self, (out_features, in1_features, in2_features), bias, device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        bound = 1 / math.sqrt(self.weight.size(1))
        for parameter in (self.weight, self.bias):
            if parameter is not None:
                init.uniform_(parameter, -bound, bound)

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        return F.bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        sizes = f"in1_features={self.in1_features}, in2_features={self.in2_features}, out_features={self.out_features}"
        return f"{sizes}, bias={self.bias is not None}"


class LazyLinear(LazyModuleMixin, Linear):
    """A `Linear` whose `in_features` is the last size of its first input."""

    cls_to_become: type = Linear

    def __init__(self, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None) -> None:
        super().__init__(0, 0, False)
        self.weight: Parameter = UninitializedParameter(device=device, dtype=dtype)
        self.out_features = out_features
        if bias:
            self.bias: Parameter = UninitializedParameter(device=device, dtype=dtype)

    def reset_parameters(self) -> None:
        if self.in_features and not self.has_uninitialized_params():
            super().reset_parameters()

    def initialize_parameters(self, input: Tensor) -> None:  # type: ignore[override]
        if not self.has_uninitialized_params():
            self.in_features = self.in_features or input.shape[-1]
            return
        self.in_features: int = input.shape[-1]
        shapes = {"weight": (self.out_features, self.in_features), "bias": (self.out_features,)}
        for name, parameter in self.named_parameters():
            parameter.materialize(shapes[name])  # type: ignore[attr-defined]
        self.reset_parameters()
