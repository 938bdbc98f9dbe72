"""Recurrent layers in XLA's operators: what a cell does at one step, and `lax.scan` through the steps.

A step's derivative is linear in what came before it. With its coefficients known (`Cell.slopes`), the derivative by the weight is
one product for all steps, outside of the loop; XLA's own derivative of the loop adds to a gradient of the weight's size at
each step (measured: 1.2 to 2.6 times as slow).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from .product import product as native_product

__all__ = ["CELLS", "Known", "Linear", "Weights", "changes", "gradients", "product", "shifted", "steps", "with_bias"]

State = tuple[jax.Array, ...]  # (h,), or (h, c)

# --- cells: what happens to the sums at one step --------------------------------------------------------------------------


class Cell(NamedTuple):
    """A kind of cell. `x` and `g` are the input's and the hidden state's shares of the sums, of `chunks` gates.

    `step(x, g, state)` gives the next state and what the derivative needs of the step. `slopes(saved, before, after)` are the
    coefficients with which `tangent(dx, dg, dstate, slopes)` is the change of the next state. The change of what was saved is
    `saved_tangent(dx, dg, saved)`.
    """

    chunks: int
    step: Callable[[jax.Array, jax.Array, State], tuple[State, State]]
    slopes: Callable[[State, State, State], State]
    tangent: Callable[[jax.Array, jax.Array, State, State], State]
    saved_tangent: Callable[[jax.Array, jax.Array, State], State]


def _parts(x: jax.Array, count: int) -> list[jax.Array]:
    return jnp.split(x, count, -1)


def _lstm_step(x: jax.Array, g: jax.Array, state: State) -> tuple[State, State]:
    """Input, forget and output gates over a memory cell (Hochreiter and Schmidhuber, 1997; Gers et al., 2000)."""
    i, f, u, o = _parts(x + g, 4)
    i, f, u, o = jax.nn.sigmoid(i), jax.nn.sigmoid(f), jnp.tanh(u), jax.nn.sigmoid(o)
    c = f * state[1] + i * u
    return (o * jnp.tanh(c), c), (jnp.concatenate([i, f, u, o], -1),)


def _lstm_slopes(saved: State, before: State, after: State) -> State:
    i, f, u, o = _parts(saved[0], 4)
    t = jnp.tanh(f * before[1] + i * u)
    into_c = jnp.concatenate([u * i * (1 - i), before[1] * f * (1 - f), i * (1 - u * u)], -1)
    return into_c, f, o * (1 - t * t), t * o * (1 - o)


def _lstm_tangent(dx: jax.Array, dg: jax.Array, d: State, slopes: State) -> State:
    into_c, f, through_c, into_o = slopes
    sums = dx + dg
    size = f.shape[-1]
    di, df, du = _parts(into_c * sums[..., : 3 * size], 3)
    dc = f * d[1] + di + df + du
    return through_c * dc + into_o * sums[..., 3 * size :], dc


def _lstm_saved_tangent(dx: jax.Array, dg: jax.Array, saved: State) -> State:
    i, f, u, o = _parts(saved[0], 4)
    return (jnp.concatenate([i * (1 - i), f * (1 - f), 1 - u * u, o * (1 - o)], -1) * (dx + dg),)


def _gru_step(x: jax.Array, g: jax.Array, state: State) -> tuple[State, State]:
    """Reset and update gates (Cho et al., 2014); the reset gate acts on the hidden state's product, bias included."""
    (xr, xz, xn), (gr, gz, gn) = _parts(x, 3), _parts(g, 3)
    r, z = jax.nn.sigmoid(xr + gr), jax.nn.sigmoid(xz + gz)
    n = jnp.tanh(xn + r * gn)
    return (n + z * (state[0] - n),), (jnp.concatenate([r, z, n], -1), gn)


def _gru_slopes(saved: State, before: State, after: State) -> State:
    (r, z, n), gn = _parts(saved[0], 3), saved[1]
    into_n = (1 - z) * (1 - n * n)
    return jnp.concatenate([into_n * gn * r * (1 - r), (before[0] - n) * z * (1 - z), into_n], -1), r, z


def _gru_tangent(dx: jax.Array, dg: jax.Array, d: State, slopes: State) -> State:
    into, r, z = slopes
    size = r.shape[-1]
    dr, dz = _parts(into[..., : 2 * size] * (dx + dg)[..., : 2 * size], 2)
    dn = into[..., 2 * size :] * (dx[..., 2 * size :] + r * dg[..., 2 * size :])
    return (dr + dz + dn + z * d[0],)


def _gru_saved_tangent(dx: jax.Array, dg: jax.Array, saved: State) -> State:
    (r, z, n), gn = _parts(saved[0], 3), saved[1]
    (xr, xz, xn), (gr, gz, dgn) = _parts(dx, 3), _parts(dg, 3)
    dr, dz = r * (1 - r) * (xr + gr), z * (1 - z) * (xz + gz)
    return jnp.concatenate([dr, dz, (1 - n * n) * (xn + r * dgn + gn * dr)], -1), dgn


def _elman(activation: Callable[[jax.Array], jax.Array], slope: Callable[[jax.Array], jax.Array]) -> Cell:
    """A cell without gates (Elman, 1990). `slope` is the activation's, by its result."""
    return Cell(
        1,
        lambda x, g, state: ((activation(x + g),), ()),
        lambda saved, before, after: (slope(after[0]),),
        lambda dx, dg, d, slopes: (slopes[0] * (dx + dg),),
        lambda dx, dg, saved: (),
    )


def _is_positive(x: jax.Array) -> jax.Array:
    return jnp.where(x > 0, jnp.ones((), x.dtype), jnp.zeros((), x.dtype))


