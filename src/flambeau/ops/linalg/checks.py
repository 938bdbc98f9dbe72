"""What linear algebra refuses: arguments that are no matrices, and matrices for which an operation has no answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...core.array.dtypes import COMPLEX, FLOAT
from ...core.dispatch.operator import _publish
from ...core.tensor.tensor import Tensor
from ..support.checks import category, demand, require_floating, type_name

LINALG = ("linalg",)


class _LinAlgError(RuntimeError):  # the name that programs print
    """A matrix for which the operation has no answer: singular, not positive definite, or not converging."""


LinAlgError = _LinAlgError
_publish("LinAlgError", LinAlgError, LINALG)


INEXACT = "floating point or complex"  # in texts of errors


def floating(name: str, *arrays: jax.Array) -> None:
    """Raise RuntimeError for integers and bools."""
    for array in arrays:
        if category(array) < FLOAT:
            raise RuntimeError(f"{name}: Expected a {INEXACT} tensor as input. Got {type_name(array)}")


def matrices(
    name: str, array: jax.Array, square: bool = True, kernel: str | None = None, whole: bool = False, named: str = "A"
) -> None:
    """Raise RuntimeError unless the last two dimensions hold (square) matrices of floating point numbers.

    With a `kernel`, NotImplementedError in its name for numbers of two bytes, and if `whole`, for integers and bools.
    """
    if array.ndim < 2:
        raise RuntimeError(f"{name}: The input tensor {named} must have at least 2 dimensions.")
    if square and array.shape[-1] != array.shape[-2]:
        raise RuntimeError(
            f"{name}: A must be batches of square matrices, "
            f"but they are {array.shape[-2]} by {array.shape[-1]} matrices"
        )
    if whole and kernel is not None:
        require_floating(kernel, array, most=COMPLEX)
    floating(name, array)
    if kernel is not None:
        full_precision(name, array, kernel)


def full_precision(name: str, array: jax.Array, kernel: str | None = None) -> None:
    """Raise for numbers of two bytes: RuntimeError in a function's name, NotImplementedError in that of a kernel."""
    if array.dtype.itemsize < 4:
        if kernel is not None:
            raise NotImplementedError(f"\"{kernel}\" not implemented for '{type_name(array)}' ({name}: cast it)")
        raise RuntimeError(f"{name}: Low precision dtypes not supported. Got {type_name(array)}")


def spread_nan(a: jax.Array) -> jax.Array:
    """The matrices, those with a nan all nan: LAPACK takes a pivot of nan for none, and leaves numbers below it."""
    found = jnp.isnan(jax.lax.stop_gradient(a)).any((-2, -1), keepdims=True)
    return a + jnp.where(found, jnp.nan, 0).astype(a.dtype)


