"""A weight that is rounded as it will be once the batch normalization behind it is computed into it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ......core.tensor.tensor import Tensor
from ......nn.modules.module import Module

__all__: list[str] = []


class Normalized(Module):
    """A layer with a weight and its batch normalization `bn`, whose moving values can be held (`freeze_bn`)."""

    bn: Any
    weight: Any
    bias: Any
    weight_fake_quant: Any
    freeze_bn: bool
    qconfig: Any

    def _begin(self, freeze_bn: bool, qconfig: Any) -> None:
        self.freeze_bn = freeze_bn
        self.qconfig = qconfig
        self.weight_fake_quant = qconfig.weight()
        if self.training and not freeze_bn:
            self.update_bn_stats()
        else:
            self.freeze_bn_stats()

    def reset_running_stats(self) -> None:
        """The normalization's moving values as they were at first."""
        self.bn.reset_running_stats()

    def reset_bn_parameters(self) -> None:
        """The normalization as it was at first."""
        self.bn.reset_parameters()

    def update_bn_stats(self) -> Any:
        """The normalization's moving values follow the batches."""
        self.freeze_bn = False
        self.bn.training = True
        return self

    def freeze_bn_stats(self) -> Any:
        """The normalization's moving values stay, and are what it normalizes by."""
        self.freeze_bn = True
        self.bn.training = False
        return self

    def train(self, mode: bool = True) -> Any:
        """As every module, but `bn` stays in evaluation while it is held."""
        self.training = mode
        if not self.freeze_bn:
            for module in self.children():
                module.train(mode)
        return self

    def _normalized(self, layer: Callable[[Tensor, Any], Tensor], channel: int) -> Tensor:
        """The layer without its bias on the rounded weight, then the bias and the normalization.

        The weight is rounded times the factor that the normalization will have, and the result is divided by it again, so
        that in training it is the batch that is normalized by.
        """
        factor = self.bn.weight / (self.bn.running_var + self.bn.eps).sqrt()
        weight = self.weight_fake_quant(self.weight * factor.reshape([-1, *[1] * (self.weight.ndim - 1)]))
        shape = [1] * channel + [-1] + [1] * (self.weight.ndim - 1 - channel)
        bias = self.bias if self.bias is not None else self.weight.new_zeros(self.weight.shape[0])
        out = layer(weight, bias.new_zeros(bias.shape)) / factor.reshape(shape)
        if self.bias is not None:
            out = out + self.bias.reshape(shape)
        return self.bn(out)  # type: ignore[no-any-return]


def take_normalization(new: Any, old: Any) -> Any:
    """`new` with the very normalization of `old`."""
    new.bn.weight, new.bn.bias = old.weight, old.bias
    new.bn.running_mean, new.bn.running_var = old.running_mean, old.running_var
    new.bn.num_batches_tracked = old.num_batches_tracked
    return new
