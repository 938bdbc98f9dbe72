"""Pixels rearranged and resampled: pixel and channel shuffles, `interpolate`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ...core.array.size import dimension
from ...core.context.telling import warn
from ...core.dispatch.messages import message
from ...core.dispatch.operator import Array, composite, operator
from ...core.tensor.tensor import Tensor
from ..support.checks import FLOAT, category, type_name, wide
from ..support.declare import alias
from .pooling import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d

_BOTH = ("torch", "nn.functional")


@operator(methods=False, public=_BOTH)
def pixel_shuffle(input: Array, upscale_factor: int) -> Array:
    """`(*, C r^2, H, W)` to `(*, C, H r, W r)`: groups of r^2 channels become r by r squares of pixels."""
    r = upscale_factor
    if input.ndim < 3:
        raise RuntimeError(
            f"pixel_shuffle expects input to have at least 3 dimensions, but got input with {input.ndim} dimension(s)"
        )
    if r <= 0:
        raise RuntimeError(f"pixel_shuffle expects a positive upscale_factor, but got {r}")
    *lead, channels, height, width = input.shape
    if channels % (r * r):
        raise RuntimeError(
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of upscale_factor, "
            f"but input.size(-3)={channels} is not divisible by {r * r}"
        )
    split = input.reshape(math.prod(lead), channels // (r * r), r, r, height, width).transpose(0, 1, 4, 2, 5, 3)
    return split.reshape(*lead, channels // (r * r), height * r, width * r)


@operator(methods=False, public=_BOTH)
def pixel_unshuffle(input: Array, downscale_factor: int) -> Array:
    """The inverse of `pixel_shuffle`: `(*, C, H r, W r)` to `(*, C r^2, H, W)`."""
    r = downscale_factor
    if input.ndim < 3:
        raise RuntimeError(
            f"pixel_unshuffle expects input to have at least 3 dimensions, but got input with {input.ndim} dimension(s)"
        )
    if r <= 0:
        raise RuntimeError(f"pixel_unshuffle expects a positive downscale_factor, but got {r}")
    *lead, channels, height, width = input.shape
    for name, index, size in (("height", -2, height), ("width", -1, width)):
        if size % r:
            raise RuntimeError(
                f"pixel_unshuffle expects {name} to be divisible by downscale_factor, "
                f"but input.size({index})={size} is not divisible by {r}"
            )
    if not input.size:
        return input  # as PyTorch has it
    split = input.reshape(math.prod(lead), channels, height // r, r, width // r, r).transpose(0, 1, 3, 5, 2, 4)
    return split.reshape(*lead, channels * r * r, height // r, width // r)


@operator(methods=False, public=_BOTH)
def channel_shuffle(input: Array, groups: int) -> Array:
    """Interleave `groups` groups of channels (dimension 1)."""
    if input.ndim < 3:
        raise RuntimeError(f"channel_shuffle expects input with > 2 dims, but got input with sizes {list(input.shape)}")
    if groups <= 0:
        raise RuntimeError(f"channel_shuffle: the number of groups must be positive, but got {groups}")
    n, channels, *rest = input.shape
    if channels % groups:
        broken = "Number of channels must be divisible by groups"
        raise RuntimeError(f"{broken}. Got {channels} channels and {groups} groups.")
    return input.reshape(n, groups, channels // groups, *rest).swapaxes(1, 2).reshape(input.shape)


native_channel_shuffle: Callable[..., Tensor] = alias(
    "native_channel_shuffle", channel_shuffle, methods=False, public=_BOTH
)


# ---------------------------------------------------------------- interpolation


def cubic_weights(t: Any, a: float = -0.75) -> list[Any]:
    """Weights of the four neighbours at distances 1 + t, t, 1 - t, 2 - t (Keys, 1981)."""

    def near(x: Any) -> Any:
        return ((a + 2) * x - (a + 3)) * x * x + 1

    def far(x: Any) -> Any:
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a

    return [far(1 + t), near(t), near(1 - t), far(2 - t)]


def _taps(
    size: int, count: int, factor: float | None, mode: str, align_corners: bool, real: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Which elements make each output, `(taps, count)`, with which weights (in the precision `real`, as PyTorch)."""
    scale = real(1.0 / factor) if factor else real(size) / real(count)
    places = np.arange(count).astype(real)
    if mode.startswith("nearest"):
        half = real(0.5) if mode == "nearest-exact" else real(0)
        return np.minimum(np.floor((places + half) * scale).astype(int), size - 1)[None], np.ones((1, count))
    if align_corners:
        source = places * (real(size - 1) / real(count - 1) if count > 1 else real(0))
    else:
        source = (places + real(0.5)) * scale - real(0.5)
    if mode == "cubic":
        first = np.floor(source)
        weights = cubic_weights((source - first).astype(real))
        indices = [np.clip(first.astype(int) + k, 0, size - 1) for k in (-1, 0, 1, 2)]
        return np.stack(indices), np.stack(weights)
    source = np.maximum(source, real(0))
    first = np.minimum(source.astype(int), size - 1)
    part = np.clip(source - first, 0, 1).astype(real)
    return np.stack([first, np.minimum(first + 1, size - 1)]), np.stack([1 - part, part])


