"""Reductions against torch: dims, keepdim, dtypes, ties, empties, errors, gradients."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import flambeau as fb
from support.expressions import check, check_gradient
from support.properties import examples
from support.values import same, to_flambeau

nan, inf = float("nan"), float("inf")
VALUES = {
    "m": torch.tensor([[1.0, 2, 2], [2, 1, 2]]),
    "x": torch.tensor(
        [[[0.5, -1, 2, 3.5], [1, 0, -2, 4], [7, 3, 3, -5]], [[2, 2, 1, 0], [-1, 6, 5, 2.5], [9, 0, 0, 1]]]
    ),
    "n": torch.tensor([1.0, nan, 3, 0]),
    "s": torch.tensor(3.0),
    "e": torch.zeros(0),
    "e2": torch.zeros(2, 0),
    "i": torch.tensor([[5, -2, 7], [7, 0, 3]]),
    "u": torch.tensor([255, 3], dtype=torch.uint8),
    "b": torch.tensor([[True, False], [True, True]]),
    "c": torch.tensor([1 + 2j, 3 - 1j, 0j]),
    "h": torch.full((3000,), 1.25, dtype=torch.float16),
}

MANY_DIMS = "sum nansum mean nanmean amax amin all any count_nonzero std var logsumexp norm".split()
DIMS = ["0", "-1", "(0, 2)", "[-1, 0]", "(0, 1, 2)", "3", "(1, 1)"]


@pytest.mark.parametrize("name", MANY_DIMS)
def test_dims(name: str) -> None:
    for dim in DIMS:
        check(f"torch.{name}(x, dim={dim})", VALUES, rtol=2e-5)
        if name != "count_nonzero":
            check(f"x.{name}(dim={dim}, keepdim=True)", VALUES, rtol=2e-5)
    check(f"torch.{name}(s, dim=0)", VALUES)
    check(f"torch.{name}(s, dim=1)", VALUES)
    check(f"torch.{name}(e2, dim=0)", VALUES)
    check(f"torch.{name}(e2, dim=1)", VALUES, words=2)
    for dtype in ("i", "b", "u", "c"):
        check(f"torch.{name}({dtype}, dim=0)", VALUES, words=2, rtol=2e-5)
    if name != "logsumexp":
        check(f"torch.{name}(x)", VALUES, rtol=2e-5)
        check(f"torch.{name}(e)", VALUES, words=2)
        check(f"torch.{name}(n)", VALUES)


ONE_DIM = "max min median nanmedian mode argmax argmin prod".split()


@pytest.mark.parametrize("name", ONE_DIM)
def test_one_dim(name: str) -> None:
    for variable in ("x", "m", "n", "i"):
        for dim in (0, -1):
            check(f"torch.{name}({variable}, {dim})", VALUES)
            check(f"{variable}.{name}(dim={dim}, keepdim=True)", VALUES)
    for variable in ("x", "m", "n", "i", "s", "e", "b", "u", "c"):
        check(f"torch.{name}({variable})", VALUES, words=2, rtol=2e-5)
    for call in ("(x, 3)", "(s, 0)", "(s, -1)", "(s, 1)", "(e2, 0)", "(e2, 1)", "(e, 0)"):
        check(f"torch.{name}{call}", VALUES)


EDGES = """
torch.sum(b).dtype
torch.sum(u)
torch.sum(u, dtype=torch.float64)
torch.sum(x, ())
torch.sum(x, axis=1)
torch.sum(x, dim=1, keepdims=True)
torch.sum(h)
torch.mean(h)
torch.sum(i, dtype=torch.bool)
torch.mean(i, dtype=torch.float32)
torch.mean(i)
torch.prod(b)
torch.prod(i, 0, dtype=torch.float32)
torch.max(m, m.flip(0))
torch.max(m, other=m.flip(0))
torch.max(m, dim=1).values
torch.max(m, 1)[1]
torch.min(m, torch.tensor(1.5))
torch.max(m, (0, 1))
torch.aminmax(m)
torch.aminmax(m, dim=1, keepdim=True)
torch.aminmax(e)
torch.amax(m, ())
torch.argmax(m, keepdim=True)
torch.argmax(n)
torch.any(m, ())
torch.all(torch.zeros(0))
torch.std(m, False)
torch.std(m, 0, False)
torch.std(m, 0, True)
torch.std(m, unbiased=False)
torch.var(m, (0, 1), correction=0)
torch.var(m, dim=1, correction=0.5)
torch.std(m, 0, unbiased=True, correction=1)
torch.var_mean(m, 0)
torch.std_mean(m)
torch.std_mean(x, (0, 2), keepdim=True)
torch.var(c)
torch.std(c)
torch.var(i)
torch.std(torch.tensor([1.]))
torch.std(e)
torch.var(h)
torch.median(torch.tensor([3., 1, 3, 1, 3, 1, 3, 1]), 0)
torch.nanmedian(torch.tensor([nan, nan]), 0)
torch.logsumexp(torch.full((2,), -inf), 0)
torch.logsumexp(torch.tensor([1000., 1000.]), 0)
torch.logsumexp(m)
torch.norm(m)
torch.norm(m, 'nuc')
torch.norm(m, 'nuc', (0, 1), True)
torch.norm(m, 'fro', 0)
torch.norm(m, inf, 1)
torch.norm(m, -inf, 1)
torch.norm(m, 0)
torch.norm(m, 1, (0, 1))
torch.norm(m, 3, 0, keepdim=True)
torch.norm(m, -1, 0)
torch.norm(m, 0.5)
torch.norm(m, p='abc')
torch.norm(m, dtype=torch.float64)
torch.norm(m, None)
torch.norm(i)
torch.norm(c)
torch.norm(c, 1)
torch.norm(e)
torch.norm(e, inf)
m.norm(2., dim=-1)
torch.quantile(m, 0.5)
torch.quantile(m, torch.tensor([0.2, .5]), dim=1)
torch.quantile(m, torch.tensor([0.2, .5]), dim=1, keepdim=True)
torch.quantile(x, 0.3, dim=0, interpolation='lower')
torch.quantile(x, 0.3, dim=1, interpolation='higher')
torch.quantile(x, 0.3, dim=2, interpolation='midpoint')
torch.quantile(x, 0.3, interpolation='nearest')
torch.quantile(m, torch.tensor([0.2], dtype=torch.double), dim=1)
torch.quantile(i, 0.5)
torch.quantile(m, 2.)
torch.quantile(m, torch.tensor([2.]))
torch.quantile(m, .5, interpolation='foo')
torch.quantile(e, .5)
torch.quantile(n, .5)
torch.quantile(s, .5)
torch.nanquantile(n, .25)
torch.nanquantile(torch.stack([n, n + 1]), torch.tensor([.25, .75]), dim=1)
torch.quantile(m, torch.tensor([[.5]]))
torch.count_nonzero(m, (0, 1))
torch.bincount(u.long())
torch.bincount(torch.tensor([1, 2]), minlength=5)
torch.bincount(torch.tensor([1, 2]), torch.tensor([1.5, -2]))
torch.bincount(torch.tensor([1, 2]), torch.tensor([1, 2]))
torch.bincount(m[0])
torch.bincount(torch.tensor([-1]))
torch.bincount(torch.zeros(0, dtype=torch.long))
torch.histc(x, 4)
torch.histc(x, 4, -1, 2)
torch.histc(x, bins=5, min=-2, max=2)
torch.histc(i)
torch.histc(e, 3)
torch.histc(x, 0)
torch.histc(x, 3, 2, 1)
torch.histc(torch.ones(3), 3)
torch.histc(n, 3)
torch.histc(n, 3, 0, 2)
torch.histc(n / 0, 3)
torch.histc(x, 3, 0, inf)
torch.histc(x, 3, nan, nan)
torch.histogram(n, 3)
torch.histogram(x, 3, range=(0., nan))
torch.histogram(x, 3, range=(2., 1.))
torch.histogram(e, 3)
torch.histogram(e, 3, range=(3., 3.))
torch.histogramdd(n, 3)
torch.histogramdd(n.reshape(2, 2), [2, 2])
torch.histogramdd(n.reshape(2, 2), [2, 2], range=[0., 1., 0., 1.])
torch.histogram(x, 4)
torch.histogram(x, 4, range=(-3., 2.))
torch.histogram(x[0, 0], torch.tensor([-2., 0, 2]))
torch.histogram(m, 4, weight=m + 1, density=True)
torch.histogramdd(m.T, bins=[2, 3])
torch.histogramdd(m.T, bins=2, range=[0., 1, 0, 3])
torch.histogramdd(m.T, bins=[torch.tensor([0., 1, 2]), torch.tensor([0., 1.5, 9])])
torch.histogramdd(x, bins=3, weight=torch.arange(6.).reshape(2, 3), density=True)
torch.histogramdd(m.T, bins=[2])
torch.special.logsumexp(m, 1)
""".strip().splitlines()


@pytest.mark.parametrize("expression", EDGES)
def test_edges(expression: str) -> None:
    check(expression, VALUES, words=3, rtol=2e-5)


GRADIENTS = """
m.sum()
m.sum(0)
m.mean((0, 1))
m.prod()
z.prod()
z.prod(0)
m.max()
m.min()
m.max(1)
m.min(0)
m.max(m.flip(0))
m.amax(1)
m.amin()
torch.aminmax(m)
m.median()
m.median(1)
m.nanmedian()
m.nanmedian(1)
m.mode(1)
m.std()
torch.ones_like(m).mul(m[0, 0]).std()
m.var(1)
m.std(0, correction=0)
torch.var_mean(m, 0)
m.logsumexp(0)
m.norm()
(z * 0).norm()
(z * 0).norm(1)
(z * 0).norm(3)
(z * 0).norm(0.5)
z.norm(inf)
z.norm(-inf)
z.norm(1.5)
m.norm(inf, 1)
(m * z[:, None][:2]).norm('nuc')
m.quantile(0.3)
m.quantile(torch.tensor([0.1, 0.6], dtype=torch.float64), 1)
m.nanquantile(0.3, 0)
m.nansum(0)
m.nanmean(0)
""".strip().splitlines()


@pytest.mark.parametrize("expression", GRADIENTS)
def test_gradients(expression: str) -> None:
    values = {"m": VALUES["m"], "z": torch.tensor([0.0, 2.0, 0.0, 3.0])}
    check_gradient(expression, {k: v for k, v in values.items() if k in expression}, rtol=1e-7)


def test_too_few_degrees_of_freedom_warn() -> None:
    with pytest.warns(UserWarning, match="degrees of freedom is <= 0"):
        assert fb.std(fb.tensor([1.0])).isnan()


def test_named_pairs() -> None:
    pair = fb.max(fb.tensor([[1.0, 3.0], [2.0, 0.0]]), dim=1)
    assert pair.values.tolist() == [3.0, 2.0] and pair.indices.tolist() == [1, 0]
    assert type(pair).__name__ == "max" and pair.indices.dtype is fb.int64
    values, indices = fb.empty(0), fb.empty(0, dtype=fb.int64)
    fb.max(fb.tensor([[1.0, 3.0]]), 1, out=(values, indices))
    assert values.tolist() == [3.0] and indices.tolist() == [1]


@examples(30)
@given(
    st.lists(st.sampled_from([-1.0, 0.0, 1.0, 2.0, nan]), min_size=4, max_size=4), st.sampled_from(["max", "median"])
)
def test_ties_and_nan(values: list[float], name: str) -> None:
    x = torch.tensor(values).reshape(2, 2)
    same(getattr(fb, name)(to_flambeau(x), 1), getattr(torch, name)(x, 1))
    same(getattr(fb, name)(to_flambeau(x)), getattr(torch, name)(x))


def test_histc_has_no_derivative() -> None:
    assert not fb.histc(fb.ones(3, requires_grad=True), 3).requires_grad
    assert not torch.histc(torch.ones(3, requires_grad=True), 3).requires_grad
