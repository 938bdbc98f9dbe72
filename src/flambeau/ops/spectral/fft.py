"""Discrete Fourier transforms: `fft.fft`, its inverses, its real and Hermitian forms, in one or more dimensions."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...core.array import dtypes
from ...core.dispatch.host_numbers import as_int
from ...core.dispatch.messages import message
from ...core.dispatch.operator import Array, composite, operator
from ...core.tensor.tensor import Tensor
from ..making.constants import check_options, extent_of, number_of
from ..making.creation import deliver
from ..shape.rearranging import roll
from ..support.checks import HALVES, inexact, normalized_dim, type_name

_FFT = ("fft",)
_OPPOSITE = {None: "forward", "backward": "forward", "forward": "backward", "ortho": "ortho"}


def _numbers(name: str, input: jax.Array, real: bool) -> jax.Array:
    x = inexact(input)
    if x.dtype in HALVES:
        raise RuntimeError(f"Unsupported dtype {type_name(x)}")
    if real and jnp.iscomplexobj(x):
        kind = "real" if name in ("rfft", "ihfft") else "real-valued"
        raise RuntimeError(f"{name} expects a {kind} input tensor, but got {type_name(x)}")
    return x


def _check_norm(norm: str | None) -> None:
    if norm not in _OPPOSITE:
        raise RuntimeError(f'Invalid normalization mode: "{norm}"')


def _axes(
    name: str, x: jax.Array, s: int | tuple[int, ...] | None, dim: int | tuple[int, ...] | None, half: bool
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The sizes to pad or cut to, and the axes. `half`: the last axis holds one half of a Hermitian signal."""
    s = (s,) if isinstance(s, int) else s
    dims = (dim,) if isinstance(dim, int) else dim
    if dims is not None:
        if dims and x.ndim == 0:
            raise IndexError(message("no_dimensions", dim=dims[0]))
        axes = tuple(normalized_dim(d, x.ndim) for d in dims)
        if len(set(axes)) < len(axes):
            raise RuntimeError("FFT dims must be unique")
        if s is not None and len(s) != len(axes):
            raise RuntimeError(
                f"When given, dim and shape arguments must have the same length: {len(axes)} dimensions, {len(s)} sizes"
            )
    else:
        count = x.ndim if s is None else len(s)
        if count > x.ndim:
            raise RuntimeError(f"Got shape with {count} values but input tensor only has {x.ndim} dimensions.")
        axes = tuple(range(x.ndim - count, x.ndim))
    if x.ndim == 0 and axes:
        raise IndexError(message("no_dimensions", dim=(dims or (-1,))[0]))
    sizes = []
    for position, axis in enumerate(axes):
        n = -1 if s is None else s[position]
        if n == -1:
            n = x.shape[axis]
            n = 2 * (n - 1) if half and position == len(axes) - 1 else n
        if n < 1:
            raise RuntimeError(f"Invalid number of data points ({n}) specified")
        sizes.append(n)
    return tuple(sizes), axes


def _stages(sizes: tuple[int, ...], axes: tuple[int, ...]) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Groups of at most three axes, which is what one XLA transform takes; the last group ends with the last axis."""
    first = len(axes) % 3
    bounds = [0, *range(first if first else 3, len(axes) + 1, 3)]
    return [(sizes[a:b], axes[a:b]) for a, b in itertools.pairwise(bounds)]


def _full(x: jax.Array, sizes: tuple[int, ...], axes: tuple[int, ...], norm: str | None, inverse: bool) -> jax.Array:
    for n, where in _stages(sizes, axes):
        x = (jnp.fft.ifftn if inverse else jnp.fft.fftn)(x, n, where, norm)
    return x


def _to_half(x: jax.Array, sizes: tuple[int, ...], axes: tuple[int, ...], norm: str | None) -> jax.Array:
    half = jnp.fft.rfft(x, sizes[-1], axes[-1], norm)
    return _full(half, sizes[:-1], axes[:-1], norm, False) if axes[:-1] else half


def _from_half(x: jax.Array, sizes: tuple[int, ...], axes: tuple[int, ...], norm: str | None) -> jax.Array:
    x = _full(x, sizes[:-1], axes[:-1], norm, True) if axes[:-1] else x
    return jnp.fft.irfft(x, sizes[-1], axes[-1], norm)


def _complex(x: jax.Array) -> jax.Array:
    return x if jnp.iscomplexobj(x) else x.astype(np.result_type(x.dtype, np.complex64))


def _transform(kind: str, name: str, input: jax.Array, s: Any, dim: Any, norm: str | None) -> jax.Array:
    """`kind` is the one-dimensional form's name."""
    x = _numbers(name, input, kind in ("rfft", "ihfft"))
    _check_norm(norm)
    sizes, axes = _axes(name, x, s, dim, kind in ("irfft", "hfft"))
    if kind in ("fft", "ifft"):
        return _full(_complex(x), sizes, axes, norm, kind == "ifft")
    if not axes:
        raise RuntimeError(f"{name} must transform at least one axis")
    if kind == "rfft":
        return _to_half(x, sizes, axes, norm)
    if kind == "irfft":
        return _from_half(_complex(x), sizes, axes, norm)
    if kind == "hfft":  # the forward transform of a signal is the inverse of its conjugate, but for the scale
        return _from_half(jnp.conj(_complex(x)), sizes, axes, _OPPOSITE[norm])
    return jnp.conj(_to_half(x, sizes, axes, _OPPOSITE[norm]))


