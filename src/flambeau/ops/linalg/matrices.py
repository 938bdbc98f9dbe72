"""Linear algebra: determinants, inverses and solutions, factorizations, eigenvalues, functions of matrices."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
import numpy as np

from ...core.array.return_types import return_type
from ...core.dispatch.autocast import lowered
from ...core.dispatch.operator import Array, _attach, _publish, composite, operator
from ...core.tensor.tensor import Tensor
from ..making.casting import tell_of_imaginary
from ..support.checks import COMPLEX, category, require_floating, type_name, wide
from .checks import (
    LINALG,
    demand_definite,
    demand_factors,
    demand_regular,
    demand_solvable,
    full_precision,
    lu_factors,
    matrices,
    spread_nan,
    zero_pivot,
)
from .products import times


def _adjoint(a: jax.Array) -> jax.Array:
    return jnp.conj(jnp.swapaxes(a, -1, -2))


# --- determinants -----------------------------------------------------------------------------------------------------


@operator(public=("torch", "linalg"), grad="LinalgDetBackward0")
def det(A: Array) -> Array:
    """The determinant of the matrix or matrices."""
    matrices("linalg.det", A, kernel="lu_cpu")
    return jnp.linalg.det(A) if A.shape[-1] else jnp.ones(A.shape[:-2], A.dtype)


@operator(returns=("sign", "logabsdet"), grad="LinalgSlogdetBackward0")
def slogdet(A: Array) -> tuple[Array, Array]:
    """Sign (or phase) and logarithm of the absolute value of the determinant."""
    matrices("linalg.slogdet", A)
    full_precision("linalg.slogdet", A)
    sign, logabsdet = jnp.linalg.slogdet(A)
    if jnp.isrealobj(sign):
        sign = jnp.where(jnp.isnan(logabsdet), 0, sign)  # of no number
    return sign, logabsdet


_Slogdet = return_type("linalg_slogdet", ("sign", "logabsdet"))


@composite(methods=False, public=LINALG, name="slogdet")
def _linalg_slogdet(A: Tensor) -> Any:
    """Sign (or phase) and logarithm of the absolute value of the determinant."""
    return _Slogdet(*slogdet(A))


@operator(grad="WhereBackward0")
def logdet(input: Array) -> Array:
    """The logarithm of the determinant; nan where that is negative, -inf where it is 0."""
    matrices("logdet", input)
    full_precision("logdet", input)
    sign, logabsdet = jnp.linalg.slogdet(input)
    if jnp.iscomplexobj(input):
        return logabsdet + jnp.log(sign)
    return jnp.where(sign == -1, jnp.full_like(logabsdet, jnp.nan), logabsdet)


# --- inverses and solutions -------------------------------------------------------------------------------------------


def _singular_at(a: jax.Array) -> jax.Array:
    """The position, from 1, of the first zero on the diagonal of the LU factorization; 0 if there is none."""
    return zero_pivot(jax.lax.linalg.lu(jax.lax.stop_gradient(a))[0])


@operator(methods=False, public=(), grad="LinalgInvExBackward0", autocast={"cpu": "float32"})
def _inv_ex(A: Array) -> tuple[Array, Array]:
    matrices("linalg.inv", A)
    full_precision("linalg.inv", A)
    return jnp.linalg.inv(spread_nan(A)), _singular_at(A)


_InvEx = return_type("linalg_inv_ex", ("inverse", "info"))


@composite(methods=False, public=LINALG, autocast={"cpu": "float32"})
def inv_ex(A: Tensor, *, check_errors: bool = False) -> Any:
    """The inverse, and 0 or the position of the zero pivot that makes the matrix singular.

    With `check_errors`, raises `LinAlgError` for a singular matrix.
    """
    made = _InvEx(*_inv_ex(A))
    if check_errors:
        demand_regular(made.info, "linalg.inv_ex")
    return made


def _inverted(A: Tensor, name: str) -> Tensor:
    inverse, info = _inv_ex(A)
    demand_regular(info, name)
    return inverse


@composite(methods=False, public=LINALG, autocast={"cpu": "float32"})
def inv(A: Tensor) -> Tensor:
    """The inverse of the matrix or matrices. Raises `LinAlgError` for a singular one."""
    return _inverted(A, "linalg.inv")


_publish("inverse", inv, ("torch",))
_attach(inv, ("inverse",))


@operator(methods=False, public=(), grad="LinalgSolveExBackward0", autocast={"cpu": "float32"})
def _solve_ex(A: Array, B: Array, *, left: bool) -> tuple[Array, Array]:
    matrices("linalg.solve", A, kernel="lu_cpu")
    if A.dtype != B.dtype:
        raise RuntimeError(f"linalg.solve: A is {type_name(A)} but B is {type_name(B)}; cast one to the other's dtype")
    vector = B.ndim == 1 or (B.ndim == A.ndim - 1 and B.shape == A.shape[:-1])
    sides = B[..., None] if vector else B
    rows = sides.shape[-2] if left or vector else sides.shape[-1]
    if rows != A.shape[-1]:
        equation = "AX = B" if left else "XA = B"
        raise RuntimeError(
            f"linalg.solve: Incompatible shapes of A and B for the equation {equation} "
            f"({A.shape[-2]}x{A.shape[-1]} and {sides.shape[-2]}x{sides.shape[-1]})"
        )
    if vector and not left:
        raise RuntimeError("linalg.solve: with left=False, B cannot be a vector; make it a matrix of one row")
    batch = jnp.broadcast_shapes(A.shape[:-2], sides.shape[:-2])
    a = jnp.broadcast_to(A, batch + A.shape[-2:])
    b = jnp.broadcast_to(sides, batch + sides.shape[-2:])
    if not left:
        a, b = jnp.swapaxes(a, -1, -2), jnp.swapaxes(b, -1, -2)
    x = jnp.linalg.solve(spread_nan(a), b)
    x = x if left else jnp.swapaxes(x, -1, -2)
    return x[..., 0] if vector else x, _singular_at(A)


_SolveEx = return_type("linalg_solve_ex", ("result", "info"))


@composite(methods=False, public=LINALG, autocast={"cpu": "float32"})
def solve_ex(A: Tensor, B: Tensor, *, left: bool = True, check_errors: bool = False) -> Any:
    """The solution `X` of `A X = B` (`X A = B` if not `left`), and 0 or where `A` is singular.

    With `check_errors`, raises `LinAlgError` if it is.
    """
    made = _SolveEx(*_solve_ex(A, B, left=left))
    if check_errors:
        demand_solvable(made.info, "solve_ex")
    return made


@composite(methods=False, public=LINALG, autocast={"cpu": "float32"})
def solve(A: Tensor, B: Tensor, *, left: bool = True) -> Tensor:
    """The solution `X` of `A X = B` (`X A = B` if not `left`). Raises `LinAlgError` if `A` is singular."""
    result, info = _solve_ex(A, B, left=left)
    demand_solvable(info, "solve")
    return result


@operator(methods=False, public=LINALG, grad="LinalgSolveTriangularBackward0")
def solve_triangular(
    A: Array,
    B: Array,
    *,
    upper: bool,
    left: bool = True,
    unitriangular: bool = False,
) -> Array:
    """The solution `X` of `A X = B` (`X A = B` if not `left`) for a triangular `A`; its other triangle is not read."""
    require_floating("triangular_solve_cpu", A, most=COMPLEX, halves=False)
    if category(B) > category(A):
        tell_of_imaginary()
        B = B.real
    B = B.astype(A.dtype)  # the solution has A's dtype, whatever B's
    matrices("linalg.solve_triangular", A)
    matrices("linalg.solve_triangular", B, square=False, named="B")
    if B.shape[-2 if left else -1] != A.shape[-1]:
        raise RuntimeError(
            f"linalg.solve_triangular: {'AX = B' if left else 'XA = B'} has no sense "
            f"for shapes {list(A.shape)} and {list(B.shape)}"
        )
    batch = jnp.broadcast_shapes(A.shape[:-2], B.shape[:-2])
    a, b = (jnp.broadcast_to(x, batch + x.shape[-2:]) for x in (A, B))
    a = jnp.triu(a) if upper else jnp.tril(a)
    return jax.lax.linalg.triangular_solve(a, b, left_side=left, lower=not upper, unit_diagonal=unitriangular)


# --- factorizations ---------------------------------------------------------------------------------------------------


@jax.custom_jvp
def lower_cholesky(a: jax.Array) -> jax.Array:
    """The lower triangular `L` with `L L^H = a`, from the lower triangle of `a`; nan where there is none."""
    return jax.lax.linalg.cholesky(a, symmetrize_input=False)


@lower_cholesky.defjvp
def _(primals: Any, tangents: Any) -> Any:
    factor = lower_cholesky(*primals)
    return factor, _slope_of_factor(factor, *tangents)


def _slope_of_factor(factor: jax.Array, da: jax.Array) -> jax.Array:
    # the gradient is that of a symmetric matrix: both triangles share it
    da = (da + _adjoint(da)) / 2
    solve = functools.partial(jax.lax.linalg.triangular_solve, factor, lower=True)
    inner = solve(solve(da, left_side=True), left_side=False, transpose_a=True, conjugate_a=True)
    half = jnp.tril(inner) * (1 - jnp.eye(factor.shape[-1], dtype=factor.dtype) / 2)
    return times(factor, half)


def _unfinished(a: jax.Array) -> tuple[jax.Array, jax.Array]:
    """What a factorization leaves that meets a pivot which is not positive, and the order of that leading minor.

    Of Hermitian matrices the lower half is read. Like LAPACK's: the columns before are the factor's, at the pivot's place is
    the pivot, and the rest is untouched. Gaussian elimination without exchanges: the minors are positive as long as the pivots are.
    """
    n = a.shape[-1]
    lower = jnp.tril(a)
    rows = np.arange(n)

    def eliminate(k: Any, state: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
        rest, factor, order = state
        column = jax.lax.dynamic_index_in_dim(rest, k, -1, keepdims=False)
        pivot = jax.lax.dynamic_index_in_dim(column, k, -1, keepdims=False).real
        order = jnp.where((order == 0) & ~(pivot > 0), k + 1, order)
        positive = jnp.where(pivot > 0, pivot, 1)[..., None]
        kept = jax.lax.dynamic_index_in_dim(factor, k, -1, keepdims=False)
        stopped = jnp.where((rows == k) & (order == k + 1)[..., None], pivot[..., None].astype(a.dtype), kept)
        made = jnp.where(rows >= k, column / jnp.sqrt(positive), 0)
        factor = jax.lax.dynamic_update_index_in_dim(factor, jnp.where((order == 0)[..., None], made, stopped), k, -1)
        return rest - (column / positive)[..., :, None] * jnp.conj(column)[..., None, :], factor, order

    state = lower + _adjoint(jnp.tril(a, -1)), lower, jnp.zeros(a.shape[:-2], np.int32)
    _, factor, order = jax.lax.fori_loop(0, n, eliminate, state)
    # where all pivots were positive here, the factorization failed by a rounding error
    return factor, jnp.where(order == 0, n, order).astype(np.int32)


@jax.custom_jvp
def _factor_as_far_as_it_goes(a: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The lower triangular factor and 0, or what is left of it and the order of the minor that is not positive."""
    factor = lower_cholesky(a)
    # an infinite pivot leaves no digit of what follows
    last = np.arange(a.shape[-1]) == a.shape[-1] - 1
    known = jnp.isfinite(jnp.tril(a)) | np.outer(last, last)
    failed = jnp.isnan(factor).any((-1, -2)) | ~known.all((-1, -2))
    left, order = jax.lax.cond(failed.any(), _unfinished, lambda a: (a, jnp.zeros(a.shape[:-2], np.int32)), a)
    return jnp.where(failed[..., None, None], left, factor), jnp.where(failed, order, 0).astype(np.int32)


