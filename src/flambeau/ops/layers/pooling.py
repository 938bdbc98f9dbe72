"""Pooling. What pools is in `native/pooling.py` and `native/xla_pooling.py`; here are PyTorch's operators."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ...core.array import dtypes
from ...core.dispatch.operator import Array, composite, operator
from ...core.dispatch.signature import not_a_tensor
from ...core.tensor.tensor import Tensor
from ...native.pooling import max_pooled
from ...native.xla_pooling import Windows, adaptive, regular, shaped, sum_along
from ..random.factories import rand
from ..support.checks import (
    BOOL,
    COMPLEX,
    FLOAT,
    HALVES,
    INTEGER,
    category,
    refuse,
    refuse_outside,
    refuse_uncommon_integers,
    require_floating,
    type_name,
    whole_numbers,
    wide,
)
from ..support.declare import alias
from .pooling_errors import (
    checked_rank,
    negative,
    not_positive,
    nothing_to_pool,
    require_padding,
    too_few,
    too_much_padding,
    too_small,
    wrong_count,
    wrong_rank,
)


def _pooled_size(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> int:
    span = size + 2 * padding - dilation * (kernel - 1) - 1
    count = (-(-span // stride) if ceil_mode else span // stride) + 1
    if ceil_mode and (count - 1) * stride >= size + padding:
        count -= 1  # the last window must begin inside the input or its left padding
    return count


# ---------------------------------------------------------------- arguments


_SIDES = "non-batch dimensions"
_EMPTY = f"Expected input to have non-zero size for {_SIDES}"


_PLACES = {"kernel_size": 2, "stride": 3, "padding": 4, "dilation": 5, "output_size": 2}


def _per_dim(value: Any, n: int, function: str, name: str) -> tuple[int, ...]:
    values = tuple(whole_numbers(function, name, _PLACES[name], value, not isinstance(value, tuple)))
    if len(values) == 1:
        values *= n
    if len(values) != n:
        raise RuntimeError(wrong_count(function, n, name, values))
    return values


def _require_planes(name: str, input: jax.Array, n: int) -> None:
    """There must be n spatial dimensions, and only the batch, or the channels of an adaptive mean, may be empty."""
    if input.ndim not in (n + 1, n + 2):
        raise wrong_rank(name, input, n)
    if not name.startswith("adaptive"):
        if 0 in input.shape[-n - 1 :]:
            raise nothing_to_pool(name, list(input.shape), n)
        return
    empty = next(
        (d for d in range(1 if "max" in name or n == 3 else input.ndim - n, input.ndim) if input.shape[d] == 0), None
    )
    if empty is not None:
        which = "non-batch dimensions"
        raise RuntimeError(
            f"{name}(): Expected input to have non-zero size for {which}, "
            f"but input has sizes {list(input.shape)} with dimension {empty} being empty"
        )


def _regular_windows(
    input: jax.Array, n: int, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool, name: str
) -> list[Windows]:
    kernel = _per_dim(kernel, n, name, "kernel_size")
    stride = kernel if stride is None or stride == () else _per_dim(stride, n, name, "stride")
    padding, dilation = _per_dim(padding, n, name, "padding"), _per_dim(dilation, n, name, "dilation")
    for k, s, p, d in zip(kernel, stride, padding, dilation, strict=True):
        if k <= 0 or s <= 0 or d <= 0:
            raise not_positive(name, kernel, stride, dilation)
        require_padding(name, k, p, d)
    _require_planes(name, input, n)
    if n > 1 and "max" in name and any(p > k // 2 for k, p in zip(kernel, padding, strict=True)):
        raise RuntimeError(too_much_padding(kernel, padding))
    sizes = input.shape[-n:]
    counts = [_pooled_size(*each, ceil_mode) for each in zip(sizes, kernel, stride, padding, dilation, strict=True)]
    if any(c <= 0 for c in counts):
        raise RuntimeError(too_small(name, input.shape[-n - 1], sizes, counts, kernel))
    return [regular(*each) for each in zip(sizes, kernel, stride, padding, dilation, counts, strict=True)]


def _adaptive_windows(input: jax.Array, n: int, output_size: Any, name: str) -> list[Windows]:
    counts = _adaptive_counts(input, n, output_size, name)
    return [adaptive(s, c) for s, c in zip(input.shape[-n:], counts, strict=True)]


def _adaptive_counts(input: jax.Array, n: int, output_size: Any, name: str) -> list[int]:
    given = output_size if isinstance(output_size, tuple) else (output_size,)
    open_sides = [w is None and isinstance(output_size, tuple) and n > 1 for w in given]  # that keep the input's size
    known = tuple(0 if left else w for w, left in zip(given, open_sides, strict=True))
    whole_numbers(name, "output_size", 2, known, not isinstance(output_size, tuple))
    if n > 1 and isinstance(output_size, tuple) and 1 < len(output_size) >= input.ndim:
        raise ValueError(
            f"{name}: Input dimension should be at least {len(output_size) + 1}, but got {list(input.shape)}"
        )
    _require_planes(name, input, n)
    if isinstance(output_size, tuple) and len(given) != n:
        raise RuntimeError(
            f"{name}() argument 'output_size' should contain one int (got {len(given)})"
            if n == 1
            else f"{name}{'(): internal error: output_size.size()' if 'max' in name else ': output_size'} "
            f"must be {n}: as many numbers, not {output_size}"
        )
    times = n // len(given)
    sides = zip(input.shape[-n:], known * times, open_sides * times, strict=True)
    counts = [s if left else w for s, w, left in sides]
    if any(c < 0 for c in counts):
        raise RuntimeError(negative(name, input.shape[:-n], counts))
    return counts


# ---------------------------------------------------------------- operators


def _max_result(x: jax.Array, windows: list[Windows], with_indices: bool, kernel: str, whole: bool) -> Any:
    """Maxima and their places; `kernel` is PyTorch's name for what computes them, and `whole` whether it takes integers."""
    refuse(kernel, x, BOOL, COMPLEX, *(() if whole else (INTEGER,)))
    values, places = max_pooled(x, windows, with_indices)
    return (values, places.astype(jnp.int64)) if with_indices else values  # type: ignore[union-attr]


