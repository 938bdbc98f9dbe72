"""Bessel functions of the orders 0 and 1, and the Airy function. As in PyTorch they have no gradients.

For small arguments the power series, for others one integral: with `cosh t = 1 + v**2 / z` in K_a(z) = the integral of
`exp(-z cosh t) cosh(a t)` over t > 0 (Abramowitz & Stegun 9.6.24),

    exp(z) K_a(z) = sqrt(2 / z) * the integral over v > 0 of exp(-v**2) cosh(a t) / sqrt(1 + v**2 / (2 z)).

The trapezoidal rule converges exponentially for it (Trefethen & Weideman, 2014), for imaginary z too; there K_0 is the Hankel
function of a real argument (9.6.4), that is, J and Y together.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy import special as jsp

from ...core.context.grad_mode import no_grad
from ...core.dispatch.operator import Array, composite, operator
from ...core.tensor.tensor import Tensor
from ..support.checks import COMPLEX, HALVES, refuse, type_name

_Formula = Callable[[jax.Array], jax.Array]
_STEP = 0.2
_NODES = 33
_SMALL = 2.0  # up to here the power series; the integral's error grows below
_EULER = float(np.euler_gamma)

# --- power series ----------------------------------------------------------------------------------------------------


def _series(y: jax.Array, order: int, weight: Callable[[int], float], terms: int = 22) -> jax.Array:
    """The sum of `weight(k) * y**k / (k! (k + order)!)`, from the last term on (Horner)."""
    total = jnp.zeros_like(y)
    for k in reversed(range(terms)):
        total = total * y + weight(k) / (math.factorial(k) * math.factorial(k + order))
    return total


def _harmonic(k: int) -> float:
    return sum(1 / j for j in range(1, k + 1))


def _both_kinds(x: jax.Array, order: int, sign: int) -> tuple[jax.Array, jax.Array]:
    """For 0 < x <= 2: J and pi/2 Y (`sign` -1), or I and K (+1), of an order 0 or 1 (9.1.10-13, 9.6.10-13)."""
    y = sign * x * x / 4
    first = _series(y, order, lambda k: 1.0) * (x / 2) ** order
    log = jnp.log(x / 2)
    if order == 0:
        rest = _series(y, 0, _harmonic)
        second = (log + _EULER) * first - rest
    else:
        rest = _series(y, 1, lambda k: _harmonic(k) + _harmonic(k + 1) - 2 * _EULER) * x / 4
        second = log * first - rest + sign / x
    return first, -second if sign > 0 and order == 0 else second


# --- the integral ----------------------------------------------------------------------------------------------------


def _scaled_k(z: jax.Array, order: float) -> jax.Array:
    """`exp(z) K_order(z)` for an order 0, 1 or 1/3, where abs(z) is at least some 2 and the real part not negative."""

    def add(k: jax.Array, total: jax.Array) -> jax.Array:
        v = k * _STEP
        w = v * v / z  # cosh t - 1
        root = jnp.sqrt(1 + w / 2)
        if order == 0:
            along: Any = 1
        elif order == 1:
            along = 1 + w
        else:
            grown = (jnp.sqrt(w / 2) + root) ** (2 * order)  # exp(order * t)
            along = (grown + 1 / grown) / 2
        return total + jnp.exp(-v * v) * along / root

    return lax.fori_loop(1, _NODES, add, jnp.full_like(z, 0.5)) * jnp.sqrt(2 / z) * _STEP


def _hankel(x: jax.Array, order: int) -> jax.Array:
    """`J + i Y` for x above 2: `2 / (pi i) * exp(-i pi order / 2) * K(-i x)`."""
    turn = -1j if order == 0 else -1.0
    return 2 / math.pi * turn * jnp.exp(lax.complex(jnp.zeros_like(x), x)) * _scaled_k(-1j * x, order)


def _split(x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Where the power series serves, and the argument moved into the range of it, and into that of the integral."""
    small = x <= _SMALL
    return small, jnp.where(small & (x > 0), x, 1.0), jnp.where(small | jnp.isnan(x), 3.0, x)


# --- functions of one argument ---------------------------------------------------------------------------------------


def _bessel_j(order: int) -> _Formula:
    def formula(x: jax.Array) -> jax.Array:
        size = jnp.abs(x)
        small, _, large = _split(size)
        y = -(jnp.where(small, size, 1.0) ** 2) / 4
        near = _series(y, order, lambda k: 1.0) * (size / 2) ** order
        value = jnp.where(small, near, _hankel(large, order).real)
        value = jnp.where(jnp.isfinite(x), value, jnp.nan)
        return value if order == 0 else jnp.where(jnp.signbit(x), -value, value)

    return formula


def _bessel_y(order: int) -> _Formula:
    def formula(x: jax.Array) -> jax.Array:
        small, near, large = _split(x)
        second = _both_kinds(near, order, -1)[1] * 2 / math.pi
        value = jnp.where(small, second, _hankel(large, order).imag)
        value = jnp.where(x == 0, -jnp.inf, jnp.where(x < 0, jnp.nan, value))
        return jnp.where(jnp.isfinite(x), value, jnp.nan)

    return formula


