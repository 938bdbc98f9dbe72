"""Recurrent layers: one pure array function for a layer in one direction, whatever its cell.

The input's product is made for all steps at once, then `lax.scan` goes through the steps. A step's derivative is linear in
what came before it; with its coefficients known, the weight's part of it is again one product for all steps. That is said as
a rule for tangents (`jax.custom_jvp`), so that every transform and every order of derivatives works; XLA's own derivative of
the loop adds to a gradient of the weight's size at each step (measured: 1.2 to 2.6 times as slow).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from ...core.context.grad_mode import state as grad_state
from ...core.dispatch.autocast import lowered
from ...core.dispatch.operator import Array, composite, operator
from ...core.tensor.tensor import Tensor
from ..shape.joining import cat, stack
from ..support.checks import HALVES, type_name, wide
from .dropout import dropout as drop
from .packing import check_sizes, packed, padded, rounded_steps

State = tuple[jax.Array, ...]  # (h,), or (h, c)

# --- cells: what happens to the sums at one step --------------------------------------------------------------------------


def _parts(x: jax.Array, count: int) -> list[jax.Array]:
    return jnp.split(x, count, -1)


class Cell(NamedTuple):
    """A kind of cell. `x` and `g` are the input's and the hidden state's shares of the sums, of `chunks` gates.

    `step(x, g, state)` gives the next state; `slopes(x, g, state)` the coefficients of its derivative, with which
    `tangent(dx, dg, dstate, slopes)` is the change of the next state.
    """

    chunks: int
    step: Callable[[jax.Array, jax.Array, State], State]
    slopes: Callable[[jax.Array, jax.Array, State], tuple[jax.Array, ...]]
    tangent: Callable[[jax.Array, jax.Array, State, tuple[jax.Array, ...]], State]


def _lstm_gates(x: jax.Array, g: jax.Array) -> tuple[jax.Array, ...]:
    i, f, u, o = _parts(x + g, 4)
    return jax.nn.sigmoid(i), jax.nn.sigmoid(f), jnp.tanh(u), jax.nn.sigmoid(o)


def _lstm_step(x: jax.Array, g: jax.Array, state: State) -> State:
    """Input, forget and output gates over a memory cell (Hochreiter and Schmidhuber, 1997; Gers et al., 2000)."""
    i, f, u, o = _lstm_gates(x, g)
    c = f * state[1] + i * u
    return o * jnp.tanh(c), c


def _lstm_slopes(x: jax.Array, g: jax.Array, state: State) -> tuple[jax.Array, ...]:
    i, f, u, o = _lstm_gates(x, g)
    t = jnp.tanh(f * state[1] + i * u)
    into_c = jnp.concatenate([u * i * (1 - i), state[1] * f * (1 - f), i * (1 - u * u)], -1)
    return into_c, f, o * (1 - t * t), t * o * (1 - o)


def _lstm_tangent(dx: jax.Array, dg: jax.Array, d: State, slopes: tuple[jax.Array, ...]) -> State:
    into_c, f, through_c, into_o = slopes
    sums = dx + dg
    size = f.shape[-1]
    di, df, du = _parts(into_c * sums[..., : 3 * size], 3)
    dc = f * d[1] + di + df + du
    return through_c * dc + into_o * sums[..., 3 * size :], dc


def _gru_gates(x: jax.Array, g: jax.Array) -> tuple[jax.Array, ...]:
    (xr, xz, xn), (gr, gz, gn) = _parts(x, 3), _parts(g, 3)
    r, z = jax.nn.sigmoid(xr + gr), jax.nn.sigmoid(xz + gz)
    return r, z, jnp.tanh(xn + r * gn), gn


def _gru_step(x: jax.Array, g: jax.Array, state: State) -> State:
    """Reset and update gates (Cho et al., 2014); the reset gate acts on the hidden state's product, bias included."""
    _, z, n, _ = _gru_gates(x, g)
    return (n + z * (state[0] - n),)


def _gru_slopes(x: jax.Array, g: jax.Array, state: State) -> tuple[jax.Array, ...]:
    r, z, n, gn = _gru_gates(x, g)
    into_n = (1 - z) * (1 - n * n)
    return jnp.concatenate([into_n * gn * r * (1 - r), (state[0] - n) * z * (1 - z), into_n], -1), r, z


