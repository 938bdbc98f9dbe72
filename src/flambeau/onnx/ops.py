"""`torch.onnx.ops`: ONNX's own operators, and any other one of ONNX by its name, in the code of a module."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..core.array import dtypes
from ..core.tensor.tensor import Tensor
from ..ops.making.constants import ones, zeros
from ..ops.shape.joining import cat, stack
from ..overrides import handle_torch_function, has_torch_function
from ..runtime.absent import refuse as _refuse

_DTYPES = {
    1: dtypes.float32, 2: dtypes.uint8, 3: dtypes.int8, 4: dtypes.uint16, 5: dtypes.int16, 6: dtypes.int32, 7: dtypes.int64,
    9: dtypes.bool, 10: dtypes.float16, 11: dtypes.float64, 12: dtypes.uint32, 13: dtypes.uint64, 14: dtypes.complex64,
    15: dtypes.complex128, 16: dtypes.bfloat16, 17: dtypes.float8_e4m3fn, 18: dtypes.float8_e4m3fnuz, 19: dtypes.float8_e5m2,
    20: dtypes.float8_e5m2fnuz,
}  # fmt: skip


def _dtype(kind: Any) -> Any:
    if isinstance(kind, int):
        if kind not in _DTYPES:
            raise RuntimeError(f"{kind} is invalid as an ONNX data type. Valid values are {list(_DTYPES)}")
        return _DTYPES[kind]
    return kind


def _check_attributes(attributes: dict[str, Any]) -> None:
    for name, value in attributes.items():
        several = isinstance(value, Sequence) and not isinstance(value, str)
        if several and not len(value):
            raise ValueError(f"Empty sequence for attribute {name}")
        for one in value if several else (value,):
            if not isinstance(one, (int, float, str)):
                raise ValueError(f"Unsupported attribute type for {name}: {type(one)}")


def symbolic(
    domain_op: str, /, inputs: Sequence[Tensor | None], attrs: dict[str, Any] | None = None, *, dtype: Any, shape: Any,
    version: int | None = None, metadata_props: dict[str, str] | None = None,
) -> Tensor:  # fmt: skip
    """An operator of ONNX by its name, `"domain::Operator"`, with one result: it is written into the model by `torch.onnx.export`.

    Elsewhere it computes nothing: the result is zeros of the `dtype` (or ONNX's number of it) and `shape` that are given.
    ValueError for attributes other than numbers, strings, and lists of these that hold something.
    """
    given = (domain_op, inputs, attrs)
    options = {"dtype": dtype, "shape": shape, "version": version, "metadata_props": metadata_props}
    if has_torch_function(tuple(inputs)):
        return handle_torch_function(symbolic, tuple(inputs), *given, **options)
    _check_attributes(attrs or {})
    return zeros(tuple(shape), dtype=_dtype(dtype))


def symbolic_multi_out(
    domain_op: str, /, inputs: Sequence[Tensor | None], attrs: dict[str, Any] | None = None, *, dtypes: Any, shapes: Any,
    version: int | None = None, metadata_props: dict[str, str] | None = None,
) -> Sequence[Tensor]:  # fmt: skip
    """`symbolic` with several results, a list of tensors. RuntimeError unless there are as many `shapes` as `dtypes`."""
    given = (domain_op, inputs, attrs)
    options = {"dtypes": dtypes, "shapes": shapes, "version": version, "metadata_props": metadata_props}
    if has_torch_function(tuple(inputs)):
        return handle_torch_function(symbolic_multi_out, tuple(inputs), *given, **options)
    _check_attributes(attrs or {})
    if len(shapes) != len(dtypes):
        raise RuntimeError(f"Number of shapes ({len(shapes)}) must match number of dtypes ({len(dtypes)})")
    return [zeros(tuple(shape), dtype=_dtype(kind)) for kind, shape in zip(dtypes, shapes, strict=True)]


def rotary_embedding(
    X: Tensor, cos_cache: Tensor, sin_cache: Tensor, position_ids: Tensor | None = None, *, interleaved: bool = False,
    num_heads: int = 0, rotary_embedding_dim: int = 0,
) -> Tensor:  # fmt: skip
    """Rotate pairs of features by angles of the place, as ONNX's `RotaryEmbedding` does; of the shape of `X`.

    `X` is (batch, heads, length, size), or (batch, length, heads * size) with `num_heads`. The cosines and sines are
    (batch, length, size / 2), or with `position_ids` (batch, length) a table (places, size / 2). The pairs are a feature and the
    one half the size further, or (`interleaved`) neighbours; only the first `rotary_embedding_dim` features, if it is not 0.
    (Su et al. 2021, "RoFormer".)
    """
    flat = X.ndim == 3
    if flat and not num_heads:
        raise RuntimeError(f"num_heads must be provided for 3D inputs. Received input tensor with shape {X.shape}")
    x = X.reshape(X.shape[0], X.shape[1], num_heads, -1) if flat else X.transpose(1, 2)
    size = rotary_embedding_dim or x.shape[-1]
    turned, rest = x[..., :size], x[..., size:]
    cos, sin = (t if position_ids is None else t[position_ids] for t in (cos_cache, sin_cache))
    for name, table in (("cos", cos), ("sin", sin)):
        if tuple(table.shape[:2]) != tuple(x.shape[:2]):
            raise RuntimeError(
                f"{name} has shape {table.shape} but expected (batch={x.shape[0]}, seq={x.shape[1]}, ...)"
            )
        if table.shape[-1] != size // 2:
            raise RuntimeError(
                f"Last dimension of {name} cache ({table.shape[-1]}) should match rotary_embedding_dim/2 ({size // 2})."
            )
    cos, sin = cos.unsqueeze(2), sin.unsqueeze(2)
    if interleaved:
        first, second = turned[..., 0::2], turned[..., 1::2]
    else:
        first, second = turned[..., : size // 2], turned[..., size // 2 :]
    pair = [cos * first - sin * second, sin * first + cos * second]
    made = stack(pair, -1).reshape(turned.shape) if interleaved else cat(pair, -1)
    made = cat([made, rest], -1) if rotary_embedding_dim else made
    return made.reshape(X.shape) if flat else made.transpose(1, 2)


def _check_attention(Q: Tensor, K: Tensor, mask: Tensor | None, is_causal: bool, mode: int) -> None:
    if mask is not None and is_causal:
        raise RuntimeError("Cannot use both is_causal and attn_mask")
    if Q.shape[1] % K.shape[1]:
        raise RuntimeError(f"q_num_heads ({Q.shape[1]}) must be divisible by kv_num_heads ({K.shape[1]}) for GQA")
    if mode not in range(4):
        raise ValueError(f"qk_matmul_output_mode: expected 0, 1, 2 or 3, got {mode}")


def attention(
    Q: Tensor, K: Tensor, V: Tensor, attn_mask: Tensor | None = None, past_key: Tensor | None = None,
    past_value: Tensor | None = None, *, is_causal: bool = False, kv_num_heads: int = 0, q_num_heads: int = 0,
    qk_matmul_output_mode: int = 0, scale: float | None = None, softcap: float = 0.0, softmax_precision: int | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """`softmax(Q K^T scale + mask) V` as ONNX's `Attention` has it: the result, all keys, all values, and the products.

    `Q` is (batch, heads, length, size), `K` and `V` (batch, heads that divide those, other length, size); or all of three
    dimensions, (batch, length, heads * size), with `q_num_heads` and `kv_num_heads`. Past keys and values stand before the given
    ones. `attn_mask` is added, or, of booleans, says where to look; `is_causal`: only backwards. `softcap` bounds the products
    by `softcap * tanh(x / softcap)`. `qk_matmul_output_mode`: the products as they are (0), with the mask (1), bounded (2), or
    after the softmax (3).
    """
    flat, length = Q.ndim == 3, Q.shape[-2]
    if flat:
        if not (q_num_heads and kv_num_heads):
            raise RuntimeError("q_num_heads and kv_num_heads must be provided for 3D inputs")
        Q, K, V = (
            t.reshape(t.shape[0], t.shape[1], n, -1).transpose(1, 2)
            for t, n in ((Q, q_num_heads), (K, kv_num_heads), (V, kv_num_heads))
        )
    _check_attention(Q, K, attn_mask, is_causal, qk_matmul_output_mode)
    K = K if past_key is None else cat([past_key, K], 2)
    V = V if past_value is None else cat([past_value, V], 2)
    keys, values = (t.repeat_interleave(Q.shape[1] // t.shape[1], 1) if t.shape[1] != Q.shape[1] else t for t in (K, V))
    root = math.sqrt(1 / math.sqrt(Q.shape[-1]) if scale is None else scale)
    products = (Q * root) @ (keys * root).transpose(-2, -1)
    mask, masked = ones(length, K.shape[2], dtype=dtypes.bool).tril() if is_causal else attn_mask, products
    if mask is not None:
        masked = masked.masked_fill(~mask, -math.inf) if mask.dtype is dtypes.bool else masked + mask
    bounded = softcap * (masked / softcap).tanh() if softcap > 0 else masked
    precise = bounded if softmax_precision is None else bounded.to(_dtype(softmax_precision))
    weights = precise.softmax(-1).to(products.dtype)
    made = weights @ values
    if flat:
        made = made.transpose(1, 2).reshape(made.shape[0], length, -1)
    return made, K, V, (products, masked, bounded, weights)[qk_matmul_output_mode]


__all__ = ["attention", "rotary_embedding", "symbolic", "symbolic_multi_out"]

_refuse(
    globals(),
    "torch.onnx.export writes these operators itself",
    "aten_decompositions ",
)
