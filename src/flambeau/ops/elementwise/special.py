"""Special functions: the error, gamma, Bessel and normal-distribution families."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy import special as jsp

from ...core.dispatch.operator import Array, operator
from ...core.tensor.tensor import Tensor
from ..support.checks import BOOL, COMPLEX, INTEGER, category, inexact, refuse, require_floating
from ..support.declare import alias, unary
from .elementary import BOTH

_Formula = Callable[[jax.Array], jax.Array]
SPECIAL = ("special",)


def _only_special(name: str, formula: Callable[..., jax.Array], doc: str, halves: bool = True) -> Callable[..., Any]:
    """A function that PyTorch has in `torch.special` alone: no method, no in-place form."""
    return unary(name, formula, doc, methods=False, inplace=False, complex=False, halves=halves, public=SPECIAL)


def _twin(name: str, target: Callable[..., Any]) -> Callable[..., Any]:
    """The name under which `torch.special` has a function that elsewhere is called otherwise."""
    return alias(name, target, methods=False, public=SPECIAL)


def _with_slope(function: Callable[..., jax.Array], slope: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """`function` with `slope(x, function(x))` as its derivative."""

    @jax.custom_jvp
    def value(x: jax.Array) -> jax.Array:
        return function(x)

    @value.defjvp
    def rule(primals: Any, tangents: Any) -> Any:
        result = value(primals[0])
        return result, slope(primals[0], result) * tangents[0]

    return value


# --- error function --------------------------------------------------------------------------------------------------

erf: Callable[..., Tensor] = unary("erf", jsp.erf, "The error function.", complex=False, public=BOTH)
erfc: Callable[..., Tensor] = unary(
    "erfc", jsp.erfc, "`1 - erf(input)`, exact for large values.", complex=False, public=BOTH
)
erfinv: Callable[..., Tensor] = unary(
    "erfinv",
    jsp.erfinv,
    "The inverse of `erf`.",
    complex=False,
    public=BOTH,
    public_inplace=False,
    autocast={"cuda": "float32"},
)


def _erfcx_value(x: jax.Array) -> jax.Array:
    # exp(x^2) erfc(x): the product while it neither overflows nor loses digits, then the asymptotic series
    # 1 / (x sqrt(pi)) * sum (-1)^k (2k-1)!! / (2 x^2)^k (Abramowitz & Stegun 7.1.23).
    near = jnp.clip(x, -30.0, 8.0)
    product = jnp.exp(near * near) * jsp.erfc(near)
    far = jnp.maximum(x, 8.0)
    term, series = jnp.ones_like(far), jnp.ones_like(far)
    for k in range(1, 14):
        term = -term * (2 * k - 1) / (2 * far * far)
        series = series + term
    return jnp.where(x < 8.0, product, series / (far * math.sqrt(math.pi)))


_erfcx = _with_slope(_erfcx_value, lambda x, y: 2 * x * y - 2 / math.sqrt(math.pi))
erfcx: Callable[..., Tensor] = _only_special("erfcx", _erfcx, "`exp(input ** 2) * erfc(input)`.", halves=False)

# --- gamma function --------------------------------------------------------------------------------------------------


def _digamma_value(x: jax.Array) -> jax.Array:
    pole = jnp.where(jnp.signbit(x), jnp.asarray(jnp.inf, x.dtype), jnp.asarray(-jnp.inf, x.dtype))
    return jnp.where(x == 0, pole, jsp.digamma(x))


def _polygamma(n: int, x: jax.Array) -> jax.Array:
    """The n-th derivative of digamma, by which it is derived in turn."""
    if n < 0:
        raise RuntimeError("polygamma(n, x) does not support negative n.")
    value = _digamma_value if n == 0 else functools.partial(_polygamma_value, n)
    return _with_slope(value, lambda x, _: _polygamma(n + 1, x))(x)


def _zeta(s: int, x: jax.Array) -> jax.Array:
    if s > 10:  # of float32 the terms are too small for it, or next to that
        return jnp.where(jnp.isposinf(x), 0, lax.zeta(jnp.float64(s), x.astype(np.float64))).astype(x.dtype)
    return jnp.where(jnp.isposinf(x), jnp.zeros_like(x), lax.zeta(jnp.full_like(x, s), x))


def _polygamma_value(n: int, x: jax.Array) -> jax.Array:
    # psi^(n)(x) = (-1)^(n+1) n! zeta(n+1, x) on the right (Abramowitz & Stegun 6.4.10); on the left it is
    # (-1)^n psi^(n)(1-x) - pi (d/dx)^n cot(pi x) (6.4.7), where the derivatives of cot are polynomials in it.
    left = x < 0.5
    slope = np.polynomial.Polynomial([0, 1])
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(n):
            slope = -slope.deriv() * np.polynomial.Polynomial([1, 0, 1])
        count = np.float64(math.factorial(n) if n <= 170 else math.inf).astype(x.dtype)  # 171! is no double any more
        factors = np.multiply(slope.coef, np.float64(math.pi) ** (n + 1)).astype(x.dtype)
    right = (-1) ** (n + 1) * count * _zeta(n + 1, jnp.where(left, 1 - x, x))
    cotangent = 1 / jnp.tan(math.pi * jnp.where(left, x - jnp.round(x), 0.25))
    reflected = jnp.full_like(x, factors[-1])
    for factor in factors[-2::-1]:
        reflected = reflected * cotangent + factor
    made = jnp.where(left, (-1) ** n * right - reflected, right)
    if n == 1:
        return made
    pole = jnp.asarray((-1) ** (n + 1) * math.inf, x.dtype)  # what zeta has at infinities, where trigamma has 0 and nan
    return jnp.where(jnp.isinf(x), jnp.where(x < 0, pole, jnp.nan), made)


def _digamma(x: jax.Array) -> jax.Array:
    return _polygamma(0, x)


# (the derivatives of lax.digamma lose all digits on the left)
_lgamma = _with_slope(lambda x: lax.lgamma(x), lambda x, _: _digamma(x))
lgamma: Callable[..., Tensor] = unary(
    "lgamma",
    _lgamma,
    "The logarithm of the size of the gamma function.",
    complex=False,
    public_inplace=False,
)
digamma: Callable[..., Tensor] = unary(
    "digamma", _digamma, "The derivative of `lgamma`.", complex=False, public=BOTH, public_inplace=False
)
gammaln: Callable[..., Tensor] = _twin("gammaln", lgamma)
psi: Callable[..., Tensor] = _twin("psi", digamma)


@operator(methods=False, public=BOTH)
def polygamma(n: int, input: Array) -> Array:
    """The `n`-th derivative of `digamma`. Negative `n` raises RuntimeError."""
    return _polygamma(n, inexact(input))


@operator(methods=("polygamma",), inplace=("polygamma_",), public=(), grad="PolygammaBackward0")
def _polygamma_method(input: Array, n: int) -> Array:
    return _polygamma(n, inexact(input))


@operator(inplace=True)
def mvlgamma(input: Array, p: int) -> Array:
    """The logarithm of the multivariate gamma function of dimension `p`, which must be at least 1."""
    if p < 1:
        raise RuntimeError("p has to be greater than or equal to 1")
    if category(input) == BOOL:
        raise RuntimeError("The input tensor may not be a boolean tensor.")
    x = inexact(input)
    constant = p * (p - 1) / 4 * math.log(math.pi)
    return sum((_lgamma(x - j / 2) for j in range(p)), jnp.full_like(x, constant))


multigammaln: Callable[..., Tensor] = _twin("multigammaln", mvlgamma)


_MANY_TERMS = 1e10  # above it the series of JAX take more steps than one can wait for


def _normal_limit(a: jax.Array, x: jax.Array) -> jax.Array:
    """Q(a, x) for large a: Temme's uniform expansion, cut after its first term."""
    apart = (x - a) / a
    small = jnp.abs(apart) < 1e-3
    near = jnp.where(small, apart, 0)
    series = near**2 * (1 / 2 - near * (1 / 3 - near * (1 / 4 - near / 5)))
    half = jnp.where(small, series, apart - jnp.log1p(jnp.where(small, 0, apart)))
    eta = jnp.sign(apart) * jnp.sqrt(2 * half)
    return jsp.erfc(eta * jnp.sqrt(a / 2)) / 2 - jnp.exp(-a * half) / (3 * jnp.sqrt(2 * math.pi * a))


