"""Regions of feature maps, each brought to one size: RoIAlign, RoIPool and their position-sensitive forms.

A region is a row `(image, x1, y1, x2, y2)`, in pixels of the original image; `spatial_scale` brings it to the map's.
Sources: He et al. 2017 (Mask R-CNN), Girshick 2015 (Fast R-CNN), Dai et al. 2016 (R-FCN), Li et al. 2018 (Light-Head R-CNN).
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ...core.dispatch.operator import Array, Static, operator
from ...core.tensor.tensor import Tensor
from ...ops.indexing.masking import like_on_device
from ...ops.support.checks import host_values


def _check(input: Tensor, rois: Tensor, pooled: tuple[int, int] | None = None) -> None:
    if rois.ndim != 2 or rois.shape[1] != 5:
        raise RuntimeError(f"rois must have shape as Tensor[K, 5] (image, x1, y1, x2, y2), but they have {rois.shape}")
    if input.dtype != rois.dtype:
        raise RuntimeError(f"input should have the same type as rois, but they are {input.dtype} and {rois.dtype}")
    if pooled is not None and input.shape[1] % math.prod(pooled):
        raise RuntimeError(
            f"input channels must be a multiple of pooling height * pooling width, but {input.shape[1]} is none of "
            f"{pooled[0]} * {pooled[1]}"
        )


def _corners(rois: jax.Array, scale: float, shift: float) -> tuple[jax.Array, ...]:
    """The image of each region, and its sides `x1, y1, x2, y2` on the map."""
    places = rois[:, 1:] * jnp.asarray(scale, rois.dtype) - jnp.asarray(shift, rois.dtype)
    return rois[:, 0].astype(jnp.int32), *(places[:, i] for i in range(4))


# ---------------------------------------------------------------- means of interpolated points


def _points(start: Any, extent: Any, bins: int, ratio: int, most: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Along one side of each region: places `(K, bins, most)`, which of them count, and how many do in each bin."""
    width = extent / bins
    count = jnp.full_like(extent, ratio) if ratio > 0 else jnp.ceil(width)
    number = jnp.arange(most, dtype=extent.dtype)
    inside = (number + 0.5) * (width / jnp.maximum(count, 1))[:, None]
    corners = start[:, None] + jnp.arange(bins, dtype=extent.dtype) * width[:, None]
    return corners[:, :, None] + inside[:, None, :], number < count[:, None], count


def _taps(places: jax.Array, size: int) -> list[tuple[jax.Array, jax.Array]]:
    """The two pixels along one dimension between which each place lies, with their weights: none beyond the border's pixel."""
    inside = (places >= -1) & (places <= size)
    at = jnp.clip(places, 0, size - 1)
    low = jnp.minimum(jnp.floor(at), size - 1)
    far = at - low
    near = jnp.where(inside, 1 - far, 0)
    return [
        (low.astype(jnp.int32), near),
        (jnp.minimum(low + 1, size - 1).astype(jnp.int32), jnp.where(inside, far, 0)),
    ]


def _weights(start: Any, extent: Any, bins: int, ratio: int, most: int, size: int) -> tuple[jax.Array, jax.Array]:
    """`(K, bins, size)`: what each pixel of a side adds to each bin; and the number of points in a bin."""
    places, counts, number = _points(start, extent, bins, ratio, most)
    total: Any = 0
    for pixel, weight in _taps(places, size):
        weight = jnp.where(counts[:, None, :], weight, 0)
        total = total + jnp.einsum("kbm,kbms->kbs", weight, jax.nn.one_hot(pixel, size, dtype=weight.dtype))
    return total, number


def _side_weights(
    rois: Any, scale: float, pooled: Any, ratio: int, most: Any, sizes: Any, shift: float, least: float
) -> Any:
    image, x1, y1, x2, y2 = _corners(rois, scale, shift)
    rows, down = _weights(y1, jnp.maximum(y2 - y1, least) if least else y2 - y1, pooled[0], ratio, most[0], sizes[0])
    columns, across = _weights(
        x1, jnp.maximum(x2 - x1, least) if least else x2 - x1, pooled[1], ratio, most[1], sizes[1]
    )
    number = down * across
    return image, rows, columns / jnp.maximum(number, 1)[:, None, None], number


