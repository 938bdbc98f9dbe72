"""The exponential distribution."""

from __future__ import annotations

from typing import Any

from ..core.tensor.tensor import Tensor
from . import constraints
from ._asking import zeros_like
from .exp_family import ExponentialFamily
from .utils import (
    EMPTY,
    broadcast_all,
)

__all__ = ["Exponential"]


class Exponential(ExponentialFamily):
    """The exponential distribution of density rate * exp(-rate x)."""

    _mean_carrier_measure = 0
    has_rsample = True
    support: constraints.Constraint = constraints.nonnegative
    arg_constraints: dict[str, constraints.Constraint] = {"rate": constraints.positive}
    rate: Tensor

    @property
    def mean(self) -> Tensor:
        return self.rate.reciprocal()

    @property
    def mode(self) -> Tensor:
        return zeros_like(self.rate)

    @property
    def stddev(self) -> Tensor:
        return self.rate.reciprocal()

    @property
    def variance(self) -> Tensor:
        return self.rate.pow(-2)

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        (self.rate,) = broadcast_all(rate)
        super().__init__(self.rate.size(), validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return self._expanded(Exponential, batch_shape, _instance, rate=0)

    def rsample(self, sample_shape: Any = EMPTY) -> Tensor:
        return self.rate.new(self._extended_shape(sample_shape)).exponential_() / self.rate

    def log_prob(self, value: Tensor) -> Tensor:
        self._look_at(value)
        return self.rate.log() - self.rate * value

    def cdf(self, value: Tensor) -> Tensor:
        self._look_at(value)
        return 1 - (-self.rate * value).exp()

    def icdf(self, value: Tensor) -> Tensor:
        return -(-value).log1p() / self.rate

    def entropy(self) -> Tensor:
        return 1.0 - self.rate.log()

    @property
    def _natural_params(self) -> tuple[Tensor]:
        return (-self.rate,)

    def _log_normalizer(self, x: Any) -> Any:  # type: ignore[override]
        return -(-x).log()
