"""Parameters of classes with in-place methods of their own: optimizers move them by these, as PyTorch's do."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import flambeau as fb
from support.values import same


def turned(lib: Any, kind: str, options: dict[str, Any]) -> list[Any]:
    """Three steps of a turn in the plane, which `add_` composes with another, and of a plain parameter beside it."""
    called: list[str] = []

    class Turn(lib.nn.Parameter):
        def add_(self, other: Any, alpha: float = 1) -> Any:
            called.append("add_")
            x, y = self.detach().clone()
            angle = (other * alpha)[0] * 3
            self.copy_(lib.stack([x * angle.cos() - y * angle.sin(), x * angle.sin() + y * angle.cos()]))
            return self

        def addcdiv_(self, one: Any, other: Any, *, value: float = 1) -> Any:
            called.append("addcdiv_")
            return super().add_(2 * value * (one / other))

        def addcmul_(self, one: Any, other: Any, *, value: float = 1) -> Any:
            called.append("addcmul_")
            return super().add_(2 * value * (one * other))

        def mul_(self, factor: float) -> Any:
            called.append("mul_")
            return super().mul_(factor * factor)

    turn = Turn(lib.tensor([0.6, 0.8], dtype=lib.float64))
    plain = lib.nn.Parameter(lib.tensor([1.0, -2.0], dtype=lib.float64))
    optimizer = getattr(lib.optim, kind)([turn, plain], **options)

    def loss() -> Any:
        optimizer.zero_grad()
        value = ((lib.stack([turn[0], turn[1]]) - plain) ** 2).sum()
        value.backward()
        return value

    for _ in range(3):
        if kind == "LBFGS":
            optimizer.step(loss)
        else:
            loss()
            optimizer.step()
    return [turn.detach().tolist(), plain.detach().tolist(), optimizer.param_groups[0].get("weight_decay"), called]


@pytest.mark.parametrize(
    "kind, options",
    [
        ("SGD", {"lr": 0.1}),
        ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1, "nesterov": True}),
        ("SGD", {"lr": 0.1, "foreach": True}),
        ("Adam", {"lr": 0.1, "weight_decay": 0.1}),
        ("AdamW", {"lr": 0.1, "weight_decay": 0.1}),
        ("NAdam", {"lr": 0.1}),
        ("RAdam", {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True}),
        ("Adagrad", {"lr": 0.1}),
        ("Adadelta", {"lr": 0.1}),
        ("Adamax", {"lr": 0.1}),
        ("RMSprop", {"lr": 0.1}),
        ("RMSprop", {"lr": 0.1, "momentum": 0.9}),
        ("Rprop", {"lr": 0.1}),
        ("Adafactor", {"lr": 0.1, "weight_decay": 0.1}),
        ("LBFGS", {"lr": 0.1, "max_iter": 2}),
    ],
    ids=str,
)
def test_a_parameter_is_moved_by_its_own_methods(kind: str, options: dict[str, Any]) -> None:
    ours, theirs = turned(fb, kind, options), turned(torch, kind, options)
    for a, b in zip(ours[:2], theirs[:2], strict=True):
        same(fb.tensor(a, dtype=fb.float64), torch.tensor(b, dtype=torch.float64), rtol=1e-9, atol=1e-12)
    assert ours[2] == theirs[2]
    assert ours[3] == (
        ["addcdiv_"] * 3 if kind == "NAdam" else theirs[3]
    )  # which PyTorch calls twice, for two parts of a step
