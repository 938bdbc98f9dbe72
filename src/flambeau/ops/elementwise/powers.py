"""Elementwise roots and powers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ...core.array import dtypes
from ...core.context.overrides import name_public
from ...core.dispatch.host_numbers import HostNumber
from ...core.dispatch.limits import fitting_number, looks_large
from ...core.dispatch.operator import Array, Static, composite, operator
from ...core.dispatch.promotion import result_type
from ...core.tensor.tensor import Tensor
from ..support.checks import BOOL, COMPLEX, FLOAT, INTEGER, category, refuse, wide
from ..support.declare import unary
from . import exactly
from .arithmetic import square

sqrt: Callable[..., Tensor] = unary("sqrt", jnp.sqrt, "The square root.", derivative="DivBackward0")


@jax.custom_jvp
def _rsqrt(x: jax.Array) -> jax.Array:
    if category(x) == COMPLEX or x.dtype.itemsize < 4:
        return lax.rsqrt(x)
    # XLA's own takes six times as long on the CPU, and would be put in for this
    return 1 / lax.optimization_barrier(lax.sqrt(x))


@_rsqrt.defjvp
def _rsqrt_jvp(primals: Any, tangents: Any) -> Any:
    (x,), (dx,) = primals, tangents
    result = _rsqrt(x)
    return result, dx * (-0.5 * result * result * result)


rsqrt: Callable[..., Tensor] = unary(
    "rsqrt", _rsqrt, "`1 / sqrt(input)`.", derivative="MulBackward0", autocast={"cuda": "float32"}
)

# Exponents that are worth a program of their own; any other number is an input of one shared program.
_PLAIN_EXPONENTS = frozenset(range(-4, 9)) | {0.5, -0.5, 1.5}


@operator(public=(), methods=False, grad="PowBackward0", derivative="MulBackward0")
def _pow_plain(input: Array, exponent: Static[float], dtype: Any) -> Array:
    x = input.astype(dtype)
    if exponent == 0:
        return jnp.ones_like(x)
    if exponent == 1:
        return x
    if exponent == int(exponent):
        return lax.integer_pow(x, int(exponent))
    if exponent == 0.5:
        return jnp.sqrt(x)
    return _rsqrt(x) if exponent == -0.5 else x * jnp.sqrt(x)


@operator(public=(), methods=False, grad="PowBackward0", derivative="MulBackward0")
def _pow_counted(input: Array, exponent: Array, dtype: Any) -> Array:
    """To the power of any of these exponents: what a program does that takes it as an input."""
    return _to_any(input.astype(dtype), exponent)


@jax.custom_jvp
def _to_any(x: jax.Array, exponent: jax.Array) -> jax.Array:
    """`x` to the power of a small multiple of a half, by the products that `_pow_plain` makes."""
    size = jnp.abs(exponent)
    whole = jnp.floor(size).astype(jnp.int32)
    result, square = jnp.ones_like(x), x
    for bit in range(4):
        result = jnp.where(whole >> bit & 1, result * square, result)
        square = square * square
    result = jnp.where(size > whole, result * jnp.sqrt(x), result)
    return jnp.where(exponent < 0, 1 / result, result)


@_to_any.defjvp
def _to_any_jvp(primals: Any, tangents: Any) -> Any:
    (x, exponent), (dx, _) = primals, tangents  # the exponent is no tensor
    slope = exponent.astype(x.dtype) * _to_any(x, exponent - 1)
    return _to_any(x, exponent), dx * jnp.where(exponent == 0, jnp.zeros_like(x), slope)


def _is_one_of_many(input: Tensor, exponent: HostNumber) -> bool:
    """Whether one program serves several exponents: it is a real number, and the result is no integer."""
    return input.dtype.category >= FLOAT and not isinstance(exponent.plain, (complex, np.complexfloating))


def _power(base: jax.Array, exponent: jax.Array) -> jax.Array:
    refuse("pow", base, BOOL)
    if category(base) == FLOAT:
        return _float_power(base, exponent)
    if category(base) == COMPLEX:
        # 0 ** 0 is 1, also in what is left of a derivative
        return jnp.where(exponent == 0, jnp.ones_like(base), jnp.power(base, exponent))
    if category(base) == INTEGER and jnp.issubdtype(base.dtype, jnp.signedinteger):
        result = jnp.power(base, jnp.maximum(exponent, 0))
        odd = jnp.where(exponent % 2 == 0, jnp.ones_like(base), -jnp.ones_like(base))
        inverse = jnp.where(base == 1, jnp.ones_like(base), jnp.where(base == -1, odd, jnp.zeros_like(base)))
        return jnp.where(exponent < 0, inverse, result)
    return jnp.power(base, exponent)


@jax.custom_jvp
def _float_power(base: jax.Array, exponent: jax.Array) -> jax.Array:
    return jnp.power(base, exponent)


@_float_power.defjvp
def _float_power_jvp(primals: Any, tangents: Any) -> Any:
    (x, y), (tx, ty) = primals, tangents
    result = _float_power(x, y)
    one = jnp.ones_like(y)
    by_base = jnp.where(y == 0, jnp.zeros_like(result), y * _float_power(x, jnp.where(y == 0, one, y - 1)))
    flat = (x == 0) & (y >= 0)
    by_exponent = jnp.where(flat, jnp.zeros_like(result), result * jnp.log(jnp.where(flat, jnp.ones_like(x), x)))
    return result, by_base * tx + by_exponent * ty


def _power_name(arguments: list[Any]) -> str:
    base, exponent = (hasattr(a, "ndim") for a in arguments)
    return f"PowBackward{2 if not base else 1 if exponent else 0}"


@operator(promote="common", public=(), methods=False, grad=_power_name, derivative="MulBackward0")
def _pow_tensor(input: Array, exponent: Array) -> Array:
    return _power(input, exponent)


def _refuse_beyond(base: Tensor, exponent: float) -> None:
    """Raise RuntimeError for an exponent that whole numbers or halves have no room for; wider ones take infinity."""
    dtype = result_type(base, exponent).numpy
    if dtype.kind in "iu" or (dtype.kind in "fV" and dtype.itemsize < 4):
        fitting_number(exponent, dtype)


@composite(
    inplace=("pow_", "__ipow__"),
    methods=("pow", "__pow__"),
    numbers=("input", "exponent"),
    autocast={"cuda": "float32"},
)
def pow(input: Tensor | float, exponent: Tensor | float) -> Tensor:
    """`input ** exponent`. Small whole exponents are products; negative ones of integers raise RuntimeError."""
    if isinstance(exponent, HostNumber):
        if isinstance(input, Tensor) and _is_one_of_many(input, exponent):
            if not exponent.looked_at(_PLAIN_EXPONENTS.__contains__):
                return _pow_tensor(input, exponent)
            kind = dtypes.of_number(float(exponent.plain) if not exponent.whole else int(exponent.plain))
            return _pow_counted(input, exponent, dtypes.promote([(input.dtype, 0 if input.ndim else 1), (kind, 2)]))
        exponent = exponent.settle()
    if isinstance(input, Tensor) and isinstance(exponent, (int, float)):
        if input.dtype.category <= INTEGER and isinstance(exponent, int) and exponent < 0:
            raise RuntimeError("Integers to negative integer powers are not allowed.")
        if looks_large(exponent):
            _refuse_beyond(input, exponent)
        if exponent == 2 and (input.dtype.category >= FLOAT or type(exponent) is int):
            return square(input)
        if exponent in _PLAIN_EXPONENTS:
            dtype = dtypes.promote([(input.dtype, 0 if input.ndim else 1), (dtypes.of_number(exponent), 2)])
            return _pow_plain(input, exponent, dtype)
    return _pow_tensor(input, exponent)


name_public(Tensor.pow, "torch.Tensor.__pow__", True)  # type: ignore[attr-defined]  # as `resolve_name` knows it


@composite(methods=("__rpow__",), public=(), numbers=("other",))
def _rpow(input: Tensor, other: float) -> Tensor:
    return pow(other, input)


@operator(inplace=True, grad="PowBackward0", numbers=("input", "exponent"))
def float_power(input: Array, exponent: Array) -> Array:
    """`input ** exponent` in float64 (complex128 for complex numbers)."""
    wide = jnp.complex128 if COMPLEX in (category(input), category(exponent)) else jnp.float64
    return _power(input.astype(wide), exponent.astype(wide))


@operator(promote="float", inplace=True, public_inplace=True)
def ldexp(input: Array, other: Array) -> Array:
    """`input * 2 ** other`."""
    return (wide(input) * exactly.exp2(wide(other)).astype(other.dtype)).astype(input.dtype)


@operator(returns=("mantissa", "exponent"))
def frexp(input: Array) -> tuple[Array, Array]:
    """The mantissa in [0.5, 1) and the exponent (int32) with `input == mantissa * 2 ** exponent`."""
    if category(input) != FLOAT:
        raise RuntimeError("torch.frexp() only supports floating-point dtypes")
    wide = input if input.dtype == jnp.float64 else input.astype(jnp.float32)
    mantissa, exponent = jnp.frexp(lax.stop_gradient(wide))
    scale = jnp.ldexp(jnp.ones_like(wide), -exponent)
    finite = jnp.isfinite(wide)
    mantissa = jnp.where(finite, wide * lax.stop_gradient(scale), wide)
    return mantissa.astype(input.dtype), jnp.where(finite, exponent, jnp.zeros_like(exponent)).astype(jnp.int32)
