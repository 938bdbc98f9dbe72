"""The von Mises distribution."""

from __future__ import annotations

import math
from typing import Any

from ..core.array.dtypes import bool as bool_dtype
from ..core.array.size import Size
from ..core.context.grad_mode import no_grad
from ..core.tensor.tensor import Tensor
from . import constraints
from ._asking import empty, i0e, i1e, rand, where, zeros
from ._centred import Centred
from .distribution import Distribution
from .utils import (
    EMPTY,
    broadcast_all,
    lazy_property,
)

__all__ = ["VonMises"]


def _log_i0(x: Tensor) -> Tensor:
    """log I0(x), of the modified Bessel function of the first kind."""
    return i0e(x).log() + x


def _rejection_sample(loc: Tensor, concentration: Tensor, proposal_r: Tensor, x: Tensor) -> Tensor:
    """Fill `x`, by rejection from a wrapped Cauchy law (Best and Fisher, 1979)."""
    done = zeros(x.shape, dtype=bool_dtype, device=loc.device)
    while not done.all():
        u1, u2, u3 = rand((3, *x.shape), dtype=loc.dtype, device=loc.device).unbind()
        z = (math.pi * u1).cos()
        f = (1 + proposal_r * z) / (proposal_r + z)
        c = concentration * (proposal_r - f)
        accept = ((c * (2 - c) - u2) > 0) | ((c / u2).log() + 1 - c >= 0)
        x = where(accept, (u3 - 0.5).sign() * f.acos(), x)
        done = done | accept
    return (x + math.pi + loc) % (2 * math.pi) - math.pi


class VonMises(Centred, Distribution):
    """The circular von Mises distribution: angles in radians around `loc`, modulo 2 pi."""

    has_rsample = False
    support: constraints.Constraint = constraints.real
    arg_constraints: dict[str, constraints.Constraint] = {
        "loc": constraints.real,
        "concentration": constraints.positive,
    }
    loc: Tensor
    concentration: Tensor

    def __init__(self, loc: Any, concentration: Any, validate_args: bool | None = None) -> None:
        self.loc, self.concentration = broadcast_all(loc, concentration)
        super().__init__(self.loc.shape, Size(), validate_args)

    def log_prob(self, value: Tensor) -> Tensor:
        self._look_at(value)
        return self.concentration * (value - self.loc).cos() - math.log(2 * math.pi) - _log_i0(self.concentration)

    @lazy_property
    def _loc(self) -> Tensor:
        return self.loc.double()

    @lazy_property
    def _concentration(self) -> Tensor:
        return self.concentration.double()

    @lazy_property
    def _proposal_r(self) -> Tensor:
        kappa = self._concentration
        tau = 1 + (1 + 4 * kappa**2).sqrt()
        rho = (tau - (2 * tau).sqrt()) / (2 * kappa)
        # rho vanishes with kappa, and digits with it: a series there
        return where(kappa < 1e-5, 1 / kappa + kappa, (1 + rho**2) / (2 * rho))

    def sample(self, sample_shape: Any = EMPTY) -> Tensor:
        shape = self._extended_shape(sample_shape)
        with no_grad():
            x = empty(shape, dtype=self._loc.dtype, device=self.loc.device)
            return _rejection_sample(self._loc, self._concentration, self._proposal_r, x).to(self.loc.dtype)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        try:
            return super().expand(batch_shape)
        except NotImplementedError:
            validate_args = self.__dict__.get("_validate_args")
            loc, concentration = self.loc.expand(batch_shape), self.concentration.expand(batch_shape)
            return type(self)(loc, concentration, validate_args=validate_args)

    @lazy_property
    def variance(self) -> Tensor:  # type: ignore[override]
        """The circular variance."""
        return 1 - i1e(self.concentration) / i0e(self.concentration)
