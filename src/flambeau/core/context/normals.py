"""Box and Muller's normal values (1958), to the bit as PyTorch's CPU makes them of its uniforms.

Those of double precision come of the C library, as Python's own functions do. Those of single precision come of the series of
Moshier's Cephes library, with a product and a sum rounded once wherever one follows the other: which of them were found out by
comparing 160,000 numbers. `native/random.cc` is the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

_single = np.float32
_LOGARITHM = (
    7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1, 2.0000714765e-1,
    -2.4999993993e-1, 3.3333331174e-1,
)  # fmt: skip
_EIGHTHS = (-0.78515625, -2.4187564849853515625e-4, -3.77489497744594108e-8)  # of a turn, in parts
_COSINE = (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)
_SINE = (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)


def _joined(x: Any, y: Any, z: Any) -> Any:
    """x * y + z, rounded once (but for one sum in 2^29, which double precision rounds to a middle of two numbers)."""
    return (x.astype(np.float64) * np.asarray(y, np.float64) + np.asarray(z, np.float64)).astype(_single)


def _series(coefficients: tuple[float, ...], x: np.ndarray) -> np.ndarray:
    made = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        made = _joined(made, x, _single(coefficient))
    return made


def _logarithm(x: np.ndarray) -> np.ndarray:
    bits = x.view(np.int32)
    exponent = ((bits >> 23) - 126).astype(_single)
    part = ((bits & 0x007FFFFF) | 0x3F000000).view(_single)
    small = part < _single(0.707106781186547524)
    exponent -= small.astype(_single)
    x = (part - _single(1)) + np.where(small, part, _single(0))
    square = x * x
    y = _joined(_series(_LOGARITHM, x) * x, square, _single(-2.12194440e-4) * exponent)
    y = _joined(square, _single(-0.5), y)
    return _joined(exponent, _single(0.693359375), x + y)  # type: ignore[no-any-return]


def _sine_and_cosine(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    eighth = ((x * _single(1.27323954473516)).astype(np.int32) + 1) & ~1
    turns = eighth.astype(_single)
    for part in _EIGHTHS:
        x = _joined(turns, _single(part), x)
    square = x * x
    c = _joined(_series(_COSINE, square) * square, square, _single(-0.5) * square) + _single(1)
    s = _joined(_series(_SINE, square) * square, x, x)
    straight = (eighth & 2) == 0
    sine, cosine = np.where(straight, s, c), np.where(straight, c, s)
    return np.where(eighth & 4, -sine, sine), np.where((eighth - 2) & 4, cosine, -cosine)


def normals(uniforms: np.ndarray, mean: float, std: float) -> np.ndarray:
    """Normal values of blocks of 16 uniforms of single precision: 8 radii, then 8 angles."""
    blocks = uniforms.reshape(-1, 2, 8)
    radius = np.sqrt(_single(-2) * _logarithm(_single(1) - blocks[:, 0]))
    sine, cosine = _sine_and_cosine(_single(6.283185307179586) * blocks[:, 1])
    made = np.stack((radius * cosine, radius * sine), 1).reshape(-1)
    return made if mean == 0.0 and std == 1.0 else _joined(made, _single(std), _single(mean))  # type: ignore[no-any-return]


def _each(function: Callable[[float], float], x: np.ndarray) -> np.ndarray:
    """The C library's function of each double: NumPy's own differ from it in the last place."""
    return np.array(list(map(function, x.reshape(-1).tolist()))).reshape(x.shape)


def wide_normals(uniforms: np.ndarray, mean: float, std: float) -> np.ndarray:
    """The same of double precision."""
    blocks = uniforms.reshape(-1, 2, 8)
    radius = np.sqrt(-2.0 * _each(math.log, 1.0 - blocks[:, 0]))
    angle = blocks[:, 1] * (2.0 * math.pi)
    made = np.stack((radius * _each(math.cos, angle), radius * _each(math.sin, angle)), 1).reshape(-1)
    return made if mean == 0.0 and std == 1.0 else fused(made, std, mean)


def pairs_of(uniforms: np.ndarray) -> np.ndarray:
    """Standard normal values of pairs of doubles, an angle and a radius."""
    angle, radius = uniforms[::2] * (2.0 * math.pi), np.sqrt(-2.0 * _each(math.log1p, -uniforms[1::2]))
    return np.stack((radius * _each(math.cos, angle), radius * _each(math.sin, angle)), 1).reshape(-1)


def fused(x: np.ndarray, scale: Any, shift: Any) -> np.ndarray:
    """x * scale + shift in doubles, rounded once: the errors of product and sum are carried along (Dekker, Knuth)."""
    product = x * scale
    x_high, scale_high = _split(x), _split(np.float64(scale))
    x_low, scale_low = x - x_high, scale - scale_high
    product_error = ((x_high * scale_high - product) + x_high * scale_low + x_low * scale_high) + x_low * scale_low
    total = product + shift
    back = total - product
    total_error = (product - (total - back)) + (shift - back)
    return total + (product_error + total_error)


def _split(x: Any) -> Any:
    """The upper half of a double's 53 bits."""
    big = x * 134217729.0  # 2**27 + 1
    return big - (big - x)
