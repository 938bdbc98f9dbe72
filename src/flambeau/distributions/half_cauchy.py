"""The half-Cauchy distribution."""

from __future__ import annotations

from math import inf
from typing import Any

from ..core.tensor.tensor import Tensor
from ._asking import as_tensor, full
from ._folded import Folded
from .cauchy import Cauchy
from .transforms import AbsTransform

__all__ = ["HalfCauchy"]


class HalfCauchy(Folded):
    """The distribution of |x| for x from Cauchy(0, scale)."""

    base_dist: Cauchy

    def __init__(self, scale: Any, validate_args: bool | None = None) -> None:
        super().__init__(Cauchy(0, scale, validate_args=False), AbsTransform(), validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return super().expand(batch_shape, _instance=self._get_checked_instance(HalfCauchy, _instance))

    @property
    def mean(self) -> Tensor:
        return full(self._extended_shape(), inf, dtype=self.scale.dtype, device=self.scale.device)

    @property
    def variance(self) -> Tensor:
        return self.base_dist.variance

    def log_prob(self, value: Tensor) -> Tensor:
        self._look_at(value)
        return super().log_prob(as_tensor(value, dtype=self.scale.dtype, device=self.scale.device))
