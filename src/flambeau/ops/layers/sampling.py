"""Images read at places that a grid names: `grid_sample`, and the grid of an affine map."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ...core.context.telling import warn
from ...core.dispatch.messages import message
from ...core.dispatch.operator import Array, composite, operator
from ...core.tensor.tensor import Tensor
from ..making.ranges import evenly
from ..support.checks import FLOAT, category, scalar_name, type_name, whole_numbers, wide
from ..support.declare import alias
from .resampling import cubic_weights

MODES = {"bilinear": 0, "nearest": 1, "bicubic": 2}
PADDING_MODES = {"zeros": 0, "border": 1, "reflection": 2}


# ---------------------------------------------------------------- places along one dimension


def _within(x: jax.Array, size: int) -> jax.Array:
    """Places moved to the nearest pixel's centre; those that were moved, and NaN, have no gradient."""
    last = jnp.asarray(size - 1, x.dtype)
    return jnp.where(x > 0, jnp.where(x < last, x, last), 0)


def _reflected(x: jax.Array, size: int, align_corners: bool) -> jax.Array:
    """Places folded back at the borders: the outer pixels' centres, or their edges."""
    low, span = (0.0, size - 1) if align_corners else (-0.5, size)
    if not span:
        return jnp.zeros_like(x)
    distance = jnp.where(x < low, low - x, x - low)
    rest = lax.rem(distance, jnp.asarray(span, x.dtype))
    turned = lax.rem(lax.stop_gradient(jnp.floor(distance / span)), jnp.asarray(2, x.dtype)) != 0
    return jnp.where(turned, span - rest, rest) + low


def _padded(x: jax.Array, size: int, padding_mode: str, align_corners: bool) -> jax.Array:
    if padding_mode == "zeros":
        return x
    return _within(_reflected(x, size, align_corners) if padding_mode == "reflection" else x, size)


def _taps(
    x: jax.Array, size: int, mode: str, padding_mode: str, align_corners: bool, planar: bool
) -> list[tuple[jax.Array, Any]]:
    """The pixels along one dimension that make the value at each place, and their weights (None: 1)."""
    # rounded as PyTorch's kernels do: at a pixel's centre it is the rounding that says on which side the slope is taken
    if planar:
        x = (x + 1) * ((size - 1) / 2) if align_corners else (x + 1) * (size / 2) - 0.5
    else:
        x = (x + 1) / 2 * (size - 1) if align_corners else ((x + 1) * size - 1) / 2
    if mode == "bicubic":
        first = lax.stop_gradient(jnp.floor(x))
        weights = cubic_weights(x - first)
        return [(_padded(first + k - 1, size, padding_mode, align_corners), w) for k, w in enumerate(weights)]
    x = _padded(x, size, padding_mode, align_corners)
    if mode == "nearest":
        return [(jnp.round(x), None)]
    first = lax.stop_gradient(jnp.floor(x))
    return [(first, first + 1 - x), (first + 1, x - first)]


# ---------------------------------------------------------------- grid_sample


def _check(input: jax.Array, grid: jax.Array, mode: str) -> None:
    if input.shape[:1] != grid.shape[:1]:
        raise RuntimeError(
            "grid_sampler(): expected grid and input to have same batch size, but got input with sizes "
            f"{list(input.shape)} and grid with sizes {list(grid.shape)}"
        )
    if not grid.ndim or grid.shape[-1] != input.ndim - 2:
        raise RuntimeError(
            f"grid_sampler(): expected grid to have size {input.ndim - 2} in last dimension, but got grid with sizes "
            f"{list(grid.shape)}"
        )
    for axis in range(2, input.ndim):
        if not input.shape[axis]:
            raise RuntimeError(
                "grid_sampler(): expected input to have non-empty spatial dimensions, but input has sizes "
                f"{list(input.shape)} with dimension {axis} being empty"
            )
    if input.ndim not in (4, 5) or input.ndim != grid.ndim:
        raise RuntimeError(
            f"grid_sampler(): expected {4 if input.ndim == 4 else 5}D input and grid with same number of dimensions, "
            f"but got input with sizes {list(input.shape)} and grid with sizes {list(grid.shape)}"
        )
    if mode == "bicubic" and input.ndim != 4:
        raise RuntimeError("grid_sampler(): bicubic interpolation only supports 4D input")
    if category(input) != FLOAT:
        kernel = "grid_sampler_2d_cpu_kernel_impl" if input.ndim == 4 else "grid_sampler3d_cpu"
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{type_name(input)}'")
    if input.dtype != grid.dtype:
        names = [scalar_name(array).removeprefix("c10::").capitalize() for array in (input, grid)]
        raise RuntimeError(f"expected scalar type {names[0]} but found {names[1]} (the grid has the input's dtype)")