def _gru_tangent(dx: jax.Array, dg: jax.Array, d: State, slopes: tuple[jax.Array, ...]) -> State:
    into, r, z = slopes
    size = r.shape[-1]
    dr, dz = _parts(into[..., : 2 * size] * (dx + dg)[..., : 2 * size], 2)
    dn = into[..., 2 * size :] * (dx[..., 2 * size :] + r * dg[..., 2 * size :])
    return (dr + dz + dn + z * d[0],)


def _elman(activation: Callable[[jax.Array], jax.Array], slope: Callable[[jax.Array], jax.Array]) -> Cell:
    """A cell without gates (Elman, 1990)."""
    return Cell(
        1,
        lambda x, g, state: (activation(x + g),),
        lambda x, g, state: (slope(x + g),),
        lambda dx, dg, d, slopes: (slopes[0] * (dx + dg),),
    )


def _tanh_slope(x: jax.Array) -> jax.Array:
    return 1 - jnp.square(jnp.tanh(x))


def _step_function(x: jax.Array) -> jax.Array:
    return jnp.where(x > 0, jnp.ones((), x.dtype), jnp.zeros((), x.dtype))


def _relu(x: jax.Array) -> jax.Array:
    return jnp.maximum(x, jnp.zeros((), x.dtype))


CELLS = {
    "lstm": Cell(4, _lstm_step, _lstm_slopes, _lstm_tangent),
    "gru": Cell(3, _gru_step, _gru_slopes, _gru_tangent),
    "rnn_tanh": _elman(jnp.tanh, _tanh_slope),
    "rnn_relu": _elman(_relu, _step_function),
}

# --- products ----------------------------------------------------------------------------------------------------------------


def product(a: jax.Array, weight: jax.Array) -> jax.Array:
    """`a @ weight.T` in the weight's precision; the sums of half precision stay in float32."""
    kept = jnp.float32 if weight.dtype in HALVES else weight.dtype
    contracted = (((a.ndim - 1,), (1,)), ((), ()))
    return lax.dot_general(a.astype(weight.dtype), weight, contracted, preferred_element_type=kept)


def _biased(x: jax.Array, bias: jax.Array | None) -> jax.Array:
    return x if bias is None else x + wide(bias)


# --- the steps -----------------------------------------------------------------------------------------------------------------


class Weights(NamedTuple):
    """What the steps need: of the hidden state's product, and of the projection (`proj_size`) if there is one."""

    hidden: jax.Array
    bias: jax.Array | None
    projection: jax.Array | None


def _kept(mask: jax.Array | None, new: Sequence[jax.Array], old: Sequence[jax.Array]) -> State:
    """The new state of sequences that are still (or already) going on, the old one of the others."""
    return tuple(new) if mask is None else tuple(jnp.where(mask[:, None], n, o) for n, o in zip(new, old, strict=True))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _steps(
    kind: str, reverse: bool, x: jax.Array, state: State, weights: Weights, mask: jax.Array | None
) -> tuple[State, State]:
    """All states after each step, and what the derivative needs: the hidden state's share, the state before projection.

    Shapes: x `(T, B, chunks * H)`, each state `(B, H)`, mask `(T, B)`.
    """
    cell = CELLS[kind]

    def step(carry: State, now: tuple[jax.Array, jax.Array | None]) -> tuple[State, tuple[State, State]]:
        x, mask = now
        g = _biased(product(carry[0], weights.hidden), weights.bias)
        new = cell.step(x, g, carry)
        saved: State = (g,)
        if weights.projection is not None:
            saved += new[:1]
            new = (product(new[0], weights.projection), *new[1:])
        new = _kept(mask, new, carry)
        return new, (new, saved)

    return lax.scan(step, state, (x, mask), reverse=reverse)[1]


@_steps.defjvp
def _steps_tangent(kind: str, reverse: bool, primals: Any, tangents: Any) -> Any:
    cell = CELLS[kind]
    x, state, weights, mask = primals
    dx, dstate, dweights, _ = tangents
    states, saved = _steps(kind, reverse, x, state, weights, mask)
    before = tuple(_shifted(all_, first, reverse) for all_, first in zip(states, state, strict=True))
    slopes = cell.slopes(x, saved[0], before)
    by_weight = _biased(product(before[0], dweights.hidden), dweights.bias)
    by_projection = None if weights.projection is None else product(saved[1], dweights.projection)

    def step(carry: State, now: Any) -> tuple[State, tuple[State, State]]:
        dx, by_weight, by_projection, slopes, mask = now
        dg = by_weight + product(carry[0], weights.hidden)
        new = cell.tangent(dx, dg, carry, slopes)
        dsaved: State = (dg,)
        if by_projection is not None:
            dsaved += new[:1]
            new = (by_projection + product(new[0], weights.projection), *new[1:])
        new = _kept(mask, new, carry)
        return new, (new, dsaved)

    _, dout = lax.scan(step, dstate, (dx, by_weight, by_projection, slopes, mask), reverse=reverse)
    return (states, saved), dout


