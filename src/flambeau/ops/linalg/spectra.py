"""Singular values, eigenvalues and their vectors, and the inverse by them, of matrices whose numbers are known.

Where PyTorch refuses a matrix with nan, so does this; LAPACK's loops may not end on numbers that are not finite, so no
such matrix gets there.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...core.array.return_types import return_type
from ...core.dispatch.autocast import lowered
from ...core.dispatch.messages import message
from ...core.dispatch.operator import Array, composite, operator
from ...core.tensor.tensor import Tensor
from ..support.checks import COMPLEX, FLOAT, category, type_name
from .checks import LINALG, demand_finite, demand_hermitian, demand_singular, matrices
from .matrices import _adjoint
from .products import times

Number = float | Tensor | None


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _from_triangle(a: jax.Array, lower: bool) -> jax.Array:
    """The Hermitian matrix of which `a` holds one triangle; the gradient goes to all of `a`, as PyTorch has it."""
    part = jnp.tril(a, -1) if lower else jnp.triu(a, 1)
    middle = jnp.where(jnp.eye(a.shape[-1], dtype=np.bool_), a.real, 0).astype(a.dtype)
    return part + _adjoint(part) + middle


@_from_triangle.defjvp
def _(lower: bool, values: Any, directions: Any) -> Any:
    return _from_triangle(values[0], lower), directions[0]


def _of_finite(function: Callable[[jax.Array], Any], a: jax.Array) -> Any:
    """What a function gives for matrices; nan for those that are not finite, which it does not see."""
    finite = jnp.isfinite(a).all((-2, -1), keepdims=True)

    def filled(made: jax.Array) -> jax.Array:
        return jnp.where(finite if made.ndim == a.ndim else finite[..., 0], made, jnp.nan)

    made = function(jnp.where(finite, a, jnp.zeros((), a.dtype)))
    return tuple(map(filled, made)) if isinstance(made, (tuple, list)) else filled(made)


# --- singular values --------------------------------------------------------------------------------------------------


def singular_values(a: jax.Array) -> jax.Array:
    """The singular values, falling; nan for a matrix that is not finite."""
    return _of_finite(lambda a: jnp.linalg.svd(a, compute_uv=False), a)


def hermitian_values(a: jax.Array) -> jax.Array:
    """The eigenvalues, rising, of matrices of which the lower triangle is read; nan where that is not finite."""
    return _of_finite(lambda a: jax.lax.linalg.eigh(a, symmetrize_input=False)[1], _from_triangle(a, True))


def thin_svd(a: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """`U`, `S` and `V^H` with as many singular vectors as singular values."""
    return _of_finite(lambda a: jnp.linalg.svd(a, full_matrices=False), a)


@operator(methods=False, public=(), grad="LinalgSvdBackward0", autocast={"cpu": "float32"})
def _svd(A: Array, full_matrices: bool = True) -> tuple[Array, Array, Array]:
    matrices("linalg.svd", A, square=False, kernel="linalg_svd_cpu" if A.size else None)
    if not A.size and A.dtype.itemsize < 4:  # of nothing there are vectors alone, and these are exact
        made = thin_or_full(A.astype(np.float32), full_matrices)
        return tuple(part.astype(A.dtype) for part in made)  # type: ignore[return-value]
    return thin_or_full(A, full_matrices)


def thin_or_full(A: jax.Array, full_matrices: bool) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The decomposition, with its vectors filled up to square matrices if these are to be full."""
    u, s, vh = thin_svd(A)
    m, n = A.shape[-2:]
    if full_matrices and m != n:
        left, _, right = _of_finite(lambda a: jnp.linalg.svd(a, full_matrices=True), jax.lax.stop_gradient(A))
        u = jnp.concatenate([u, left[..., min(m, n) :]], -1)
        vh = jnp.concatenate([vh, right[..., min(m, n) :, :]], -2)
    return u, s, vh


_Svd = return_type("linalg_svd", ("U", "S", "Vh"))


def _no_driver(driver: str | None) -> None:
    """RuntimeError for a way of cuSOLVER's: XLA chooses between them itself."""
    if driver is not None:
        raise RuntimeError(
            "torch.linalg.svd: keyword argument `driver=` is only supported on CUDA inputs with cuSOLVER backend. Here XLA chooses"
        )


