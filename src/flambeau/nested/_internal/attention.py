"""Attention between the places of each part of nested tensors."""

from __future__ import annotations

from typing import Any

from ...core.array import formats
from .nested_tensor import NestedTensor, _torch, joined, shapes_of, unbound

KINDS = "Nested tensors for query / key"


def attention(func: Any, query: Any, key: Any, value: Any, attn_mask: Any = None, *args: Any, **kwargs: Any) -> Any:
    """`scaled_dot_product_attention`, part by part. ValueError and RuntimeError for masks, and beside dense tensors."""
    three = (query, key, value)
    first = next(t for t in three if isinstance(t, NestedTensor))
    if first._ragged is None:
        _check_strided(three, attn_mask)
    elif not all(isinstance(t, NestedTensor) for t in three):
        told = [f"{name}.is_nested: {t.is_nested}" for name, t in zip(("query", "key", "value"), three, strict=True)]
        raise ValueError(
            f"Expected query, key, and value to be nested tensors, but got {told[0]}, {told[1]}, and {told[2]} instead."
        )
    if attn_mask is not None:
        raise ValueError("Masks are not yet supported! Pass is_causal=True, or attend to each part")
    triples = zip(unbound(query), unbound(key), unbound(value), strict=True)
    parts = [func(q, k, v, None, *args, **kwargs) for q, k, v in triples]
    return joined(parts, query.layout, query._ragged, query._ragged_idx or None)


def _check_strided(three: tuple[Any, ...], mask: Any) -> None:
    if mask is not None:
        raise RuntimeError(f"Scaled_dot_product_attention: {KINDS} are not supported when an explicit attn_mask is set")
    words = ["nested" if isinstance(t, NestedTensor) else "non-nested" for t in three]
    for other in words[1:]:
        if other != words[0]:
            raise RuntimeError(f"Expected both to be nested, but got a {words[0]} self and {other} other")


def multihead(func: Any, query: NestedTensor, key: Any, value: Any, *args: Any, **kwargs: Any) -> Any:
    """Self-attention with several heads of the parts `(L, E)`, with padding; weights are `(N, L, L)`, zeros in the padding."""
    lengths = _torch["tensor"]([shape[0] for shape in shapes_of(query)], device=query._values.device)
    padded = query.to_padded_tensor(0.0)
    outside = _torch["arange"](padded.shape[1], device=padded.device) >= lengths.unsqueeze(1)
    x = padded.transpose(0, 1)
    out, weights = func(x, x, x, *args, **{**kwargs, "key_padding_mask": outside})
    rows = zip(out.transpose(0, 1).unbind(), lengths.tolist(), strict=True)
    made = joined([row.narrow(0, 0, length) for row, length in rows], formats.strided)
    if weights is not None:
        padding = outside.unsqueeze(-1) if weights.ndim == 3 else outside[:, None, :, None]
        weights = weights.masked_fill(padding, 0.0)
    return made, weights
