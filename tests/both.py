"""The same user code in both libraries: what it returns, raises, warns of and prints must agree."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

import flambeau as fb
import flambeau.nn
from oracle import array


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


def outcome(library: Any, code: Callable[[Any], Any]) -> tuple[Any, list[str]]:
    """What the code gives (or the exception) and the kinds of warnings."""
    library.manual_seed(0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = described(code(library))
        except Exception as error:
            result = error
    return result, [w.category.__name__ for w in caught]


def agree(code: Callable[[Any], Any], words: int = 6) -> Any:
    """Compare what `code(library)` gives; of an error's text, the first `words` words. Returns flambeau's result."""
    expected, expected_warnings = outcome(torch, code)
    found, found_warnings = outcome(fb, code)
    if isinstance(expected, Exception):
        assert type(found) is type(expected), f"{found!r}, torch raises {expected!r}"
        assert _words(found)[:words] == _words(expected)[:words], f"{found}, torch says {expected}"
    elif isinstance(found, Exception):
        raise found
    else:
        assert found == expected
    assert found_warnings == expected_warnings
    return found


def _words(error: Exception) -> list[str]:
    return re.findall(r"[\w.]+", str(error).replace("flambeau", "torch").lower())