def _filters() -> dict[str, tuple[float, Callable[[np.ndarray], np.ndarray]]]:
    """The antialiasing filters: how far they reach, and their values at distances."""

    def triangle(x: np.ndarray) -> np.ndarray:
        return np.maximum(1 - np.abs(x), 0)

    def cubic(x: np.ndarray) -> np.ndarray:
        x = np.abs(x)
        _, near, _, _ = cubic_weights(np.minimum(x, 1), -0.5)
        far = cubic_weights(np.clip(x - 1, 0, 1), -0.5)[0]
        return np.where(x < 1, near, np.where(x < 2, far, 0)).astype(x.dtype)

    def lanczos(x: np.ndarray) -> np.ndarray:
        return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0).astype(x.dtype)

    return {"linear": (1, triangle), "cubic": (2, cubic), "lanczos": (3, lanczos)}


_FILTERS = _filters()


def _filter_taps(
    size: int, count: int, factor: float | None, mode: str, align_corners: bool, real: Any
) -> tuple[np.ndarray, np.ndarray]:
    """`_taps` of a filter that is as wide as the pixels of the smaller image (as in Pillow's `resize`)."""
    reach, shape = _FILTERS[mode]
    if align_corners:
        scale = real(size - 1) / real(count - 1) if count > 1 else real(0)
    else:
        scale = real(1.0 / factor) if factor else real(size) / real(count)
    support = real(reach) * max(scale, real(1))
    centre = scale * (np.arange(count).astype(real) + real(0.5))
    first = np.maximum((centre - support + real(0.5)).astype(int), 0)
    behind = np.minimum((centre + support + real(0.5)).astype(int), size)
    places = first + np.arange(int(max((behind - first).max(), 1)))[:, None]
    steepness = real(1) / scale if scale >= 1 else real(1)
    weights = shape((places - centre + real(0.5)).astype(real) * steepness)
    weights = np.where(places < behind, weights, 0)
    total = weights.sum(0)
    return np.minimum(places, np.maximum(behind - 1, 0)), weights / np.where(total == 0, 1, total)


