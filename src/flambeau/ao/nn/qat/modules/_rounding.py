"""What layers that round their weights while they train have in common."""

from __future__ import annotations

from typing import Any

from .....core.tensor.tensor import Tensor
from .....nn.modules.module import Module
from .....nn.parameter import Parameter
from ...._classes import exactly


def required(qconfig: Any) -> Any:
    """AssertionError without a `qconfig`."""
    if not qconfig:
        raise AssertionError("qconfig must be provided for QAT module")
    return qconfig


def require_source(cls: Any, mod: Any) -> None:
    """AssertionError unless `mod` is of the class that `cls` is made from, with a `qconfig`."""
    if exactly(mod) is not cls._FLOAT_MODULE:
        told = f"qat.{cls.__name__}.from_float only works for {cls._FLOAT_MODULE.__name__}"
        raise AssertionError(told if hasattr(cls, "freeze_bn_stats") else f"{told}, got {type(mod).__name__}")
    if not hasattr(mod, "qconfig"):
        raise AssertionError("Input float module must have qconfig defined")
    if not mod.qconfig:
        told = "config" if cls.__name__ == "LinearBn1d" else "qconfig"  # PyTorch's texts
        raise AssertionError(f"Input float module must have a valid {told}")


def take_parameters(new: Any, old: Any) -> Any:
    """`new` with the very parameters of `old`."""
    new.weight = old.weight
    if getattr(old, "bias", None) is not None:
        new.bias = old.bias
    return new


def give_copies(new: Any, old: Any) -> Any:
    """`new`, without rounding, with copies of the parameters of `old`."""
    new.weight = Parameter(old.weight.detach())
    if getattr(old, "bias", None) is not None:
        new.bias = Parameter(old.bias.detach())
    new.train(old.training)
    return new


class Rounded(Module):
    """A layer's weight, rounded by `weight_fake_quant`."""

    weight: Any
    weight_fake_quant: Any
    qconfig: Any

    def rounded(self) -> Tensor:
        """The weight on its grid."""
        return self.weight_fake_quant(self.weight)  # type: ignore[no-any-return]
