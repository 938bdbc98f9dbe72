"""Families that are given by probabilities or by logits: exactly one of them, the other follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..core.dispatch.messages import message
from ..core.tensor.tensor import Tensor
from . import constraints
from .utils import broadcast_all, lazy_property, logits_to_probs, probs_to_logits


def one_of(probs: Any, logits: Any) -> None:
    """Raise ValueError unless exactly one of the two is given."""
    if (probs is None) == (logits is None):
        raise ValueError(message("probs_or_logits"))


OF_ONE: dict[str, constraints.Constraint] = {"probs": constraints.unit_interval, "logits": constraints.real}
OF_SEVERAL: dict[str, constraints.Constraint] = {"probs": constraints.simplex, "logits": constraints.real_vector}


class Odds:
    """`probs` and `logits`: the one that was given is an attribute, the other is computed when it is asked for.

    `_param` is the one that was given; `_is_binary` says whether it is the chance of one event or of each of several.
    """

    _is_binary = True
    _param: Tensor

    def _take_odds(self, probs: Any, logits: Any, *others: Any) -> Sequence[Tensor]:
        """Keep the one that is given, broadcast with the other parameters, which are returned. ValueError for both or none."""
        one_of(probs, logits)
        name = "probs" if probs is not None else "logits"
        *others, self._param = broadcast_all(*others, probs if probs is not None else logits)  # type: ignore[assignment]
        setattr(self, name, self._param)
        return others

    def _new(self, *args: Any, **kwargs: Any) -> Tensor:
        return self._param.new(*args, **kwargs)

    @lazy_property
    def logits(self) -> Tensor:
        """Log-odds, or logarithms of the probabilities."""
        return probs_to_logits(self.probs, is_binary=self._is_binary)

    @lazy_property
    def probs(self) -> Tensor:
        """Probabilities."""
        return logits_to_probs(self.logits, is_binary=self._is_binary)

    @property
    def param_shape(self) -> Any:
        """The shape of the parameter that was given."""
        return self._param.size()

    def _expanded_odds(self, family: type, batch_shape: Any, _instance: Any, event_dim: int = 0, **others: int) -> Any:
        new = self._expanded(  # type: ignore[attr-defined]
            family, batch_shape, _instance, probs=event_dim, logits=event_dim, **others
        )
        new._param = new.__dict__["logits" if "logits" in new.__dict__ else "probs"]
        return new
