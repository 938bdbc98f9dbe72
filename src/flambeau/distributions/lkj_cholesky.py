"""Random correlation matrices."""

from __future__ import annotations

import math
from typing import Any

from ..core.array.dtypes import finfo
from ..core.array.size import Size
from ..core.context.grad_mode import no_grad
from ..core.tensor.tensor import Tensor
from . import constraints
from ._asking import arange, cat, lgamma, mvlgamma, zeros
from .beta import Beta
from .distribution import Distribution
from .utils import (
    EMPTY,
    _standard_normal,
    broadcast_all,
)

__all__ = ["LKJCholesky"]


class LKJCholesky(Distribution):
    """Cholesky factors of correlation matrices M of `dim` rows, of density in proportion to det(M)**(concentration - 1).

    Drawn by the onion method (Lewandowski, Kurowicka and Joe, "Generating random correlation matrices based on vines and
    extended onion method", 2009). Raises ValueError for fewer than 2 rows.
    """

    support: constraints.Constraint = constraints.corr_cholesky
    arg_constraints: dict[str, constraints.Constraint] = {"concentration": constraints.positive}
    concentration: Tensor

    def __init__(self, dim: int, concentration: Any = 1.0, validate_args: bool | None = None) -> None:
        least = 2
        if dim < least:
            raise ValueError(f"Expected dim to be an integer greater than or equal to {least}. Found dim={dim}.")
        self.dim = dim
        (self.concentration,) = broadcast_all(concentration)
        options = {"dtype": self.concentration.dtype, "device": self.concentration.device}
        # how far row i reaches into the ball: the square of its radius is a beta value
        marginal = self.concentration + 0.5 * (self.dim - 2)
        offset = cat([zeros((1,), **options), arange(self.dim - 1, **options)])
        self._beta = Beta(offset + 0.5, marginal.unsqueeze(-1) - 0.5 * offset)
        super().__init__(self.concentration.size(), Size((dim, dim)), validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = self._expanded(LKJCholesky, batch_shape, _instance, concentration=0)
        new.dim = self.dim
        new._beta = self._beta.expand(Size(batch_shape) + (self.dim,))
        return new

    def sample(self, sample_shape: Any = EMPTY) -> Tensor:
        with no_grad():
            y = self._beta.sample(sample_shape).unsqueeze(-1)
            u = _standard_normal(self._extended_shape(sample_shape), y.dtype, y.device).tril(-1)
            direction = u / u.norm(dim=-1, keepdim=True)
            direction[..., 0, :].fill_(0.0)  # the first row has nothing before its diagonal
            w = y.sqrt() * direction
            rest = (1 - (w**2).sum(dim=-1)).clamp(min=finfo(w.dtype).tiny)
            return w + rest.sqrt().diag_embed()

    def log_prob(self, value: Tensor) -> Tensor:
        self._look_at(value)
        diagonal = value.diagonal(dim1=-1, dim2=-2)[..., 1:]
        order = arange(2, self.dim + 1, device=self.concentration.device)
        order = 2 * (self.concentration - 1).unsqueeze(-1) + self.dim - order
        unnormalized = (order * diagonal.log()).sum(dim=-1)
        n = self.dim - 1  # the normalizing constant, from page 1999 of the paper
        alpha = self.concentration + 0.5 * n
        normalizer = 0.5 * n * math.log(math.pi) + mvlgamma(alpha - 0.5, n) - lgamma(alpha) * n
        return unnormalized - normalizer
