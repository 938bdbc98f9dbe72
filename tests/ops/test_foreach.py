"""Lists of tensors: `torch._foreach_*` in both libraries, for every form that PyTorch declares."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import flambeau as fb

NAMES = sorted(name for name in dir(torch) if name.startswith("_foreach_"))


def inputs(lib: Any, shift: float = 0.0) -> list[Any]:
    return [
        lib.tensor([0.3 + shift, 0.6, 0.9], dtype=lib.float64),
        lib.tensor([[0.5], [0.2 + shift]], dtype=lib.float64),
    ]


def calls(name: str) -> list[Any]:
    """Functions of a library that give arguments after the first list."""
    stem = name.removeprefix("_foreach_").rstrip("_")
    if stem in ("addcmul", "addcdiv"):
        return [
            lambda lib: (inputs(lib, 0.1), inputs(lib, 0.2)),
            lambda lib: (inputs(lib, 0.1), inputs(lib, 0.2), [2.0, 3.0]),
            lambda lib: (inputs(lib, 0.1), inputs(lib, 0.2), lib.tensor([2.0, 3.0], dtype=lib.float64)),
        ]
    if stem == "lerp":
        weights = [lambda lib: 0.25, lambda lib: 1, lambda lib: [0, 0.5], lambda lib: inputs(lib, 0.2)]
        return [lambda lib, weight=weight: (inputs(lib, 0.1), weight(lib)) for weight in weights]
    if stem in ("add", "sub", "mul", "div", "maximum", "minimum", "clamp_max", "clamp_min", "pow"):
        forms = [lambda lib: (0.5,), lambda lib: ([0.5, 2],), lambda lib: (inputs(lib, 0.1),)]
        return forms + ([lambda lib: (lib.tensor(0.5, dtype=lib.float64),)] if stem in ("add", "mul", "div") else [])
    if stem == "copy":
        return [lambda lib: (inputs(lib, 0.1),)]
    if stem == "mm":
        return []
    return [lambda lib: ()] + ([lambda lib: (1,), lambda lib: (3.0,)] if stem in ("norm", "powsum") else [])


@pytest.mark.parametrize("name", NAMES)
def test_as_torch(name: str) -> None:
    for arguments in calls(name):
        made: list[Any] = []
        for lib in (torch, fb):
            first = inputs(lib)
            given = getattr(lib, name)(first, *arguments(lib))
            if name.endswith("_"):
                assert given is first
            made.append((type(given), [t.tolist() for t in given]))
        assert made[0][0] is made[1][0]
        for a, b in zip(made[0][1], made[1][1], strict=True):
            assert torch.allclose(torch.tensor(a), torch.tensor(b), rtol=1e-12, atol=1e-12)


def test_products_and_powers_of_a_number() -> None:
    for lib in (torch, fb):
        (made,) = lib._foreach_mm([lib.ones(2, 3)], [lib.ones(3, 1)])
        assert made.tolist() == [[3.0], [3.0]]
        assert [t.tolist() for t in lib._foreach_pow(2.0, [lib.tensor([1.0, 2.0])])] == [[2.0, 4.0]]
        assert lib._foreach_add([lib.ones(2)], [lib.ones(2)], alpha=3)[0].tolist() == [4.0, 4.0]
        assert lib._foreach_addcmul([lib.ones(1)], [lib.ones(1)], [lib.ones(1)], value=5)[0].item() == 6


@pytest.mark.parametrize(
    "call",
    [
        lambda lib, t: lib._foreach_add(t, [1, 2, 3]),
        lambda lib, t: lib._foreach_add([], 1),
        lambda lib, t: lib._foreach_add(t, [lib.ones(2)]),
        lambda lib, t: lib._foreach_add(t, lib.ones(2)),
        lambda lib, t: lib._foreach_add(t, [lib.ones(2), lib.ones(4)]),
        lambda lib, t: lib._foreach_add_([lib.ones(2, dtype=lib.int64)], 1.5),
    ],
)
def test_errors(call: Any) -> None:
    texts = []
    for lib in (torch, fb):
        with pytest.raises(RuntimeError) as caught:
            call(lib, [lib.ones(2), lib.ones(3)])
        texts.append(str(caught.value))
    assert texts[0] in texts[1]


def test_gradients() -> None:
    for lib in (torch, fb):
        x = lib.ones(2, requires_grad=True)
        sum(t.sum() for t in lib._foreach_mul(lib._foreach_exp([x, x * 2]), 2)).backward()
        assert x.grad.sum().item() == pytest.approx(2 * (2 * 2.718281828 + 4 * 7.38905609), rel=1e-6)
