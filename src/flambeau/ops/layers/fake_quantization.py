"""Numbers rounded to the grid of a quantized dtype, in floating point (Jacob et al., 2018), with straight-through gradients."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...core.array.dtypes import float16, float32, int32
from ...core.dispatch.messages import message
from ...core.dispatch.operator import Array, composite, operator
from ...core.tensor.tensor import Tensor
from ..support.checks import demand, normalized_dim, require_floating, wide


@functools.partial(jax.custom_jvp, nondiff_argnums=(3, 4))
def _on_grid(x: jax.Array, scale: jax.Array, zero: jax.Array, low: int, high: int) -> jax.Array:
    return ((jnp.clip(_place(x, scale, zero, low), low, high) - zero) * scale).astype(x.dtype)


def _place(x: jax.Array, scale: jax.Array, zero: jax.Array, low: int) -> jax.Array:
    """The number of the grid's point; nan comes to lie below all of them."""
    steps = wide(x) * (1 / scale)
    places = jnp.round(steps) + zero if zero.dtype.kind in "iu" else jnp.round(steps + zero)
    return jnp.where(jnp.isnan(places), low - 1, places)


@_on_grid.defjvp
def _(low: int, high: int, primals: Any, tangents: Any) -> Any:
    x, scale, zero = primals
    places = _place(x, scale, zero, low)
    return _on_grid(x, scale, zero, low, high), jnp.where((places >= low) & (places <= high), tangents[0], 0)


def _check_limits(low: int, high: int) -> None:
    if low > high:
        raise RuntimeError("`quant_min` should be less than or         equal to `quant_max`.")


_OUTSIDE = "`zero_point` must be between `quant_min` and `quant_max`."
_KERNEL = "fake_quantize_tensor_cachemask_kernel_type_handling"


@operator(methods=False, public=(), grad="FakeQuantizePerTensorAffineCachemaskBackward0")
def _by_numbers(input: Array, scale: float, zero_point: int, quant_min: int, quant_max: int) -> Array:
    require_floating(_KERNEL, input)
    step = jnp.asarray(scale, np.float32)
    return _on_grid(input, step, jnp.asarray(zero_point, np.int32), quant_min, quant_max)


@operator(methods=False, public=(), grad="FakeQuantizePerTensorAffineCachemaskTensorQparamsBackward0")
def _by_tensors(input: Array, scale: Array, zero_point: Array, quant_min: int, quant_max: int) -> Array:
    require_floating(_KERNEL, input)
    return _on_grid(input, scale.reshape(()), zero_point.reshape(()), quant_min, quant_max)


@composite(methods=False, autocast={"cpu": "float32"})
def fake_quantize_per_tensor_affine(
    input: Tensor, scale: float | Tensor, zero_point: int | Tensor, quant_min: int, quant_max: int
) -> Tensor:
    """`(clamp(round(input / scale) + zero_point, quant_min, quant_max) - zero_point) * scale`.

    The gradient is 1 where nothing was cut off, else 0; there is none for `scale` and `zero_point`.
    """
    _check_limits(quant_min, quant_max)
    if isinstance(scale, Tensor):
        return _by_tensors(input, scale.detach(), zero_point, quant_min, quant_max)
    if not quant_min <= zero_point <= quant_max:  # type: ignore[operator]
        raise RuntimeError(_OUTSIDE)
    return _by_numbers(input, float(scale), int(zero_point), quant_min, quant_max)  # type: ignore[arg-type]


@operator(methods=False, public=(), grad="FakeQuantizePerChannelAffineCachemaskBackward0")
def _by_channels(input: Array, scale: Array, zero_point: Array, axis: int, quant_min: int, quant_max: int) -> Array:
    require_floating("fake_quantize_channel_cachemask_cpu_type_handling", input)
    shape = [-1 if d == axis else 1 for d in range(input.ndim)]
    return _on_grid(input, scale.reshape(shape), zero_point.reshape(shape), quant_min, quant_max)


