"""The relaxed categorical distribution."""

from __future__ import annotations

from typing import Any

from ..core.tensor.tensor import Tensor
from . import constraints
from ._asking import full_like, rand
from ._categories import OverCategories
from ._odds import OF_SEVERAL
from ._relaxed import Relaxed
from .categorical import Categorical
from .transforms import ExpTransform
from .utils import (
    EMPTY,
    broadcast_all,
    clamp_probs,
)

__all__ = ["ExpRelaxedCategorical", "RelaxedOneHotCategorical"]


class ExpRelaxedCategorical(OverCategories):
    """Logarithms of relaxed one-hot vectors (Maddison et al., "The Concrete Distribution", 2017)."""

    has_rsample = True
    support: constraints.Constraint = constraints.real_vector  # of those vectors whose logsumexp is 0
    arg_constraints = OF_SEVERAL

    def __init__(
        self, temperature: Tensor, probs: Tensor | None = None, logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:  # fmt: skip
        self.temperature = temperature
        self._over(Categorical(probs, logits), validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return self._expanded_over(ExpRelaxedCategorical, batch_shape, _instance, temperature=self.temperature)

    def rsample(self, sample_shape: Any = EMPTY) -> Tensor:
        u = rand(self._extended_shape(sample_shape), dtype=self.logits.dtype, device=self.logits.device)
        gumbels = -((-(clamp_probs(u).log())).log())
        scores = (self.logits + gumbels) / self.temperature
        return scores - scores.logsumexp(dim=-1, keepdim=True)

    def log_prob(self, value: Tensor) -> Tensor:
        k = self._categorical._num_events
        self._look_at(value)
        logits, value = broadcast_all(self.logits, value)
        log_scale = full_like(self.temperature, float(k)).lgamma() - self.temperature.log().mul(-(k - 1))
        score = logits - value.mul(self.temperature)
        return (score - score.logsumexp(dim=-1, keepdim=True)).sum(-1) + log_scale


class RelaxedOneHotCategorical(Relaxed):
    """Points of the simplex that come near to its corners as `temperature` goes to 0."""

    has_rsample: bool = True
    support: constraints.Constraint = constraints.simplex
    arg_constraints = OF_SEVERAL
    base_dist: ExpRelaxedCategorical

    def __init__(
        self, temperature: Tensor, probs: Tensor | None = None, logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:  # fmt: skip
        base = ExpRelaxedCategorical(temperature, probs, logits, validate_args=validate_args)
        super().__init__(base, ExpTransform(), validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return super().expand(batch_shape, _instance=self._get_checked_instance(RelaxedOneHotCategorical, _instance))
