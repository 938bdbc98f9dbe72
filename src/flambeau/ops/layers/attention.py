"""Attention: `softmax(query @ key.T) @ value`.

Scores, weights and sums of half precision inputs are computed in float32. The scores of a large product are made for
some rows of queries at a time, in the backward pass anew, so that they never exist as a whole.
"""

from __future__ import annotations

import math
import numbers
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ...core.array import dtypes
from ...core.array.size import out_of_range
from ...core.dispatch.errors import broadcast_clash as _broadcast_clash
from ...core.dispatch.operator import Array, Scalar, composite, operator
from ...core.dispatch.signature import not_a_tensor
from ...core.tensor.tensor import Tensor
from ..linalg.products import times
from ..support.checks import scalar_name, type_name, wide
from .dropout import dropout

LEAST, BATCHES = 2, "two"  # in texts of errors
BLOCK = 2**22  # scores that may exist at once


def _attention_name(arrays: list[Any]) -> str:
    whole = arrays[0].ndim == 4 and arrays[0].shape[-3] == arrays[1].shape[-3]
    return "ScaledDotProductFlashAttentionForCpuBackward0" if whole else "UnsafeViewBackward0"


# ---------------------------------------------------------------- what goes together


def _check(query: jax.Array, key: jax.Array, value: jax.Array, mask: jax.Array | None) -> None:
    three = (query, key, value)
    if min(x.ndim for x in three) < 2:
        raise RuntimeError(
            f"Expected query, key, and value to all be  at least {LEAST} dimensional, but got query.dim: "
            f"{query.ndim} key.dim: {key.ndim} and value.dim: {value.ndim} instead."
        )
    if len({x.dtype for x in three}) > 1:
        names = [scalar_name(x) for x in three]
        raise RuntimeError(
            "Expected query, key, and value to have the same dtype, but got query.dtype: "
            f"{names[0]} key.dtype: {names[1]} and value.dtype: {names[2]} instead."
        )
    kind = dtypes.from_numpy(query.dtype).category
    if kind == dtypes.COMPLEX:
        raise NotImplementedError(f"\"softmax_lastdim_kernel_impl\" not implemented for '{type_name(query)}'")
    if kind < dtypes.FLOAT:
        raise RuntimeError(
            f"expected scalar type Float but found {type_name(query)} (scaled_dot_product_attention: query, key and "
            "value have to be floating point tensors)"
        )
    if mask is not None and mask.dtype not in (jnp.bool_, jnp.float32, query.dtype):
        raise RuntimeError(
            f"Expected attn_mask dtype to be bool or float or to match query dtype, but got attn_mask.dtype: "
            f"{scalar_name(mask)} and  query.dtype: {scalar_name(query)} instead."
        )


def _check_sizes(query: jax.Array, key: jax.Array, value: jax.Array) -> None:
    clash = _broadcast_clash([x.shape[:-2] for x in (query, key, value)])
    if clash:
        raise RuntimeError(clash)
    if query.shape[-1] != key.shape[-1]:
        if query.ndim == key.ndim == 2:
            first, second = f"{query.shape[0]}x{query.shape[1]}", f"{key.shape[1]}x{key.shape[0]}"
            raise RuntimeError(
                f"mat1 and mat2 shapes cannot be multiplied ({first} and {second}) (query and key need the same last size)"
            )
        raise _batch2(query, (query.shape[-1], key.shape[-1]), "query and key need the same last size")
    if key.shape[-2] != value.shape[-2]:
        raise _batch2(query, (key.shape[-2], value.shape[-2]), "key and value need the same number of places")


def _batch2(query: jax.Array, sizes: tuple[int, int], what: str) -> RuntimeError:
    count = math.prod(query.shape[:-2])
    return RuntimeError(
        f"Expected size for first {BATCHES} dimensions of batch2 tensor to be: [{count}, {sizes[0]}] but got: "
        f"[{count}, {sizes[1]}]. ({what})"
    )


def _check_mask(mask: jax.Array, shape: tuple[int, ...]) -> None:
    clash = _broadcast_clash([shape, mask.shape])
    if clash:
        raise RuntimeError(clash)
    whole = jnp.broadcast_shapes(shape, mask.shape)
    if whole != shape:
        raise RuntimeError(
            f"output with shape {list(shape)} doesn't match the broadcast shape {list(whole)} "
            "(attn_mask has more dimensions, or larger ones, than the scores)"
        )


