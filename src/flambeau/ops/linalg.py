"""Linear algebra: determinants, inverses and solutions, factorizations, eigenvalues, functions of matrices."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
import numpy as np

from ..core.dtypes import FLOAT
from ..core.operator import Array, _attach, _publish, composite, operator
from ..core.return_types import return_type
from ..core.tensor import Tensor
from ._checks import category, on_host, type_name
from .matmul import times

LINALG = ("linalg",)


class LinAlgError(RuntimeError):
    """A matrix for which the operation has no answer: singular, not positive definite, or not converging."""


_publish("LinAlgError", LinAlgError, LINALG)

# --- checks -----------------------------------------------------------------------------------------------------------


def floating(name: str, *arrays: jax.Array) -> None:
    """Raise RuntimeError for integers and bools."""
    for array in arrays:
        if category(array) < FLOAT:
            raise RuntimeError(f"{name}: needs floating point or complex numbers, got {type_name(array)}; cast it")


def matrices(name: str, array: jax.Array, square: bool = True) -> None:
    """Raise RuntimeError unless the last two dimensions hold (square) matrices of floating point numbers."""
    if array.ndim < 2:
        raise RuntimeError(f"{name}: The input tensor A must have at least 2 dimensions.")
    if square and array.shape[-1] != array.shape[-2]:
        raise RuntimeError(
            f"{name}: A must be batches of square matrices, "
            f"but they are {array.shape[-2]} by {array.shape[-1]} matrices"
        )
    floating(name, array)


def _adjoint(a: jax.Array) -> jax.Array:
    return jnp.conj(jnp.swapaxes(a, -1, -2))


def _from_triangle(a: jax.Array, lower: bool = True) -> jax.Array:
    """The Hermitian matrix of which `a` holds one triangle; the gradient goes to all of `a`, as PyTorch has it."""
    part = jnp.tril(a, -1) if lower else jnp.triu(a, 1)
    middle = jnp.eye(a.shape[-1], dtype=a.dtype) * a.real
    return a + jax.lax.stop_gradient(part + _adjoint(part) + middle - a)


def _first_failure(info: Tensor) -> tuple[str, int] | None:
    """The batch element, in words, and the code of the first that is not 0; None if all are, or nobody knows yet."""
    codes = on_host(info)
    if codes is None or not codes.any():
        return None
    place = int(np.flatnonzero(codes)[0])
    return (f"(Batch element {place}): " if codes.ndim else ""), int(codes.reshape(-1)[place])


# --- determinants -----------------------------------------------------------------------------------------------------


@operator(public=("torch", "linalg"), grad="LinalgDetBackward0")
def det(A: Array) -> Array:
    """The determinant of the matrix or matrices."""
    matrices("linalg.det", A)
    return jnp.linalg.det(A) if A.shape[-1] else jnp.ones(A.shape[:-2], A.dtype)


@operator(public=("torch", "linalg"), returns=("sign", "logabsdet"), grad="LinalgSlogdetBackward0")
def slogdet(A: Array) -> Array:
    """Sign (or phase) and logarithm of the absolute value of the determinant."""
    matrices("linalg.slogdet", A)
    sign, logabsdet = jnp.linalg.slogdet(A)
    return sign, logabsdet


@operator(grad="WhereBackward0")
def logdet(input: Array) -> Array:
    """The logarithm of the determinant; nan where that is negative, -inf where it is 0."""
    matrices("logdet", input)
    sign, logabsdet = jnp.linalg.slogdet(input)
    if jnp.iscomplexobj(input):
        return logabsdet + jnp.log(sign)
    return jnp.where(sign == -1, jnp.full_like(logabsdet, jnp.nan), logabsdet)


# --- inverses and solutions -------------------------------------------------------------------------------------------


def _singular_at(a: jax.Array) -> jax.Array:
    """The position, from 1, of the first zero on the diagonal of the LU factorization; 0 if there is none."""
    zero = jnp.diagonal(jax.lax.linalg.lu(jax.lax.stop_gradient(a))[0], axis1=-2, axis2=-1) == 0
    if zero.shape[-1] == 0:
        return jnp.zeros(zero.shape[:-1], np.int32)
    return jnp.where(zero.any(-1), jnp.argmax(zero, -1) + 1, 0).astype(np.int32)


@operator(methods=False, public=LINALG, returns=("inverse", "info"), grad="LinalgInvExBackward0")
def inv_ex(A: Array, *, check_errors: bool = False) -> Array:
    """The inverse, and 0 or the position of the zero pivot that makes the matrix singular."""
    matrices("linalg.inv", A)
    return jnp.linalg.inv(A), _singular_at(A)


@composite(methods=False, public=LINALG)
def inv(A: Tensor) -> Tensor:
    """The inverse of the matrix or matrices. Raises `LinAlgError` for a singular one."""
    inverse, info = inv_ex(A)
    failure = _first_failure(info)
    if failure:
        raise LinAlgError(
            f"linalg.inv: {failure[0]}The diagonal element {failure[1]} is zero, the inversion could not be completed "
            "because the input matrix is singular."
        )
    return inverse


_publish("inverse", inv, ("torch",))
_attach(inv, ("inverse",))


@operator(methods=False, public=LINALG, returns=("result", "info"), grad="LinalgSolveExBackward0")
def solve_ex(A: Array, B: Array, *, left: bool = True, check_errors: bool = False) -> Array:
    """The solution `X` of `A X = B` (`X A = B` if not `left`), and 0 or where `A` is singular."""
    matrices("linalg.solve", A)
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
    x = jnp.linalg.solve(a, b)
    x = x if left else jnp.swapaxes(x, -1, -2)
    return x[..., 0] if vector else x, _singular_at(A)


@composite(methods=False, public=LINALG)
def solve(A: Tensor, B: Tensor, *, left: bool = True) -> Tensor:
    """The solution `X` of `A X = B` (`X A = B` if not `left`). Raises `LinAlgError` if `A` is singular."""
    result, info = solve_ex(A, B, left=left)
    failure = _first_failure(info)
    if failure:
        raise LinAlgError(f"torch.linalg.solve: {failure[0]}The solver failed because the input matrix is singular.")
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
    matrices("linalg.solve_triangular", A)
    matrices("linalg.solve_triangular", B, square=False)
    if B.shape[-2 if left else -1] != A.shape[-1]:
        raise RuntimeError(
            f"linalg.solve_triangular: {'AX = B' if left else 'XA = B'} has no sense "
            f"for shapes {list(A.shape)} and {list(B.shape)}"
        )
    batch = jnp.broadcast_shapes(A.shape[:-2], B.shape[:-2])
    a, b = (jnp.broadcast_to(x, batch + x.shape[-2:]) for x in (A, B))
    a = jnp.triu(a) if upper else jnp.tril(a)
    return jax.lax.linalg.triangular_solve(a, b, left_side=left, lower=not upper, unit_diagonal=unitriangular)


def _relative_tolerance(a: jax.Array, s: jax.Array, atol: Any, rtol: Any, batch: bool = True) -> jax.Array:
    """The size below which singular values `s` of `a` count as 0, one for each matrix."""
    eps = float(jnp.finfo(s.dtype).eps)
    atol = jnp.asarray(0.0 if atol is None else atol, s.dtype)
    default = jnp.where(atol > 0, 0.0, max(a.shape[-2:]) * eps)
    rtol = default if rtol is None else jnp.asarray(rtol, s.dtype)
    return jnp.maximum(atol, rtol * jnp.max(s, -1, initial=0)).astype(s.dtype)


@operator(methods=False, public=LINALG, grad="LinalgPinvBackward0")
def pinv(A: Array, rtol: Array | None = None, *, atol: Array | None = None, hermitian: bool = False) -> Array:
    """The Moore-Penrose inverse; singular values up to `max(atol, rtol * the largest)` count as 0."""
    matrices("linalg.pinv", A, square=hermitian)
    if 0 in A.shape:
        return jnp.zeros((*A.shape[:-2], A.shape[-1], A.shape[-2]), A.dtype)
    A = _from_triangle(A) if hermitian else A
    s = jnp.linalg.svd(jax.lax.stop_gradient(A), compute_uv=False)
    largest = s[..., 0]
    share = _relative_tolerance(A, s, atol, rtol) / jnp.where(largest == 0, 1, largest)
    return jnp.linalg.pinv(A, rtol=share)


@operator(methods=False, public=LINALG, returns=("solution", "residuals", "rank", "singular_values"))
def lstsq(A: Array, B: Array, rcond: float | None = None, *, driver: str | None = None) -> Array:
    """The `X` of least norm that minimises the norm of `A X - B`.

    Also the squared norms of what is left (empty unless `A` has full rank and more rows than columns), the rank and,
    with the drivers "gelsd" and "gelss", the singular values.
    """
    matrices("torch.linalg.lstsq", A, square=False)
    if driver not in (None, "gels", "gelsy", "gelsd", "gelss"):
        raise RuntimeError("torch.linalg.lstsq: parameter `driver` should be one of (gels, gelsy, gelsd, gelss)")
    vector = B.ndim == A.ndim - 1
    sides = B[..., None] if vector else B
    if sides.ndim < 2 or sides.shape[-2] != A.shape[-2]:
        raise RuntimeError(
            f"torch.linalg.lstsq: input.size(-2) should match other.size(-2), got {list(A.shape)} and {list(B.shape)}"
        )
    m, n = A.shape[-2:]
    s = jnp.linalg.svd(jax.lax.stop_gradient(A), compute_uv=False)
    share = float(jnp.finfo(s.dtype).eps) * max(m, n) if rcond is None else rcond
    solution = times(jnp.linalg.pinv(A, rtol=share), sides)
    rank = (
        jnp.zeros((0,), np.int64)
        if driver == "gels"
        else jnp.sum(s > share * jnp.max(s, -1, keepdims=True, initial=0), -1)
    )
    residuals = jnp.zeros((0,), s.dtype)
    if m > n and driver != "gelsy":
        residuals = jnp.sum(jnp.abs(times(A, solution) - sides) ** 2, -2)
    kept = s if driver in ("gelsd", "gelss") else jnp.zeros((0,), s.dtype)
    return solution[..., 0] if vector else solution, residuals, rank, kept


# --- factorizations ---------------------------------------------------------------------------------------------------


@jax.custom_jvp
def lower_cholesky(a: jax.Array) -> jax.Array:
    """The lower triangular `L` with `L L^H = a`, from the lower triangle of `a`; nan where there is none."""
    return jax.lax.linalg.cholesky(a, symmetrize_input=False)


@lower_cholesky.defjvp
def _(primals: Any, tangents: Any) -> Any:
    (a,), (da,) = primals, tangents
    factor = lower_cholesky(a)
    # the gradient is that of a symmetric matrix: both triangles share it
    da = (da + _adjoint(da)) / 2
    solve = functools.partial(jax.lax.linalg.triangular_solve, factor, lower=True)
    inner = solve(solve(da, left_side=True), left_side=False, transpose_a=True, conjugate_a=True)
    half = jnp.tril(inner) * (1 - jnp.eye(a.shape[-1], dtype=a.dtype) / 2)
    return factor, times(factor, half)


@operator(methods=False, public=LINALG, returns=("L", "info"), grad="LinalgCholeskyExBackward0")
def cholesky_ex(input: Array, *, upper: bool = False, check_errors: bool = False) -> Array:
    """The Cholesky factor, and 0, or 1 where the matrix is not positive definite."""
    matrices("linalg.cholesky", input)
    factor = lower_cholesky(_adjoint(input) if upper else input)
    info = jnp.isnan(factor).any((-1, -2)).astype(np.int32)
    return _adjoint(factor) if upper else factor, info


@composite(methods=False, public=LINALG)
def cholesky(input: Tensor, *, upper: bool = False) -> Tensor:
    """The lower triangular `L` with `L L^H = input` (`upper`: its adjoint). One triangle of the input is read.

    Raises `LinAlgError` if the matrix is not positive definite.
    """
    factor, info = cholesky_ex(input, upper=upper)
    failure = _first_failure(info)
    if failure:
        order = _bad_minor(np.asarray(input._array), np.asarray(info._array), upper)
        raise LinAlgError(
            f"linalg.cholesky: {failure[0]}The factorization could not be completed because the input is not "
            f"positive-definite (the leading minor of order {order} is not positive-definite)."
        )
    return factor


def _bad_minor(values: np.ndarray, info: np.ndarray, upper: bool) -> int:
    """The order of the first leading minor that is not positive definite, in the first matrix that failed."""
    matrix = values.reshape(-1, *values.shape[-2:])[np.flatnonzero(info)[0]]
    matrix = matrix.conj().T if upper else matrix
    low, high = 1, len(matrix)
    while low < high:
        middle = (low + high) // 2
        try:
            np.linalg.cholesky(matrix[:middle, :middle])
            low = middle + 1
        except np.linalg.LinAlgError:
            high = middle
    return low


@operator(methods=False, public=LINALG, returns=("Q", "R"), grad="LinalgQrBackward0")
def qr(A: Array, mode: str = "reduced") -> Array:
    """`A = Q R` with orthonormal columns in `Q` and an upper triangular `R`.

    `mode` is "reduced", "complete" (a square `Q`) or "r" (`Q` is left empty).
    """
    matrices("linalg.qr", A, square=False)
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


def thin_svd(a: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """`U`, `S` and `V^H` with as many singular vectors as singular values."""
    return tuple(jnp.linalg.svd(a, full_matrices=False))  # type: ignore[return-value]


@operator(methods=False, public=LINALG, returns=("U", "S", "Vh"), grad="LinalgSvdBackward0")
def svd(A: Array, full_matrices: bool = True, *, driver: str | None = None) -> Array:
    """`A = U diag(S) Vh`, singular values falling. `full_matrices` fills `U` and `Vh` up to square ones.

    Gradients flow through those singular vectors that belong to a singular value.
    """
    matrices("linalg.svd", A, square=False)
    u, s, vh = thin_svd(A)
    m, n = A.shape[-2:]
    if full_matrices and m != n:
        left, _, right = jnp.linalg.svd(jax.lax.stop_gradient(A), full_matrices=True)
        u = jnp.concatenate([u, left[..., min(m, n) :]], -1)
        vh = jnp.concatenate([vh, right[..., min(m, n) :, :]], -2)
    return u, s, vh


@operator(methods=False, public=LINALG, grad="LinalgSvdBackward0")
def svdvals(A: Array, *, driver: str | None = None) -> Array:
    """The singular values, falling."""
    matrices("linalg.svdvals", A, square=False)
    return jnp.linalg.svd(A, compute_uv=False)


@operator(methods=False, public=(), grad="LinalgLuBackward0")
def _lu_factors(A: Array) -> Array:
    matrices("linalg.lu", A, square=False)
    both, _, rows = jax.lax.linalg.lu(A)
    return rows, *triangles(both)


@operator(methods=False, public=())
def _row_exchanges(rows: Array, like: Array) -> Array:
    return row_exchanges(rows, like.dtype)


_LU = return_type("linalg_lu", ("P", "L", "U"))


@composite(methods=False, public=LINALG)
def lu(A: Tensor, *, pivot: bool = True) -> Any:
    """`A = P L U`: a permutation, a lower triangular matrix with ones on its diagonal and an upper triangular one."""
    if not pivot:
        raise NotImplementedError("linalg.lu: LU without pivoting is not implemented on the CPU")
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


@operator(methods=False, public=LINALG, returns=("LU", "pivots"), grad="LinalgLuFactorExBackward0")
def lu_factor(A: Array, *, pivot: bool = True) -> Array:
    """Both factors in one matrix, and the row exchanges, counted from 1."""
    matrices("linalg.lu_factor", A, square=False)
    if not pivot:
        raise NotImplementedError("linalg.lu_factor: LU without pivoting is not implemented on the CPU")
    both, pivots, _ = jax.lax.linalg.lu(A)
    return both, pivots.astype(np.int32) + 1


@operator(methods=False, public=LINALG, grad="LinalgLuSolveBackward0")
def lu_solve(
    LU: Array,
    pivots: Array,
    B: Array,
    *,
    left: bool = True,
    adjoint: bool = False,
) -> Array:
    """The solution `X` of `A X = B` (`X A = B` if not `left`; `adjoint`: with `A`'s adjoint) from `lu_factor(A)`."""
    matrices("linalg.lu_solve", LU)
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


# --- eigenvalues ------------------------------------------------------------------------------------------------------


def _hermitian(name: str, a: jax.Array, uplo: str) -> tuple[jax.Array, jax.Array]:
    matrices(name, a)
    if uplo.upper() not in ("L", "U"):
        raise RuntimeError(f"UPLO must be 'L' or 'U', got {uplo}")
    whole = _from_triangle(a, uplo.upper() == "L")
    # both triangles share the gradient
    shared = (whole + _adjoint(whole)) / 2
    vectors, values = jax.lax.linalg.eigh(shared, symmetrize_input=False)
    return values, vectors


@operator(methods=False, public=LINALG, returns=("eigenvalues", "eigenvectors"), grad="LinalgEighBackward0")
def eigh(A: Array, UPLO: str = "L") -> Array:
    """Rising eigenvalues and orthonormal eigenvectors (columns) of a Hermitian matrix; one triangle of it is read."""
    return _hermitian("linalg.eigh", A, UPLO)


@operator(methods=False, public=LINALG, grad="LinalgEighBackward0")
def eigvalsh(A: Array, UPLO: str = "L") -> Array:
    """Eigenvalues, rising, of a Hermitian matrix, of which one triangle is read."""
    return _hermitian("linalg.eigvalsh", A, UPLO)[0]


@jax.custom_jvp
def _eigen(a: jax.Array) -> tuple[jax.Array, jax.Array]:
    values, vectors = jnp.linalg.eig(a)
    return values, vectors


@_eigen.defjvp
def _(primals: Any, tangents: Any) -> Any:
    (a,), (da,) = primals, tangents
    values, vectors = _eigen(a)
    # Magnus, "On differentiating eigenvalues and eigenvectors" (1985), with eigenvectors of norm 1
    turned = jnp.linalg.solve(vectors, times(da.astype(vectors.dtype), vectors))
    gaps = values[..., None, :] - values[..., :, None]
    same = jnp.eye(a.shape[-1], dtype=np.bool_)
    mixed = jnp.where(same, 0, turned / jnp.where(same, 1, gaps))
    moved = times(vectors, mixed)
    along = jnp.sum(jnp.conj(vectors) * moved, -2, keepdims=True).real.astype(vectors.dtype)
    return (values, vectors), (jnp.diagonal(turned, axis1=-2, axis2=-1), moved - vectors * along)


@operator(methods=False, public=LINALG, returns=("eigenvalues", "eigenvectors"), grad="LinalgEigBackward0")
def eig(A: Array) -> Array:
    """Complex eigenvalues and eigenvectors (columns of norm 1) of a square matrix."""
    matrices("linalg.eig", A)
    return _eigen(A)


@operator(methods=False, public=LINALG, grad="LinalgEigBackward0")
def eigvals(A: Array) -> Array:
    """Complex eigenvalues of a square matrix."""
    matrices("linalg.eigvals", A)
    return _eigen(A)[0]


# --- functions of matrices --------------------------------------------------------------------------------------------


@operator(methods=False, public=(), grad="MmBackward0")
def _power(input: Array, n: int) -> Array:
    return jnp.linalg.matrix_power(input, n)


@composite(public=("torch", "linalg"))
def matrix_power(A: Tensor, n: int) -> Tensor:
    """The matrix times itself `n` times; the inverse's power if `n` is negative."""
    if A.ndim < 2 or A.shape[-1] != A.shape[-2]:
        raise RuntimeError(f"linalg.matrix_power: A must be batches of square matrices, but they are {list(A.shape)}")
    return _power(A, n) if n >= 0 else inv(A) if n == -1 else _power(inv(A), -n)


@operator(public=("torch", "linalg"), grad="LinalgMatrixExpBackward0")
def matrix_exp(A: Array) -> Array:
    """The exponential of the matrix or matrices."""
    matrices("linalg.matrix_exp", A)
    if A.size == 0:
        return A
    return jsl.expm(A)


@operator(methods=False, public=LINALG)
def tensorinv(A: Array, ind: int = 2) -> Array:
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
    return jnp.linalg.inv(A.reshape(n, n)).reshape(tail + head)


@operator(methods=False, public=LINALG)
def tensorsolve(A: Array, B: Array, dims: tuple[int, ...] | None = None) -> Array:
    """The `X` with `tensordot(A, X, X.ndim) == B`; the dimensions `dims` of `A` are moved to its end first."""
    if dims:
        A = jnp.moveaxis(A, dims, tuple(range(A.ndim - len(dims), A.ndim)))
    shape = A.shape[B.ndim :]
    n = int(np.prod(shape))
    if n != B.size or A.size != n * n:
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == prod(self.shape[:other.ndim]), "
            f"but got {n} != {B.size}"
        )
    return jnp.linalg.solve(A.reshape(n, n), B.reshape(n)).reshape(shape)
