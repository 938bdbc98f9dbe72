"""Assertions on values, which hold in compiled functions, too."""

from __future__ import annotations

from typing import Any

from ...core.dispatch.checks import demand
from ...core.dispatch.operator import _publish
from ...core.tensor.tensor import Tensor


def _demand_true(condition: Tensor, error: Exception) -> None:
    if condition.numel() != 1:
        many = "more than one value" if condition.numel() else "no values"
        raise RuntimeError(f"Boolean value of Tensor with {many} is ambiguous")
    kind, args = type(error), error.args
    demand(lambda x: (x == 0, 0), lambda _: kind(*args), condition)


def _assert(condition: Any, message: str) -> None:
    """`assert` as a function: AssertionError if `condition`, a bool or a tensor with one value, is false."""
    if isinstance(condition, Tensor):
        _demand_true(condition, AssertionError(message))
    else:
        assert condition, message


def _assert_async(input: Tensor, assert_msg: str | None = None) -> None:
    """RuntimeError if the one value of a tensor is zero."""
    text = "Expected Tensor with single nonzero value, but got zero" if assert_msg is None else assert_msg
    _demand_true(input, RuntimeError(text))


_publish("_assert", _assert, ("torch",))
_publish("_assert_async", _assert_async, ("torch",))
