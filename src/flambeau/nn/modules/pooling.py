"""Pooling layers.

Arguments of all of them (1d, 2d, 3d; a number stands for one in every dimension): `kernel_size` of the window,
`stride` between windows (the kernel's size by default), `padding` on both sides, `dilation` between a window's
elements, `ceil_mode` to count windows that reach beyond the end, `return_indices` for the maxima's places too.
Shapes are `(N, C, *spatial)` or `(C, *spatial)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...core.tensor.tensor import Tensor
from .. import functional as F
from .module import Module
from .utils import _ntuple, _shown

__all__ = [
    "AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveAvgPool3d", "AdaptiveMaxPool1d", "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d", "AvgPool1d", "AvgPool2d", "AvgPool3d", "FractionalMaxPool2d", "FractionalMaxPool3d",
    "LPPool1d", "LPPool2d", "LPPool3d", "MaxPool1d", "MaxPool2d", "MaxPool3d", "MaxUnpool1d", "MaxUnpool2d",
    "MaxUnpool3d",
]  # fmt: skip

Sizes = int | tuple[int, ...]


class _MaxPoolNd(Module):
    _function: str  # a name, which is looked up at each call: programs put functions of their own into `nn.functional`

    def __init__(
        self, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0, dilation: Sizes = 1,
        return_indices: bool = False, ceil_mode: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.kernel_size = kernel_size
        self.stride: Sizes = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor) -> Tensor:
        size, stride, padding, dilation = self.kernel_size, self.stride, self.padding, self.dilation
        return getattr(F, self._function)(input, size, stride, padding, dilation, self.ceil_mode, self.return_indices)

    def extra_repr(self) -> str:
        return _shown(
            kernel_size=self.kernel_size,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            ceil_mode=self.ceil_mode,
        )


class MaxPool1d(_MaxPoolNd):
    """The maxima of windows over the last dimension."""

    _function = "max_pool1d"


class MaxPool2d(_MaxPoolNd):
    """The maxima of windows over the last two dimensions."""

    _function = "max_pool2d"


class MaxPool3d(_MaxPoolNd):
    """The maxima of windows over the last three dimensions."""

    _function = "max_pool3d"


class _MaxUnpoolNd(Module):
    """Puts maxima back where they were and zeros elsewhere; `output_size` chooses among the sizes that are possible."""

    _dims: int
    _function: str

    def __init__(self, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0) -> None:
        super().__init__()
        spread = _ntuple(self._dims)
        self.kernel_size: tuple[Any, ...] = spread(kernel_size)
        self.stride: tuple[Any, ...] = spread(kernel_size if stride is None else stride)
        self.padding: tuple[Any, ...] = spread(padding)

    def forward(self, input: Tensor, indices: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        return getattr(F, self._function)(input, indices, self.kernel_size, self.stride, self.padding, output_size)

    def extra_repr(self) -> str:
        return _shown(kernel_size=self.kernel_size, stride=self.stride, padding=self.padding)


class MaxUnpool1d(_MaxUnpoolNd):
    """The partial inverse of `MaxPool1d`."""

    _dims = 1
    _function = "max_unpool1d"


class MaxUnpool2d(_MaxUnpoolNd):
    """The partial inverse of `MaxPool2d`."""

    _dims = 2
    _function = "max_unpool2d"


class MaxUnpool3d(_MaxUnpoolNd):
    """The partial inverse of `MaxPool3d`."""

    _dims = 3
    _function = "max_unpool3d"


class AvgPool1d(Module):
    """The means of windows over the last dimension; `count_include_pad` counts the padding as zeros."""

    def __init__(
        self, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0, ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        spread = _ntuple(1)
        self.kernel_size: tuple[Any, ...] = spread(kernel_size)
        self.stride: tuple[Any, ...] = spread(kernel_size if stride is None else stride)
        self.padding: tuple[Any, ...] = spread(padding)
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        return F.avg_pool1d(input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)

    def extra_repr(self) -> str:
        return _shown(kernel_size=self.kernel_size, stride=self.stride, padding=self.padding)


class _AvgPoolNd(Module):
    _function: str

    def __init__(
        self, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0, ceil_mode: bool = False,
        count_include_pad: bool = True, divisor_override: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.kernel_size = kernel_size
        self.stride: Sizes = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Tensor:
        counted, divisor = self.count_include_pad, self.divisor_override
        return getattr(F, self._function)(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode, counted, divisor
        )

    def extra_repr(self) -> str:
        return _shown(kernel_size=self.kernel_size, stride=self.stride, padding=self.padding)


class AvgPool2d(_AvgPoolNd):
    """The means of windows over the last two dimensions; see `AvgPool1d`. `divisor_override` divides their sums."""

    _function = "avg_pool2d"


class AvgPool3d(_AvgPoolNd):
    """The means of windows over the last three dimensions; see `AvgPool2d`."""

    _function = "avg_pool3d"


class _LPPoolNd(Module):
    _function: str

    def __init__(
        self, norm_type: float, kernel_size: Sizes, stride: Sizes | None = None, ceil_mode: bool = False
    ) -> None:
        super().__init__()
        self.norm_type = norm_type
        self.kernel_size = kernel_size
        self.stride = stride
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor) -> Tensor:
        return getattr(F, self._function)(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)

    def extra_repr(self) -> str:
        settings = _shown(kernel_size=self.kernel_size, stride=self.stride, ceil_mode=self.ceil_mode)
        return f"norm_type={self.norm_type}, {settings}"


class LPPool1d(_LPPoolNd):
    """The `norm_type`-norms of windows over the last dimension."""

    _function = "lp_pool1d"


class LPPool2d(_LPPoolNd):
    """The `norm_type`-norms of windows over the last two dimensions."""

    _function = "lp_pool2d"


class LPPool3d(_LPPoolNd):
    """The `norm_type`-norms of windows over the last three dimensions."""

    _function = "lp_pool3d"


class _AdaptiveMaxPoolNd(Module):
    """Maxima of as many near-equal windows as `output_size` says; None keeps a dimension as it is."""

    _function: str

    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__()
        self.output_size = output_size
        self.return_indices = return_indices

    def forward(self, input: Tensor) -> Any:
        return getattr(F, self._function)(input, self.output_size, self.return_indices)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveMaxPool1d(_AdaptiveMaxPoolNd):
    """`MaxPool1d` to a given size."""

    _function = "adaptive_max_pool1d"


class AdaptiveMaxPool2d(_AdaptiveMaxPoolNd):
    """`MaxPool2d` to a given size."""

    _function = "adaptive_max_pool2d"


class AdaptiveMaxPool3d(_AdaptiveMaxPoolNd):
    """`MaxPool3d` to a given size."""

    _function = "adaptive_max_pool3d"


class _AdaptiveAvgPoolNd(Module):
    """Means of as many near-equal windows as `output_size` says; None keeps a dimension as it is."""

    _function: str

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        return getattr(F, self._function)(input, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptiveAvgPoolNd):
    """`AvgPool1d` to a given size."""

    _function = "adaptive_avg_pool1d"


class AdaptiveAvgPool2d(_AdaptiveAvgPoolNd):
    """`AvgPool2d` to a given size."""

    _function = "adaptive_avg_pool2d"


class AdaptiveAvgPool3d(_AdaptiveAvgPoolNd):
    """`AvgPool3d` to a given size."""

    _function = "adaptive_avg_pool3d"


class _FractionalMaxPoolNd(Module):
    """Maxima of windows at places drawn at random; give `output_size`, or `output_ratio` of the input's."""

    _dims: int
    _function: str
    _random_samples: Tensor | None

    def __init__(
        self,
        kernel_size: Sizes,
        output_size: Sizes | None = None,
        output_ratio: float | tuple[float, ...] | None = None,
        return_indices: bool = False,
        _random_samples: Tensor | None = None,
    ) -> None:
        super().__init__()
        spread = _ntuple(self._dims)
        if output_size is None and output_ratio is None:
            raise ValueError(f"{type(self).__name__} requires specifying either an output size, or a pooling ratio")
        if output_size is not None and output_ratio is not None:
            both = " and ".join(("output_size", "output_ratio"))
            raise ValueError(f"only one of {both} may be specified")
        self.kernel_size: tuple[Any, ...] = spread(kernel_size)
        self.return_indices = return_indices
        self.register_buffer("_random_samples", _random_samples)
        self.output_size: tuple[Any, ...] | None = None if output_size is None else spread(output_size)
        self.output_ratio: tuple[Any, ...] | None = None if output_ratio is None else spread(output_ratio)
        ratios = self.output_ratio
        if ratios is not None and not all(0 < ratios[dim] < 1 for dim in range(self._dims)):
            limits = "between 0 and 1"
            raise ValueError(f"output_ratio must be {limits} (got {output_ratio})")

    def forward(self, input: Tensor) -> Any:
        sizes = (self.kernel_size, self.output_size, self.output_ratio)
        return getattr(F, self._function)(input, *sizes, self.return_indices, _random_samples=self._random_samples)


class FractionalMaxPool2d(_FractionalMaxPoolNd):
    """Fractional max pooling over the last two dimensions."""

    _dims = 2
    _function = "fractional_max_pool2d"


class FractionalMaxPool3d(_FractionalMaxPoolNd):
    """Fractional max pooling over the last three dimensions."""

    _dims = 3
    _function = "fractional_max_pool3d"
