"""Batch normalization in evaluation is an affine map, which the convolution or linear layer before it can take over."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

from ...core.tensor.tensor import Tensor
from ...ops.making.constants import zeros_like
from ..parameter import Parameter

__all__ = ["fuse_conv_bn_eval", "fuse_conv_bn_weights", "fuse_linear_bn_eval", "fuse_linear_bn_weights"]

M = TypeVar("M", bound=Any)


def _fused(
    weight: Tensor, bias: Tensor | None, mean: Tensor, variance: Tensor, eps: float, gain: Tensor | None,
    shift: Tensor | None, channel: int,
) -> tuple[Parameter, Parameter]:  # fmt: skip
    """The weight and bias of the map and the normalization together; `channel` is the weight's output dimension."""
    scale = (variance + eps).rsqrt() * (1 if gain is None else gain)
    shape = [-1 if d == channel else 1 for d in range(weight.ndim)]
    moved = ((zeros_like(mean) if bias is None else bias) - mean) * scale
    new_weight = (weight * scale.reshape(shape)).to(weight.dtype)
    new_bias = (moved if shift is None else moved + shift).to(weight.dtype if bias is None else bias.dtype)
    return (
        Parameter(new_weight.detach(), weight.requires_grad),
        Parameter(new_bias.detach(), bias is not None and bias.requires_grad),
    )


def fuse_conv_bn_weights(
    conv_w: Tensor, conv_b: Tensor | None, bn_rm: Tensor, bn_rv: Tensor, bn_eps: float, bn_w: Tensor | None,
    bn_b: Tensor | None, transpose: bool = False,
) -> tuple[Parameter, Parameter]:  # fmt: skip
    """The weight and bias of a convolution (transposed if `transpose`) with the batch normalization after it."""
    return _fused(conv_w, conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, 1 if transpose else 0)


def fuse_linear_bn_weights(
    linear_w: Tensor, linear_b: Tensor | None, bn_rm: Tensor, bn_rv: Tensor, bn_eps: float, bn_w: Tensor | None,
    bn_b: Tensor | None,
) -> tuple[Parameter, Parameter]:  # fmt: skip
    """The weight and bias of a linear layer with the batch normalization after it."""
    return _fused(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, 0)


def _with(layer: M, normalization: Any, channel: int) -> M:
    if layer.training or normalization.training:
        raise AssertionError("Fusion only for eval!")
    n, made = normalization, copy.deepcopy(layer)
    if n.running_mean is None or n.running_var is None:
        raise AssertionError("bn.running_mean and bn.running_var must not be missing")
    made.weight, made.bias = _fused(
        made.weight, made.bias, n.running_mean, n.running_var, n.eps, n.weight, n.bias, channel
    )
    return made


def fuse_conv_bn_eval(conv: M, bn: Any, transpose: bool = False) -> M:
    """A convolution that does what `conv` and then `bn` do; both must be in evaluation."""
    return _with(conv, bn, 1 if transpose else 0)


def fuse_linear_bn_eval(linear: M, bn: Any) -> M:
    """A linear layer that does what `linear` and then `bn` do; both must be in evaluation."""
    if linear.out_features != bn.num_features and bn.num_features != 1:
        raise AssertionError("To fuse, linear.out_features == bn.num_features or bn.num_features == 1")
    return _with(linear, bn, 0)
