"""Products of Householder reflections, and the QR factorization in the form that keeps them."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp

from ...core.array.dtypes import FLOAT
from ...core.dispatch.operator import Array, _attach, operator
from ..support.checks import category, type_name
from ..support.declare import alias


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
    m, n, k = *A.shape[-2:], tau.shape[-1]
    eye = jnp.eye(m, n, dtype=A.dtype)
    V = jnp.tril(A[..., :k], -1) + eye[:, :k]
    Vh = jnp.conj(jnp.swapaxes(V, -1, -2))
    scale = tau[..., None]
    precision = jax.lax.Precision.HIGHEST
    inner = jnp.eye(k, dtype=A.dtype) + scale * jnp.triu(jnp.matmul(Vh, V, precision=precision), 1)
    T = jax.lax.linalg.triangular_solve(inner, scale * jnp.eye(k, dtype=A.dtype), left_side=True, unit_diagonal=True)
    return eye - jnp.matmul(V, jnp.matmul(T, Vh[..., :n], precision=precision), precision=precision)


alias("orgqr", householder_product, methods=False)
_attach(householder_product, ("orgqr",))


@operator(returns=("a", "tau"), grad="GeqrfBackward0", autocast={"cpu": "float32"})
def geqrf(input: Array) -> Array:
    """`(a, tau)`: R on and above the diagonal, and the reflections whose product is Q, as `householder_product` takes
    them. Shapes: `(*, m, n)`, and `(*, min(m, n))`.
    """
    if input.ndim < 2:
        raise RuntimeError("torch.geqrf: input must have at least 2 dimensions.")
    _supported("geqrf_cpu", input)
    transposed, tau = jnp.linalg.qr(input, mode="raw")
    return jnp.swapaxes(transposed, -1, -2), tau
