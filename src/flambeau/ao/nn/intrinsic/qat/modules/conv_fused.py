"""Convolutions with their batch normalization and a ReLU, which round the weight that will do it all while they train."""

from __future__ import annotations

from typing import Any, ClassVar

from ......core.tensor.tensor import Tensor
from ......nn import functional as F
from ......nn.modules import conv as layers
from ......nn.modules.activation import ReLU
from ......nn.modules.batchnorm import BatchNorm1d, BatchNorm2d, BatchNorm3d
from ......nn.utils.fusion import fuse_conv_bn_weights
from ....qat.modules import conv as qat
from ....qat.modules._rounding import require_source, required, take_parameters
from ...modules import fused
from ._normalized import Normalized, take_normalization

__all__ = [f"{kind}{size}" for kind in ("ConvBn", "ConvBnReLU", "ConvReLU") for size in ("1d", "2d", "3d")]
__all__ += ["freeze_bn_stats", "update_bn_stats"]


class _ConvBnNd(Normalized):
    _version = 2
    _conv_forward: Any
    in_channels: Any
    out_channels: Any
    kernel_size: Any
    stride: Any
    padding: Any
    dilation: Any
    groups: Any
    padding_mode: Any
    _FLOAT_MODULE: ClassVar[Any]
    _FLOAT_CONV_MODULE: ClassVar[Any]
    _FLOAT_BN_MODULE: ClassVar[Any]
    _FLOAT_RELU_MODULE: ClassVar[Any] = None
    _FUSED_FLOAT_MODULE: ClassVar[Any] = None

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
        groups: int = 1, bias: bool | None = None, padding_mode: str = "zeros", eps: float = 1e-05, momentum: float = 0.1,
        freeze_bn: bool = False, qconfig: Any = None,
    ):  # fmt: skip
        self._FLOAT_CONV_MODULE.__init__(
            self, in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bool(bias), padding_mode
        )
        self.bn = self._FLOAT_BN_MODULE(out_channels, eps, momentum, True, True)
        self._begin(freeze_bn, required(qconfig))

    def forward(self, input: Tensor) -> Tensor:
        return self._normalized(lambda weight, bias: self._conv_forward(input, weight, bias), 1)

    def extra_repr(self) -> str:
        return self._FLOAT_CONV_MODULE.extra_repr(self)  # type: ignore[no-any-return]

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """The layer that trains in the place of `mod`, with its parameters. AssertionError without a `qconfig`."""
        require_source(cls, mod)
        conv, bn = mod[0], mod[1]
        made = cls(
            conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding, conv.dilation, conv.groups,
            conv.bias is not None, conv.padding_mode, bn.eps, bn.momentum, False, mod.qconfig,
        )  # fmt: skip
        return take_normalization(take_parameters(made, conv), bn)

    def to_float(self) -> Any:
        """The convolution that does the normalization, too (and the ReLU behind it), and doesn't round."""
        conv = self._FLOAT_CONV_MODULE(
            self.in_channels, self.out_channels, self.kernel_size, self.stride, self.padding, self.dilation, self.groups,
            self.bias is not None, self.padding_mode,
        )  # fmt: skip
        conv.weight, conv.bias = fuse_conv_bn_weights(
            self.weight, self.bias, self.bn.running_mean, self.bn.running_var, self.bn.eps, self.bn.weight, self.bn.bias
        )
        made = conv if self._FLOAT_RELU_MODULE is None else self._FUSED_FLOAT_MODULE(conv, ReLU())
        return made.train(self.training)


class _WithReLU(_ConvBnNd):
    _FLOAT_RELU_MODULE = ReLU

    def forward(self, input: Tensor) -> Tensor:
        return F.relu(super().forward(input))  # type: ignore[no-any-return]


class ConvBn1d(_ConvBnNd, layers.Conv1d, fused._FusedModule):  # type: ignore[misc]
    """A convolution of sequences and its batch normalization; the weight that will do both is what is rounded."""

    _FLOAT_MODULE: ClassVar[Any] = fused.ConvBn1d
    _FLOAT_CONV_MODULE: ClassVar[Any] = layers.Conv1d
    _FLOAT_BN_MODULE = BatchNorm1d


class ConvBn2d(_ConvBnNd, layers.Conv2d, fused._FusedModule):  # type: ignore[misc]
    """A convolution of images and its batch normalization; the weight that will do both is what is rounded."""

    _FLOAT_MODULE: ClassVar[Any] = fused.ConvBn2d
    _FLOAT_CONV_MODULE: ClassVar[Any] = layers.Conv2d
    _FLOAT_BN_MODULE = BatchNorm2d


class ConvBn3d(_ConvBnNd, layers.Conv3d, fused._FusedModule):  # type: ignore[misc]
    """A convolution of volumes and its batch normalization; the weight that will do both is what is rounded."""

    _FLOAT_MODULE: ClassVar[Any] = fused.ConvBn3d
    _FLOAT_CONV_MODULE: ClassVar[Any] = layers.Conv3d
    _FLOAT_BN_MODULE = BatchNorm3d


class ConvBnReLU1d(_WithReLU, ConvBn1d):
    """`ConvBn1d` and a ReLU."""

    _FLOAT_MODULE: ClassVar[Any] = fused.ConvBnReLU1d
    _FUSED_FLOAT_MODULE = fused.ConvReLU1d


class ConvBnReLU2d(_WithReLU, ConvBn2d):
    """`ConvBn2d` and a ReLU."""

    _FLOAT_MODULE: ClassVar[Any] = fused.ConvBnReLU2d
    _FUSED_FLOAT_MODULE = fused.ConvReLU2d


class ConvBnReLU3d(_WithReLU, ConvBn3d):
    """`ConvBn3d` and a ReLU."""

    _FLOAT_MODULE: ClassVar[Any] = fused.ConvBnReLU3d
    _FUSED_FLOAT_MODULE = fused.ConvReLU3d


class ConvReLU1d(qat.Conv1d, fused._FusedModule):  # type: ignore[misc]
    """A convolution of sequences, whose weight is rounded before it is used, and a ReLU."""

    _FLOAT_MODULE: ClassVar[Any] = fused.ConvReLU1d
    _FLOAT_RELU_MODULE = ReLU

    def forward(self, input: Tensor) -> Tensor:
        return F.relu(super().forward(input))  # type: ignore[no-any-return]


class ConvReLU2d(qat.Conv2d, fused._FusedModule):  # type: ignore[misc]
    """A convolution of images, whose weight is rounded before it is used, and a ReLU."""

    _FLOAT_MODULE: ClassVar[Any] = fused.ConvReLU2d
    _FLOAT_RELU_MODULE = ReLU

    def forward(self, input: Tensor) -> Tensor:
        return F.relu(super().forward(input))  # type: ignore[no-any-return]


class ConvReLU3d(qat.Conv3d, fused._FusedModule):  # type: ignore[misc]
    """A convolution of volumes, whose weight is rounded before it is used, and a ReLU."""

    _FLOAT_MODULE: ClassVar[Any] = fused.ConvReLU3d
    _FLOAT_RELU_MODULE = ReLU

    def forward(self, input: Tensor) -> Tensor:
        return F.relu(super().forward(input))  # type: ignore[no-any-return]


def update_bn_stats(mod: Any) -> None:
    """For `model.apply`: normalizations' moving values follow the batches."""
    if isinstance(mod, Normalized):
        mod.update_bn_stats()


def freeze_bn_stats(mod: Any) -> None:
    """For `model.apply`: normalizations' moving values stay."""
    if isinstance(mod, Normalized):
        mod.freeze_bn_stats()
