"""Programs of single operators over all elements at once: which they are, and that they compute the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from jax.extend.core import jaxpr_as_fun

import flambeau as fb
from flambeau.core.array import executables, flattened
from flambeau.native import available

pytestmark = pytest.mark.skipif(not available(), reason="no compiled kernels")
X = jnp.asarray(np.random.default_rng(0).standard_normal((16, 13, 28)), jnp.float32)

EACH: dict[str, Callable[[Any], Any]] = {
    "a number": lambda x: x * 3 + 1,
    "a choice": lambda x: jnp.where(x > 0, x, 0),
    "a call": lambda x: jax.nn.silu(x),
    "a custom derivative": lambda x: jax.nn.relu(x),
    "two results, one as it came": lambda x: (x, jnp.exp(x)),
    "another dtype": lambda x: x > 0,
    "a slope": lambda x: jax.vjp(jnp.tanh, x)[1](x)[0],
    "out of a number": lambda x: jnp.broadcast_to(x[0, 0, 0] if not x.ndim else 2.0, (16, 13, 28)) * x,
}


@pytest.mark.parametrize("name", EACH)
def test_what_is_of_each_element_is_flat_with_the_same_bits(name: str) -> None:
    closed = jax.make_jaxpr(EACH[name])(X)
    flat = flattened.flattened(closed)
    assert flat is not None and flat.out_avals == closed.out_avals
    assert any(v.aval.shape == (16 * 13 * 28,) for equation in flat.jaxpr.eqns for v in equation.outvars)
    ours = jax.jit(jaxpr_as_fun(flat))(X)
    theirs = jax.jit(jaxpr_as_fun(closed))(X)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.sum(-1),
        lambda x: x + x[0, 0],
        lambda x: x.transpose(1, 0, 2) * 2,
        lambda x: jnp.cumsum(x, 1),
        lambda x: jnp.flip(x, 0) * x,
        lambda x: x,
        lambda x: x[:2] * 2,
        lambda x: x.reshape(-1) * 2,
    ],
)
def test_anything_else_stays(function: Callable[[Any], Any]) -> None:
    assert flattened.flattened(jax.make_jaxpr(function)(X)) is None


@pytest.mark.parametrize("shape", [(5, 28), (4096,), (64, 256), ()])
def test_small_arrays_and_long_rows_stay(shape: tuple[int, ...]) -> None:
    assert flattened.flattened(jax.make_jaxpr(lambda x: x * 2)(jnp.zeros(shape))) is None


def test_operators_take_it_and_are_torchs(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr(executables, "store", lambda: None)
    monkeypatch.setattr(executables.first_calls, "SERVES", False)
    monkeypatch.setattr(executables, "flattened", lambda closed: made.append(flattened.flattened(closed)) or made[-1])
    images = np.random.default_rng(1).standard_normal((3, 5, 31, 29)).astype(np.float32)
    functions = ("relu", "hardswish", "leaky_relu", "hardtanh", "softsign")
    for name in functions:
        results = []
        for lib in (fb, torch):
            x = lib.tensor(images, requires_grad=True)
            y = getattr(lib.nn.functional, name)(x) / 255
            y.backward(lib.tensor(images))
            results.append((y.detach().numpy(), x.grad.numpy()))
        for ours, theirs in zip(*results, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)
    assert sum(flat is not None for flat in made) >= 2 * len(functions)


def test_a_step_that_is_compiled_keeps_its_loops_whole() -> None:
    @fb.compile
    def step(x: Any) -> Any:
        return (x * 2).relu().sum()

    x = fb.tensor(np.asarray(X))
    assert abs(step(x).item() - 2 * np.maximum(np.asarray(X), 0).sum(dtype=np.float64)) < 0.05
