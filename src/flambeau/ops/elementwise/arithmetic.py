"""Elementwise arithmetic: sums, products, quotients, bounds."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.custom_derivatives import SymbolicZero

from ...core.array import dtypes
from ...core.context.overrides import name_public
from ...core.dispatch.at_once import elementwise
from ...core.dispatch.host_numbers import settle
from ...core.dispatch.limits import looks_large
from ...core.dispatch.operator import Array, Scalar, composite, operator, write_result
from ...core.dispatch.promotion import convert
from ...core.tensor.tensor import Tensor
from ...native import functions
from ..support.checks import (
    BOOL,
    COMPLEX,
    FLOAT,
    INTEGER,
    category,
    demand,
    refuse,
    refuse_masks,
    refuse_negated_mask,
    scalar_name,
    wide,
)
from ..support.declare import alias, named_by_numbers, unary
from ..support.images import ADD

# --- sums and products -----------------------------------------------------------------------------------------------


def _times(alpha: Any, x: jax.Array) -> jax.Array:
    return x if isinstance(alpha, int) else x * alpha  # the untouched default arrives as the literal 1


@operator(
    promote="common",
    inplace=("add_", "__iadd__"),
    methods=("add", "__add__", "__radd__"),
    direct=ADD,
    between=("alpha",),
    exact=("alpha",),
    room={"alpha": "own"},
    at_once=elementwise("add"),
)
def add(input: Array, other: Array, *, alpha: Scalar = 1) -> Array:
    """`input + alpha * other`, with broadcasting."""
    return input + _times(alpha, other)


def _sub(input: jax.Array, other: jax.Array, alpha: Any) -> jax.Array:
    return input - _times(alpha, other)


@operator(
    promote="common",
    inplace=("sub_", "__isub__"),
    methods=("sub", "__sub__"),
    check=refuse_masks,
    between=("alpha",),
    exact=("alpha",),
    room={"alpha": "own"},
    at_once=elementwise("sub"),
)
def sub(input: Array, other: Array, *, alpha: Scalar = 1) -> Array:
    """`input - alpha * other`, with broadcasting. Two bool tensors raise RuntimeError: use `^`."""
    return _sub(input, other, alpha)


@operator(
    promote="common",
    methods=("__rsub__",),
    grad="RsubBackward1",
    check=refuse_masks,
    exact=("alpha",),
    room={"alpha": "own"},
)
def rsub(input: Array, other: Array, *, alpha: Scalar = 1) -> Array:
    """`other - alpha * input`: subtraction with the arguments swapped."""
    return _sub(other, input, alpha)


@operator(
    promote="common",
    inplace=("mul_", "__imul__"),
    methods=("mul", "__mul__", "__rmul__"),
    unrounded=("other",),
    at_once=elementwise("mul"),
)
def mul(input: Array, other: Array) -> Array:
    """`input * other`, with broadcasting."""
    return input * other


@operator(promote="common", inplace=True, autocast={"cuda": "widest"}, between=("value",), room={"value": "wide"},
          unrounded=("value",))  # fmt: skip
def addcmul(input: Array, tensor1: Array, tensor2: Array, *, value: Scalar = 1) -> Array:
    """`input + value * tensor1 * tensor2`, with broadcasting."""
    refuse("addcmul_cpu_out", input, BOOL)
    x, a, b = wide(input), wide(tensor1), wide(tensor2)
    return (x + _times(value, a * b)).astype(input.dtype)


def _refuse_integers(input: Any, tensor1: Any, tensor2: Any, *value: Any) -> None:
    """Raise RuntimeError for a quotient of integers."""
    if max(category(tensor1), category(tensor2)) < FLOAT:
        exact = "(input + value * tensor1 / tensor2)"
        raise RuntimeError(
            f"Integer division with addcdiv is no longer supported, and in a future  release addcdiv will perform a true "
            f"division of tensor1 and tensor2. The historic addcdiv behavior can be implemented as (input + value * "
            f"torch.trunc(tensor1 / tensor2)).to(input.dtype) for integer inputs and as {exact} for float inputs. The future "
            f"addcdiv behavior is just the latter implementation: {exact}, for all dtypes."
        )


@operator(promote="common", inplace=True, autocast={"cuda": "widest"}, check=_refuse_integers, between=("value",),
          room={"value": "wide inexact"}, unrounded=("value",))  # fmt: skip
def addcdiv(input: Array, tensor1: Array, tensor2: Array, *, value: Scalar = 1) -> Array:
    """`input + value * tensor1 / tensor2`, with broadcasting. RuntimeError if both tensors are of integers or bools."""
    x, a, b = wide(input), wide(tensor1), wide(tensor2)
    return (x + _times(value, a) / b).astype(input.dtype)


def _neg(x: jax.Array) -> jax.Array:
    refuse_negated_mask(x)
    return -x


neg: Callable[..., Tensor] = unary("neg", _neg, "`-input`.", promote=None, methods=("neg", "__neg__"))


@composite(methods=("positive", "__pos__"))
def positive(input: Tensor) -> Tensor:
    """`input` itself. Bool tensors raise RuntimeError."""
    if input.dtype is dtypes.bool:
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return input


def _abs(x: jax.Array) -> jax.Array:
    refuse("abs_cpu", x, BOOL)
    return modulus(x)


@jax.custom_jvp
def modulus(x: jax.Array) -> jax.Array:
    """The absolute value of real or complex numbers, with the gradient 0 at 0."""
    return jnp.abs(x)


@modulus.defjvp
def _modulus_jvp(primals: Any, tangents: Any) -> Any:
    (x,), (t,) = primals, tangents
    direction = _sgn(x)
    slope = direction * t if category(x) != COMPLEX else direction.real * t.real + direction.imag * t.imag
    return modulus(x), slope


def _sgn(x: jax.Array) -> jax.Array:
    if category(x) != COMPLEX:
        return _sign(x)
    size = modulus(x)
    zero = size == 0
    return jnp.where(zero, jnp.zeros_like(x), x / jnp.where(zero, jnp.ones_like(size), size))


def _sign(x: jax.Array) -> jax.Array:
    if category(x) == COMPLEX:
        raise NotImplementedError(
            "Unlike NumPy, torch.sign is not intended to support complex numbers. Please use torch.sgn instead."
        )
    if category(x) != FLOAT:
        return x if x.dtype == jnp.bool_ else jnp.sign(x)
    return jnp.where((x > 0) | (x < 0), jnp.sign(x), jnp.zeros_like(x))  # nan and -0.0 give 0.0


def _square(x: jax.Array) -> jax.Array:
    return x.astype(np.int64) if x.dtype == jnp.bool_ else x * x


_MODULUS = "The absolute value; for complex numbers the modulus, a real number."
abs: Callable[..., Tensor] = unary(
    "abs", _abs, _MODULUS, promote=None, methods=("abs", "__abs__"), derivative="MulBackward0", narrow=True
)
sign: Callable[..., Tensor] = unary(
    "sign", _sign, "-1, 0 or 1 by the sign of `input`. Complex numbers: see `sgn`.", promote=None, public_inplace=False
)
sgn: Callable[..., Tensor] = unary(
    "sgn",
    _sgn,
    "`sign`; for complex numbers the direction `input / abs(input)`, with 0 at 0.",
    promote=None,
    public_inplace=False,
)
square: Callable[..., Tensor] = unary(
    "square", _square, "`input ** 2`.", promote=None, grad="PowBackward0", derivative="MulBackward0"
)
reciprocal: Callable[..., Tensor] = unary(
    "reciprocal", lambda x: 1 / x, "`1 / input`.", derivative="MulBackward0", autocast={"cuda": "float32"}
)

# --- quotients and remainders ----------------------------------------------------------------------------------------


@jax.custom_jvp
def _quotient(a: jax.Array, b: jax.Array) -> jax.Array:
    return a / b


@functools.partial(_quotient.defjvp, symbolic_zeros=True)
def _(primals: Any, tangents: Any) -> Any:
    """The slope along b takes 1 / b twice: JAX's takes 1 / b^2, which is infinite from b = 1e-20 down in float32.

    Where b is spread, once before and once after the sum that the backward pass makes.
    """
    (a, b), (along_a, along_b) = primals, tangents
    of_a = None if type(along_a) is SymbolicZero else _quotient(along_a, b)
    of_b = None
    if type(along_b) is not SymbolicZero:
        inverse = _quotient(jnp.ones_like(b), b)
        spread = jnp.broadcast_shapes(a.shape, b.shape) != b.shape
        of_b = -(along_b * inverse) * (a * inverse) if spread else along_b * -((a * inverse) * inverse)
    return _quotient(a, b), of_b if of_a is None else of_a if of_b is None else of_a + of_b


@operator(
    promote="float",
    inplace=("true_divide_", "__itruediv__"),
    methods=("true_divide", "__truediv__"),
    unrounded=("other",),
    grad="DivBackward0",
    at_once=elementwise("div"),
)
def true_divide(input: Array, other: Array) -> Array:
    """`input / other`; integers give the default dtype."""
    if other.ndim == 0 and input.ndim:
        # else XLA multiplies by the reciprocal, which is off by a bit for half of all values
        other = lax.optimization_barrier(jnp.broadcast_to(other, input.shape))
    return _quotient(input, other)


@operator(promote="float", methods=("__rdiv__", "__rtruediv__"), public=(), grad="MulBackward0", derivative="MulBackward0",
          unrounded=("other",))  # fmt: skip
def _rtrue_divide(input: Array, other: Array) -> Array:
    return _quotient(other, input)


def _floor_quotient(a: jax.Array, b: jax.Array) -> jax.Array:
    """floor(a / b) without the error of rounding a / b first: what is left over is taken away before dividing."""
    if category(a) != FLOAT:
        return jnp.floor_divide(a, b)
    left = functions.rem(a, b)
    exact = (a - left) / b
    exact = jnp.where((left != 0) & ((b < 0) != (left < 0)), exact - 1, exact)
    nearest = jnp.floor(exact)
    nearest = jnp.where(exact - nearest > 0.5, nearest + 1, nearest)
    signed_zero = jnp.copysign(jnp.zeros_like(a), a / b)
    return lax.stop_gradient(jnp.where(b == 0, a / b, jnp.where(exact == 0, signed_zero, nearest)))


def _trunc_quotient(a: jax.Array, b: jax.Array) -> jax.Array:
    return lax.stop_gradient(jnp.trunc(a / b)) if category(a) == FLOAT else lax.div(*jnp.broadcast_arrays(a, b))


def _real_only(name: str, x: jax.Array) -> None:
    refuse(name, x, COMPLEX, BOOL)


@operator(promote="common", public=(), methods=False, unrounded=("other",), grad="DivBackward1")
def _div_rounded(input: Array, other: Array, *, rounding_mode: str) -> Array:
    _real_only(f"div_{rounding_mode}_cpu", input)
    return (_floor_quotient if rounding_mode == "floor" else _trunc_quotient)(input, other)


@operator(promote="common", public=(), methods=False, grad=named_by_numbers("Remainder", 1, 0))
def _remainder(input: Array, other: Array) -> Array:
    _real_only("remainder_cpu", input)
    if category(input) == INTEGER:
        return jnp.remainder(input, other)
    left = functions.rem(input, other)
    left = jnp.where((left != 0) & ((other < 0) != (left < 0)), left + other, left)
    endless = jnp.isinf(input)  # along an infinite quotient the divisor's slope is nan
    return jnp.where(endless, input + jnp.where(endless, other, 0) * jnp.nan, left)


@operator(promote="common", public=(), methods=False, grad=named_by_numbers("Fmod", 1, 0))
def _fmod(input: Array, other: Array) -> Array:
    _real_only("fmod_cpu", input)
    return functions.rem(input, other)


_CATEGORY = {bool: BOOL, int: INTEGER, float: FLOAT, complex: COMPLEX}


def _check_divisor(input: Any, other: Any) -> None:
    """Raise as PyTorch does if integers are about to be divided by 0."""
    if isinstance(other, Tensor) and other._np_dtype.kind == "f":
        return
    kinds = [x.dtype.category if isinstance(x, Tensor) else _CATEGORY.get(type(x), FLOAT) for x in (input, other)]
    if max(kinds) != INTEGER:
        return
    if isinstance(other, Tensor):
        demand(lambda divisors: (divisors == 0, 0), lambda _: RuntimeError("ZeroDivisionError"), other)
    elif not other or _wraps_to_zero(other, input):
        raise RuntimeError("ZeroDivisionError")


def _wraps_to_zero(number: Any, beside: Any) -> bool:
    """Whether a whole number is 0 in the dtype of this tensor, as 256 is in 8 bits."""
    large = isinstance(beside, Tensor) and looks_large(number) and beside.dtype.category == INTEGER
    return bool(large and number % 2 ** (8 * beside.dtype.itemsize) == 0)


@composite(inplace=("floor_divide_", "__ifloordiv__"), methods=("floor_divide", "__floordiv__"))
def floor_divide(input: Tensor | float, other: Tensor | float) -> Tensor:
    """`floor(input / other)`. Integers stay integers; their division by 0 raises RuntimeError."""
    return _rounded(input, other, "floor")


def _rounded(input: Tensor | float, other: Tensor | float, rounding_mode: str) -> Tensor:
    if rounding_mode not in ("trunc", "floor"):
        raise RuntimeError(
            f"div expected rounding_mode to be one of None, 'trunc', or 'floor' but found {rounding_mode!r}"
        )
    settle(other)
    _check_divisor(input, other)
    return _div_rounded(input, other, rounding_mode=rounding_mode)


@composite(numbers=("other",))
def div(input: Tensor | float, other: Tensor | float, *, rounding_mode: str | None = None) -> Tensor:
    """`input / other`; with `rounding_mode` "floor" or "trunc" the quotient is rounded and integers stay integers."""
    return true_divide(input, other) if rounding_mode is None else _rounded(input, other, rounding_mode)


@composite(methods=("div_",), public=(), numbers=("other",))
def _div_(input: Tensor, other: Tensor | float, *, rounding_mode: str | None = None) -> Tensor:
    if rounding_mode is None:
        return input.true_divide_(other)  # type: ignore[attr-defined]
    input._check_inplace()
    return write_result(input, _rounded(input, other, rounding_mode))


@composite(inplace=("remainder_", "__imod__"), methods=("remainder", "__mod__"))
def remainder(input: Tensor | float, other: Tensor | float) -> Tensor:
    """`input - floor(input / other) * other`: the sign is the divisor's, as in Python's `%`."""
    _check_divisor(input, other)
    return _remainder(input, other)


@composite(inplace=True)
def fmod(input: Tensor, other: Tensor | float) -> Tensor:
    """`input - trunc(input / other) * other`: the sign is the dividend's, as in C."""
    _check_divisor(input, other)
    return _fmod(input, other)