@operator(methods=False, public=(), grad=lambda arrays: f"GridSampler{arrays[0].ndim - 2}DBackward0")
def _grid_sample(input: Array, grid: Array, mode: str, padding_mode: str, align_corners: bool) -> Array:
    _check(input, grid, mode)
    samples, channels, *sizes = input.shape
    if not input.size or not grid.size:
        return jnp.zeros((samples, channels, *grid.shape[1:-1]), input.dtype)
    pixels = math.prod(sizes)
    images = jnp.pad(wide(input).reshape(samples, channels, pixels), ((0, 0), (0, 0), (0, 1)))
    places = wide(grid).reshape(samples, math.prod(grid.shape[1:-1]), len(sizes))
    taps = [  # the grid names the last dimension first
        _taps(places[..., len(sizes) - 1 - d], size, mode, padding_mode, align_corners, len(sizes) == 2)
        for d, size in enumerate(sizes)
    ]
    corners = []
    for corner in itertools.product(*taps):
        index, inside, weight = 0, True, None
        stride = pixels
        for (place, factor), size in zip(corner, sizes, strict=True):
            stride //= size
            index = index + jnp.clip(jnp.nan_to_num(place), 0, size - 1).astype(jnp.int64) * stride  # type: ignore[assignment]
            inside = inside & (place >= 0) & (place < size)  # type: ignore[assignment]
            weight = factor if weight is None else weight * factor
        corners.append((jnp.where(inside, index, pixels), weight))  # outside of the image is a pixel of zeros
    if mode == "nearest":
        made = _per_sample(_picked, images, corners)
    else:  # one row of memory for each pixel
        made = jnp.moveaxis(_per_sample(_weighted, jnp.moveaxis(images, 1, 2), corners), 2, 1)
    return made.reshape(samples, channels, *grid.shape[1:-1]).astype(input.dtype)


def _picked(given: Any) -> jax.Array:
    image, [(index, _)] = given
    return jnp.take(image, index, 1, mode="clip")


def _weighted(given: Any) -> jax.Array:
    image, corners = given
    total: Any = 0
    for index, weight in corners:
        total = total + jnp.take(image, index, 0, mode="clip") * weight[:, None]
    return total


def _per_sample(function: Any, images: jax.Array, corners: Any) -> jax.Array:
    """The function of each sample; on the CPU one after the other, or else XLA finds the places anew for each channel."""
    return lax.platform_dependent(
        images, corners, cpu=lambda *given: lax.map(function, given), default=lambda *given: jax.vmap(function)(given)
    )


def _told_to_align(align_corners: bool | None) -> bool:
    if align_corners is None:
        warn(
            "Default grid_sample and affine_grid behavior has changed to align_corners=False since 1.3.0. "
            "Please specify align_corners=True if the old behavior is desired. "
            "See the documentation of grid_sample for details."
        )
    return bool(align_corners)


