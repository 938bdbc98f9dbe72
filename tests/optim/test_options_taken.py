"""What optimizers and schedules make of options that are no usual ones, beside PyTorch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

import flambeau as fb


def outcome(lib: Any, program: Callable[[Any, Any], Any]) -> Any:
    """What a program gives, or the kind and the text of its error."""
    parameter = lib.nn.Parameter(lib.arange(6.0).reshape(3, 2).sin())
    parameter.grad = parameter.detach() * 2
    try:
        made = program(lib, parameter)
    except Exception as error:
        return type(error).__name__, str(error)
    return [round(x, 4) if math.isfinite(x) else str(x) for x in made.detach().flatten().tolist()] if hasattr(
        made, "detach"
    ) else made  # fmt: skip


def stepped(name: str, **options: Any) -> Callable[[Any, Any], Any]:
    def program(lib: Any, parameter: Any) -> Any:
        optimizer = getattr(lib.optim, name)([parameter], **options)
        for _ in range(2):
            optimizer.step()
        return parameter

    return program


def scheduled(name: str, attribute: str, *given: Any, **options: Any) -> Callable[[Any, Any], Any]:
    def program(lib: Any, parameter: Any) -> Any:
        optimizer = lib.optim.SGD([parameter], 0.1)
        return getattr(getattr(lib.optim.lr_scheduler, name)(optimizer, *given, **options), attribute)

    return program


CYCLE = {"base_lr": 0.01, "max_lr": 0.1, "cycle_momentum": False, "scale_mode": "other"}
PROGRAMS: dict[str, Callable[[Any, Any], Any]] = {
    "SGD takes nan as a rate": stepped("SGD", lr=math.nan),
    "SGD takes nan as momentum": stepped("SGD", momentum=math.nan),
    "SGD takes nan as decay": stepped("SGD", weight_decay=math.nan),
    "SGD takes nothing below zero": stepped("SGD", lr=-0.1),
    "Adam takes no nan": stepped("Adam", lr=math.nan),
    **{
        f"{name} is recorded for True alone, not {given!r}": stepped(name, differentiable=given)
        for name in ("SGD", "Adam", "Adamax", "ASGD", "Rprop")
        for given in (None, 0.0, 2)
    },
    **{
        f"{name} takes no betas {betas!r}": stepped(name, betas=betas)
        for name in ("Adam", "Adamax", "SparseAdam")
        for betas in ("a", [], (0.9,), (1.0, 0.9), (0.5, 1.0), (0.9, 0.9, 0.9))
    },
    "betas of one tensor": lambda lib, p: lib.optim.NAdam([p], betas=lib.tensor(0.1)),
    "a switch of two": lambda lib, p: stepped("SGD", foreach=lib.tensor([0.1, 0.2]))(lib, p),
    "Muon takes one number": stepped("Muon", eps=(0.9,)),
    "a chain of a number": lambda lib, p: lib.optim.lr_scheduler.ChainedScheduler([3]),
    "Muon counts bools": stepped("Muon", ns_steps=True),
    "a factor that is no function": scheduled("MultiplicativeLR", "lr_lambdas", 3),
    "factors that are no functions": scheduled("MultiplicativeLR", "lr_lambdas", [3]),
    "a rate that is no function": scheduled("LambdaLR", "last_epoch", 3),
    "an end that is no number": scheduled("CosineAnnealingWarmRestarts", "eta_min", 3, 1, "a"),
    "the mode of a triangle": scheduled("CyclicLR", "scale_mode", **CYCLE),
    "the mode of a falling range": scheduled("CyclicLR", "scale_mode", mode="exp_range", **CYCLE),
    "the mode of an own function": scheduled("CyclicLR", "scale_mode", scale_fn=lambda x: 1.0, **CYCLE),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_unusual_options_come_to_the_same(name: str) -> None:
    ours, theirs = outcome(fb, PROGRAMS[name]), outcome(torch, PROGRAMS[name])
    if isinstance(theirs, tuple) and isinstance(ours, tuple):  # the kind of the error, and how its text begins
        ours, theirs = ((kind, text[:24]) for kind, text in (ours, theirs))
        if "Muon takes one" in name or "betas of one" in name:  # their texts tell of clamp() and of C++
            ours, theirs = ours[0], theirs[0]
    assert ours == theirs


def test_an_empty_list_is_no_number() -> None:
    for name, option in (("SGD", "dampening"), ("ASGD", "lambd")):
        kind, text = outcome(fb, stepped(name, **{option: []}))
        assert kind == "TypeError" and option in text
