"""Families of |x| for an x that is as likely below 0 as above it."""

from __future__ import annotations

import math
from math import inf
from typing import Any

from ..core.tensor.tensor import Tensor
from . import constraints
from ._asking import where, zeros_like
from .transformed_distribution import TransformedDistribution


class Folded(TransformedDistribution):
    """|x| for x of `base_dist`, which lies around 0 and has a `scale`."""

    has_rsample = True
    support: constraints.Constraint = constraints.nonnegative
    arg_constraints: dict[str, constraints.Constraint] = {"scale": constraints.positive}
    base_dist: Any

    @property
    def scale(self) -> Tensor:
        """The scale of x."""
        return self.base_dist.scale  # type: ignore[no-any-return]

    @property
    def mode(self) -> Tensor:
        return zeros_like(self.scale)

    def log_prob(self, value: Tensor) -> Tensor:
        self._look_at(value)
        return where(value >= 0, self.base_dist.log_prob(value) + math.log(2), -inf)

    def cdf(self, value: Tensor) -> Tensor:
        self._look_at(value)
        return 2 * self.base_dist.cdf(value) - 1  # type: ignore[no-any-return]

    def icdf(self, prob: Tensor) -> Tensor:  # type: ignore[override]
        return self.base_dist.icdf((prob + 1) / 2)  # type: ignore[no-any-return]

    def entropy(self) -> Tensor:
        return self.base_dist.entropy() - math.log(2)  # type: ignore[no-any-return]