@composite(methods=("__rfloordiv__",), public=())
def _rfloor_divide(input: Tensor, other: float) -> Tensor:
    return floor_divide(other, input)


@composite(methods=("__rmod__",), public=())
def _rremainder(input: Tensor, other: float) -> Tensor:
    return remainder(other, input)


# --- bounds ----------------------------------------------------------------------------------------------------------
# Written with `where`, whose gradients at ties are then the ones that the comparisons say.


def is_nan(x: jax.Array) -> jax.Array:
    return x != x


def _refuse_complex(name: str, x: jax.Array) -> None:
    if category(x) == COMPLEX:
        raise RuntimeError(f"{name} not implemented for complex tensors.")


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _extreme(a: jax.Array, b: jax.Array, largest: bool) -> jax.Array:
    return jnp.maximum(a, b) if largest else jnp.minimum(a, b)


@_extreme.defjvp
def _extreme_jvp(largest: bool, primals: Any, tangents: Any) -> Any:
    """All of the slope for both where either is nan, which is neither equal nor less."""
    (a, b), (ta, tb) = primals, tangents
    result = _extreme(a, b, largest)
    less, more = (a < b, a > b) if largest else (a > b, a < b)
    tie = jnp.where(a == b, jnp.asarray(0.5, a.dtype), jnp.ones((), a.dtype))
    zero = jnp.zeros((), a.dtype)
    return result, ta * jnp.where(less, zero, tie) + tb * jnp.where(more, zero, tie)


