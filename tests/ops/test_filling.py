"""`fill_` and `zero_`: values, versions, gradients and shared memory are as PyTorch's, be the memory written at once or when it is read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import flambeau as fb

DTYPES = ["float32", "float64", "bfloat16", "float16", "int64", "int32", "uint8", "bool", "complex64"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [0, 1, 2.75, True])
def test_values(dtype: str, value: Any) -> None:
    found = []
    lib: Any
    for lib in (fb, torch):
        for shape in ((), (0, 3), (4, 5)):
            x = lib.ones(shape, dtype=getattr(lib, dtype)) * 1
            seen, part, version = x.view(-1), x[..., :2] if x.ndim else x, x._version
            assert x.fill_(value) is x
            found.append(
                (x.tolist(), seen.tolist(), part.tolist(), x._version - version, (x + x).tolist(), x.is_contiguous())
            )
            part.zero_()
            found.append((x.tolist(), seen.tolist(), x.zero_().tolist(), seen.tolist()))
    half = len(found) // 2
    assert found[:half] == found[half:]


def test_the_tape_keeps_what_it_had() -> None:
    found = []
    lib: Any
    for lib in (fb, torch):
        base = lib.arange(6.0).reshape(2, 3) * 1
        kept, weight = base.view(-1), lib.ones(6, requires_grad=True)
        loss = (kept.clone() * weight).sum()
        copy, detached = base.clone(), base.detach()
        base.fill_(7)
        loss.backward()
        x = lib.ones(3, requires_grad=True)
        y = x * 2
        y.zero_()
        y.sum().backward()
        with lib.no_grad():
            x.fill_(3)
        (x * x).sum().backward()
        found.append(
            (weight.grad.tolist(), copy.tolist(), detached.tolist(), x.grad.tolist(), x.requires_grad, x.is_leaf)
        )
        with pytest.raises(RuntimeError, match="leaf"):
            x.zero_()
    assert found[0] == found[1]


def test_memory_that_numpy_shares() -> None:
    host = np.ones((2, 3), np.float32)
    x = fb.from_numpy(host)
    x.fill_(5)
    assert host.tolist() == [[5] * 3] * 2
    y = fb.ones(2, 3) * 1
    look = y.numpy()
    y.zero_()
    assert not look.any()
    z = (fb.ones(4) * 1).zero_()
    z.numpy()[1] = 4
    assert z.tolist() == [0, 4, 0, 0]
    z.fill_(1).mul_(3)
    assert z.tolist() == [3] * 4


def test_compiled_and_within_transforms() -> None:
    def function(x: Any) -> Any:
        y = x * 2
        y[0].fill_(3)
        return y.clone().fill_(1) + y

    compiled = fb.compile(function)
    x = fb.arange(6.0).reshape(2, 3)
    for _ in range(2):
        assert compiled(x).tolist() == function(x).tolist() == [[4, 4, 4], [7, 9, 11]]
    assert fb.func.vmap(lambda row: (row * 1).zero_() + row)(x).tolist() == x.tolist()
