"""The Wishart distribution."""

from __future__ import annotations

import math
import warnings
from math import nan
from numbers import Number
from typing import Any

from ..core.array.dtypes import finfo
from ..core.array.size import Size
from ..core.context.tracing import is_traced
from ..core.dispatch.messages import message
from ..core.tensor.tensor import Tensor
from ..ops.shape.broadcasting import broadcast_shapes
from . import constraints
from ._asking import arange, cholesky_solve, digamma, mvlgamma, randn, slogdet, tensor, tril_indices, where
from ._covariance import MATRICES, ByCovariance, factor_of, given_matrix
from .chi2 import Chi2
from .exp_family import ExponentialFamily
from .utils import (
    EMPTY,
)

__all__ = ["Wishart"]


_log_2 = math.log(2)


def _mvdigamma(x: Tensor, p: int) -> Tensor:
    """The derivative of the multivariate log-gamma function of dimension p."""
    if not is_traced() and not x.gt((p - 1) / 2).all():
        raise AssertionError("Wrong domain for multivariate digamma function.")
    return digamma(x.unsqueeze(-1) - arange(p, dtype=x.dtype, device=x.device).div(2)).sum(-1)


def _clamp_above_eps(x: Tensor) -> Tensor:
    return x.clamp(min=finfo(x.dtype).eps)


class Wishart(ByCovariance, ExponentialFamily):
    """Random covariances: sums of `df` outer products of normal vectors of the given covariance, `df` not only whole.

    Drawn by Bartlett's decomposition; singular samples, which rounding can give, are drawn again. Raises ValueError for a
    `df` that is not greater than the dimension less 1.
    """

    _mean_carrier_measure = 0
    has_rsample = True
    support: constraints.Constraint = constraints.positive_definite

    @property
    def arg_constraints(self) -> dict[str, Any]:
        matrices = (constraints.positive_definite, constraints.positive_definite, constraints.lower_cholesky)
        return dict(zip(MATRICES, matrices, strict=True)) | {"df": constraints.greater_than(self.event_shape[-1] - 1)}

    def __init__(
        self,
        df: Any,
        covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        name, param = given_matrix(covariance_matrix, precision_matrix, scale_tril, error=AssertionError)
        if param.dim() < 2:
            raise ValueError(message("wishart_scale_tril"))
        df = tensor(df, dtype=param.dtype, device=param.device) if isinstance(df, Number) else df
        batch_shape = broadcast_shapes(param.shape[:-2], df.shape)
        event_shape = param.shape[-2:]
        self.df: Any = df.expand(batch_shape)
        if not is_traced() and self.df.le(event_shape[-1] - 1).any():
            least = event_shape[-1] - 1
            raise ValueError(f"Value of df={df} expected to be greater than ndim - 1 = {least}.")
        setattr(self, name, param.expand(batch_shape + (-1, -1)))
        if not is_traced() and self.df.lt(event_shape[-1]).any():
            bound = "ndim - 1"
            warnings.warn(
                f"Low df values detected. Singular samples are highly likely to occur for {bound} < df < ndim."
            )
        super().__init__(batch_shape, event_shape, validate_args=validate_args)
        self._unbroadcasted_scale_tril = factor_of(name, param)
        # the squares on the diagonal of Bartlett's factor
        rows = arange(event_shape[-1], dtype=param.dtype, device=param.device)
        self._dist_chi2 = Chi2(df=self.df.unsqueeze(-1) - rows.expand((*batch_shape, -1)))

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = self._expanded_factor(Wishart, batch_shape, _instance, df=0)
        new._dist_chi2 = self._dist_chi2.expand(Size(batch_shape) + self.event_shape[-1:])
        return new

    def _matrix_shape(self) -> Any:
        return self._batch_shape + self._event_shape

    @property
    def mean(self) -> Tensor:
        return self.df.view((*self._batch_shape, 1, 1)) * self.covariance_matrix

    @property
    def mode(self) -> Tensor:
        factor = self.df - self.covariance_matrix.shape[-1] - 1
        factor = where(factor <= 0, nan, factor)
        return factor.view((*self._batch_shape, 1, 1)) * self.covariance_matrix

    @property
    def variance(self) -> Tensor:
        V = self.covariance_matrix
        diagonal = V.diagonal(dim1=-2, dim2=-1)
        outer = diagonal.unsqueeze(-1) * diagonal.unsqueeze(-2)
        return self.df.view((*self._batch_shape, 1, 1)) * (V.pow(2) + outer)

    def _bartlett_sampling(self, sample_shape: Any = EMPTY) -> Tensor:
        p = self._event_shape[-1]
        noise = _clamp_above_eps(self._dist_chi2.rsample(sample_shape).sqrt()).diag_embed(dim1=-2, dim2=-1)
        i, j = tril_indices(p, p, offset=-1)
        noise[..., i, j] = randn(
            Size(sample_shape) + self._batch_shape + (p * (p - 1) // 2,), dtype=noise.dtype, device=noise.device
        )
        factor = self._unbroadcasted_scale_tril @ noise
        return factor @ factor.mT

    def _is_singular(self, sample: Tensor) -> Tensor:
        """Whether a draw of the batch has a singular matrix: then all of that draw is made again."""
        singular = ~self.support.check(sample)
        return singular.flatten(singular.ndim - len(self._batch_shape)).any(-1) if self._batch_shape else singular

    def rsample(self, sample_shape: Any = EMPTY, max_try_correction: int | None = None) -> Tensor:
        """Draw matrices. Singular ones are drawn again, at most `max_try_correction` (10) times, with a warning."""
        sample_shape = Size(sample_shape)
        self._bartlett_sampling(sample_shape)  # PyTorch keeps its second draw, taking the first for singular
        sample = self._bartlett_sampling(sample_shape)
        if is_traced():
            return sample
        singular = self._is_singular(sample)
        if singular.any():
            warnings.warn("Singular sample detected.")
        for _ in range(10 if max_try_correction is None else max_try_correction):
            if not singular.any():
                break
            place = singular.reshape(singular.shape + (1,) * (sample.ndim - singular.ndim))
            sample = where(place, self._bartlett_sampling(sample_shape), sample)
            singular = self._is_singular(sample)
        return sample

    def _log_det(self) -> Tensor:
        """Half of log det of the covariance."""
        return self._unbroadcasted_scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        self._look_at(value)
        nu, p = self.df, self._event_shape[-1]
        solved = cholesky_solve(value, self._unbroadcasted_scale_tril)
        return (
            -nu * (p * _log_2 / 2 + self._log_det())
            - mvlgamma(nu / 2, p)
            + (nu - p - 1) / 2 * slogdet(value).logabsdet
            - solved.diagonal(dim1=-2, dim2=-1).sum(dim=-1) / 2
        )

    def entropy(self) -> Tensor:
        nu, p = self.df, self._event_shape[-1]
        return (
            (p + 1) * (p * _log_2 / 2 + self._log_det())
            + mvlgamma(nu / 2, p)
            - (nu - p - 1) / 2 * _mvdigamma(nu / 2, p)
            + nu * p / 2
        )

    @property
    def _natural_params(self) -> tuple[Tensor, Tensor]:
        nu, p = self.df, self._event_shape[-1]
        return -self.precision_matrix / 2, (nu - p - 1) / 2

    def _log_normalizer(self, x: Any, y: Any) -> Any:  # type: ignore[override]
        p = self._event_shape[-1]
        return (y + (p + 1) / 2) * (-slogdet(-2 * x).logabsdet + _log_2 * p) + mvlgamma(y + (p + 1) / 2, p)