@_factor_as_far_as_it_goes.defjvp
def _(primals: Any, tangents: Any) -> Any:
    factor, order = _factor_as_far_as_it_goes(*primals)
    return (factor, order), (_slope_of_factor(factor, *tangents), np.zeros(order.shape, jax.dtypes.float0))


@operator(methods=False, public=(), grad="LinalgCholeskyExBackward0", autocast={"cpu": "float32"})
def _cholesky_ex(input: Array, upper: bool) -> tuple[Array, Array]:
    matrices("linalg.cholesky", input, kernel="cholesky_cpu")
    if not input.shape[-1]:
        return input, jnp.zeros(input.shape[:-2], np.int32)
    factor, order = _factor_as_far_as_it_goes(_adjoint(input) if upper else input)
    return _adjoint(factor) if upper else factor, order


_CholeskyEx = return_type("linalg_cholesky_ex", ("L", "info"))


@composite(methods=False, public=LINALG, autocast={"cpu": "float32"})
def cholesky_ex(input: Tensor, *, upper: bool = False, check_errors: bool = False) -> Any:
    """The Cholesky factor, and 0, or the order of the first leading minor that is not positive definite.

    With `check_errors`, raises `LinAlgError` if there is one.
    """
    made = _CholeskyEx(*_cholesky_ex(input, upper))
    if check_errors:
        demand_definite(made.info, "linalg.cholesky_ex")
    return made