def _averaged(input: jax.Array, windows: list[Windows], divisors: Sequence[np.ndarray]) -> jax.Array:
    n = len(windows)
    x = wide(input) if jnp.issubdtype(input.dtype, jnp.inexact) else input
    for axis, w in zip(range(x.ndim - n, x.ndim), windows, strict=True):
        x = sum_along(x, axis, w)
    divisor = np.asarray(math.prod(shaped(d, n, i) for i, d in enumerate(divisors)))
    if divisor.size and (divisor == divisor.flat[0]).all():
        divisor = divisor.reshape(-1)[0]  # a number, of which programs for several sizes can make an input
    if jnp.issubdtype(x.dtype, jnp.integer):
        return lax.div(x, jnp.broadcast_to(jnp.asarray(divisor, x.dtype), x.shape))
    return (x / jnp.asarray(divisor, x.dtype)).astype(input.dtype)


def _declared(
    function: Callable, name: str, kind: str, n: int, doc: str, public: tuple[str, ...], in_python: bool | None = None
) -> Callable:
    """An operator under `name`. PyTorch makes the 1d pools from the 2d ones and squeezes, so that is their gradient."""
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    grad = "SqueezeBackward1" if n == 1 else f"{kind}Backward0"
    casts = {"cpu": "float32"} if n == 3 else None
    return operator(methods=False, public=public, grad=grad, autocast=casts, in_python=in_python)(function)


def _max_pool(n: int) -> Callable:
    name = f"max_pool{n}d"

    def pool(
        input: Array, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
        ceil_mode: bool = False, return_indices: bool = False,
    ) -> Any:  # fmt: skip
        if n == 1 and return_indices and input.ndim not in (2, 3):
            raise checked_rank(name, input)
        windows = _regular_windows(input, n, kernel_size, stride, padding, dilation, ceil_mode, name)
        kernel = f"max_pool{max(n, 2)}d" if n > 1 or return_indices else "max_pool1d_impl"
        return _max_result(input, windows, return_indices, kernel, whole=n > 1 or return_indices)

    doc = f"The maximum of each window over the last {n} dimensions, and its place in the plane if `return_indices`."
    return _declared(pool, name, f"MaxPool{n}DWithIndices", n, doc, ("torch", "nn.functional"), in_python=True)


