"""One expression, evaluated with flambeau and with real PyTorch."""

from __future__ import annotations

import collections
import math
import warnings
from typing import Any

import numpy as np
import torch

import flambeau as fb
import flambeau.nn.init
from oracle import array, same


def evaluate(library: Any, expression: str, **names: Any) -> tuple[Any, list[type[Warning]]]:
    """The value (or the exception), and the kinds of warnings."""
    library.manual_seed(3)
    scope = {"torch": library, "np": np, "math": math, "collections": collections, "init": library.nn.init, **names}
    scope["g"] = lambda seed=5: library.Generator().manual_seed(seed)
    scope["t"] = library.tensor([0.5, 0.25])
    scope["s0"], scope["l0"] = library.tensor(3.0), library.tensor(3)
    scope["i"] = library.tensor([1, 1], dtype=library.int32)
    scope["x"] = library.tensor([[0.5, 1.5, 2.5], [3.5, 4.5, 5.5]]).t()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            value = eval(expression, scope)
        except Exception as error:
            value = error
    return value, [w.category for w in caught if not str(w.message).startswith("ComplexHalf")]


def agree(expression: str, *, exact: bool = True, texts: bool = False, strides: bool = True) -> None:
    """Assert that both libraries give the same value, or exceptions of the same type, and the same warnings."""
    ours, our_warnings = evaluate(fb, expression)
    theirs, their_warnings = evaluate(torch, expression)
    if isinstance(theirs, Exception):
        assert isinstance(ours, Exception), f"{ours!r}, torch raises {theirs!r}"
        assert type(ours) is type(theirs), f"{ours!r}, torch raises {theirs!r}"
        assert not texts or str(theirs)[:20] in str(ours), f"{ours}, torch says {theirs}"
        return
    if isinstance(ours, Exception):
        raise ours
    same(ours, theirs)
    for a, b in zip(*(v if isinstance(v, tuple) else (v,) for v in (ours, theirs)), strict=True):
        if isinstance(b, torch.Tensor):
            if exact:
                np.testing.assert_array_equal(array(a), array(b))
            assert a.requires_grad == b.requires_grad
            if strides and b.numel():
                assert tuple(a.stride()) == tuple(b.stride())
    assert our_warnings == their_warnings
