"""Every family against PyTorch: moments, draws, densities, gradients, errors and printed forms, in float64."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import flambeau as fb
import flambeau.distributions
from distributions.families import FAMILIES, made
from support.values import array

# the Bessel functions of PyTorch's von Mises law are polynomials of seven digits; its generator of uniforms is the same
LOOSE = {"VonMises": 2e-5, "Multinomial": 1e-6, "Multinomial logits": 1e-6}
# a family made in another way is slow to compile, and seldom shows more
LAW = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if " " in name else []) for name in FAMILIES]
)


def outcome(code: Callable[[], Any]) -> Any:
    """What a piece of code gives, or the type and text of its error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return code()
        except Exception as error:
            return type(error), str(error).replace("flambeau", "torch")


def agree(ours: Any, theirs: Any, tol: float) -> None:
    if isinstance(theirs, torch.Tensor):
        assert isinstance(ours, fb.Tensor), ours
        assert str(ours.dtype) == str(theirs.dtype) and tuple(ours.shape) == tuple(theirs.shape)
        assert ours.requires_grad == theirs.requires_grad
        np.testing.assert_allclose(array(ours), array(theirs), rtol=tol, atol=tol)
    elif isinstance(theirs, (list, tuple)):
        assert len(ours) == len(theirs), (ours, theirs)
        for mine, other in zip(ours, theirs, strict=True):
            agree(mine, other, tol)
    elif isinstance(theirs, str):
        assert ours.replace("flambeau", "torch") == theirs
    else:
        assert ours == theirs


def gradients(L: Any, value: Any, leaves: list[Any]) -> Any:
    # of a weighted sum, so that no part of the gradient cancels
    weights = L.arange(1, 1 + value.numel(), dtype=L.float64).reshape(value.shape)
    return L.autograd.grad((value * weights).sum(), leaves, allow_unused=True)


def both(name: str, code: Callable[[Any, Any, list[Any]], Any], tol: float | None = None) -> Any:
    theirs = outcome(lambda: code(torch, *made(torch, name)))
    agree(outcome(lambda: code(fb, *made(fb, name))), theirs, tol or LOOSE.get(name, 1e-9))
    return theirs


@LAW
def test_shapes_and_printed_form(name: str) -> None:
    def code(L: Any, law: Any, leaves: Any) -> Any:
        support = type(law).support
        return [
            repr(law),
            tuple(law.batch_shape),
            tuple(law.event_shape),
            law.has_rsample,
            law.has_enumerate_support,
            type(law.support).__name__,
            law.support.event_dim,
            law.support.is_discrete,
            outcome(lambda: support.event_dim),
            sorted(law.arg_constraints),
            [
                c.__name__ for c in type(law).__mro__ if "._" not in c.__module__
            ],  # what families share lies in private files
        ]

    both(name, code)


MOMENTS = ("mean", "mode", "variance", "stddev", "entropy", "perplexity")


@LAW
def test_moments_and_their_gradients(name: str) -> None:
    for moment in MOMENTS:
        if name == "Kumaraswamy" and moment == "mode":
            continue  # PyTorch's is always nan

        def code(L: Any, law: Any, leaves: Any, moment: str = moment) -> Any:
            value = getattr(law, moment)
            value = value() if moment in ("entropy", "perplexity") else value
            return value, gradients(L, value, leaves) if value.requires_grad else ()

        both(name, code)


@LAW
def test_draws(name: str) -> None:
    for shape in ((), (2,), (3, 2)):

        def code(L: Any, law: Any, leaves: Any, shape: Any = shape) -> Any:
            L.manual_seed(3)
            return law.sample(shape), L.rand(2)  # and the generator stands where it should

        both(name, code)


@LAW
def test_gradients_of_draws(name: str) -> None:
    if name.startswith("Wishart"):
        return  # PyTorch's fail: it writes to its mask of singular ones. See test_wishart_gradients

    def code(L: Any, law: Any, leaves: Any) -> Any:
        L.manual_seed(5)
        value = law.rsample((4,))
        return value.detach(), gradients(L, value, leaves)

    # PyTorch's derivatives of gamma and beta quantiles are approximations
    rough = any(k in name for k in ("Gamma", "Beta", "Dirichlet", "Chi2", "StudentT", "Fisher"))
    both(name, code, 5e-3 if rough else None)