@operator(methods=False, public=())
def _roi_align(
    input: Array,
    rois: Array,
    scale: Static[float],
    pooled: tuple[int, int],
    ratio: int,
    most: tuple[int, int],
    aligned: bool,
) -> Array:
    shift, least = (0.5, 0.0) if aligned else (0.0, 1.0)
    image, rows, columns, _ = _side_weights(rois, scale, pooled, ratio, most, input.shape[2:], shift, least)

    def one(region: Any) -> jax.Array:
        number, down, across = region
        return jnp.einsum("chw,ph,qw->cpq", input[number], down, across, precision=lax.Precision.HIGHEST)

    return (
        lax.map(one, (image, rows, columns)) if rois.shape[0] else jnp.zeros((0, input.shape[1], *pooled), input.dtype)
    )


@operator(methods=False, public=())
def _ps_roi_align(
    input: Array, rois: Array, scale: Static[float], pooled: tuple[int, int], ratio: int, most: tuple[int, int]
) -> Array:
    image, rows, columns, counted = _side_weights(rois, scale, pooled, ratio, most, input.shape[2:], 0.5, 0.0)
    maps = input.reshape(input.shape[0], -1, *pooled, *input.shape[2:])

    def one(region: Any) -> jax.Array:
        number, down, across = region
        return jnp.einsum("cpqhw,ph,qw->cpq", maps[number], down, across, precision=lax.Precision.HIGHEST)

    if not rois.shape[0]:
        return jnp.zeros((0, maps.shape[1], *pooled), input.dtype)
    # a mean of no points
    return jnp.where(counted[:, None, None, None] == 0, jnp.nan, lax.map(one, (image, rows, columns)))


def _most(rois: Tensor, scale: float, pooled: tuple[int, int], ratio: int, least: float) -> tuple[int, int]:
    """How many points a bin of the largest region has along both sides: as many as pixels, unless a number is asked for."""
    if ratio > 0:
        return ratio, ratio
    held = host_values(rois, "roi_align", "with sampling_ratio <= 0 the number of points depends")
    if not len(held):
        return 1, 1
    extent = np.maximum((held[:, 3:] - held[:, 1:3]) * held.dtype.type(scale), least).max(0)[::-1]
    exact = [max(1, math.ceil(side / bins)) for side, bins in zip(extent, pooled, strict=True)]
    return 1 << (exact[0] - 1).bit_length(), 1 << (exact[1] - 1).bit_length()  # few programs for many regions


def roi_align(
    input: Tensor,
    rois: Tensor,
    spatial_scale: float,
    pooled_height: int,
    pooled_width: int,
    sampling_ratio: int,
    aligned: bool,
) -> Tensor:
    """`(K, C, pooled_height, pooled_width)`: the mean of points of each bin of each of `K` regions, between pixels bilinear."""
    _check(input, rois)
    pooled = (int(pooled_height), int(pooled_width))
    most = _most(rois, spatial_scale, pooled, sampling_ratio, 0.0 if aligned else 1.0)
    return _roi_align(input, rois, float(spatial_scale), pooled, int(sampling_ratio), most, bool(aligned))


def ps_roi_align(
    input: Tensor, rois: Tensor, spatial_scale: float, pooled_height: int, pooled_width: int, sampling_ratio: int
) -> tuple[Tensor, Tensor]:
    """As `roi_align`, each bin from channels of its own: `(K, C / (height * width), height, width)`, and which channel."""
    pooled = (int(pooled_height), int(pooled_width))
    _check(input, rois, pooled)
    most = _most(rois, spatial_scale, pooled, sampling_ratio, 0.0)
    made = _ps_roi_align(input, rois, float(spatial_scale), pooled, int(sampling_ratio), most)
    return made, _channels(input, len(rois), pooled)


def _channels(input: Tensor, regions: int, pooled: tuple[int, int]) -> Tensor:
    made = np.arange(input.shape[1], dtype=np.int32).reshape(1, -1, *pooled)
    return like_on_device(np.repeat(made, regions, 0), input)


# ---------------------------------------------------------------- largest values, and means of whole pixels


def _bins(start: jax.Array, extent: jax.Array, bins: int, size: int) -> jax.Array:
    """`(K, bins, size)`: which whole pixels of a side lie in which bin."""
    width = extent.astype(jnp.float32)[:, None] / bins
    number = jnp.arange(bins, dtype=jnp.float32)
    low = jnp.clip(jnp.floor(number * width).astype(jnp.int32) + start[:, None], 0, size)
    high = jnp.clip(jnp.ceil((number + 1) * width).astype(jnp.int32) + start[:, None], 0, size)
    pixel = jnp.arange(size)
    return (pixel >= low[..., None]) & (pixel < high[..., None])


