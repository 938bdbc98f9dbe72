"""`torch.lobpcg`: some extreme eigenpairs of a symmetric matrix, or of a pair of them."""

from __future__ import annotations

from typing import Any

from ...core.dispatch.operator import composite
from ...core.tensor.tensor import Tensor
from . import matrices as linalg
from .spectra import eigh


@composite(methods=False)
def lobpcg(
    A: Tensor,
    k: int | None = None,
    B: Tensor | None = None,
    X: Tensor | None = None,
    n: int | None = None,
    iK: Tensor | None = None,
    niter: int | None = None,
    tol: float | None = None,
    largest: bool | None = None,
    method: str | None = None,
    tracker: Any = None,
    ortho_iparams: dict[str, int] | None = None,
    ortho_fparams: dict[str, float] | None = None,
    ortho_bparams: dict[str, bool] | None = None,
) -> tuple[Tensor, Tensor]:
    """The `k` largest (default; else smallest) eigenvalues of `A x = lambda B x` and their eigenvectors, as columns.

    `A` is symmetric, `B` positive definite (default: the identity). Shapes: `(*, m, m)`, and `(*, k)`, `(*, m, k)`. They are
    computed by a whole factorization, to full precision: the first guess `X`, the preconditioner `iK` and what steers the
    iteration elsewhere have no effect. ValueError if `m < 3 k`; NotImplementedError for a `tracker`, which would see iterations.
    """
    if tracker is not None:
        raise NotImplementedError("lobpcg: there are no iterations that a tracker could see; leave tracker=None")
    count = k if k is not None else X.shape[-1] if X is not None else 1
    rows = A.shape[-1]
    if rows < 3 * (n if n is not None else count):
        raise ValueError(
            f"LOBPCG algorithm is not applicable when the number of A rows (={rows}) is smaller than 3 x the number of "
            f"requested eigenpairs (={n if n is not None else count})"
        )
    if A.is_sparse:
        A = A.to_dense()
    if B is None:
        values, vectors = eigh(A)
    else:  # with B = L L^T the eigenvectors of L^-1 A L^-T, turned back
        low = linalg.cholesky(B.to_dense() if B.is_sparse else B)
        half = linalg.solve_triangular(low, A, upper=False)
        inner = linalg.solve_triangular(low, half.mT, upper=False)
        values, turned = eigh((inner + inner.mT) / 2)
        vectors = linalg.solve_triangular(low.mT, turned, upper=True)
    if largest is None or largest:
        values, vectors = values.flip(-1), vectors.flip(-1)
    return values[..., :count], vectors[..., :count]
