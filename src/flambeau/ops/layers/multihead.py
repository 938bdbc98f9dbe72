"""Attention with several heads, from the projections of its inputs to that of its output (Vaswani et al., 2017)."""

from __future__ import annotations

import math
from typing import Any

from ...core.array import dtypes
from ...core.context.telling import warn
from ...core.dispatch.operator import composite
from ...core.tensor.tensor import Tensor
from ..linalg.products import baddbmm, bmm
from ..making.creation import zeros
from ..shape.joining import cat
from .activation import softmax
from .attention import scaled_dot_product_attention
from .dropout import dropout
from .linear import linear
from .padding import pad


def _expect(condition: bool, text: str) -> None:
    if not condition:
        raise AssertionError(text)


def _is_batched(query: Any, key: Any, value: Any, key_padding_mask: Any, attn_mask: Any, heads: int) -> bool:
    """Whether there is a dimension of samples; AssertionError if the arguments do not agree on it."""
    dims = query.dim()
    if dims not in (2, 3):
        raise AssertionError(f"query should be unbatched 2D or batched 3D tensor but received {dims}-D query tensor")
    kind = f"For {'batched (3-D)' if dims == 3 else 'unbatched (2-D)'} `query`, expected"
    _expect(
        key.dim() == dims and value.dim() == dims,
        f"{kind} `key` and `value` to be {dims}-D but found {key.dim()}-D and {value.dim()}-D tensors respectively",
    )
    if key_padding_mask is not None:
        _expect(
            key_padding_mask.dim() == dims - 1,
            f"{kind} `key_padding_mask` to be `None` or {dims - 1}-D but found {key_padding_mask.dim()}-D tensor instead",
        )
    if attn_mask is not None:
        _expect(
            attn_mask.dim() in (2, 3),
            f"{kind} `attn_mask` to be `None`, 2-D or 3-D but found {attn_mask.dim()}-D tensor instead",
        )
        if dims == 2 and attn_mask.dim() == 3:
            wanted = (heads, query.shape[0], key.shape[0])
            _expect(
                tuple(attn_mask.shape) == wanted,
                f"Expected `attn_mask` shape to be {wanted} but got {attn_mask.shape}",
            )
    return dims == 3


def added_mask(mask: Any, name: str, dtype: Any, other: Any = None, other_name: str = "") -> Any:
    """A mask as numbers to add: minus infinity where a bool one is true. Warns if the mask beside it is of another kind."""
    if mask is None:
        return None
    if not isinstance(mask, Tensor):
        raise TypeError(
            f"is_floating_point(): argument 'input' (position 1) must be Tensor, not {type(mask).__name__} ({name})"
        )
    if not mask.is_floating_point() and mask.dtype is not dtypes.bool:
        raise AssertionError(f"only bool and floating types of {name} are supported")
    if other is not None and mask.dtype is not other.dtype:
        warn(f"Support for mismatched {name} and {other_name} is deprecated. Use same type for both instead.")
    if mask.is_floating_point():
        return mask
    return zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(mask, -math.inf)


def _projected(
    query: Any, key: Any, value: Any, weight: Any, bias: Any, separate: tuple[Any, Any, Any] | None
) -> tuple[Any, Any, Any]:
    """Queries, keys and values through their projections, by one product where they come of the same tensor."""
    width = query.size(-1)
    if separate is not None:
        return _projected_apart((query, key, value), separate, bias, width)
    if key is value and query is key:
        return linear(query, weight, bias).chunk(3, -1)
    if key is value:
        first, others = weight.split([width, 2 * width])
        start, rest = (None, None) if bias is None else bias.split([width, 2 * width])
        return linear(query, first, start), *linear(key, others, rest).chunk(2, -1)
    biases = (None,) * 3 if bias is None else bias.chunk(3)
    q, k, v = (linear(*each) for each in zip((query, key, value), weight.chunk(3), biases, strict=True))
    return q, k, v


def _projected_apart(inputs: tuple[Any, ...], weights: tuple[Any, ...], bias: Any, width: int) -> tuple[Any, Any, Any]:
    names = ("query", "key", "value")
    biases = (None,) * 3 if bias is None else bias.chunk(3)
    for name, x, w in zip(names, inputs, weights, strict=True):
        shape = (width, x.size(-1))
        _expect(tuple(w.shape) == shape, f"expecting {name} weights shape of {shape}, but got {w.shape}")
    for name, b in zip(names, biases, strict=True):
        own = () if b is None else b.shape
        _expect(b is None or own == (width,), f"expecting {name} bias shape of {(width,)}, but got {own}")
    q, k, v = (linear(x, w, b) for x, w, b in zip(inputs, weights, biases, strict=True))
    return q, k, v


