"""One or more objects of every family, made of leaf tensors in float64: `law(library, tensor)`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Make = Callable[[Any, Callable[[Any], Any]], Any]

A = [0.3, 1.2, 2.5]
P = [0.1, 0.5, 0.85]
ROWS = [[0.2, 0.5, 0.3], [0.6, 0.3, 0.1]]
LOGITS = [[0.4, -1.0, 0.7], [2.0, 0.0, -0.5]]
TRIL = [[1.2, 0.0, 0.0], [0.3, 0.8, 0.0], [-0.4, 0.2, 1.5]]
COVARIANCE = (np.array(TRIL) @ np.array(TRIL).T).tolist()
FACTOR = [[0.5, 0.1], [0.2, -0.3], [1.0, 0.4]]

FAMILIES: dict[str, Make] = {
    "Bernoulli": lambda D, t: D.Bernoulli(t(P)),
    "Bernoulli logits": lambda D, t: D.Bernoulli(logits=t([-1.0, 0.0, 3.0])),
    "Beta": lambda D, t: D.Beta(t(A), t([2.0, 0.7, 3.0])),
    "Binomial": lambda D, t: D.Binomial(7, t(P)),
    "Binomial logits": lambda D, t: D.Binomial(t([3.0, 5.0, 40.0]), logits=t([-1.0, 0.0, 3.0])),
    "Categorical": lambda D, t: D.Categorical(t(ROWS)),
    "Categorical logits": lambda D, t: D.Categorical(logits=t(LOGITS)),
    "Cauchy": lambda D, t: D.Cauchy(t(A), t(P)),
    "Chi2": lambda D, t: D.Chi2(t(A)),
    "ContinuousBernoulli": lambda D, t: D.ContinuousBernoulli(t(P)),
    "ContinuousBernoulli logits": lambda D, t: D.ContinuousBernoulli(logits=t([-1.0, 1e-4, 3.0])),
    "Dirichlet": lambda D, t: D.Dirichlet(t([[0.4, 2.0, 3.0], [1.0, 1.5, 0.3]])),
    "Exponential": lambda D, t: D.Exponential(t(A)),
    "FisherSnedecor": lambda D, t: D.FisherSnedecor(t([1.0, 3.0, 5.0]), t([2.0, 6.0, 9.0])),
    "Gamma": lambda D, t: D.Gamma(t(A), t([2.0, 0.7, 3.0])),
    "GeneralizedPareto": lambda D, t: D.GeneralizedPareto(t([0.0, 1.0, 2.0]), t(A), t([-0.4, 0.0, 0.3])),
    "Geometric": lambda D, t: D.Geometric(t(P)),
    "Geometric logits": lambda D, t: D.Geometric(logits=t([-1.0, 0.0, 3.0])),
    "Gumbel": lambda D, t: D.Gumbel(t(A), t([2.0, 0.7, 3.0])),
    "HalfCauchy": lambda D, t: D.HalfCauchy(t(A)),
    "HalfNormal": lambda D, t: D.HalfNormal(t(A)),
    "Independent": lambda D, t: D.Independent(D.Normal(t([A, A]), t([P, P])), 1),
    "InverseGamma": lambda D, t: D.InverseGamma(t(A), t([2.0, 0.7, 3.0])),
    "Kumaraswamy": lambda D, t: D.Kumaraswamy(t(A), t([2.0, 0.7, 3.0])),
    "LKJCholesky": lambda D, t: D.LKJCholesky(3, t([0.7, 2.0])),
    "Laplace": lambda D, t: D.Laplace(t(A), t(P)),
    "LogNormal": lambda D, t: D.LogNormal(t(A), t(P)),
    "LogisticNormal": lambda D, t: D.LogisticNormal(t(A), t(P)),
    "LowRankMultivariateNormal": lambda D, t: D.LowRankMultivariateNormal(t(A), t(FACTOR), t(P)),
    "LowRankMultivariateNormal batch": lambda D, t: D.LowRankMultivariateNormal(t([A, P]), t(FACTOR), t(P)),
    "MixtureSameFamily": lambda D, t: D.MixtureSameFamily(D.Categorical(t(ROWS)), D.Normal(t([A, P]), t([P, A]))),
    "MixtureSameFamily vectors": lambda D, t: D.MixtureSameFamily(
        D.Categorical(logits=t(A)), D.Independent(D.Normal(t([A, P, A]), t([P, A, P])), 1)
    ),
    "Multinomial": lambda D, t: D.Multinomial(5, t(ROWS)),
    "Multinomial logits": lambda D, t: D.Multinomial(5, logits=t(LOGITS)),
    "MultivariateNormal": lambda D, t: D.MultivariateNormal(t(A), t(COVARIANCE)),
    "MultivariateNormal precision": lambda D, t: D.MultivariateNormal(t(A), precision_matrix=t(COVARIANCE)),
    "MultivariateNormal tril": lambda D, t: D.MultivariateNormal(t([A, P]), scale_tril=t([TRIL, TRIL])),
    "NegativeBinomial": lambda D, t: D.NegativeBinomial(t([3.0, 1.5, 20.0]), t(P)),
    "NegativeBinomial logits": lambda D, t: D.NegativeBinomial(4, logits=t([-1.0, 0.0, 1.0])),
    "Normal": lambda D, t: D.Normal(t(A), t(P)),
    "Normal of two shapes": lambda D, t: D.Normal(t(A), t([[0.5], [2.0]])),
    "OneHotCategorical": lambda D, t: D.OneHotCategorical(t(ROWS)),
    "OneHotCategoricalStraightThrough": lambda D, t: D.OneHotCategoricalStraightThrough(logits=t(LOGITS)),
    "Pareto": lambda D, t: D.Pareto(t(A), t([2.5, 0.7, 3.0])),
    "Poisson": lambda D, t: D.Poisson(t([0.0, 1.5, 30.0])),
    "RelaxedBernoulli": lambda D, t: D.RelaxedBernoulli(t(0.7), t(P)),
    "RelaxedBernoulli logits": lambda D, t: D.RelaxedBernoulli(t(0.7), logits=t([-1.0, 0.0, 1.0])),
    "LogitRelaxedBernoulli": lambda D, t: D.relaxed_bernoulli.LogitRelaxedBernoulli(t(0.7), t(P)),
    "RelaxedOneHotCategorical": lambda D, t: D.RelaxedOneHotCategorical(t(0.7), t(ROWS)),
    "ExpRelaxedCategorical": lambda D, t: D.relaxed_categorical.ExpRelaxedCategorical(t(0.7), logits=t(LOGITS)),
    "StudentT": lambda D, t: D.StudentT(t([0.8, 1.5, 4.0]), t(A), t(P)),
    "TransformedDistribution": lambda D, t: D.TransformedDistribution(
        D.Normal(t(A), t(P)), [D.AffineTransform(0.5, 2.0), D.SigmoidTransform()]
    ),
    "TransformedDistribution of vectors": lambda D, t: D.TransformedDistribution(
        D.Normal(t([A, P]), t([P, A])), [D.StickBreakingTransform()]
    ),
    "Uniform": lambda D, t: D.Uniform(t(A), t([1.0, 3.0, 2.6])),
    "VonMises": lambda D, t: D.VonMises(t(A), t([0.5, 4.0, 30.0])),
    "Weibull": lambda D, t: D.Weibull(t(A), t([2.0, 0.7, 3.0])),
    "Wishart": lambda D, t: D.Wishart(t(5.5), t(COVARIANCE)),
    "Wishart tril": lambda D, t: D.Wishart(t([4.5, 6.0]), scale_tril=t(TRIL)),
    "Wishart precision": lambda D, t: D.Wishart(t(4.5), precision_matrix=t(COVARIANCE)),
}


def made(library: Any, name: str) -> tuple[Any, list[Any]]:
    """An object of the table, and the leaves that it was made of."""
    leaves: list[Any] = []

    def leaf(values: Any) -> Any:
        leaves.append(library.tensor(values, dtype=library.float64, requires_grad=True))
        return leaves[-1]

    return FAMILIES[name](library.distributions, leaf), leaves
