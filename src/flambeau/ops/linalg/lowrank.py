"""Singular values and vectors of a matrix of low rank, by random projection."""

from __future__ import annotations

from typing import Any

from ...core.array.dtypes import FLOAT, bfloat16
from ...core.dispatch.operator import composite
from ...core.tensor.tensor import Tensor
from ..random.factories import randn
from .matrices import qr
from .spectra import svd


def _range(A: Any, q: int, niter: int) -> Any:
    """An orthonormal basis that nearly spans A's columns (Halko, Martinsson & Tropp 2009, algorithm 4.4)."""
    if A.dtype.category < FLOAT or A.dtype is bfloat16:  # halves are refused by their first decomposition
        raise RuntimeError(
            f"expected m1 and m2 to have the same dtype, but got: {A.dtype.abbr} != float (cast it first)"
        )
    Q = qr(A @ randn(A.shape[-1], q, dtype=A.dtype, device=A.device))[0]
    for _ in range(niter):
        Q = qr(A @ qr(A.mH @ Q)[0])[0]
    return Q


@composite(methods=False, in_python=True)
def svd_lowrank(A: Any, q: int | None = 6, niter: int | None = 2, M: Any = None) -> tuple[Tensor, Tensor, Tensor]:
    """`(U, S, V)` with `U @ diag(S) @ V.mH` near `A` (less `M`, if given), of `q` singular values.

    Algorithm 5.1 of Halko, Martinsson & Tropp (2009) with `niter` rounds of subspace iteration. Draws from the default
    generator.
    """
    q, niter = 6 if q is None else q, 2 if niter is None else niter
    if M is not None:
        A = A - M.expand_as(A)
    tall = A.shape[-2] >= A.shape[-1]
    Q = _range(A if tall else A.mH, q, niter)
    U, S, Vh = svd(Q.mH @ (A if tall else A.mH), full_matrices=False)
    U, V = Q @ U, Vh.mH
    return (U, S, V) if tall else (V, S, U)


@composite(methods=False, in_python=True)
def pca_lowrank(A: Any, q: int | None = None, center: bool = True, niter: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """The `q` (default: `min(6, m, n)`) first principal components of the rows of `A`, as `svd_lowrank` gives them.

    The rows' mean is taken off unless `center` is off. ValueError for a `q` outside of `[0, min(m, n)]`.
    """
    m, n = A.shape[-2:]
    q = min(6, m, n) if q is None else q
    if not 0 <= q <= min(m, n):
        raise ValueError(f"q(={q}) must be non-negative integer and not greater than min(m, n)={min(m, n)}")
    if niter < 0:
        raise ValueError(f"niter(={niter}) must be non-negative integer")
    return svd_lowrank(A - A.mean(-2, keepdim=True) if center else A, q, niter)