def _rounded(x: jax.Array) -> jax.Array:
    """Half away from zero, as C's `round`."""
    return (jnp.sign(x) * jnp.floor(jnp.abs(x) + 0.5)).astype(jnp.int32)


@operator(methods=False, public=())
def _roi_pool(input: Array, rois: Array, scale: Static[float], pooled: tuple[int, int]) -> tuple[Array, Array]:
    channels, height, width = input.shape[1:]
    image, x1, y1, x2, y2 = (_rounded(side) for side in _corners(rois, scale, 0.0))
    rows = _bins(y1, jnp.maximum(y2 - y1 + 1, 1), pooled[0], height)
    columns = _bins(x1, jnp.maximum(x2 - x1 + 1, 1), pooled[1], width)
    lowest = jnp.asarray(-jnp.inf, input.dtype)

    def one(region: Any) -> tuple[jax.Array, jax.Array]:
        number, down, across = region
        pixels = input[number]
        # the first of the largest, row by row: first within a row, then of the rows
        held = jnp.where(across, lax.stop_gradient(pixels)[:, :, None, :], lowest)
        column = jnp.argmax(held, -1)
        best = jnp.where(down[:, :, None], held.max(-1)[:, None], lowest)
        row = jnp.argmax(best, 2)
        place = row * width + jnp.take_along_axis(column[:, None], row[:, :, None], 2)[:, :, 0]
        there = (down.any(-1)[:, None] & across.any(-1))[None]
        taken = jnp.take_along_axis(pixels.reshape(channels, -1), place.reshape(channels, -1), 1).reshape(place.shape)
        return jnp.where(there, taken, 0), jnp.where(there, place, -1).astype(jnp.int32)

    if not rois.shape[0]:
        return jnp.zeros((0, channels, *pooled), input.dtype), jnp.zeros((0, channels, *pooled), jnp.int32)
    return lax.map(one, (image, rows, columns))


def roi_pool(
    input: Tensor, rois: Tensor, spatial_scale: float, pooled_height: int, pooled_width: int
) -> tuple[Tensor, Tensor]:
    """`(K, C, pooled_height, pooled_width)`: the largest pixel of each bin of each region, and where it lies (-1: nowhere)."""
    _check(input, rois)
    return _roi_pool(input, rois, float(spatial_scale), (int(pooled_height), int(pooled_width)))


@operator(methods=False, public=())
def _ps_roi_pool(input: Array, rois: Array, scale: Static[float], pooled: tuple[int, int]) -> Array:
    height, width = input.shape[2:]
    image, x1, y1, x2, y2 = (_rounded(side) for side in _corners(rois, scale, 0.0))
    rows = _bins(y1, jnp.maximum(y2 - y1, 1), pooled[0], height - 1)
    columns = _bins(x1, jnp.maximum(x2 - x1, 1), pooled[1], width - 1)
    maps = input.reshape(input.shape[0], -1, *pooled, height, width)[..., : height - 1, : width - 1]

    def one(region: Any) -> jax.Array:
        number, down, across = (part.astype(input.dtype) if part.ndim else part for part in region)
        area = down.sum(-1)[:, None] * across.sum(-1)
        total = jnp.einsum("cpqhw,ph,qw->cpq", maps[number], down, across, precision=lax.Precision.HIGHEST)
        return jnp.where(area > 0, total / jnp.maximum(area, 1), 0)

    return (
        lax.map(one, (image, rows, columns)) if rois.shape[0] else jnp.zeros((0, maps.shape[1], *pooled), input.dtype)
    )


def ps_roi_pool(
    input: Tensor, rois: Tensor, spatial_scale: float, pooled_height: int, pooled_width: int
) -> tuple[Tensor, Tensor]:
    """The mean of each bin of each region, from channels of its own: `(K, C / (height * width), height, width)`, and which."""
    pooled = (int(pooled_height), int(pooled_width))
    _check(input, rois, pooled)
    return _ps_roi_pool(input, rois, float(spatial_scale), pooled), _channels(input, len(rois), pooled)
