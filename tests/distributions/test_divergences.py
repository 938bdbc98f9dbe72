"""`kl_divergence` of every registered pair against PyTorch, with gradients, and the dispatch on subclasses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.distributions import kl as theirs

import flambeau as fb
import flambeau.distributions
from distributions.families import COVARIANCE, FACTOR, ROWS, A, P
from flambeau.distributions import kl as ours
from support.values import array

TWO = {  # two laws of each family
    "Bernoulli": lambda D, t: (D.Bernoulli(t([0.0, 0.5, 1.0])), D.Bernoulli(t([0.1, 0.3, 1.0]))),
    "Beta": lambda D, t: (D.Beta(t(A), t(P)), D.Beta(t(P), t(A))),
    "Binomial": lambda D, t: (D.Binomial(t([5.0, 3.0, 3.0]), t(P)), D.Binomial(3, t([0.3, 0.4, 0.5]))),
    "Categorical": lambda D, t: (D.Categorical(t([0.0, 0.4, 0.6])), D.Categorical(t([[0.2, 0.3, 0.5], [0.5, 0.5, 0.0]]))),
    "Cauchy": lambda D, t: (D.Cauchy(t(A), t(P)), D.Cauchy(t(P), t(A))),
    "ContinuousBernoulli": lambda D, t: (D.ContinuousBernoulli(t(P)), D.ContinuousBernoulli(t([0.3, 0.4, 0.5]))),
    "Dirichlet": lambda D, t: (D.Dirichlet(t(A)), D.Dirichlet(t([A, P]))),
    "Exponential": lambda D, t: (D.Exponential(t(A)), D.Exponential(t(P))),
    "ExponentialFamily": lambda D, t: (D.Chi2(t(A)), D.Chi2(t(P))),
    "Gamma": lambda D, t: (D.Gamma(t(A), t(P)), D.Gamma(t(P), t(A))),
    "Geometric": lambda D, t: (D.Geometric(t(P)), D.Geometric(t([0.3, 0.4, 0.5]))),
    "Gumbel": lambda D, t: (D.Gumbel(t(A), t(P)), D.Gumbel(t(P), t(A))),
    "HalfNormal": lambda D, t: (D.HalfNormal(t(A)), D.HalfNormal(t(P))),
    "Independent": lambda D, t: (D.Independent(D.Normal(t(A), t(P)), 1), D.Independent(D.Normal(t(P), t(A)), 1)),
    "Laplace": lambda D, t: (D.Laplace(t(A), t(P)), D.Laplace(t(P), t(A))),
    "LowRankMultivariateNormal": lambda D, t: (
        D.LowRankMultivariateNormal(t(A), t(FACTOR), t(P)), D.LowRankMultivariateNormal(t(P), t(FACTOR), t(A)),
    ),
    "MultivariateNormal": lambda D, t: (
        D.MultivariateNormal(t([A, P]), t(COVARIANCE)), D.MultivariateNormal(t(P), precision_matrix=t(COVARIANCE)),
    ),
    "Normal": lambda D, t: (D.Normal(t(A), t(P)), D.Normal(t(P), t(A))),
    "OneHotCategorical": lambda D, t: (D.OneHotCategorical(t(ROWS)), D.OneHotCategorical(t([0.2, 0.3, 0.5]))),
    "Pareto": lambda D, t: (D.Pareto(t(A), t([2.5, 0.7, 3.0])), D.Pareto(t([0.2, 1.0, 3.0]), t(A))),
    "Poisson": lambda D, t: (D.Poisson(t(A)), D.Poisson(t(P))),
    "TransformedDistribution": lambda D, t: (D.LogNormal(t(A), t(P)), D.LogNormal(t(P), t(A))),
    "Uniform": lambda D, t: (
        D.Uniform(t([-1.0, 0.2, 0.0]), t([0.5, 0.9, 1.0])), D.Uniform(t([-2.0, 0.3, 0.0]), t([0.5, 2.0, 1.0])),
    ),
}  # fmt: skip
PAIRS = [(p.__name__, q.__name__) for p, q in theirs._KL_REGISTRY]


def test_the_table_is_the_same() -> None:
    assert {(p.__name__, q.__name__) for p, q in ours._KL_REGISTRY} == set(PAIRS)


@pytest.mark.parametrize(
    ("p", "q"),  # the formulas of one family, and a few of two: the others are slow to compile
    [pytest.param(p, q, marks=[pytest.mark.slow] if p != q and i % 4 else []) for i, (p, q) in enumerate(PAIRS)],
)
def test_divergence(p: str, q: str) -> None:
    def divergence(L: Any) -> Any:
        leaves: list[Any] = []

        def leaf(values: Any) -> Any:
            leaves.append(L.tensor(values, dtype=L.float64, requires_grad=True))
            return leaves[-1]

        first, second = TWO[p](L.distributions, leaf)[0], TWO[q](L.distributions, leaf)[1]
        value = L.distributions.kl_divergence(first, second)
        return value, L.autograd.grad(value.sum(), leaves, allow_unused=True) if value.requires_grad else ()

    if {p, q} == {"ContinuousBernoulli", "Uniform"}:
        return  # see below
    (value, gradients), (wanted, slopes) = divergence(fb), divergence(torch)
    np.testing.assert_allclose(array(value), array(wanted), rtol=1e-8, atol=1e-9)
    assert [g is None for g in gradients] == [g is None for g in slopes]
    for gradient, slope in zip(gradients, slopes, strict=True):
        if slope is not None:
            np.testing.assert_allclose(array(gradient), array(slope), rtol=1e-8, atol=1e-9)


def test_continuous_bernoulli_and_uniform() -> None:
    """Finite where one support covers the other, its ends included (PyTorch has it the other way round, or leaves them out)."""
    D = fb.distributions
    law = D.ContinuousBernoulli(fb.tensor(0.3))
    found = [D.kl_divergence(law, D.Uniform(*ends)).item() for ends in ((0.0, 1.0), (0.2, 1.0))]
    assert abs(found[0] + law.entropy().item()) < 1e-6
    assert found[1] == float("inf")
    found = [D.kl_divergence(D.Uniform(*ends), law).item() for ends in ((0.0, 1.0), (-0.2, 1.0))]
    x = fb.linspace(0, 1, 100001, dtype=fb.float64)
    assert abs(found[0] + D.ContinuousBernoulli(fb.tensor(0.3, dtype=fb.float64)).log_prob(x).mean().item()) < 1e-4
    assert found[1] == float("inf")


def test_subclasses() -> None:
    D = fb.distributions

    class Mine(D.Normal):
        pass

    table = dict(ours._KL_REGISTRY)
    try:
        D.register_kl(Mine, D.Normal)(lambda p, q: fb.tensor(42.0))
        assert D.kl_divergence(Mine(0.0, 1.0), Mine(0.0, 1.0)).item() == 42
        assert D.kl_divergence(D.Normal(0.0, 1.0), Mine(0.0, 1.0)).item() == 0
        D.register_kl(D.Normal, Mine)(lambda p, q: fb.tensor(43.0))
        with pytest.warns(
            RuntimeWarning, match=r"Ambiguous kl_divergence\(Mine, Mine\). Please register_kl\(Mine, Mine\)"
        ):
            assert D.kl_divergence(Mine(0.0, 1.0), Mine(0.0, 1.0)).item() == 42

        class Foreign:  # a family that is none of ours, as pyro has them
            pass

        D.register_kl(Foreign, D.Normal)(lambda p, q: fb.tensor(44.0))
        assert D.kl_divergence(Foreign(), D.Normal(0.0, 1.0)).item() == 44
        with pytest.raises(TypeError, match="issubclass"):
            D.register_kl("Normal", D.Normal)
    finally:
        ours._KL_REGISTRY.clear()
        ours._KL_REGISTRY.update(table)
        ours._KL_MEMOIZE.clear()
    with pytest.raises(
        NotImplementedError, match=r"No KL\(p \|\| q\) is implemented for p type Gamma and q type Cauchy"
    ):
        D.kl_divergence(D.Gamma(1.0, 1.0), D.Cauchy(0.0, 1.0))
