"""Convolutions that read where offsets say (Dai et al. 2017; with masks Zhu et al. 2019)."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ...core.dispatch.operator import Array, operator
from ...core.tensor.tensor import Tensor


def _check(
    input: Tensor, weight: Tensor, offset: Tensor, mask: Tensor, out: tuple[int, int], groups: int, use_mask: bool
) -> None:
    taps, batch = weight.shape[2] * weight.shape[3], input.shape[0]
    given = [("offset", offset, 2)] + ([("mask", mask, 1)] if use_mask else [])
    for name, tensor, each in given:
        if tensor.shape[1] != groups * each * taps:
            raise RuntimeError(f"{name}.shape[1] is not valid: got: {tensor.shape[1]} expected: {groups * each * taps}")
        if tensor.shape[0] != batch:
            raise RuntimeError(f"invalid batch size of {name}: got {tensor.shape[0]}, and the input has {batch}")
        if tuple(tensor.shape[2:]) != out:
            sizes = f"({tensor.shape[2]}, {tensor.shape[3]})"
            raise RuntimeError(f"{name} output dims: {sizes} - computed output dims: ({out[0]}, {out[1]})")


def _read(rows: jax.Array, y: jax.Array, x: jax.Array, height: int, width: int) -> jax.Array:
    """Pixels `(height * width, channels)` at places `(points,)`, between them bilinear, beyond the border zero."""
    inside = (y > -1) & (y < height) & (x > -1) & (x < width)
    top, left = lax.stop_gradient(jnp.floor(y)), lax.stop_gradient(jnp.floor(x))
    total: Any = 0
    for down in (0, 1):
        for across in (0, 1):
            row, column = top + down, left + across
            weight = (1 - jnp.abs(y - row)) * (1 - jnp.abs(x - column))
            there = inside & (row >= 0) & (row < height) & (column >= 0) & (column < width)
            place = jnp.clip(row, 0, height - 1).astype(jnp.int32) * width + jnp.clip(column, 0, width - 1).astype(
                jnp.int32
            )
            total = total + jnp.where(there, weight, 0)[:, None] * jnp.take(rows, place, 0)
    return total


@operator(methods=False, public=())
def _deform_conv2d(
    input: Array,
    weight: Array,
    offset: Array,
    mask: Array,
    bias: Array,
    stride: tuple[int, int],
    pad: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
    offset_groups: int,
    use_mask: bool,
) -> Array:
    batch, channels, height, width = input.shape
    kernel = weight.shape[2:]
    taps, out = math.prod(kernel), offset.shape[2:]
    shifts = offset.reshape(batch, offset_groups, taps, 2, *out)
    factors = mask.reshape(batch, offset_groups, taps, *out) if use_mask else jnp.ones((1, 1, 1, 1, 1), input.dtype)
    factors = jnp.broadcast_to(factors, (batch, offset_groups, taps, *out))
    grids = []
    for d in range(2):
        at = jnp.arange(out[d]) * stride[d] - pad[d]
        tap = jnp.arange(kernel[d]) * dilation[d]
        tap = jnp.repeat(tap, kernel[1]) if d == 0 else jnp.tile(tap, kernel[0])
        lines = at[:, None] if d == 0 else at[None, :]
        grids.append((tap[:, None, None] + lines).astype(input.dtype) + shifts[:, :, :, d])

    def read(rows: jax.Array, y: jax.Array, x: jax.Array) -> jax.Array:
        return _read(rows, y.reshape(-1), x.reshape(-1), height, width)

    rows = jnp.moveaxis(input.reshape(batch, offset_groups, -1, height * width), 2, 3)
    columns = jax.vmap(jax.vmap(read))(rows, *grids).reshape(batch, offset_groups, taps, *out, -1) * factors[..., None]
    # channels in order, then in their groups
    columns = jnp.moveaxis(columns, -1, 2).reshape(batch, groups, channels // groups, taps, *out)
    filters = weight.reshape(groups, -1, channels // groups, taps)
    made = jnp.einsum("ngcthw,goct->ngohw", columns, filters, precision=lax.Precision.HIGHEST)
    return made.reshape(batch, -1, *out) + bias[:, None, None]


def deform_conv2d(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    mask: Tensor,
    bias: Tensor,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    groups: int,
    offset_groups: int,
    use_mask: bool,
) -> Tensor:
    """`(N, out, H', W')` of `(N, in, H, W)`: each tap of each place reads where `offset` shifts it, scaled by `mask`.

    `weight` is `(out, in / groups, kernel height, kernel width)`, `offset` `(N, 2 * offset_groups * taps, H', W')`, first down
    then across, `mask` half as many channels. Raises RuntimeError where shapes do not go together.
    """
    if input.ndim != 4 or offset.ndim != 4 or weight.ndim != 4:
        raise RuntimeError(
            f"deform_conv2d: input, weight and offset must have 4 dimensions, but have {input.ndim}, {weight.ndim} and {offset.ndim}"
        )
    if weight.shape[1] * groups != input.shape[1] or weight.shape[0] % groups or input.shape[1] % offset_groups:
        raise RuntimeError(
            f"deform_conv2d: weight of size {list(weight.shape)}, with {groups} groups and {offset_groups} of offsets, does "
            f"not go with an input of {input.shape[1]} channels"
        )
    stride, pad, dilation = (stride_h, stride_w), (pad_h, pad_w), (dilation_h, dilation_w)
    reach = [dilation[d] * (weight.shape[2 + d] - 1) + 1 for d in range(2)]
    out = tuple((input.shape[2 + d] + 2 * pad[d] - reach[d]) // stride[d] + 1 for d in range(2))
    _check(input, weight, offset, mask, (out[0], out[1]), offset_groups, use_mask)
    return _deform_conv2d(
        input, weight, offset, mask, bias, stride, pad, dilation, groups, offset_groups, bool(use_mask)
    )
