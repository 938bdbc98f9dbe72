"""The generalized Pareto distribution."""

from __future__ import annotations

from math import inf, nan
from typing import Any

from ..core.tensor.tensor import Tensor
from . import constraints
from ._asking import isclose, rand, where, zeros_like
from .distribution import Distribution
from .utils import (
    EMPTY,
    broadcast_all,
)

__all__ = ["GeneralizedPareto"]


class GeneralizedPareto(Distribution):
    """The law of what lies beyond a threshold `loc`, with a tail index of `concentration` (0 is exponential)."""

    has_rsample = True
    arg_constraints: dict[str, constraints.Constraint] = {
        "loc": constraints.real,
        "scale": constraints.positive,
        "concentration": constraints.real,
    }
    loc: Tensor
    scale: Tensor
    concentration: Tensor

    def __init__(self, loc: Any, scale: Any, concentration: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale, self.concentration = broadcast_all(loc, scale, concentration)
        super().__init__(self.loc.size(), validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return self._expanded(GeneralizedPareto, batch_shape, _instance, loc=0, scale=0, concentration=0)

    def rsample(self, sample_shape: Any = EMPTY) -> Tensor:
        u = rand(self._extended_shape(sample_shape), dtype=self.loc.dtype, device=self.loc.device)
        return self.icdf(u)

    def _tail(self) -> tuple[Tensor, Tensor]:
        """Where the law is exponential, and the concentration with 1 in its place there."""
        flat = isclose(self.concentration, zeros_like(self.concentration))
        return flat, where(flat, 1, self.concentration)

    def _z(self, x: Any) -> Tensor:
        return (x - self.loc) / self.scale

    def log_prob(self, value: Tensor) -> Tensor:
        self._look_at(value)
        z, (flat, c) = self._z(value), self._tail()
        return -self.scale.log() - where(flat, z, (1 + 1 / c) * (c * z).log1p())

    def log_survival_function(self, value: Tensor) -> Tensor:
        """log(1 - cdf(value))."""
        self._look_at(value)
        z, (flat, c) = self._z(value), self._tail()
        return where(flat, -z, -(c * z).log1p() / c)

    def log_cdf(self, value: Tensor) -> Tensor:
        """log(cdf(value))."""
        self._look_at(value)
        return (-self.log_survival_function(value).exp()).log1p()

    def cdf(self, value: Tensor) -> Tensor:
        self._look_at(value)
        return self.log_cdf(value).exp()

    def icdf(self, value: Tensor) -> Tensor:
        flat, c = self._tail()
        log_rest = (-value).log1p()
        return where(flat, self.loc - self.scale * log_rest, self.loc + self.scale * (-c * log_rest).expm1() / c)

    @property
    def mean(self) -> Tensor:
        c = self.concentration
        valid = c < 1
        return where(valid, self.loc + self.scale / (1 - where(valid, c, 0.5)), nan)

    @property
    def variance(self) -> Tensor:
        c = self.concentration
        valid = c < 0.5
        c = where(valid, c, 0.25)
        return where(valid, self.scale**2 / ((1 - c) ** 2 * (1 - 2 * c)), nan)

    def entropy(self) -> Tensor:
        return (self.scale.log() + self.concentration + 1).expand(self._batch_shape)

    @property
    def mode(self) -> Tensor:
        return self.loc

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        c = self.concentration
        return constraints.interval(self.loc, where(c < 0, self.loc - self.scale / c, inf))
