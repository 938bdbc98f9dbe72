"""The Cauchy distribution."""

from __future__ import annotations

import math
from math import inf, nan
from typing import Any

from ..core.tensor.tensor import Tensor
from . import constraints
from ._asking import full
from ._located import Located
from .distribution import Distribution
from .utils import (
    EMPTY,
)

__all__ = ["Cauchy"]


class Cauchy(Located, Distribution):
    """The Cauchy (Lorentz) distribution: median `loc`, half width at half maximum `scale`. It has no mean."""

    has_rsample = True
    support: constraints.Constraint = constraints.real

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return self._expanded(Cauchy, batch_shape, _instance, loc=0, scale=0)

    @property
    def mean(self) -> Tensor:
        return full(self._extended_shape(), nan, dtype=self.loc.dtype, device=self.loc.device)

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return full(self._extended_shape(), inf, dtype=self.loc.dtype, device=self.loc.device)

    def rsample(self, sample_shape: Any = EMPTY) -> Tensor:
        return self.loc + self.loc.new(self._extended_shape(sample_shape)).cauchy_() * self.scale

    def log_prob(self, value: Tensor) -> Tensor:
        self._look_at(value)
        return -math.log(math.pi) - self.scale.log() - (((value - self.loc) / self.scale) ** 2).log1p()

    def cdf(self, value: Tensor) -> Tensor:
        self._look_at(value)
        return ((value - self.loc) / self.scale).atan() / math.pi + 0.5

    def icdf(self, value: Tensor) -> Tensor:
        return (math.pi * (value - 0.5)).tan() * self.scale + self.loc

    def entropy(self) -> Tensor:
        return math.log(4 * math.pi) + self.scale.log()
