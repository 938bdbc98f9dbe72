"""`linalg.lstsq`: systems of equations with no solution, or many."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...core.array.return_types import return_type
from ...core.dispatch.operator import Array, Static, composite, operator
from ...core.tensor.tensor import Tensor
from ..support.checks import host_values, type_name
from .checks import LINALG, demand_matrices, matrices
from .products import times
from .spectra import pseudoinverse, singular_values

_DRIVERS = ("gels", "gelsy", "gelsd", "gelss")


def _check(A: jax.Array, B: jax.Array, driver: str | None) -> bool:
    """Whether `B` is a vector, after checking that both go together."""
    name = "torch.linalg.lstsq"
    if A.ndim < 2:
        raise RuntimeError(f"{name}: input must have at least 2 dimensions.")
    if B.ndim < 1:
        raise RuntimeError(f"{name}: other must have at least 1 dimension.")
    if A.dtype != B.dtype:
        raise RuntimeError(
            f"{name}: Expected input and other to have the same dtype, but got input's dtype {type_name(A)} and other's "
            f"dtype {type_name(B)}"
        )
    if A.dtype.itemsize < 4:
        raise RuntimeError("This function doesn't handle types other than float and double")
    matrices(name, A, square=False)
    if driver not in (None, *_DRIVERS):
        raise RuntimeError(f"{name}: parameter `driver` should be one of (gels, gelsy, gelsd, gelss)")
    vector = B.ndim == 1 or (B.ndim == A.ndim - 1 and B.shape == A.shape[:-1])
    rows = B.shape[-1 if vector else -2]
    if rows != A.shape[-2]:
        raise RuntimeError(
            f"{name}: input.size(-2) should match other.size({-1 if vector else -2}), got {list(A.shape)} and {list(B.shape)}"
        )
    return vector


@operator(methods=False, public=())
def _lstsq(A: Array, B: Array, rcond: Static[float | None], *, driver: str | None) -> tuple[Array, Array, Array, Array]:
    vector = _check(A, B, driver)
    sides = B[..., None] if vector else B
    m, n = A.shape[-2:]
    s = singular_values(jax.lax.stop_gradient(A))
    share = float(jnp.finfo(s.dtype).eps) * max(m, n) if rcond is None else rcond
    solution = times(pseudoinverse(A, jnp.asarray(share, s.dtype)), sides)
    rank = jnp.sum(s > share * jnp.max(s, -1, keepdims=True, initial=0), -1)
    left = jnp.sum(jnp.abs(times(A, solution) - sides) ** 2, -2)
    return solution[..., 0] if vector else solution, left, rank, s


def _demand_known(A: Tensor, B: Tensor, driver: str) -> None:
    """Raise RuntimeError for nan, and in "gelsd" for infinite elements, too."""
    vector = B.ndim < A.ndim
    for given, number, what in ((A, 4, "input"), (B.unsqueeze(-1) if vector else B, 6, "other")):
        refused: list[Any] = [number + (driver == "gels"), what]

        def error(batch: str, refused: list[Any] = refused) -> Exception:
            place, what = refused
            return RuntimeError(
                f"torch.linalg.lstsq: {batch}Argument {place} has illegal value. There are numbers in {what} that are not "
                "finite."
            )

        strict = driver == "gelsd" and given is A
        demand_matrices((lambda x: ~(abs(x) < np.inf)) if strict else (lambda x: x != x), error, given)


_Lstsq = return_type("linalg_lstsq", ("solution", "residuals", "rank", "singular_values"))


@composite(methods=False, public=LINALG, autocast={"cpu": "float32"})
def lstsq(A: Tensor, B: Tensor, rcond: float | None = None, *, driver: str | None = None) -> Any:
    """The `X` of least norm that minimises the norm of `A X - B`. Shapes: `(*, m, n)`, `(*, m, k)` or `(*, m)`.

    Also the squared norms of what is left (not with "gelsy", the default driver; empty unless `A` has full rank and more
    rows than columns), the rank (not with "gels") and, with "gelsd" and "gelss", the singular values.
    """
    solution, left, rank, singular = _lstsq(A, B, rcond, driver=driver)
    driver = driver or "gelsy"
    _demand_known(A, B, driver)
    none = singular.new_zeros((0,))
    m, n = A.shape[-2:]
    kept = m > n and driver != "gelsy"
    if kept and driver != "gels":
        kept = bool(np.all(host_values(rank, "linalg.lstsq", "whether there are residuals depends") == n))
    return _Lstsq(
        solution,
        left if kept else left.flatten()[:0],
        rank if driver != "gels" else rank.new_zeros((0,)),
        singular if driver in ("gelsd", "gelss") else none,
    )
