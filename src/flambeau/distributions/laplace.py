"""The Laplace distribution."""

from __future__ import annotations

from typing import Any

from ..core.array.dtypes import finfo
from ..core.tensor.tensor import Tensor
from . import constraints
from ._centred import Centred
from ._located import Located
from .distribution import Distribution
from .utils import (
    EMPTY,
)

__all__ = ["Laplace"]


class Laplace(Centred, Located, Distribution):
    """The Laplace (double exponential) distribution around `loc`."""

    has_rsample = True
    support: constraints.Constraint = constraints.real

    @property
    def variance(self) -> Tensor:
        return 2 * self.scale.pow(2)

    @property
    def stddev(self) -> Tensor:
        return (2**0.5) * self.scale

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return self._expanded(Laplace, batch_shape, _instance, loc=0, scale=0)

    def rsample(self, sample_shape: Any = EMPTY) -> Tensor:
        u = self.loc.new(self._extended_shape(sample_shape)).uniform_(finfo(self.loc.dtype).eps - 1, 1)
        return self.loc - self.scale * u.sign() * (-u.abs()).log1p()

    def log_prob(self, value: Tensor) -> Tensor:
        self._look_at(value)
        return -(2 * self.scale).log() - (value - self.loc).abs() / self.scale

    def cdf(self, value: Tensor) -> Tensor:
        self._look_at(value)
        away = value - self.loc
        return 0.5 - 0.5 * away.sign() * (-away.abs() / self.scale).expm1()

    def icdf(self, value: Tensor) -> Tensor:
        term = value - 0.5
        return self.loc - self.scale * term.sign() * (-2 * term.abs()).log1p()

    def entropy(self) -> Tensor:
        return 1 + (2 * self.scale).log()
