"""Norms of a weight over all dimensions but one, and the weight that has given norms (Salimans & Kingma, 2016)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from ...core.array.size import out_of_range
from ...core.dispatch.operator import Array, operator
from ..elementwise.arithmetic import modulus
from ..support.checks import FLOAT, category, type_name


def _norm(v: jax.Array, pow: float, dim: int) -> jax.Array:
    if dim != -1 and not -v.ndim <= dim < v.ndim:
        raise out_of_range(dim, v.ndim)
    rest = None if dim == -1 else tuple(d for d in range(v.ndim) if d != dim % v.ndim)
    size = modulus(v) if pow != 2 or jnp.iscomplexobj(v) else v
    wide = size.astype(jnp.promote_types(size.dtype, np.float32))
    total = jnp.sqrt(jnp.square(wide).sum(rest)) if pow == 2 else jnp.power(jnp.power(wide, pow).sum(rest), 1 / pow)
    if rest is not None:
        total = total.reshape([v.shape[d] if d not in rest else 1 for d in range(v.ndim)])
    return total.astype(size.dtype)


@operator(methods=False, grad="ViewBackward0")
def norm_except_dim(v: Array, pow: int = 2, dim: int = 0) -> Array:
    """The `pow`-norms of `v` over all dimensions but `dim`, which keep their places with size 1.

    The norm of all elements, without dimensions, if `dim` is -1. IndexError if there is no such dimension.
    """
    if category(v) < FLOAT:
        raise RuntimeError(
            f"norm(): input dtype should be either floating point or complex. Got {type_name(v)} instead."
        )
    return _norm(v, pow, dim)


@operator(methods=False, grad="WeightNormInterfaceBackward0")
def _weight_norm(v: Array, g: Array, dim: int = 0) -> Array:
    """`g * v / |v|`, with the norms that `norm_except_dim` takes."""
    return v * (g / _norm(v, 2, dim))