def _weighted_sum(x: jax.Array, axis: int, indices: np.ndarray, weights: np.ndarray) -> jax.Array:
    """sum over k of weights[k] * x[indices[k]], along an axis. Where a weight is 0, it does not matter what x holds."""
    shape = [1] * x.ndim
    shape[axis] = indices.shape[1]

    def term(index: Any, weight: Any) -> jax.Array:
        weight = jnp.asarray(weight, x.dtype).reshape(shape)
        return jnp.where(weight == 0, 0, jnp.take(x, index, axis, mode="clip") * weight)

    if len(indices) <= 16:
        return sum(term(*tap) for tap in zip(indices, weights, strict=True))  # type: ignore[return-value]
    taps = (jnp.asarray(indices), jnp.asarray(weights, x.dtype))
    start = jnp.zeros([indices.shape[1] if d == axis else n for d, n in enumerate(x.shape)], x.dtype)
    return lax.scan(lambda total, tap: (total + term(*tap), None), start, taps)[0]


def _fixed_point(x: jax.Array, axis: int, indices: np.ndarray, weights: np.ndarray) -> jax.Array:
    """The weighted sum of bytes, in whole numbers: as many bits for the weights as 16 can hold (as in Pillow-SIMD)."""
    merged = np.zeros_like(weights)
    for k, index in enumerate(indices):  # a pixel at the border may be several taps
        np.add.at(merged, ((indices == index).argmax(0), np.arange(len(index))), weights[k])
    top, bits = merged.max(), 0
    while bits < 22 and int(0.5 + top * (1 << (bits + 1))) < 1 << 15:
        bits += 1
    whole = np.trunc(merged * (1 << bits) + np.copysign(0.5, merged)).astype(np.int32)
    total = _weighted_sum(x.astype(jnp.int32), axis, indices, whole)
    return jnp.clip((total + (1 << bits >> 1)) >> bits, 0, 255).astype(jnp.uint8)


def _resampled(
    input: jax.Array, size: Sequence[int], factors: Sequence[float | None], mode: str, align_corners: bool,
    antialias: bool = False,
) -> jax.Array:  # fmt: skip
    x = wide(input)
    real = np.float32 if x.dtype == jnp.float32 else np.float64
    summed = _fixed_point if x.dtype == jnp.uint8 else _weighted_sum
    for axis, count, factor in reversed(list(zip(range(2, x.ndim), size, factors, strict=True))):
        taps = _filter_taps if antialias else _taps
        indices, weights = taps(x.shape[axis], count, factor, mode, align_corners, real)
        nearest = mode.startswith("nearest")
        x = jnp.take(x, indices[0], axis, mode="clip") if nearest else summed(x, axis, indices, weights)
    return x.astype(input.dtype)


def _require_pixels(kernel: str, input: jax.Array, bytes_too: bool = True) -> None:
    """Raise NotImplementedError for elements that are neither floating point numbers nor, if these may be, bytes."""
    if category(input) != FLOAT and not (bytes_too and input.dtype == jnp.uint8):
        raise NotImplementedError(
            f"\"{kernel}\" not implemented for '{type_name(input)}' (cast the input to a floating point dtype, or to uint8)"
        )


def _declared(mode: str, name: str) -> Callable:
    def upsample(input: Array, size: Any, factors: Any, align_corners: bool) -> Array:
        by_channels = (mode.startswith("nearest") or mode == "linear") and input.ndim == 4
        kind = "bilinear" if mode == "linear" else "nearest"
        weights = "compute_indices_weights_" + mode.partition("-")[0]
        bytes_too = mode != "linear" or input.ndim == 4
        _require_pixels(f"upsample_{kind}2d_channels_last" if by_channels else weights, input, bytes_too)
        return _resampled(input, size, factors, mode, align_corners)

    upsample.__name__ = f"_upsample_{mode.replace('-', '_')}"
    return operator(methods=False, public=(), grad=lambda arrays: name.format(arrays[0].ndim - 2))(upsample)


def _declared_antialiased(mode: str, name: str) -> Callable:
    def upsample(input: Array, size: Any, factors: Any, align_corners: bool) -> Array:
        _require_pixels("compute_index_ranges_weights", input)
        return _resampled(input, size, factors, mode, align_corners, antialias=True)

    upsample.__name__ = f"_upsample_{mode}_antialiased"
    return operator(methods=False, public=(), grad=f"Upsample{name}2DAaBackward0")(upsample)