def _modified_k(order: int, scaled: bool) -> _Formula:
    def formula(x: jax.Array) -> jax.Array:
        small, near, large = _split(x)
        second = _both_kinds(near, order, 1)[1]
        far = _scaled_k(large, order)
        value = jnp.where(small, second * jnp.exp(near) if scaled else second, far if scaled else far * jnp.exp(-large))
        value = jnp.where(x == 0, jnp.inf, jnp.where(x < 0, jnp.nan, value))
        return jnp.where(jnp.isnan(x), x, value)

    return formula


def _modified_i(order: int) -> _Formula:
    function = jsp.i0 if order == 0 else jsp.i1
    return lambda x: jnp.where(jnp.isfinite(x), jnp.where(x == 0, 1.0 - order, function(x)), jnp.nan)


_AIRY = (0.355028053887817239260, 0.258819403792806798405)  # Ai(0) and -Ai'(0)


def _airy(x: jax.Array) -> jax.Array:
    # near 0 the power series (10.4.2); Ai(x) = sqrt(x / 3) / pi * K_1/3(2/3 x^1.5) on the right (10.4.14); on the left the
    # sum of both turned ones, Ai(-x) = 2 Re(exp(i pi / 3) Ai(x exp(i pi / 3)))
    size = jnp.abs(x)
    small = size <= _SMALL
    cube = jnp.where(small, x, 1.0) ** 3
    near, f, g = jnp.zeros_like(x), 1.0, 1.0
    value_f, value_g = jnp.zeros_like(x), jnp.zeros_like(x)
    powers = jnp.ones_like(x)
    for k in range(16):
        value_f, value_g = value_f + f * powers, value_g + g * powers
        f, g = f / ((3 * k + 2) * (3 * k + 3)), g / ((3 * k + 3) * (3 * k + 4))
        powers = powers * cube
    near = _AIRY[0] * value_f - _AIRY[1] * jnp.where(small, x, 0.0) * value_g
    large = jnp.where(small | ~jnp.isfinite(x), 3.0, size)
    zeta = 2 / 3 * large**1.5
    scale = jnp.sqrt(large / 3) / math.pi
    right = scale * jnp.exp(-zeta) * _scaled_k(zeta, 1 / 3)
    turned = _scaled_k(1j * zeta, 1 / 3) * jnp.exp(lax.complex(jnp.zeros_like(zeta), math.pi / 2 - zeta))
    left = 2 * scale * turned.real
    value = jnp.where(small, near, jnp.where(x > 0, right, left))
    return jnp.where(jnp.isfinite(x), value, jnp.nan)


def _spherical_j0(x: jax.Array) -> jax.Array:
    small = jnp.abs(x) < 0.5
    y = jnp.where(small, x, 0.0) ** 2
    near = jnp.zeros_like(x)
    for k in reversed(range(9)):
        near = near * y + (-1) ** k / math.factorial(2 * k + 1)
    far = jnp.where(small, 1.0, x)
    return jnp.where(small, near, jnp.where(jnp.isinf(x), 0.0, jnp.sin(far) / far))


# --- declared --------------------------------------------------------------------------------------------------------


def ungraded(name: str, formula: Callable[..., jax.Array], doc: str, *parameters: str) -> None:
    """A function of `torch.special` whose results are never on the tape. It is computed in float64."""

    def computed(*arrays: jax.Array) -> jax.Array:
        for x in arrays:
            refuse(f"{name}_cpu", x, COMPLEX)
            if x.dtype in HALVES:
                raise NotImplementedError(f"\"{name}_cpu\" not implemented for '{type_name(x)}'")
        made = formula(*(lax.stop_gradient(x).astype(np.float64) for x in jnp.broadcast_arrays(*arrays)))
        return made.astype(arrays[0].dtype)

    def unary(x: Array) -> Array:
        return computed(x)

    def binary(x: Array, n: Array) -> Array:
        return computed(x, n)

    function = binary if len(parameters) == 2 else unary
    function.__name__ = function.__qualname__ = name
    declared = operator(promote="float", methods=False, public=())(function)

    def one(x: Tensor) -> Any:
        with no_grad():
            return declared(x)

    def named(input: Any) -> Any:
        with no_grad():
            return declared(input)

    def two(x: Any, n: Any) -> Any:
        with no_grad():
            return declared(x, n)

    call = two if len(parameters) == 2 else named if parameters == ("input",) else one
    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"{doc} Elementwise; without a gradient."
    composite(methods=False, public=("special",))(call)


for _order in (0, 1):
    _kind = f"Bessel function, order {_order}."
    ungraded(f"bessel_j{_order}", _bessel_j(_order), f"The {_kind}", "input")
    ungraded(f"bessel_y{_order}", _bessel_y(_order), f"The second {_kind}", "input")
    ungraded(f"modified_bessel_i{_order}", _modified_i(_order), f"The modified {_kind}", "input")
    ungraded(f"modified_bessel_k{_order}", _modified_k(_order, False), f"The second modified {_kind}", "input")
    ungraded(
        f"scaled_modified_bessel_k{_order}",
        _modified_k(_order, True),
        f"`exp(x)` times the second modified {_kind}",
        "x",
    )
ungraded("airy_ai", _airy, "The Airy function Ai.", "x")
ungraded("spherical_bessel_j0", _spherical_j0, "`sin(x) / x`, 1 at 0.", "x")
