"""Recomputation in the backward pass gives the gradients of the plain call."""

from __future__ import annotations

import pytest

import flambeau as fb
from flambeau.utils.checkpoint import checkpoint, checkpoint_sequential

nn = fb.nn


def make() -> tuple[fb.nn.Sequential, fb.Tensor]:
    fb.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Dropout(0.5), nn.Linear(4, 2)), fb.randn(3, 4)


@pytest.mark.parametrize("form", ["module", "sequential", "closure"])
@pytest.mark.parametrize("input_needs_grad", [True, False])
def test_same_gradients(form: str, input_needs_grad: bool) -> None:
    net, x = make()
    x.requires_grad_(input_needs_grad)
    state = fb.get_rng_state()
    plain = net(x)
    plain.square().sum().backward()
    wanted = [p.grad for p in net.parameters()], x.grad
    net.zero_grad()
    x.grad = None
    fb.set_rng_state(state)
    if form == "sequential":
        again = checkpoint_sequential(net, 2, x, use_reentrant=False)
    elif form == "closure":
        again = checkpoint(lambda v, twice: net(v * twice / 2), x, twice=2, use_reentrant=False)
    else:
        again = checkpoint(net, x, use_reentrant=False)
    assert fb.equal(again, plain)
    again.square().sum().backward()
    for p, g in zip(net.parameters(), wanted[0], strict=True):
        assert fb.allclose(p.grad, g)
    assert x.grad is None if not input_needs_grad else fb.allclose(x.grad, wanted[1])
