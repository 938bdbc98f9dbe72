"""One expression, evaluated with flambeau and with real PyTorch."""

from __future__ import annotations

import collections
import math
from typing import Any

import numpy as np
import pytest
import torch

import flambeau as fb
import flambeau.nn.init

from .outcomes import Outcome, agree_on_error, agree_on_value, outcome
from .values import same, to_flambeau


def first_of_each(expressions: list[str]) -> list[Any]:
    """Cases of which all but the first of each function (`torch.name(...)`, `x.name(...)`) are marked slow."""
    seen: set[str] = set()
    made = []
    for expression in expressions:
        name = expression.partition("(")[0].rpartition(".")[2]
        made.append(pytest.param(expression, marks=[pytest.mark.slow] if name in seen else []))
        seen.add(name)
    return made


# ---------------------------------------------------------------- in a fixed scope


def evaluate(library: Any, expression: str, **names: Any) -> Outcome:
    """What the expression gives with `torch` and some small tensors in its scope."""
    library.manual_seed(3)
    scope = {"torch": library, "np": np, "math": math, "collections": collections, "init": library.nn.init, **names}
    scope["g"] = lambda seed=5: library.Generator().manual_seed(seed)
    scope["t"] = library.tensor([0.5, 0.25])
    scope["s0"], scope["l0"] = library.tensor(3.0), library.tensor(3)
    scope["i"] = library.tensor([1, 1], dtype=library.int32)
    scope["x"] = library.tensor([[0.5, 1.5, 2.5], [3.5, 4.5, 5.5]]).t()
    return outcome(lambda: eval(expression, scope))


def agree(expression: str, *, exact: bool = True, texts: bool = False, strides: bool = True) -> None:
    """Assert that both libraries give the same value, or exceptions of the same type, and the same warnings.

    With `texts` also that the first 20 characters of torch's text are in ours.
    """
    ours, theirs = evaluate(fb, expression), evaluate(torch, expression)
    if agree_on_error(ours, theirs):
        assert not texts or str(theirs.error)[:20] in str(ours.error), f"{ours.error}, torch says {theirs.error}"
        return
    agree_on_value(ours.value, theirs.value, exact=exact, strides=strides)
    for a, b in zip(*(v if isinstance(v, tuple) else (v,) for v in (ours.value, theirs.value)), strict=True):
        assert not isinstance(b, torch.Tensor) or a.requires_grad == b.requires_grad
    assert ours.warnings == theirs.warnings


# ---------------------------------------------------------------- with torch's tensors


def _with(library: Any, expression: str, values: dict[str, Any]) -> Outcome:
    scope = {"torch": library, "inf": float("inf"), "nan": float("nan"), **values}
    return outcome(lambda: eval(expression, scope))


def check(expression: str, values: dict[str, Any], *, words: int = 4, rtol: float | None = None) -> Any:
    """Evaluate `expression` with `torch` and the names in `values` in both libraries and compare.

    Where torch raises, flambeau must raise the same type, and the same first `words` words of text unless it is a
    TypeError (torch's argument parser has its own). Returns flambeau's result.
    """
    fresh = {k: v.clone() if isinstance(v, torch.Tensor) else v for k, v in values.items()}
    theirs, ours = _with(torch, expression, fresh), _with(fb, expression, to_flambeau(values))
    first = 0 if isinstance(theirs.error, TypeError) else words
    try:
        if agree_on_error(ours, theirs, first=first, exactly=False):
            return None
    except AssertionError as error:
        raise AssertionError(f"{expression}: {error}") from ours.error
    agree_on_value(ours.value, theirs.value, rtol=rtol)
    return ours.value


def check_gradient(expression: str, values: dict[str, Any], *, rtol: float = 1e-9) -> None:
    """Compare the gradients of `expression` (weighted, so that elements tell) by all tensors in `values` in float64."""
    theirs = {k: v.double().clone().requires_grad_() if isinstance(v, torch.Tensor) else v for k, v in values.items()}
    mine = {k: to_flambeau(v) for k, v in theirs.items()}
    found, expected = _with(fb, expression, mine), _with(torch, expression, theirs)
    assert not agree_on_error(found, expected), f"torch refuses {expression}: {expected.error}"
    several = isinstance(expected.value, tuple)
    first, ours = (expected.value[0], found.value[0]) if several else (expected.value, found.value)
    weights = torch.arange(1, first.numel() + 1, dtype=torch.float64).reshape(first.shape)
    inputs = [k for k, v in values.items() if isinstance(v, torch.Tensor)]
    options = {"allow_unused": True, "materialize_grads": True}
    wanted = torch.autograd.grad(first, [theirs[k] for k in inputs], weights, **options)
    given = fb.autograd.grad(ours, [mine[k] for k in inputs], to_flambeau(weights), **options)
    for name, f, w in zip(inputs, given, wanted, strict=True):
        try:
            same(f, w, rtol=rtol)
        except AssertionError as error:
            raise AssertionError(f"gradient of {expression} by {name}: {error}") from None
