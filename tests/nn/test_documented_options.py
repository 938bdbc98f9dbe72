"""What the documentation of layers says of their arguments, at its edges, beside PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import flambeau as fb

PROGRAMS = """
nn.BatchNorm1d(4)(r(2, 0, 5))
nn.BatchNorm2d(4).eval()(r(2, 3, 0, 5))
nn.BatchNorm2d(4)(r(0, 4, 2, 5))
nn.InstanceNorm2d(4, track_running_stats=True).eval()(r(0, 4, 5))
nn.InstanceNorm1d(4, track_running_stats=True).eval()(r(2, 0, 5))
nn.BatchNorm1d(4)(r(2, 3, 5))
nn.LPPool1d(float("inf"), 3, 2, True)(r(2, 3, 8))
nn.LPPool2d(float("inf"), 2)(r(2, 3, 6, 6))
nn.LPPool2d(-float("inf"), 2)(r(2, 3, 6, 6))
nn.LPPool3d(float("inf"), (1, 2, 2))(r(2, 3, 4, 4, 4))
nn.PixelUnshuffle(2)(r(2, 4, 0, 6))
nn.PixelUnshuffle(2)(r(0, 4, 3, 3))
nn.CrossEntropyLoss(label_smoothing=-0.1)(r(3, 4), torch.tensor([1, 0, 3]))
nn.CrossEntropyLoss(label_smoothing=float("nan"))(r(3, 4), torch.tensor([1, 0, 3]))
nn.CrossEntropyLoss(label_smoothing=1.5)(r(3, 4), torch.tensor([1, 0, 3]))
nn.MultiMarginLoss(weight=r(4).double())(r(3, 4), torch.tensor([1, 0, 3]))
repr(nn.Dropout(float("nan")))
nn.Dropout(float("nan"))(r(3))
nn.Dropout(1.5)
nn.ReflectionPad2d(5)(r(2, 4, 5, 6))
nn.ReflectionPad2d((0, 0, 0, 5))(r(4, 5, 6))
nn.ReflectionPad3d((0, 0, 0, 0, 5, 0))(r(2, 4, 5, 6, 3))
nn.MaxPool1d(2, return_indices=True)(r(4))
nn.MaxPool1d(2)(r(4))
""".strip().splitlines()


def outcome(lib: Any, program: str) -> Any:
    def r(*shape: int) -> Any:
        return lib.arange(1.0, 1 + int(np.prod(shape))).reshape(shape).sin()

    try:
        made = eval(program, {"torch": lib, "nn": lib.nn, "r": r})
    except Exception as error:
        return type(error).__name__, str(error).splitlines()[0]
    return made if isinstance(made, str) else (tuple(made.shape), np.round(made.detach().numpy(), 5).tolist())


@pytest.mark.parametrize("program", PROGRAMS)
def test_statements_hold(program: str) -> None:
    ours, theirs = outcome(fb, program), outcome(torch, program)
    if isinstance(theirs, tuple) and isinstance(theirs[0], str):
        assert ours[0] == theirs[0] and theirs[1] in ours[1]
    elif isinstance(theirs, str):
        assert ours == theirs
    else:
        assert ours[0] == theirs[0]
        np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-4, atol=2e-5)


def test_slopes_of_the_largest_absolute_values_are_torchs() -> None:
    slopes = []
    for lib in (fb, torch):
        x = lib.arange(1.0, 33.0).reshape(1, 2, 4, 4).sin().requires_grad_()
        lib.nn.functional.lp_pool2d(x, float("inf"), 2).square().sum().backward()
        slopes.append(x.grad.numpy())
    np.testing.assert_allclose(*slopes, rtol=1e-5)


def test_an_empty_batch_gives_parameters_slopes_of_zero() -> None:
    for lib in (fb, torch):
        layer = lib.nn.BatchNorm1d(4)
        layer(lib.ones(0, 4, 5)).sum().backward()
        assert layer.weight.grad.tolist() == [0.0] * 4