def _relu(x: jax.Array) -> jax.Array:
    return jnp.maximum(x, jnp.zeros((), x.dtype))


CELLS = {
    "lstm": Cell(4, _lstm_step, _lstm_slopes, _lstm_tangent, _lstm_saved_tangent),
    "gru": Cell(3, _gru_step, _gru_slopes, _gru_tangent, _gru_saved_tangent),
    "rnn_tanh": _elman(jnp.tanh, lambda h: 1 - jnp.square(h)),
    "rnn_relu": _elman(_relu, _is_positive),
}

# --- products ----------------------------------------------------------------------------------------------------------------


def product(a: jax.Array, weight: jax.Array) -> jax.Array:
    """`a @ weight.T` in the weight's precision; the sums of half precision stay in float32."""
    a = a.astype(weight.dtype)
    if weight.dtype == jnp.float32 and a.size:
        rows = a.reshape(-1, a.shape[-1])
        return native_product(rows, weight, transpose_b=True).reshape(*a.shape[:-1], weight.shape[0])
    kept = jnp.float32 if weight.dtype in (jnp.float16, jnp.bfloat16) else weight.dtype
    return lax.dot_general(a, weight, (((a.ndim - 1,), (1,)), ((), ())), preferred_element_type=kept)


def with_bias(x: jax.Array, bias: jax.Array | None) -> jax.Array:
    """`x + bias`, if there is one, in the precision of `x`."""
    return x if bias is None else x + bias.astype(x.dtype)


# --- the steps -----------------------------------------------------------------------------------------------------------------


class Weights(NamedTuple):
    """What the steps need: of the hidden state's product, the input's bias, and of the projection (`proj_size`) if there is one."""

    hidden: jax.Array
    bias: jax.Array | None
    input_bias: jax.Array | None
    projection: jax.Array | None


class Linear(NamedTuple):
    """What the states' change is linear in: changes of the input's and the hidden state's shares of the sums that come from
    outside of the loop (as one where a cell just adds them), of the projections, and of the state before the first step."""

    x: jax.Array
    share: jax.Array | None
    projected: jax.Array | None
    state: State


class Known(NamedTuple):
    """The values around which it is linear."""

    hidden: jax.Array
    projection: jax.Array | None
    state: State
    states: State
    saved: State
    mask: jax.Array | None


def _kept(mask: jax.Array | None, new: Sequence[jax.Array], old: Sequence[jax.Array]) -> State:
    """The new state of sequences that are still (or already) going on, the old one of the others."""
    return tuple(new) if mask is None else tuple(jnp.where(mask[:, None], n, o) for n, o in zip(new, old, strict=True))


def steps(
    kind: str, reverse: bool, x: jax.Array, state: State, weights: Weights, mask: jax.Array | None
) -> tuple[State, State]:
    """All states after each step, and what the derivative needs: of the cell, and the hidden state before projection.

    Shapes: x `(T, B, chunks * H)`, each state `(B, H)`, mask `(T, B)`.
    """
    cell = CELLS[kind]

    def step(carry: State, now: tuple[jax.Array, jax.Array | None]) -> tuple[State, tuple[State, State]]:
        x, mask = now
        new, saved = cell.step(x, with_bias(product(carry[0], weights.hidden), weights.bias), carry)
        if weights.projection is not None:
            saved += new[:1]
            new = (product(new[0], weights.projection), *new[1:])
        new = _kept(mask, new, carry)
        return new, (new, saved)

    return lax.scan(step, state, (with_bias(x, weights.input_bias), mask), reverse=reverse)[1]


def shifted(states: jax.Array, first: jax.Array, reverse: bool) -> jax.Array:
    """The states before each step."""
    first = first[None]
    return jnp.concatenate([states[1:], first] if reverse else [first, states[:-1]])


def changes(kind: str, reverse: bool, linear: Linear, known: Known) -> tuple[State, State]:
    """The changes of the states and of what was saved."""
    cell = CELLS[kind]
    before = tuple(shifted(all_, first, reverse) for all_, first in zip(known.states, known.state, strict=True))
    slopes = cell.slopes(known.saved, before, known.states)

    def step(carry: State, now: Any) -> tuple[State, tuple[State, State]]:
        dx, share, projected, slopes, mask = now
        dg = product(carry[0], known.hidden)
        dg = dg if share is None else dg + share
        new = cell.tangent(dx, dg, carry, slopes)
        outside: State = (dg,)
        if known.projection is not None:
            outside += new[:1]
            new = (projected + product(new[0], known.projection), *new[1:])
        new = _kept(mask, new, carry)
        return new, (new, outside)

    over = (linear.x, linear.share, linear.projected, slopes, known.mask)
    _, (states, (dg, *shown)) = lax.scan(step, linear.state, over, reverse=reverse)
    return states, (*cell.saved_tangent(linear.x, dg, known.saved), *shown)


def gradients(kind: str, reverse: bool, by_states: Sequence[jax.Array | None], known: Known) -> Linear:
    """The transpose of the states' changes: what has arrived at the states after each step, carried back to what is `Linear`."""
    sums = (*known.states[0].shape[:2], CELLS[kind].chunks * known.states[-1].shape[-1])
    x: Any = jax.ShapeDtypeStruct(sums, known.states[0].dtype)
    like = Linear(x, x if kind == "gru" else None, None if known.projection is None else known.states[0], known.state)
    pull = jax.linear_transpose(lambda linear: changes(kind, reverse, linear, known)[0], like)
    given = tuple(jnp.zeros_like(all_) if by is None else by for by, all_ in zip(by_states, known.states, strict=True))
    (made,) = pull(given)
    return made