def _separate(q: Any, k: Any, v: Any) -> tuple[Any, Any, Any]:
    for letter, weight in zip("qkv", (q, k, v), strict=True):
        name = f"{letter}_proj_weight"
        _expect(weight is not None, f"use_separate_proj_weight is True but {name} is None")
    return q, k, v


def _per_head(x: Any, static: Any, name: str, samples: int, heads: int, width: int) -> Any:
    """`(S, N, E)` as `(N * heads, S, E / heads)`, unless it is given so."""
    if static is None:
        return x.reshape(x.shape[0], samples * heads, width).transpose(0, 1)
    for dim, wanted in ((0, samples * heads), (2, width)):
        got = static.size(dim)
        _expect(got == wanted, f"expecting {name}.size({dim}) of {wanted}, but got {got}")
    return static


def _check_inputs(query: Any, key: Any, value: Any, width: int, heads: int, apart: bool) -> int:
    """The width of a head; AssertionError for inputs that do not go together."""
    got = query.shape[-1]
    _expect(got == width, f"was expecting embedding dimension of {width}, but got {got}")
    head = width.div(heads, rounding_mode="trunc") if isinstance(width, Tensor) else width // heads
    _expect(head * heads == width, f"embed_dim {width} not divisible by num_heads {heads}")
    if apart:
        k, v = key.shape[:2], value.shape[:2]
        _expect(k == v, f"key's sequence and batch dims {k} do not match value's {v}")
    else:
        k, v = key.shape, value.shape
        _expect(k == v, f"key shape {k} does not match value shape {v}")
    return int(head)


def _whole_mask(mask: Any, length: int, places: int, samples: int, heads: int) -> Any:
    """An attention mask of three dimensions; RuntimeError if it has another shape."""
    shape = (length, places) if mask.dim() == 2 else (samples * heads, length, places)
    if tuple(mask.shape) != shape:
        raise RuntimeError(f"The shape of the {mask.dim()}D attn_mask is {mask.shape}, but should be {shape}.")
    return mask.unsqueeze(0) if mask.dim() == 2 else mask


def _joined_mask(attn_mask: Any, padding: Any, samples: int, places: int, heads: int) -> Any:
    """Both masks as one for each head."""
    if padding is None:
        return attn_mask
    if tuple(padding.shape) != (samples, places):
        dim = int(padding.shape[0] == samples)
        wanted = (samples, places)[dim]
        raise AssertionError(f"Expected key_padded_mask.shape[{dim}] to be {wanted}, but got {padding.shape[dim]}")
    spread = padding.view(samples, 1, 1, places).expand(-1, heads, -1, -1).reshape(samples * heads, 1, places)
    return spread if attn_mask is None else attn_mask + spread


def _longer(k: Any, v: Any, masks: list[Any], more_k: Any, more_v: Any, dim: int) -> tuple[Any, Any, list[Any]]:
    """One more place among keys and values, at which everybody may look."""
    return cat([k, more_k], dim), cat([v, more_v], dim), [None if m is None else pad(m, (0, 1)) for m in masks]


def _with_biases(
    k: Any, v: Any, masks: list[Any], bias_k: Any, bias_v: Any, static_k: Any, static_v: Any
) -> tuple[Any, Any, list[Any]]:
    """Keys and values with one more place, if there are biases for it."""
    if bias_k is None or bias_v is None:
        _expect(bias_k is None, "bias_k is set but bias_v is None")
        _expect(bias_v is None, "bias_v is set but bias_k is None")
        return k, v, masks
    _expect(static_k is None, "bias cannot be added to static key.")
    _expect(static_v is None, "bias cannot be added to static value.")
    samples = k.shape[1]
    return _longer(k, v, masks, bias_k.repeat(1, samples, 1), bias_v.repeat(1, samples, 1), 0)


def _check_causal(is_causal: bool, attn_mask: Any) -> None:
    if is_causal and attn_mask is None:
        raise RuntimeError(
            "Need attn_mask if specifying the is_causal hint. You may use the Transformer module method "
            "`generate_square_subsequent_mask` to create this mask."
        )


def _as_batch_of_one(query: Any, key: Any, value: Any) -> tuple[Any, Any, Any]:
    """With a dimension of samples; what is one tensor stays one, since it is projected by one product."""
    same_q, same_v = query is key, value is key
    key = key.unsqueeze(1)
    return key if same_q else query.unsqueeze(1), key, key if same_v else value.unsqueeze(1)


