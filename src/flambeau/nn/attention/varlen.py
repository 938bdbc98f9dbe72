"""Attention over sequences of several lengths, packed one after the other."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from ...core.array import dtypes
from ...core.tensor.tensor import Tensor
from ...ops.making.ranges import arange
from ._dense import attend

__all__ = ["AuxRequest", "varlen_attn", "varlen_attn_out"]


class AuxRequest(NamedTuple):
    """What `varlen_attn` is to give besides its result."""

    lse: bool = False


def _places(cumulative: Tensor, total: int) -> tuple[Tensor, Tensor, Tensor]:
    """For each packed place the number of its sequence, its place in it, and that sequence's length."""
    number = arange(total, device=cumulative.device)
    ends = cumulative[1:].to(dtypes.int64)
    sequence = (number.unsqueeze(1) >= ends).sum(1)
    known = sequence.clamp(max=max(ends.shape[0] - 1, 0))
    starts = cumulative.to(dtypes.int64)[known]
    return sequence, number - starts, ends[known] - starts


def _by_head(query: Tensor, key: Tensor, value: Tensor, enable_gqa: bool) -> tuple[Tensor, Tensor, Tensor]:
    """`(H, T, D)` of each, with as many heads."""
    q, k, v = (x.transpose(0, 1) for x in (query, key, value))
    if enable_gqa:
        k, v = (x.repeat_interleave(q.shape[0] // x.shape[0], 0) for x in (k, v))
    return q, k, v


def varlen_attn(
    query: Tensor, key: Tensor, value: Tensor, cu_seq_q: Tensor, cu_seq_k: Tensor | None, max_q: int, max_k: int, *,
    return_aux: AuxRequest | None = None, scale: float | None = None, window_size: tuple[int, int] = (-1, -1),
    enable_gqa: bool = False, seqused_k: Tensor | None = None, block_table: Tensor | None = None,
    num_splits: int | None = None,
) -> Tensor | tuple[Tensor, Tensor]:  # fmt: skip
    """Attention within each of N sequences that are packed into one.

    Shapes: query `(T_q, H, D)`, key and value `(T_k, H, D)`; sequence i stands at `cu_seq_q[i]` up to `cu_seq_q[i + 1]`,
    and so on. With `block_table` `(N, pages)` key and value are pages `(total, size, H, D)`, and sequence i is made of
    those that row i names. `seqused_k` `(N,)` says how many of a sequence's keys count. `window_size` says how far a query
    looks to the left and to the right (-1: everywhere), where the last query stands beside the last key. Gives `(T_q, H, D)`
    and, if asked for, the logarithms of the sums `(T_q, H)`. `max_q`, `max_k` and `num_splits` are accepted. ValueError if
    key and value have other heads than the query without `enable_gqa`.
    """
    if query.shape[1] != key.shape[-2] and not enable_gqa:
        raise ValueError(
            f"Expect query and key/value to have the same number of heads but got Hq={query.shape[1]} and "
            f"Hkv={key.shape[-2]}. Try setting enable_gqa=True for GQA."
        )
    sequence_q, place_q, length_q = _places(cu_seq_q, query.shape[0])
    if block_table is not None:
        if seqused_k is None:
            raise ValueError("varlen_attn: a block_table needs seqused_k, the number of keys of each sequence")
        pages, size = block_table.shape[1], key.shape[1]
        key, value = (x[block_table.to(dtypes.int64)].flatten(0, 2) for x in (key, value))
        number = arange(key.shape[0], device=query.device)
        sequence_k, place_k = number // (pages * size), number % (pages * size)
        length_k = seqused_k.to(dtypes.int64)[sequence_k]
    else:
        if cu_seq_k is None:
            raise ValueError("varlen_attn: without a block_table, cu_seq_k says where the sequences of keys begin")
        sequence_k, place_k, length_k = _places(cu_seq_k, key.shape[0])
        if seqused_k is not None:
            length_k = seqused_k.to(dtypes.int64)[sequence_k.clamp(max=seqused_k.shape[0] - 1)]
    seen = (sequence_q.unsqueeze(1) == sequence_k) & (place_k < length_k)
    left, right = window_size
    if left >= 0 or right >= 0:
        beside = place_q.unsqueeze(1) + length_k - length_q.unsqueeze(1)
        if left >= 0:
            seen = seen & (place_k >= beside - left)
        if right >= 0:
            seen = seen & (place_k <= beside + right)
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    q, k, v = _by_head(query, key, value, enable_gqa)
    out, lse, _ = attend(q, k, v, scale, lambda scores: scores.masked_fill(~seen, -math.inf))
    out = out.transpose(0, 1)
    return (out, lse.transpose(0, 1)) if return_aux is not None and return_aux.lse else out


def varlen_attn_out(
    out: Tensor, query: Tensor, key: Tensor, value: Tensor, cu_seq_q: Tensor, cu_seq_k: Tensor | None, max_q: int,
    max_k: int, **options: Any,
) -> Tensor | tuple[Tensor, Tensor]:  # fmt: skip
    """`varlen_attn`, written into `out`."""
    made = varlen_attn(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, **options)
    if isinstance(made, tuple):
        return out.copy_(made[0]), made[1]
    return out.copy_(made)