@composite(methods=False, public=("nn.functional",), autocast={"cpu": "float32"})
def grid_sample(
    input: Tensor | Any,
    grid: Any,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Any:
    """The values of `(N, C, *sizes)` at the places that `(N, *out, 2 or 3)` names (Jaderberg et al., 2015).

    Places go from -1 to 1, the last dimension's first: at the centres of the outer pixels if `align_corners`, else at their
    edges. Modes: 'bilinear' (trilinear with three dimensions), 'nearest', 'bicubic' (two dimensions). Beyond the border are
    zeros, the border's values, or the reflection (`padding_mode`). Gradients of every order are there.
    """
    if mode not in MODES:
        raise ValueError(message("grid_sample_mode", mode=mode))
    if padding_mode not in PADDING_MODES:
        raise ValueError(
            "nn.functional.grid_sample(): expected padding_mode to be 'zeros', 'border', or 'reflection', but got: "
            f"'{padding_mode}'"
        )
    return _grid_sample(input, grid, mode, padding_mode, _told_to_align(align_corners))


# ---------------------------------------------------------------- affine_grid


@operator(methods=False, public=(), grad="AffineGridGeneratorBackward0")
def _affine_grid(theta: Array, sizes: Any, align_corners: bool) -> Array:
    steps = []
    for size in sizes:
        line = evenly(-1.0, 1.0, size, theta.dtype) if size > 1 else np.zeros(1, theta.dtype)
        # in PyTorch's order: places that lie on pixels are to lie there exactly
        steps.append(line if align_corners else line * line.dtype.type(size - 1) / line.dtype.type(size))
    planes = np.meshgrid(*steps, indexing="ij")
    base = np.stack([*reversed(planes), np.ones(tuple(sizes))], -1).reshape(-1, len(sizes) + 1)
    made = jnp.matmul(jnp.asarray(base, theta.dtype), jnp.swapaxes(theta, 1, 2), precision=lax.Precision.HIGHEST)
    return made.reshape(theta.shape[0], *sizes, len(sizes))


def _check_affine(theta: Tensor, size: Sequence[int]) -> None:
    kind = theta.dtype
    if not kind.is_floating_point:
        raise ValueError(f"Expected theta to have floating point type, but got {kind}")
    dims = len(size) - 2
    if dims not in (2, 3):
        raise NotImplementedError(
            "affine_grid only supports 4D and 5D sizes, for 2D and 3D affine transforms, respectively. "
            f"Got size {size}."
        )
    if theta.ndim != 3 or theta.shape[-2] != dims or theta.shape[-1] != dims + 1:
        raise ValueError(
            f"Expected a batch of {dims}D affine matrices of shape Nx{dims}x{dims + 1} for size {size}. "
            f"Got {theta.shape}."
        )
    if min(size) <= 0:
        raise ValueError(f"Expected non-zero, positive output size. Got {size}")
    if size[0] != theta.shape[0]:
        raise RuntimeError(
            "Expected size for first two dimensions of batch2 tensor to be: "
            f"[{size[0]}, {dims + 1}] but got: [{theta.shape[0]}, {dims + 1}]."
        )


@composite(methods=False, public=("nn.functional",))
def affine_grid(theta: Tensor | Any, size: Any, align_corners: bool | None = None) -> Any:
    """The grid for `grid_sample` of the affine maps `(N, 2, 3)` or `(N, 3, 4)`, for results of the size `(N, C, *sizes)`."""
    if not isinstance(theta, Tensor):
        raise AttributeError(f"'{type(theta).__name__}' object has no attribute 'is_floating_point'")
    if not hasattr(size, "__len__"):
        raise TypeError(f"object of type '{type(size).__name__}' has no len()")
    given = whole_numbers("affine_grid_generator", "size", 2, size, not isinstance(size, (list, tuple)))
    _check_affine(theta, size)
    align_corners = _told_to_align(align_corners)
    sizes = tuple(given[2:])
    if align_corners and min(sizes) == 1:
        warn(message("affine_grid_of_size_one"))
    return _affine_grid(theta, sizes, align_corners)


# ---------------------------------------------------------------- the forms of `torch` itself


@composite(methods=False, autocast={"cpu": "float32"})
def grid_sampler(input: Any, grid: Any, interpolation_mode: int, padding_mode: int, align_corners: bool) -> Any:
    """`nn.functional.grid_sample`; the modes are numbers, in the order in which they are named there."""
    return _grid_sample(
        input, grid, tuple(MODES)[interpolation_mode], tuple(PADDING_MODES)[padding_mode], align_corners
    )


for _dims in (2, 3):
    alias(f"grid_sampler_{_dims}d", grid_sampler, methods=False)


@composite(methods=False)
def affine_grid_generator(theta: Any, size: Any, align_corners: bool) -> Any:
    """`nn.functional.affine_grid`"""
    return affine_grid(theta, size, align_corners)