def _adaptive_max_pool(n: int) -> Callable:
    name = f"adaptive_max_pool{n}d"

    def pool(input: Array, output_size: Any, return_indices: bool = False) -> Any:
        counts = _adaptive_counts(input, n, output_size, name)
        if 0 in counts:
            nothing = jnp.zeros((*input.shape[:-n], *counts), input.dtype)
            return (nothing, nothing.astype(jnp.int64)) if return_indices else nothing
        windows = _adaptive_windows(input, n, output_size, name)
        kernel = "adaptive_max_pool3d_cpu" if n == 3 else "adaptive_max_pool2d"
        return _max_result(input, windows, return_indices, kernel, whole=False)

    doc = f"`max_pool{n}d` with as many near-equal windows as `output_size` says."
    return _declared(pool, name, f"AdaptiveMaxPool{n}D", n, doc, ("nn.functional",))


def _avg_pool(n: int) -> Callable:
    name = f"avg_pool{n}d"

    def pool(
        input: Array, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
        count_include_pad: bool = True, divisor_override: int | None = None,
    ) -> Array:  # fmt: skip
        if divisor_override == 0:
            raise RuntimeError("divisor must be not zero")
        kernel = "avg_pool3d_out_frame" if n == 3 else "avg_pool2d"
        refuse(kernel, input, COMPLEX)
        refuse_uncommon_integers(kernel, input)
        if n == 3 and input.dtype in HALVES:
            raise NotImplementedError(f"\"{kernel}\" not implemented for '{type_name(input)}'")
        windows = _regular_windows(input, n, kernel_size, stride, padding, 1, ceil_mode, name)
        if divisor_override is not None:
            divisors = [np.asarray([divisor_override])] + [np.ones(1, int)] * (n - 1)
        elif count_include_pad:
            pads = _per_dim(padding, n, name, "padding")
            divisors = [(w.positions < w.size + p).sum(1) for w, p in zip(windows, pads, strict=True)]
        else:
            divisors = [np.maximum(w.valid.sum(1), 1) for w in windows]
        return _averaged(input, windows, divisors)

    doc = f"The mean of each window over the last {n} dimensions; `divisor_override` takes the place of its size."
    public = ("torch", "nn.functional") if n == 1 else ("nn.functional",)
    return _declared(pool, name, f"AvgPool{n}D", n, doc, public, in_python=False)


def _adaptive_avg_pool(n: int) -> Callable:
    name = f"adaptive_avg_pool{n}d"

    def pool(input: Array, output_size: Any) -> Array:
        if category(input) < FLOAT and set(np.atleast_1d(output_size)) == {1}:  # PyTorch takes the mean of the whole
            what = "could not infer output dtype. Input dtype must be either a floating point or complex dtype."
            raise RuntimeError(f"mean(): {what} Got: {type_name(input)}")
        if category(input) == COMPLEX and set(np.atleast_1d(output_size)) == {1} and input.ndim in (n + 1, n + 2):
            return input.mean(tuple(range(-n, 0)), keepdims=True)
        require_floating("adaptive_avg_pool3d_cpu" if n == 3 else "adaptive_avg_pool2d", input)
        counts = _adaptive_counts(input, n, output_size, name)
        if 0 in counts:
            return jnp.zeros((*input.shape[:-n], *counts), input.dtype)
        windows = _adaptive_windows(input, n, output_size, name)
        return _averaged(input, windows, [w.valid.sum(1) for w in windows])

    doc = f"`avg_pool{n}d` with as many near-equal windows as `output_size` says."
    return _declared(
        pool, name, f"AdaptiveAvgPool{n}D", n, doc, ("torch", "nn.functional") if n == 1 else ("nn.functional",)
    )


max_pool1d: Callable[..., Tensor] = _max_pool(1)
max_pool2d: Callable[..., Tensor] = _max_pool(2)
max_pool3d: Callable[..., Tensor] = _max_pool(3)
adaptive_max_pool1d: Callable[..., Tensor] = _adaptive_max_pool(1)
adaptive_max_pool2d: Callable[..., Tensor] = _adaptive_max_pool(2)
adaptive_max_pool3d: Callable[..., Tensor] = _adaptive_max_pool(3)
avg_pool1d: Callable[..., Tensor] = _avg_pool(1)
avg_pool2d: Callable[..., Tensor] = _avg_pool(2)
avg_pool3d: Callable[..., Tensor] = _avg_pool(3)
adaptive_avg_pool1d: Callable[..., Tensor] = _adaptive_avg_pool(1)
adaptive_avg_pool2d: Callable[..., Tensor] = _adaptive_avg_pool(2)
adaptive_avg_pool3d: Callable[..., Tensor] = _adaptive_avg_pool(3)