@composite(methods=False)
def fake_quantize_per_channel_affine(
    input: Tensor, scale: Tensor, zero_point: Tensor, axis: int, quant_min: int, quant_max: int
) -> Tensor:
    """`fake_quantize_per_tensor_affine` with a scale (float32) and a zero point (int32, float32 or half) for each place of `axis`."""
    if scale.dtype is not float32:
        raise RuntimeError(f"Scale must be Float, found {scale.dtype.abbr}")
    if zero_point.dtype not in (int32, float32, float16):
        raise RuntimeError(f"Zero-point must be Int32, Float or Half, found {zero_point.dtype.abbr}")
    if scale.ndim != 1 or zero_point.ndim != 1:
        raise RuntimeError("scale and zero point need to be 1-D tensors")
    if scale.shape != zero_point.shape:
        raise RuntimeError("scale and zero-point need to have the same dimensions")
    place = normalized_dim(axis, input.ndim)
    if scale.shape[0] != input.shape[place]:
        raise RuntimeError("dimensions of scale and zero-point are not consistent with input tensor")
    _check_limits(quant_min, quant_max)
    if zero_point.dtype is int32:
        demand(lambda z: ((z < quant_min) | (z > quant_max), z), lambda _: RuntimeError(_OUTSIDE), zero_point)
    if axis < 0:
        raise RuntimeError("`axis` must be between 0 and number of dimensions of input")
    return _by_channels(input, scale.detach(), zero_point, place, quant_min, quant_max)


@operator(methods=False, public=())
def _moved_limits(
    input: Array, running_min: Array, running_max: Array, averaging: float, axis: int | None
) -> tuple[Array, ...]:
    axes = tuple(d for d in range(input.ndim) if d != axis) if axis is not None else None
    found = []
    for running, extreme in ((running_min, jnp.min), (running_max, jnp.max)):
        now = extreme(input, axes).astype(running.dtype)
        if running.size != now.size:  # nothing was seen yet
            found.append(now.reshape(-1))
            continue
        now = now.reshape(running.shape)
        found.append(jnp.where(jnp.isinf(running), now, running + averaging * (now - running)))
    return tuple(found)


@operator(methods=False, public=())
def _grid(low_value: Array, high_value: Array, quant_min: int, quant_max: int, symmetric: bool) -> tuple[Array, Array]:
    """The scale and the zero point for values between these limits, and 0."""
    low, high = jnp.minimum(low_value, 0).astype(np.float64), jnp.maximum(high_value, 0).astype(np.float64)
    scale = ((high - low) / (quant_max - quant_min)).astype(np.float32)
    scale = jnp.where(scale == 0, np.float32(0.1), scale)
    wide_scale = scale.astype(np.float64)
    from_low, from_high = quant_min - low / wide_scale, quant_max - high / wide_scale
    error_low = abs(quant_min) + jnp.abs(low / wide_scale)
    error_high = abs(quant_max) + jnp.abs(high / wide_scale)
    zero = jnp.clip(jnp.round(jnp.where(error_low < error_high, from_low, from_high)), quant_min, quant_max)
    if symmetric:  # where there are values on both sides of 0
        below, both = (quant_max - quant_min) // 2 + 1, (low < 0) & (high > 0)
        scale = jnp.where(both, jnp.maximum(-low / below, high / (below - 1)), scale).astype(np.float32)
        zero = jnp.where(both, quant_min + below, zero)
    return scale, zero.astype(np.int32)


@composite(methods=False)
def fused_moving_avg_obs_fake_quant(
    input: Tensor,
    observer_on: Tensor,
    fake_quant_on: Tensor,
    running_min: Tensor,
    running_max: Tensor,
    scale: Tensor,
    zero_point: Tensor,
    averaging_const: float,
    quant_min: int,
    quant_max: int,
    ch_axis: int,
    per_row_fake_quant: bool = False,
    symmetric_quant: bool = False,
) -> Tensor:
    """Move the running limits of the values towards the input's (`observer_on`), choose the grid by them, and round the
    input to it (`fake_quant_on`). The limits, `scale` and `zero_point` are written in place."""
    axis = normalized_dim(ch_axis, input.ndim) if per_row_fake_quant else None
    seen = input.detach()
    if int(observer_on):
        if axis:
            raise RuntimeError(message("fused_quant_axis"))
        limits = _moved_limits(seen, running_min, running_max, float(averaging_const), axis)
        news: list[Any] = list(zip((running_min, running_max), limits, strict=True))
        if int(fake_quant_on):
            chosen = _grid(*limits, quant_min, quant_max, bool(symmetric_quant))
            news += zip((scale, zero_point), chosen, strict=True)
        for old, new in news:
            new = new.to(old.dtype)
            if old.numel() != new.numel():
                old.resize_(tuple(new.shape))
            old.copy_(new.reshape(tuple(old.shape)))
    if not int(fake_quant_on):
        return input.clone()
    if per_row_fake_quant:
        return fake_quantize_per_channel_affine(input, scale, zero_point, ch_axis, quant_min, quant_max)
    return fake_quantize_per_tensor_affine(input, scale, zero_point, quant_min, quant_max)
