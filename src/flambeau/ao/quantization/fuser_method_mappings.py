"""Which layers can be joined, and what comes of them: while training a module that holds them, else a batch normalization is
computed into the layer before it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeAlias

from ...nn import modules as layers
from ...nn.modules.module import Module
from ...nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval
from ..nn.intrinsic.modules import fused as intrinsic
from ._refused import refused

__all__ = """
    fuse_conv_bn fuse_conv_bn_relu fuse_linear_bn fuse_convtranspose_bn get_fuser_method get_fuser_method_new
""".split()

Fuser: TypeAlias = Callable[..., Module]

_CONVOLUTIONS: dict[type, tuple[type, str]] = {
    layers.Conv1d: (layers.BatchNorm1d, "1d"),
    layers.Conv2d: (layers.BatchNorm2d, "2d"),
    layers.Conv3d: (layers.BatchNorm3d, "3d"),
}


def _require_same_mode(kind: str, *modules: Module) -> None:
    if len({module.training for module in modules}) > 1:
        raise AssertionError(f"{kind} and BN both must be in the same mode (train or eval).")


def _require_fitting(width: int, told: str, bn: Any, kind: str) -> None:
    if bn.num_features != width:
        raise AssertionError(f"Output {told} must match num_features of {kind}")
    if not bn.affine:
        raise AssertionError(f"Only support fusing {kind} with affine set to True")
    if not bn.track_running_stats:
        raise AssertionError(f"Only support fusing {kind} with tracking_running_stats set to True")


def _size(conv: Module) -> str:
    return _CONVOLUTIONS[type(conv)][1]


def fuse_conv_bn(is_qat: bool, conv: Any, bn: Any) -> Module:
    """A convolution and its batch normalization as one module; in evaluation, the convolution that does both."""
    _require_same_mode("Conv", conv, bn)
    if not is_qat:
        return fuse_conv_bn_eval(conv, bn)
    _require_fitting(conv.out_channels, "channel of Conv2d", bn, "BatchNorm2d")
    return getattr(intrinsic, f"ConvBn{_size(conv)}")(conv, bn)  # type: ignore[no-any-return]


def fuse_conv_bn_relu(is_qat: bool, conv: Any, bn: Any, relu: Any) -> Module:
    """A convolution, its batch normalization and ReLU as one module; in evaluation the convolution does the first two."""
    _require_same_mode("Conv", conv, bn, relu)
    if not is_qat:
        return getattr(intrinsic, f"ConvReLU{_size(conv)}")(fuse_conv_bn_eval(conv, bn), relu)  # type: ignore[no-any-return]
    _require_fitting(conv.out_channels, "channel of Conv2d", bn, "BatchNorm2d")
    return getattr(intrinsic, f"ConvBnReLU{_size(conv)}")(conv, bn, relu)  # type: ignore[no-any-return]


def fuse_linear_bn(is_qat: bool, linear: Any, bn: Any) -> Module:
    """A linear layer and its batch normalization as one module; in evaluation, the layer that does both."""
    _require_same_mode("Linear", linear, bn)
    if not is_qat:
        return fuse_linear_bn_eval(linear, bn)
    _require_fitting(linear.out_features, "features of Linear", bn, "BatchNorm1d")
    return intrinsic.LinearBn1d(linear, bn)


def fuse_convtranspose_bn(is_qat: bool, convt: Any, bn: Any) -> Module:
    """The transposed convolution that does its batch normalization, too. Refused for training."""
    _require_same_mode("ConvTranspose", convt, bn)
    if is_qat:
        raise Exception("Fusing ConvTranspose+BatchNorm not yet supported in QAT.")
    return fuse_conv_bn_eval(convt, bn, transpose=True)


def _joined(kind: Any, is_qat: bool, first: Module, second: Module) -> Module:
    return kind(first, second)  # type: ignore[no-any-return]


def _fusers() -> dict[tuple[type, ...], Fuser]:
    found: dict[tuple[type, ...], Fuser] = {}
    for conv, (norm, size) in _CONVOLUTIONS.items():
        found[conv, norm] = fuse_conv_bn
        found[conv, norm, layers.ReLU] = fuse_conv_bn_relu
        found[conv, layers.ReLU] = functools.partial(_joined, getattr(intrinsic, f"ConvReLU{size}"))
        found[getattr(layers, f"ConvTranspose{size}"), norm] = fuse_convtranspose_bn
    found[layers.Linear, layers.BatchNorm1d] = fuse_linear_bn
    found[layers.Linear, layers.ReLU] = functools.partial(_joined, intrinsic.LinearReLU)
    for size in ("2d", "3d"):
        norm = getattr(layers, f"BatchNorm{size}")
        found[norm, layers.ReLU] = functools.partial(_joined, getattr(intrinsic, f"BNReLU{size}"))
    return found


_FUSERS = _fusers()


def get_fuser_method(op_list: Any, additional_fuser_method_mapping: dict[Any, Any] | None = None) -> Fuser:
    """What joins layers of these classes. AssertionError if there is nothing."""
    found = (_FUSERS | (additional_fuser_method_mapping or {})).get(op_list)
    if found is None:
        raise AssertionError(f"did not find fuser method for: {op_list} ")
    return found  # type: ignore[no-any-return]


get_fuser_method_new: Any = refused("get_fuser_method_new")
