"""Convolutions that round their weight while they train."""

from __future__ import annotations

from typing import Any, ClassVar

from .....core.tensor.tensor import Tensor
from .....nn.modules import conv as layers
from .....nn.modules.activation import ReLU
from .....nn.modules.conv import _ConvNd as _AnyConv
from ._rounding import Rounded, give_copies, require_source, required, take_parameters

__all__ = ["Conv1d", "Conv2d", "Conv3d"]


class _ConvNd(_AnyConv, Rounded):  # type: ignore[misc]
    _conv_forward: Any
    _FLOAT_MODULE: ClassVar[Any] = None
    _FLOAT_CONV_MODULE: ClassVar[Any] = None
    _FLOAT_BN_MODULE: ClassVar[Any] = None
    _FLOAT_RELU_MODULE: ClassVar[Any] = None

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
        groups: int = 1, bias: bool = True, padding_mode: str = "zeros", qconfig: Any = None, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        given = in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode
        self._FLOAT_CONV_MODULE.__init__(self, *given, device=device, dtype=dtype)
        self.qconfig = required(qconfig)
        self.weight_fake_quant = qconfig.weight()

    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(input, self.rounded(), self.bias)  # type: ignore[no-any-return]

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """The layer that trains in the place of `mod`, with its parameters. AssertionError without a `qconfig`."""
        require_source(cls, mod)
        conv = mod if isinstance(mod, _AnyConv) else mod[0]
        made = cls(
            conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding, conv.dilation, conv.groups,
            conv.bias is not None, conv.padding_mode, qconfig=mod.qconfig,
        )  # fmt: skip
        return take_parameters(made, conv)

    def to_float(self) -> Any:
        """The layers that this one stands for, which don't round, with copies of the parameters."""
        conv = self._FLOAT_CONV_MODULE(
            self.in_channels, self.out_channels, self.kernel_size, self.stride, self.padding, self.dilation, self.groups,
            self.bias is not None, self.padding_mode,
        )  # fmt: skip
        give_copies(conv, self)
        if self._FLOAT_RELU_MODULE is None:
            return conv
        return self._FLOAT_MODULE(conv, ReLU()).train(self.training)


class Conv1d(_ConvNd, layers.Conv1d):
    """A convolution of sequences whose weight is rounded before it is used."""

    _FLOAT_MODULE: ClassVar[Any] = layers.Conv1d
    _FLOAT_CONV_MODULE: ClassVar[Any] = layers.Conv1d


class Conv2d(_ConvNd, layers.Conv2d):
    """A convolution of images whose weight is rounded before it is used."""

    _FLOAT_MODULE: ClassVar[Any] = layers.Conv2d
    _FLOAT_CONV_MODULE: ClassVar[Any] = layers.Conv2d


class Conv3d(_ConvNd, layers.Conv3d):
    """A convolution of volumes whose weight is rounded before it is used."""

    _FLOAT_MODULE: ClassVar[Any] = layers.Conv3d
    _FLOAT_CONV_MODULE: ClassVar[Any] = layers.Conv3d
