"""The same user code in both libraries: what it returns, raises, warns of and prints must agree."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

import flambeau as fb
import flambeau.nn

from . import outcomes
from .values import array


class Programs(dict[str, Callable[[Any], Any]]):
    """Functions of a library by their names; as a decorator it takes one up."""

    def __call__(self, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        self[function.__name__] = function
        return function


def described(value: Any) -> Any:
    """A value as plain data that does not depend on the library."""
    if isinstance(value, (torch.Tensor, fb.Tensor)):
        values = np.round(array(value).astype(np.complex128), 4).tolist()
        return type(value).__name__, str(value.dtype), list(value.shape), value.requires_grad, values
    if isinstance(value, (torch.nn.Module, fb.nn.Module)):
        return repr(value)
    if isinstance(value, type):
        return value.__name__
    if isinstance(value, Mapping):
        return type(value).__name__, [(k, described(v)) for k, v in value.items()]
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [described(v) for v in value]
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    return value if isinstance(value, (int, float, str, type(None))) else repr(value).replace("flambeau", "torch")


def outcome(library: Any, code: Callable[[Any], Any]) -> outcomes.Outcome:
    """What the code gives, described."""
    library.manual_seed(0)
    return outcomes.outcome(lambda: described(code(library)))


def agree(code: Callable[[Any], Any], words: int | None = 6) -> Any:
    """Compare what `code(library)` gives; of an error's text, the first `words` words. Returns flambeau's result.

    With `words=None`, torch's whole text has to be in ours, unbroken.
    """
    theirs, ours = outcome(torch, code), outcome(fb, code)
    if words is None and theirs.error is not None and ours.error is not None:
        assert str(theirs.error) in str(ours.error).replace("flambeau", "torch")
        words = 0
    if not outcomes.agree_on_error(ours, theirs, first=words or 0):
        assert ours.value == theirs.value
    assert [w.__name__ for w in ours.warnings] == [w.__name__ for w in theirs.warnings]
    return ours.value if ours.error is None else ours.error
