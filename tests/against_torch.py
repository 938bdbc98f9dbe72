"""One expression, evaluated with torch and with flambeau: the results, the gradients or the errors must agree."""

from __future__ import annotations

import warnings
from typing import Any

import torch

import flambeau as fb
from oracle import same, to_flambeau


def outcome(library: Any, expression: str, values: dict[str, Any]) -> Any:
    """The result, or the exception."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return eval(expression, {"torch": library, "inf": float("inf"), "nan": float("nan"), **values})
        except Exception as error:
            return error


def check(expression: str, values: dict[str, Any], *, words: int = 4, rtol: float | None = None) -> Any:
    """Evaluate `expression` with `torch` and the names in `values` in both libraries and compare.

    Where torch raises, flambeau must raise the same type, and the same first `words` words of text unless it is a
    TypeError (torch's argument parser has its own). Returns flambeau's result.
    """
    fresh = {k: v.clone() if isinstance(v, torch.Tensor) else v for k, v in values.items()}
    theirs = outcome(torch, expression, fresh)
    mine = outcome(fb, expression, to_flambeau(values))
    if isinstance(theirs, Exception):
        assert isinstance(mine, Exception), f"torch raises {theirs!r}; flambeau gives {mine}"
        assert isinstance(mine, type(theirs)), f"{mine!r} where torch raises {theirs!r}"
        if not isinstance(theirs, TypeError):
            assert str(mine).split()[:words] == str(theirs).split()[:words], f"{mine!r} where torch says {theirs!r}"
        return None
    if isinstance(mine, Exception):
        raise AssertionError(f"{expression}: {mine!r}, torch gives {theirs}") from mine
    same(mine, theirs, rtol=rtol)
    return mine


def check_gradient(expression: str, values: dict[str, Any], *, rtol: float = 1e-9) -> None:
    """Compare the gradients of `expression` (weighted, so that elements tell) by all tensors in `values` in float64."""
    theirs = {k: v.double().clone().requires_grad_() if isinstance(v, torch.Tensor) else v for k, v in values.items()}
    mine = {k: to_flambeau(v) for k, v in theirs.items()}
    result, expected = outcome(fb, expression, mine), outcome(torch, expression, theirs)
    if isinstance(result, Exception):
        raise AssertionError(expression) from result
    first = expected[0] if isinstance(expected, tuple) else expected
    weights = torch.arange(1, first.numel() + 1, dtype=torch.float64).reshape(first.shape)
    inputs = [k for k, v in values.items() if isinstance(v, torch.Tensor)]
    wanted = torch.autograd.grad(first, [theirs[k] for k in inputs], weights, allow_unused=True, materialize_grads=True)
    found = fb.autograd.grad(
        result[0] if isinstance(expected, tuple) else result,
        [mine[k] for k in inputs],
        to_flambeau(weights),
        allow_unused=True,
        materialize_grads=True,
    )
    for name, f, w in zip(inputs, found, wanted, strict=True):
        try:
            same(f, w, rtol=rtol)
        except AssertionError as error:
            raise AssertionError(f"gradient of {expression} by {name}: {error}") from None
