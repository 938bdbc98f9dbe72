"""Convolutions.

Arguments of all of them (1d, 2d, 3d; a number stands for one in every dimension): `kernel_size`, `stride` between
windows, `padding` zeros on both sides (or 'same', 'valid'), `dilation` between a kernel's elements, `groups` of
channels that do not see each other, and `padding_mode` ('zeros', 'reflect', 'replicate' or 'circular').
The shapes are those of `nn.functional.conv2d`.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from ...core.tensor.tensor import Tensor
from ...ops.making.creation import empty
from .. import functional as F
from ..parameter import Parameter, UninitializedParameter
from .lazy import LazyModuleMixin
from .linear import uniform_by_fan_in
from .module import Module
from .utils import _ntuple, _reverse_repeat_tuple

__all__ = [
    "Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d", "LazyConv1d",
    "LazyConv2d", "LazyConv3d", "LazyConvTranspose1d", "LazyConvTranspose2d", "LazyConvTranspose3d",
]  # fmt: skip

_PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class _ConvNd(Module):
    """What all convolutions have: settings, weight and bias."""

    weight: Parameter
    bias: Parameter | Any  # or None: this way a checker does not warn at every use

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: tuple[int, ...], stride: tuple[int, ...],
        padding: str | tuple[int, ...], dilation: tuple[int, ...], transposed: bool, output_padding: tuple[int, ...],
        groups: int, bias: bool, padding_mode: str, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        _check_settings(in_channels, out_channels, groups, padding, stride, padding_mode)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.dilation = dilation
        self.transposed = transposed
        self.output_padding = output_padding
        self.groups = groups
        self.padding_mode = padding_mode
        # as nn.functional.pad takes it, for the padding modes that convolutions do not know
        self._reversed_padding_repeated_twice: Sequence[int]
        if not isinstance(padding, str):
            self._reversed_padding_repeated_twice = _reverse_repeat_tuple(padding, 2)
        elif padding == "valid":
            self._reversed_padding_repeated_twice = [0] * (2 * len(kernel_size))
        else:
            totals = [d * (k - 1) for d, k in zip(reversed(dilation), reversed(kernel_size), strict=True)]
            self._reversed_padding_repeated_twice = [half for t in totals for half in (t // 2, t - t // 2)]
        self.weight = Parameter(empty(self._weight_shape(), device=device, dtype=dtype))
        if bias:
            self.bias = Parameter(empty(out_channels, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def _weight_shape(self) -> tuple[int, ...]:
        first, second = self.out_channels, self.in_channels
        if self.transposed:
            first, second = second, first
        return (first, second // self.groups, *self.kernel_size)

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        uniform_by_fan_in(self.weight, self.bias)

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        unusual = {
            "padding": isinstance(self.padding, str) or any(self.padding),
            "dilation": any(d != 1 for d in self.dilation),
            "output_padding": any(self.output_padding),
            "groups": self.groups != 1,
        }
        text += "".join(f", {name}={getattr(self, name)}" for name, shown in unusual.items() if shown)
        if self.bias is None:
            text += ", bias=False"
        return text if self.padding_mode == "zeros" else f"{text}, padding_mode={self.padding_mode}"

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.__dict__.setdefault("padding_mode", "zeros")  # pickles from before there were others


def _check_settings(
    in_channels: int, out_channels: int, groups: int, padding: Any, stride: Sequence[int], padding_mode: str
) -> None:
    if groups <= 0:
        raise ValueError(f"groups must be a positive integer, but got {groups}")
    for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
        if channels % groups:
            raise ValueError(f"{name} must be divisible by groups, but got {name}={channels} and groups={groups}")
    if isinstance(padding, str):
        if padding not in ("same", "valid"):
            raise ValueError(f"Invalid padding string {padding!r}, should be one of {{'valid', 'same'}}")
        if padding == "same" and any(s != 1 for s in stride):
            raise ValueError(f"padding='same' is not supported for strided convolutions, but got stride={stride}")
    if padding_mode not in _PADDING_MODES:
        raise ValueError(f"padding_mode must be one of {set(_PADDING_MODES)}, but got padding_mode={padding_mode!r}")


class _Conv(_ConvNd):
    """Conv1d to Conv3d, which differ in two class attributes."""

    _dims: int
    _function: str  # a name, which is looked up at each call: programs put functions of their own into `nn.functional`

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] = 1, padding: str | int | tuple[int, ...] = 0,
        dilation: int | tuple[int, ...] = 1, groups: int = 1, bias: bool = True, padding_mode: str = "zeros",
        device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        spread = _ntuple(self._dims)
        pads = padding if isinstance(padding, str) else spread(padding)
        places = (spread(kernel_size), spread(stride), pads, spread(dilation), False, spread(0))
        super().__init__(in_channels, out_channels, *places, groups, bias, padding_mode, device, dtype)

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            input = F.pad(input, self._reversed_padding_repeated_twice, self.padding_mode)
            padding = 0
        return getattr(F, self._function)(input, weight, bias, self.stride, padding, self.dilation, self.groups)

    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(input, self.weight, self.bias)


class Conv1d(_Conv):
    """A convolution over `(N, C, L)` or `(C, L)`."""

    _dims = 1
    _function = "conv1d"


class Conv2d(_Conv):
    """A convolution over `(N, C, H, W)` or `(C, H, W)`."""

    _dims = 2
    _function = "conv2d"


class Conv3d(_Conv):
    """A convolution over `(N, C, D, H, W)` or `(C, D, H, W)`."""

    _dims = 3
    _function = "conv3d"


class _ConvTransposeNd(_ConvNd):
    """ConvTranspose1d to ConvTranspose3d: the adjoint of a convolution in its input.

    `output_padding` says which of the sizes is meant that the convolution would have shrunk to the input's; calling the
    layer with `output_size` chooses it instead.
    """

    _dims: int
    _function: str

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] = 1, padding: int | tuple[int, ...] = 0,
        output_padding: int | tuple[int, ...] = 0, groups: int = 1, bias: bool = True,
        dilation: int | tuple[int, ...] = 1, padding_mode: str = "zeros", device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        if padding_mode != "zeros":
            raise ValueError(
                f'Only "zeros" padding mode is supported for {type(self).__name__}, but got {padding_mode!r}'
            )
        spread = _ntuple(self._dims)
        sizes = (spread(kernel_size), spread(stride), spread(padding), spread(dilation), True, spread(output_padding))
        super().__init__(in_channels, out_channels, *sizes, groups, bias, padding_mode, device, dtype)

    def _output_padding_for(self, input: Tensor, output_size: Sequence[int]) -> tuple[int, ...]:
        """The output padding that makes the result as large as asked. Raises ValueError if none does."""
        n = self._dims
        wanted = tuple(output_size)
        lead = input.ndim - n
        if len(wanted) == n + lead:
            wanted = wanted[lead:]
        if len(wanted) != n:
            raise ValueError(
                f"ConvTranspose{n}D: for {input.ndim}D input, output_size must have {n} or {n + lead} elements "
                f"(got {len(wanted)})"
            )
        settings = zip(input.shape[lead:], self.stride, self.padding, self.dilation, self.kernel_size, strict=True)
        smallest = tuple((i - 1) * s - 2 * p + d * (k - 1) + 1 for i, s, p, d, k in settings)  # type: ignore[operator]
        largest = tuple(low + s - 1 for low, s in zip(smallest, self.stride, strict=True))
        if not all(low <= w <= high for low, w, high in zip(smallest, wanted, largest, strict=True)):
            raise ValueError(
                f"requested an output size of {wanted}, but valid sizes range from {list(smallest)} to {list(largest)} "
                f"(for an input of torch.Size({list(input.shape[lead:])}))"
            )
        return tuple(w - low for w, low in zip(wanted, smallest, strict=True))

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        extra = self.output_padding if output_size is None else self._output_padding_for(input, output_size)
        return getattr(F, self._function)(
            input, self.weight, self.bias, self.stride, self.padding, extra, self.groups, self.dilation
        )


class _ConvTransposeMixin(_ConvTransposeNd):
    """The class above by the name that it once had, for code that asks for it. No layer is one; making one warns."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        warnings.warn(
            "`_ConvTransposeMixin` is a deprecated internal class. Please consider using public APIs.", FutureWarning
        )
        _ConvNd.__init__(self, *args, **kwargs)


