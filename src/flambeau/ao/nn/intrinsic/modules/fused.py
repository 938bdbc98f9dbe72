"""Layers that quantization would make one kernel of. Here they are what they are: one layer after the other."""

from __future__ import annotations

from typing import Any, ClassVar

from .....core.tensor.tensor import Tensor
from .....nn.modules.activation import LeakyReLU, ReLU, Tanh
from .....nn.modules.batchnorm import BatchNorm1d, BatchNorm2d, BatchNorm3d
from .....nn.modules.container import Sequential
from .....nn.modules.conv import Conv1d, Conv2d, Conv3d
from .....nn.modules.linear import Linear
from .....nn.modules.module import Module
from ...._classes import exactly

__all__ = [
    "BNReLU2d", "BNReLU3d", "ConvAdd2d", "ConvAddReLU2d", "ConvBn1d", "ConvBn2d",
    "ConvBn3d", "ConvBnReLU1d", "ConvBnReLU2d", "ConvBnReLU3d", "ConvReLU1d", "ConvReLU2d",
    "ConvReLU3d", "LinearBn1d", "LinearLeakyReLU", "LinearReLU", "LinearTanh",
]  # fmt: skip


class _FusedModule(Sequential):
    """Layers of the classes in `_kinds`, each of that class itself. AssertionError for others."""

    _kinds: ClassVar[tuple[type, ...]] = ()

    def __init__(self, *layers: Module):
        if self._kinds and tuple(map(exactly, layers)) != self._kinds:
            found = [kind.__name__ for kind in map(exactly, layers)]
            listed = " and ".join(found) if len(found) == 2 else ", ".join(found[:-1]) + f", and {found[-1]}"
            raise AssertionError(f"Incorrect types for input modules: {listed}")
        super().__init__(*layers)


class ConvReLU1d(_FusedModule):
    """A convolution and a ReLU."""

    _kinds = (Conv1d, ReLU)

    def __init__(self, conv: Conv1d, relu: ReLU):
        super().__init__(conv, relu)


class ConvReLU2d(_FusedModule):
    """A convolution and a ReLU."""

    _kinds = (Conv2d, ReLU)

    def __init__(self, conv: Conv2d, relu: ReLU):
        super().__init__(conv, relu)


class ConvReLU3d(_FusedModule):
    """A convolution and a ReLU."""

    _kinds = (Conv3d, ReLU)

    def __init__(self, conv: Conv3d, relu: ReLU):
        super().__init__(conv, relu)


class LinearReLU(_FusedModule):
    """A linear layer and a ReLU."""

    _kinds = (Linear, ReLU)

    def __init__(self, linear: Linear, relu: ReLU):
        super().__init__(linear, relu)


class ConvBn1d(_FusedModule):
    """A convolution and a batch normalization."""

    _kinds = (Conv1d, BatchNorm1d)

    def __init__(self, conv: Conv1d, bn: BatchNorm1d):
        super().__init__(conv, bn)


class ConvBn2d(_FusedModule):
    """A convolution and a batch normalization."""

    _kinds = (Conv2d, BatchNorm2d)

    def __init__(self, conv: Conv2d, bn: BatchNorm2d):
        super().__init__(conv, bn)


class ConvBnReLU1d(_FusedModule):
    """A convolution, a batch normalization and a ReLU."""

    _kinds = (Conv1d, BatchNorm1d, ReLU)

    def __init__(self, conv: Conv1d, bn: BatchNorm1d, relu: ReLU):
        super().__init__(conv, bn, relu)


class ConvBnReLU2d(_FusedModule):
    """A convolution, a batch normalization and a ReLU."""

    _kinds = (Conv2d, BatchNorm2d, ReLU)

    def __init__(self, conv: Conv2d, bn: BatchNorm2d, relu: ReLU):
        super().__init__(conv, bn, relu)


class ConvBn3d(_FusedModule):
    """A convolution and a batch normalization."""

    _kinds = (Conv3d, BatchNorm3d)

    def __init__(self, conv: Conv3d, bn: BatchNorm3d):
        super().__init__(conv, bn)


class ConvBnReLU3d(_FusedModule):
    """A convolution, a batch normalization and a ReLU."""

    _kinds = (Conv3d, BatchNorm3d, ReLU)

    def __init__(self, conv: Conv3d, bn: BatchNorm3d, relu: ReLU):
        super().__init__(conv, bn, relu)


class BNReLU2d(_FusedModule):
    """A batch normalization and a ReLU."""

    _kinds = (BatchNorm2d, ReLU)

    def __init__(self, batch_norm: BatchNorm2d, relu: ReLU):
        super().__init__(batch_norm, relu)


class BNReLU3d(_FusedModule):
    """A batch normalization and a ReLU."""

    _kinds = (BatchNorm3d, ReLU)

    def __init__(self, batch_norm: BatchNorm3d, relu: ReLU):
        super().__init__(batch_norm, relu)


class LinearBn1d(_FusedModule):
    """A linear layer and a batch normalization."""

    _kinds = (Linear, BatchNorm1d)

    def __init__(self, linear: Linear, bn: BatchNorm1d):
        super().__init__(linear, bn)


class LinearLeakyReLU(_FusedModule):
    """A linear layer and a leaky ReLU."""

    _kinds = (Linear, LeakyReLU)

    def __init__(self, linear: Linear, leaky_relu: LeakyReLU):
        super().__init__(linear, leaky_relu)


class LinearTanh(_FusedModule):
    """A linear layer and a tanh."""

    _kinds = (Linear, Tanh)

    def __init__(self, linear: Linear, tanh: Tanh):
        super().__init__(linear, tanh)


class ConvAdd2d(_FusedModule):
    """A convolution, and `add` of what comes out and a second input."""

    def __init__(self, conv: Module, add: Any):
        super().__init__(conv)
        self.add = add

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:  # type: ignore[override]
        return self.add(self[0](x1), x2)  # type: ignore[no-any-return]


class ConvAddReLU2d(_FusedModule):
    """A convolution, `add` of what comes out and a second input, and a ReLU."""

    def __init__(self, conv: Module, add: Any, relu: Module):
        super().__init__(conv)
        self.add = add
        self.relu = relu

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:  # type: ignore[override]
        return self.relu(self.add(self[0](x1), x2))  # type: ignore[no-any-return]
