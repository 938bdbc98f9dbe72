"""Tensors that require a gradient where a number is asked for: refused, or told of, since the gradient would be lost."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch

import flambeau as fb
from support.programs import agree

CALLS = {
    "add": lambda t, p: t.add(t.ones(2), t.ones(2), alpha=p),
    "addcmul": lambda t, p: t.addcmul(t.ones(2), t.ones(2), t.ones(2), value=p),
    "full": lambda t, p: t.full((2,), p),
    "full_like": lambda t, p: t.full_like(t.ones(2), p),
    "arange": lambda t, p: t.arange(p),
    "normal_": lambda t, p: t.empty(2).normal_(p, 1.0),
    "uniform_": lambda t, p: t.empty(2).uniform_(0, p),
    "dropout": lambda t, p: t.nn.functional.dropout(t.ones(2), p=p / 4),
    "elu": lambda t, p: t.nn.functional.elu(t.ones(2), p),
    "leaky_relu": lambda t, p: t.nn.functional.leaky_relu(t.ones(2), p),
    "softplus": lambda t, p: t.nn.functional.softplus(t.ones(2), p),
    "hardtanh": lambda t, p: t.nn.functional.hardtanh(t.ones(2), -p, p),
    "threshold": lambda t, p: t.nn.functional.threshold(t.ones(2), p, 0.0),
    "layer_norm": lambda t, p: t.nn.functional.layer_norm(t.ones(2), (2,), eps=p),
    "huber_loss": lambda t, p: t.nn.functional.huber_loss(t.ones(2), t.ones(2), delta=p),
    "celu": lambda t, p: t.celu(t.ones(2), p),
}
TAKEN = {
    "clamp": lambda t, p: t.ones(2).clamp(p),
    "pow": lambda t, p: t.pow(2.0, p),
    "lerp": lambda t, p: t.lerp(t.ones(2), t.zeros(2), p),
    "masked_fill": lambda t, p: t.ones(2).masked_fill(t.tensor([True, False]), p),
    "fill_": lambda t, p: t.zeros(2).fill_(p),
    "linspace": lambda t, p: t.linspace(0, p, 3),
    "detached": lambda t, p: t.nn.functional.elu(t.ones(2), p.detach()),
}


@pytest.mark.parametrize("name", CALLS)
def test_is_no_number(name):
    """PyTorch's sentence with `must be ..., not Tensor` stands in ours."""
    error = agree(lambda t: CALLS[name](t, t.ones((), requires_grad=True) * 2), words=None)
    assert isinstance(error, TypeError)
    assert "not Tensor" in str(error)


@pytest.mark.parametrize("name", TAKEN)
def test_is_taken_where_there_is_a_form_for_tensors(name):
    agree(lambda t: TAKEN[name](t, t.ones((), requires_grad=True) * 2))


def test_normal_of_one_size_refuses():
    for t in (torch, fb):
        with pytest.raises(TypeError):
            t.normal(t.ones((), requires_grad=True), 1.0, (2,))


CONVERSIONS: dict[str, Any] = {
    "float": float,
    "complex": complex,
    "tensor": lambda p: (torch if isinstance(p, torch.Tensor) else fb).tensor([p, 1.0]),
    "int": int,
    "bool": bool,
    "item": lambda p: p.item(),
    "tolist": lambda p: p.tolist(),
    "float of data": lambda p: float(p.data),
}


@pytest.mark.parametrize("name", CONVERSIONS)
def test_warning_of_a_conversion(name):
    told = []
    for t in (torch, fb):
        t.set_warn_always(True)
        try:
            with warnings.catch_warnings(record=True) as found:
                warnings.simplefilter("always")
                CONVERSIONS[name](t.ones((), requires_grad=True) * 2)
        finally:
            t.set_warn_always(False)
        told.append([(w.category, str(w.message).partition(" (Trig")[0], w.filename) for w in found])
    assert told[0] == told[1]
