"""`x.real = ...` and `x.imag = ...` write into the tensor, as `copy_` into the part would."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import flambeau as fb
from support.values import same


def written(t: Any) -> list[Any]:
    x = t.zeros(2, 3, dtype=t.complex64)
    version = x._version
    x.imag = t.arange(3.0)
    x.real = 2
    x.T[1:].imag = t.ones(2, 2, dtype=t.int64)
    x[0].real -= 1.5
    plain = t.zeros(3)
    plain.real = t.ones(1)
    conjugate = t.zeros(2, dtype=t.complex128).conj()
    conjugate.imag = 1.0
    return [x, plain, conjugate, x._version - version]


def test_parts_are_written() -> None:
    same(written(fb), written(torch))


def test_gradients_of_both() -> None:
    def gradients(t: Any) -> list[Any]:
        a = t.tensor([1 + 2j, 3 - 1j], dtype=t.complex128, requires_grad=True)
        w = t.tensor([0.5, -2.0], dtype=t.float64, requires_grad=True)
        b = a * (2 + 1j)
        b.imag = w * 3
        b.abs().sum().backward()
        return [a.grad, w.grad]

    same(gradients(fb), gradients(torch))


def test_compiled_as_plain() -> None:
    def step(x: Any, v: Any) -> Any:
        y = x.clone()
        y.imag = v * 2
        return y + 1

    compiled = fb.compile(step)
    for scale in (1.0, 3.0):
        x, v = fb.zeros(3, dtype=fb.complex64), fb.arange(3.0) * scale
        assert compiled(x, v).tolist() == step(x, v).tolist()


@pytest.mark.parametrize(
    "call",
    ["z.imag = t.ones(4)", "r.imag = 1.0", "z.real = 'x'", "z.imag = None", "leaf.real = 1.0", "z.imag = t.ones(1, 3)"],
)
def test_what_is_refused(call: str) -> None:
    def raised(t: Any) -> tuple[type, str]:
        names = {"t": t, "z": t.zeros(3, dtype=t.complex64), "r": t.zeros(3), "leaf": t.zeros(3, requires_grad=True)}
        with pytest.raises((RuntimeError, TypeError)) as error:
            exec(call, names)
        return type(error.value), str(error.value)[:50]

    ours, theirs = raised(fb), raised(torch)
    assert ours[0] is theirs[0]
    assert ours[1].split("(")[0][:35] == theirs[1].split("(")[0][:35]
