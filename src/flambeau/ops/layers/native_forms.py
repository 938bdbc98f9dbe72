"""Layers as PyTorch has them below its functional ones: `native_*`, `convolution`, and `embedding_bag` with what it counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...core.array import dtypes
from ...core.context.grad_mode import no_grad
from ...core.dispatch.operator import Array, composite, namespaces, operator
from ...core.tensor.tensor import Tensor
from ..making.casting import cast
from ..making.creation import tensor as _tensor
from ..support.checks import wide
from . import embedding, normalization


@operator(methods=False, public=())
def _statistics(input: Array, axes: tuple[int, ...], eps: float, keepdims: bool) -> tuple[Array, Array, Array]:
    x = wide(input)
    mean, variance = normalization._moments(x, axes, keepdims)
    return mean, jax.lax.rsqrt(variance + eps), variance


def _kept_in(input: Tensor, *given: Tensor | None) -> dtypes.dtype:
    """The dtype of what is kept for the backward pass: the input's, but float32 where a parameter beside halves has that."""
    return dtypes.float32 if any(g is not None and g.dtype is dtypes.float32 for g in given) else input.dtype


def _seen(
    input: Tensor, axes: tuple[int, ...], eps: float, keepdims: bool = False, dtype: dtypes.dtype | None = None
) -> Any:
    """Mean, reciprocal deviation and variance in `dtype` (halves' by default in float32)."""
    with no_grad():
        made = _statistics(input.detach(), axes, float(eps), keepdims)
        return made if dtype is None else [cast(s, dtype) for s in made]


@composite(methods=False)
def native_layer_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """`layer_norm`, the means, and 1 over the standard deviations. These two have no gradients."""
    made = normalization.layer_norm(input, tuple(normalized_shape), weight, bias, eps)
    first = input.ndim - len(tuple(normalized_shape))
    return made, *_seen(input, tuple(range(first, input.ndim)), eps, True, _kept_in(input, weight))[:2]


@composite(methods=False)
def native_group_norm(
    input: Tensor, weight: Tensor | None, bias: Tensor | None, N: int, C: int, HxW: int, group: int, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """`group_norm` of `N` samples with `C` channels of `HxW` elements, the means, and 1 over the standard deviations."""
    made = normalization.group_norm(input, group, weight, bias, eps)
    mean, rstd, _ = _statistics(input.reshape(N, group, C // group * HxW), (2,), float(eps), False)
    kept_in = _kept_in(input, weight)
    return made, cast(mean, kept_in), cast(rstd, kept_in)


@composite(methods=False)
def native_batch_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """`batch_norm`, and what it was computed by in training: the means, and 1 over the standard deviations."""
    made = normalization.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
    kept_in = _kept_in(input, weight, bias, running_mean, running_var)
    if not training:
        return made, input.new_zeros((0,), dtype=kept_in), input.new_zeros((0,), dtype=kept_in)
    return made, *_seen(input, (0, *range(2, input.ndim)), eps, False, kept_in)[:2]


@composite(methods=False)
def batch_norm_update_stats(
    input: Tensor, running_mean: Tensor | None, running_var: Tensor | None, momentum: float
) -> tuple[Tensor, Tensor]:
    """The batch's means and (biased) variances, towards which the running ones are moved by `momentum`."""
    mean, _, variance = _seen(input, (0, *range(2, input.ndim)), 0.0)
    count = input.numel() // max(input.shape[1], 1)
    with no_grad():
        for old, new in ((running_mean, mean), (running_var, variance * (count / max(count - 1, 1)))):
            if old is not None:
                old.copy_(old * (1 - momentum) + new * momentum)
    kept_in = _kept_in(input, running_mean, running_var)
    return cast(mean, kept_in), cast(variance, kept_in)


@composite(methods=False)
def convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
) -> Tensor:
    """`conv1d`, `conv2d`, `conv3d` or, if `transposed`, their transposed forms, by the weight's dimensions."""
    n = weight.ndim - 2
    if transposed:
        function = namespaces["torch"][f"conv_transpose{n}d"]
        return function(input, weight, bias, stride, padding, output_padding, groups, dilation)
    return namespaces["torch"][f"conv{n}d"](input, weight, bias, stride, padding, dilation, groups)


# --- bags ------------------------------------------------------------------------------------------------------------


@operator(methods=False, public=())
def _bag_places(
    weight: Array, indices: Array, offsets: Array, bags: int, padding_idx: int | None, places: bool
) -> tuple[Array, Array, Array]:
    """The bag of each element, how many count in each bag, and the row of each bag's maxima."""
    starts = offsets[:bags]
    bag = jnp.searchsorted(starts, jnp.arange(indices.shape[0]), side="right") - 1
    counts = jnp.ones(indices.shape, np.bool_) if padding_idx is None else indices != padding_idx
    size = jax.ops.segment_sum(counts.astype(indices.dtype), bag, bags)
    if not places:
        return bag.astype(indices.dtype), size, size
    rows = jnp.where(counts[:, None], weight[indices], -jnp.inf)
    best = jax.ops.segment_max(rows, bag, bags)
    order = jnp.arange(indices.shape[0])[:, None]
    first = jax.ops.segment_min(jnp.where(rows == best[bag], order, indices.shape[0]), bag, bags)
    found = indices[jnp.clip(first, 0, max(indices.shape[0] - 1, 0))]
    return bag.astype(indices.dtype), size, jnp.where(size[:, None] == 0, 0, found)


@composite(methods=False, name="embedding_bag")
def _torch_embedding_bag(
    weight: Tensor,
    indices: Tensor,
    offsets: Tensor,
    scale_grad_by_freq: bool = False,
    mode: int = 0,
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`nn.functional.embedding_bag` with the mode as a number (sum, mean, max), and the bag of each index, the bags' sizes and
    the rows of the maxima. What PyTorch does not need for a mode is empty or 0 here, too."""
    name = ("sum", "mean", "max")[mode]
    made = embedding.embedding_bag(
        indices, weight, offsets, None, 2.0, scale_grad_by_freq, name, sparse, per_sample_weights, include_last_offset,
        padding_idx,
    )  # fmt: skip
    bags = made.shape[0]
    with no_grad():
        bag, size, rows = _bag_places(weight.detach(), indices, offsets, bags, padding_idx, name == "max")
    if name == "sum":
        none = indices.new_zeros((bags,))
        return made, bag if padding_idx is not None else indices.new_zeros((0,)), none, none.clone()
    return made, bag, size, rows


@composite(methods=False)
def embedding_renorm_(self: Tensor, indices: Tensor, max_norm: float, norm_type: float) -> Tensor:
    """Shrink the rows of a table that `indices` name to a norm of `max_norm` where it is larger, in place."""
    embedding._limit_norms(self, indices, max_norm, norm_type)
    return self


@composite(methods=False)
def _shape_as_tensor(self: Tensor) -> Tensor:
    """The sizes as a tensor."""
    return _tensor(list(self.shape), dtype=dtypes.int64)


def _cast_function(kind: str) -> Any:
    @composite(name=f"_cast_{kind}", methods=False)
    def cast(input: Tensor, non_blocking: bool = False) -> Tensor:
        """The tensor in another dtype."""
        return input.to(getattr(dtypes, {"Byte": "uint8", "Char": "int8", "Double": "float64", "Float": "float32", "Half": "float16",
                                         "Int": "int32", "Long": "int64", "Short": "int16"}[kind]))  # fmt: skip

    return cast


for _kind in ("Byte", "Char", "Double", "Float", "Half", "Int", "Long", "Short"):
    _cast_function(_kind)
