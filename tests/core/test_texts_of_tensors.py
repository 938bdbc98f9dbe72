"""Small programs about tensors: results, or the whole text of the error, as of PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import flambeau as fb
from support.programs import agree

REFUSED: dict[str, Callable[[Any], Any]] = {
    "a typed tensor of another type": lambda t: t.FloatTensor(t.ones(2, dtype=t.int64)),
    "another one": lambda t: t.LongTensor(t.ones(2, dtype=t.int32)),
    "a byte too large": lambda t: t.tensor([[300]], dtype=t.uint8),
    "an int too large": lambda t: t.tensor([3e9], dtype=t.int32),
    "dtypes of a matrix and a vector": lambda t: t.ones(2, 2) @ t.ones(2).double(),
    "the same of addmv": lambda t: t.addmv(t.ones(2), t.ones(2, 2), t.ones(2).double()),
    "bytes that begin in between": lambda t: t.arange(6, dtype=t.uint8)[1:5].view(t.int32),
    "bytes of odd rows": lambda t: t.zeros(2, 3, dtype=t.uint8)[:, :2].view(t.int16),
    "bytes that are too few": lambda t: t.zeros(2, 3, dtype=t.uint8).view(t.int16),
    "bytes of no dimension": lambda t: t.zeros((), dtype=t.uint8).view(t.int16),
    "bytes of a turned view": lambda t: t.zeros(4, 2, dtype=t.uint8).t().view(t.int16),
    "a Size of floats": lambda t: t.Size([1.5]),
    "a device without a name": lambda t: t.device(""),
    "normal of other shapes": lambda t: t.normal(t.zeros(2), t.ones(3)),
    "text of NumPy": lambda t: t.from_numpy(np.array(["a"])),
    "columns of cdist": lambda t: t.cdist(t.ones(2, 2), t.ones(2, 3)),
    "positional arguments": lambda t: _operator(t)(t.ones(1), 4),
}


def _operator(t: Any) -> Any:
    lib = t.library.Library(f"texts_{t.__name__}", "DEF")
    lib.define("twice(Tensor x, *, float s=2.) -> Tensor")
    return lambda *args: getattr(t.ops, f"texts_{t.__name__}").twice(*args)


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_the_same_words(name: str) -> None:
    agree(REFUSED[name], words=5 if name == "positional arguments" else None)


def made(t: Any) -> list[Any]:
    make, kinds = (
        t.testing.make_tensor,
        (t.float32, t.float64, t.int8, t.int64, t.uint8, t.bool, t.complex64, t.bfloat16),
    )
    tensors = [make((4,), dtype=d, device="cpu") for d in kinds]
    tensors += [make(4, dtype=d, device="cpu", low=0, high=2) for d in kinds[:4]]
    tensors += [make((3, 4), dtype=t.float32, device="cpu", noncontiguous=True, exclude_zero=True), t.rand(1)]
    return [x.real if x.is_complex() else x for x in tensors]


def test_make_tensor_draws_pytorchs_values() -> None:
    agree(made)


def test_a_custom_operator_that_writes_counts_as_a_write() -> None:
    @fb.library.custom_op("texts::add_", mutates_args={"x"})
    def add_(x: fb.Tensor, v: float) -> None:
        x.add_(v)

    @fb.library.custom_op("texts::double_", mutates_args={"x"})
    def double_(x: fb.Tensor) -> None:
        x.numpy()[:] *= 2

    x = fb.zeros(3)
    before = x._version
    add_(x, 2.0)
    assert x._version - before == 2  # as in PyTorch, whose library takes 9 s to load for this
    double_(x)
    assert x._version - before == 3 and x.tolist() == [4, 4, 4]