def _lp_pool(n: int) -> Callable:
    average = (avg_pool1d, avg_pool2d, avg_pool3d)[n - 1]
    largest = (max_pool1d, max_pool2d, max_pool3d)[n - 1]

    def pool(input: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Any:
        if input.ndim not in (n + 1, n + 2):
            raise wrong_rank(f"avg_pool{n}d", input, n)
        if math.isinf(norm_type):
            if norm_type < 0:
                return -largest(-input.abs(), kernel_size, stride, 0, 1, ceil_mode)
            return largest(input.abs(), kernel_size, stride, 0, 1, ceil_mode)
        mean = average(input.pow(norm_type), kernel_size, stride, 0, ceil_mode)
        size = math.prod(_per_dim(kernel_size, n, f"avg_pool{n}d", "kernel_size"))
        return (mean.sign() * mean.abs().relu() * size).pow(1.0 / norm_type)

    pool.__name__ = pool.__qualname__ = f"lp_pool{n}d"
    pool.__doc__ = """The p-norm of each window, with p = `norm_type` (inf: the largest absolute value); cut windows count as whole ones."""
    return composite(methods=False, public=("nn.functional",))(pool)


lp_pool1d: Callable[..., Tensor] = _lp_pool(1)
lp_pool2d: Callable[..., Tensor] = _lp_pool(2)
lp_pool3d: Callable[..., Tensor] = _lp_pool(3)


# ---------------------------------------------------------------- unpooling


@operator(methods=False, public=(), grad=lambda arrays: f"MaxUnpool{arrays[0].ndim - 2}DBackward0")
def _max_unpool(input: Array, indices: Array, sizes: Any) -> Array:
    require_floating("max_unpool3d" if len(sizes) == 3 else "max_unpool2d", input)
    lead = input.shape[: input.ndim - len(sizes)]
    rows = math.prod(lead)
    flat, places = (a.reshape(rows, math.prod(a.shape[len(lead) :])) for a in (input, indices))
    result = jnp.zeros((rows, math.prod(sizes)), input.dtype)
    result = result.at[jnp.arange(rows)[:, None], places].set(flat, mode="drop", unique_indices=True)
    return result.reshape(*lead, *sizes)


def _unpooled_sizes(
    sizes: Sequence[int], kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int], wanted: Any
) -> tuple[int, ...]:
    natural = [(s - 1) * st + k - 2 * p for s, k, st, p in zip(sizes, kernel, stride, padding, strict=True)]
    if wanted is None:
        return tuple(natural)
    if len(wanted) == len(natural) + 2:
        wanted = wanted[2:]
    if len(wanted) != len(natural):
        raise ValueError(
            f"output_size should be a sequence containing {len(natural)} or {len(natural) + 2} elements, "
            f"but it has a length of '{len(wanted)}'"
        )
    for d, (w, size, st) in enumerate(zip(wanted, natural, stride, strict=True)):
        if not size - st < w < size + st:
            raise ValueError(f'invalid output_size "{wanted}" (dim {d} must be between {size - st} and {size + st})')
    return wanted


