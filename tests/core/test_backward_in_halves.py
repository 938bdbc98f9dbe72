"""A backward pass in two halves gives what a whole one gives, and neither half computes the other's gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

import flambeau as fb
from flambeau import nn
from flambeau.core.autograd.halves import inputs_first
from flambeau.core.tape.programs import Program


def tied() -> tuple[Any, Any]:
    """A network with a weight that is used twice, one of a product of weights, and one that no input comes to."""
    fb.manual_seed(0)
    layer, other = nn.Linear(4, 4).double(), nn.Linear(4, 4).double()
    free = nn.Parameter(fb.ones(4).double())

    def run(x: Any) -> Any:
        h = fb.tanh(layer(x)) + free
        h.register_hook(lambda grad: 2 * grad)
        return layer(h @ (other.weight * other.bias)), (free * 3).sum()

    return run, [*layer.parameters(), *other.parameters(), free]


def test_both_halves_make_the_whole() -> None:
    run, parameters = tied()
    x = fb.arange(8.0).double().reshape(2, 4).div(8).requires_grad_()
    given = [fb.linspace(0, 1, 8).double().reshape(2, 4), fb.tensor(2.0).double()]
    fb.autograd.backward(run(x), given)
    wanted = [value.grad for value in (x, *parameters)]
    for value in (x, *parameters):
        value.grad = None
    unused = fb.ones(1, requires_grad=True)
    found, rest = inputs_first(run(x), [x, unused], given)
    assert found[1] is None and all(p.grad is None for p in (x, *parameters))
    rest.run()
    assert x.grad is None
    for one, other in zip(wanted, [found[0], *[p.grad for p in parameters]], strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-14)
    rest.run()  # there is nothing left
    np.testing.assert_allclose(wanted[1].numpy(), parameters[0].grad.numpy(), rtol=1e-14)


def test_each_half_computes_its_own(monkeypatch: Any) -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4))
    asked: list[Any] = []
    before = Program.derivative

    def derivative(self: Any, wanted: Any, given: Any) -> Any:
        asked.append((self.name, wanted))
        return before(self, wanted, given)

    x = fb.ones(2, 4, requires_grad=True)
    out = model(x).sum()
    monkeypatch.setattr(Program, "derivative", derivative)
    _, rest = inputs_first([out], [x])
    layers = [wanted for name, wanted in asked if name == "linear"]
    assert layers == [(0,), (0,)], asked
    asked.clear()
    rest.run()
    assert asked == [("linear", (1, 2)), ("linear", (1, 2))], asked
