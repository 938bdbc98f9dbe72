"""How draws move with their parameters: derivatives of samples through their distribution functions.

A sample x of distribution function F(x; a) stays at its quantile as a moves: dx/da = -(dF/da) / (dF/dx)
(Figurnov, Mohamed and Mnih, "Implicit Reparameterization Gradients", 2018).
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import digamma

from ...core.dispatch.operator import Array, operator

_STEPS = 1000  # the continued fraction takes about the square root of its greatest parameter


@operator(methods=False)
def _standard_gamma_grad(self: Array, output: Array) -> Array:
    """dx/da of values `output` of gamma distributions with the shape parameters a in `self`."""
    return jax.lax.random_gamma_grad(self, output)


def _fraction(a: Any, b: Any, x: Any) -> Any:
    """The continued fraction of the incomplete beta function (DLMF 8.17.22), by Lentz's method."""
    tiny = 1e-300

    def away(v: Any) -> Any:
        return jnp.where(jnp.abs(v) < tiny, tiny, v)

    def step(state: Any) -> Any:
        m, c, d, h, _ = state
        for numerator in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / away(1 + numerator * d)
            c = away(1 + numerator / c)
            h = h * (c * d)
        return m + 1, c, d, h, jnp.any(jnp.abs(c * d - 1) > 1e-15)

    d = 1 / away(1 - (a + b) * x / (a + 1))
    start = (jnp.ones((), x.dtype), jnp.ones_like(x), d, d, jnp.array(True))
    return jax.lax.while_loop(lambda s: s[4] & (s[0] < _STEPS), step, start)[3]


@operator(methods=False)
def _dirichlet_grad(x: Array, alpha: Array, total: Array) -> Array:
    """-(dF/da) / (dF/dx) / (1 - x) of beta values x, whose parameters are `alpha` and `total - alpha` (kept as a moves).

    With it the derivative of a Dirichlet sample by its i-th parameter is this times (e_i - x).
    """
    kind = x.dtype
    x, a, total = (v.astype(np.float64) for v in jnp.broadcast_arrays(x, alpha, total))
    b = total - a
    low = x * (a + b + 2) < a + 1  # there F is a fraction, elsewhere it is 1 less that of 1 - x
    x_near, a_near, b_near = (jnp.where(low, *pair) for pair in ((x, 1 - x), (a, b), (b, a)))
    ones, none = jnp.ones_like(x), jnp.zeros_like(x)
    moved = (jnp.where(low, ones, none), jnp.where(low, none, ones), none)
    fraction, slope = jax.jvp(_fraction, (a_near, b_near, x_near), moved)
    # F (or 1 - F) over the density, less a factor 1 - x, and the derivative of its logarithm
    share = x * fraction / a_near
    slope = slope / fraction + jnp.log(x) - digamma(a) + digamma(total) - jnp.where(low, 1 / a, 0)
    return jnp.where(low, -share * slope, share * slope).astype(kind)
