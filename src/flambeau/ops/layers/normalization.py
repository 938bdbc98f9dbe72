"""Normalizations. Statistics of half precision inputs are computed in float32."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ...core.array.size import out_of_range
from ...core.dispatch.operator import Array, Static, composite, operator
from ...core.tape.nodes import one_operator
from ...native.normalization import batch_normalized
from ..elementwise.arithmetic import modulus
from ..reduce.statistics import vector_norm as norm_of_vectors
from ..support.checks import (
    COMPLEX,
    FLOAT,
    HALVES,
    category,
    inexact,
    normalized_dim,
    refuse,
    refuse_uncommon_integers,
    require_floating,
    type_name,
    wide,
)
from ..support.images import BATCH_NORM
from .by_kernels import LAYER_NORM


def _check_parameters(input: jax.Array, *given: jax.Array | None, before: tuple[jax.Array | None, ...] = ()) -> None:
    """Parameters and statistics have the input's dtype, or all of them float32 beside a half precision input.

    The first of `given` says which of the two is meant; `before` are those of it that are looked at before the others.
    """
    arrays = [array for array in given if array is not None]
    if not arrays or all(array.dtype == input.dtype for array in arrays):
        return
    if arrays[0].dtype == input.dtype:
        found = next(a for a in (*before, *given) if a is not None and a.dtype != input.dtype)
        raise RuntimeError(
            f"expected scalar type {type_name(input)} but found {type_name(found)} (parameters and statistics have one dtype)"
        )
    narrow = [array for array in arrays if array.dtype != np.float32]
    if narrow or input.dtype not in HALVES:
        text = "expect parameter to have scalar type of Float" if narrow else "all inputs must share same datatype."
        found = (narrow or arrays)[0]
        raise RuntimeError(f"mixed dtype (CPU): {text} (got {type_name(found)} for an input of {type_name(input)})")


def _per_channel(values: jax.Array, ndim: int) -> jax.Array:
    return values.reshape((1, -1) + (1,) * (ndim - 2))


def _affine(x: jax.Array, weight: jax.Array | None, bias: jax.Array | None) -> jax.Array:
    if weight is not None:
        x = x * wide(weight)
    return x if bias is None else x + wide(bias)


def _moments(x: jax.Array, axes: Sequence[int], keepdims: bool = False) -> tuple[jax.Array, jax.Array]:
    mean = jnp.mean(x, axes, keepdims=True)
    variance = jnp.mean(jnp.square(x - mean), axes, keepdims=True)
    return (mean, variance) if keepdims else (mean.squeeze(axes), variance.squeeze(axes))


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _standardized(x: jax.Array, axes: tuple[int, ...], eps: Any) -> jax.Array:
    """x with mean 0 and variance 1 over some dimensions."""
    mean, variance = _moments(x, axes, keepdims=True)
    return (x - mean) * lax.rsqrt(variance + eps)


@_standardized.defjvp
def _standardized_jvp(axes: tuple[int, ...], primals: Any, tangents: Any) -> Any:
    # With two sums in either direction; XLA's own derivative takes twice as many passes.
    x, eps = primals
    mean, variance = _moments(x, axes, keepdims=True)
    scale = lax.rsqrt(variance + eps)
    y, dx = (x - mean) * scale, tangents[0]
    shift, stretch = (jnp.mean(a, axes, keepdims=True) for a in (dx, y * dx))
    return y, scale * (dx - shift - y * stretch)


@jax.custom_jvp
def _normalized_groups(x: jax.Array, gain: jax.Array, shift: jax.Array, eps: Any) -> jax.Array:
    """`(N, groups, channels, pixels)` with mean 0 and variance 1 within each group, then scaled and shifted by channel."""
    mean, variance = _moments(x, (2, 3), keepdims=True)
    return (x - mean) * (lax.rsqrt(variance + eps) * gain) + shift


@_normalized_groups.defjvp
def _normalized_groups_jvp(primals: Any, tangents: Any) -> Any:
    # All sums are over a channel's pixels first; what is then left of them is small.
    (x, gain, shift, eps), (dx, dgain, dshift, _) = primals, tangents
    mean, variance = _moments(x, (2, 3), keepdims=True)
    scale, centred = lax.rsqrt(variance + eps), x - mean
    slope = scale * gain
    dscale = -(scale**3) * _channelwise_mean(centred * dx)
    change = dx * slope + centred * (dscale * gain + scale * dgain) + (dshift - slope * _channelwise_mean(dx))
    return centred * slope + shift, change


def _channelwise_mean(x: jax.Array) -> jax.Array:
    return jnp.mean(jnp.mean(x, 3, keepdims=True), 2, keepdims=True)


# ---------------------------------------------------------------- batch and instance normalization


_RUNNING = dict.fromkeys(("running_mean", "running_var"), "native_batch_norm")


@operator(methods=False, public=(), grad="NativeBatchNormBackward0", direct=BATCH_NORM, constant=_RUNNING)
def _batch_norm(
    input: Array, running_mean: Array | None, running_var: Array | None, weight: Array | None, bias: Array | None,
    momentum: Array, training: bool, eps: float = 1e-5,
) -> Any:  # fmt: skip
    """The normalized input and, in training, the new running mean and (unbiased) variance."""
    require_floating("batch_norm", input)
    if input.ndim < 2:
        raise out_of_range(1, 1, f"batch_norm takes an input of two dimensions or more, not {list(input.shape)}")
    channels = input.shape[1]
    mean, variance = running_mean, running_var
    given = {"running_mean": mean, "running_var": variance, "weight": weight, "bias": bias}
    for name, array in given.items():
        if array is not None and array.size != channels and input.size:
            raise RuntimeError(f"{name} should contain {channels} elements not {array.size}")
    _check_parameters(input, weight, bias, mean, variance, before=(mean, variance) if training else ())
    if any(array is not None and array.size != channels for array in given.values()):
        return input * 1  # there is nothing to normalize
    x = wide(input)
    gain = jnp.ones(channels, x.dtype) if weight is None else wide(weight).astype(x.dtype)
    shift = jnp.zeros(channels, x.dtype) if bias is None else wide(bias).astype(x.dtype)
    if training:
        out, batch_mean, batch_variance = batch_normalized(x, gain, shift, eps)
    else:
        scale = lax.rsqrt(wide(variance).astype(x.dtype) + eps)  # type: ignore[arg-type]
        out = (x - _per_channel(wide(mean).astype(x.dtype), x.ndim)) * _per_channel(scale * gain, x.ndim)  # type: ignore[arg-type]
        out = out + _per_channel(shift, x.ndim)
    out = out.astype(input.dtype)
    if not training or x.size == 0 or (mean is None and variance is None):
        return out  # an empty batch leaves the running statistics as they were
    count = x.size // max(channels, 1)
    unbiased = batch_variance * (count / max(count - 1, 1))
    news = [
        None if old is None else _moved(old, new, momentum) for old, new in ((mean, batch_mean), (variance, unbiased))
    ]
    return (out, *(n for n in news if n is not None))


def _moved(old: jax.Array, new: jax.Array, momentum: jax.Array) -> jax.Array:
    """The running statistic a step nearer to the batch's."""
    step = momentum.astype(new.dtype)
    return lax.stop_gradient((old.astype(new.dtype) * (1 - step) + new * step).astype(old.dtype))


