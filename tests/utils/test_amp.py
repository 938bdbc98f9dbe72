"""GradScaler's arithmetic against PyTorch's; autocast where it is off."""

from __future__ import annotations

import re
import warnings
from typing import Any

import pytest
import torch

import flambeau as fb
from support.values import same


def scaled_steps(library: Any) -> list[Any]:
    p = library.nn.Parameter(library.ones(2))
    optimizer = library.optim.SGD([p], lr=0.1)
    scaler = library.amp.GradScaler("cpu", init_scale=4.0, growth_interval=2)
    seen: list[Any] = [scaler.state_dict()]
    for factor in (2.0, float("inf"), 2.0, 3.0, 1.0):
        optimizer.zero_grad()
        loss, pair = scaler.scale(((p * factor).sum(), [p.sum()]))
        loss.backward()
        if factor == 3.0:
            scaler.unscale_(optimizer)
            seen.append(p.grad.clone())
        scaler.step(optimizer)
        scaler.update(8.0 if factor == 1.0 else None)
        seen += [p.detach().clone(), scaler.get_scale(), scaler.state_dict(), pair[0].detach()]
    other = library.amp.GradScaler("cpu")
    other.load_state_dict(scaler.state_dict())
    return [*seen, other.state_dict(), other.is_enabled()]


def test_scaler() -> None:
    same(scaled_steps(fb), scaled_steps(torch))


def misuse(library: Any, which: str) -> None:
    p = library.nn.Parameter(library.ones(2))
    optimizer = library.optim.SGD([p], lr=0.1)
    scaler = library.amp.GradScaler("cpu")
    if which in ("step", "unscale_"):
        getattr(scaler, which)(optimizer)
    elif which == "update":
        scaler.update()
    elif which == "empty":
        scaler.load_state_dict({})
    scaler.scale(p.sum()).backward()
    for _ in range(2):
        getattr(scaler, "step" if which == "step twice" else "unscale_")(optimizer)


MISUSES = {
    "step": r"_scale is None",
    "unscale_": r"_scale is None",
    "update": r"_scale is None",
    "empty": r"state dict is empty",
    "step twice": r"step\(\) has already been called",
    "unscale_ twice": r"unscale_\(\) has already been called",
}


@pytest.mark.parametrize("which", MISUSES)
def test_misuse(which: str) -> None:
    with pytest.raises((RuntimeError, AssertionError)) as theirs:
        misuse(torch, which)
    with pytest.raises(theirs.type) as ours:
        misuse(fb, which)
    for error in (ours, theirs):  # the same complaint, in different words
        assert re.search(MISUSES[which], str(error.value), re.IGNORECASE)


def test_disabled() -> None:
    scaler = fb.amp.GradScaler("cpu", enabled=False)
    assert (scaler.scale(3), scaler.get_scale(), scaler.state_dict(), scaler.is_enabled()) == (3, 1.0, {}, False)
    with pytest.warns(UserWarning, match="not available"):
        assert not fb.amp.GradScaler().is_enabled()
    with fb.autocast("cpu", enabled=False):
        assert (fb.ones(2, 2) @ fb.ones(2, 2)).dtype is fb.float32
    with pytest.warns(UserWarning, match="not available"), fb.autocast("cuda"):
        assert not fb.is_autocast_enabled()


def test_scale_in_a_compiled_function() -> None:
    """Each call takes the scale of that time."""
    x = fb.ones(2, requires_grad=True)
    optimizer = fb.optim.SGD([x], lr=0.0)
    scaler = fb.amp.GradScaler("cpu", init_scale=8.0, growth_interval=1)

    @fb.compile
    def step() -> None:
        optimizer.zero_grad()
        scaler.scale(x.sum()).backward()

    scales = []
    for _ in range(3):
        step()
        scales.append(x.grad.tolist()[0])
        scaler.step(optimizer)
        scaler.update()
    assert scales == [8.0, 16.0, 32.0]


@pytest.mark.parametrize("library", [fb, torch], ids=["flambeau", "torch"])
def test_the_old_names_for_gpus(library: Any) -> None:
    old = library.cuda.amp
    assert old.common.amp_definitely_not_available() is old.amp_definitely_not_available() is True
    for name, home in (("autocast", old.autocast_mode), ("GradScaler", old.grad_scaler)):
        assert getattr(old, name) is getattr(home, name)
    for name in ("custom_fwd", "custom_bwd"):
        text = f"`torch.cuda.amp.{name}(args...)` is deprecated. Please use `torch.amp.{name}(args..., device_type='cuda')` instead."
        with pytest.warns(FutureWarning, match=re.escape(text)):
            assert getattr(old, name)(lambda ctx, x: (ctx._dtype, x)) is not None


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize(
    "call",
    [
        lambda lib: lib.amp.GradScaler("cuda"),
        lambda lib: lib.autocast("cuda"),
        lambda lib: lib.autocast("cpu", dtype=lib.float64),
    ],
)
def test_what_is_switched_off_says_so_in_pytorchs_words(call):
    texts = []
    for lib in (torch, fb):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            call(lib)
        texts.append([str(w.message).replace("flambeau", "torch") for w in caught])
    assert texts[0] == texts[1] and len(texts[0]) == 1