def definite_factor(input: Tensor, upper: bool, name: str) -> Tensor:
    """The Cholesky factor; `LinAlgError`, in the name of a function, if there is none."""
    factor, info = _cholesky_ex(input, upper)
    demand_definite(info, name)
    return factor


@composite(methods=False, public=LINALG, autocast={"cpu": "float32"})
def cholesky(input: Tensor, *, upper: bool = False) -> Tensor:
    """The lower triangular `L` with `L L^H = input` (`upper`: its adjoint). One triangle of the input is read.

    Raises `LinAlgError` if the matrix is not positive definite.
    """
    return definite_factor(input, upper, "linalg.cholesky")


@operator(methods=False, public=LINALG, returns=("Q", "R"), grad="LinalgQrBackward0", autocast={"cpu": "float32"})
def qr(A: Array, mode: str = "reduced") -> tuple[Array, Array]:
    """`A = Q R` with orthonormal columns in `Q` and an upper triangular `R`.

    `mode` is "reduced", "complete" (a square `Q`) or "r" (`Q` is left empty).
    """
    matrices("linalg.qr", A, square=False, kernel="geqrf_cpu")
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(
            f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), 'r', or 'complete'"
        )
    m, n = A.shape[-2:]
    if m >= n:
        q, r = jnp.linalg.qr(A, "complete" if mode == "complete" else "reduced")
    else:
        q, left = jnp.linalg.qr(A[..., :m], "reduced")
        r = jnp.concatenate([left, times(_adjoint(q), A[..., m:])], -1)
    return (jnp.zeros((0,), A.dtype), r) if mode == "r" else (q, r)


