"""Families of continuous values that come near to whole ones as a temperature goes to 0."""

from __future__ import annotations

from typing import Any

from ..core.tensor.tensor import Tensor
from .transformed_distribution import TransformedDistribution


class Relaxed(TransformedDistribution):
    """`temperature`, `logits` and `probs` are those of `base_dist`."""

    has_rsample = True
    base_dist: Any

    @property
    def temperature(self) -> Tensor:
        """How far from whole ones the values are."""
        return self.base_dist.temperature  # type: ignore[no-any-return]

    @property
    def logits(self) -> Tensor:
        """Log-odds, or logarithms of the probabilities."""
        return self.base_dist.logits  # type: ignore[no-any-return]

    @property
    def probs(self) -> Tensor:
        """The probabilities."""
        return self.base_dist.probs  # type: ignore[no-any-return]
