"""Arguments at the edge of what layers, functions and initialisers take: the same result, or the same exception."""

from __future__ import annotations

import pytest

from support.expressions import evaluate, fb, torch

F, X = "torch.nn.functional.", "torch.tensor([0.0, -0.0, 1.0, -1.0])"
REFUSED = [
    f"{F}gelu({X}, 'tanh')", "torch.nn.FractionalMaxPool3d(2, output_ratio=(0.5, 0.5))",
    *(f"torch.nn.init.trunc_normal_(torch.zeros(2, 3, dtype=torch.{kind}))" for kind in ("int64", "bool", "complex64")),
    *(f"{F}{name}({X}, 'a')" for name in ("leaky_relu", "elu", "celu", "softplus", "softshrink", "hardshrink")),
    *(f"{F}{name}(torch.ones(2, 3, dtype=torch.int64), {dim})" for name in ("softmax", "log_softmax") for dim in (0, -1)),
    f"{F}softmax(torch.ones((), dtype=torch.int64), 0)",
    *(
        f"{F}interpolate(torch.ones(1, 2, 4, 4), 2, mode='lanczos', antialias={antialias}, align_corners=True)"
        for antialias in (True, False)
    ),
    f"{F}embedding_bag(torch.tensor([[0, 1]]), torch.ones(3, 2), mode='mean', per_sample_weights=torch.ones(1, 2))",
]  # fmt: skip


@pytest.mark.parametrize("expression", REFUSED)
def test_refused(expression: str) -> None:
    ours, theirs = evaluate(fb, expression).error, evaluate(torch, expression).error
    assert theirs is not None and type(ours) is type(theirs), (ours, theirs)
    assert str(theirs).replace("functional.", "") in str(ours), (ours, theirs)  # a cure may stand behind


@pytest.mark.parametrize("alpha", [1.0, -1.0, 0.0])
def test_a_zero_keeps_its_sign_in_elu(alpha: float) -> None:
    made = [lib.nn.functional.elu(lib.tensor([0.0, -0.0, 1.0]), alpha) for lib in (fb, torch)]
    assert made[0].tolist() == made[1].tolist() and made[0].signbit().tolist() == made[1].signbit().tolist()


def test_ratios_of_fractional_pools() -> None:
    for lib in (fb, torch):  # only as many as there are dimensions are looked at
        lib.nn.FractionalMaxPool3d(2, output_ratio=(0.5, 0.5, 0.5, 7))
        with pytest.raises(ValueError, match="output_ratio must be between 0 and 1"):
            lib.nn.FractionalMaxPool2d(2, output_ratio=(0.5, 1.5))