@operator(methods=False, public=(), grad="LinalgLuBackward0")
def _lu_factors(A: Array) -> tuple[Array, Array, Array]:
    require_floating("lu_cpu", A, most=COMPLEX, halves=False)
    matrices("linalg.lu", A, square=False)
    both, _, rows = lu_factors(A)
    return rows, *triangles(both)


@operator(methods=False, public=())
def _row_exchanges(rows: Array, like: Array) -> Array:
    return row_exchanges(rows, like.dtype)


_LU = return_type("linalg_lu", ("P", "L", "U"))


@composite(methods=False, public=LINALG, autocast={"cpu": "float32"})
def lu(A: Tensor, *, pivot: bool = True) -> Any:
    """`A = P L U`: a permutation, a lower triangular matrix with ones on its diagonal and an upper triangular one."""
    if not pivot:
        raise RuntimeError("linalg.lu_factor: LU without pivoting is not implemented on the CPU")
    rows, low, up = _lu_factors(A)
    return _LU(_row_exchanges(rows, A.detach()), low, up)


def row_exchanges(rows: jax.Array, dtype: Any) -> jax.Array:
    """The matrix `P` with `x = P x[rows]`."""
    return (np.arange(rows.shape[-1])[:, None] == rows[..., None, :]).astype(dtype)


