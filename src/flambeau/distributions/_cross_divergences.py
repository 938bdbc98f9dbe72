"""The formulas of `kl_divergence` for pairs of different families: -H(p) - E_p[log q(x)].

Where q is zero on a part of p's support, the divergence is infinite.
"""

from __future__ import annotations

import math
from math import inf
from typing import Any

from ..core.tensor.tensor import Tensor
from ._asking import full_like, where, xlogy
from .bernoulli import Bernoulli
from .beta import Beta
from .binomial import Binomial
from .continuous_bernoulli import ContinuousBernoulli
from .exponential import Exponential
from .gamma import Gamma
from .gumbel import Gumbel
from .kl import register_kl
from .laplace import Laplace
from .normal import Normal
from .pareto import Pareto
from .poisson import Poisson
from .uniform import Uniform
from .utils import euler_constant as _euler_gamma


def _x_log_x(x: Tensor) -> Tensor:
    return xlogy(x, x)


# The mean of -log q(x), from moments of x.


def _under_normal(q: Any, mean: Any, square: Any) -> Tensor:
    """From the means of x and x^2."""
    variance = q.scale.pow(2)
    return 0.5 * (variance * 2 * math.pi).log() + (0.5 * square - q.loc * mean + 0.5 * q.loc.pow(2)) / variance


def _under_gamma(q: Any, mean: Any, mean_log: Any) -> Tensor:
    """From the means of x and log x."""
    normalizer = q.concentration.lgamma() - q.concentration * q.rate.log()
    return normalizer - (q.concentration - 1) * mean_log + q.rate * mean


def _under_exponential(q: Any, mean: Any) -> Tensor:
    return q.rate * mean - q.rate.log()


def _under_gumbel(q: Any, mean: Any, mean_exp: Any) -> Tensor:
    """From the means of x and of exp((loc - x) / scale)."""
    return q.scale.log() + (mean - q.loc) / q.scale + mean_exp


def _under_continuous_bernoulli(q: Any, mean: Any) -> Tensor:
    return -mean * q.logits - (-q.probs).log1p() - q._cont_bern_log_norm()


def _mean_log_uniform(p: Any) -> Tensor:
    width = p.high - p.low
    return (_x_log_x(p.high) - _x_log_x(p.low) - width) / width


# --- infinite ones ----------------------------------------------------------------------------------------------------

_UNBOUNDED = {  # families p with values where none of these q has any, and the parameter whose shape the result has
    (Beta, "concentration1"): (Pareto,),
    (ContinuousBernoulli, "probs"): (Pareto,),
    (Exponential, "rate"): (Beta, ContinuousBernoulli, Pareto, Uniform),
    (Gamma, "concentration"): (Beta, ContinuousBernoulli, Pareto, Uniform),
    (Gumbel, "loc"): (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform),
    (Laplace, "loc"): (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform),
    (Normal, "loc"): (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform),
    (Pareto, "scale"): (Beta, ContinuousBernoulli, Uniform),
    (Poisson, "rate"): (Bernoulli, Binomial),
}


def _infinite(parameter: str) -> Any:
    return lambda p, q: full_like(getattr(p, parameter), inf)


for (_family, _parameter), _others in _UNBOUNDED.items():
    for _other in _others:
        register_kl(_family, _other)(_infinite(_parameter))


# --- finite ones, by p ------------------------------------------------------------------------------------------------


@register_kl(Bernoulli, Poisson)
def _kl_bernoulli_poisson(p: Any, q: Any) -> Tensor:
    return -p.entropy() - (p.probs * q.rate.log() - q.rate)


@register_kl(Beta, ContinuousBernoulli)
def _kl_beta_continuous_bernoulli(p: Any, q: Any) -> Tensor:
    return -p.entropy() + _under_continuous_bernoulli(q, p.mean)


@register_kl(Beta, Exponential)
def _kl_beta_exponential(p: Any, q: Any) -> Tensor:
    return -p.entropy() + _under_exponential(q, p.mean)


@register_kl(Beta, Gamma)
def _kl_beta_gamma(p: Any, q: Any) -> Tensor:
    mean_log = p.concentration1.digamma() - (p.concentration1 + p.concentration0).digamma()
    return -p.entropy() + _under_gamma(q, p.mean, mean_log)


@register_kl(Beta, Normal)
def _kl_beta_normal(p: Any, q: Any) -> Tensor:
    return -p.entropy() + _under_normal(q, p.mean, p.variance + p.mean.pow(2))


@register_kl(Beta, Uniform)
def _kl_beta_uniform(p: Any, q: Any) -> Tensor:
    result = -p.entropy() + (q.high - q.low).log()
    return where((q.low > p.support.lower_bound) | (q.high < p.support.upper_bound), inf, result)


@register_kl(ContinuousBernoulli, Exponential)
def _kl_continuous_bernoulli_exponential(p: Any, q: Any) -> Tensor:
    return -p.entropy() + _under_exponential(q, p.mean)


@register_kl(ContinuousBernoulli, Normal)
def _kl_continuous_bernoulli_normal(p: Any, q: Any) -> Tensor:
    return -p.entropy() + _under_normal(q, p.mean, p.variance + p.mean.square())


@register_kl(ContinuousBernoulli, Uniform)
def _kl_continuous_bernoulli_uniform(p: Any, q: Any) -> Tensor:
    result = -p.entropy() + (q.high - q.low).log()
    return where((q.low > p.support.lower_bound) | (q.high < p.support.upper_bound), inf, result)


@register_kl(Exponential, Gamma)
def _kl_exponential_gamma(p: Any, q: Any) -> Tensor:
    return -p.entropy() + _under_gamma(q, p.mean, -_euler_gamma - p.rate.log())


