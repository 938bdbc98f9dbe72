"""`torch.nn.grad`: the gradients of convolutions by their input and by their weight, as functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..core.tensor.tensor import Tensor
from ..ops.layers.convolution import conv_gradient

__all__ = [f"conv{n}d_{of}" for n in (1, 2, 3) for of in ("input", "weight")]


def _by_input(n: int) -> Callable[..., Tensor]:
    def gradient(
        input_size: Sequence[int], weight: Tensor, grad_output: Tensor, stride: Any = 1, padding: Any = 0,
        dilation: Any = 1, groups: int = 1,
    ) -> Tensor:  # fmt: skip
        return conv_gradient(weight, grad_output, tuple(input_size), True, stride, padding, dilation, groups)

    return _named(gradient, n, "input")


def _by_weight(n: int) -> Callable[..., Tensor]:
    def gradient(
        input: Tensor, weight_size: Sequence[int], grad_output: Tensor, stride: Any = 1, padding: Any = 0,
        dilation: Any = 1, groups: int = 1,
    ) -> Tensor:  # fmt: skip
        return conv_gradient(input, grad_output, tuple(weight_size), False, stride, padding, dilation, groups)

    return _named(gradient, n, "weight")


def _named(gradient: Callable[..., Tensor], n: int, of: str) -> Callable[..., Tensor]:
    gradient.__name__ = gradient.__qualname__ = f"conv{n}d_{of}"
    gradient.__doc__ = (
        f"The gradient of `nn.functional.conv{n}d` by its {of}, of the size `{of}_size`, where the result's is "
        "`grad_output`. Raises RuntimeError if that does not have the result's shape."
    )
    return gradient


conv1d_input: Callable[..., Tensor] = _by_input(1)
conv2d_input: Callable[..., Tensor] = _by_input(2)
conv3d_input: Callable[..., Tensor] = _by_input(3)
conv1d_weight: Callable[..., Tensor] = _by_weight(1)
conv2d_weight: Callable[..., Tensor] = _by_weight(2)
conv3d_weight: Callable[..., Tensor] = _by_weight(3)
