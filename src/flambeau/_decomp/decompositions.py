"""Operators in terms of simpler ones. Formulas of the functions' own documentation."""

from __future__ import annotations

import math
from typing import Any

import flambeau

from ..core.dispatch.overloads import ops
from .registry import register_decomposition

aten = ops.aten


@register_decomposition(aten.addmm.default)
def addmm(self: Any, mat1: Any, mat2: Any, beta: Any = 1, alpha: Any = 1) -> Any:
    """`beta * self + alpha * (mat1 @ mat2)`."""
    return _weighed(self, flambeau.mm(mat1, mat2), beta, alpha)


@register_decomposition(aten.baddbmm.default)
def baddbmm(self: Any, batch1: Any, batch2: Any, beta: Any = 1, alpha: Any = 1) -> Any:
    """The same for batches of matrices."""
    return _weighed(self, flambeau.bmm(batch1, batch2), beta, alpha)


@register_decomposition(aten.addmv.default)
def addmv(self: Any, mat: Any, vec: Any, beta: Any = 1, alpha: Any = 1) -> Any:
    """The same for a matrix and a vector."""
    return _weighed(self, flambeau.mv(mat, vec), beta, alpha)


@register_decomposition(aten.addr.default)
def addr(self: Any, vec1: Any, vec2: Any, beta: Any = 1, alpha: Any = 1) -> Any:
    """The same for the outer product of two vectors."""
    return _weighed(self, vec1.unsqueeze(1) * vec2, beta, alpha)


def _weighed(self: Any, product: Any, beta: Any, alpha: Any) -> Any:
    product = product if alpha == 1 else alpha * product
    if beta == 0:  # what is in `self` does not count, nan included
        return product
    return product + (self if beta == 1 else beta * self)


@register_decomposition(aten.addcmul.default)
def addcmul(self: Any, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Any:
    """`self + value * tensor1 * tensor2`."""
    product = tensor1 * tensor2
    return self + (product if value == 1 else value * product)


@register_decomposition(aten.addcdiv.default)
def addcdiv(self: Any, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Any:
    """`self + value * tensor1 / tensor2`."""
    quotient = tensor1 / tensor2
    return self + (quotient if value == 1 else value * quotient)


@register_decomposition(aten.silu.default)
def silu(self: Any) -> Any:
    """`x * sigmoid(x)`."""
    return self * flambeau.sigmoid(self)


@register_decomposition(aten.mish.default)
def mish(self: Any) -> Any:
    """`x * tanh(softplus(x))`."""
    return self * flambeau.nn.functional.softplus(self).tanh()


@register_decomposition(aten.gelu.default)
def gelu(self: Any, approximate: str = "none") -> Any:
    """`x` times the normal distribution function of `x`, or its approximation by `tanh`."""
    if approximate == "tanh":
        inner = math.sqrt(2 / math.pi) * (self + 0.044715 * (self * self * self))
        return 0.5 * self * (flambeau.tanh(inner) + 1)
    return self * 0.5 * (flambeau.erf(self * math.sqrt(0.5)) + 1)


@register_decomposition(aten.hardsigmoid.default)
def hardsigmoid(self: Any) -> Any:
    """`min(max(x + 3, 0), 6) / 6`."""
    return flambeau.clamp(self + 3, 0, 6) / 6


@register_decomposition(aten.hardswish.default)
def hardswish(self: Any) -> Any:
    """`x * hardsigmoid(x)`."""
    return self * flambeau.clamp(self + 3, 0, 6) / 6


@register_decomposition(aten.leaky_relu.default)
def leaky_relu(self: Any, negative_slope: Any = 0.01) -> Any:
    """`x`, and `negative_slope * x` where it is not positive."""
    return flambeau.where(self > 0, self, self * negative_slope)


@register_decomposition(aten.elu.default)
def elu(self: Any, alpha: Any = 1, scale: Any = 1, input_scale: Any = 1) -> Any:
    """`scale * x`, and `scale * alpha * (exp(input_scale * x) - 1)` where `x` is not positive."""
    return flambeau.where(self > 0, self * scale, flambeau.expm1(self * input_scale) * (alpha * scale))


@register_decomposition(aten.softplus.default)
def softplus(self: Any, beta: Any = 1, threshold: Any = 20) -> Any:
    """`log(1 + exp(beta * x)) / beta`, and `x` where `beta * x` is above the threshold."""
    scaled = self * beta
    return flambeau.where(scaled > threshold, self, flambeau.log1p(flambeau.exp(scaled)) / beta)


@register_decomposition(aten.threshold.default)
def threshold(self: Any, threshold: Any, value: Any) -> Any:
    """`x` above the threshold, elsewhere the value."""
    return flambeau.where(self <= threshold, value, self)


@register_decomposition(aten._softmax.default)
def _softmax(x: Any, dim: int, half_to_float: bool) -> Any:
    """`exp(x) / sum(exp(x))`, of `x` without its largest value."""
    x = x.float() if half_to_float else x
    powers = flambeau.exp(x - flambeau.amax(x, [dim], keepdim=True))
    return powers / flambeau.sum(powers, dim, keepdim=True)


@register_decomposition(aten._log_softmax.default)
def _log_softmax(x: Any, dim: int, half_to_float: bool) -> Any:
    """The logarithm of it."""
    x = x.float() if half_to_float else x
    lower = x - flambeau.amax(x, [dim], keepdim=True)
    return lower - flambeau.log(flambeau.sum(flambeau.exp(lower), dim, keepdim=True))


@register_decomposition(aten.native_layer_norm.default)
def native_layer_norm(input: Any, normalized_shape: Any, weight: Any, bias: Any, eps: float) -> Any:
    """The result, the means and the reciprocal deviations."""
    dims = list(range(input.dim() - len(normalized_shape), input.dim()))
    variance, mean = flambeau.var_mean(input, dim=dims, correction=0, keepdim=True)
    scale = flambeau.rsqrt(variance + eps)
    made = (input - mean) * scale
    made = made if weight is None else made * weight
    return (made if bias is None else made + bias), mean, scale


@register_decomposition(aten.mse_loss.default)
def mse_loss(self: Any, target: Any, reduction: int = 1) -> Any:
    """The squared differences, their mean or their sum."""
    squares = (self - target) ** 2
    return squares if reduction == 0 else flambeau.mean(squares) if reduction == 1 else flambeau.sum(squares)


@register_decomposition(aten.rsub.Tensor)
@register_decomposition(aten.rsub.Scalar)
def rsub(self: Any, other: Any, alpha: Any = 1) -> Any:
    """`other - alpha * self`."""
    return other - (self if alpha == 1 else alpha * self)


@register_decomposition(aten.lerp.Scalar)
@register_decomposition(aten.lerp.Tensor)
def lerp(self: Any, end: Any, weight: Any) -> Any:
    """`self + weight * (end - self)`."""
    return self + weight * (end - self)


@register_decomposition(aten.t.default)
def t(self: Any) -> Any:
    """The transpose of a matrix."""
    return self.transpose(0, 1) if self.dim() == 2 else self
