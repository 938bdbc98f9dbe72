"""The Poisson distribution."""

from __future__ import annotations

from typing import Any

from ..core.context.grad_mode import no_grad
from ..core.tensor.tensor import Tensor
from . import constraints
from ._asking import poisson, xlogy
from .exp_family import ExponentialFamily
from .utils import (
    EMPTY,
    broadcast_all,
)

__all__ = ["Poisson"]


class Poisson(ExponentialFamily):
    """The number of events at a rate of `rate`."""

    support: constraints.Constraint = constraints.nonnegative_integer
    arg_constraints: dict[str, constraints.Constraint] = {"rate": constraints.nonnegative}
    rate: Tensor

    @property
    def mean(self) -> Tensor:
        return self.rate

    @property
    def mode(self) -> Tensor:
        return self.rate.floor()

    @property
    def variance(self) -> Tensor:
        return self.rate

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        (self.rate,) = broadcast_all(rate)
        super().__init__(self.rate.size(), validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return self._expanded(Poisson, batch_shape, _instance, rate=0)

    def sample(self, sample_shape: Any = EMPTY) -> Tensor:
        with no_grad():
            return poisson(self.rate.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        self._look_at(value)
        rate, value = broadcast_all(self.rate, value)
        return xlogy(value, rate) - rate - (value + 1).lgamma()

    @property
    def _natural_params(self) -> tuple[Tensor]:
        return (self.rate.log(),)

    def _log_normalizer(self, x: Any) -> Any:  # type: ignore[override]
        return x.exp()
