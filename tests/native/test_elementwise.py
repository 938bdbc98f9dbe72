"""Elementwise functions in one pass, against XLA's own evaluation; and every optimizer on parameters that are large."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import flambeau as fb
from flambeau.native import elementwise
from flambeau.native.elementwise import fused
from support.values import same, to_flambeau

SIZES = [elementwise.LARGE, elementwise.LARGE + 1, 3 * elementwise.LARGE - 17]


def numbers(count: int, size: int) -> list[jax.Array]:
    draw = np.random.default_rng(size)
    arrays = [draw.standard_normal(size).astype(np.float32) for _ in range(count)]
    for array in arrays:
        array[draw.integers(0, size, 50)] = draw.choice([np.nan, np.inf, -np.inf, 0.0, -0.0], 50)
    return [jnp.asarray(array) for array in arrays]


def is_one_pass(function: Callable[..., Any], *arrays: Any) -> bool:
    return any(e.primitive.name == "flambeau_elementwise" for e in jax.make_jaxpr(function)(*arrays).jaxpr.eqns)


def momentum(p: Any, g: Any, b: Any) -> list[Any]:
    b = b * 0.9 + g
    return [p - b * 0.1, b]


def uses_the_old_value_last(p: Any, g: Any, b: Any) -> list[Any]:
    new = b + g
    return [new * 2, new, p * b - g]  # p and b are read after `new` could have overwritten them


FUNCTIONS: list[Callable[..., Any]] = [
    momentum,
    uses_the_old_value_last,
    lambda p, g, b: [-p, jnp.abs(g), jnp.sign(b)],
    lambda p, g, b: [jnp.maximum(p, g), jnp.minimum(g, b), jnp.sqrt(jnp.abs(b)) / p],
    lambda p, g, b: [jnp.where(p > g, b, 0), jnp.where(p <= 0.5, jnp.where(g == b, 1, p), g), p != p],
    lambda p, g, b: [jnp.where(p >= g, b, p), jnp.where(g < 0, -1, b), jnp.clip(b, -0.5, 0.25)],
    lambda p, g, b: [p * p + g, p - g * g, jnp.square(b)],
    lambda p, g, b: [p, g + b, g + b],
    lambda p, g, b: [jnp.float32(3), jnp.zeros_like(p), p * jnp.float32(2) ** 3],
    lambda p, g, b: [p - g - b * p, p * g - b, g + 1],
]


@pytest.mark.parametrize("number", range(len(FUNCTIONS)))
@pytest.mark.parametrize("size", SIZES)
def test_one_pass_gives_what_xla_gives(number: int, size: int) -> None:
    function = FUNCTIONS[number]
    arrays = numbers(3, size)
    expected = function(*arrays)
    separate = jax.jit(lambda *given: fused(function, given))(*arrays)
    owned = jax.jit(lambda *given: fused(function, given, {0: 0, 1: 2}), donate_argnums=(0, 2))(*map(jnp.copy, arrays))
    for made in (separate, owned):
        for m, e in zip(made, expected, strict=True):
            assert m.shape == e.shape
            np.testing.assert_allclose(np.asarray(m), np.asarray(e), rtol=2e-6, atol=1e-6)


def test_what_is_large_float32_and_elementwise_takes_one_pass() -> None:
    arrays = numbers(3, SIZES[1])
    together = partial(fused, momentum)
    assert is_one_pass(lambda *given: together(given), *arrays)
    assert not is_one_pass(lambda *given: together(given), *numbers(3, 1000))
    assert not is_one_pass(lambda *given: together(given), *(a.astype(np.float64) for a in arrays))
    assert not is_one_pass(lambda *given: fused(lambda p, g, b: [p + g.sum(), b], given), *arrays)
    assert not is_one_pass(lambda *given: fused(lambda p, g, b: [jnp.sin(p), b], given), *arrays)


def test_scalars_from_outside_and_transformations() -> None:
    p, g = (jnp.nan_to_num(a, posinf=2, neginf=-3) for a in numbers(2, SIZES[0]))

    def step(p: Any, g: Any, rate: Any) -> Any:
        return fused(lambda p, g: [p - g * (rate / 2).astype(np.float32)], [p, g])[0]

    rate = jnp.float64(0.25)
    expected = p - g * np.float32(0.125)
    np.testing.assert_allclose(np.asarray(jax.jit(step)(p, g, rate)), np.asarray(expected), rtol=1e-6)
    _, tangent = jax.jvp(lambda p: step(p, g, rate), (p,), (jnp.ones_like(p),))
    assert (tangent == 1).all()
    batched = jax.vmap(step, in_axes=(None, 0, None))(p, jnp.stack([g, 2 * g]), rate)
    np.testing.assert_allclose(np.asarray(batched[1]), np.asarray(p - g * np.float32(0.25)), rtol=1e-6, atol=1e-6)


# ---------------------------------------------------------------- the optimizers

OPTIMIZERS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01, "nesterov": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "maximize": True}),
    ("Adam", {"lr": 0.01, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.01, "amsgrad": True}),
    ("AdamW", {"lr": 0.01}),
    ("RMSprop", {"lr": 0.01, "momentum": 0.5, "centered": True}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1}),
    ("Adadelta", {"lr": 1.0}),
    ("Adamax", {"lr": 0.01}),
    ("NAdam", {"lr": 0.01}),
    ("RAdam", {"lr": 0.01}),
    ("Rprop", {"lr": 0.01}),
    ("ASGD", {"lr": 0.01}),
]


@pytest.mark.parametrize(("name", "options"), OPTIMIZERS, ids=lambda x: x if isinstance(x, str) else ",".join(x))
def test_a_large_parameter_is_updated_as_in_torch(name: str, options: dict[str, Any]) -> None:
    torch.manual_seed(1)
    theirs = torch.nn.Parameter(torch.randn(331, 397))
    eager, compiled = (fb.nn.Parameter(to_flambeau(theirs.detach().clone())) for _ in range(2))
    target = torch.randn(331, 397)
    reference = getattr(torch.optim, name)([theirs], **options)
    optimizers = [getattr(fb.optim, name)([p], **options) for p in (eager, compiled)]
    goal = to_flambeau(target)

    def step(param: Any, optimizer: Any, goal: Any) -> Any:
        optimizer.zero_grad()
        loss = ((param - goal) ** 2).sum()
        loss.backward()
        optimizer.step()
        return loss

    fast = fb.compile(lambda goal: step(compiled, optimizers[1], goal))
    for _ in range(7):
        step(theirs, reference, target)
        step(eager, optimizers[0], goal)
        fast(goal)
    for mine in (eager, compiled):
        same(mine.detach(), theirs.detach(), rtol=2e-4, atol=2e-5)
    for key, value in reference.state[theirs].items():
        if isinstance(value, torch.Tensor):
            same(optimizers[1].state[compiled][key], value, rtol=2e-4, atol=2e-5)


def test_a_clone_keeps_its_values_while_a_compiled_step_updates_in_place() -> None:
    fb.manual_seed(0)
    layer = fb.nn.Linear(400, 400)
    optimizer = fb.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)

    @fb.compile
    def step(x: Any) -> Any:
        optimizer.zero_grad()
        loss = layer(x).square().mean()
        loss.backward()
        optimizer.step()
        return loss

    x = fb.randn(4, 400)
    step(x)
    alias, copy = layer.weight.detach(), layer.weight.detach().clone()
    before = copy.numpy().copy()
    held = layer.weight._array
    step(x)
    step(x)
    assert np.array_equal(copy.numpy(), before)
    assert np.array_equal(np.asarray(held), before)
    assert not np.array_equal(alias.numpy(), before)