class ConvTranspose1d(_ConvTransposeNd):
    """The adjoint of `Conv1d`."""

    _dims = 1
    _function = "conv_transpose1d"


class ConvTranspose2d(_ConvTransposeNd):
    """The adjoint of `Conv2d`."""

    _dims = 2
    _function = "conv_transpose2d"


class ConvTranspose3d(_ConvTransposeNd):
    """The adjoint of `Conv3d`."""

    _dims = 3
    _function = "conv_transpose3d"


class _LazyConvXdMixin(LazyModuleMixin):
    """What makes a convolution lazy: `in_channels` is the channel dimension of the first input."""

    def _become_lazy(self, out_channels: int, bias: bool, device: Any, dtype: Any) -> None:
        layer: Any = self
        layer.weight = UninitializedParameter(device=device, dtype=dtype)
        layer.out_channels = out_channels
        if bias:
            layer.bias = UninitializedParameter(device=device, dtype=dtype)

    def reset_parameters(self) -> None:
        layer: Any = self
        if layer.in_channels and not layer.has_uninitialized_params():
            super().reset_parameters()  # type: ignore[misc]

    def initialize_parameters(self, input: Tensor, *args: Any, **kwargs: Any) -> None:
        layer: Any = self
        if not layer.has_uninitialized_params():
            return
        n = layer._dims
        if input.ndim not in (n + 1, n + 2):
            raise RuntimeError(
                f"Expected {n + 1}D (unbatched) or {n + 2}D (batched) input to {type(self).__name__}, "
                f"but got input of size: {input.shape}"
            )
        layer.in_channels = input.shape[-n - 1]
        if layer.in_channels % layer.groups:
            raise ValueError(
                f"in_channels must be divisible by groups, but got in_channels={layer.in_channels} "
                f"and groups={layer.groups}"
            )
        layer.weight.materialize(layer._weight_shape())
        if layer.bias is not None:
            layer.bias.materialize((layer.out_channels,))
        layer.reset_parameters()