_NEAREST = {
    "nearest": _declared("nearest", "UpsampleNearest{}DBackward0"),
    "nearest-exact": _declared("nearest-exact", "UpsampleNearestExact{}DBackward0"),
}
_SMOOTH = {
    ("linear", 1): _declared("linear", "UpsampleLinear1DBackward0"),
    ("bilinear", 2): _declared("linear", "UpsampleBilinear2DBackward0"),
    ("trilinear", 3): _declared("linear", "UpsampleTrilinear3DBackward0"),
    ("bicubic", 2): _declared("cubic", "UpsampleBicubic2DBackward0"),
}
_ANTIALIASED = {
    "bilinear": _declared_antialiased("linear", "Bilinear"),
    "bicubic": _declared_antialiased("cubic", "Bicubic"),
    "lanczos": _declared_antialiased("lanczos", "Lanczos"),
}
_MODES = ("nearest", "linear", "bilinear", "bicubic", "trilinear", "lanczos", "area", "nearest-exact")


def _check_corners(mode: str, align_corners: bool | None) -> None:
    if align_corners is not None and mode in ("nearest", "nearest-exact", "area"):
        raise ValueError(
            "align_corners option can only be set with the interpolating modes: linear | bilinear | bicubic | "
            f"trilinear, but got mode {mode!r}"
        )


def _check_mode(mode: str, n: int, align_corners: bool | None, antialias: bool) -> None:
    if antialias and (mode not in _ANTIALIASED or n != 2):
        raise ValueError(message("antialias_modes"))
    if mode == "lanczos" and n == 2 and align_corners:
        raise ValueError("Lanczos mode does not support align_corners=True")
    if antialias or (n in (1, 2, 3) and (mode in ("nearest", "nearest-exact", "area") or (mode, n) in _SMOOTH)):
        return
    if mode == "lanczos" and n == 2:
        raise ValueError("Lanczos mode requires antialias=True")
    if mode in ("linear", "bilinear", "trilinear") and n in (1, 2, 3):
        wanted = next(k for m, k in _SMOOTH if m == mode) + 2
        raise NotImplementedError(f"Got {n + 2}D input, but {mode} mode needs {wanted}D input")
    raise NotImplementedError(
        f"Input Error: Only 3D, 4D and 5D input Tensors supported (got {n + 2}D) "
        f"for the modes: {' | '.join(_MODES)} (got {mode})"
    )


def _by_side(sizes: Sequence[int]) -> str:
    return ", ".join(f"{side}: {size}" for side, size in zip("DHW"[-len(sizes) :], sizes, strict=True))


@composite(methods=False, public=("nn.functional",))
def interpolate(
    input: Any, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None, antialias: bool = False,
) -> Any:  # fmt: skip
    """Resample the spatial dimensions of `(N, C, *)` to `size`, or by `scale_factor`.

    Modes: 'nearest', 'nearest-exact', 'area' (1 to 3 spatial dimensions), 'linear' (1), 'bilinear', 'bicubic' (2),
    'trilinear' (3). `align_corners` puts the corners of both grids on each other. `antialias` (of 'bilinear', 'bicubic',
    'lanczos') widens the filter where the result is smaller, as Pillow does.
    """
    n = input.ndim - 2
    _check_corners(mode, align_corners)
    sizes, factors = _wanted_sizes(tuple(input.shape[2:]), size, scale_factor, recompute_scale_factor)
    _check_mode(mode, n, align_corners, antialias)
    if 0 in input.shape[1:] and mode != "area" and min(sizes) > 0 and 0 not in input.shape[2:]:
        raise RuntimeError(
            f"Non-empty {input.ndim}D data tensor expected but got a tensor with sizes {list(input.shape)}"
        )
    if min(sizes) <= 0 or (0 in input.shape[2:] and mode != "area"):
        raise RuntimeError(
            f"Input and output sizes should be greater than 0, but got input ({_by_side(input.shape[2:])}) "
            f"{'and ' * (n == 1)}output ({_by_side(sizes)})"
        )
    if mode == "area":
        return (adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d)[n - 1](input, sizes)
    operation = _ANTIALIASED[mode] if antialias else _NEAREST[mode] if mode in _NEAREST else _SMOOTH[mode, n]
    return operation(input, sizes, factors, bool(align_corners))


