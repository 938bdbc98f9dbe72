"""Elementwise functions of one number: exponentials, logarithms, trigonometry, rounding, classification."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ...core.dispatch.operator import Array, composite, operator
from ...core.tensor.tensor import Tensor
from ...native import functions
from ..support.checks import BOOL, COMPLEX, FLOAT, INTEGER, category, refuse
from ..support.declare import alias, unary
from . import exactly

BOTH = ("torch", "special")

# --- exponentials and logarithms -------------------------------------------------------------------------------------

exp: Callable[..., Tensor] = unary(
    "exp", jnp.exp, "e to the power of `input`.", derivative="MulBackward0", autocast={"cuda": "float32"}
)
exp2: Callable[..., Tensor] = unary(
    "exp2", exactly.exp2, "2 to the power of `input`.", public=BOTH, derivative="MulBackward0"
)
expm1: Callable[..., Tensor] = unary(
    "expm1", jnp.expm1, "`exp(input) - 1`, exact near 0.", public=BOTH, autocast={"cuda": "float32"}
)
log: Callable[..., Tensor] = unary(
    "log", jnp.log, "The natural logarithm.", derivative="DivBackward0", autocast={"cuda": "float32"}
)
log2: Callable[..., Tensor] = unary(
    "log2", exactly.log2, "The logarithm to base 2.", derivative="DivBackward0", autocast={"cuda": "float32"}
)
log10: Callable[..., Tensor] = unary(
    "log10",
    exactly.log10,
    "The logarithm to base 10.",
    derivative="DivBackward0",
    autocast={"cuda": "float32"},
)
log1p: Callable[..., Tensor] = unary(
    "log1p",
    jnp.log1p,
    "`log(1 + input)`, exact near 0.",
    public=BOTH,
    derivative="DivBackward0",
    autocast={"cuda": "float32"},
)
sigmoid: Callable[..., Tensor] = unary(
    "sigmoid", lambda x: lax.logistic(x), "`1 / (1 + exp(-input))`.", derivative="SigmoidBackwardBackward0"
)
expit: Callable[..., Tensor] = alias("expit", sigmoid, methods=False, public=("special",))

# --- trigonometry ----------------------------------------------------------------------------------------------------

sin: Callable[..., Tensor] = unary("sin", functions.sin, "The sine of an angle in radians.", derivative="MulBackward0")
cos: Callable[..., Tensor] = unary(
    "cos", functions.cos, "The cosine of an angle in radians.", derivative="MulBackward0"
)
tan: Callable[..., Tensor] = unary(
    "tan", functions.tan, "The tangent of an angle in radians.", autocast={"cuda": "float32"}
)
asin: Callable[..., Tensor] = unary(
    "asin", jnp.arcsin, "The angle in radians whose sine is `input`.", autocast={"cuda": "float32"}
)
acos: Callable[..., Tensor] = unary(
    "acos", jnp.arccos, "The angle in radians whose cosine is `input`.", autocast={"cuda": "float32"}
)
atan: Callable[..., Tensor] = unary(
    "atan", functions.arctan, "The angle in radians whose tangent is `input`.", derivative="DivBackward0"
)
sinh: Callable[..., Tensor] = unary(
    "sinh", jnp.sinh, "The hyperbolic sine.", derivative="MulBackward0", autocast={"cuda": "float32"}
)
cosh: Callable[..., Tensor] = unary(
    "cosh", jnp.cosh, "The hyperbolic cosine.", derivative="MulBackward0", autocast={"cuda": "float32"}
)
tanh: Callable[..., Tensor] = unary("tanh", jnp.tanh, "The hyperbolic tangent.", derivative="TanhBackwardBackward0")
asinh: Callable[..., Tensor] = unary("asinh", jnp.arcsinh, "The inverse of `sinh`.", derivative="DivBackward0")
acosh: Callable[..., Tensor] = unary("acosh", jnp.arccosh, "The inverse of `cosh`.")
atanh: Callable[..., Tensor] = unary("atanh", jnp.arctanh, "The inverse of `tanh`.")

arcsin: Callable[..., Tensor] = alias("arcsin", asin)
arccos: Callable[..., Tensor] = alias("arccos", acos)
arctan: Callable[..., Tensor] = alias("arctan", atan)
arcsinh: Callable[..., Tensor] = alias("arcsinh", asinh)
arccosh: Callable[..., Tensor] = alias("arccosh", acosh)
arctanh: Callable[..., Tensor] = alias("arctanh", atanh)


@operator(promote="float", inplace=True, autocast={"cuda": "widest"})
def atan2(input: Array, other: Array) -> Array:
    """The angle in radians of the point with `input` as its ordinate and `other` as its abscissa."""
    refuse("atan2_cpu", input, COMPLEX)
    return _atan2(input, other)


@jax.custom_jvp
def _atan2(y: jax.Array, x: jax.Array) -> jax.Array:
    return functions.arctan2(y, x)


@_atan2.defjvp
def _atan2_jvp(primals: Any, tangents: Any) -> Any:
    # PyTorch's gradient at the origin is 0.
    (y, x), (ty, tx) = primals, tangents
    square = y * y + x * x
    inverse = jnp.where(square == 0, jnp.zeros_like(square), 1 / square)
    return _atan2(y, x), x * inverse * ty - y * inverse * tx


arctan2: Callable[..., Tensor] = alias("arctan2", atan2)


def _sinc(x: jax.Array) -> jax.Array:
    return jnp.sinc(x) + 0 * x  # jax 0.11 gives 0 at infinity, where PyTorch has nan


sinc: Callable[..., Tensor] = unary("sinc", _sinc, "`sin(pi * input) / (pi * input)`, and 1 at 0.", public=BOTH)


def _refuse_complex(name: str, x: jax.Array) -> None:
    if category(x) == COMPLEX:
        raise RuntimeError(f"{name} is not supported for complex tensors.")


def _to_radians(x: jax.Array) -> jax.Array:
    _refuse_complex("deg2rad", x)
    return x * (math.pi / 180)


def _to_degrees(x: jax.Array) -> jax.Array:
    _refuse_complex("rad2deg", x)
    return x * (180 / math.pi)


deg2rad: Callable[..., Tensor] = unary("deg2rad", _to_radians, "Degrees to radians.", grad="Deg2RadBackward0")
rad2deg: Callable[..., Tensor] = unary("rad2deg", _to_degrees, "Radians to degrees.", grad="Rad2DegBackward0")

# --- rounding --------------------------------------------------------------------------------------------------------


def _rounding(name: str, formula: Callable[[jax.Array], jax.Array]) -> Callable[[jax.Array], jax.Array]:
    """Whole numbers are already round, bools and complex numbers refused, and the gradient is 0."""

    def function(x: jax.Array) -> jax.Array:
        if category(x) == COMPLEX and name != "round":
            raise NotImplementedError(f"{name} is not supported for complex inputs")
        refuse(f"{name}_vml_cpu", x, BOOL, COMPLEX)
        return x if category(x) == INTEGER else formula(x)

    return function


_floor, _ceil, _trunc = _rounding("floor", jnp.floor), _rounding("ceil", jnp.ceil), _rounding("trunc", jnp.trunc)
floor: Callable[..., Tensor] = unary(
    "floor", _floor, "The largest whole number that is not above `input`.", promote=None
)
ceil: Callable[..., Tensor] = unary("ceil", _ceil, "The smallest whole number that is not below `input`.", promote=None)
trunc: Callable[..., Tensor] = unary("trunc", _trunc, "`input` without its fraction.", promote=None)
fix: Callable[..., Tensor] = alias("fix", trunc)


def _frac(x: jax.Array) -> jax.Array:
    refuse("frac_cpu", x, BOOL, INTEGER, COMPLEX)
    return x - jnp.trunc(x)


frac: Callable[..., Tensor] = unary("frac", _frac, "The fraction of `input`, with its sign.", promote=None)
_whole = _rounding("round", jnp.round)


@operator(inplace=True, public_inplace=True, public=BOTH)
def round(input: Array, *, decimals: int | None = None) -> Array:
    """The nearest whole number, halves to the even one; with `decimals`, the nearest multiple of `10 ** -decimals`."""
    if decimals is None:
        return _whole(input)
    if decimals == 0:
        refuse("round_vml_cpu", input, BOOL, INTEGER)
        return _whole(input)
    refuse("round_cpu", input, BOOL, INTEGER, COMPLEX)
    scale = 10.0 ** abs(decimals)
    return jnp.round(input * scale) / scale if decimals > 0 else jnp.round(input / scale) * scale


@operator(inplace=True, public_inplace=True)
def nan_to_num(
    input: Array, nan: float | None = None, posinf: float | None = None, neginf: float | None = None
) -> Array:
    """`input` with nan replaced by `nan`, the infinities by `posinf` and `neginf` (by default the dtype's limits)."""
    if category(input) < FLOAT:
        return input
    if category(input) == COMPLEX:
        parts = (_finite(part, nan, posinf, neginf) for part in (input.real, input.imag))
        return lax.complex(*parts)
    return _finite(input, nan, posinf, neginf)


def _finite(x: jax.Array, nan: float | None, posinf: float | None, neginf: float | None) -> jax.Array:
    limits = jnp.finfo(x.dtype)
    replacements = (
        (jnp.isnan(x), 0.0 if nan is None else nan),
        (x == jnp.inf, limits.max if posinf is None else posinf),
        (x == -jnp.inf, limits.min if neginf is None else neginf),
    )
    result = x
    for where, value in replacements:
        result = jnp.where(where, jnp.asarray(value, x.dtype), result)
    return result


# --- complex parts ---------------------------------------------------------------------------------------------------


def _angle(x: jax.Array) -> jax.Array:
    if category(x) == COMPLEX:
        return _complex_angle(x)
    pi = jnp.where(x < 0, jnp.asarray(math.pi, x.dtype), jnp.zeros_like(x))
    return lax.stop_gradient(jnp.where(x != x, x, pi))


def _complex_angle(x: jax.Array) -> jax.Array:
    return _atan2(x.imag, x.real)


angle: Callable[..., Tensor] = unary(
    "angle", _angle, "The angle of a complex number; 0 or pi for a real one.", inplace=False
)


conj_physical: Callable[..., Tensor] = unary("conj_physical", jnp.conj, "The complex conjugate.", promote=None)
conj: Callable[..., Tensor] = unary("conj", jnp.conj, "The complex conjugate.", promote=None, inplace=False)

# --- classification --------------------------------------------------------------------------------------------------


def _classify(name: str, formula: Callable[[jax.Array], jax.Array], doc: str, **options: Any) -> Callable[..., Any]:
    return unary(name, formula, f"Whether each element {doc}.", promote=None, inplace=False, **options)


def _sign_of_infinity(name: str, sign: float) -> Callable[[jax.Array], jax.Array]:
    def function(x: jax.Array) -> jax.Array:
        if category(x) == COMPLEX:
            raise RuntimeError(f"{name} does not support complex inputs.")
        return x == sign if category(x) == FLOAT else jnp.zeros(x.shape, jnp.bool_)

    return function


def _signbit(x: jax.Array) -> jax.Array:
    if category(x) == COMPLEX:
        raise NotImplementedError("signbit is not implemented for complex tensors.")
    return jnp.signbit(x) if category(x) == FLOAT else x < 0


def _isreal(x: jax.Array) -> jax.Array:
    return x.imag == 0 if category(x) == COMPLEX else jnp.ones(x.shape, jnp.bool_)


isnan: Callable[..., Tensor] = _classify("isnan", jnp.isnan, "is nan (for complex numbers: either part)", narrow=True)
isinf: Callable[..., Tensor] = _classify("isinf", jnp.isinf, "is infinite (for complex numbers: either part)")
isfinite: Callable[..., Tensor] = _classify("isfinite", jnp.isfinite, "is neither infinite nor nan")
isposinf: Callable[..., Tensor] = _classify("isposinf", _sign_of_infinity("isposinf", math.inf), "is positive infinity")
isneginf: Callable[..., Tensor] = _classify(
    "isneginf", _sign_of_infinity("isneginf", -math.inf), "is negative infinity"
)
isreal: Callable[..., Tensor] = _classify("isreal", _isreal, "has no imaginary part")
signbit: Callable[..., Tensor] = _classify("signbit", _signbit, "has its sign bit set (-0.0 has)")


# --- bits that tensors have in torch and never here: conjugates and negatives are computed at once --------------------


@composite()
def is_conj(input: Tensor) -> bool:
    """False: no tensor is a conjugate that is still to be computed."""
    return False


@composite()
def is_neg(input: Tensor) -> bool:
    """False: no tensor is a negative that is still to be computed."""
    return False


@composite()
def resolve_conj(input: Tensor) -> Tensor:
    """`input` itself."""
    return input


@composite()
def resolve_neg(input: Tensor) -> Tensor:
    """`input` itself."""
    return input


@composite(methods=False)
def _neg_view(input: Tensor) -> Tensor:
    """Refused: a view that shows negated values, which memory has no mark for here."""
    raise NotImplementedError(
        "_neg_view: views that negate what they look at are not supported: values in memory carry no mark for it. Use torch.neg(x), "
        "which is a tensor of its own"
    )


@composite()
def is_nonzero(input: Tensor) -> bool:
    """Whether the one element of `input` is not 0. RuntimeError if it has none or several."""
    return bool(input)
