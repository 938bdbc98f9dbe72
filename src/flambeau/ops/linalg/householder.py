"""Products of Householder reflections, and the QR factorization in the form that keeps them."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp

from ...core.array.dtypes import FLOAT
from ...core.dispatch.operator import Array, _attach, operator
from ..support.checks import category, type_name
from ..support.declare import alias
from .products import times


def _refuse(A: jax.Array, tau: jax.Array) -> None:
    name = "torch.linalg.householder_product"
    if A.ndim < 2:
        raise RuntimeError(f"{name}: input must have at least 2 dimensions.")
    sizes = {"input.shape[-2]": A.shape[-2], "input.shape[-1]": A.shape[-1], "tau.shape[-1]": tau.shape[-1]}
    for (large, m), (small, n) in itertools.pairwise(sizes.items()):
        if m < n:
            raise RuntimeError(f"{name}: {large} must be greater than or equal to {small}")
    if A.ndim - tau.ndim != 1:
        raise RuntimeError(
            f"{name}: Expected tau to have one dimension less than input, but got tau.ndim equal to {tau.ndim} and "
            f"input.ndim is equal to {A.ndim}"
        )
    if A.shape[:-2] != tau.shape[:-1]:
        raise RuntimeError(
            f"{name}: Expected batch dimensions of tau to be equal to input.shape[:-2], but got {list(tau.shape[:-1])}"
        )
    if A.dtype != tau.dtype:
        raise RuntimeError(f"{name}: tau dtype {type_name(tau)} does not match input dtype {type_name(A)}")
    _supported("orgqr_cpu", A)


def _supported(kernel: str, array: jax.Array) -> None:
    if category(array) < FLOAT or array.dtype.itemsize < 4:
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{type_name(array)}'")


@operator(methods=False, public=("linalg",), grad="LinalgHouseholderProductBackward0", autocast={"cpu": "float32"})
def householder_product(A: Array, tau: Array) -> Array:
    """The first n columns of `H_1 ... H_k`, where `H_i` is `I - tau_i v_i v_i^H`.

    `v_i` is column i of `A`, with a 1 on the diagonal and zeros above it. Shapes: `A` `(*, m, n)`, `tau` `(*, k)` with
    `m >= n >= k`; the result is `(*, m, n)`. The product is `I - V T V^H` with the triangular T of Schreiber & Van Loan
    (1989), which solves `(I + diag(tau) triu(V^H V, 1)) T = diag(tau)`.
    """
    _refuse(A, tau)
    V, T = _compact(A, tau)
    Vh = jnp.conj(jnp.swapaxes(V, -1, -2))[..., : A.shape[-1]]
    eye = jnp.eye(A.shape[-2], A.shape[-1], dtype=A.dtype)
    return eye - times(V, times(T, Vh))


def _compact(A: jax.Array, tau: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The `V` and `T` of the product `I - V T V^H`, for as many reflections as `tau` has."""
    m, k = A.shape[-2], tau.shape[-1]
    V = jnp.tril(A[..., :k], -1) + jnp.eye(m, k, dtype=A.dtype)
    scale = tau[..., None]
    inner = jnp.eye(k, dtype=A.dtype) + scale * jnp.triu(times(jnp.conj(jnp.swapaxes(V, -1, -2)), V), 1)
    T = jax.lax.linalg.triangular_solve(inner, scale * jnp.eye(k, dtype=A.dtype), left_side=True, unit_diagonal=True)
    return V, T


def _refuse_ormqr(input: jax.Array, tau: jax.Array, other: jax.Array, left: bool) -> None:
    name = "torch.ormqr"
    for what, array in (("input", input), ("other", other)):
        if array.ndim < 2:
            raise RuntimeError(f"{name}: {what} must have at least 2 dimensions.")
    side, tau_size = -2 if left else -1, "tau.shape[-1]"
    if other.shape[side] < tau.shape[-1]:
        raise RuntimeError(f"{name}: other.shape[{side}] must be greater than or equal to tau.shape[-1]")
    if other.shape[side] != input.shape[-2]:
        raise RuntimeError(f"{name}: other.shape[{side}] must be equal to input.shape[-2]")
    if tau.shape[-1] > input.shape[-1]:
        raise RuntimeError(f"{name}: {tau_size} must be equal to min(other.shape[{side}], input.shape[-1])")
    for what, array, less in (("tau", tau, 1), ("other", other, 0)):
        if input.ndim - array.ndim != less:
            kind = "one dimension less than" if less else "the same number of dimensions as"
            raise RuntimeError(
                f"{name}: Expected {what} to have {kind} input, but got {what}.ndim equal to {array.ndim} and input.ndim is "
                f"equal to {input.ndim}"
            )
        if (batch := array.shape[: array.ndim - 2 + less]) != input.shape[:-2]:
            raise RuntimeError(
                f"{name}: Expected batch dimensions of {what} to be equal to input.shape[:-2], but got {list(batch)}"
            )
        if array.dtype != input.dtype:
            raise RuntimeError(
                f"{name}: Expected input and {what} to have the same dtype, but input has dtype{type_name(input)} and "
                f"{what} has dtype {type_name(array)}"
            )
    _supported("ormqr_cpu", input)


@operator(autocast={"cpu": "float32"})
def ormqr(input: Array, tau: Array, other: Array, left: bool = True, transpose: bool = False) -> Array:
    """`Q other` (`other Q` if not `left`; `transpose`: with `Q^H`), where `Q` is the square product of `geqrf`'s reflections.

    Shapes: `input` `(*, m, n)`, `tau` `(*, k)`, `other` `(*, m, p)` or, if not `left`, `(*, p, m)`.
    """
    _refuse_ormqr(input, tau, other, left)
    V, T = _compact(input, tau)
    Vh = jnp.conj(jnp.swapaxes(V, -1, -2))
    T = jnp.conj(jnp.swapaxes(T, -1, -2)) if transpose else T
    return other - (times(V, times(T, times(Vh, other))) if left else times(times(times(other, V), T), Vh))


alias("orgqr", householder_product, methods=False)
_attach(householder_product, ("orgqr",))


@operator(returns=("a", "tau"), grad="GeqrfBackward0", autocast={"cpu": "float32"})
def geqrf(input: Array) -> tuple[Array, Array]:
    """`(a, tau)`: R on and above the diagonal, and the reflections whose product is Q, as `householder_product` takes
    them. Shapes: `(*, m, n)`, and `(*, min(m, n))`.
    """
    if input.ndim < 2:
        raise RuntimeError("torch.geqrf: input must have at least 2 dimensions.")
    _supported("geqrf_cpu", input)
    transposed, tau = jnp.linalg.qr(input, mode="raw")
    return jnp.swapaxes(transposed, -1, -2), tau