def _deprecated(name: str) -> None:
    warn(f"`nn.functional.{name}` is deprecated. Use `nn.functional.interpolate` instead.")


@composite(methods=False, public=("nn.functional",))
def upsample(
    input: Any, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None
) -> Any:
    """The old name of `interpolate`."""
    _deprecated("upsample")
    return interpolate(input, size, scale_factor, mode, align_corners)


@composite(methods=False, public=("nn.functional",))
def upsample_nearest(input: Any, size: Any = None, scale_factor: Any = None) -> Any:
    """`interpolate` with mode 'nearest'."""
    _deprecated("upsample_nearest")
    return interpolate(input, size, scale_factor, "nearest")


@composite(methods=False, public=("nn.functional",))
def upsample_bilinear(input: Any, size: Any = None, scale_factor: Any = None) -> Any:
    """`interpolate` with mode 'bilinear' and aligned corners."""
    _deprecated("upsample_bilinear")
    return interpolate(input, size, scale_factor, "bilinear", True)


def _whole(size: tuple[Any, ...], repeated: bool) -> tuple[int, ...]:
    """The sizes as ints. TypeError for numbers that are none: PyTorch's differs with the mode."""
    kinds = [type(v) for v in size]
    try:
        if bool in kinds:
            raise TypeError
        return tuple(dimension(v) for v in size)
    except TypeError:
        raise TypeError(
            f"interpolate(): argument 'size' must be tuple of ints, not {kinds[0].__name__}"
            if repeated
            else "expected size to be one of int or Tuple[int] or Tuple[int, int] or Tuple[int, int, int], "
            f"but got size with types {kinds}"
        ) from None


def _wanted_sizes(
    sizes: tuple[int, ...], size: Any, scale_factor: Any, recompute: bool | None
) -> tuple[tuple[int, ...], tuple[float | None, ...]]:
    """The output's spatial sizes, and the factors that source positions are computed with (None: from the sizes)."""
    n = len(sizes)
    if (size is None) == (scale_factor is None):
        raise ValueError(f"{'either' if size is None else 'only one of'} size or scale_factor should be defined")
    name, given = ("size", size) if size is not None else ("scale_factor", scale_factor)
    values = tuple(given) if isinstance(given, (list, tuple)) else (given,) * n
    if len(values) != n:
        what, shown, letter = ("output", "output size", "o") if size is not None else (name, name, "s")
        got = f"{shown} of {values}" if size is not None else f"{shown} of shape {values}"
        raise ValueError(
            f"Input and {what} must have the same number of spatial dimensions, but got input with spatial dimensions of "
            f"{list(sizes)} and {got}. Please provide input tensor in (N, C, d1, d2, ...,dK) format and {shown} in "
            f"({letter}1, {letter}2, ...,{letter}K) format."
        )
    if size is not None:
        if recompute:
            raise ValueError("recompute_scale_factor is not meaningful with an explicit size.")
        return _whole(values, given is not values), (None,) * n
    if any(isinstance(f, (str, Tensor)) for f in values):
        kind = next(type(f).__name__ for f in values if isinstance(f, (str, Tensor)))
        raise TypeError(
            f"interpolate(): argument 'scale_factor' must be tuple of floats, but found element of type {kind}"
        )
    made = tuple(math.floor(s * float(f)) for s, f in zip(sizes, values, strict=True))
    return made, (None,) * n if recompute else tuple(float(f) for f in values)
