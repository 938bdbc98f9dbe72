"""The geometric distribution."""

from __future__ import annotations

from typing import Any

from ..core.array.dtypes import finfo
from ..core.context.grad_mode import no_grad
from ..core.context.tracing import is_traced
from ..core.tensor.tensor import Tensor
from . import constraints
from ._asking import binary_cross_entropy_with_logits, where, zeros_like
from ._odds import OF_ONE, Odds
from .distribution import Distribution, _insist
from .utils import (
    EMPTY,
    broadcast_all,
)

__all__ = ["Geometric"]


class Geometric(Odds, Distribution):
    """The number of failures before the first success, with probability `probs` each."""

    support: constraints.Constraint = constraints.nonnegative_integer
    arg_constraints = OF_ONE

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        self._take_odds(probs, logits)
        super().__init__(self._param.size(), validate_args=validate_args)
        if self._validate_args and probs is not None:
            self._insist_on_success()

    def _insist_on_success(self) -> None:
        """What can never succeed is refused, though 0 satisfies the constraint."""
        valid = self.probs > 0
        text = (
            f"Expected parameter probs ({type(self.probs).__name__} of shape {tuple(self.probs.shape)}) "
            "of distribution {law} to be positive but found invalid values"
        )
        _insist(valid, text, self, None, None if is_traced() else self.probs.detach()[~valid])

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return self._expanded_odds(Geometric, batch_shape, _instance)

    @property
    def mean(self) -> Tensor:
        return 1.0 / self.probs - 1.0

    @property
    def mode(self) -> Tensor:
        return zeros_like(self.probs)

    @property
    def variance(self) -> Tensor:
        return (1.0 / self.probs - 1.0) / self.probs

    def sample(self, sample_shape: Any = EMPTY) -> Tensor:
        shape = self._extended_shape(sample_shape)
        with no_grad():
            u = self.probs.new(shape).uniform_(finfo(self.probs.dtype).tiny, 1)
            return (u.log() / (-self.probs).log1p()).floor()

    def log_prob(self, value: Tensor) -> Tensor:
        self._look_at(value)
        value, probs = broadcast_all(value, self.probs)
        probs = where((probs == 0) & (value == 0), 0, probs)  # no gradient from there
        return value * (-probs).log1p() + self.probs.log()

    def entropy(self) -> Tensor:
        return binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none") / self.probs
