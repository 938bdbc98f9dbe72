"""Numbers that a dtype has no room for: refused where PyTorch refuses them, infinite where it takes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import flambeau as fb
from support.outcomes import agree_on_error, agree_on_value, outcome

BEYOND = [  # dtype, number
    ("float32", 1e50), ("float16", 1e6), ("bfloat16", 1e50), ("int8", 300), ("uint8", -300), ("int32", 2**40),
    ("bool", 300), ("complex64", 1e50), ("float32", float("inf")), ("float64", 1e50), ("uint8", -1),
]  # fmt: skip
CALLS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "threshold": lambda t, x, v: t.nn.functional.threshold(x, v, 0.0),
    "threshold value": lambda t, x, v: t.nn.functional.threshold(x, 0.0, v),
    "hardtanh": lambda t, x, v: t.nn.functional.hardtanh(x, -1, abs(v)) if x.dtype is not t.uint8 else None,
    "hardshrink": lambda t, x, v: t.nn.functional.hardshrink(x, v),
    "softshrink": lambda t, x, v: t.nn.functional.softshrink(x, v),
    "leaky_relu": lambda t, x, v: t.nn.functional.leaky_relu(-x if x.dtype.is_floating_point else x, v),
    "elu": lambda t, x, v: t.nn.functional.elu(x, v),
    "celu": lambda t, x, v: t.nn.functional.celu(x, 1 / v),
    "softplus": lambda t, x, v: t.nn.functional.softplus(x, 1.0, v),
    "clamp": lambda t, x, v: t.clamp(x, min=v),
    "clamp_max": lambda t, x, v: t.clamp_max(x, v),
    "add": lambda t, x, v: t.add(x, x, alpha=v),
    "sub_": lambda t, x, v: x.clone().sub_(2, alpha=v),
    "addcmul": lambda t, x, v: t.addcmul(x, x, x, value=v),
    "addcdiv": lambda t, x, v: t.addcdiv(x, x, x, value=v),
    "lerp": lambda t, x, v: t.lerp(x, x + x, v),
    "addmm": lambda t, x, v: t.addmm(x.expand(3, 3), x.expand(3, 3), x.expand(3, 3), alpha=v),
    "addmv": lambda t, x, v: t.addmv(x, x.expand(3, 3), x, beta=v),
    "index_add": lambda t, x, v: t.index_add(x, 0, t.tensor([0, 1, 2]), x, alpha=v),
    "pad": lambda t, x, v: t.nn.functional.pad(x, (1, 1), value=v) if v != -1 else None,
    "pow": lambda t, x, v: t.pow(x, v) if not x.dtype.is_complex else None,
    "where": lambda t, x, v: t.where(x > 1, x, v),
    "setitem": lambda t, x, v: x.clone().__setitem__(0, v),
    "linspace": lambda t, x, v: t.linspace(0, v, 3, dtype=x.dtype) if v in (1e50, 1e6, 300) else None,
    "mul": lambda t, x, v: x * v,
    "eq": lambda t, x, v: x == v,
    "remainder": lambda t, x, v: x % v,
}


@pytest.mark.parametrize("name", CALLS)
def test_numbers_beyond_a_dtype(name: str) -> None:
    for dtype, value in BEYOND:
        ours, theirs = (
            outcome(lambda t=t: CALLS[name](t, t.tensor([1, 2, 3], dtype=getattr(t, dtype)), value))  # noqa: B023
            for t in (fb, torch)
        )
        if not agree_on_error(ours, theirs, first=8 if type(theirs.error) is RuntimeError else 0):
            agree_on_value(ours.value, theirs.value, rtol=1e-2)


@pytest.mark.parametrize("divide", ("floor_divide", "remainder", "fmod"))
def test_a_divisor_that_is_zero_in_the_dtype(divide: str) -> None:
    for dtype, value in (("uint8", 256), ("int8", -512), ("int32", 2**40), ("int32", 2**31), ("int64", 2**40)):
        ours, theirs = (
            outcome(lambda t=t: getattr(t, divide)(t.tensor([5, 7], dtype=getattr(t, dtype)), value))  # noqa: B023
            for t in (fb, torch)
        )
        if not agree_on_error(ours, theirs, first=1):
            agree_on_value(ours.value, theirs.value, exact=True)


FILLS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "fill_": lambda t, x, v: x.fill_(v),
    "full_like": lambda t, x, v: t.full_like(x, v),
    "masked_fill": lambda t, x, v: x.masked_fill(x == 0, v),
    "index_fill": lambda t, x, v: x.index_fill(0, t.tensor([0]), v),
    "scatter": lambda t, x, v: x.scatter(0, t.tensor([0]), v),
    "clamp": lambda t, x, v: x.clamp(v, v),
}
BESIDE = [  # a whole type's last numbers, and what lies beside them
    (-1.0, "uint8"), (-0.5, "uint8"), (-0.0, "uint8"), (255.0, "uint8"), (255.5, "uint8"),
    (127.5, "int8"), (-128.5, "int8"), (-128.0, "int8"), (np.float16(3), "int8"),
    (np.uint8(3), "uint8"), (np.uint8(200), "int8"), (np.int64(200), "int8"),
    (np.int8(-1), "uint8"), (np.float32(-1), "uint8"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "dtype"), BESIDE, ids=repr)
def test_numbers_beside_the_last_of_whole_types(value: Any, dtype: str) -> None:
    for call in FILLS.values():
        ours, theirs = (
            outcome(lambda t=t, call=call: call(t, t.zeros(2, dtype=getattr(t, dtype)), value)) for t in (fb, torch)
        )
        if not agree_on_error(ours, theirs, first=8):
            agree_on_value(ours.value, theirs.value, exact=True)
