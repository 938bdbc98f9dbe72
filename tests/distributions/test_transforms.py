"""Transforms, constraints and the registries between them against PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import flambeau as fb
import flambeau.distributions
from distributions.test_families import agree, gradients, outcome

TRANSFORMS = {
    "Exp": lambda D, t: D.ExpTransform(),
    "Exp inverse": lambda D, t: D.ExpTransform().inv,
    "Power": lambda D, t: D.PowerTransform(t([2.5, -1.0, 0.5])),
    "Sigmoid": lambda D, t: D.SigmoidTransform(),
    "Softplus": lambda D, t: D.SoftplusTransform(),
    "Tanh with a cache": lambda D, t: D.TanhTransform(cache_size=1),
    "Abs": lambda D, t: D.AbsTransform(),
    "Affine": lambda D, t: D.AffineTransform(1, -2.0),
    "Affine of events": lambda D, t: D.AffineTransform(t([1.0, 2.0, 3.0]), t([2.0, -1.0, 3.0]), event_dim=1),
    "Softmax": lambda D, t: D.SoftmaxTransform(),
    "StickBreaking": lambda D, t: D.StickBreakingTransform(),
    "CorrCholesky": lambda D, t: D.CorrCholeskyTransform(),
    "LowerCholesky": lambda D, t: D.LowerCholeskyTransform(),
    "PositiveDefinite": lambda D, t: D.PositiveDefiniteTransform(),
    "Reshape": lambda D, t: D.ReshapeTransform((3,), (3, 1)),
    "Independent": lambda D, t: D.IndependentTransform(D.ExpTransform(), 1),
    "Compose": lambda D, t: D.ComposeTransform(
        [D.AffineTransform(1.0, 2.0), D.StickBreakingTransform(), D.ExpTransform()]
    ),
    "identity": lambda D, t: D.identity_transform,
    "Cat": lambda D, t: D.CatTransform([D.ExpTransform(), D.SigmoidTransform()], dim=-1, lengths=[1, 2]),
    "Stack": lambda D, t: D.StackTransform([D.ExpTransform(), D.SigmoidTransform(), D.identity_transform], dim=-1),
    "CumulativeDistribution": lambda D, t: D.CumulativeDistributionTransform(D.Normal(t(0.0), t(1.0))),
}
VALUES = [
    np.array([0.3, -1.2, 2.5]),
    np.array(0.7),
    np.linspace(-2, 2, 9).reshape(3, 3),
    np.linspace(0.1, 2, 6).reshape(2, 3),
]


@pytest.mark.parametrize(  # these are made of others, and slow to compile
    "name",
    [
        pytest.param(n, marks=[pytest.mark.slow] if n in ("Stack", "Compose", "CumulativeDistribution") else [])
        for n in TRANSFORMS
    ],
)
def test_transform(name: str) -> None:
    def facts(L: Any) -> Any:
        t = TRANSFORMS[name](L.distributions, lambda v: L.tensor(v, dtype=L.float64))
        found = [
            repr(t), repr(t.inv), repr(t.domain), repr(t.codomain), t.bijective, t == t, t == t.inv, t.inv.inv is t,
            outcome(lambda: t.sign), outcome(lambda: t.event_dim), t.with_cache(1)._cache_size, t.with_cache(0) is t,
        ]  # fmt: skip
        for values in VALUES:

            def call(values: Any = values) -> Any:
                x = L.tensor(values, requires_grad=True)
                y = t(x)
                return y.detach(), gradients(L, y, [x]), t.inv(y.detach()), t.codomain.check(y)

            def change(values: Any = values) -> Any:
                x = L.tensor(values)
                y = t(x)
                return t.log_abs_det_jacobian(x, y), t.inv.log_abs_det_jacobian(y, x), t.inv(y) is x

            found += [outcome(call), outcome(change)]
            for method in (t.forward_shape, t.inverse_shape):
                shape = outcome(lambda method=method, values=values: method(L.Size(values.shape)))
                found.append(tuple(shape) if isinstance(shape, L.Size) else shape)
        return found

    agree(facts(fb), facts(torch), 1e-9)


CONSTRAINTS = """real positive nonnegative unit_interval simplex lower_cholesky corr_cholesky positive_definite
    positive_semidefinite real_vector boolean dependent one_hot square symmetric lower_triangular nonnegative_integer
    positive_integer greater_than(1.) greater_than_eq(2) less_than(3.) interval(-1.,2.) half_open_interval(0.,2.)
    integer_interval(0,2) multinomial(3) independent(positive,1) cat([real,positive],dim=-1,lengths=[1,2])
    stack([real,positive,unit_interval],dim=-1) MixtureSameFamilyConstraint(positive)""".split()
MATRICES = [
    np.array([1.0, 0, 0]), np.array([0.2, 0.3, 0.5]), np.eye(3), np.array([[1.0, 0.5], [0.5, 1.0]]),
    np.array([[1.0, 0.5], [0.4, 1.0]]), np.array([[[1.0, 0.5], [0.5, 1.0]], [[1.0, 2.0], [2.0, 1.0]]]),
    np.array([[1.0, 0], [0.6, 0.8]]), np.ones((2, 2)), np.ones((2, 3)),
]  # fmt: skip


@pytest.mark.parametrize("text", CONSTRAINTS)
def test_constraint(text: str) -> None:
    def facts(L: Any) -> Any:
        D = L.distributions
        c = eval(text, dict(vars(D.constraints)))
        found = [repr(c), outcome(lambda: c.is_discrete), outcome(lambda: c.event_dim), D.constraints.is_dependent(c)]
        found += [outcome(lambda registry=registry: repr(registry(c))) for registry in (D.biject_to, D.transform_to)]
        for values in VALUES[:1] + VALUES[2:] + MATRICES:
            found.append(outcome(lambda values=values: c.check(L.tensor(values))))
        return found

    agree(facts(fb), facts(torch), 0)


def test_dirichlet_grad_is_the_derivative_at_a_quantile() -> None:
    from scipy.special import betainc
    from scipy.stats import beta

    x, a, b = np.meshgrid([1e-4, 0.1, 0.5, 0.9, 0.999], [0.2, 1.0, 7.5, 60.0], [0.3, 2.0, 40.0])
    found = np.asarray(fb._dirichlet_grad(*(fb.tensor(v) for v in (x, a, a + b)))._array)
    step = 1e-5 * a
    wanted = -(betainc(a + step, b, x) - betainc(a - step, b, x)) / (2 * step) / beta.pdf(x, a, b) / (1 - x)
    # where F is 1 in all of its digits, its differences say nothing
    told = (np.abs(wanted) > 0) & (betainc(a, b, x) < 0.999) & (betainc(a, b, x) > 1e-3)
    np.testing.assert_allclose(found[told], wanted[told], rtol=1e-5)
    assert np.isfinite(found).all()
    theirs = torch._dirichlet_grad(*(torch.tensor(v) for v in (x, a, a + b))).numpy()
    np.testing.assert_allclose(found[told], theirs[told], rtol=5e-3)


def test_compiled_functions_check_their_values() -> None:
    D = fb.distributions
    compiled = fb.compile(lambda scale, x: D.Normal(0.0, scale).log_prob(x))
    assert abs(compiled(fb.tensor(1.0), fb.tensor(0.0)).item() + 0.9189385) < 1e-6
    with pytest.raises(ValueError, match=r"Expected parameter scale .* to satisfy the constraint GreaterThan"):
        compiled(fb.tensor(-1.0), fb.tensor(0.0))
    with pytest.raises(ValueError, match=r"Expected value argument .* to be within the support"):
        compiled(fb.tensor(1.0), fb.tensor(float("nan")))
