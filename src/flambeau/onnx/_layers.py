"""Convolutions, pools, normalizations, attention and recurrent layers in ONNX's operators."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ._graph import Builder, Unsupported, Value, np_name
from ._pointwise import HANDLERS, handles, linear


def _each(value: Any, n: int) -> list[int]:
    return [value] * n if isinstance(value, int) else list(value) * (n if len(value) == 1 else 1)


def _batched(b: Builder, input: Value, spatial: int) -> tuple[str, bool]:
    """The input with a batch dimension, and whether it was given one."""
    if input.ndim == spatial + 2:
        return input.name, False
    return b.node("Unsqueeze", [input.name, b.constant([0])]), True


def _unbatched(b: Builder, name: str, added: bool) -> str:
    return b.node("Squeeze", [name, b.constant([0])]) if added else name


@handles("conv1d", "conv2d", "conv3d")
def conv(
    b: Builder, out: Any, input: Value, weight: Value, bias: Value | None = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, groups: int = 1,
) -> Any:  # fmt: skip
    n = weight.ndim - 2
    x, added = _batched(b, input, n)
    dilations = _each(dilation, n)
    if padding == "valid":
        padding = 0
    if padding == "same":
        total = [d * (k - 1) for d, k in zip(dilations, (b.fixed(weight, 2 + i) for i in range(n)), strict=True)]
        pads = [v // 2 for v in total] + [v - v // 2 for v in total]
    else:
        pads = _each(padding, n) * 2
    inputs = [x, weight.name, None if bias is None else bias.name]
    made = b.node("Conv", inputs, strides=_each(stride, n), pads=pads, dilations=dilations, group=groups)
    return _unbatched(b, made, added)


@handles("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def conv_transpose(
    b: Builder, out: Any, input: Value, weight: Value, bias: Value | None = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Any:  # fmt: skip
    n = weight.ndim - 2
    x, added = _batched(b, input, n)
    how: dict[str, Any] = {
        "strides": _each(stride, n),
        "pads": _each(padding, n) * 2,
        "dilations": _each(dilation, n),
        "group": groups,
    }
    inputs = [x, weight.name, None if bias is None else bias.name]
    made = b.node("ConvTranspose", inputs, output_padding=_each(output_padding, n), **how)
    return _unbatched(b, made, added)


def _pool(n: int, kind: str, input: Value, kernel_size: Any, stride: Any, padding: Any, b: Builder, **how: Any) -> Any:
    x, added = _batched(b, input, n)
    steps = _each(kernel_size if stride in (None, ()) else stride, n)
    made = b.node(kind, [x], kernel_shape=_each(kernel_size, n), strides=steps, pads=_each(padding, n) * 2, **how)
    return _unbatched(b, made, added)


def _max_pool(n: int) -> Any:
    def handler(
        b: Builder, out: Any, input: Value, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
        ceil_mode: bool = False, return_indices: bool = False,
    ) -> Any:  # fmt: skip
        how = {"dilations": _each(dilation, n), "ceil_mode": int(ceil_mode)}
        if not return_indices:
            return _pool(n, "MaxPool", input, kernel_size, stride, padding, b, **how)
        x, added = _batched(b, input, n)
        how["strides"] = _each(kernel_size if stride in (None, ()) else stride, n)
        pads = _each(padding, n) * 2
        made, places = b.node("MaxPool", [x], 2, kernel_shape=_each(kernel_size, n), pads=pads, **how)
        plane = b.node("Slice", [b.node("Shape", [x]), b.constant([2]), b.constant([2 + n])])
        within = b.node("Mod", [places, b.node("ReduceProd", [plane], keepdims=0)])  # ONNX counts through the batch
        return [_unbatched(b, name, added) for name in (made, within)]

    return handler


def _avg_pool(n: int) -> Any:
    def handler(
        b: Builder, out: Any, input: Value, kernel_size: Any, stride: Any = None, padding: Any = 0,
        ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: int | None = None,
    ) -> Any:  # fmt: skip
        if divisor_override is not None or (ceil_mode and count_include_pad):
            raise Unsupported("divisor_override, or ceil_mode with count_include_pad")
        how = {"ceil_mode": int(ceil_mode), "count_include_pad": int(count_include_pad)}
        return _pool(n, "AveragePool", input, kernel_size, stride, padding, b, **how)

    return handler


def _adaptive_pool(n: int, kind: str) -> Any:
    def handler(b: Builder, out: Any, input: Value, output_size: Any, return_indices: bool = False) -> Any:
        if return_indices:
            raise Unsupported("return_indices=True")
        sizes = input.shape[-n:]
        wanted = [s if w is None else w for w, s in zip(_each(output_size, n), sizes, strict=True)]
        x, added = _batched(b, input, n)
        if all(w == 1 for w in wanted):
            made = b.node(f"Global{kind}", [x])
        elif any((input.name, d) in b.moving for d in range(input.ndim - n, input.ndim)):
            raise Unsupported("an input whose size may change")
        elif any(s % w for w, s in zip(wanted, sizes, strict=True)):
            made = _windows(b, kind, x, sizes, wanted)
        else:
            kernel = [s // w for w, s in zip(wanted, sizes, strict=True)]
            made = b.node(kind, [x], kernel_shape=kernel, strides=kernel)
        return _unbatched(b, made, added)

    return handler


def _windows(b: Builder, kind: str, name: str, sizes: Sequence[int], wanted: Sequence[int]) -> str:
    """Windows that overlap, one dimension after the other."""
    reduction = "ReduceMax" if kind == "MaxPool" else "ReduceMean"
    for d, (size, number) in enumerate(zip(sizes, wanted, strict=True), 2):
        bounds = [(i * size // number, -(-(i + 1) * size // number)) for i in range(number)]
        parts = [b.node("Slice", [name, b.constant([i]), b.constant([j]), b.constant([d])]) for i, j in bounds]
        name = b.node("Concat", [b.reduce(reduction, part, [d], True) for part in parts], axis=d)
    return name


@handles("local_response_norm")
def local_response_norm(
    b: Builder, out: Any, input: Value, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Any:
    if size % 2 == 0:
        raise Unsupported("an even size")
    return b.node("LRN", [input.name], size=size, alpha=float(alpha), beta=float(beta), bias=float(k))


@handles("fold")
def fold(
    b: Builder,
    out: Any,
    input: Value,
    output_size: Any,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
) -> Any:
    if b.opset < 18:
        raise Unsupported("below opset 18")
    x = input.name if input.ndim == 3 else b.node("Unsqueeze", [input.name, b.constant([0])])
    how: dict[str, Any] = {"dilations": _each(dilation, 2), "pads": _each(padding, 2) * 2, "strides": _each(stride, 2)}
    sizes = [b.shape(_sizes(value)) for value in (output_size, kernel_size)]
    return _unbatched(b, b.node("Col2Im", [x, *sizes], **how), input.ndim == 2)


def _sizes(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (tuple, list)) else [value] * 2


for _n in (1, 2, 3):
    HANDLERS[f"max_pool{_n}d"] = _max_pool(_n)
    HANDLERS[f"avg_pool{_n}d"] = _avg_pool(_n)
    HANDLERS[f"adaptive_avg_pool{_n}d"] = _adaptive_pool(_n, "AveragePool")
    HANDLERS[f"adaptive_max_pool{_n}d"] = _adaptive_pool(_n, "MaxPool")


# --- normalizations --------------------------------------------------------------------------------------------------


@handles("batch_norm")
def batch_norm(
    b: Builder,
    out: Any,
    input: Value,
    running_mean: Value | None,
    running_var: Value | None,
    weight: Value | None = None,
    bias: Value | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    if training or running_mean is None or running_var is None:
        raise Unsupported("in training mode: call model.eval() first")
    count, kind = b.fixed(running_mean, 0), input.dtype
    gain = weight.name if weight is not None else b.constant(np.ones(count), np_name(kind))
    shift = bias.name if bias is not None else b.constant(np.zeros(count), np_name(kind))
    return b.node(
        "BatchNormalization", [input.name, gain, shift, running_mean.name, running_var.name], epsilon=float(eps)
    )


@handles("layer_norm")
def layer_norm(
    b: Builder,
    out: Any,
    input: Value,
    normalized_shape: Sequence[int],
    weight: Value | None = None,
    bias: Value | None = None,
    eps: float = 1e-5,
) -> Any:
    n = len(normalized_shape)
    axes = list(range(input.ndim - n, input.ndim))
    centered = b.node("Sub", [input.name, b.reduce("ReduceMean", input.name, axes, True)])
    variance = b.reduce("ReduceMean", b.node("Mul", [centered, centered]), axes, True)
    made = b.node("Div", [centered, b.node("Sqrt", [b.node("Add", [variance, b.scalar(eps, out.dtype)])])])
    return _affine(b, made, weight, bias)


def _affine(b: Builder, name: str, weight: Value | None, bias: Value | None) -> str:
    if weight is not None:
        name = b.node("Mul", [name, weight.name])
    return name if bias is None else b.node("Add", [name, bias.name])


@handles("rms_norm")
def rms_norm(
    b: Builder,
    out: Any,
    input: Value,
    normalized_shape: Sequence[int],
    weight: Value | None = None,
    eps: float | None = None,
) -> Any:
    axes = list(range(input.ndim - len(normalized_shape), input.ndim))
    least = eps if eps is not None else float(np.finfo(np_name(input.dtype)).eps)
    square = b.reduce("ReduceMean", b.node("Mul", [input.name, input.name]), axes, True)
    made = b.node("Div", [input.name, b.node("Sqrt", [b.node("Add", [square, b.scalar(least, out.dtype)])])])
    return _affine(b, made, weight, None)


@handles("group_norm")
def group_norm(
    b: Builder,
    out: Any,
    input: Value,
    num_groups: int,
    weight: Value | None = None,
    bias: Value | None = None,
    eps: float = 1e-5,
) -> Any:
    kind = np_name(input.dtype)
    gain, shift = b.constant(np.ones(num_groups), kind), b.constant(np.zeros(num_groups), kind)
    flat = b.reshape(input.name, [0, num_groups, -1])
    made = b.node("InstanceNormalization", [flat, gain, shift], epsilon=float(eps))
    made = b.node("Reshape", [made, b.node("Shape", [input.name])])
    over = [-1] + [1] * (input.ndim - 2)
    wide = [None if v is None else Value(b.reshape(v.name, over), v.like) for v in (weight, bias)]
    return _affine(b, made, *wide)


@handles("instance_norm")
def instance_norm(
    b: Builder,
    out: Any,
    input: Value,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Value | None = None,
    bias: Value | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    if not use_input_stats:
        return batch_norm(b, out, input, running_mean, running_var, weight, bias, False, momentum, eps)
    kind, count = np_name(input.dtype), b.fixed(input, 1)
    gain = weight.name if weight is not None else b.constant(np.ones(count), kind)
    shift = bias.name if bias is not None else b.constant(np.zeros(count), kind)
    return b.node("InstanceNormalization", [input.name, gain, shift], epsilon=float(eps))


# --- attention -------------------------------------------------------------------------------------------------------


@handles("scaled_dot_product_attention")
def attention(
    b: Builder,
    out: Any,
    query: Value,
    key: Value,
    value: Value,
    attn_mask: Value | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    if dropout_p or enable_gqa:
        raise Unsupported("dropout_p or enable_gqa")
    by = scale if scale is not None else 1 / math.sqrt(b.fixed(query, -1))
    weights = _weights(b, query, key.name, key.ndim, by, attn_mask, _causal(b, query, key) if is_causal else None)
    return b.node("MatMul", [weights, value.name])


def _causal(b: Builder, query: Value, key: Value) -> str:
    """Which keys a query sees: those up to its own position."""
    rows, columns = (
        b.node("Range", [b.constant(0), b.node("Squeeze", [b.size_of(v, -2).name, b.constant([0])]), b.constant(1)])
        for v in (query, key)
    )
    return b.node("GreaterOrEqual", [b.node("Unsqueeze", [rows, b.constant([1])]), columns])


def _weights(b: Builder, query: Value, key: str, ndim: int, by: float, mask: Any, seen: str | None) -> str:
    """The softmax of the scaled products, with a mask (of truth values, or one that is added)."""
    order = [*range(ndim - 2), ndim - 1, ndim - 2]
    kind = query.dtype
    scaled = b.node("Mul", [query.name, b.scalar(by, kind)])
    scores = b.node("MatMul", [scaled, b.transpose(key, order)])
    if mask is not None:
        if np_name(mask.dtype) == "bool":
            scores = b.node("Where", [mask.name, scores, b.scalar(float("-inf"), kind)])
        else:
            scores = b.node("Add", [scores, b.cast(mask, kind)])
    if seen is not None:
        scores = b.node("Where", [seen, scores, b.scalar(float("-inf"), kind)])
    return b.node("Softmax", [scores], axis=-1)


@handles("multi_head_attention_forward")
def multi_head_attention(
    b: Builder,
    out: Any,
    query: Value,
    key: Value,
    value: Value,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Value | None,
    in_proj_bias: Value | None,
    bias_k: Any,
    bias_v: Any,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Value,
    out_proj_bias: Value | None,
    training: bool = True,
    key_padding_mask: Value | None = None,
    need_weights: bool = True,
    attn_mask: Value | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Value | None = None,
    k_proj_weight: Value | None = None,
    v_proj_weight: Value | None = None,
    static_k: Any = None,
    static_v: Any = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> Any:
    if any(v is not None for v in (bias_k, bias_v, static_k, static_v)) or add_zero_attn or query.ndim != 3:
        raise Unsupported("bias_k, bias_v, add_zero_attn, static keys, or an input without batch")
    if training and dropout_p:
        raise Unsupported("in training mode: call model.eval() first")
    width = embed_dim_to_check // num_heads
    if use_separate_proj_weight:
        weights = [w.name for w in (q_proj_weight, k_proj_weight, v_proj_weight) if w is not None]
    else:
        weights = b.node("Split", [in_proj_weight.name, b.constant([embed_dim_to_check] * 3)], 3, axis=0)  # type: ignore[union-attr]
    biases = [None] * 3
    if in_proj_bias is not None:
        biases = b.node("Split", [in_proj_bias.name, b.constant([embed_dim_to_check] * 3)], 3, axis=0)
    heads = []
    for given, weight, bias in zip((query, key, value), weights, biases, strict=True):
        made = b.node("MatMul", [given.name, b.transpose(weight, [1, 0])])
        made = made if bias is None else b.node("Add", [made, bias])
        heads.append(b.transpose(b.reshape(made, [0, 0, num_heads, width]), [1, 2, 0, 3]))  # batch, head, time, width
    mask = _head_masks(b, query, attn_mask, key_padding_mask, num_heads)
    scaled = b.node("Mul", [heads[0], b.scalar(1 / math.sqrt(width), query.dtype)])
    scores = b.node("MatMul", [scaled, b.transpose(heads[1], [0, 1, 3, 2])])
    weights = b.node("Softmax", [scores if mask is None else b.node("Add", [scores, mask])], axis=-1)
    mixed = b.transpose(b.node("MatMul", [weights, heads[2]]), [2, 0, 1, 3])
    joined = Value(b.reshape(mixed, [0, 0, embed_dim_to_check]), query.like)
    result = linear(b, out[0], joined, out_proj_weight, out_proj_bias)
    if not need_weights:
        return result, None
    return result, b.reduce("ReduceMean", weights, [1], False) if average_attn_weights else weights


def _head_masks(b: Builder, query: Value, mask: Value | None, padding: Value | None, heads: int) -> str | None:
    """What is added to the scores of shape (batch, head, query, key)."""
    made = None
    if mask is not None:
        made = _added(b, mask, query)
        if mask.ndim == 3:
            made = b.reshape(made, [-1, heads, b.size_of(mask, 1), b.size_of(mask, 2)])
    if padding is not None:
        unseen = b.node("Unsqueeze", [_added(b, padding, query), b.constant([1, 2])])
        made = unseen if made is None else b.node("Add", [made, unseen])
    return made


def _added(b: Builder, mask: Value, query: Value) -> str:
    if np_name(mask.dtype) != "bool":
        return b.cast(mask, query.dtype)
    return b.node("Where", [mask.name, b.scalar(float("-inf"), query.dtype), b.scalar(0, query.dtype)])


# --- recurrent layers ------------------------------------------------------------------------------------------------

_GATES = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2), "RNN": (0,)}  # ONNX's order of the gates, by PyTorch's


def _recurrent(
    b: Builder, kind: str, x: Value, states: Sequence[Value], weights: Sequence[Value], settings: Any, **how: Any
) -> Any:
    has_biases, num_layers, dropout, train, both, batch_first = settings
    if train and dropout and num_layers > 1:
        raise Unsupported("in training mode: call model.eval() first")
    ways = 2 if both else 1
    width = b.fixed(weights[1], 1)
    step = len(weights) // (num_layers * ways)
    if step != (4 if has_biases else 2):
        raise Unsupported("proj_size")
    current = b.transpose(x.name, [1, 0, 2]) if batch_first else x.name
    ends: list[list[str]] = [[] for _ in states]
    for layer in range(num_layers):
        lines = [weights[(layer * ways + w) * step : (layer * ways + w + 1) * step] for w in range(ways)]
        wide = [_joined(b, kind, [line[k] for line in lines], width) for k in (0, 1)]
        bias = None
        if has_biases:
            parts = [
                b.node("Concat", [_gates(b, kind, line[2], width), _gates(b, kind, line[3], width)], axis=0)
                for line in lines
            ]
            bias = b.node("Concat", [b.node("Unsqueeze", [p, b.constant([0])]) for p in parts], axis=0)
        at = [b.constant([layer * ways]), b.constant([(layer + 1) * ways])]
        starts = [b.node("Slice", [s.name, *at, b.constant([0])]) for s in states]
        inputs = [current, *wide, bias, None, *starts]
        made = b.node(
            kind, inputs, 1 + len(states), hidden_size=width, direction="bidirectional" if both else "forward", **how
        )
        for end, name in zip(ends, made[1:], strict=True):
            end.append(name)
        current = b.reshape(b.transpose(made[0], [0, 2, 1, 3]), [0, 0, ways * width])
    output = b.transpose(current, [1, 0, 2]) if batch_first else current
    return (output, *(b.node("Concat", end, axis=0) for end in ends))


def _gates(b: Builder, kind: str, value: Value, width: int) -> str:
    order = _GATES[kind]
    if len(order) == 1:
        return value.name
    parts = b.node("Split", [value.name, b.constant([width] * len(order))], len(order), axis=0)
    return b.node("Concat", [parts[i] for i in order], axis=0)


def _joined(b: Builder, kind: str, values: Sequence[Value], width: int) -> str:
    return b.node("Concat", [b.node("Unsqueeze", [_gates(b, kind, v, width), b.constant([0])]) for v in values], axis=0)


@handles("lstm")
def lstm(b: Builder, out: Any, input: Value, hx: Any, params: Any, *settings: Any) -> Any:
    return _recurrent(b, "LSTM", input, hx, params, settings)


@handles("gru")
def gru(b: Builder, out: Any, input: Value, hx: Any, params: Any, *settings: Any) -> Any:
    return _recurrent(b, "GRU", input, [hx], params, settings, linear_before_reset=1)


def _rnn(activation: str) -> Any:
    def handler(b: Builder, out: Any, input: Value, hx: Any, params: Any, *settings: Any) -> Any:
        ways = 2 if settings[4] else 1
        return _recurrent(b, "RNN", input, [hx], params, settings, activations=[activation] * ways)

    return handler


HANDLERS["rnn_tanh"], HANDLERS["rnn_relu"] = _rnn("Tanh"), _rnn("Relu")