@composite(methods=False, public=LINALG, autocast={"cpu": "float32"})
def svd(A: Tensor, full_matrices: bool = True, *, driver: str | None = None) -> Any:
    """`A = U diag(S) Vh`, singular values falling. `full_matrices` fills `U` and `Vh` up to square ones.

    Gradients flow through those singular vectors that belong to a singular value. Raises `LinAlgError` for a matrix with nan.
    """
    _no_driver(driver)
    made = _Svd(*_svd(A, full_matrices))
    demand_singular(A)
    return made


@operator(methods=False, public=(), grad="LinalgSvdBackward0", autocast={"cpu": "float32"})
def _svdvals(A: Array) -> Array:
    matrices("linalg.svd", A, square=False, kernel="linalg_svd_cpu" if A.size else None)
    return singular_values(A) if A.size else jnp.zeros((*A.shape[:-2], min(A.shape[-2:])), A.real.dtype)


@composite(methods=False, public=LINALG, autocast={"cpu": "float32"})
def svdvals(A: Tensor, *, driver: str | None = None) -> Tensor:
    """The singular values, falling. Raises `LinAlgError` for a matrix with nan."""
    _no_driver(driver)
    values = _svdvals(A)
    demand_singular(A)
    return values


def _relative_tolerance(a: jax.Array, s: jax.Array, atol: Any, rtol: Any, batch: bool = True) -> jax.Array:
    """The size below which singular values `s` of `a` count as 0, one for each matrix."""
    eps = float(jnp.finfo(s.dtype).eps)
    atol = jnp.asarray(0.0 if atol is None else atol, s.dtype)
    default = jnp.where(atol > 0, 0.0, max(a.shape[-2:]) * eps)
    rtol = default if rtol is None else jnp.asarray(rtol, s.dtype)
    return jnp.maximum(atol, rtol * jnp.max(s, -1, initial=0)).astype(s.dtype)


@operator(methods=False, public=(), grad="LinalgPinvBackward0", autocast={"cpu": "float32"})
def _pinv(A: Array, rtol: Array | None = None, *, atol: Array | None = None, hermitian: bool = False) -> Array:
    if A.ndim < 2 or category(A) < FLOAT or A.dtype.itemsize < 4:
        raise RuntimeError(message("pinv_dtype", kind=type_name(A), shape=list(A.shape)))
    for name, bound in (("atol", atol), ("rtol", rtol)):
        if bound is not None and category(bound) == COMPLEX:
            kind = type_name(bound)
            raise RuntimeError(f"torch.linalg.pinv: {name} tensor of complex type is not supported. Got {kind}")
    matrices("linalg.pinv", A, square=hermitian)
    if 0 in A.shape:
        return jnp.zeros((*A.shape[:-2], A.shape[-1], A.shape[-2]), A.dtype)
    A = _from_triangle(A, True) if hermitian else A
    s = singular_values(jax.lax.stop_gradient(A))
    largest = s[..., 0]
    share = _relative_tolerance(A, s, atol, rtol) / jnp.where(largest == 0, 1, largest)
    return pseudoinverse(A, share)


@composite(methods=False, public=LINALG)
def pinv(A: Tensor, rtol: Number = None, *, atol: Number = None, hermitian: bool = False) -> Tensor:
    """The Moore-Penrose inverse; singular values up to `max(atol, rtol * the largest)` count as 0.

    Raises `LinAlgError` for a matrix with nan.
    """
    made = _pinv(A, rtol, atol=atol, hermitian=hermitian)
    demand_hermitian(A) if hermitian else demand_singular(A)
    return lowered(made)  # PyTorch's is a product at last


@jax.custom_jvp
def pseudoinverse(A: Array, share: Array) -> Array:
    """The Moore-Penrose inverse; singular values up to `share` of the largest count as 0. nan for what is not finite."""
    return _of_finite(lambda a: jnp.linalg.pinv(a, rtol=share), A)


@pseudoinverse.defjvp
def _pseudoinverse_direction(values: tuple[Array, Array], directions: tuple[Array, Array]) -> tuple[Array, Array]:
    """Golub and Pereyra (1973), equation 4.12. JAX's own rule takes no tolerance that is traced."""
    (A, share), dA = values, directions[0]
    P = pseudoinverse(A, share)
    left, right = _adjoint(dA) - times(_adjoint(dA), times(A, P)), _adjoint(dA) - times(times(P, A), _adjoint(dA))
    return P, times(times(P, _adjoint(P)), left) + times(right, times(_adjoint(P), P)) - times(P, times(dA, P))


