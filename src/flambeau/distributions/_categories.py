"""Families over the categories of an inner `Categorical`, whose parameters are theirs."""

from __future__ import annotations

from typing import Any

from ..core.array.size import Size
from ..core.tensor.tensor import Tensor
from .categorical import Categorical
from .distribution import Distribution


class OverCategories(Distribution):
    """`probs`, `logits` and `param_shape` are those of `_categorical`, whose categories are the last dimension of an event."""

    _categorical: Categorical

    def _over(self, categorical: Categorical, validate_args: bool | None) -> None:
        self._categorical = categorical
        super().__init__(categorical.batch_shape, categorical.param_shape[-1:], validate_args=validate_args)

    def _expanded_over(self, family: type, batch_shape: Any, _instance: Any, **kept: Any) -> Any:
        new = self._get_checked_instance(family, _instance)
        for name, value in kept.items():
            setattr(new, name, value)
        new._categorical = self._categorical.expand(Size(batch_shape))
        return self._filled(new, Size(batch_shape))

    def _new(self, *args: Any, **kwargs: Any) -> Tensor:
        return self._categorical._new(*args, **kwargs)

    @property
    def _param(self) -> Tensor:
        return self._categorical._param

    @property
    def param_shape(self) -> Any:
        """The shape of the parameter that was given."""
        return self._categorical.param_shape

    @property
    def logits(self) -> Tensor:
        """Logarithms of the probabilities."""
        return self._categorical.logits

    @property
    def probs(self) -> Tensor:
        """The probabilities."""
        return self._categorical.probs