class _LazyConv(_LazyConvXdMixin):
    def __init__(
        self, out_channels: int, kernel_size: int | tuple[int, ...], stride: int | tuple[int, ...] = 1,
        padding: int | tuple[int, ...] = 0, dilation: int | tuple[int, ...] = 1, groups: int = 1, bias: bool = True,
        padding_mode: str = "zeros", device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(0, 0, kernel_size, stride, padding, dilation, groups, False, padding_mode)
        self._become_lazy(out_channels, bias, device, dtype)


class LazyConv1d(_LazyConv, Conv1d):
    """A `Conv1d` that learns `in_channels` from its first input."""

    cls_to_become: type = Conv1d


class LazyConv2d(_LazyConv, Conv2d):
    """A `Conv2d` that learns `in_channels` from its first input."""

    cls_to_become: type = Conv2d


class LazyConv3d(_LazyConv, Conv3d):
    """A `Conv3d` that learns `in_channels` from its first input."""

    cls_to_become: type = Conv3d


class _LazyConvTranspose(_LazyConvXdMixin):
    def __init__(
        self, out_channels: int, kernel_size: int | tuple[int, ...], stride: int | tuple[int, ...] = 1,
        padding: int | tuple[int, ...] = 0, output_padding: int | tuple[int, ...] = 0, groups: int = 1,
        bias: bool = True, dilation: int | tuple[int, ...] = 1, padding_mode: str = "zeros", device: Any = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(0, 0, kernel_size, stride, padding, output_padding, groups, False, dilation, padding_mode)
        self._become_lazy(out_channels, bias, device, dtype)


class LazyConvTranspose1d(_LazyConvTranspose, ConvTranspose1d):
    """A `ConvTranspose1d` that learns `in_channels` from its first input."""

    cls_to_become: type = ConvTranspose1d


class LazyConvTranspose2d(_LazyConvTranspose, ConvTranspose2d):
    """A `ConvTranspose2d` that learns `in_channels` from its first input."""

    cls_to_become: type = ConvTranspose2d


class LazyConvTranspose3d(_LazyConvTranspose, ConvTranspose3d):
    """A `ConvTranspose3d` that learns `in_channels` from its first input."""

    cls_to_become: type = ConvTranspose3d
