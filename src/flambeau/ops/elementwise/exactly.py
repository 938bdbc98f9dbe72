"""Powers of 2 and logarithms to base 2 and 10 that are exact where they can be.

XLA has them as `exp(x * log(2))` and `log(x) / log(base)`: `floor(log2(8192))` is 12 then. Here the exponent of the number in
binary, which is known exactly, is kept apart from the rest (W. J. Cody and W. Waite, Software Manual for the Elementary Functions,
1980, chapters 4 to 6).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


def _derived(function: Callable[[jax.Array], jax.Array], slope: Callable[[Any, Any], Any]) -> Callable[..., jax.Array]:
    """The function for real numbers, with its derivative as a function of argument and value."""
    made = jax.custom_jvp(function)
    made.defjvp(lambda primals, tangents: ((y := made(*primals)), tangents[0] * slope(primals[0], y)))
    return made


def _bits(dtype: Any) -> tuple[Any, int, int]:
    """The integers as wide as floats of this dtype, the bits of their fraction, and what is added to their exponent."""
    return (np.int64, 52, 1023) if dtype == np.float64 else (np.int32, 23, 127)


def _apart(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """`m` within [sqrt(1/2), sqrt(2)] and a whole `e` with `x == m * 2 ** e`; what has no such form (0, infinity, nan) stays in `m`."""
    kind, fraction, bias = _bits(x.dtype)
    bits = lax.bitcast_convert_type(x, kind)
    exponent = (bits >> fraction) & (2 * bias + 1)
    plain = (exponent != 0) & (exponent != 2 * bias + 1)
    m = lax.bitcast_convert_type(bits ^ ((exponent ^ bias) << fraction), x.dtype)
    high = jnp.abs(m) > math.sqrt(2)
    m = jnp.where(plain, jnp.where(high, m / 2, m), x)
    return m, jnp.where(plain, exponent - bias + high, 0).astype(np.int32).astype(x.dtype)


def _log2(x: jax.Array) -> jax.Array:
    m, e = _apart(x)
    return e + jnp.log(m) * np.asarray(1 / math.log(2), x.dtype)


def _log10(x: jax.Array) -> jax.Array:
    m, e = _apart(x)
    bits = 40 if x.dtype == np.float64 else 13  # so few that their product with an exponent is exact
    high = math.floor(math.log10(2) * 2**bits) / 2**bits
    low = _REST[bits]
    small = e * np.asarray(low, x.dtype) + jnp.log(m) * np.asarray(1 / math.log(10), x.dtype)
    return e * np.asarray(high, x.dtype) + small


# what the first 40, or 13, bits of log10(2) leave out
_REST = {40: 8.241712586023572e-13, 13: 4.605038981195214e-06}


def _exp2(x: jax.Array) -> jax.Array:
    kind, fraction, bias = _bits(x.dtype)
    most = bias + fraction + 10  # beyond which all is infinite or 0
    n = jnp.clip(jnp.round(x), -most, most)
    whole = jnp.where(jnp.isnan(x), 0, n).astype(np.int32).astype(kind)  # in 32 bits first, which vectors can do
    half = whole >> 1

    def power(k: jax.Array) -> jax.Array:
        return lax.bitcast_convert_type((k + bias) << fraction, x.dtype)

    return jnp.exp2(x - n) * power(half) * power(whole - half)


_real_log2 = _derived(_log2, lambda x, y: 1 / (x * np.asarray(math.log(2), x.dtype)))
_real_log10 = _derived(_log10, lambda x, y: 1 / (x * np.asarray(math.log(10), x.dtype)))
_real_exp2 = _derived(_exp2, lambda x, y: y * np.asarray(math.log(2), x.dtype))


def log2(x: jax.Array) -> jax.Array:
    """The logarithm to base 2."""
    return jnp.log2(x) if jnp.iscomplexobj(x) else _real_log2(x)


def log10(x: jax.Array) -> jax.Array:
    """The logarithm to base 10."""
    return jnp.log10(x) if jnp.iscomplexobj(x) else _real_log10(x)


def exp2(x: jax.Array) -> jax.Array:
    """2 to the power of `x`."""
    return jnp.exp2(x) if jnp.iscomplexobj(x) else _real_exp2(x)
