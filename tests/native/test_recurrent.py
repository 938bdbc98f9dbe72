"""The kernels of recurrent layers against the same steps in XLA's operators, and through layers against torch."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import flambeau as fb
from flambeau import native
from flambeau.native import recurrent, xla_recurrent
from flambeau.native.xla_recurrent import CELLS, Weights

needs_native = pytest.mark.skipif(not native.available(), reason=f"no native kernels: {native.why_not()}")

# kind, steps, batch, units, projected to, reverse, biases, masked: sizes around the vectors' and the tiles' ones
CASES = [
    ("lstm", 3, 17, 33, 0, False, True, False),
    ("lstm", 5, 3, 20, 6, True, True, True),
    ("lstm", 1, 1, 1, 0, False, False, False),
    ("gru", 4, 9, 37, 0, True, True, True),
    ("gru", 2, 33, 16, 0, False, False, False),
    ("rnn_tanh", 4, 14, 130, 0, False, True, True),
    ("rnn_relu", 6, 5, 7, 0, True, False, True),
]


def problem(case: tuple[Any, ...], dtype: str) -> tuple[Any, ...]:
    """What `steps` takes, and weights of a sum over its results."""
    kind, steps, batch, units, projected, reverse, biases, masked = case
    numbers = np.random.default_rng(steps * batch + units)
    hidden, sums = projected or units, CELLS[kind].chunks * units

    def normal(*shape: int) -> jax.Array:
        return jnp.asarray(numbers.standard_normal(shape), dtype)

    state = (normal(batch, hidden), normal(batch, units))[: 2 if kind == "lstm" else 1]
    bias = (normal(sums), normal(sums)) if biases else (None, None)
    projection = normal(projected, units) / units**0.5 if projected else None
    weights = Weights(normal(sums, hidden) / hidden**0.5, *bias, projection)
    ends = numbers.integers(1, steps + 1, batch)
    mask = jnp.asarray(np.arange(steps)[:, None] < ends) if masked else None
    by = tuple(normal(steps, *s.shape) for s in state)
    return kind, reverse, (normal(steps, batch, sums), state, weights), mask, by


def gradients(form: Any, kind: str, reverse: bool, mask: Any, by: Any) -> Any:
    """The states and the gradients of their weighted sum."""

    def weighted(x: Any, state: Any, weights: Any) -> Any:
        states = form(kind, reverse, x, state, weights, mask)
        return sum((s * b).sum() for s, b in zip(states, by, strict=True)), states

    return jax.jit(jax.value_and_grad(weighted, (0, 1, 2), has_aux=True))


def plain(*args: Any) -> Any:
    return xla_recurrent.steps(*args)[0]


def assert_close(ours: Any, theirs: Any, tolerance: float) -> None:
    for a, b in zip(jax.tree_util.tree_leaves(ours), jax.tree_util.tree_leaves(theirs), strict=True):
        scale = max(1.0, float(np.abs(b).max()))
        np.testing.assert_allclose(np.asarray(a, np.float64), np.asarray(b, np.float64), 0, tolerance * scale)


@needs_native
@pytest.mark.parametrize("case", CASES, ids=str)
def test_forwards_and_backwards(case: tuple[Any, ...]) -> None:
    kind, reverse, given, mask, by = problem(case, "float64")
    expected = gradients(plain, kind, reverse, mask, by)(*given)
    for dtype, tolerance in (("float64", 1e-13), ("float32", 1e-5)):
        kind, reverse, given, mask, by = problem(case, dtype)
        by_kernel = gradients(recurrent.steps, kind, reverse, mask, by)
        text = by_kernel.lower(*given).as_text()
        assert "@flambeau_recurrent(" in text and "@flambeau_recurrent_backward(" in text and "while" not in text
        assert_close(by_kernel(*given), expected, tolerance)


@needs_native
@pytest.mark.parametrize("kind", CELLS)
def test_extreme_values(kind: str) -> None:
    values = np.array(
        [0.0, -0.0, 1e-30, -1e-20, 3e-8, 0.34, -0.35, 9.0, -20.0, 90.0, -800.0, 1e30, np.inf, -np.inf, np.nan]
    )
    for dtype, tolerance in (("float32", 3e-7), ("float64", 1e-15)):
        x = jnp.asarray(np.tile(values, (1, 2, CELLS[kind].chunks)), dtype)
        state = (jnp.zeros((2, len(values)), dtype),) * (2 if kind == "lstm" else 1)
        weights = Weights(jnp.zeros((x.shape[-1], len(values)), dtype), None, None, None)
        ours = recurrent.steps(kind, False, x, state, weights, None)
        # a GRU gives (1 - z) tanh(x), where z, near 1, is right to a bit of 1
        bit = np.finfo(dtype).eps * np.abs(np.tanh(np.nan_to_num(values))) if kind == "gru" else 0.0
        for a, b in zip(ours, plain(kind, False, x, state, weights, None), strict=True):
            assert np.isclose(a, b, tolerance, 1e-37 + bit, equal_nan=True).all(), (a, b)


@needs_native
def test_one_thread_gives_the_same() -> None:
    kind, reverse, given, mask, by = problem(("lstm", 20, 40, 64, 0, False, True, True), "float32")
    run = gradients(recurrent.steps, kind, reverse, mask, by)
    before = native.get_num_threads()
    made = []
    for threads in (1, 2, 5):
        native.set_num_threads(threads)
        try:
            made.append(jax.tree_util.tree_leaves(run(*given)[0][1]))
        finally:
            native.set_num_threads(before)
    for several in made[1:]:
        for one, other in zip(made[0], several, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", ["lstm", *(pytest.param(k, marks=pytest.mark.slow) for k in ("gru", "rnn_tanh"))])
def test_derivatives_of_derivatives(kind: str) -> None:
    """Both ways through both primitives, under vmap: a product with the second derivative and a mapped gradient."""
    case = (kind, 3, 2, 4, 3 if kind == "lstm" else 0, True, True, True)
    kind, reverse, given, mask, by = problem(case, "float64")
    found = []
    for form in (recurrent.steps, plain):

        def loss(given: Any, mask: Any = mask, form: Any = form) -> Any:
            return sum((s * b).sum() for s, b in zip(form(kind, reverse, *given, mask), by, strict=True))

        def by_direction(given: Any, loss: Any = loss) -> Any:
            gradient = jax.grad(loss)
            back, forth = jax.grad(lambda g: dot(gradient(g), given))(given), jax.jvp(gradient, (given,), (given,))[1]
            mapped = jax.vmap(gradient)(jax.tree_util.tree_map(lambda a: jnp.stack([a, 2 * a]), given))
            return back, forth, mapped, jax.jvp(loss, (given,), (given,))[1]

        found.append(jax.jit(by_direction)(given))
    assert_close(found[0], found[1], 1e-12)


def dot(a: Any, b: Any) -> Any:
    return sum((x * y).sum() for x, y in zip(jax.tree_util.tree_leaves(a), jax.tree_util.tree_leaves(b), strict=True))


def stack_of(lib: Any, kind: str) -> Any:
    lib.manual_seed(3)
    more = {"proj_size": 3} if kind == "LSTM" else {}
    return getattr(lib.nn, kind)(5, 6, 2, bidirectional=True, dtype=lib.float64, **more)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", pytest.param("RNN", marks=pytest.mark.slow)])
def test_packed_layers_against_torch(kind: str) -> None:
    """Two layers, both ways, sequences of three lengths: outputs, states, all gradients."""
    made = []
    for lib in (fb, torch):
        model = stack_of(lib, kind)
        x = (lib.arange(4 * 3 * 5, dtype=lib.float64).reshape(4, 3, 5) / 9).sin().requires_grad_()
        packed = lib.nn.utils.rnn.pack_padded_sequence(x, [4, 2, 1])
        out, final = model(packed)
        final = final if isinstance(final, tuple) else (final,)
        loss = out.data.square().sum() + sum(s.sin().sum() for s in final)
        loss.backward()
        made.append([t.detach().numpy() for t in (out.data, *final, x.grad, *(p.grad for p in model.parameters()))])
    for ours, theirs in zip(*made, strict=True):
        np.testing.assert_allclose(ours, theirs, 1e-9, 1e-12)


def test_half_precision_and_autocast_stay_with_xla() -> None:
    model, x = fb.nn.LSTM(4, 4), fb.ones(3, 2, 4)
    with fb.autocast("cpu", dtype=fb.bfloat16):
        assert model(x)[0].dtype is fb.bfloat16
    half = model.to(fb.bfloat16)(x.to(fb.bfloat16))[0]
    np.testing.assert_allclose(half.float().detach().numpy(), model.float()(x)[0].detach().numpy(), 0, 0.02)
