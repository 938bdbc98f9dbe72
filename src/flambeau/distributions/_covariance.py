"""Families that are given by a covariance, its inverse or its Cholesky factor: exactly one of them, the others follow from it."""

from __future__ import annotations

from typing import Any

from ..core.tensor.tensor import Tensor
from ._asking import cholesky, cholesky_inverse, eye, solve_triangular
from .utils import lazy_property

MATRICES = ("covariance_matrix", "precision_matrix", "scale_tril")


def given_matrix(*matrices: Tensor | None, error: type[Exception] = ValueError) -> tuple[str, Tensor]:
    """The name and value of the only one of the three (in `MATRICES`' order) that is not None, or an `error`."""
    given = [(name, matrix) for name, matrix in zip(MATRICES, matrices, strict=True) if matrix is not None]
    if len(given) != 1:
        raise error(f"Exactly one of {' or '.join(MATRICES)} may be specified.")
    return given[0]


def _precision_to_scale_tril(P: Tensor) -> Tensor:
    """The Cholesky factor of the inverse of P, without forming the inverse."""
    # with J the exchange of order and J P J = L L^T, P^-1 = (J L^-T J)(J L^-T J)^T, whose factor is lower triangular
    factor = cholesky(P.flip((-2, -1)))
    upper = factor.flip((-2, -1)).mT
    identity = eye(P.shape[-1], dtype=P.dtype, device=P.device)
    return solve_triangular(upper, identity, upper=False)


def factor_of(name: str, matrix: Tensor) -> Tensor:
    """The Cholesky factor of the covariance that the `matrix` of this name stands for."""
    if name == "scale_tril":
        return matrix
    return cholesky(matrix) if name == "covariance_matrix" else _precision_to_scale_tril(matrix)


class ByCovariance:
    """The three matrices, of `_matrix_shape()`, from the factor `_unbroadcasted_scale_tril`."""

    _unbroadcasted_scale_tril: Tensor

    def _matrix_shape(self) -> Any:
        raise NotImplementedError

    def _expanded_factor(self, family: type, batch_shape: Any, _instance: Any, **others: int) -> Any:
        new = self._expanded(  # type: ignore[attr-defined]
            family, batch_shape, _instance, **others, covariance_matrix=2, scale_tril=2, precision_matrix=2
        )
        new._unbroadcasted_scale_tril = self._unbroadcasted_scale_tril
        return new

    @lazy_property
    def scale_tril(self) -> Tensor:
        """The Cholesky factor of the covariance."""
        return self._unbroadcasted_scale_tril.expand(self._matrix_shape())

    @lazy_property
    def covariance_matrix(self) -> Tensor:
        """The covariance."""
        factor = self._unbroadcasted_scale_tril
        return (factor @ factor.mT).expand(self._matrix_shape())

    @lazy_property
    def precision_matrix(self) -> Tensor:
        """The inverse of the covariance."""
        return cholesky_inverse(self._unbroadcasted_scale_tril).expand(self._matrix_shape())
