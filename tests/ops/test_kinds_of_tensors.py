"""Methods of tensors that are not plain ones: sparse, recorded, of half precision."""

from __future__ import annotations

import pytest
import torch

import flambeau as fb
from support.expressions import evaluate

TURNS = ["t_()", "transpose_(0, 1)", "swapaxes_(-1, 0)", "t_().t_()", "t_().neg_()", "t_().coalesce()", "mul_(2).t_()"]


@pytest.mark.parametrize("turn", TURNS)
def test_sparse_tensors_turned_in_place(turn):
    made = []
    for library in (torch, fb):
        x = library.tensor([[1.0, 0.0, 2.0], [0.0, 3.0, 0.0]]).to_sparse()
        y = eval(f"x.{turn}", {"x": x})
        made.append([tuple(x.shape), x.is_coalesced(), x.to_dense().tolist(), y.to_dense().tolist()])
        made[-1] += [x.coalesce().indices().tolist(), x.coalesce().values().tolist()]
    assert made[0] == made[1]


CALLS = ["{}", "{}, return_inverse=True", "{}, dim=0", "{}, return_counts=True, dim=0"]


@pytest.mark.parametrize("call", [f"torch.{n}({c})" for n in ("unique", "unique_consecutive") for c in CALLS])
def test_there_is_no_derivative_of_unique(call):
    made = []
    for library in (torch, fb):
        x = library.tensor([3.0, 1.0, 1.0, 2.0], requires_grad=True)
        y = eval(call.format("x"), {"torch": library, "x": x})
        y = y[0] if isinstance(y, tuple) else y
        with pytest.raises(NotImplementedError) as told:
            (y.sum() + x.sum()).backward()
        made.append((y.requires_grad, type(y.grad_fn).__name__, str(told.value)))
    assert made[0] == made[1]
    assert not fb.unique(x.detach()).requires_grad


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_ldexp(dtype):
    x = "torch.arange(-6, 7, dtype=torch.{})"
    for other in (x.format(dtype), x.format("int64"), "torch.tensor(3)", f"torch.tensor(0.3, dtype=torch.{dtype})"):
        ours, theirs = (evaluate(lib, f"torch.ldexp({x.format(dtype)}, {other}).tolist()").value for lib in (fb, torch))
        assert ours == theirs, other
