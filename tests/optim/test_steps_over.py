"""A step writes over parameters and state that nobody else holds, and over nothing else."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import flambeau as fb
from flambeau.native import direct

OPTIMIZERS = {
    "SGD": lambda p: fb.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1),
    "AdamW": lambda p: fb.optim.AdamW(p, lr=0.1),
    "RMSprop": lambda p: fb.optim.RMSprop(p, lr=0.1, momentum=0.5, centered=True),
    "RAdam": lambda p: fb.optim.RAdam(p, lr=0.1),
}


def _trained(make: Any) -> tuple[Any, Any]:
    """A model of 2 x 65,792 numbers after three steps, whose arrays nobody else has."""
    fb.manual_seed(0)
    model = fb.nn.Sequential(fb.nn.Linear(256, 256), fb.nn.Linear(256, 256))
    optimizer = make(model.parameters())
    for _ in range(3):
        _step(model, optimizer)
    return model, optimizer


def _step(model: Any, optimizer: Any) -> None:
    for p in model.parameters():
        p.grad = fb.sin(p.detach() * 100)
    optimizer.step()


def _values(model: Any) -> list[np.ndarray]:
    return [np.array(p.detach().tolist(), np.float32) for p in model.parameters()]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_same_numbers(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, _ = _trained(OPTIMIZERS[name])
    monkeypatch.setattr("flambeau.optim.rule.are_alone", lambda tensors: False)
    theirs, _ = _trained(OPTIMIZERS[name])
    for a, b in zip(_values(ours), _values(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_small_parameters_are_not_asked_who_holds_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(tensors: Any) -> bool:
        raise AssertionError("asked")

    monkeypatch.setattr("flambeau.optim.rule.are_alone", asked)
    params = [fb.nn.Parameter(fb.ones(4)) for _ in range(3)]
    optimizer = fb.optim.SGD(params, lr=0.5)
    for p in params:
        p.grad = fb.ones(4)
    optimizer.step()
    assert params[0].tolist() == [0.5] * 4
    params[0].data = fb.ones(1 << 17)
    params[0].grad = fb.ones(1 << 17)
    optimizer.step()  # which goes by what it has found out before
    assert params[0].sum().item() == (1 << 16)
    optimizer.add_param_group({"params": [fb.nn.Parameter(fb.ones(1 << 17))]})
    optimizer.param_groups[1]["params"][0].grad = fb.ones(1 << 17)
    with pytest.raises(AssertionError, match="asked"):
        optimizer.step()


@pytest.mark.skipif(not direct.possible("flambeau_elementwise"), reason="needs the compiled kernels")
def test_memory_is_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("threading.active_count", lambda: 1)  # other tests may have left some, which might read
    model, optimizer = _trained(OPTIMIZERS["AdamW"])
    tensors = [*model.parameters(), *(optimizer.state[p]["exp_avg"] for p in model.parameters())]
    before = [t._array.unsafe_buffer_pointer() for t in tensors]
    versions = [t._version for t in tensors]
    _step(model, optimizer)
    assert [t._array.unsafe_buffer_pointer() for t in tensors] == before
    assert all(t._version > v for t, v in zip(tensors, versions, strict=True))


@pytest.mark.parametrize("holder", ["a clone", "NumPy", "DLPack", "a copy", "an array", "the tape", "a view"])
def test_what_others_hold_stays(holder: str) -> None:
    model, optimizer = _trained(OPTIMIZERS["AdamW"])
    weight = model[0].weight
    moment = optimizer.state[weight]["exp_avg"]
    held = {
        "a clone": lambda: (weight.detach().clone(), moment.clone()),
        "NumPy": lambda: (np.asarray(weight._array), np.asarray(moment._array)),
        "DLPack": lambda: (np.from_dlpack(weight.detach()), np.from_dlpack(moment)),
        "a copy": lambda: (copy.deepcopy(weight).detach(), copy.deepcopy(moment)),
        "an array": lambda: (weight._array, moment._array),
        "the tape": lambda: (weight * weight, moment.clone()),
        "a view": lambda: (np.asarray(weight.detach().view(-1)._array), np.asarray(moment.view(-1)._array)),
    }[holder]()
    before = [weight.detach().tolist(), moment.tolist()]
    _step(model, optimizer)
    after = [weight.detach().tolist(), moment.tolist()]
    assert before[0] != after[0] and before[1] != after[1]
    if holder == "the tape":
        weight.grad = None
        held[0].sum().backward()
        np.testing.assert_array_equal(weight.grad.numpy(), 2 * np.asarray(before[0], np.float32))
        return
    shown = [np.asarray(h if not isinstance(h, fb.Tensor) else h.tolist()).reshape(256, 256) for h in held]
    for seen, was in zip(shown, before, strict=True):
        np.testing.assert_array_equal(seen.astype(np.float32), np.asarray(was, np.float32))


def test_views_see_the_step() -> None:
    model, optimizer = _trained(OPTIMIZERS["AdamW"])
    row, state = model[0].weight.detach()[3], optimizer.state_dict()["state"][0]["exp_avg"]
    assert row.tolist() == model[0].weight.tolist()[3]
    _step(model, optimizer)
    assert row.tolist() == model[0].weight.tolist()[3]
    assert state.tolist() == optimizer.state[model[0].weight]["exp_avg"].tolist()


@pytest.mark.parametrize(
    "seen", [lambda t: t.view(-1).view(256, 256), lambda t: t[:], lambda t: t.flatten().reshape(256, 256)]
)
def test_what_was_copied_from_a_view_stays(seen: Any) -> None:
    """A view that shows all of its memory is read without a copy."""
    source, moment = fb.full((256, 256), 2.0), fb.full((256, 256), 3.0)
    model, optimizer = _trained(OPTIMIZERS["AdamW"])
    weight = model[0].weight
    weight.data.copy_(seen(source))
    optimizer.state[weight]["exp_avg"].copy_(seen(moment))
    _step(model, optimizer)
    assert source.eq(2).all() and moment.eq(3).all()
    assert not weight.eq(2).all()