def _grad_name(kind: str) -> Callable[[list[Any]], str]:
    fixed = {"rfft": "R2C", "irfft": "C2R", "hfft": "C2R", "ihfft": "C2C"}

    def name(arrays: list[Any]) -> str:
        given = "C2C" if np.dtype(arrays[0].dtype).kind == "c" else "R2C"
        return f"Fft{fixed.get(kind, given)}Backward0"

    return name


def _declare(kind: str, what: str) -> None:
    """The transform in one, two and all dimensions."""

    def one(input: Array, n: int | None = None, dim: int = -1, norm: str | None = None) -> Array:
        if n == -1:  # which among several sizes is that of the input
            raise RuntimeError("Invalid number of data points (-1) specified")
        return _transform(kind, kind, input, n, dim, norm)

    def two(input: Array, s: Any = None, dim: Any = (-2, -1), norm: str | None = None) -> Array:
        return _transform(kind, kind + "n", input, s, dim, norm)

    def every(input: Array, s: Any = None, dim: Any = None, norm: str | None = None) -> Array:
        return _transform(kind, kind + "n", input, s, dim, norm)

    for function, ending, over in (
        (one, "", "along `dim`, cut or padded with zeros to `n` elements"),
        (two, "2", "over two dimensions, cut or padded with zeros to the sizes `s`"),
        (every, "n", "over `dim` (default: all, or the last `len(s)`), cut or padded with zeros to the sizes `s`"),
    ):
        function.__name__ = function.__qualname__ = kind + ending
        function.__doc__ = f'{what} {over}. `norm`: "backward" (the default) scales the inverse, "forward", "ortho".'
        casts = None if ending and kind in ("hfft", "ihfft") else {"cpu": "float32"}
        operator(methods=False, public=_FFT, grad=_grad_name(kind), autocast=casts)(function)


_declare("fft", "The discrete Fourier transform")
_declare("ifft", "The inverse discrete Fourier transform")
_declare("rfft", "The transform of a real signal, without the half of it that follows by symmetry,")
_declare("irfft", "The real signal of which `rfft` made the input, inverse transform")
_declare("hfft", "The real transform of a Hermitian signal, given its first half,")
_declare("ihfft", "The first half of the Hermitian signal that a real input is the transform of, inverse transform")


def _frequencies(name: str, n: int, d: float, count: int, dtype: np.dtype, start: int) -> np.ndarray:
    steps = np.arange(count)
    steps[start:] -= n
    if dtypes.from_numpy(dtype).category < dtypes.FLOAT:
        raise RuntimeError(f"{name} requires a floating point or complex dtype")
    return steps.astype(dtype) * np.asarray(1 / (n * d)).astype(dtype)  # the step is rounded first, as in PyTorch


@composite(methods=False, public=_FFT)
def fftfreq(
    n: int, d: float = 1.0, *, out: Tensor | None = None, dtype: Any = None, layout: Any = None, device: Any = None,
    requires_grad: bool = False, pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """The frequencies of `fft`'s `n` elements for samples `d` apart; the negative ones are the second half."""
    check_options("fft_fftfreq", layout, pin_memory)
    n, d = extent_of("fft_fftfreq", "n", n), number_of("fft_fftfreq", "d", d)
    make = functools.partial(_frequencies, "fftfreq", n, d, n, start=(n + 1) // 2)
    return deliver(lambda kind: make(dtype=kind), dtypes.get_default_dtype(), dtype, device, requires_grad, out)


@composite(methods=False, public=_FFT)
def rfftfreq(
    n: int, d: float = 1.0, *, out: Tensor | None = None, dtype: Any = None, layout: Any = None, device: Any = None,
    requires_grad: bool = False, pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """The frequencies of `rfft`'s elements for `n` samples `d` apart."""
    check_options("fft_rfftfreq", layout, pin_memory)
    n, d = extent_of("fft_rfftfreq", "n", n), number_of("fft_rfftfreq", "d", d)
    count = n // 2 + 1
    make = functools.partial(_frequencies, "rfftfreq", n, d, count, start=count)
    return deliver(lambda kind: make(dtype=kind), dtypes.get_default_dtype(), dtype, device, requires_grad, out)


def _shift(input: Tensor, dim: int | tuple[int, ...] | None, sign: int) -> Tensor:
    given = range(input.ndim) if dim is None else dim if isinstance(dim, (tuple, list)) else (as_int(dim),)
    dims = tuple(normalized_dim(d, input.ndim) for d in given)
    shifts = tuple(input.shape[d] // 2 if sign > 0 else (input.shape[d] + 1) // 2 for d in dims)
    return roll(input, shifts, dims) if dims else input.clone()


@composite(methods=False, public=_FFT)
def fftshift(input: Tensor, dim: int | tuple[int, ...] | None = None) -> Tensor:
    """The frequency 0 moved to the middle along `dim` (default: all dimensions)."""
    return _shift(input, dim, 1)


@composite(methods=False, public=_FFT)
def ifftshift(input: Tensor, dim: int | tuple[int, ...] | None = None) -> Tensor:
    """The inverse of `fftshift`."""
    return _shift(input, dim, -1)