def triangles(both: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The two factors that LU keeps in one matrix."""
    m, n = both.shape[-2:]
    k = min(m, n)
    return jnp.tril(both[..., :, :k], -1) + jnp.eye(m, k, dtype=both.dtype), jnp.triu(both[..., :k, :])


@operator(methods=False, public=(), grad="LinalgLuFactorExBackward0", autocast={"cpu": "float32"})
def _lu_factor_ex(A: Array, pivot: bool) -> tuple[Array, Array, Array]:
    require_floating("lu_cpu", A, most=COMPLEX, halves=False)
    matrices("linalg.lu_factor", A, square=False)
    if not pivot:
        raise RuntimeError("linalg.lu_factor: LU without pivoting is not implemented on the CPU")
    both, pivots, _ = lu_factors(A)
    return both, pivots.astype(np.int32) + 1, zero_pivot(both)


_LuFactorEx = return_type("linalg_lu_factor_ex", ("LU", "pivots", "info"))
_LuFactor = return_type("linalg_lu_factor", ("LU", "pivots"))


@composite(methods=False, public=LINALG, autocast={"cpu": "float32"})
def lu_factor_ex(A: Tensor, *, pivot: bool = True, check_errors: bool = False) -> Any:
    """`lu_factor`, and 0 or the position of the first zero on the diagonal of `U`; it raises only with `check_errors`."""
    made = _LuFactorEx(*_lu_factor_ex(A, pivot))
    if check_errors:
        demand_factors(made.info, "lu_factor_ex")
    return made


@composite(methods=False, public=LINALG, autocast={"cpu": "float32"})
def lu_factor(A: Tensor, *, pivot: bool = True) -> Any:
    """Both factors in one matrix, and the row exchanges, counted from 1. RuntimeError if `U` has a zero on its diagonal."""
    *made, info = _lu_factor_ex(A, pivot)
    demand_factors(info, "lu_factor")
    return _LuFactor(*made)


@operator(methods=False, public=LINALG, grad="LinalgLuSolveBackward0", autocast={"cpu": "float32"})
def lu_solve(
    LU: Array,
    pivots: Array,
    B: Array,
    *,
    left: bool = True,
    adjoint: bool = False,
) -> Array:
    """The solution `X` of `A X = B` (`X A = B` if not `left`; `adjoint`: with `A`'s adjoint) from `lu_factor(A)`."""
    matrices("torch.linalg.lu_solve", LU, kernel="linalg.lu_solve_cpu")
    n = LU.shape[-1]
    order = jax.lax.linalg.lu_pivots_to_permutation(pivots.astype(np.int32) - 1, n)
    batch = jnp.broadcast_shapes(LU.shape[:-2], B.shape[:-2])
    both = jnp.broadcast_to(LU, batch + LU.shape[-2:])
    rows = jnp.broadcast_to(order, (*batch, n))
    # A = P L U with (P x)[rows] = x; what is asked for is one of A, A^T, A^H or conj(A) from the left
    b = jnp.broadcast_to(B, batch + B.shape[-2:])
    b = b if left else jnp.swapaxes(b, -1, -2)
    kind = (1 if not left else 0) if not adjoint else (2 if left else 3)
    conjugate = kind in (2, 3)
    both = jnp.conj(both) if conjugate else both
    solve = functools.partial(jax.lax.linalg.triangular_solve, both, left_side=True)
    if kind in (0, 3):
        b = jnp.take_along_axis(b, rows[..., None], -2)
        x = solve(solve(b, lower=True, unit_diagonal=True), lower=False)
    else:
        x = solve(solve(b, lower=False, transpose_a=True), lower=True, unit_diagonal=True, transpose_a=True)
        x = jnp.take_along_axis(x, jnp.argsort(rows, -1)[..., None], -2)
    return x if left else jnp.swapaxes(x, -1, -2)


# --- functions of matrices --------------------------------------------------------------------------------------------


@operator(methods=False, public=(), grad="MmBackward0")
def _power(input: Array, n: int) -> Array:
    return jnp.linalg.matrix_power(input, n)


@composite(public=("torch", "linalg"))
def matrix_power(A: Tensor, n: int) -> Tensor:
    """The matrix times itself `n` times; the inverse's power if `n` is negative."""
    if A.ndim < 2:
        raise RuntimeError("linalg.matrix_power: The input tensor A must have at least 2 dimensions.")
    if A.shape[-1] != A.shape[-2]:
        rows, columns = A.shape[-2:]
        text = "linalg.matrix_power: A must be batches of square matrices, but they are"
        raise RuntimeError(f"{text} {rows} by {columns} matrices")
    base = A if n >= 0 else inv(A)
    return base if n == -1 else _power(lowered(base) if abs(n) > 1 else base, abs(n))


@operator(public=("torch", "linalg"), grad="LinalgMatrixExpBackward0")
def matrix_exp(A: Array) -> Array:
    """The exponential of the matrix or matrices."""
    matrices("linalg.matrix_exp", A)
    if A.size == 0:
        return A
    return jsl.expm(wide(A)).astype(A.dtype)


@composite(methods=False, public=LINALG, autocast={"cpu": "float32"})
def tensorinv(A: Tensor, ind: int = 2) -> Tensor:
    """The inverse for `tensordot` over the first `ind` dimensions, whose product must be that of the others."""
    if ind <= 0:
        raise RuntimeError("Expected a strictly positive integer for 'ind'")
    head, tail = A.shape[:ind], A.shape[ind:]
    n = int(np.prod(head))
    if n != int(np.prod(tail)):
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[ind:]) == prod(self.shape[:ind]), "
            f"but got {int(np.prod(tail))} != {n}"
        )
    return _inverted(A.reshape(n, n), "inv").reshape(tail + head)


@composite(methods=False, public=LINALG, autocast={"cpu": "float32"})
def tensorsolve(A: Tensor, B: Tensor, dims: tuple[int, ...] | None = None) -> Tensor:
    """The `X` with `tensordot(A, X, X.ndim) == B`; the dimensions `dims` of `A` are moved to its end first."""
    if dims:
        A = A.movedim(tuple(dims), tuple(range(A.ndim - len(dims), A.ndim)))
    shape = A.shape[B.ndim :]
    n = int(np.prod(shape))
    if n != B.numel() or A.numel() != n * n:
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == prod(self.shape[:other.ndim]), "
            f"but got {n} != {B.numel()}"
        )
    return solve(A.reshape(n, n), B.reshape(n)).reshape(shape)
