"""What a piece of code gives, raises and warns of in one library; whether that agrees in both."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from .values import array, same


@dataclass
class Outcome:
    """The value or the exception of one evaluation, and the categories of the warnings that it gave."""

    value: Any
    error: Exception | None
    warnings: list[type[Warning]]


def outcome(code: Callable[[], Any]) -> Outcome:
    """Evaluate `code`; torch's warning that complex half is experimental does not count."""
    value, error = None, None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            value = code()
        except Exception as raised:
            error = raised
    return Outcome(value, error, [w.category for w in caught if not str(w.message).startswith("ComplexHalf")])


def words(error: Exception) -> list[str]:
    """The words of an error's text, in which the library has torch's name."""
    return re.findall(r"[\w.]+", str(error).replace("flambeau", "torch").lower())


def agree_on_error(ours: Outcome, theirs: Outcome, *, first: int = 0, exactly: bool = True) -> bool:
    """Whether torch raises; if so, assert that flambeau raises the same type (or, not `exactly`, one derived from it).

    `first` words of torch's text must be the first of ours; a TypeError of torch's argument parser has its own words.
    """
    if theirs.error is None:
        if ours.error is not None:
            raise AssertionError(f"{ours.error!r}, torch gives {theirs.value}") from ours.error
        return False
    assert ours.error is not None, f"{ours.value!r}, torch raises {theirs.error!r}"
    as_theirs = type(ours.error) is type(theirs.error) if exactly else isinstance(ours.error, type(theirs.error))
    assert as_theirs, f"{ours.error!r}, torch raises {theirs.error!r}"
    assert words(ours.error)[:first] == words(theirs.error)[:first], f"{ours.error}, torch says {theirs.error}"
    return True


def agree_on_value(
    ours: Any, theirs: Any, *, exact: bool = False, strides: bool = False, rtol: float | None = None
) -> None:
    """Assert the same structure, dtypes, shapes and values, and if asked for, equal values and strides."""
    same(ours, theirs, rtol=rtol)
    for a, b in zip(*(v if isinstance(v, tuple) else (v,) for v in (ours, theirs)), strict=True):
        if isinstance(b, torch.Tensor) and exact:
            np.testing.assert_array_equal(array(a), array(b))
        if isinstance(b, torch.Tensor) and strides and b.numel():
            assert tuple(a.stride()) == tuple(b.stride())