# --- eigenvalues ------------------------------------------------------------------------------------------------------


def _hermitian(name: str, a: jax.Array, uplo: str) -> tuple[jax.Array, jax.Array]:
    matrices(name, a, kernel="linalg_eigh_cpu" if a.size else None, whole=True)
    if uplo.upper() not in ("L", "U"):
        raise RuntimeError(message("eigh_uplo", uplo=uplo))
    if not a.size:
        return a[..., 0].real if a.shape[-1] else jnp.zeros(a.shape[:-1], a.real.dtype), a
    if a.shape[-1] == 1:
        return a[..., 0].real, jnp.ones_like(a)
    whole = _from_triangle(a, uplo.upper() == "L")
    # both triangles share the gradient
    shared = (whole + _adjoint(whole)) / 2
    return _of_finite(lambda a: jax.lax.linalg.eigh(a, symmetrize_input=False)[::-1], shared)


@operator(methods=False, public=(), grad="LinalgEighBackward0", autocast={"cpu": "float32"})
def _eigh(A: Array, UPLO: str = "L") -> tuple[Array, Array]:
    return _hermitian("linalg.eigh", A, UPLO)


_Eigh = return_type("linalg_eigh", ("eigenvalues", "eigenvectors"))


@composite(methods=False, public=LINALG, autocast={"cpu": "float32"})
def eigh(A: Tensor, UPLO: str = "L") -> Any:
    """Rising eigenvalues and orthonormal eigenvectors (columns) of a Hermitian matrix; one triangle of it is read.

    Raises `LinAlgError` for a matrix that is not finite there.
    """
    made = _Eigh(*_eigh(A, UPLO))
    demand_hermitian(A, UPLO)
    return made


@operator(methods=False, public=(), grad="LinalgEighBackward0", autocast={"cpu": "float32"})
def _eigvalsh(A: Array, UPLO: str = "L") -> Array:
    return _hermitian("linalg.eigvalsh", A, UPLO)[0]


@composite(methods=False, public=LINALG, autocast={"cpu": "float32"})
def eigvalsh(A: Tensor, UPLO: str = "L") -> Tensor:
    """Eigenvalues, rising, of a Hermitian matrix, of which one triangle is read.

    Raises `LinAlgError` for a matrix that is not finite there.
    """
    values = _eigvalsh(A, UPLO)
    demand_hermitian(A, UPLO, vectors=False)
    return values


@jax.custom_jvp
def _eigen(a: jax.Array) -> tuple[jax.Array, jax.Array]:
    return _of_finite(jnp.linalg.eig, a)


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


@operator(methods=False, public=(), grad="LinalgEigBackward0", autocast={"cpu": "float32"})
def _eig(A: Array) -> tuple[Array, Array]:
    if category(A) < FLOAT:
        raise RuntimeError(f"Unknown Complex ScalarType for {type_name(A)}")
    matrices("linalg.eig", A, kernel="linalg_eig_out_cpu")
    return _eigen(A)


_Eig = return_type("linalg_eig", ("eigenvalues", "eigenvectors"))


@composite(methods=False, public=LINALG, autocast={"cpu": "float32"})
def eig(A: Tensor) -> Any:
    """Complex eigenvalues and eigenvectors (columns of norm 1) of a square matrix. RuntimeError for one that is not finite."""
    made = _Eig(*_eig(A))
    demand_finite(A, "torch.linalg.eig")
    return made


@operator(methods=False, public=(), grad="LinalgEigBackward0", autocast={"cpu": "float32"})
def _eigvals(A: Array) -> Array:
    matrices("linalg.eigvals", A, kernel="linalg_eig_out_cpu")
    return _eigen(A)[0]


@composite(methods=False, public=LINALG, autocast={"cpu": "float32"})
def eigvals(A: Tensor) -> Tensor:
    """Complex eigenvalues of a square matrix. RuntimeError for one that is not finite."""
    values = _eigvals(A)
    demand_finite(A, "torch.linalg.eigvals")
    return values