def _unpool(n: int) -> Callable:
    def unpool(
        input: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
    ) -> Any:
        for position, (argument, given) in enumerate((("input", input), ("indices", indices)), 1):
            if not isinstance(given, Tensor):
                raise not_a_tensor(f"max_unpool{n}d", argument, position, given)
        if input.ndim < n:
            raise IndexError(
                f"tuple index out of range: max_unpool{n}d takes an input of {n + 1} or {n + 2} dimensions, "
                f"not {list(input.shape)}"
            )
        if input.ndim not in (n + 1, n + 2):
            d, extra = (2, 1) if n == 1 else (n, 0)
            raise RuntimeError(
                f"Input to max_unpooling{d}d should be a {d + 1}d or {d + 2}d Tensor, but got a tensor with "
                f"{input.ndim + extra} dimensions. max_unpool{n}d was given {list(input.shape)}"
            )
        if indices.dtype is not dtypes.int64:
            raise RuntimeError(
                f"elements in indices should be type {dtypes.int64.name} but got: {type_name(indices._array)}"
            )
        if input.shape != indices.shape:
            shown = [[*t.shape, 1] if n == 1 else list(t.shape) for t in (input, indices)]
            raise RuntimeError(
                f"Expected shape of indices to be same as that of the input tensor ({shown[0]}) "
                f"but got indices tensor with shape: {shown[1]}"
            )
        if 0 in input.shape[1:]:
            shown = [*input.shape, 1] if n == 1 else list(input.shape)  # type: ignore[list-item]
            raise RuntimeError(
                f"max_unpooling{max(n, 2)}d_forward_out_cpu(): {_EMPTY}, "
                f"but got {shown} with dimension {shown.index(0, 1)} being empty."  # type: ignore[arg-type]
            )
        name = f"max_unpool{n}d"
        kernel = _per_dim(kernel_size, n, name, "kernel_size")
        stride = kernel if stride is None or stride == () else _per_dim(stride, n, name, "stride")
        sizes = _unpooled_sizes(input.shape[-n:], kernel, stride, _per_dim(padding, n, name, "padding"), output_size)
        volume = "x".join(map(str, sizes if n > 1 else (*sizes, 1)))
        text = f"Found an invalid max index: {{}} (output volumes are of size {volume})"
        refuse_outside(indices, math.prod(sizes), text, RuntimeError)
        return _max_unpool(input, indices, sizes)

    unpool.__name__ = unpool.__qualname__ = f"max_unpool{n}d"
    unpool.__doc__ = f"Zeros with the values of `input` at the places that `max_pool{n}d` gave as `indices`."
    return composite(methods=False, public=("nn.functional",), autocast={"cpu": "float32"})(unpool)


max_unpool1d: Callable[..., Tensor] = _unpool(1)
max_unpool2d: Callable[..., Tensor] = _unpool(2)
max_unpool3d: Callable[..., Tensor] = _unpool(3)


# ---------------------------------------------------------------- fractional


@operator(methods=False, public=(), grad=lambda arrays: f"FractionalMaxPool{arrays[1].shape[-1]}DBackward0")
def _fractional_max_pool(input: Array, samples: Array, kernel: Any, output: Any, return_indices: bool) -> Any:
    n = len(kernel)
    batched = input if input.ndim == n + 2 else input[None]
    rows = math.prod(batched.shape[:2])
    planes = batched.reshape(rows, *batched.shape[2:])
    samples = samples[: batched.shape[0]].reshape(rows, n)
    places = jnp.zeros((rows,) + (1,) * 2 * n, jnp.int64)  # row, then windows, then positions within a window
    for d, (size, k, out) in enumerate(zip(planes.shape[1:], kernel, output, strict=True)):
        u = samples[:, 1 - d if n == 2 else d, None]  # in 2d, PyTorch's samples name the last dimension first
        alpha = (size - k) / (out - 1) if out > 1 else 0.0
        steps = jnp.arange(out - 1, dtype=samples.dtype)
        begins = jnp.trunc((steps + u) * alpha) - jnp.trunc(u * alpha)
        begins = jnp.concatenate([begins.astype(jnp.int64), jnp.full((rows, 1), size - k, jnp.int64)], 1)
        inside = begins[:, :, None] + jnp.arange(k)
        shape = [rows] + [1] * 2 * n
        shape[1 + d], shape[1 + n + d] = out, k
        places = places * size + inside.reshape(shape)
    places = places.reshape(rows, math.prod(output), math.prod(kernel))
    taken = jnp.take_along_axis(planes.reshape(rows, 1, math.prod(planes.shape[1:])), places, 2)
    chosen = jnp.argmax(taken, 2, keepdims=True)
    shape = (*input.shape[: input.ndim - n], *output)  # type: ignore[assignment]
    values = jnp.take_along_axis(taken, chosen, 2).reshape(shape)
    return (values, jnp.take_along_axis(places, chosen, 2).reshape(shape)) if return_indices else values


