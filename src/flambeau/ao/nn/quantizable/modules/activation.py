"""Attention of linear layers and arithmetic modules, each of which quantization could replace."""

from __future__ import annotations

import math
import warnings
from typing import Any, ClassVar

from .....core.array.dtypes import bool as dtype_bool
from .....core.array.dtypes import uint8
from .....core.tensor.tensor import Tensor
from .....nn import functional as F
from .....nn.modules import activation as layers
from .....nn.modules.linear import Linear
from .....nn.parameter import Parameter
from .....ops.making.constants import zeros
from .....ops.shape.joining import cat
from ....quantization.stubs import DeQuantStub, QuantStub
from ...quantized.modules.functional_modules import FloatFunctional
from .rnn import _require_no_rounding

__all__ = ["MultiheadAttention"]


def _as_bool(name: str, mask: Any) -> Any:
    if mask is None or mask.dtype is not uint8:
        return mask
    warnings.warn(
        f"Byte tensor for `{name}` in `nn.MultiheadAttention` is deprecated. Use bool tensor instead.", stacklevel=4
    )
    return mask.to(dtype_bool)


class MultiheadAttention(layers.MultiheadAttention):
    """Attention of the arguments and results of `nn.MultiheadAttention`, whose projections are linear layers of their own."""

    _FLOAT_MODULE: ClassVar[Any] = layers.MultiheadAttention
    __constants__ = ["batch_first"]  # noqa: RUF012

    def __init__(
        self, embed_dim: int, num_heads: int, dropout: float = 0.0, bias: bool = True, add_bias_kv: bool = False,
        add_zero_attn: bool = False, kdim: int | None = None, vdim: int | None = None, batch_first: bool = False,
        device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(
            embed_dim, num_heads, dropout, bias, add_bias_kv, add_zero_attn, kdim, vdim, batch_first, device, dtype
        )
        kwargs = {"bias": bias, "device": device, "dtype": dtype}
        self.linear_Q: Linear = Linear(self.embed_dim, self.embed_dim, **kwargs)
        self.linear_K: Linear = Linear(self.kdim, self.embed_dim, **kwargs)
        self.linear_V: Linear = Linear(self.vdim, self.embed_dim, **kwargs)
        self.out_proj = Linear(self.embed_dim, self.embed_dim, **kwargs)  # type: ignore[assignment]
        self.q_scaling_product: FloatFunctional = FloatFunctional()
        self.quant_attn_output: QuantStub = QuantStub()
        self.quant_attn_output_weights: QuantStub = QuantStub()
        self.dequant_q: DeQuantStub = DeQuantStub()
        self.dequant_k: DeQuantStub = DeQuantStub()
        self.dequant_v: DeQuantStub = DeQuantStub()

    def _get_name(self) -> str:
        return "QuantizableMultiheadAttention"

    @classmethod
    def from_float(cls, other: Any) -> MultiheadAttention:
        """The same attention as an `nn.MultiheadAttention`, with its weights."""
        if type(other) is not cls._FLOAT_MODULE:
            raise AssertionError(f"Expected type {cls._FLOAT_MODULE}, got {type(other)}")
        if not hasattr(other, "qconfig"):
            raise AssertionError("The float module must have 'qconfig'")
        _require_no_rounding(other.qconfig)
        bias = other.in_proj_bias is not None
        made = cls(
            other.embed_dim, other.num_heads, other.dropout, bias, other.bias_k is not None, other.add_zero_attn,
            other.kdim, other.vdim, other.batch_first,
        )  # fmt: skip
        made.bias_k, made.bias_v, made.qconfig = other.bias_k, other.bias_v, other.qconfig
        made.out_proj.weight, made.out_proj.bias = other.out_proj.weight, other.out_proj.bias
        if other._qkv_same_embed_dim:
            weights = other.in_proj_weight.chunk(3)
        else:
            weights = (other.q_proj_weight, other.k_proj_weight, other.v_proj_weight)
        shifts = other.in_proj_bias.chunk(3) if bias else (None,) * 3
        for linear, weight, shift in zip((made.linear_Q, made.linear_K, made.linear_V), weights, shifts, strict=True):
            linear.weight = Parameter(weight)
            linear.bias = None if shift is None else Parameter(shift)
        return made.train(other.training)

    @classmethod
    def from_observed(cls, other: Any) -> Any:
        """Refused, as PyTorch does."""
        raise NotImplementedError(
            "It looks like you are trying to prepare an MHA module. Please, see the examples on quantizable MHAs."
        )

    def forward(  # type: ignore[override]
        self, query: Tensor, key: Tensor, value: Tensor, key_padding_mask: Tensor | None = None,
        need_weights: bool = True, attn_mask: Tensor | None = None, average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:  # fmt: skip
        if attn_mask is not None and is_causal:
            raise AssertionError("Only allow causal mask or attn_mask")
        if is_causal:
            raise AssertionError("causal mask not supported by AO MHA module")
        if self.batch_first:
            query, key, value = (x.transpose(0, 1) for x in (query, key, value))
        length, batch, width = query.size()
        if width != self.embed_dim:
            raise AssertionError(f"embed_dim mismatch: {self.embed_dim} != {width}")
        if key.shape[:2] != value.shape[:2]:
            raise AssertionError(f"key and value size mismatch: key.size()={key.size()}, value.size()={value.size()}")
        q = self.dequant_q(self.q_scaling_product.mul_scalar(self.linear_Q(query), 1 / math.sqrt(self.head_dim)))
        k, v = self.dequant_k(self.linear_K(key)), self.dequant_v(self.linear_V(value))
        mask = None if attn_mask is None else self._mask_of_heads(attn_mask, batch, length, key.size(0))
        padding = key_padding_mask
        padding = _as_bool("key_padding_mask", padding)
        if padding is not None and tuple(padding.shape) != (batch, key.size(0)):
            place = int(padding.size(0) == batch)
            raise AssertionError(
                f"key_padding_mask.size({place}) must be {(batch, key.size(0))[place]}, got {padding.size(place)}"
            )
        added = 0
        if self.bias_k is not None and self.bias_v is not None:
            k, v, added = cat([k, self.bias_k.repeat(1, batch, 1)]), cat([v, self.bias_v.repeat(1, batch, 1)]), 1
        q, k, v = (x.contiguous().view(-1, batch * self.num_heads, self.head_dim).transpose(0, 1) for x in (q, k, v))
        if self.add_zero_attn:
            k, v = (cat([x, zeros((x.size(0), 1, x.size(2))).to(x)], 1) for x in (k, v))
            added += 1
        if added:
            mask, padding = (None if m is None else F.pad(m, (0, added)) for m in (mask, padding))
        weights = q.bmm(k.transpose(1, 2))
        if mask is not None:
            weights = weights.masked_fill(mask, -math.inf) if mask.dtype is dtype_bool else weights + mask
        if padding is not None:
            apart = weights.view(batch, self.num_heads, length, -1)
            weights = apart.masked_fill(padding[:, None, None], -math.inf).view(weights.shape)
        weights = F.dropout(weights.softmax(-1), p=self.dropout, training=self.training)
        joined = weights.bmm(v)
        if self.batch_first:  # PyTorch, too, takes the heads of a sequence for its places here
            joined = joined.view(batch, length, width)
        else:
            joined = joined.transpose(0, 1).contiguous().view(length, batch, width)
        result = self.out_proj(self.quant_attn_output(joined))
        weights = self.quant_attn_output_weights(weights)
        if not need_weights:
            return result, None
        weights = weights.view(batch, self.num_heads, length, -1)
        return result, weights.mean(dim=1) if average_attn_weights else weights

    def _mask_of_heads(self, mask: Tensor, batch: int, length: int, keys: int) -> Tensor:
        """The mask in three dimensions, or a shape and a dtype that is refused."""
        mask = _as_bool("attn_mask", mask)
        if not (mask.is_floating_point() or mask.dtype is dtype_bool):
            raise AssertionError(f"Only float and bool types are supported for attn_mask, not {mask.dtype}")
        if mask.dim() not in (2, 3):
            raise RuntimeError(f"attn_mask's dimension {mask.dim()} is not supported")
        if mask.dim() == 2:
            mask = mask.unsqueeze(0)
            if tuple(mask.shape) != (1, length, keys):
                raise RuntimeError("The size of the 2D attn_mask is not correct.")
        elif tuple(mask.shape) != (batch * self.num_heads, length, keys):
            raise RuntimeError("The size of the 3D attn_mask is not correct.")
        return mask