def _incomplete_gamma(formula: Callable[..., jax.Array], upper: bool) -> Callable[..., jax.Array]:
    """P or Q with the limits at the borders. The formula gets numbers inside alone: its loops may not end for others."""

    def inside(a: jax.Array, x: jax.Array) -> jax.Array:
        return (a > 0) & (x > 0) & (a <= _MANY_TERMS) & (x < jnp.inf)

    def within(a: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        kept = inside(a, x)
        return jnp.where(kept, a, 1), jnp.where(kept, x, 1)

    @jax.custom_jvp
    def value(a: jax.Array, x: jax.Array) -> jax.Array:
        low, high = (1.0, 0.0) if upper else (0.0, 1.0)
        limit = _normal_limit(a, x)
        found = jnp.where(a > _MANY_TERMS, limit if upper else 1 - limit, formula(*within(a, x)))
        found = jnp.where((a == 0) | (x == jnp.inf), high, found)
        found = jnp.where((x == 0) | (a == jnp.inf), low, found)
        nowhere = (a < 0) | (x < 0) | ((a == 0) & (x == 0)) | ((a == jnp.inf) & (x == jnp.inf))
        unknown = (jnp.isnan(a) & (x > 0) & (x < jnp.inf)) | (jnp.isnan(x) & (a != jnp.inf))
        return jnp.where(nowhere | unknown, jnp.nan, found).astype(x.dtype)

    @value.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        (a, x), (da, dx) = primals, tangents
        sign = -1 if upper else 1
        by_x = sign * jnp.exp((a - 1) * jnp.log(x) - x - _lgamma(a))
        by_a = sign * lax.igamma_grad_a(*within(a, x))
        return value(a, x), by_x * dx + jnp.where(inside(a, x), by_a, 0) * da

    return value


_lower_gamma = _incomplete_gamma(lax.igamma, False)
_upper_gamma = _incomplete_gamma(lax.igammac, True)


@operator(promote="common", methods=("igamma",), inplace=("igamma_",), public=("torch",))
def igamma(input: Array, other: Array) -> Array:
    """The regularised lower incomplete gamma function P(input, other)."""
    refuse("igamma_cpu", input, BOOL, INTEGER, COMPLEX)
    return _lower_gamma(*jnp.broadcast_arrays(input, other))


@operator(promote="common", methods=("igammac",), inplace=("igammac_",), public=("torch",))
def igammac(input: Array, other: Array) -> Array:
    """The regularised upper incomplete gamma function Q(input, other)."""
    refuse("igammac_cpu", input, BOOL, INTEGER, COMPLEX)
    return _upper_gamma(*jnp.broadcast_arrays(input, other))


gammainc: Callable[..., Tensor] = _twin("gammainc", igamma)
gammaincc: Callable[..., Tensor] = _twin("gammaincc", igammac)


@operator(promote="float", methods=False, public=SPECIAL)
def zeta(input: Array, other: Array) -> Array:
    """The Hurwitz zeta function: the sum of `(k + other) ** -input` over k = 0, 1, 2 ..."""
    require_floating("zeta_cpu", input, halves=False)
    s, q = jnp.broadcast_arrays(input, other)
    pole = (s == 1) | ((q <= 0) & (q == jnp.floor(q)))
    at_pole = jnp.where(s < 1, jnp.full_like(s, jnp.nan), jnp.full_like(s, jnp.inf))
    return jnp.where(pole | (s < 1), at_pole, lax.zeta(s, q))


# --- Bessel functions ------------------------------------------------------------------------------------------------

# Derivatives: i0' = i1, i1' = i0 - i1 / x (1/2 at 0), and the product rule for the scaled ones.


def _over(y: jax.Array, x: jax.Array) -> jax.Array:
    """y / x, and 1/2 at 0: the limit of i1(x) / x."""
    zero = x == 0
    return jnp.where(zero, jnp.full_like(x, 0.5), y / jnp.where(zero, jnp.ones_like(x), x))


_i0: _Formula = _with_slope(jsp.i0, lambda x, _: _i1(x))
_i1: _Formula = _with_slope(jsp.i1, lambda x, y: _i0(x) - _over(y, x))
_i0e: _Formula = _with_slope(jsp.i0e, lambda x, y: _i1e(x) - jnp.sign(x) * y)
_i1e: _Formula = _with_slope(jsp.i1e, lambda x, y: _i0e(x) - _over(y, x) - jnp.sign(x) * y)

i0: Callable[..., Tensor] = unary(
    "i0", _i0, "The modified Bessel function of the first kind, order 0.", complex=False, public=BOTH
)
i0e: Callable[..., Tensor] = _only_special("i0e", _i0e, "`exp(-abs(input)) * i0(input)`.")
i1: Callable[..., Tensor] = _only_special("i1", _i1, "The modified Bessel function of the first kind, order 1.")
i1e: Callable[..., Tensor] = _only_special("i1e", _i1e, "`exp(-abs(input)) * i1(input)`.")

# --- logarithms with a factor ----------------------------------------------------------------------------------------


@operator(promote="float", inplace=True, public_inplace=True, public=BOTH)
def xlogy(input: Array, other: Array) -> Array:
    """`input * log(other)`, with 0 wherever `input` is 0 (nan in `other` stays nan)."""
    refuse("xlogy_cpu", input, COMPLEX)
    return _times_log(input, other, jnp.log)


@operator(promote="float", methods=False, public=SPECIAL)
def xlog1py(input: Array, other: Array) -> Array:
    """`input * log1p(other)`, with 0 wherever `input` is 0 (nan in `other` stays nan)."""
    refuse("xlog1py_cpu", input, COMPLEX)
    return _times_log(input, other, jnp.log1p)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _times_log(x: jax.Array, y: jax.Array, log: Callable[..., jax.Array]) -> jax.Array:
    return jnp.where((x == 0) & (y == y), jnp.zeros_like(y), x * log(y))


@_times_log.defjvp
def _times_log_jvp(log: Callable[..., jax.Array], primals: Any, tangents: Any) -> Any:
    """Where both x is 0 and the logarithm is undefined, the derivative by x is 0."""
    (x, y), (tx, ty) = primals, tangents
    start = -1 if log is jnp.log1p else 0
    undefined = (x == 0) & (y <= start)
    by_x = jnp.where(undefined, jnp.zeros_like(y), log(jnp.where(undefined, jnp.ones_like(y), y)))
    return _times_log(x, y, log), tx * by_x + ty * (x / (y - start))


def _entr(x: jax.Array) -> jax.Array:
    inside = jnp.where(x > 0, x, jnp.ones_like(x))
    at_edge = jnp.where(x == 0, jnp.zeros_like(x), jnp.where(x < 0, jnp.full_like(x, -jnp.inf), x))
    return jnp.where(x > 0, -inside * jnp.log(inside), at_edge)


_entr_with_slope = _with_slope(_entr, lambda x, _: -jnp.log(x) - 1)
entr: Callable[..., Tensor] = _only_special("entr", _entr_with_slope, "`-input * log(input)`, 0 at 0 and -inf below.")


@operator(inplace=True, public_inplace=True, public=BOTH, room={"eps": "own floats"})
def logit(input: Array, eps: float | None = None) -> Array:
    """`log(input / (1 - input))`; with `eps`, `input` is first cut to [eps, 1 - eps]."""
    refuse("logit_cpu", input, COMPLEX)
    x = inexact(input)
    if eps is None:
        return _logit(x)
    low, high = jnp.asarray(eps, x.dtype), jnp.asarray(1 - eps, x.dtype)
    cut = jnp.where(x < low, low, jnp.where(x > high, high, x))
    outside = (x < low) | (x > high)
    inside = _logit(jnp.where(outside, jnp.asarray(0.5, x.dtype), x))
    return jnp.where(outside, lax.stop_gradient(_logit(cut)), inside)  # the slope may be infinite at the ends


_logit = _with_slope(
    lambda x: jnp.log(x / (1 - x)),
    # (the slope at -0.0 is that at 0.0)
    lambda x, _: jnp.where((x < 0) | (x > 1), jnp.full_like(x, jnp.nan), 1 / (jnp.where(x == 0, 0, x) * (1 - x))),
)


# --- normal distribution ---------------------------------------------------------------------------------------------

ndtr: Callable[..., Tensor] = _only_special("ndtr", jsp.ndtr, "The normal distribution function.")
_ndtri = _with_slope(jsp.ndtri, lambda _, y: math.sqrt(2 * math.pi) * jnp.exp(y * y / 2))
ndtri: Callable[..., Tensor] = _only_special("ndtri", _ndtri, "The inverse of `ndtr`.", halves=False)
log_ndtr: Callable[..., Tensor] = _only_special(
    "log_ndtr", jsp.log_ndtr, "The logarithm of `ndtr`, exact far below 0.", halves=False
)
