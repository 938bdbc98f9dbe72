"""The multinomial distribution."""

from __future__ import annotations

import math
from math import inf
from typing import Any

from ..core.array.size import Size
from ..core.tensor.tensor import Tensor
from . import constraints
from ._asking import lgamma, ones_like, where
from ._categories import OverCategories
from ._odds import OF_SEVERAL
from .binomial import Binomial
from .categorical import Categorical
from .utils import (
    EMPTY,
    broadcast_all,
)

__all__ = ["Multinomial"]


class Multinomial(OverCategories):
    """How often each of K categories comes in `total_count` draws (one int for the whole batch)."""

    arg_constraints = OF_SEVERAL
    total_count: int

    def __init__(
        self,
        total_count: int = 1,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        if not isinstance(total_count, int):
            raise NotImplementedError("inhomogeneous total_count is not supported")
        self.total_count = total_count
        categorical = Categorical(probs, logits)
        self._binomial = Binomial(total_count=total_count, probs=categorical.probs)
        self._over(categorical, validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        binomial = self._binomial.expand(Size(batch_shape) + self.event_shape)
        return self._expanded_over(
            Multinomial, batch_shape, _instance, total_count=self.total_count, _binomial=binomial
        )

    @property
    def mean(self) -> Tensor:
        return self.probs * self.total_count

    @property
    def variance(self) -> Tensor:
        return self.total_count * self.probs * (1 - self.probs)

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> Any:
        return constraints.multinomial(self.total_count)

    def sample(self, sample_shape: Any = EMPTY) -> Tensor:
        sample_shape = Size(sample_shape)
        drawn = self._categorical.sample(Size((self.total_count,)) + sample_shape).movedim(0, -1)
        counts = drawn.new_zeros(self._extended_shape(sample_shape))
        return counts.scatter_add(-1, drawn, ones_like(drawn)).type_as(self.probs)

    def entropy(self) -> Tensor:
        n = self.total_count
        support = self._binomial.enumerate_support(expand=False)[1:]
        weighted = self._binomial.log_prob(support).exp() * lgamma(support + 1)
        return n * self._categorical.entropy() - math.lgamma(n + 1) + weighted.sum([0, -1])

    def log_prob(self, value: Tensor) -> Tensor:
        self._look_at(value)
        logits, value = broadcast_all(self.logits, value)
        logits = where((value == 0) & (logits == -inf), 0, logits)  # what can't come, and did not
        return lgamma(value.sum(-1) + 1) - lgamma(value + 1).sum(-1) + (logits * value).sum(-1)
