"""Orthogonal polynomials of degree `n`, by their three-term recurrences (Abramowitz & Stegun, table 22.7).

As in PyTorch they have no gradients, `n` is cut to a whole number, and a negative one gives 0.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from .bessel import ungraded

# the polynomial of degree k + 1, from k, x and those of the degrees k and k - 1
_Next = Callable[[jax.Array, jax.Array, jax.Array, jax.Array], jax.Array]


def _degree(n: jax.Array) -> jax.Array:
    """The whole number; -1 for one that 64 bits have no room for (nan, too), which PyTorch's conversion makes negative."""
    return jnp.where(jnp.abs(n) < 2.0**63, jnp.trunc(n), -1)


def _recurred(x: jax.Array, n: jax.Array, start: jax.Array, following: _Next) -> jax.Array:
    """The polynomial of degree n: 1 for 0, `start` for 1."""
    last = jnp.max(n, initial=0)

    def step(state: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
        k, before, now = state
        return k + 1, jnp.where(k < n, now, before), jnp.where(k < n, following(k, x, now, before), now)

    first = (jnp.ones((), x.dtype), jnp.ones_like(x), start)
    _, _, value = lax.while_loop(lambda state: state[0] < last, step, first)
    return jnp.where(n < 0, 0.0, jnp.where(n == 0, 1.0, value))


def _chebyshev(
    start: Callable[[jax.Array], jax.Array], inside: Callable[..., jax.Array], shifted: bool, beyond: int
) -> Callable:
    """A Chebyshev polynomial: `inside` has the closed form, of the angle, for -1 < x < 1 and large n."""

    def formula(x: jax.Array, n: jax.Array) -> jax.Array:
        n = _degree(n)
        x = 2 * x - 1 if shifted else x
        closed = (jnp.abs(x) < 1) & (n > beyond)
        angle = jnp.arccos(jnp.where(closed, x, 0.0))
        steps = jnp.where(closed | jnp.isnan(x), jnp.minimum(n, 1), n)
        value = _recurred(x, steps, start(x), lambda k, x, now, before: 2 * x * now - before)
        return jnp.where(closed, inside(n, angle), jnp.where(jnp.isnan(x) & (n > 0), jnp.nan, value))

    return formula


_CHEBYSHEV = {
    "t": (lambda x: x, lambda n, a: jnp.cos(n * a), "first"),
    "u": (lambda x: 2 * x, lambda n, a: jnp.sin((n + 1) * a) / jnp.sin(a), "second"),
    "v": (lambda x: 2 * x - 1, lambda n, a: jnp.cos((n + 0.5) * a) / jnp.cos(a / 2), "third"),
    "w": (lambda x: 2 * x + 1, lambda n, a: jnp.sin((n + 0.5) * a) / jnp.sin(a / 2), "fourth"),
}
for _letter, (_start, _inside, _kind) in _CHEBYSHEV.items():
    for _shift in (False, True):
        ungraded(
            f"{'shifted_' if _shift else ''}chebyshev_polynomial_{_letter}",
            _chebyshev(_start, _inside, _shift, 6 if _letter == "t" else 8),
            f"The Chebyshev polynomial of the {_kind} kind{', of 2 x - 1' if _shift else ''}.",
            "x",
            "n",
        )


def _plain(start: Callable[[jax.Array], jax.Array], following: _Next) -> Callable[[jax.Array, jax.Array], jax.Array]:
    return lambda x, n: _recurred(x, _degree(n), start(x), following)


ungraded(
    "hermite_polynomial_h",
    _plain(lambda x: 2 * x, lambda k, x, now, before: 2 * x * now - 2 * k * before),
    "The physicists' Hermite polynomial.",
    "x",
    "n",
)
ungraded(
    "hermite_polynomial_he",
    _plain(lambda x: x, lambda k, x, now, before: x * now - k * before),
    "The probabilists' Hermite polynomial.",
    "x",
    "n",
)
ungraded(
    "laguerre_polynomial_l",
    _plain(lambda x: 1 - x, lambda k, x, now, before: ((2 * k + 1 - x) * now - k * before) / (k + 1)),
    "The Laguerre polynomial.",
    "x",
    "n",
)
ungraded(
    "legendre_polynomial_p",
    _plain(lambda x: x, lambda k, x, now, before: ((2 * k + 1) * x * now - k * before) / (k + 1)),
    "The Legendre polynomial.",
    "x",
    "n",
)
