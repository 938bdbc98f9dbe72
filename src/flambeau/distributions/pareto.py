"""The Pareto distribution."""

from __future__ import annotations

from typing import Any

from ..core.tensor.tensor import Tensor
from . import constraints
from .exponential import Exponential
from .transformed_distribution import TransformedDistribution
from .transforms import AffineTransform, ExpTransform
from .utils import (
    broadcast_all,
)

__all__ = ["Pareto"]


class Pareto(TransformedDistribution):
    """The Pareto distribution (type 1): values from `scale` on, with a tail of power `alpha`."""

    arg_constraints: dict[str, constraints.Constraint] = {"alpha": constraints.positive, "scale": constraints.positive}
    scale: Tensor
    alpha: Tensor

    def __init__(self, scale: Any, alpha: Any, validate_args: bool | None = None) -> None:
        self.scale, self.alpha = broadcast_all(scale, alpha)
        base = Exponential(self.alpha, validate_args=validate_args)
        transforms = [ExpTransform(), AffineTransform(0, self.scale)]
        super().__init__(base, transforms, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = self._expanded(Pareto, batch_shape, _instance, scale=0, alpha=0)
        return super().expand(batch_shape, _instance=new)

    @property
    def variance(self) -> Tensor:
        a = self.alpha.clamp(min=2)  # inf up to 2
        return self.scale.pow(2) * a / ((a - 1).pow(2) * (a - 2))

    @property
    def mode(self) -> Tensor:
        return self.scale

    @property
    def mean(self) -> Tensor:
        a = self.alpha.clamp(min=1)  # inf up to 1
        return a * self.scale / (a - 1)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        return constraints.greater_than_eq(self.scale)

    def entropy(self) -> Tensor:
        return (self.scale / self.alpha).log() + (1 + self.alpha.reciprocal())