def _shifted(states: jax.Array, first: jax.Array, reverse: bool) -> jax.Array:
    """The states before each step."""
    first = first[None]
    return jnp.concatenate([states[1:], first] if reverse else [first, states[:-1]])


def _layer_label(arrays: Sequence[Any], statics: dict[str, Any]) -> str:
    in_one = statics["kind"] == "lstm" and arrays[0].dtype.itemsize < 8 and not statics["packed"]
    return "MkldnnRnnLayerBackward0" if in_one else "StackBackward0"


@operator(methods=False, public=(), grad=_layer_label)
def layer(
    input: Array, h: Array, c: Array | None, w_ih: Array, w_hh: Array, b_ih: Array | None, b_hh: Array | None,
    w_hr: Array | None, mask: Array | None, *, kind: str, reverse: bool, packed: bool,
) -> Any:  # fmt: skip
    """One layer in one direction: the outputs of all steps, and the state after the last one.

    Shapes: input `(T, B, in)`, states `(B, H)`; `mask` `(T, B)` tells which steps each sequence has.
    """
    given: State = (h,) if c is None else (h, c)
    x = _biased(product(input, w_ih), b_ih)
    start = tuple(wide(s).astype(x.dtype) for s in given)
    states, _ = _steps(kind, reverse, x, start, Weights(w_hh, b_hh, w_hr), mask)
    states = tuple(all_.astype(s.dtype) for all_, s in zip(states, given, strict=True))
    return (states[0], *(s[0 if reverse else -1] for s in states))


def _cell_label(arrays: Sequence[Any], statics: dict[str, Any]) -> str:
    names = {"lstm": "MulBackward0", "gru": "AddBackward0", "rnn_tanh": "TanhBackward0", "rnn_relu": "ReluBackward0"}
    return names[statics["kind"]]


@operator(methods=False, public=(), grad=_cell_label)
def cell(
    input: Array, h: Array, c: Array | None, w_ih: Array, w_hh: Array, b_ih: Array | None, b_hh: Array | None,
    *, kind: str,
) -> Any:  # fmt: skip
    """One step of one cell: the new state. Shapes: input `(B, in)`, states `(B, H)`."""
    given: State = (h,) if c is None else (h, c)
    x = _biased(product(input, w_ih), b_ih)
    start = tuple(wide(s).astype(x.dtype) for s in given)
    new = CELLS[kind].step(x, _biased(product(start[0], w_hh), b_hh), start)
    made = tuple(n.astype(s.dtype) for n, s in zip(new, given, strict=True))
    return made if len(made) > 1 else made[0]


# --- layers over each other ------------------------------------------------------------------------------------------------


def _check_together(input: Any, hidden: Sequence[Any], weights: Sequence[Any]) -> None:
    """RuntimeError if dtypes or sizes do not go together."""
    w_ih, w_hh = weights[:2]
    others = [(hidden[-1], w_hh), *((w_ih, w) for w in weights[1:] if w is not None)]
    for rows, weight in ((input, w_ih), (hidden[0], w_hh), *others):
        if rows.dtype is not weight.dtype and grad_state.autocast is None:
            names = f"{type_name(rows._array)} and {type_name(weight._array)}"
            raise RuntimeError(f"mat1 and mat2 must have the same dtype, but got {names}")
    for rows, weight in ((input, w_ih), (hidden[0], w_hh)):
        if weight.ndim != 2 or rows.shape[-1] != weight.shape[1]:
            shape = f"{rows.numel() // max(rows.shape[-1], 1)}x{rows.shape[-1]} and {'x'.join(map(str, weight.shape[::-1]))}"
            raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({shape})")