def _repeated(x: jax.Array, heads: int) -> jax.Array:
    if heads % x.shape[-3]:
        raise RuntimeError(
            f"Number of heads in key and value must divide the number of heads in query, but there are "
            f"{x.shape[-3]} and {heads}"
        )
    return jnp.repeat(x, heads // x.shape[-3], -3)


def _grouped(query: jax.Array, key: jax.Array, value: jax.Array) -> tuple[jax.Array, jax.Array]:
    if min(x.ndim for x in (query, key, value)) < 3:
        raise out_of_range(-3, 2)
    return _repeated(key, query.shape[-3]), _repeated(value, query.shape[-3])


# ---------------------------------------------------------------- weights and values


def _weights(q: jax.Array, k: jax.Array, mask: jax.Array | None, is_causal: bool, first: Any = 0) -> jax.Array:
    """The weights of scaled queries, the first of which stands at place `first`."""
    scores = times(q, jnp.swapaxes(k, -1, -2))
    if mask is not None:
        added = jnp.where(mask, 0.0, -jnp.inf) if mask.dtype == jnp.bool_ else mask
        scores = scores + added.astype(scores.dtype)
    if is_causal:
        seen = first + jnp.arange(q.shape[-2])[:, None] >= jnp.arange(k.shape[-2])
        scores = jnp.where(seen, scores, -jnp.inf)
    # a query that may look at nothing has the result 0, not nan
    blind = jnp.all(jnp.isneginf(scores), -1, keepdims=True)
    return jnp.where(blind, 0.0, jax.nn.softmax(jnp.where(blind, 0.0, scores), -1))


def _scaled(query: jax.Array, scale: jax.Array | None) -> jax.Array:
    q = wide(query)
    return q * (1 / math.sqrt(q.shape[-1] or 1) if scale is None else scale.astype(q.dtype))


def _rowwise(q: jax.Array, k: jax.Array, v: jax.Array, mask: jax.Array | None, is_causal: bool) -> jax.Array:
    """The result, from as many rows of queries at a time as `BLOCK` allows."""
    length = q.shape[-2]
    row = math.prod(jnp.broadcast_shapes(q.shape[:-2], k.shape[:-2])) * k.shape[-2]
    if row * length <= BLOCK:
        return times(_weights(q, k, mask, is_causal), v)
    rows = max(BLOCK // row, 1)
    count = -(-length // rows)

    def padded(x: jax.Array) -> jax.Array:
        return jnp.pad(x, [(0, 0)] * (x.ndim - 2) + [(0, count * rows - length), (0, 0)])

    per_row = mask is not None and mask.ndim > 1 and mask.shape[-2] > 1
    whole_q, whole_mask = padded(q), padded(mask) if per_row and mask is not None else mask

    @jax.checkpoint
    def block(number: jax.Array) -> jax.Array:
        first = number * rows
        part = whole_mask
        if per_row and whole_mask is not None:
            part = lax.dynamic_slice_in_dim(whole_mask, first, rows, whole_mask.ndim - 2)
        some = lax.dynamic_slice_in_dim(whole_q, first, rows, whole_q.ndim - 2)
        return times(_weights(some, k, part, is_causal, first), v)

    made = jnp.moveaxis(lax.map(block, jnp.arange(count)), 0, -3)
    return made.reshape(*made.shape[:-3], count * rows, made.shape[-1])[..., :length, :]


@operator(methods=False, public=(), grad=_attention_name)
def _attention(
    query: Array, key: Array, value: Array, attn_mask: Array | None, is_causal: bool, scale: Scalar | None,
    enable_gqa: bool,
) -> Array:  # fmt: skip
    key, value = _fitted(query, key, value, attn_mask, enable_gqa)
    return _rowwise(_scaled(query, scale), wide(key), wide(value), attn_mask, is_causal).astype(query.dtype)  # type: ignore[arg-type]


def _fitted(
    query: jax.Array, key: jax.Array, value: jax.Array, mask: jax.Array | None, enable_gqa: bool
) -> tuple[jax.Array, jax.Array]:
    """Key and value with a head for each of the query's; everything is known to go together."""
    _check(query, key, value, mask)
    if enable_gqa:
        key, value = _grouped(query, key, value)
    _check_sizes(query, key, value)
    if mask is not None:
        batch = jnp.broadcast_shapes(query.shape[:-2], key.shape[:-2])
        _check_mask(mask, (*batch, query.shape[-2], key.shape[-2]))
    return key, value


@operator(methods=False, public=())
def _attention_weights(
    query: Array, key: Array, value: Array, attn_mask: Array | None, is_causal: bool, scale: Scalar | None,
    enable_gqa: bool,
) -> Array:  # fmt: skip
    """The weights, for dropout; in float32 for half precision inputs."""
    key, value = _fitted(query, key, value, attn_mask, enable_gqa)
    return _weights(_scaled(query, scale), wide(key), attn_mask, is_causal)  # type: ignore[arg-type]


@operator(methods=False, public=(), grad="UnsafeViewBackward0")
def _weighted(weights: Array, value: Array, enable_gqa: bool) -> Array:
    v = _repeated(value, weights.shape[-3]) if enable_gqa else value
    return times(weights, wide(v)).astype(value.dtype)


# ---------------------------------------------------------------- the public function


def _check_kinds(tensors: dict[str, Any], mask: Any, p: Any, scale: Any, **switches: Any) -> None:
    name = "scaled_dot_product_attention"
    for position, (argument, given) in enumerate({**tensors, "attn_mask": mask}.items(), 1):
        if not isinstance(given, Tensor) and not (given is None and argument == "attn_mask"):
            raise not_a_tensor(name, argument, position, given)
    for argument, given in switches.items():
        if not isinstance(given, bool):
            raise TypeError(f"{name}(): argument '{argument}' must be bool, not {type(given).__name__}")
    for argument, given in (("dropout_p", p), ("scale", scale)):
        if isinstance(given, (numbers.Number, Tensor)) or (given is None and argument == "scale"):
            continue
        raise TypeError(f"{name}(): argument '{argument}' must be float, not {type(given).__name__}")


def _takes_both(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, p: float) -> bool:
    """Whether PyTorch takes a mask with `is_causal`: its flash kernel for the CPU does."""
    four = query.ndim == key.ndim == value.ndim == 4
    return four and p == 0 and mask.ndim in (2, 4) and not mask.requires_grad and query.shape[-1] == value.shape[-1]


@composite(methods=False, public=("nn.functional",), numbers=True, autocast="lower", in_python=False)
def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """Each query's mean of the values, weighted by the softmax of its products with the keys (Vaswani et al., 2017).

    Shapes: query `(..., L, E)`, key `(..., S, E)`, value `(..., S, V)`; the result is `(..., L, V)`. `attn_mask`,
    broadcast to `(..., L, S)`, is added to the products, or says where to look if it is bool; `is_causal` looks at the
    places up to a query's own. A query that may look nowhere gives zeros. `scale` is `1 / sqrt(E)` by default. With
    `enable_gqa` several heads of queries (dimension -3) share one of keys and values.

    RuntimeError for shapes and dtypes that do not go together, and for a mask beside `is_causal` where PyTorch refuses
    it (it takes both with four dimensions, a mask without gradient, values as wide as the queries, and no dropout).
    """
    tensors = {"query": query, "key": key, "value": value}
    _check_kinds(tensors, attn_mask, dropout_p, scale, is_causal=is_causal, enable_gqa=enable_gqa)
    if not 0.0 <= dropout_p <= 1.0:
        raise RuntimeError(f"dropout probability has to be between 0 and 1, but got {dropout_p:g}")
    if is_causal and attn_mask is not None and not _takes_both(query, key, value, attn_mask, dropout_p):
        raise RuntimeError("_scaled_dot_product_attention: Explicit attn_mask should not be set when is_causal=True")
    if dropout_p == 0:
        return _attention(query, key, value, attn_mask, is_causal, scale, enable_gqa)
    weights = _attention_weights(query, key, value, attn_mask, is_causal, scale, enable_gqa)
    return _weighted(dropout(weights, dropout_p), value, enable_gqa)
