"""Numbers among tensors of half precision: products and quotients take them in float32, as PyTorch does, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import flambeau as fb

NUMBERS = [0.1, -1.7, 3.3, 1e-3, 1e-9, 70000.0, 2**40, 65520, 3]
OPERATORS = {
    "mul": lambda t, x, s: x * s,
    "rmul": lambda t, x, s: s * x,
    "div": lambda t, x, s: x / s,
    "floor": lambda t, x, s: t.floor_divide(x, s),
    "in place": lambda t, x, s: x.clone().mul_(s).div_(s),
    "lerp": lambda t, x, s: t.lerp(x, x * 2, s),
    "leaky": lambda t, x, s: t.nn.functional.leaky_relu(x, abs(s)),
}


def _values(library: Any, kind: str, count: int = 40) -> Any:
    values = np.random.default_rng(0).standard_normal(count).astype(np.float32)
    values[:3] = 0, 2.0**-20, np.inf
    return library.tensor(values.tolist(), dtype=getattr(library, kind))


def _bits(tensor: Any) -> list[float]:
    return np.nan_to_num(np.asarray(tensor.detach().double().tolist()), nan=-7.0).tolist()


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", OPERATORS)
def test_numbers(name: str, kind: str) -> None:
    for number in NUMBERS:
        theirs, ours = (OPERATORS[name](t, _values(t, kind), number) for t in (torch, fb))
        assert str(ours.dtype) == str(theirs.dtype)
        assert _bits(ours) == _bits(theirs), number


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
@pytest.mark.parametrize("own", ["float32", "float64", "half"])
@pytest.mark.parametrize("count", [1, 40])
def test_tensors_without_dimensions(kind: str, own: str, count: int) -> None:
    """The second operand is taken as it is, the first is rounded."""
    for name in ("mul", "rmul", "div"):
        found = []
        for t in (torch, fb):
            number = t.tensor(0.1, dtype=getattr(t, kind if own == "half" else own))
            found.append(OPERATORS[name](t, _values(t, kind, 40)[-count:], number))
        assert found[1].dtype == getattr(fb, kind)
        assert _bits(found[1]) == _bits(found[0]), name


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_gradients_and_compiled_calls(kind: str) -> None:
    def gradient(t: Any, wrap: Any) -> Any:
        x = _values(t, kind).requires_grad_()
        y = wrap(lambda x: (x[3:] * 0.1) / 0.3 - 70000 * (x[3:] * 1e-3))(x)
        y.float().sum().backward()
        return _bits(y), _bits(x.grad)

    theirs = gradient(torch, lambda f: f)
    assert gradient(fb, lambda f: f) == theirs
    assert gradient(fb, fb.compile) == theirs


def test_wider_tensors_still_promote() -> None:
    x = _values(fb, "float16")
    assert (x * fb.ones(1)).dtype is fb.float32
    assert (x * (1 + 1j)).dtype.is_complex
    assert (x[0] * fb.tensor(0.1)).dtype is fb.float32
    assert (fb.tensor([1, 2]) * 0.5).dtype is fb.float32
