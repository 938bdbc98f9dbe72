"""Tensors in the place of ints: PyTorch takes those without dimensions for all, those of one element where a graph may hold the int."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from support.outcomes import agree_on_error
from support.programs import agree, outcome

TENSORS: dict[str, Callable[[Any], Any]] = {
    "none": lambda t: t.tensor(1),
    "one": lambda t: t.tensor([1]),
    "two": lambda t: t.tensor([1, 0]),
    "float": lambda t: t.tensor(1.0),
    "two floats": lambda t: t.tensor([1.0, 0.0]),
    "matrix": lambda t: t.tensor([[1]]),
    "empty": lambda t: t.tensor([], dtype=t.int64),
}
CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "flip": lambda t, v: t.ones(2, 2).flip(v),
    "torch.flip": lambda t, v: t.flip(t.ones(2, 2), v),
    "sum": lambda t, v: t.ones(2, 2).sum(v),
    "amax": lambda t, v: t.ones(2, 2).amax(v),
    "all": lambda t, v: t.ones(2, 2).all(v),
    "count_nonzero": lambda t, v: t.ones(2, 2).count_nonzero(v),
    "cumsum": lambda t, v: t.ones(2, 2).cumsum(v),
    "softmax": lambda t, v: t.softmax(t.ones(2, 2), v),
    "topk": lambda t, v: t.ones(2, 1).topk(v),
    "roll": lambda t, v: t.ones(2, 2).roll(v),
    "diag": lambda t, v: t.diag(t.ones(2), v),
    "expand": lambda t, v: t.ones(1).expand(v),
    "reshape": lambda t, v: t.ones(1).reshape(v),
    "repeat": lambda t, v: t.ones(1).repeat(v),
    "squeeze": lambda t, v: t.ones(2, 1).squeeze(v),
    "unsqueeze": lambda t, v: t.ones(2, 1).unsqueeze(v),
    "movedim": lambda t, v: t.ones(2, 2).movedim(v, 0),
    "select": lambda t, v: t.ones(2, 2).select(0, v),
    "chunk": lambda t, v: t.ones(3).chunk(v),
    "unfold": lambda t, v: t.ones(4).unfold(0, v, 1),
    "broadcast_to": lambda t, v: t.broadcast_to(t.ones(1), v),
    "as_strided": lambda t, v: t.ones(3).as_strided(v, (1,)),
    "max_pool2d": lambda t, v: t.max_pool2d(t.ones(1, 1, 4, 4), v),
    "zeros": lambda t, v: t.zeros(v),
    "eye": lambda t, v: t.eye(v),
    "linspace": lambda t, v: t.linspace(0, 1, v),
    "vander": lambda t, v: t.vander(t.arange(3.0), v),
    "fftfreq": lambda t, v: t.fft.fftfreq(v),
    "hann_window": lambda t, v: t.hann_window(v),
    "tril_indices": lambda t, v: t.tril_indices(v, 3),
    "randperm": lambda t, v: t.randperm(v),
    "randint": lambda t, v: t.randint(v, (2,)),
    "one_hot": lambda t, v: t.nn.functional.one_hot(t.tensor([0]), v),
    "histc": lambda t, v: t.histc(t.ones(2), v),
}


@pytest.mark.parametrize("name", CALLS)
def test_tensors_for_ints(name: str) -> None:
    import torch

    import flambeau as fb

    for kind, make in TENSORS.items():
        for _ in range(2):  # the second call finds a program, or a combination of kinds that was looked at
            ours, theirs = (outcome(t, lambda t, make=make: CALLS[name](t, make(t))) for t in (fb, torch))
            if not agree_on_error(ours, theirs, first=0):
                assert ours.value == theirs.value, kind


def test_the_refusal_names_the_argument() -> None:
    agree(lambda t: t.ones(2).cumsum(t.tensor([0])), words=None)
    agree(lambda t: t.cumsum(t.ones(2), t.tensor([0])), words=None)
    agree(lambda t: t.ones(1).expand(t.tensor(5.0)), words=None)
    agree(lambda t: t.fft.fftfreq(t.tensor([4])), words=None)
    agree(lambda t: t.ones(4).unfold(t.tensor([0]), 2, 1), words=None)


def test_a_method_whose_tensor_is_not_the_schemas_first_argument() -> None:
    agree(lambda t: (t.ones(3) * 2).polygamma(1))
    agree(lambda t: (t.ones(3) * 2).polygamma(t.tensor(1)))
    agree(lambda t: t.ones(3).where(t.tensor([True, False, True]), t.zeros(3)))
