"""Recurrent layers: one pure array function for a layer in one direction, whatever its cell.

The input's product is made for all steps at once; the steps are a native kernel or `lax.scan` (`native/recurrent.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ...core.context.grad_mode import state as grad_state
from ...core.dispatch.autocast import lowered
from ...core.dispatch.operator import Array, composite, operator
from ...core.tensor.tensor import Tensor
from ...native.recurrent import steps
from ...native.xla_recurrent import CELLS, State, Weights, product, with_bias
from ..shape.joining import cat, stack
from ..support.checks import type_name, wide
from .dropout import dropout as drop
from .packing import check_sizes, packed, padded, rounded_steps

# --- the operators ------------------------------------------------------------------------------------------------------


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
    x = product(input, w_ih)
    start = tuple(wide(s).astype(x.dtype) for s in given)
    states = steps(kind, reverse, x, start, Weights(w_hh, b_hh, b_ih, w_hr), mask)
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
    x = with_bias(product(input, w_ih), b_ih)
    start = tuple(wide(s).astype(x.dtype) for s in given)
    new, _ = CELLS[kind].step(x, with_bias(product(start[0], w_hh), b_hh), start)
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
                    input, *weights = (w if w is None else lowered(w) for w in (input, *weights))  # type: ignore[assignment]
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


lstm: Any
gru: Any
rnn_tanh: Any
rnn_relu: Any
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
        input, *weights = (w if w is None else lowered(w) for w in (input, *weights))  # type: ignore[assignment]
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


gru_cell: Callable[..., Tensor] = _cell_function("gru")
rnn_tanh_cell: Callable[..., Tensor] = _cell_function("rnn_tanh")
rnn_relu_cell: Callable[..., Tensor] = _cell_function("rnn_relu")