@composite(methods=False, public=("nn.functional",))
def multi_head_attention_forward(
    query: Any, key: Any, value: Any, embed_dim_to_check: int, num_heads: int, in_proj_weight: Any, in_proj_bias: Any,
    bias_k: Any, bias_v: Any, add_zero_attn: bool, dropout_p: float, out_proj_weight: Any, out_proj_bias: Any,
    training: bool = True, key_padding_mask: Any = None, need_weights: bool = True, attn_mask: Any = None,
    use_separate_proj_weight: bool = False, q_proj_weight: Any = None, k_proj_weight: Any = None,
    v_proj_weight: Any = None, static_k: Any = None, static_v: Any = None, average_attn_weights: bool = True,
    is_causal: bool = False,
) -> Any:  # fmt: skip
    """The attention of several heads and its weights (None unless they are needed), by the given projections.

    Shapes: query `(L, E)` or `(L, N, E)`, key and value `(S, E)` or `(S, N, E)` (with separate projections of other last
    sizes, too); the result is like the query, the weights are `(N, L, S)`, or `(N, heads, L, S)` if not averaged.
    `key_padding_mask` `(N, S)` and `attn_mask` `(L, S)` or `(N * heads, L, S)` are added to the scores, or say where not
    to look if they are bool. `bias_k`, `bias_v` and `add_zero_attn` add places to look at. `static_k` and `static_v`,
    `(N * heads, S, E / heads)`, stand for projected keys and values. `is_causal` says that `attn_mask` is the causal
    mask, so that without weights it is not read.

    AssertionError and RuntimeError for shapes that do not go together, for masks of whole numbers, and for `is_causal`
    without `attn_mask`.
    """
    batched = _is_batched(query, key, value, key_padding_mask, attn_mask, num_heads)
    if not batched:
        query, key, value = _as_batch_of_one(query, key, value)
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    length, samples, width = query.shape
    padding = added_mask(key_padding_mask, "key_padding_mask", query.dtype, attn_mask, "attn_mask")
    _check_causal(is_causal, attn_mask)
    implied = is_causal and padding is None and not need_weights  # the mask need not be read
    attn_mask = None if implied else added_mask(attn_mask, "attn_mask", query.dtype)
    head = _check_inputs(query, key, value, embed_dim_to_check, num_heads, use_separate_proj_weight)
    separate = None
    if use_separate_proj_weight:
        separate = _separate(q_proj_weight, k_proj_weight, v_proj_weight)
    else:
        _expect(in_proj_weight is not None, "use_separate_proj_weight is False but in_proj_weight is None")
    q, k, v = _projected(query, key, value, in_proj_weight, in_proj_bias, separate)
    if attn_mask is not None:
        attn_mask = _whole_mask(attn_mask, length, key.shape[0], samples, num_heads)
    k, v, masks = _with_biases(k, v, [attn_mask, padding], bias_k, bias_v, static_k, static_v)
    q = _per_head(q, None, "", samples, num_heads, head)
    k = _per_head(k, static_k, "static_k", samples, num_heads, head)
    v = _per_head(v, static_v, "static_v", samples, num_heads, head)
    if add_zero_attn:
        nothing = zeros((samples * num_heads, 1, head), dtype=k.dtype, device=k.device)
        k, v, masks = _longer(k, v, masks, nothing, nothing, 1)
    mask = _joined_mask(*masks, samples, k.size(1), num_heads)  # type: ignore[call-arg]
    attend = _with_weights if need_weights else _without_weights
    out, weights = attend(q, k, v, mask, dropout_p if training else 0.0, implied, (samples, num_heads))
    out = linear(out.reshape(length * samples, width), out_proj_weight, out_proj_bias)
    out = out.view(length, samples, out.size(1))
    if weights is not None and average_attn_weights:
        weights = weights.mean(1)
    if not batched:
        return out.squeeze(1), None if weights is None else weights.squeeze(0)
    return out, weights


def _with_weights(
    q: Any, k: Any, v: Any, mask: Any, p: float, implied: bool, split: tuple[int, int]
) -> tuple[Any, Any]:
    """The result as `(L, N * heads, E / heads)`, and the weights `(N, heads, L, S)`. Rows without a place give nan."""
    q = q * math.sqrt(1.0 / q.shape[-1])
    scores = bmm(q, k.transpose(-2, -1)) if mask is None else baddbmm(mask, q, k.transpose(-2, -1))
    weights = softmax(scores, -1)
    if p > 0.0:
        weights = dropout(weights, p)
    return bmm(weights, v).transpose(0, 1), weights.unflatten(0, split)


def _without_weights(
    q: Any, k: Any, v: Any, mask: Any, p: float, implied: bool, split: tuple[int, int]
) -> tuple[Any, Any]:
    q, k, v = (x.unflatten(0, split) for x in (q, k, v))
    if mask is not None:
        mask = mask.unsqueeze(0) if mask.size(0) == 1 else mask.unflatten(0, split)
    out = scaled_dot_product_attention(q, k, v, mask, p, implied)
    return out.flatten(0, 1).transpose(0, 1), None
