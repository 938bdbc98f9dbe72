"""The older names of linear algebra: functions of the top namespace and methods that differ from `linalg`'s."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...core.array import dtypes
from ...core.array.dtypes import FLOAT
from ...core.array.return_types import return_type
from ...core.context.telling import warn
from ...core.context.warned import warn_once
from ...core.dispatch.messages import message
from ...core.dispatch.operator import Array, composite, operator
from ...core.tensor.tensor import Tensor
from ..reduce.statistics import vector_norm
from ..support.checks import axes_of, type_name
from . import matrices as linalg
from .checks import demand_regular, demand_singular, full_precision, matrices, zero_pivot
from .norms import Dim, in_dtype_of_norm, norm_of_matrices, norm_operator
from .products import same_dtype, times
from .spectra import pinv, svd, svdvals


def _old(function: Callable[..., Any], in_python: bool | None = None) -> Callable[..., Any]:
    """Publish under its name, less the underscore, at the top and as a method."""
    return composite(name=function.__name__.lstrip("_"), in_python=in_python)(function)


@_old
def _cholesky(input: Tensor, upper: bool = False) -> Tensor:
    """`linalg.cholesky`."""
    warn_once(message("cholesky_deprecated"))
    if input.dtype.category < FLOAT and input.ndim > 1 and input.shape[-1] == input.shape[-2]:
        raise NotImplementedError(f"\"cholesky_cpu\" not implemented for '{input.dtype.abbr}' (cast it)")
    return linalg.definite_factor(input, upper, "cholesky")


@operator(autocast={"cpu": "float32"})
def cholesky_solve(input: Array, input2: Array, upper: bool = False) -> Array:
    """The solution of `A X = input`, given the Cholesky factor `input2` of `A`."""
    matrices("cholesky_solve", input2, kernel="cholesky_solve_cpu", whole=True)
    matrices("cholesky_solve", input, square=False)
    if input.shape[-2] != input2.shape[-1]:
        raise RuntimeError(
            f"Incompatible matrix sizes for cholesky_solve: each A matrix is {input2.shape[-1]} by {input2.shape[-1]} "
            f"but each b matrix is {input.shape[-2]} by {input.shape[-1]}"
        )
    batch = jnp.broadcast_shapes(input.shape[:-2], input2.shape[:-2])
    b = jnp.broadcast_to(input, batch + input.shape[-2:])
    factor = jnp.broadcast_to(input2, batch + input2.shape[-2:])
    return _from_factor(factor, b, upper)


def _from_factor(factor: jax.Array, b: jax.Array, upper: bool) -> jax.Array:
    # only a triangle is read, yet the gradient goes to the whole factor, as PyTorch has it
    factor = factor + jax.lax.stop_gradient((jnp.triu(factor) if upper else jnp.tril(factor)) - factor)
    low = jnp.conj(jnp.swapaxes(factor, -1, -2)) if upper else factor

    def product(x: jax.Array) -> jax.Array:
        return times(low, times(jnp.conj(jnp.swapaxes(low, -1, -2)), x))

    def solve(_: Any, b: jax.Array) -> jax.Array:
        halfway = jax.lax.linalg.triangular_solve(low, b, left_side=True, lower=True)
        return jax.lax.linalg.triangular_solve(
            low, halfway, left_side=True, lower=True, transpose_a=True, conjugate_a=True
        )

    return jax.lax.custom_linear_solve(product, b, solve, lambda _, b: jnp.conj(solve(_, jnp.conj(b))))


@operator(methods=False, public=(), grad="CholeskyInverseBackward0")
def _cholesky_inverse(L: Array, upper: bool) -> tuple[Array, Array]:
    matrices("cholesky_inverse", L, kernel="cholesky_inverse_out_cpu", whole=True)
    eye = jnp.broadcast_to(jnp.eye(L.shape[-1], dtype=L.dtype), L.shape)
    return _from_factor(L, eye, upper), zero_pivot(L)


@composite(autocast={"cpu": "float32"})
def cholesky_inverse(L: Tensor, upper: bool = False) -> Tensor:
    """The inverse of the matrix of which `L` is the Cholesky factor. `LinAlgError` if there is none."""
    inverse, info = _cholesky_inverse(L, upper)
    demand_regular(info, "cholesky_inverse")
    return inverse


_Qr = return_type("qr", ("Q", "R"))


@_old
def _qr(input: Tensor, some: bool = True) -> Any:
    """`linalg.qr`, complete if not `some`."""
    warn_once(message("qr_deprecated"))
    return _Qr(*linalg.qr(input, "reduced" if some else "complete"))


@norm_operator
def _older_norm(input: Array, p: float | str | None, dim: Dim, keepdim: bool, dtype: Any) -> Array:
    if p == "nuc":
        full_precision("linalg.matrix_norm", input)
    x = in_dtype_of_norm("linalg.matrix_norm" if p == "nuc" else "linalg.vector_norm", input, dtype)
    axes = axes_of(dim, x.ndim)
    if isinstance(p, str) and p != "fro":
        if p != "nuc":
            raise RuntimeError(f"linalg.matrix_norm: Order {p} not supported.")
        return norm_of_matrices(x, p, axes, keepdim)
    if p == "fro" and dim is not None and dim != () and len(axes) > 2:
        raise RuntimeError(f"linalg.matrix_norm: dim must be a 2-tuple. Got {' '.join(map(str, axes))}")
    return vector_norm(x, 2.0 if p is None or p == "fro" else float(p), axes, keepdim, named=dim is not None)


@composite(autocast={"cuda": "float32"}, in_python=True)
def norm(
    input: Tensor, p: float | str | None = "fro", dim: Dim = None, keepdim: bool = False, dtype: Any = None
) -> Tensor:
    """The `p`-norm over `dim`: "fro" or None is the 2-norm, "nuc" the sum of the singular values of matrices."""
    made = _older_norm(input, p, dim, keepdim, dtype)
    if p == "nuc":
        demand_singular(input, (-2, -1) if dim is None else tuple(dim))  # type: ignore[arg-type]
    return made


_Svd = return_type("svd", ("U", "S", "V"))


@_old
def _svd(input: Tensor, some: bool = True, compute_uv: bool = True) -> Any:
    """`linalg.svd`, thin if `some`, with `V` in place of `Vh`; zeros for `U` and `V` if not `compute_uv`."""
    if not compute_uv:
        s = svdvals(input)
        m, n = input.shape[-2:]
        batch = tuple(input.shape[:-2])
        return _Svd(input.new_zeros((*batch, m, m)), s, input.new_zeros((*batch, n, n)))
    u, s, vh = svd(input, full_matrices=not some)
    return _Svd(u, s, vh.mH)


@_old
def _pinverse(input: Tensor, rcond: float = 1e-15) -> Tensor:
    """`linalg.pinv` with `rtol=rcond`."""
    return pinv(input, rcond)


@operator(returns=("solution", "cloned_coefficient"), autocast={"cpu": "float32"})
def triangular_solve(
    b: Array, A: Array, upper: bool = True, transpose: bool = False, unitriangular: bool = False
) -> tuple[Array, Array]:
    """The solution of `A X = b` (`transpose`: with `A` transposed) for a triangular `A`; and `A` again."""
    matrices("triangular_solve", A, kernel="triangular_solve_cpu", whole=True)
    same_dtype(
        b, A, "Expected b and A to have the same dtype, but found b of type {} and A of type {} instead.", type_name
    )
    matrices("triangular_solve", b, square=False)
    batch = jnp.broadcast_shapes(A.shape[:-2], b.shape[:-2])
    full, sides = (jnp.broadcast_to(x, batch + x.shape[-2:]) for x in (A, b))
    triangle = jnp.triu(full) if upper else jnp.tril(full)
    solution = jax.lax.linalg.triangular_solve(
        triangle, sides, left_side=True, lower=not upper, transpose_a=transpose, unit_diagonal=unitriangular
    )
    return solution, full


_LuInfo = return_type("_lu_with_info", ("LU", "pivots", "info"))


@composite(methods=False, name="_lu_with_info")
def _lu_and_info(input: Tensor, pivot: bool = True, check_errors: bool = True) -> Any:
    """`linalg.lu_factor_ex`."""
    return _LuInfo(*linalg.lu_factor_ex(input, pivot=pivot))


@partial(_old, in_python=True)
def _lu(A: Tensor, pivot: bool = True, get_infos: bool = False) -> Any:
    """`linalg.lu_factor`; with `get_infos` also zeros, or the positions of zero pivots."""
    warn(
        "torch.lu is deprecated in favor of torch.linalg.lu_factor / torch.linalg.lu_factor_ex and will be removed in a "
        "future PyTorch release.\nCall torch.linalg.lu_factor(A), or torch.linalg.lu_factor_ex(A) for the infos."
    )
    both, pivots, info = linalg.lu_factor_ex(A, pivot=pivot)
    return _LuInfo(both, pivots, info) if get_infos else (both, pivots)


@_old
def _lu_solve(b: Tensor, LU_data: Tensor, LU_pivots: Tensor) -> Tensor:
    """`linalg.lu_solve` with the factors last."""
    return linalg.lu_solve(LU_data, LU_pivots, b)


@operator(methods=False, public=(), grad="LuUnpackBackward0")
def _unpacked(LU_data: Array) -> tuple[Array, Array]:
    return linalg.triangles(LU_data)


@operator(methods=False, public=())
def _exchanges(LU_data: Array, LU_pivots: Array) -> Array:
    rows = jax.lax.linalg.lu_pivots_to_permutation(LU_pivots.astype(np.int32) - 1, LU_data.shape[-2])
    return linalg.row_exchanges(rows, LU_data.dtype)


_Unpacked = return_type("lu_unpack", ("P", "L", "U"))


@composite(methods=False)
def lu_unpack(LU_data: Tensor, LU_pivots: Tensor, unpack_data: bool = True, unpack_pivots: bool = True) -> Any:
    """The permutation and both triangular factors from `linalg.lu_factor`'s results; empty what is not asked for."""
    p = low = up = LU_data.new_zeros((0,))
    if unpack_pivots and LU_pivots.dtype is not dtypes.int32:
        raise RuntimeError(f"{message('pivots_of_other_kind')} (it is {LU_pivots.dtype})")
    if unpack_data:
        low, up = _unpacked(LU_data)
    if unpack_pivots:
        p = _exchanges(LU_data.detach(), LU_pivots)
    return _Unpacked(p, low, up)