def _check_samples(samples: Any, input: Any, n: int) -> None:
    batch, channels = (1, input.shape[0]) if input.ndim == n + 1 else input.shape[:2]
    wanted = "Expect _random_samples"
    if samples.dtype is not input.dtype:
        raise RuntimeError(f"{wanted} to have the same dtype as input (got {samples.dtype} and {input.dtype})")
    if samples.ndim != 3:
        raise RuntimeError(f"{wanted} to have 3 dimensions, got {samples.ndim}")
    if samples.shape[0] < batch:
        raise RuntimeError(f"{wanted}.size(0) no less then input batch size. (got {samples.shape[0]} for {batch})")
    if samples.shape[1] != channels:
        raise RuntimeError(f"{wanted}.size(1) equals to input channel size. (got {samples.shape[1]} for {channels})")
    if samples.shape[2] != n:
        raise RuntimeError(f"{wanted}.size(2) equals to {n}; got {samples.shape[2]}.")


def _fractional(n: int) -> Callable:
    name = f"fractional_max_pool{n}d"
    torch_name = name if n == 2 else f"{name}_out"

    def pool(
        input: Any,
        kernel_size: Any,
        output_size: Any = None,
        output_ratio: Any = None,
        return_indices: bool = False,
        _random_samples: Any = None,
    ) -> Any:
        if output_size is None and output_ratio is None:
            raise ValueError(f"{name} requires specifying either an output_size or an output_ratio")
        if input.ndim not in (n + 1, n + 2):
            if not input.ndim:
                raise IndexError(f"Dimension specified as 0 but tensor has no dimensions: {name} got a number")
            if input.ndim < n + 1:
                raise too_few(name, input, n)
            raise RuntimeError(f"{torch_name}(): Expected {n + 1}D or {n + 2}D tensor, but got: {list(input.shape)}")
        if 0 in input.shape[1:]:
            raise RuntimeError(
                f"{torch_name}(): {_EMPTY}, but got{list(input.shape)} "
                f"with dimension {input.shape.index(0, 1)} being empty."
            )
        if output_size is None:
            ratio = (output_ratio,) * n if isinstance(output_ratio, float) else tuple(output_ratio)
            output_size = tuple(int(s * r) for s, r in zip(input.shape[-n:], ratio, strict=True))
        kernel, output = _per_dim(kernel_size, n, name, "kernel_size"), _per_dim(output_size, n, name, "output_size")
        sides = ("time", "height", "width")[-n:]
        for side, size, k, out in zip(sides, input.shape[-n:], kernel, output, strict=True):
            if out + k - 1 > size:
                raise RuntimeError(
                    f"{torch_name}(): pool {side} {k} too large relative to input {side} {size} for an output of {out}"
                )
        if _random_samples is None:
            lead = (1, input.shape[0]) if input.ndim == n + 1 else tuple(input.shape[:2])
            _random_samples = rand((*lead, n), dtype=input.dtype, device=input.device)
        _check_samples(_random_samples, input, n)
        return _fractional_max_pool(input, _random_samples, kernel, output, return_indices)

    pool.__name__ = pool.__qualname__ = name
    pool.__doc__ = "Maxima of windows whose places are drawn at random (Graham, 2014)."
    return composite(methods=False, public=("nn.functional",), autocast={"cpu": "float32"})(pool)


fractional_max_pool2d: Callable[..., Tensor] = _fractional(2)
fractional_max_pool3d: Callable[..., Tensor] = _fractional(3)


# ---------------------------------------------------------------- with indices


def _with_indices(pool: Callable) -> Callable:
    """PyTorch's name for a pool with `return_indices=True`."""

    @functools.wraps(pool)
    def call(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        bound.arguments["return_indices"] = True
        return pool(*bound.args, **bound.kwargs)

    signature = inspect.signature(pool)
    call.__name__ = call.__qualname__ = f"{pool.__name__}_with_indices"
    call.__doc__ = f"`{pool.__name__}` with the places of the maxima beside them, whatever `return_indices` says."
    return composite(methods=False, public=("nn.functional",))(call)


_paired = {
    pool.__name__: _with_indices(pool)
    for pool in (
        max_pool1d, max_pool2d, max_pool3d, adaptive_max_pool1d, adaptive_max_pool2d, adaptive_max_pool3d,
        fractional_max_pool2d, fractional_max_pool3d,
    )
}  # fmt: skip
alias("max_pool1d_with_indices", _paired["max_pool1d"], methods=False)
alias("adaptive_max_pool1d", _paired["adaptive_max_pool1d"], methods=False)