@operator(promote="common")
def maximum(input: Array, other: Array) -> Array:
    """The larger of two elements; nan if either is. At a tie the gradient is shared."""
    _refuse_complex("maximum", input)
    return _extreme(input, other, True)


@operator(promote="common")
def minimum(input: Array, other: Array) -> Array:
    """The smaller of two elements; nan if either is. At a tie the gradient is shared."""
    _refuse_complex("minimum", input)
    return _extreme(input, other, False)


@operator(promote="common")
def fmax(input: Array, other: Array) -> Array:
    """The larger of two elements, passing over nan. At a tie the gradient goes to `input`."""
    _refuse_complex("fmax", input)
    return jnp.where((input >= other) | is_nan(other), input, other)


@operator(promote="common")
def fmin(input: Array, other: Array) -> Array:
    """The smaller of two elements, passing over nan. At a tie the gradient goes to `input`."""
    _refuse_complex("fmin", input)
    return jnp.where((input <= other) | is_nan(other), input, other)


# --- of two or three tensors -----------------------------------------------------------------------------------------


@operator(inplace=True, grad=named_by_numbers("Lerp", 1, 0), numbers=("weight",), room={"weight": "wide inexact"})
def lerp(input: Array, end: Array, weight: Array) -> Array:
    """`input + weight * (end - input)`; `weight` is a number or a tensor. Tensors must have one floating dtype."""
    refuse("lerp_kernel_scalar", input, BOOL, INTEGER)
    for name, other in (("end", end), ("weight", weight)):
        # a tensor without dimensions is a number, too; a complex one would lose what it is
        number = name == "weight" and not other.ndim and category(other) <= max(category(input), FLOAT)
        if other.dtype != input.dtype and not number:
            raise RuntimeError(f"expected dtype {scalar_name(input)} for `{name}` but got dtype {scalar_name(other)}")
    kind = input.dtype
    if not weight.ndim:  # a number is not rounded to halves
        input, end = wide(input), wide(end)
    w = convert(weight, input.dtype)
    step = end - input
    return jnp.where(jnp.abs(w) < 0.5, input + w * step, end - step * (1 - w)).astype(kind)


