"""Causal masks for attention as objects, which are never written out where attention knows them by itself."""

from __future__ import annotations

import warnings
from enum import IntEnum, auto
from typing import Any

from ...core.array import dtypes
from ...core.dispatch.messages import message
from ...core.tensor.tensor import Tensor
from ...ops.making.creation import ones, zeros
from .. import functional as F

__all__ = ["CausalBias", "CausalVariant", "causal_lower_right", "causal_upper_left"]


class CausalVariant(IntEnum):
    """Where the diagonal of a mask that is not square begins: at the upper left corner, or at the lower right."""

    UPPER_LEFT = auto()
    LOWER_RIGHT = auto()


class CausalBias(Tensor):
    """A causal mask, as the `attn_mask` of `scaled_dot_product_attention`.

    It looks like an array of shape `(variant, seq_len_q, seq_len_kv)`, but has no memory of that size.
    """

    def __new__(cls, variant: Any, seq_len_q: int, seq_len_kv: int) -> Any:
        if not isinstance(variant, CausalVariant):
            raise AssertionError(f"variant must be a {CausalVariant.__name__}, got {type(variant).__name__}")
        return Tensor._make_subclass(cls, zeros(()).expand(int(variant), int(seq_len_q), int(seq_len_kv)))

    def __init__(self, variant: CausalVariant, seq_len_q: int, seq_len_kv: int) -> None:
        self.variant = variant
        self.seq_len_q = seq_len_q
        self.seq_len_kv = seq_len_kv
        if seq_len_q > seq_len_kv and variant == CausalVariant.LOWER_RIGHT:
            warnings.warn(
                message("lower_right_nan"),
                stacklevel=2,
            )

    def _materialize(self, device: Any = None) -> Tensor:
        shift = self.seq_len_kv - self.seq_len_q if self.variant == CausalVariant.LOWER_RIGHT else 0
        return ones((self.seq_len_q, self.seq_len_kv), dtype=dtypes.bool, device=device).tril(shift)

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            return _attend(*args, **kwargs)
        return super().__torch_function__(func, types, args, kwargs)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return CausalBias, (self.variant, self.seq_len_q, self.seq_len_kv)

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return repr(self._materialize())


def _attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    if not isinstance(attn_mask, CausalBias):
        raise TypeError(f"a CausalBias can only be the attn_mask, which is {type(attn_mask).__name__}")
    if is_causal:
        raise ValueError("CausalBias should not be used with causal=True")
    square = attn_mask.seq_len_q == attn_mask.seq_len_kv
    if square or attn_mask.variant == CausalVariant.UPPER_LEFT:
        return F.scaled_dot_product_attention(
            query, key, value, None, dropout_p, True, scale=scale, enable_gqa=enable_gqa
        )
    mask = attn_mask._materialize(query.device)
    return F.scaled_dot_product_attention(query, key, value, mask, dropout_p, scale=scale, enable_gqa=enable_gqa)


def _sizes(name: str, size: tuple[int, ...]) -> tuple[int, int]:
    if len(size) != 2:
        raise AssertionError(f"{name} only supports 2D tensors")
    return size[0], size[1]


def causal_upper_left(*size: int) -> CausalBias:
    """Place `i` looks at the places up to `i`: a mask `(seq_len_q, seq_len_kv)`."""
    return CausalBias(CausalVariant.UPPER_LEFT, *_sizes("causal_upper_left", size))


def causal_lower_right(*size: int) -> CausalBias:
    """The last place looks at all places, the one before it at all but the last: a mask `(seq_len_q, seq_len_kv)`."""
    return CausalBias(CausalVariant.LOWER_RIGHT, *_sizes("causal_lower_right", size))
