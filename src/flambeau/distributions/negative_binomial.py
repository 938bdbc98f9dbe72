"""The negative binomial distribution."""

from __future__ import annotations

from typing import Any

from ..core.context.grad_mode import no_grad
from ..core.tensor.tensor import Tensor
from . import constraints
from ._asking import lgamma, logsigmoid, poisson
from ._odds import Odds
from .distribution import Distribution
from .gamma import Gamma
from .utils import (
    EMPTY,
    lazy_property,
)

__all__ = ["NegativeBinomial"]


class NegativeBinomial(Odds, Distribution):
    """The number of successes, with probability `probs` each, before `total_count` failures."""

    support: constraints.Constraint = constraints.nonnegative_integer
    arg_constraints: dict[str, constraints.Constraint] = {
        "total_count": constraints.greater_than_eq(0),
        "probs": constraints.half_open_interval(0.0, 1.0),
        "logits": constraints.real,
    }

    def __init__(
        self, total_count: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        (count,) = self._take_odds(probs, logits, total_count)
        self.total_count: Any = count.type_as(self._param)
        super().__init__(self._param.size(), validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return self._expanded_odds(NegativeBinomial, batch_shape, _instance, total_count=0)

    @property
    def mean(self) -> Tensor:
        return self.total_count * self.logits.exp()

    @property
    def mode(self) -> Tensor:
        return ((self.total_count - 1) * self.logits.exp()).floor().clamp(min=0.0)

    @property
    def variance(self) -> Tensor:
        return self.mean / (-self.logits).sigmoid()

    @lazy_property
    def _gamma(self) -> Gamma:
        # a gamma mixture of Poisson laws
        return Gamma(concentration=self.total_count, rate=(-self.logits).exp(), validate_args=False)

    def sample(self, sample_shape: Any = EMPTY) -> Tensor:
        with no_grad():
            return poisson(self._gamma.sample(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        self._look_at(value)
        n = self.total_count
        unnormalized = n * logsigmoid(-self.logits) + value * logsigmoid(self.logits)
        normalizer = -lgamma(n + value) + lgamma(1.0 + value) + lgamma(n)
        return unnormalized - normalizer.masked_fill(n + value == 0.0, 0.0)
