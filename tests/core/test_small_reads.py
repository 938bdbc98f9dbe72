"""Single numbers are read from memory, keys of ints go by a short way, numbers beside tensors are held as arrays."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest
import torch

import flambeau as fb
from flambeau.core.array.programs import held
from flambeau.core.dispatch.signature import numbers_held

DTYPES = "float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8 bool complex64".split()


@pytest.mark.parametrize("name", DTYPES)
def test_items_of_views(name: str) -> None:
    values = np.random.default_rng(0).normal(size=(4, 5)) * 50
    ours, theirs = (lib.tensor(values.tolist()).to(getattr(lib, name)) for lib in (fb, torch))
    for at in ((0, 0), (3, 4), (-1, 2)):
        a, b = ours[at].item(), theirs[at].item()
        assert a == b and type(a) is type(b)
        assert ours.t()[at[::-1]].item() == b and bool(ours[at]) is bool(theirs[at])
    ours[1, 1] = 1
    assert ours[1, 1].item() == 1


def test_items_of_images() -> None:
    x = fb.nn.functional.conv2d(fb.randn(2, 8, 9, 9), fb.randn(16, 8, 3, 3))  # lies channels-last
    whole = x.numpy().copy()
    assert x[1, 7, 2, 3].item() == whole[1, 7, 2, 3]


def test_an_item_needs_no_program() -> None:
    x = fb.zeros(7, 11, 13)
    before = held()
    assert x[3, 4, 5].item() == 0 and float(x[6, 0, 0]) == 0 and held() == before


def _key(draw: random.Random, dims: int) -> Any:
    ends = [None, *range(-6, 7)]
    parts = [
        draw.randint(-5, 5)
        if draw.random() < 0.5
        else slice(draw.choice(ends), draw.choice(ends), draw.choice([None, 1, 2, 3, 0]))
        for _ in range(draw.randint(0, dims + 1))
    ]
    return parts[0] if len(parts) == 1 and draw.random() < 0.5 else tuple(parts)


def test_keys_of_ints_and_slices() -> None:
    draw = random.Random(0)
    values = np.arange(5 * 1 * 4.0).reshape(5, 1, 4)
    pairs = [
        (lib.tensor(values), lib.tensor(values).permute(2, 0, 1), lib.tensor(values)[1:3, :, ::2])
        for lib in (fb, torch)
    ]
    for _ in range(1500):
        which, key = draw.randrange(3), _key(draw, 3)
        told = []
        for tensors in pairs:
            try:
                made = tensors[which][key]
                told.append((tuple(made.shape), made.stride(), made.storage_offset()))
            except (IndexError, ValueError) as error:
                told.append((type(error), str(error)))
        assert told[0] == told[1], key


def test_numbers_beside_tensors() -> None:
    for name in ("float32", "int64"):
        ours, theirs = (lib.ones(3).to(getattr(lib, name)) for lib in (fb, torch))
        for number in (2, 2.0, True, 1, 1.0, -0.0, math.inf, math.nan, 2**40):
            for call in (lambda x, n: x * n, lambda x, n: x == n):
                a, b = call(ours, number), call(theirs, number)
                assert str(a.dtype) == str(b.dtype)
                np.testing.assert_array_equal(a.double().numpy(), b.double().numpy())
    signs = [math.copysign(1, (fb.zeros(1) * n)[0].item()) for n in (0.0, -0.0, -0.0, 0.0)]
    assert signs == [1, -1, -1, 1]


def test_one_program_for_all_numbers() -> None:
    x = fb.ones(65, 64)  # more elements than the host computes at once
    x * 0.311
    before = held()
    for number in (0.312, 0.313, 0.312, 0.311):
        x * number
    assert held() == before and 0.312 in numbers_held.floats