def lu_factors(a: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """`jax.lax.linalg.lu`, in which all that a pivot of nan was to eliminate is nan."""
    both, pivots, rows = jax.lax.linalg.lu(a)
    if 0 in a.shape[-2:]:
        return both, pivots, rows
    diagonal = jnp.diagonal(jax.lax.stop_gradient(both), axis1=-2, axis2=-1)
    spoilt = jax.lax.cummax(jnp.isnan(diagonal).astype(np.int32), diagonal.ndim - 1)
    m, n = a.shape[-2:]
    last = np.minimum(np.arange(m)[:, None] - 1, np.arange(n)[None, :])  # the last pivot that has changed an element
    after = (jnp.take(spoilt, np.maximum(last, 0), axis=-1) > 0) & (last >= 0)
    return both + jnp.where(after, jnp.nan, 0).astype(a.dtype), pivots, rows


def zero_pivot(both: jax.Array) -> jax.Array:
    """The position, from 1, of the first zero on the diagonal; 0 if there is none."""
    zero = jnp.diagonal(jax.lax.stop_gradient(both), axis1=-2, axis2=-1) == 0
    if zero.shape[-1] == 0:
        return jnp.zeros(zero.shape[:-1], np.int32)
    return jnp.where(zero.any(-1), jnp.argmax(zero, -1) + 1, 0).astype(np.int32)


def demand_success(info: Tensor, text: str, kind: type[Exception] = LinAlgError) -> None:
    """Raise if a code is not 0. The text may name `{batch}`, the element of a batch, in words, and the `{code}`."""

    batched = info.ndim > 0

    def look(codes: Any) -> tuple[Any, Any]:
        places = np.arange(codes.size).reshape(codes.shape)
        return codes != 0, places * 2**32 + codes

    def in_batch(place: int, value: int) -> Exception:
        return kind(text.format(batch=f"(Batch element {place}): ", code=value % 2**32))

    def error(value: int) -> Exception:
        place, code = divmod(value, 2**32)
        return in_batch(place, code) if batched else kind(text.format(batch="", code=code))

    demand(look, error, info, among=in_batch)


def demand_regular(info: Tensor, name: str) -> None:
    """Raise `LinAlgError` where `info` says that there is no inverse."""
    demand_success(
        info,
        f"{name}: {{batch}}The diagonal element {{code}} is zero, the inversion could not be completed because the input "
        "matrix is singular.",
    )


def demand_solvable(info: Tensor, name: str) -> None:
    """Raise `LinAlgError` where `info` says that a system of equations has no solution."""
    demand_success(info, f"torch.linalg.{name}: {{batch}}The solver failed because the input matrix is singular.")


def demand_definite(info: Tensor, name: str) -> None:
    """Raise `LinAlgError` where `info` says that there is no Cholesky factor."""
    demand_success(
        info,
        f"{name}: {{batch}}The factorization could not be completed because the input is not positive-definite (the "
        "leading minor of order {code} is not positive-definite).",
    )


def demand_factors(info: Tensor, name: str) -> None:
    """Raise RuntimeError where `info` says that the factors are of no use for `lu_solve`."""
    demand_success(
        info,
        f"torch.linalg.{name}: {{batch}}U[{{code}},{{code}}] is zero and using it on lu_solve would result in a division by "
        "zero. If you still want to perform the factorization, consider calling linalg.lu(A, pivot) or "
        "linalg.lu_factor_ex(A, pivot)",
        RuntimeError,
    )


Look = Callable[[Any], Any]


def demand_matrices(look: Look, error: Callable[[str], Exception], A: Tensor, dims: tuple[int, int] = (-2, -1)) -> None:
    """Raise `error` if `look` finds a bad element in a matrix of `A`; it is given the element of the batch, in words."""
    if A.ndim < 2:
        return  # refused elsewhere
    batched = A.ndim > 2

    def worst(x: Any) -> tuple[Any, Any]:
        bad = look(x).any(dims)
        return bad, np.arange(bad.size).reshape(bad.shape)

    demand(worst, lambda place: error(f"(Batch element {place}): " if batched else ""), A)


def demand_singular(A: Tensor, dims: tuple[int, int] = (-2, -1)) -> None:
    """Raise `LinAlgError` for matrices with nan, which have no singular values."""
    demand_matrices(
        lambda x: x != x,
        lambda batch: LinAlgError(
            f"linalg.svd: {batch}The algorithm failed to converge because the input matrix contained non-finite values."
        ),
        A,
        dims,
    )


def demand_hermitian(A: Tensor, uplo: str = "L", vectors: bool = True) -> None:
    """Raise `LinAlgError` where the triangle of Hermitian matrices that is read is not finite."""
    n = A.shape[-1] if A.ndim else 0
    if n < 2:
        return  # the number itself is the eigenvalue
    read = np.tri(n, k=-1, dtype=bool)
    read = read if uplo.upper() == "L" else read.T

    def look(x: Any) -> Any:
        return (read & ~(abs(x) < np.inf)) | (np.eye(n, dtype=bool) & ~(abs(x.real) < np.inf))

    demand_matrices(
        look,
        lambda batch: LinAlgError(
            f"linalg.eigh: {batch}The algorithm failed to converge because the input matrix is ill-conditioned or has too "
            f"many repeated eigenvalues (error code: {max(n - (1 if vectors else 2), 1)}). It contains non-finite values."
        ),
        A,
    )


def demand_finite(A: Tensor, name: str) -> None:
    """Raise RuntimeError for matrices that are not finite, in a function's name."""
    demand_matrices(
        lambda x: ~(abs(x) < np.inf),
        lambda _: RuntimeError(f"{name}: input tensor should not contain infs or NaNs."),
        A,
    )
