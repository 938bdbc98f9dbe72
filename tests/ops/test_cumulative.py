"""Running sums, products and extremes, differences and integrals against torch."""

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
    "n": torch.tensor([1.0, nan, 3, 0]),
    "s": torch.tensor(3.0),
    "e": torch.zeros(2, 0),
    "i": torch.tensor([[5, -2, 7], [7, 0, 3]]),
    "u": torch.tensor([255, 3], dtype=torch.uint8),
    "b": torch.tensor([True, False, True]),
    "c": torch.tensor([1 + 2j, 3 - 1j, 0j]),
    "h": torch.ones(400, dtype=torch.bfloat16),
}


@pytest.mark.parametrize("name", "cumsum cumprod cummax cummin logcumsumexp".split())
def test_running(name: str) -> None:
    for variable in VALUES:
        check(f"torch.{name}({variable}, 0)", VALUES, words=1, rtol=2e-5 if variable != "h" else 2e-2)
        check(f"{variable}.{name}(dim=-1)", VALUES, words=1, rtol=2e-5 if variable != "h" else 2e-2)
    check(f"torch.{name}(m, 2)", VALUES)
    check(f"m.{name}()", VALUES)


EDGES = """
torch.cumsum(i, 0, dtype=torch.float32)
torch.cumprod(u, 0, dtype=torch.uint8)
m.cumsum_(1)
m.cumprod_(0)
i.cumsum_(0)
torch.logcumsumexp(torch.tensor([-inf, -inf, 0.]), 0)
torch.diff(m)
torch.diff(b)
torch.diff(u)
torch.diff(s)
torch.diff(m, n=2, dim=0)
torch.diff(m, n=5)
torch.diff(m, n=0)
torch.diff(m, n=-1)
torch.diff(m, prepend=torch.zeros(2, 1))
torch.diff(m, append=torch.zeros(2, 2), dim=1)
torch.diff(m, prepend=torch.zeros(2))
torch.diff(m, prepend=torch.zeros(3, 1))
torch.trapezoid(m)
torch.trapezoid(i[0])
torch.trapezoid(m, dx=2)
torch.trapezoid(m, dx=0.5, dim=0)
torch.trapz(m, dx=0.5)
torch.trapezoid(m, torch.tensor([1., 2, 4]))
torch.trapezoid(m, m)
torch.trapezoid(m, torch.tensor([1., 2]), dim=0)
torch.trapezoid(m, torch.tensor([1., 2]))
torch.trapezoid(torch.zeros(0))
torch.cumulative_trapezoid(m)
torch.cumulative_trapezoid(m, torch.tensor([1., 2, 4]))
torch.cumulative_trapezoid(m, dim=0)
torch.gradient(m)
torch.gradient(i)
torch.gradient(m, spacing=2.)
torch.gradient(m, spacing=[2., .5])
torch.gradient(m, spacing=(torch.tensor([0., 1]), torch.tensor([0., 1, 3])))
torch.gradient(m, dim=1, edge_order=2)
torch.gradient(m, dim=0, edge_order=2)
torch.gradient(m, edge_order=3)
torch.gradient(m, dim=(0, 0))
torch.gradient(m, spacing=[1., 2., 3.])
torch.gradient(s)
""".strip().splitlines()


@pytest.mark.parametrize("expression", EDGES)
def test_edges(expression: str) -> None:
    check(expression, VALUES, words=3)


GRADIENTS = """
m.cumsum(1)
m.cumprod(1)
z.cumprod(0)
m.cummax(1)
m.cummin(1)
m.logcumsumexp(1)
m.diff(dim=1)
m.diff(n=2)
torch.trapezoid(m, dim=0)
torch.trapezoid(m, z[:3])
torch.cumulative_trapezoid(m, z[:3])
""".strip().splitlines()


@pytest.mark.parametrize("expression", GRADIENTS)
def test_gradients(expression: str) -> None:
    values = {"m": VALUES["m"], "z": torch.tensor([0.0, 2.0, 0.0, 3.0])}
    check_gradient(expression, {k: v for k, v in values.items() if f"{k}." in expression or f"{k}," in expression
                                or f"{k})" in expression or f"{k}[" in expression})  # fmt: skip


@examples(30)
@given(
    st.lists(st.sampled_from([-1.0, 0.0, 1.0, 2.0, nan, inf]), min_size=6, max_size=6), st.sampled_from(["max", "min"])
)
def test_running_extremes_with_ties_and_nan(values: list[float], which: str) -> None:
    x = torch.tensor(values)
    same(getattr(fb, "cum" + which)(to_flambeau(x), 0), getattr(torch, "cum" + which)(x, 0))
