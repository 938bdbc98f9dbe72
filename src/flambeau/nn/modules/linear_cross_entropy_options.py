"""How much of a linear layer's results the cross entropy keeps in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ...core.array import dtypes
from ...ops.layers.linear_cross_entropy import check_accumulates

__all__ = ["LinearCrossEntropyOptions"]

_POLICIES = ("accurate", "balanced", "compact", "auto")


@dataclass(frozen=True, slots=True)
class LinearCrossEntropyOptions:
    """Options of `nn.functional.linear_cross_entropy`: compute a part of the batch at a time.

    `batch_chunk_size` is the number of samples in a part. Without it, `chunking_method` chooses it: "aspect_ratio:r" so that
    a part's logits take about r times the memory of the whole input ("auto" and "aspect_ratio": 2), None takes the whole
    batch. Sums are in float32 for inputs of half precision, or in `acc_dtype` where that holds more; all policies of
    `acc_policy` are the accurate one. The backward pass may be called again, whatever `allow_retain_graph` says.
    Raises ValueError for values that are none of these.
    """

    allow_retain_graph: bool = False
    batch_chunk_size: int | None = None
    chunking_method: str | None = "auto"
    acc_policy: Literal["accurate", "balanced", "compact", "auto"] = "auto"
    acc_dtype: dtypes.dtype | None = None

    def __post_init__(self) -> None:
        size, method = self.batch_chunk_size, self.chunking_method
        if size is not None and (not isinstance(size, int) or size <= 0):
            raise ValueError(f"batch_chunk_size must be positive int or None, got {size}")
        if method is not None:
            kind, separator, ratio = method.partition(":")
            right = ratio.isdigit() and int(ratio) > 0 if separator else True
            if not right or kind not in (("aspect_ratio",) if separator else ("auto", "aspect_ratio")):
                raise ValueError(f"invalid chunking_method: {method!r}")
        if self.acc_policy not in _POLICIES:
            raise ValueError(f"invalid acc_policy: {self.acc_policy!r}")
        check_accumulates(self.acc_dtype)