def _check_both(running_mean: Any, running_var: Any) -> None:
    if (running_mean is None) != (running_var is None):
        raise ValueError("running_mean and running_var must either both be None or neither be None")


@composite(methods=False, public=("nn.functional",), numbers=True)
def batch_norm(
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Normalize each channel (dimension 1) over all other dimensions (Ioffe and Szegedy, 2015).

    With `training`, by the batch's own mean and variance, which also move `running_mean` and `running_var` (in place)
    by `momentum`; otherwise by these. Raises ValueError in training if there is but one value per channel.
    """
    if training:
        if eps <= 0:
            raise ValueError(f"batch_norm eps must be positive during training, but got {eps} for {list(input.shape)}")
        shape = input.shape
        if len(shape) >= 2 and math.prod(shape) == shape[1] and shape[1] > 0:
            raise ValueError(f"Expected more than 1 value per channel when training, got input size {shape}")
    elif eps < 0:
        raise ValueError(f"batch_norm eps must be non-negative, but got {eps} for {list(input.shape)}")
    elif running_mean is None or running_var is None:
        missing = "running_mean" if running_mean is None else "running_var"
        raise RuntimeError(f"{missing} must be defined in evaluation mode")
    _check_both(running_mean, running_var)
    with one_operator():
        made = _batch_norm(input, running_mean, running_var, weight, bias, momentum, training, eps)
        if not isinstance(made, tuple):
            return made
        out, *news = made
        for old, new in zip((b for b in (running_mean, running_var) if b is not None), news, strict=True):
            old._write(new._array)
    return out


@operator(methods=False, public=(), grad="ViewBackward0", constant=_RUNNING)
def _instance_norm(
    input: Array, running_mean: Array | None, running_var: Array | None, weight: Array | None, bias: Array | None,
    momentum: Array, use_input_stats: bool, eps: float = 1e-5,
) -> Any:  # fmt: skip
    require_floating("batch_norm", input)
    # PyTorch repeats the statistics for each sample, in the weight's dtype
    repeated = None if running_mean is None else jax.ShapeDtypeStruct((), (input if weight is None else weight).dtype)
    _check_parameters(input, weight, bias, repeated)  # type: ignore[arg-type]
    x, mean, variance = wide(input), running_mean, running_var
    axes = tuple(range(2, x.ndim))
    for name, array in (("running_mean", mean), ("running_var", variance), ("weight", weight), ("bias", bias)):
        if array is not None and array.size != input.shape[1] and (input.size or use_input_stats):
            n = input.shape[0]  # PyTorch's text counts them for each sample
            raise RuntimeError(
                f"{name} should contain {n * input.shape[1]} elements not {n * array.size} "
                f"(for {n} samples: {name} has {array.size} elements, the input {input.shape[1]} channels)"
            )
    if any(p is not None and p.size != x.shape[1] for p in (mean, weight)):
        return input * 1  # there is nothing to normalize
    if use_input_stats:
        m, v = _moments(x, axes, keepdims=True)
    else:
        m, v = (_per_channel(wide(s), x.ndim).astype(x.dtype) for s in (mean, variance))  # type: ignore[arg-type]
    shaped = [None if p is None else _per_channel(p, x.ndim) for p in (weight, bias)]
    out = _affine((x - m) * lax.rsqrt(v + eps), *shaped).astype(input.dtype)
    if not use_input_stats or mean is None:
        return out
    count = math.prod(x.shape[2:])
    new_mean, new_variance = m.mean((0, *axes)), v.mean((0, *axes)) * (count / max(count - 1, 1))
    return out, _moved(mean, new_mean, momentum), _moved(variance, new_variance, momentum)  # type: ignore[arg-type]


@composite(methods=False, public=("nn.functional",), numbers=True)
def instance_norm(
    input: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Normalize each channel of each sample over its spatial dimensions (Ulyanov et al., 2016).

    `use_input_stats=False` takes `running_mean` and `running_var` instead; otherwise these, if given, are moved in
    place by `momentum` towards the statistics averaged over the batch.
    """
    if use_input_stats:
        if math.prod(input.shape[2:]) == 1:
            raise ValueError(f"Expected more than 1 spatial element when training, got input size {input.shape}")
    elif running_mean is None or running_var is None:
        raise RuntimeError("Expected running_mean and running_var to be defined when use_input_stats is false")
    if input.ndim < 2:
        raise RuntimeError(f"instance_norm: expected an input with at least 2 dimensions, but got {list(input.shape)}")
    _check_both(running_mean, running_var)
    with one_operator():
        made = _instance_norm(input, running_mean, running_var, weight, bias, momentum, use_input_stats, eps)
        if not isinstance(made, tuple):
            return made
        running_mean._write(made[1]._array)
        running_var._write(made[2]._array)
    return made[0]


# ---------------------------------------------------------------- layer, group and root mean square normalization


def _check_normalized(
    input: jax.Array, shape: tuple[int, ...], gap: str = ", ", **given: jax.Array | None
) -> tuple[int, ...]:
    """The axes that `normalized_shape` names, after checking that everything has it."""
    if not shape:
        raise RuntimeError(
            "Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one element, "
            "but got normalized_shape = []"
        )
    for name, array in given.items():
        if array is not None and array.shape != shape:
            raise RuntimeError(
                f"Expected {name} to be of same shape as normalized_shape, but got {name} of shape "
                f"{list(array.shape)} and normalized_shape = {list(shape)}"
            )
    if input.shape[max(input.ndim - len(shape), 0) :] != shape:
        wanted = f"*{gap}" + ", ".join(map(str, shape))
        raise RuntimeError(
            f"Given normalized_shape={list(shape)}, expected input with shape [{wanted}], "
            f"but got input of size{list(input.shape)}"
        )
    return tuple(range(input.ndim - len(shape), input.ndim))


@operator(
    methods=False,
    public=("torch", "nn.functional"),
    grad="NativeLayerNormBackward0",
    autocast={"cuda": "float32"},
    in_python=True,
    by_numpy=LAYER_NORM,
)
def layer_norm(
    input: Array, normalized_shape: Any, weight: Array | None = None, bias: Array | None = None, eps: float = 1e-5
) -> Array:
    """Normalize over the last dimensions, whose sizes are `normalized_shape` (Ba et al., 2016)."""
    axes = _check_normalized(input, _as_shape("layer_norm", normalized_shape), weight=weight, bias=bias)
    _check_parameters(input, weight, bias)
    require_floating("LayerNormKernelImpl", input)
    return _affine(_standardized(wide(input), axes, eps), weight, bias).astype(input.dtype)


@operator(methods=False, public=("torch", "nn.functional"), grad="MulBackward0", in_python=True)
def rms_norm(input: Array, normalized_shape: Any, weight: Array | None = None, eps: float | None = None) -> Array:
    """Divide by the root mean square over the last dimensions, whose sizes are `normalized_shape`.

    `eps` defaults to the dtype's (Zhang and Sennrich, 2019).
    """
    shape = _as_shape("rms_norm", normalized_shape)
    if input.ndim < len(shape):
        raise ValueError(f"Input tensor must have at least {len(shape)} dimensions, but got {input.ndim}")
    axes = _check_normalized(input, shape, "", weight=weight)
    require_floating("rms_norm", input, most=COMPLEX)
    x = wide(input)
    if eps is None:
        eps = float(jnp.finfo(x.dtype).eps)
    square = jnp.mean(jnp.square(x), axes, keepdims=True)
    return _affine(x * lax.rsqrt(square + eps), weight, None).astype(input.dtype)


def _as_shape(name: str, given: Any) -> tuple[int, ...]:
    where = f"{name}(): argument 'normalized_shape' (position 2) must be tuple of ints"
    if not isinstance(given, (tuple, list)):
        raise TypeError(f"{where}, not {type(given).__name__}")
    for place, size in enumerate(given):
        if not hasattr(size, "__index__"):
            raise TypeError(f"{where}, but found element of type {type(size).__name__} at pos {place}")
    return tuple(given)


@operator(
    methods=False,
    public=("torch",),
    grad="NativeGroupNormBackward0",
    autocast={"cuda": "float32"},
)
def group_norm(
    input: Array, num_groups: int, weight: Array | None = None, bias: Array | None = None, eps: float = 1e-5
) -> Array:
    """Normalize each of `num_groups` groups of channels of each sample (Wu and He, 2018)."""
    if input.ndim < 2:
        raise RuntimeError(f"Expected at least 2 dimensions for input tensor but received {input.ndim} in group_norm")
    samples, channels = input.shape[:2]
    if num_groups <= 0:
        raise RuntimeError(f"Expected num groups to be greater than 0, got {num_groups}")
    if channels % num_groups:
        raise RuntimeError(
            "Expected number of channels in input to be divisible by num_groups, but got input of shape "
            f"{list(input.shape)} and num_groups={num_groups}"
        )
    for name, array in (("weight", weight), ("bias", bias)):
        if array is not None and array.shape != (channels,):
            raise RuntimeError(
                f"Expected {name} to be a vector of size equal to the number of channels in input, but got {name} "
                f"of shape {list(array.shape)} and input of shape {list(input.shape)}"
            )
    _check_parameters(input, weight, bias)
    require_floating("GroupNormKernelImpl", input)
    x = wide(input).reshape(samples, num_groups, channels // num_groups, math.prod(input.shape[2:]))
    gain, shift = (
        jnp.full((1, 1, 1, 1), default, x.dtype) if p is None else wide(p).reshape(1, num_groups, -1, 1)
        for p, default in ((weight, 1), (bias, 0))
    )
    return _normalized_groups(x, gain, shift, eps).reshape(input.shape).astype(input.dtype)


@composite(methods=False, public=("nn.functional",), name="group_norm", numbers=True)
def _functional_group_norm(input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    """Normalize each of `num_groups` groups of channels of each sample (Wu and He, 2018).

    Raises ValueError if a group is but one value.
    """
    if input.ndim >= 2:
        samples, channels, *sizes = input.shape
        per_group = [samples * channels // num_groups, num_groups, *sizes]
        if per_group[0] * math.prod(sizes) == 1:
            raise ValueError(f"Expected more than 1 value per channel when training, got input size {per_group}")
    return group_norm(input, num_groups, weight, bias, eps)


@operator(methods=False, public=("nn.functional",), grad="DivBackward0")
def local_response_norm(input: Array, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Array:
    """Divide by a power of the mean square over `size` neighbouring channels (Krizhevsky et al., 2012)."""
    if input.ndim < 3:
        raise ValueError(f"Expected 3D or higher dimensionality {' ' * 24} input (got {input.ndim} dimensions)")
    if input.size == 0:
        return input  # of whole numbers too
    kernel = "avg_pool2d" if input.ndim == 3 else "avg_pool3d_out_frame"
    refuse(kernel, input, COMPLEX)
    refuse_uncommon_integers(kernel, input)
    input = inexact(input)
    x = wide(input)
    squares = jnp.pad(x * x, [(0, 0), (size // 2, (size - 1) // 2)] + [(0, 0)] * (x.ndim - 2))
    total = sum(lax.slice_in_dim(squares, j, j + x.shape[1], axis=1) for j in range(size))
    return (x / jnp.power(total / size * alpha + k, beta)).astype(input.dtype)


def _channel_sums(x: jax.Array, member: np.ndarray) -> jax.Array:
    return jnp.einsum("oc,nc...->no...", jnp.asarray(member, x.dtype), x, precision=lax.Precision.HIGHEST)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1, 2, 3, 4))
def _cross_map_norm(x: jax.Array, size: int, alpha: float, beta: float, k: float) -> jax.Array:
    return x * _cross_map_scale(x, size, alpha, k) ** -beta


def _cross_map_scale(x: jax.Array, size: int, alpha: float, k: float) -> jax.Array:
    """k + alpha / size * squares of the channels nearer than size // 2 + 1 (rounded down), and of the first channel."""
    place, reach = np.arange(x.shape[1]), (size - 1) // 2 + 1
    member = (np.abs(place[:, None] - place) < reach) | (place == 0)
    return k + alpha / size * _channel_sums(jnp.square(x), member)


@_cross_map_norm.defjvp
def _(size: int, alpha: float, beta: float, k: float, primals: tuple, tangents: tuple) -> tuple:
    (x,), (dx,) = primals, tangents
    scale = _cross_map_scale(x, size, alpha, k)
    y = x * scale**-beta
    place, back = np.arange(x.shape[1]), int(size - (size - 1) / 2)
    behind = place[:, None] - place + back  # PyTorch's gradient has windows that lie otherwise than the values' do
    member = (behind >= 0) & (behind < size)
    return y, dx * scale**-beta - 2 * alpha * beta / size * (y / scale) * _channel_sums(x * dx, member)


@operator(methods=False, public=(), grad="CrossMapLRN2dBackward")
def cross_map_lrn2d(input: Array, size: int, alpha: float, beta: float, k: float) -> Array:
    """`local_response_norm` of images as `nn.CrossMapLRN2d` computes it: the first channel counts everywhere."""
    if input.ndim != 4:
        raise ValueError(f"CrossMapLRN2d: Expected input to be 4D, got {input.ndim}D instead.")
    if category(input) < FLOAT:
        raise RuntimeError(f"result type Float can't be cast to the desired output type {type_name(input)}")
    return _cross_map_norm(wide(input), size, alpha, beta, k).astype(input.dtype)


@operator(
    methods=False,
    public=("nn.functional",),
    grad="DivBackward0",
    autocast={"cuda": "float32"},
    room={"eps": "own inexact"},
)
def normalize(input: Array, p: Static[float] = 2.0, dim: Any = 1, eps: float = 1e-12) -> Array:
    """Divide by the p-norm along `dim`, or by `eps` where that is larger."""
    if not jnp.issubdtype(input.dtype, jnp.inexact):
        what = "floating point or complex tensor"
        raise RuntimeError(f"linalg.vector_norm: Expected a {what} as input. Got {type_name(input)}")
    x = wide(input)
    dim = tuple(normalized_dim(d, x.ndim) for d in (dim if isinstance(dim, tuple) else (dim,)))
    if x.ndim == 0:
        dim = ()  # a scalar's only dimension is itself
    size = vector_norm(x, p, dim, True)
    # chosen, not the larger one: that has a slope of 0 times what arrives, which may be infinite
    return (x / jnp.where(size < eps, jnp.asarray(eps).astype(size.dtype), size)).astype(input.dtype)


def vector_norm(x: jax.Array, p: float, dim: tuple[int, ...], keepdims: bool) -> jax.Array:
    """The p-norm, with gradient 0 where the norm is 0."""
    size = modulus(x)
    if p == math.inf:
        return size.max(dim, keepdims=keepdims)
    if p == -math.inf:
        return size.min(dim, keepdims=keepdims)
    if p == 0:
        return (x != 0).astype(size.dtype).sum(dim, keepdims=keepdims)
    if p == 1:
        return size.sum(dim, keepdims=keepdims)
    if p == 2:
        powers = jnp.square(x) if not jnp.iscomplexobj(x) else jnp.square(x.real) + jnp.square(x.imag)
    else:
        return norm_of_vectors(x, p, dim, keepdims)
    total = powers.sum(dim, keepdims=keepdims)
    safe = jnp.where(total == 0, jnp.ones((), total.dtype), total)
    return jnp.where(total == 0, jnp.zeros((), total.dtype), jnp.sqrt(safe))


# --- as `torch` itself has them: arguments in another order, a reduction as a number -----------------------------------


@composite(methods=False, name="batch_norm")
def _torch_batch_norm(
    input: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, training: bool, momentum: float,
    eps: float, cudnn_enabled: bool,
) -> Any:  # fmt: skip
    """`nn.functional.batch_norm`."""
    return batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


@composite(methods=False, name="instance_norm")
def _torch_instance_norm(
    input: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, use_input_stats: bool, momentum: float,
    eps: float, cudnn_enabled: bool,
) -> Any:  # fmt: skip
    """`nn.functional.instance_norm`."""
    return instance_norm(input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)