@LAW
def test_densities_and_their_gradients(name: str) -> None:
    torch.manual_seed(7)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch takes each draw of a Wishart law for singular
        drawn = array(made(torch, name)[0].sample((5,)))
    quantiles = np.linspace(0.05, 0.95, 5)
    for method in ("log_prob", "cdf", "icdf"):
        if name == "GeneralizedPareto" and method != "icdf":
            continue  # PyTorch has these in float32 only; see test_generalized_pareto

        def code(L: Any, law: Any, leaves: Any, method: str = method) -> Any:
            at = drawn if method != "icdf" else quantiles.reshape(5, *(1,) * len(law.batch_shape + law.event_shape))
            value = L.tensor(at)
            value.requires_grad_(value.dtype.is_floating_point)
            result = getattr(law, method)(value)
            incomplete = method == "cdf" and any(k in name for k in ("Gamma", "Chi2"))  # PyTorch has no gradient
            wanted = [*leaves, value] if value.requires_grad else leaves
            return result.detach(), () if incomplete else gradients(L, result, wanted)

        both(name, code)


@pytest.mark.slow
@LAW
def test_expand_enumerate_copies_and_errors(name: str) -> None:
    def expanded(L: Any, law: Any, leaves: Any) -> Any:
        larger = law.expand((4, *law.batch_shape))
        L.manual_seed(0)
        drawn = larger.sample()
        density = () if name == "GeneralizedPareto" else larger.log_prob(drawn).detach()
        return drawn, density, repr(larger), tuple(larger.batch_shape), tuple(larger.event_shape)

    def copied(L: Any, law: Any, leaves: Any) -> Any:
        plain = FAMILIES[name](L.distributions, lambda v: L.tensor(v, dtype=L.float64))
        L.manual_seed(0)
        return [
            x
            for again in (pickle.loads(pickle.dumps(plain)), copy.deepcopy(plain))
            for x in (again.sample(), repr(again))
        ]

    both(name, expanded)
    if name != "Gumbel":  # in either library an inverse transform can't be pickled
        both(name, copied)
    for expand in (True, False):
        both(name, lambda L, law, leaves, expand=expand: law.enumerate_support(expand=expand))
    both(name, lambda L, law, leaves: law.log_prob(0.5))
    both(name, lambda L, law, leaves: law.log_prob(L.zeros(7, 9, dtype=L.float64)))
    both(
        name,
        lambda L, law, leaves: law.log_prob(L.full(tuple(law.batch_shape + law.event_shape), -3.7, dtype=L.float64)),
        1e-6,
    )


def test_wishart_gradients() -> None:
    """The draw is a function of the factor: compare with differences."""
    fb.manual_seed(0)
    tril = fb.tensor([[1.2, 0.0], [0.3, 0.8]], dtype=fb.float64)

    def draw(scale: Any) -> Any:
        fb.manual_seed(1)
        return fb.distributions.Wishart(fb.tensor(4.0, dtype=fb.float64), scale_tril=tril * scale).rsample().sum()

    scale = fb.tensor(1.0, dtype=fb.float64, requires_grad=True)
    draw(scale).backward()
    wanted = (draw(fb.tensor(1 + 1e-6, dtype=fb.float64)) - draw(fb.tensor(1 - 1e-6, dtype=fb.float64))) / 2e-6
    assert abs(scale.grad.item() - wanted.item()) < 1e-6


def test_generalized_pareto() -> None:
    both_laws = [
        L.distributions.GeneralizedPareto(L.tensor([0.0, 1.0, 2.0]), L.tensor(0.7), L.tensor([-0.4, 0.0, 0.3]))
        for L in (fb, torch)
    ]
    for method in ("log_prob", "log_survival_function", "log_cdf", "cdf"):
        ours, theirs = (
            getattr(law, method)(L.tensor([1.1, 1.4, 2.5])) for law, L in zip(both_laws, (fb, torch), strict=True)
        )
        np.testing.assert_allclose(array(ours), array(theirs), rtol=2e-6)