@register_kl(Exponential, Gumbel)
def _kl_exponential_gumbel(p: Any, q: Any) -> Tensor:
    product = p.rate * q.scale
    return -p.entropy() + _under_gumbel(q, p.mean, (q.loc / q.scale).exp() * product / (product + 1))


@register_kl(Exponential, Normal)
def _kl_exponential_normal(p: Any, q: Any) -> Tensor:
    return -p.entropy() + _under_normal(q, p.mean, 2 * p.rate.pow(-2))


@register_kl(Gamma, Exponential)
def _kl_gamma_exponential(p: Any, q: Any) -> Tensor:
    return -p.entropy() + _under_exponential(q, p.mean)


@register_kl(Gamma, Gumbel)
def _kl_gamma_gumbel(p: Any, q: Any) -> Tensor:
    mean_exp = (q.loc / q.scale).exp() * (1 + (p.rate * q.scale).reciprocal()).pow(-p.concentration)
    return -p.entropy() + _under_gumbel(q, p.mean, mean_exp)


@register_kl(Gamma, Normal)
def _kl_gamma_normal(p: Any, q: Any) -> Tensor:
    return -p.entropy() + _under_normal(q, p.mean, p.variance + p.mean.pow(2))


@register_kl(Gumbel, Normal)
def _kl_gumbel_normal(p: Any, q: Any) -> Tensor:
    return -p.entropy() + _under_normal(q, p.mean, p.variance + p.mean.pow(2))


@register_kl(Laplace, Normal)
def _kl_laplace_normal(p: Any, q: Any) -> Tensor:
    return -p.entropy() + _under_normal(q, p.mean, p.variance + p.loc.pow(2))


@register_kl(Normal, Gumbel)
def _kl_normal_gumbel(p: Any, q: Any) -> Tensor:
    mean_exp = ((q.loc - p.loc) / q.scale + 0.5 * (p.scale / q.scale).pow(2)).exp()
    return -p.entropy() + _under_gumbel(q, p.mean, mean_exp)


@register_kl(Normal, Laplace)
def _kl_normal_laplace(p: Any, q: Any) -> Tensor:
    away = p.loc - q.loc
    scaled = away / p.scale
    distance = math.sqrt(2 / math.pi) * p.scale * (-0.5 * scaled.pow(2)).exp() + away * (math.sqrt(0.5) * scaled).erf()
    return -p.entropy() + (2 * q.scale).log() + distance / q.scale


@register_kl(Pareto, Exponential)
def _kl_pareto_exponential(p: Any, q: Any) -> Tensor:
    result = -p.entropy() - q.rate.log() + q.rate * (p.alpha * p.scale / (p.alpha - 1))
    return where(p.alpha <= 1, inf, result)


@register_kl(Pareto, Gamma)
def _kl_pareto_gamma(p: Any, q: Any) -> Tensor:
    mean_log = p.scale.log() + p.alpha.reciprocal()
    result = -p.entropy() + _under_gamma(q, p.alpha * p.scale / (p.alpha - 1), mean_log)
    return where(p.alpha <= 1, inf, result)


@register_kl(Pareto, Normal)
def _kl_pareto_normal(p: Any, q: Any) -> Tensor:
    mean, square = p.alpha * p.scale / (p.alpha - 1), p.alpha * p.scale.pow(2) / (p.alpha - 2)
    return where(p.alpha <= 2, inf, -p.entropy() + _under_normal(q, mean, square))


@register_kl(Uniform, Beta)
def _kl_uniform_beta(p: Any, q: Any) -> Tensor:
    width = p.high - p.low
    mean_log_rest = -(_x_log_x(1 - p.high) - _x_log_x(1 - p.low) + width) / width
    t = q.concentration1.lgamma() + q.concentration0.lgamma() - (q.concentration1 + q.concentration0).lgamma()
    result = t - width.log() - (q.concentration1 - 1) * _mean_log_uniform(p) - (q.concentration0 - 1) * mean_log_rest
    return where((p.high > q.support.upper_bound) | (p.low < q.support.lower_bound), inf, result)


@register_kl(Uniform, ContinuousBernoulli)
def _kl_uniform_continuous_bernoulli(p: Any, q: Any) -> Tensor:
    result = -p.entropy() + _under_continuous_bernoulli(q, p.mean)
    return where((p.high > q.support.upper_bound) | (p.low < q.support.lower_bound), inf, result)


@register_kl(Uniform, Exponential)
def _kl_uniform_exponetial(p: Any, q: Any) -> Tensor:
    return where(p.low < q.support.lower_bound, inf, -p.entropy() + _under_exponential(q, p.mean))


@register_kl(Uniform, Gamma)
def _kl_uniform_gamma(p: Any, q: Any) -> Tensor:
    result = -p.entropy() + _under_gamma(q, p.mean, _mean_log_uniform(p))
    return where(p.low < q.support.lower_bound, inf, result)


@register_kl(Uniform, Gumbel)
def _kl_uniform_gumbel(p: Any, q: Any) -> Tensor:
    upper, lower = (q.loc - p.high) / q.scale, (q.loc - p.low) / q.scale
    mean_exp = q.scale / (p.high - p.low) * (lower.exp() - upper.exp())
    return -p.entropy() + _under_gumbel(q, p.mean, mean_exp)


@register_kl(Uniform, Normal)
def _kl_uniform_normal(p: Any, q: Any) -> Tensor:
    return -p.entropy() + _under_normal(q, p.mean, p.variance + p.mean.pow(2))


@register_kl(Uniform, Pareto)
def _kl_uniform_pareto(p: Any, q: Any) -> Tensor:
    t = (q.alpha * q.scale.pow(q.alpha)).log()
    result = -p.entropy() + _mean_log_uniform(p) * (q.alpha + 1) - t
    return where(p.low < q.support.lower_bound, inf, result)
