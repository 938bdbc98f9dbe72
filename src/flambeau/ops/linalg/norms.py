"""Norms of vectors and matrices as `linalg` has them, and what follows from singular values: rank and condition."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from ...core.array.dtypes import COMPLEX, FLOAT, from_numpy, promote_types
from ...core.dispatch.messages import message
from ...core.dispatch.operator import Array, Static, composite, operator
from ...core.tensor.tensor import Tensor
from ..reduce.reduction import extreme
from ..reduce.statistics import vector_norm as _vector_norm
from ..support.checks import axes_of, category, normalized_dim
from .checks import INEXACT, LINALG, demand_hermitian, demand_singular, floating, full_precision, matrices
from .spectra import Number, _relative_tolerance, hermitian_values, singular_values

Dim = int | tuple[int, ...] | None
_SINGULAR = (2, -2, "nuc")  # orders of norms that are made of singular values

norm_operator = operator(
    methods=False, public=(), grad="LinalgVectorNormBackward0", derivative="MulBackward0", autocast={"cuda": "float32"}
)


def in_dtype_of_norm(name: str, x: jax.Array, dtype: Any) -> jax.Array:
    """The elements in the dtype that a norm was asked for, which must have room for them. RuntimeError otherwise."""
    floating(name, x)
    if dtype is None:
        return x
    asked, have = from_numpy(dtype), from_numpy(x.dtype)
    if asked.category < FLOAT:
        raise RuntimeError(f"{name}: dtype should be {INEXACT}, but got {asked.abbr}")
    if asked.category != have.category:
        kind = "complex" if have.category == COMPLEX else "real"
        raise RuntimeError(f"{name}: dtype should be {kind} for {kind} inputs, but got {asked.abbr}")
    if promote_types(have, asked) is not asked:
        text = f"the dtype of the input ({have.abbr}) should be convertible without narrowing to the specified dtype ({asked.abbr})"
        raise RuntimeError(f"{name}: {text}")
    return x.astype(dtype)


@operator(methods=False, public=LINALG, grad="LinalgVectorNormBackward0")
def vector_norm(
    x: Array, ord: Static[float] = 2, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None
) -> Array:
    """`sum(abs(x) ** ord) ** (1 / ord)` over `dim`; the extreme size for +-inf, a count of non-zeros for 0."""
    typed = in_dtype_of_norm("linalg.vector_norm", x, dtype)
    return _vector_norm(typed, float(ord), axes_of(dim, x.ndim), keepdim, named=dim is not None)


def _extreme(x: jax.Array, dim: int, largest: bool, called: int) -> jax.Array:
    """The largest of what is not negative (of nothing 0), or the smallest: IndexError where there is none."""
    if largest:
        return jnp.max(x, dim, keepdims=True, initial=0) if x.shape[dim] == 0 else extreme(jnp.max, x, (dim,), True)
    if x.shape[dim] == 0:
        raise IndexError(f"amin(): Expected reduction dim {called} to have non-zero size.")
    return extreme(jnp.min, x, (dim,), True)


def norm_of_matrices(x: jax.Array, ord: float | str, dim: tuple[int, ...], keepdim: bool) -> jax.Array:
    """A norm of the matrices in two dimensions."""
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
        found = _extreme(sums, kept, ord > 0, kept - (kept > summed and not keepdim))  # type: ignore[operator]
        return found if keepdim else jnp.squeeze(found, (rows, columns))
    if ord not in ("nuc", 2, -2):
        raise RuntimeError(f"linalg.matrix_norm: Order {ord} not supported.")
    full_precision("linalg.matrix_norm", x)
    s = singular_values(jnp.moveaxis(x, (rows, columns), (-2, -1)))
    found = jnp.sum(s, -1) if ord == "nuc" else jnp.squeeze(_extreme(s, s.ndim - 1, ord == 2, -1), -1)
    return jnp.expand_dims(found, tuple(sorted((rows, columns)))) if keepdim else found


@operator(methods=False, public=(), grad="LinalgVectorNormBackward0")
def _matrix_norm(A: Array, ord: float | str, dim: tuple[int, ...], keepdim: bool, *, dtype: Any) -> Array:
    if not isinstance(ord, str) and abs(ord) not in (1, 2, math.inf):
        raise RuntimeError(f"linalg.matrix_norm: Order {ord} not supported.")
    if A.ndim < 2:
        raise RuntimeError("linalg.matrix_norm: The input tensor A must have at least 2 dimensions.")
    if ord in _SINGULAR:
        full_precision("linalg.matrix_norm", A)  # whatever dtype is asked for
    return norm_of_matrices(in_dtype_of_norm("linalg.matrix_norm", A, dtype), ord, dim, keepdim)  # type: ignore[arg-type]


@composite(methods=False, public=LINALG)
def matrix_norm(
    A: Tensor, ord: float | str = "fro", dim: tuple[int, ...] = (-2, -1), keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """A norm of matrices: "fro", "nuc", +-2 (singular values), +-1 (columns' sums), +-inf (rows' sums).

    Raises `LinAlgError` where singular values are asked of a matrix with nan.
    """
    made = _matrix_norm(A, ord, dim, keepdim, dtype=dtype)
    if ord in _SINGULAR:
        demand_singular(A, tuple(dim))  # type: ignore[arg-type]
    return made


@norm_operator
def _norm(A: Array, ord: float | str | None, dim: Dim, keepdim: bool, *, dtype: Any) -> Array:
    x, dims = A, (dim,) if isinstance(dim, int) else dim
    of_matrices = ord is not None and (x.ndim if dims is None else len(dims)) == 2
    if of_matrices and ord in _SINGULAR:
        full_precision("linalg.matrix_norm", A)
    x = in_dtype_of_norm("linalg.matrix_norm" if of_matrices else "linalg.vector_norm", A, dtype)
    if dim is not None:
        dims = (dim,) if isinstance(dim, int) else dim
        if len(dims) not in (1, 2):
            raise RuntimeError(f"linalg.norm: dim must name one or two dimensions, got {list(dims)}")
    elif ord is None:
        dims = tuple(range(x.ndim))
    else:
        if x.ndim not in (1, 2):
            raise RuntimeError(message("norm_without_dim", count=x.ndim))
        dims = tuple(range(x.ndim))
    if ord is None:
        return _vector_norm(x, 2.0, axes_of(dims, x.ndim), keepdim)
    if len(dims) == 2:
        return norm_of_matrices(x, ord, dims, keepdim)  # type: ignore[arg-type]
    if isinstance(ord, str):
        raise RuntimeError("linalg.matrix_norm: The input tensor A must have at least 2 dimensions.")
    return _vector_norm(x, float(ord), axes_of(dims, x.ndim), keepdim, named=dim is not None)


@composite(methods=False, public=LINALG, autocast={"cuda": "float32"})
def norm(
    A: Tensor, ord: float | str | None = None, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """`vector_norm` without `ord` or over one dimension, `matrix_norm` over two."""
    made = _norm(A, ord, dim, keepdim, dtype=dtype)
    dims = (-2, -1) if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
    if ord in _SINGULAR and len(dims) == 2:
        demand_singular(A, dims)  # type: ignore[arg-type]
    return made


@operator(methods=False, public=(), autocast={"cpu": "float32"})
def _matrix_rank(A: Array, tol: Array | None, atol: Array | None, rtol: Array | None, hermitian: bool) -> Array:
    if A.ndim > 1 and (category(A) < FLOAT or A.dtype.itemsize < 4):
        raise RuntimeError(message("tolerance_dtype"))
    matrices("linalg.matrix_rank", A, square=hermitian)
    s = jnp.abs(hermitian_values(A)) if hermitian else singular_values(A)
    limit = _relative_tolerance(A, s, atol, rtol) if tol is None else jnp.asarray(tol).astype(s.dtype)
    return jnp.sum(s > jnp.expand_dims(limit, -1), -1, dtype=jnp.int64)


@composite(methods=False, public=LINALG, autocast={"cpu": "float32"})
def matrix_rank(
    A: Tensor, tol: Number = None, *, atol: Number = None, rtol: Number = None, hermitian: bool = False
) -> Tensor:
    """The number of singular values above `max(atol, rtol * the largest)`; `tol` is `atol` with `rtol=0`.

    Raises `LinAlgError` for a matrix with nan.
    """
    rank = _matrix_rank(A, tol, atol, rtol, hermitian)
    demand_hermitian(A, vectors=False) if hermitian else demand_singular(A)
    return rank


@operator(methods=False, public=(), grad="SqueezeBackward1", autocast={"cpu": "float32"})
def _cond(A: Array, p: float | str | None) -> Array:
    matrices("linalg.svd" if p in (None, 2, -2) else "linalg.cond", A, square=p not in (None, 2, -2))
    if p in (None, 2, -2):
        s = singular_values(A)
        return s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
    norm = norm_of_matrices(A, p, (-2, -1), False)  # type: ignore[arg-type]
    made = norm * norm_of_matrices(jnp.linalg.inv(A), p, (-2, -1), False)  # type: ignore[arg-type]
    return jnp.where(jnp.isnan(made) & ~(jnp.isnan(norm) & (p == "nuc")), jnp.inf, made)


@composite(methods=False, public=LINALG, autocast={"cpu": "float32"})
def cond(A: Tensor, p: float | str | None = None) -> Tensor:
    """The condition number: the norm of the matrix times that of its inverse (`p=None`: by singular values).

    Raises `LinAlgError` where singular values are asked of a matrix with nan.
    """
    made = _cond(A, p)
    if p is None or p in _SINGULAR:
        demand_singular(A)
    return made
