"""nan for an option that has a range: refused as in PyTorch; `polygamma` of high orders."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

import flambeau as fb
from support.outcomes import agree_on_error, agree_on_value, outcome

ROWS = {
    "pdist": lambda t: t.nn.functional.pdist(t.ones(3, 2), math.nan),
    "cdist": lambda t: t.cdist(t.ones(3, 2), t.ones(3, 2), math.nan),
    "softshrink": lambda t: t.nn.functional.softshrink(t.ones(2), math.nan),
    "renorm's maxnorm": lambda t: t.renorm(t.ones(2, 2), 2, 0, math.nan),
    "renorm's p": lambda t: t.renorm(t.ones(2, 2), math.nan, 0, 1.0),
    "huber_loss": lambda t: t.nn.functional.huber_loss(t.ones(2), t.ones(2), delta=math.nan),
    "smooth_l1_loss": lambda t: t.nn.functional.smooth_l1_loss(t.ones(2), t.ones(2), beta=math.nan),
    "normal_": lambda t: t.ones(2).normal_(0, math.nan),
    "arange": lambda t: t.arange(0, 1, math.nan),
    "rrelu": lambda t: t.nn.functional.rrelu(t.ones(2), math.nan, 1.0),
    "dropout": lambda t: t.nn.functional.dropout(t.ones(2), math.nan),
    "quantile": lambda t: t.quantile(t.ones(2), math.nan),
}


VALUES = {
    "hardtanh's lower bound": lambda t: _with_slope(t, lambda x: t.nn.functional.hardtanh(x, math.nan, 1)),
    "hardtanh's upper bound": lambda t: _with_slope(t, lambda x: t.nn.functional.hardtanh(x, -1, math.nan)),
    "hardtanh": lambda t: _with_slope(t, lambda x: t.nn.functional.hardtanh(x, -1, 1)),
    "hardtanh_": lambda t: t.nn.functional.hardtanh_(t.tensor([-2.0, 0.5, 2.0]), math.nan, 1),
    "hardtanh of a signed zero": lambda t: 1 / t.nn.functional.hardtanh(t.tensor([-0.0])),
    "complex pool": lambda t: t.nn.functional.adaptive_avg_pool1d(_complex(t, 1, 2, 4), 1),
    "complex pool of matrices": lambda t: t.nn.functional.adaptive_avg_pool2d(_complex(t, 2, 4, 4), (1, 1)),
    "complex pool of volumes": lambda t: t.nn.functional.adaptive_avg_pool3d(_complex(t, 1, 2, 2, 2), 1),
    "meshgrid of dtypes": lambda t: t.meshgrid(t.ones(2), t.ones(2).double(), indexing="ij"),
    "meshgrid of a list of dtypes": lambda t: t.meshgrid([t.ones(2), t.ones(2).int()], indexing="xy"),
    "meshgrid of devices": lambda t: t.meshgrid([t.ones(2), t.ones(2, device="meta")], indexing="xy"),
}


def _with_slope(t: Any, function: Any) -> Any:
    x = t.tensor([-2.0, 0.5, 2.0, math.nan], requires_grad=True)
    y = function(x)
    y.backward(t.ones(4))
    return t.stack([y.detach(), x.grad])


def _complex(t: Any, *shape: int) -> Any:
    return t.complex(t.arange(float(math.prod(shape))).view(shape), t.ones(shape))


@pytest.mark.parametrize("name", VALUES)
def test_bounds_pools_and_grids(name: str) -> None:
    ours, theirs = (outcome(lambda t=t: VALUES[name](t)) for t in (fb, torch))
    if not agree_on_error(ours, theirs, first=8):
        agree_on_value(ours.value, theirs.value)


@pytest.mark.parametrize("name", ROWS)
def test_nan(name: str) -> None:
    ours, theirs = (outcome(lambda t=t: ROWS[name](t)) for t in (fb, torch))
    if not agree_on_error(ours, theirs, first=4):
        agree_on_value(ours.value, theirs.value)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_polygamma_of_high_orders(dtype: str) -> None:
    def values(t: Any, n: int) -> Any:
        return t.polygamma(n, t.tensor([0.6, 1.0, 2.0, 10.0, 50.0, math.inf], dtype=getattr(t, dtype)))

    for n in (15, 21, 35, 171):
        agree_on_value(values(fb, n), values(torch, n), rtol=3e-5 if dtype == "float32" else 1e-10)
