"""Attention: `softmax(query @ key.T) @ value`."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from ...core.array import dtypes
from ...core.dispatch.operator import Array, Scalar, composite, operator
from ..linalg.products import times
from ..random.keys import next_key
from ..support.checks import scalar_name, wide
from .dropout import dropped


def _attention_name(arrays: list[Any]) -> str:
    whole = arrays[0].ndim == 4 and arrays[0].shape[-3] == arrays[1].shape[-3]
    return "ScaledDotProductFlashAttentionForCpuBackward0" if whole else "UnsafeViewBackward0"


def _check(query: jax.Array, key: jax.Array, value: jax.Array, mask: jax.Array | None, is_causal: bool) -> None:
    three = (query, key, value)
    if min(x.ndim for x in three) < 2:
        raise RuntimeError(
            "Expected query, key, and value to all be at least 2 dimensional, but got query.dim: "
            f"{query.ndim} key.dim: {key.ndim} and value.dim: {value.ndim} instead."
        )
    if len({x.dtype for x in three}) > 1:
        names = [scalar_name(x) for x in three]
        raise RuntimeError(
            "Expected query, key, and value to have the same dtype, but got query.dtype: "
            f"{names[0]} key.dtype: {names[1]} and value.dtype: {names[2]} instead."
        )
    if dtypes.from_numpy(query.dtype).category < dtypes.FLOAT:
        raise RuntimeError(f"scaled_dot_product_attention: expected floating point tensors, got {scalar_name(query)}")
    if mask is None:
        return
    if is_causal:
        raise RuntimeError("scaled_dot_product_attention: Explicit attn_mask should not be set when is_causal=True")
    if mask.dtype not in (jnp.bool_, jnp.float32, query.dtype):
        raise RuntimeError(
            "Expected attn_mask dtype to be bool or float or to match query dtype, but got attn_mask.dtype: "
            f"{scalar_name(mask)} and query.dtype: {scalar_name(query)} instead."
        )


def _repeated(x: jax.Array, heads: int) -> jax.Array:
    if heads % x.shape[-3]:
        raise RuntimeError(f"Number of heads in key and value ({x.shape[-3]}) must divide that of query ({heads})")
    return jnp.repeat(x, heads // x.shape[-3], -3)


@operator(methods=False, public=(), grad=_attention_name)
def _attention(
    query: Array,
    key: Array,
    value: Array,
    attn_mask: Array | None,
    random: Array | None,
    dropout_p: Scalar,
    is_causal: bool,
    scale: float | None,
    enable_gqa: bool,
) -> Array:
    _check(query, key, value, attn_mask, is_causal)
    if enable_gqa:
        key, value = _repeated(key, query.shape[-3]), _repeated(value, query.shape[-3])
    if query.shape[-1] != key.shape[-1] or key.shape[-2] != value.shape[-2]:
        raise RuntimeError(
            f"scaled_dot_product_attention: query {list(query.shape)}, key {list(key.shape)} and value "
            f"{list(value.shape)} do not fit: query and key need the same last size, key and value the same second last"
        )
    jnp.broadcast_shapes(query.shape[:-2], key.shape[:-2], value.shape[:-2])
    q, k, v = wide(query), wide(key), wide(value)
    scores = times(q, jnp.swapaxes(k, -1, -2))
    scores = scores * (1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    if is_causal:
        attn_mask = jnp.tril(jnp.ones(scores.shape[-2:], jnp.bool_))
    if attn_mask is not None:
        added = jnp.where(attn_mask, 0.0, -jnp.inf) if attn_mask.dtype == jnp.bool_ else attn_mask
        scores = scores + added.astype(scores.dtype)
    # a query that may look at nothing has the result 0, not nan
    blind = jnp.all(jnp.isneginf(scores), -1, keepdims=True)
    weights = jnp.where(blind, 0.0, jax.nn.softmax(jnp.where(blind, 0.0, scores), -1))
    if random is not None:
        weights = dropped(weights, random, dropout_p, weights.shape, False)
    return times(weights, v).astype(query.dtype)


@composite(methods=False, public=("nn.functional",))
def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """Each query's mean of the values, weighted by the softmax of its products with the keys (Vaswani et al., 2017).

    Shapes: query `(..., L, E)`, key `(..., S, E)`, value `(..., S, V)`; the result is `(..., L, V)`. `attn_mask`,
    broadcast to `(..., L, S)`, is added to the products, or says where to look if it is bool; `is_causal` looks at the
    places up to a query's own. `scale` is `1 / sqrt(E)` by default. With `enable_gqa` several heads of queries
    (dimension -3) share one of keys and values.
    """
    if not 0.0 <= dropout_p <= 1.0:
        raise RuntimeError(f"dropout probability has to be between 0 and 1, but got {dropout_p}")
    random = next_key() if dropout_p else None
    return _attention(query, key, value, attn_mask, random, float(dropout_p), bool(is_causal), scale, bool(enable_gqa))
