"""Keys for `jax.random`."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from ...core.context.generator import draw
from ...core.context.tracing import host_value


def next_key() -> jax.Array:
    """A fresh key for `jax.random`, taken from the default generator."""
    return jnp.asarray(host_value(lambda: draw("next_key", None)))
