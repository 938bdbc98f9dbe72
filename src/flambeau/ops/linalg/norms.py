"""Norms of vectors and matrices as `linalg` has them, and what follows from singular values: rank and condition."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from ...core.array.dtypes import FLOAT, from_numpy
from ...core.dispatch.operator import Array, Static, operator
from ..reduce.statistics import vector_norm as _vector_norm
from ..support.checks import axes_of, category, normalized_dim, type_name
from .checks import LINALG, floating, full_precision, matrices
from .matrices import _relative_tolerance

Dim = int | tuple[int, ...] | None


def _typed(name: str, x: jax.Array, dtype: Any) -> jax.Array:
    floating(name, x)
    if dtype is None:
        return x
    asked = from_numpy(dtype).category
    if asked < FLOAT or asked < category(x):
        raise RuntimeError(f"{name}: dtype {dtype} cannot hold the norm's terms for a {type_name(x)} input")
    return x.astype(dtype)


@operator(methods=False, public=LINALG, grad="LinalgVectorNormBackward0")
def vector_norm(
    x: Array, ord: Static[float] = 2, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None
) -> Array:
    """`sum(abs(x) ** ord) ** (1 / ord)` over `dim`; the extreme size for +-inf, a count of non-zeros for 0."""
    typed = _typed("linalg.vector_norm", x, dtype)
    return _vector_norm(typed, float(ord), axes_of(dim, x.ndim), keepdim)


def _matrix_norm(x: jax.Array, ord: float | str, dim: tuple[int, int], keepdim: bool) -> jax.Array:
    if len(dim) != 2:
        raise RuntimeError(f"linalg.matrix_norm: dim must be a 2-tuple. Got {' '.join(map(str, dim))}")
    rows, columns = (normalized_dim(d, x.ndim) for d in dim)
    if rows == columns:
        raise RuntimeError(f"linalg.matrix_norm: dims must be different. Got ({dim[0]}, {dim[1]})")
    if ord == "fro":
        return _vector_norm(x, 2.0, (rows, columns), keepdim)
    if ord in (1, -1, math.inf, -math.inf):
        summed, kept = (rows, columns) if abs(ord) == 1 else (columns, rows)  # type: ignore[arg-type]
        sums = _vector_norm(x, 1.0, (summed,), True)
        found = (jnp.max if ord > 0 else jnp.min)(sums, kept, keepdims=True)  # type: ignore[operator]
        return found if keepdim else jnp.squeeze(found, (rows, columns))
    if ord not in ("nuc", 2, -2):
        raise RuntimeError(f"linalg.matrix_norm: Order {ord} not supported.")
    full_precision("linalg.matrix_norm", x)
    s = jnp.linalg.svd(jnp.moveaxis(x, (rows, columns), (-2, -1)), compute_uv=False)
    found = jnp.sum(s, -1) if ord == "nuc" else jnp.max(s, -1) if ord == 2 else jnp.min(s, -1)
    return jnp.expand_dims(found, tuple(sorted((rows, columns)))) if keepdim else found


@operator(methods=False, public=LINALG, grad="LinalgVectorNormBackward0")
def matrix_norm(
    A: Array, ord: float | str = "fro", dim: tuple[int, ...] = (-2, -1), keepdim: bool = False, *, dtype: Any = None
) -> Array:
    """A norm of matrices: "fro", "nuc", +-2 (singular values), +-1 (columns' sums), +-inf (rows' sums)."""
    if A.ndim < 2:
        raise RuntimeError("linalg.matrix_norm: The input tensor A must have at least 2 dimensions.")
    return _matrix_norm(_typed("linalg.matrix_norm", A, dtype), ord, dim, keepdim)  # type: ignore[arg-type]


@operator(
    methods=False,
    public=LINALG,
    grad="LinalgVectorNormBackward0",
    derivative="MulBackward0",
    autocast={"cuda": "float32"},
)
def norm(
    A: Array, ord: float | str | None = None, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None
) -> Array:
    """`vector_norm` without `ord` or over one dimension, `matrix_norm` over two."""
    x = _typed("linalg.norm" if ord is not None else "linalg.vector_norm", A, dtype)
    if dim is not None:
        dims = (dim,) if isinstance(dim, int) else dim
        if len(dims) not in (1, 2):
            raise RuntimeError(f"linalg.norm: dim must name one or two dimensions, got {list(dims)}")
    elif ord is None:
        dims = tuple(range(x.ndim))
    else:
        if x.ndim not in (1, 2):
            raise RuntimeError(f"linalg.norm: ord={ord} is for a vector or matrix, got {x.ndim} dimensions; give dim")
        dims = tuple(range(x.ndim))
    if ord is None:
        return _vector_norm(x, 2.0, axes_of(dims, x.ndim), keepdim)
    if len(dims) == 2:
        return _matrix_norm(x, ord, dims, keepdim)  # type: ignore[arg-type]
    if isinstance(ord, str):
        raise RuntimeError(f"linalg.norm: Order {ord} needs a matrix, got a vector")
    return _vector_norm(x, float(ord), axes_of(dims, x.ndim), keepdim)


@operator(methods=False, public=LINALG, autocast={"cpu": "float32"})
def matrix_rank(
    A: Array,
    tol: Array | None = None,
    *,
    atol: Array | None = None,
    rtol: Array | None = None,
    hermitian: bool = False,
) -> Array:
    """The number of singular values above `max(atol, rtol * the largest)`; `tol` is `atol` with `rtol=0`."""
    matrices("linalg.matrix_rank", A, square=hermitian)
    s = jnp.abs(jax.lax.linalg.eigh(A, symmetrize_input=False)[1]) if hermitian else jnp.linalg.svd(A, compute_uv=False)
    limit = _relative_tolerance(A, s, atol, rtol) if tol is None else jnp.asarray(tol).astype(s.dtype)
    return jnp.sum(s > jnp.expand_dims(limit, -1), -1, dtype=jnp.int64)


@operator(methods=False, public=LINALG, grad="SqueezeBackward1", autocast={"cpu": "float32"})
def cond(A: Array, p: float | str | None = None) -> Array:
    """The condition number: the norm of the matrix times that of its inverse (`p=None`: by singular values)."""
    matrices("linalg.cond", A, square=p not in (None, 2, -2))
    if p in (None, 2, -2):
        s = jnp.linalg.svd(A, compute_uv=False)
        return s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
    made = _matrix_norm(A, p, (-2, -1), False) * _matrix_norm(jnp.linalg.inv(A), p, (-2, -1), False)  # type: ignore[arg-type]
    return jnp.where(jnp.isnan(made), jnp.inf, made)
