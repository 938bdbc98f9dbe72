"""Attention with scores that a function changes, and what can be asked of them besides the result."""

from __future__ import annotations

import math
from collections.abc import Callable

from ...core.array import dtypes
from ...core.tensor.tensor import Tensor

_HALVES = (dtypes.float16, dtypes.bfloat16)


def attend(
    query: Tensor, key: Tensor, value: Tensor, scale: float, changed: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """The result, the logarithms of the sums of the exponentials of the scores, and the largest scores.

    Half precision inputs are computed in float32. A query that may look nowhere gives zeros, and minus infinity.
    """
    q, k, v = (x.to(dtypes.float32) if x.dtype in _HALVES else x for x in (query, key, value))
    scores = changed((q @ k.transpose(-2, -1)) * scale)
    if scores.shape[-1] == 0:
        nothing = scores.sum(-1) - math.inf
        return (scores @ v).to(query.dtype), nothing, nothing
    blind = scores.isneginf().all(-1, keepdim=True)
    safe = scores.masked_fill(blind, 0.0)
    weights = safe.softmax(-1).masked_fill(blind, 0.0)
    blind = blind.squeeze(-1)
    lse, most = (x.masked_fill(blind, -math.inf) for x in (safe.logsumexp(-1), safe.amax(-1)))
    return (weights @ v).to(query.dtype), lse, most