class _Stack:
    """Layers over each other, in one direction or both, over padded or packed sequences."""

    def __init__(self, kind: str, hidden: Sequence[Any], params: Any, has_biases: bool, layers: int, both_ways: bool):
        self.kind = kind
        self.hidden = hidden
        self.directions = 2 if both_ways else 1
        self.projected = kind == "lstm" and hidden[0].shape[-1] != hidden[1].shape[-1]
        self.has_biases = has_biases
        self.layers = layers
        self.params = list(params)
        each = 2 + 2 * has_biases + self.projected
        wanted = layers * self.directions
        if len(self.params) != each * wanted:
            raise RuntimeError(
                f"{kind}: expected {each} weights for each of {layers} layers and {self.directions} directions, "
                f"got {len(self.params)} (ArrayRef size {len(self.params)} not divisible by stride {each}, or of another length)"
            )
        for state in hidden:
            if state.ndim != 3 or state.shape[0] != wanted:
                raise RuntimeError(f"Expected hidden size ({wanted}, batch, hidden), got {list(state.shape)}")

    def weights(self, place: int) -> tuple[Any, ...]:
        """w_ih, w_hh, b_ih, b_hh and w_hr of a layer and direction; None for what it has not."""
        each = 2 + 2 * self.has_biases + self.projected
        own = self.params[each * place : each * (place + 1)]
        biases = own[2:4] if self.has_biases else (None, None)
        return (*own[:2], *biases, own[-1] if self.projected else None)

    def run(self, input: Any, p: float, sizes: Any = None) -> tuple[Any, list[Any]]:
        """The last layer's outputs, and the final states. `input` is `(T, B, in)`, or packed rows if there are `sizes`."""
        steps = rounded_steps(len(sizes)) if sizes is not None else 0
        batch = self.hidden[0].shape[1]
        starts = [state.unbind(0) for state in self.hidden]
        ends: list[list[Any]] = [[] for _ in self.hidden]
        mask, rows = None, len(input)
        lower = grad_state.autocast is not None
        for number in range(self.layers):
            if sizes is not None and input.ndim == 2:
                input, mask = padded(input, sizes, steps=steps, batch=batch)
            outputs = []
            for direction in range(self.directions):
                place = number * self.directions + direction
                weights = self.weights(place)
                states = [start[place] for start in starts]
                _check_together(input, states, weights)
                if lower:
                    input, *weights = (w if w is None else lowered(w) for w in (input, *weights))
                    states = [lowered(s) for s in states] if self._wholly_lower(sizes) else states
                output, *final = layer(
                    input, states[0], states[1] if len(states) > 1 else None, *weights, mask,
                    kind=self.kind, reverse=direction == 1, packed=sizes is not None,
                )  # fmt: skip
                outputs.append(output)
                for end, state in zip(ends, final, strict=True):
                    end.append(state)
            input = outputs[0] if len(outputs) == 1 else cat(outputs, -1)
            last = number == self.layers - 1
            if sizes is not None and (last or p > 0):
                input = packed(input, sizes, count=rows, computed=True)
            if p > 0 and not last:
                input = drop(input, p, True)
        return input, [stack(end) for end in ends]

    def _wholly_lower(self, sizes: Any) -> bool:
        """Whether autocast casts the states, too. PyTorch keeps them where it goes step by step and adds to them."""
        return self.kind.startswith("rnn") or (self.kind == "lstm" and sizes is None and not self.projected)


def _run(
    kind: str, input: Any, hidden: Sequence[Any], params: Any, has_biases: bool, num_layers: int, dropout: float,
    train: bool, bidirectional: bool, batch_first: bool = False, sizes: Any = None,
) -> tuple[Any, ...]:  # fmt: skip
    if kind == "lstm" and len(hidden) != 2:
        raise RuntimeError("lstm expects two hidden states")
    if not 0.0 <= dropout <= 1.0:
        raise RuntimeError(f"dropout probability has to be between 0 and 1, but got {dropout}")
    dims = 3 if sizes is None else 2
    input.size(dims - 1)  # IndexError if there is no such dimension
    if input.ndim != dims:
        raise RuntimeError(f"{kind}: expected an input with {dims} dimensions, got {list(input.shape)}")
    stacked = _Stack(kind, hidden, params, has_biases, num_layers, bidirectional)
    if sizes is not None:
        check_sizes(input, sizes)
    if batch_first:
        input = input.transpose(0, 1)
    if len(input) == 0:
        raise RuntimeError("Expected sequence length to be larger than 0 in RNN")
    if sizes is None and input.shape[1] != hidden[0].shape[1]:
        raise RuntimeError(f"Expected a hidden state for {input.shape[1]} sequences, got {list(hidden[0].shape)}")
    output, final = stacked.run(input, float(dropout) if train else 0.0, sizes)
    return output.transpose(0, 1) if batch_first else output, *final