@operator(promote="common", inplace=True)
def hypot(input: Array, other: Array) -> Array:
    """`sqrt(input ** 2 + other ** 2)`, safe from overflow."""
    refuse("hypot_cpu", input, BOOL, INTEGER, COMPLEX)
    return _hypot(wide(input), wide(other)).astype(input.dtype)


@jax.custom_jvp
def _hypot(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.hypot(a, b)


@_hypot.defjvp
def _hypot_jvp(primals: Any, tangents: Any) -> Any:
    (a, b), (ta, tb) = primals, tangents
    result = _hypot(a, b)
    return result, ta * (a / result) + tb * (b / result)


@operator(promote="common")
def logaddexp(input: Array, other: Array) -> Array:
    """`log(exp(input) + exp(other))`, safe from overflow."""
    refuse("logaddexp_cpu", input, BOOL, INTEGER)
    if category(input) == COMPLEX:
        return complex_logaddexp(input, other)
    return _logaddexp(wide(input), wide(other), math.e).astype(input.dtype)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _logaddexp(a: jax.Array, b: jax.Array, base: float) -> jax.Array:
    return jnp.logaddexp(a, b) if base == math.e else jnp.logaddexp2(a, b)


@_logaddexp.defjvp
def _logaddexp_jvp(base: float, primals: Any, tangents: Any) -> Any:
    """The share of each in the sum: 0 and 1 where one alone is infinite, nan where both are."""
    (a, b), (ta, tb) = primals, tangents
    rate = math.log(base)
    return _logaddexp(a, b, base), ta * jax.nn.sigmoid((a - b) * rate) + tb * jax.nn.sigmoid((b - a) * rate)


def complex_logaddexp(a: jax.Array, b: jax.Array) -> jax.Array:
    """log(exp(a) + exp(b)) from the larger of the two, whose imaginary part is kept as it is."""
    first = a.real >= b.real
    large, small = jnp.where(first, a, b), jnp.where(first, b, a)
    return large + jnp.log1p(jnp.exp(small - large))


@operator(promote="common")
def logaddexp2(input: Array, other: Array) -> Array:
    """`log2(2 ** input + 2 ** other)`, safe from overflow.

    Example:
        >>> torch.logaddexp2(torch.tensor([1.0, 100.0]), torch.tensor([1.0, 100.0]))
        tensor([  2., 101.])
        >>> torch.logaddexp2(torch.ones(2), torch.ones(3))
        Traceback (most recent call last):
        RuntimeError: The size of tensor a (2) must match the size of tensor b (3) at non-singleton dimension 0
    """
    refuse("logaddexp2_cpu", input, BOOL, INTEGER, COMPLEX)
    return _logaddexp(wide(input), wide(other), 2.0).astype(input.dtype)


def _check_steps(input: Any, values: Any) -> None:
    if COMPLEX in (category(input), category(values)):
        raise RuntimeError("heaviside is not yet implemented for complex tensors.")
    if input.dtype != values.dtype:
        raise RuntimeError("heaviside is not yet implemented for tensors with different dtypes.")


@operator(inplace=True, check=_check_steps)
def heaviside(input: Array, values: Array) -> Array:
    """0 below zero, 1 above it, and `values`, of the same dtype, at zero."""
    one, zero = jnp.ones_like(input), jnp.zeros_like(input)
    return lax.stop_gradient(jnp.where(input == 0, values, jnp.where(input < 0, zero, jnp.where(input > 0, one, zero))))


@operator(promote="float", inplace=True)
def copysign(input: Array, other: Array) -> Array:
    """The size of `input` with the sign of `other` (the sign of -0.0 counts)."""
    refuse("copysign_cpu", input, COMPLEX)
    return _copysign(input, other)


@jax.custom_jvp
def _copysign(x: jax.Array, y: jax.Array) -> jax.Array:
    one = jnp.ones_like(x)
    return jnp.abs(x) * jnp.where(jnp.signbit(y), -one, one)


@_copysign.defjvp
def _copysign_jvp(primals: Any, tangents: Any) -> Any:
    (x, y), (t, _) = primals, tangents
    result = _copysign(x, y)
    zero = x == 0
    quotient = jnp.where(zero, jnp.ones_like(result), result) / jnp.where(zero, jnp.ones_like(x), x)
    return result, t * lax.stop_gradient(jnp.where(zero, jnp.zeros_like(result), quotient))


@operator(promote="common", inplace=True)
def nextafter(input: Array, other: Array) -> Array:
    """The next number of this dtype after `input` in the direction of `other`."""
    refuse("nextafter_cpu", input, BOOL, INTEGER, COMPLEX)
    return _nextafter(input, other)


@jax.custom_jvp
def _nextafter(x: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.nextafter(x, y)


@_nextafter.defjvp
def _nextafter_jvp(primals: Any, tangents: Any) -> Any:
    """1, but 0 where both are equal."""
    result = _nextafter(*primals)
    return result, jnp.where(primals[0] == primals[1], jnp.zeros_like(result), tangents[0])


@operator(promote="common", inplace=True, public_inplace=True)
def gcd(input: Array, other: Array) -> Array:
    """The greatest common divisor of integers."""
    refuse("gcd_cpu", input, BOOL, FLOAT, COMPLEX)
    return jnp.gcd(input, other)


@operator(promote="common", inplace=True, public_inplace=True)
def lcm(input: Array, other: Array) -> Array:
    """The least common multiple of integers."""
    refuse("lcm_cpu", input, BOOL, FLOAT, COMPLEX)
    return jnp.lcm(input, other)


for _infix, _told in (("__truediv__", "div"), ("__itruediv__", "div_")):
    getattr(Tensor, _infix).__wrapped__.public = getattr(Tensor, _told)  # whoever is asked is told of these
# the name by which `resolve_name` knows it
name_public(Tensor.__rdiv__, "torch.Tensor.__rtruediv__", True)  # type: ignore[attr-defined]

absolute: Callable[..., Tensor] = alias("absolute", abs, public_inplace=False)
negative: Callable[..., Tensor] = alias("negative", neg)
subtract: Callable[..., Tensor] = alias("subtract", sub)
multiply: Callable[..., Tensor] = alias("multiply", mul)
divide: Callable[..., Tensor] = alias("divide", div)
