"""Names of linear algebra that PyTorch has retired: functions that only say what to call instead, and three old norms."""

from __future__ import annotations

import functools
from typing import Any

from ...core.context.telling import warn
from ...core.dispatch.operator import composite
from ...core.tensor.tensor import Tensor
from .norms import matrix_norm, vector_norm


def _retired(name: str, instead: str, methods: bool = True) -> None:
    def function(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(f"This function was deprecated since version 1.9 and is now removed.{instead}")

    function.__doc__ = f"Removed from PyTorch; the RuntimeError says what to call instead of `{name}`."
    composite(name=name, methods=methods)(function)


_REVERSED = " is deprecated in favor of `torch.linalg."
_retired(
    "eig",
    " `torch.linalg.eig` returns complex tensors of dtype `cfloat` or `cdouble` rather than real tensors mimicking complex "
    "tensors.\n\nUse torch.linalg.eigvals(A) for the eigenvalues alone, torch.linalg.eig(A) for the eigenvectors, too.",
)
_retired(
    "symeig",
    " The default behavior has changed from using the upper triangular portion of the matrix by default to using the lower "
    "triangular portion.\n\nUse torch.linalg.eigvalsh or torch.linalg.eigh with UPLO='U' if upper else 'L'.",
)
_retired(
    "solve",
    f" `torch.solve`{_REVERSED}solve`. `torch.linalg.solve` has its arguments reversed and does not return the LU "
    "factorization.\n\nUse torch.linalg.solve(A, B), and torch.linalg.lu_factor(A) for the factorization.",
)
_retired(
    "lstsq",
    f" `torch.lstsq`{_REVERSED}lstsq`.\n`torch.linalg.lstsq` has reversed arguments and does not return the QR decomposition "
    "in the returned tuple (although it returns other information about the problem).\n\nUse "
    "torch.linalg.lstsq(A, B).solution, and torch.linalg.qr(A) for the decomposition.",
)
_retired(
    "matrix_rank",
    "\nPlease use the `torch.linalg.matrix_rank` function instead. The parameter 'symmetric' was renamed in "
    "`torch.linalg.matrix_rank()` to 'hermitian'.",
    methods=False,
)


@functools.cache
def _warn(name: str, instead: str) -> None:
    """Once in a process, as PyTorch does."""
    warn(
        f"at::{name} is deprecated and it is just left for JIT compatibility. It will be removed in a future PyTorch "
        f"release. Please use `linalg.{instead}` instead"
    )


@composite(methods=False)
def frobenius_norm(input: Tensor, dim: Any, keepdim: bool = False) -> Tensor:
    """The root of the sum of squares over one dimension or two, or over all if `dim` is empty."""
    dims = (dim,) if isinstance(dim, int) else tuple(dim)
    _warn("frobenius_norm", "vector_norm(A, 2., dim, keepdim)")
    if len(dims) > 2:
        raise RuntimeError(f"Expected at most 2 dimensions, but got {len(dims)} dimensions instead.")
    return vector_norm(input, 2.0, dims, keepdim)


@composite(methods=False)
def nuclear_norm(input: Tensor, dim: Any = (-2, -1), keepdim: bool = False) -> Tensor:
    """The sum of the singular values. `dim` may be left out: `nuclear_norm(x, True)`."""
    if isinstance(dim, bool):
        dim, keepdim = (-2, -1), dim
    _warn("nuclear_norm", "matrix_norm(A, 'nuc', dim, keepdim)")
    return matrix_norm(input, "nuc", (dim, dim) if isinstance(dim, int) else tuple(dim), keepdim)