def _over(kind: str) -> Any:
    """`torch.lstm` and the like, which take `(input, hx, params, ...)` or `(data, batch_sizes, hx, params, ...)`."""
    settings = ("params", "has_biases", "num_layers", "dropout", "train", "bidirectional")
    packed_names = ("data", "batch_sizes", "hx", *settings)
    plain_names = ("input", "hx", *settings, "batch_first")

    def form(*args: Any, **kwargs: Any) -> Any:
        is_state = isinstance(args[2], (Tensor, tuple, list)) if len(args) > 2 else False
        is_packed = "batch_sizes" in kwargs or (len(args) > 1 and isinstance(args[1], Tensor) and is_state)
        if is_packed and kind != "lstm" and len(args) > 2:
            is_packed = isinstance(args[2], Tensor)
        names = packed_names if is_packed else plain_names
        given = dict(zip(names, args, strict=False)) | kwargs
        if len(args) > len(names) or set(given) != set(names):
            raise TypeError(
                f"{kind}() received an invalid combination of arguments; expected ({', '.join(packed_names)}) or "
                f"({', '.join(plain_names)})"
            )
        hidden = (given.pop("hx"),) if kind != "lstm" else tuple(given.pop("hx"))
        data = given.pop("data" if is_packed else "input")
        return _run(kind, data, hidden, sizes=given.pop("batch_sizes", None), **given)

    form.__name__ = form.__qualname__ = kind
    form.__doc__ = (
        f"The layers of an `nn.{'LSTM' if kind == 'lstm' else 'GRU' if kind == 'gru' else 'RNN'}` as a function.\n\n"
        "Takes `(input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first)`, or of packed\n"
        "sequences `(data, batch_sizes, hx, params, has_biases, num_layers, dropout, train, bidirectional)`.\n"
        "RuntimeError if sizes or dtypes do not go together."
    )
    return composite(methods=False)(form)


lstm, gru, rnn_tanh, rnn_relu = map(_over, CELLS)

# --- cells as functions -------------------------------------------------------------------------------------------------------


def _one_step(
    kind: str, input: Any, hidden: Sequence[Any], w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None
) -> Any:
    if input.size(1) != w_ih.shape[1]:  # IndexError if there is no such dimension
        raise RuntimeError(f"input has inconsistent input_size: got {input.shape[1]} expected {w_ih.shape[1]}")
    size = w_hh.shape[1]
    for number, state in enumerate(hidden):
        if state.ndim == 0 or len(state) != len(input):
            raise RuntimeError(
                f"Input batch size {len(input)} doesn't match hidden{number} batch size {len(state) if state.ndim else 0}"
            )
        if state.ndim != 2 or state.shape[1] != size:
            raise RuntimeError(
                f"hidden{number} has inconsistent hidden_size: got {state.shape[1] if state.ndim > 1 else 0}, expected {size}"
            )
    for name, weight in (("weight_ih", w_ih), ("weight_hh", w_hh)):
        chunks = CELLS[kind].chunks
        if weight.shape[0] != chunks * size:
            raise RuntimeError(
                f"{name} first dim must be {chunks} * hidden_size = {chunks * size}, but got {weight.shape[0]}"
            )
    weights = (w_ih, w_hh, b_ih, b_hh)
    _check_together(input, hidden, weights)
    if grad_state.autocast is not None:
        input, *weights = (w if w is None else lowered(w) for w in (input, *weights))
        hidden = [lowered(s) for s in hidden] if kind.startswith("rnn") else hidden
    return cell(input, hidden[0], hidden[1] if len(hidden) > 1 else None, *weights, kind=kind)


@composite(methods=False)
def lstm_cell(input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Any:
    """One step of an LSTM: the new `(h, c)`. Shapes: input `(B, in)`, both of `hx` `(B, H)`, as `nn.LSTMCell`."""
    if isinstance(hx, Tensor):
        raise TypeError("lstm_cell(): argument 'hx' (position 2) must be tuple of Tensors, not Tensor")
    if len(hx) != 2:
        raise RuntimeError("lstm_cell expects two hidden states")
    return _one_step("lstm", input, hx, w_ih, w_hh, b_ih, b_hh)


def _cell_function(kind: str) -> Any:
    def form(input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Any:
        return _one_step(kind, input, (hx,), w_ih, w_hh, b_ih, b_hh)

    form.__name__ = form.__qualname__ = f"{kind}_cell"
    form.__doc__ = "One step of a cell: the new hidden state. Shapes: input `(B, in)`, `hx` `(B, H)`."
    return composite(methods=False)(form)


gru_cell, rnn_tanh_cell, rnn_relu_cell = map(_cell_function, ("gru", "rnn_tanh", "rnn_relu"))
