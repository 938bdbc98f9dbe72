"""log(1 + exp(x)) and its mirror image, which activations and losses are made of."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp


@jax.custom_jvp
def log1p_exp(x: jax.Array) -> jax.Array:
    """log(1 + exp(x)) for every x."""
    return jnp.maximum(x, jnp.zeros((), x.dtype)) + jnp.log1p(jnp.exp(-jnp.abs(x)))


@log1p_exp.defjvp
def _jvp(primals: Any, tangents: Any) -> Any:
    (x,), (dx,) = primals, tangents
    return log1p_exp(x), jax.nn.sigmoid(x) * dx


@jax.custom_jvp
def log_sigmoid(x: jax.Array) -> jax.Array:
    """log(1 / (1 + exp(-x))) for every x; at infinity 0.0, not -0.0."""
    return jnp.minimum(x, jnp.zeros((), x.dtype)) - jnp.log1p(jnp.exp(-jnp.abs(x)))


@log_sigmoid.defjvp
def _log_sigmoid_jvp(primals: Any, tangents: Any) -> Any:
    (x,), (dx,) = primals, tangents
    return log_sigmoid(x), jax.nn.sigmoid(-x) * dx
