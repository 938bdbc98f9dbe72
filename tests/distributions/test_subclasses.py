"""Laws of tensors of a subclass, and values of one: what is computed is of the subclass where PyTorch's is."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch

import flambeau as fb

LAWS = """
Categorical(w([.3, .7])) | 1
Bernoulli(w(.3)) | 1.
Normal(w(0.), w(1.)) | .3
Gamma(w(1.), w(1.)) | .3
Beta(w(1.), w(1.)) | .3
Dirichlet(w([1., 2.])) | [.3, .7]
Exponential(w(1.)) | .3
Poisson(w(1.)) | 3.
StudentT(w(3.)) | .3
LogNormal(w(0.), w(1.)) | .3
OneHotCategorical(w([.3, .7])) | [0., 1.]
Binomial(4, w(.3)) | 2.
Geometric(w(.3)) | 2.
HalfNormal(w(1.)) | .3
MultivariateNormal(w([0., 0.]), w([[1., 0.], [0., 1.]])) | [.3, .1]
Multinomial(3, w([.3, .7])) | [1., 2.]
NegativeBinomial(3., w(.3)) | 2.
VonMises(w(1.), w(1.)) | 1.3
ContinuousBernoulli(w(.3)) | .4
FisherSnedecor(w(1.), w(1.)) | .3
HalfCauchy(w(1.)) | .3
InverseGamma(w(1.), w(1.)) | .3
LKJCholesky(2, w(1.)) | [[1., 0.], [0., 1.]]
""".strip().splitlines()


def _kinds(lib: Any, law: str, value: str) -> list[str]:
    class Marked(lib.Tensor):
        pass

    def told(call: Any) -> str:
        try:
            return type(call()).__name__
        except NotImplementedError:
            return "NotImplementedError"

    def made(wrap: Any) -> Any:
        return eval(law, {**vars(lib.distributions), "w": lambda x: wrap(lib.tensor(x))})

    point = lib.tensor(eval(value))
    marked = made(lambda x: x.as_subclass(Marked))
    given = point.as_subclass(Marked)
    calls = [lambda n=n: getattr(marked, n) for n in ("mean", "variance", "mode", "stddev")]
    calls += [lambda n=n: getattr(marked, n)() for n in ("entropy", "sample", "rsample")]
    calls += [lambda n=n: getattr(marked, n)(point) for n in ("cdf", "icdf", "log_prob")]
    return [told(call) for call in [*calls, lambda: made(lambda x: x).log_prob(given)]]


@pytest.mark.parametrize("line", LAWS)
def test_subclasses_go_through_laws(line: str) -> None:
    law, value = line.split(" | ")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert _kinds(fb, law, value) == _kinds(torch, law, value)


def test_modes_see_the_functions_of_a_law() -> None:
    def seen(lib: Any) -> set[str]:
        names = set()

        class Watch(lib.overrides.TorchFunctionMode):
            def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
                names.add(function.__name__)
                return function(*args, **(kwargs or {}))

        with Watch():
            lib.distributions.Beta(lib.tensor(1.0), lib.tensor(2.0)).log_prob(lib.tensor(0.3))
        return names & {"lgamma", "xlogy", "stack"}

    assert seen(fb) == seen(torch) != set()
