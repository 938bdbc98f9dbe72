"""log(1 + exp(x)), which activations and losses are made of."""

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
