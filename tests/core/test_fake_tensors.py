"""Fake tensors: shapes, dtypes and devices of a program that computes nothing, in both libraries."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
import torch._subclasses.fake_tensor

import flambeau as fb
import flambeau._subclasses.fake_tensor


def run(t, text):
    fake = t._subclasses.fake_tensor
    mode = fake.FakeTensorMode()
    nn = t.nn
    real = t.ones(2, 3)
    with mode:
        x, y, layer = t.ones(2, 3), t.empty(3, device="cuda"), nn.Linear(3, 4)
        names = {
            "t": t,
            "nn": nn,
            "x": x,
            "y": y,
            "layer": layer,
            "mode": mode,
            "fake": fake,
            "real": real,
            "copy": copy,
        }
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return repr(eval(text, names)).replace("flambeau", "torch")
        except Exception as error:
            return f"{type(error).__name__}: {error}".split(" Found in ")[0]


ROWS = """
x, y, layer.weight, layer(x), t.tensor([1.0]), t.arange(4), t.rand(3, device="meta")
type(layer.weight).__name__, isinstance(layer.weight, nn.Parameter), isinstance(x, t.Tensor)
x.device, y.device, x.is_meta, x.is_cpu, y.is_cuda, x.shape, x.stride(), x.t(), x.fake_device, x.fake_mode is mode
x + y
x + 1, x.half(), x.sum(), x.new_zeros(2), t.zeros_like(y), x.clone().add_(1), t.cat([x, x]), t.split(x, 1), x.max(0)
y.cpu()
x.sum().item()
bool(x.sum())
x.tolist()
x.nonzero()
x[x > 0]
x.numpy()
x + real
mode.from_tensor(real), mode.from_tensor(real) is mode.from_tensor(real), mode.from_tensor(real) + 1
mode.from_tensor(nn.Parameter(t.ones(2)))
fake.maybe_get_fake_mode(x) is mode, fake.is_fake(x), fake.is_fake(3)
fake.FakeTensor(mode, t.empty(3, device="meta"), t.device("cuda"))
nn.init.normal_(x), nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.BatchNorm1d(2))(x)
nn.functional.softmax(x, 1), nn.functional.dropout(x), t.linalg.svd(x)[1]
t.autograd.grad(layer(x).sum(), layer.weight)
""".strip().splitlines()


@pytest.mark.parametrize("text", ROWS)
def test_as_torch_has_it(text):
    assert run(fb, text) == run(torch, text)


def test_training_step_and_what_is_left_alone():
    state, moved_from = fb.get_rng_state(), fb.ones(2)
    with fb._subclasses.FakeTensorMode():
        layer = fb.nn.Linear(3, 4)
        optimizer = fb.optim.Adam(layer.parameters())
        layer(fb.randn(2, 3)).sum().backward()
        optimizer.step()
        assert repr(layer.weight.grad) == "FakeTensor(..., size=(4, 3))"
        with fb._subclasses.fake_tensor.unset_fake_temporarily() as mode:
            assert mode is not None and fb.zeros(2).tolist() == [0, 0]
    with fb._subclasses.FakeTensorMode(allow_non_fake_inputs=True):
        assert repr(fb.ones(2) + moved_from) == "FakeTensor(..., size=(2,))"
    assert fb.equal(state, fb.get_rng_state())
    assert fb.ones(2).tolist() == [1, 1] and not fb.ones(2).is_meta
    moved = copy.deepcopy(layer.weight)
    assert isinstance(moved, fb._subclasses.FakeTensor) and moved.requires_grad


def test_symbols_are_refused():
    with pytest.raises(NotImplementedError, match="shape_env"):
        fb._subclasses.FakeTensorMode(shape_env=object())
