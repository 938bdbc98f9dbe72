"""Recurrent layers and their cells."""

from __future__ import annotations

import math
import numbers
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Self, overload

from ... import _VF
from ...core.context.grad_mode import state as grad_state
from ...core.dispatch.messages import message
from ...core.tensor.tensor import Tensor
from ...ops.making.constants import zeros
from ...ops.making.creation import empty
from .. import init
from ..parameter import Parameter
from ..utils.rnn import PackedSequence
from .module import Module

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNBase", "RNNCell", "RNNCellBase"]

_CHUNKS = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}
_rnn_impls = {"RNN_TANH": _VF.rnn_tanh, "RNN_RELU": _VF.rnn_relu}


def _apply_permutation(tensor: Tensor, permutation: Tensor, dim: int = 1) -> Tensor:
    return tensor.index_select(dim, permutation)  # type: ignore[attr-defined]


def apply_permutation(tensor: Tensor, permutation: Tensor, dim: int = 1) -> Tensor:
    """Deprecated: `tensor.index_select(dim, permutation)`."""
    warnings.warn(
        message("apply_permutation_deprecated"),
        FutureWarning,
        stacklevel=2,
    )
    return _apply_permutation(tensor, permutation, dim)


def _draw(module: Module, hidden_size: int) -> None:
    bound = 1.0 / math.sqrt(hidden_size) if hidden_size > 0 else 0.0
    for parameter in module.parameters():
        init.uniform_(parameter, -bound, bound)


class RNNBase(Module):
    """What recurrent layers have in common: weights by layer and direction, checks, packed sequences.

    The weights are `weight_ih_l{layer}`, `weight_hh_l{layer}`, `bias_ih_l{layer}`, `bias_hh_l{layer}`, and `weight_hr_l{layer}`
    with `proj_size`; those of the other direction end in `_reverse`. All are drawn from +-1 / sqrt(hidden_size).
    ValueError or TypeError for sizes that can't be.
    """

    __constants__: ClassVar[list[str]] = [
        "mode", "input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional", "proj_size",
    ]  # fmt: skip

    mode: str
    input_size: int
    hidden_size: int
    num_layers: int
    bias: bool
    batch_first: bool
    dropout: float
    bidirectional: bool
    proj_size: int

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        if not isinstance(batch_first, bool):
            raise TypeError(f"batch_first should be of type bool, got: {type(batch_first).__name__}")
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        self._check_settings(dropout)
        self._all_weights = self._named_weights()
        self._flat_weights_names = [name for names in self._all_weights for name in names]
        chunks = _CHUNKS[mode]
        out = proj_size or hidden_size
        for place, names in enumerate(self._all_weights):
            features = input_size if place < self._directions else out * self._directions
            shapes: dict[str, tuple[int, ...]] = {
                "weight_ih": (chunks * hidden_size, features),
                "weight_hh": (chunks * hidden_size, out),
            }
            shapes |= {"bias_ih": (chunks * hidden_size,), "bias_hh": (chunks * hidden_size,)}
            shapes["weight_hr"] = (proj_size, hidden_size)
            for name in names:
                shape = shapes[name.partition("_l")[0]]
                self.register_parameter(name, Parameter(empty(shape, device=device, dtype=dtype)))
        self.reset_parameters()

    @property
    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    def _check_settings(self, dropout: Any) -> None:
        if not isinstance(dropout, numbers.Number) or not 0 <= dropout <= 1 or isinstance(dropout, bool):  # type: ignore[operator]
            raise ValueError(
                "dropout should be a number in range [0, 1] representing the probability of an element being zeroed"
            )
        if not isinstance(self.bias, bool):
            raise TypeError(f"bias should be of type bool, got: {type(self.bias).__name__}")
        if dropout > 0 and self.num_layers == 1:  # type: ignore[operator]
            warnings.warn(
                "dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects "
                f"num_layers greater than 1, but got dropout={dropout} and num_layers={self.num_layers}",
                stacklevel=4,
            )
        for name in ("input_size", "hidden_size"):
            if not isinstance(getattr(self, name), int):
                raise TypeError(f"{name} should be of type int, got: {type(getattr(self, name)).__name__}")
        for name in ("input_size", "hidden_size", "num_layers"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be greater than zero")
        if self.proj_size < 0:
            raise ValueError(message("proj_size_negative"))
        if self.proj_size >= self.hidden_size:
            raise ValueError("proj_size has to be smaller than hidden_size")
        if self.mode not in _CHUNKS:
            raise ValueError(f"Unrecognized RNN mode: {self.mode}")

    # --- weights ------------------------------------------------------------------------------------------------------

    def _named_weights(self) -> list[list[str]]:
        """The names of the weights, by layer and direction."""
        kinds = (
            ["weight_ih", "weight_hh"] + ["bias_ih", "bias_hh"] * bool(self.bias) + ["weight_hr"] * bool(self.proj_size)
        )
        ends = ("", "_reverse")[: self._directions]
        return [[f"{kind}_l{layer}{end}" for kind in kinds] for layer in range(self.num_layers) for end in ends]

    def _current_weights(self) -> list[Any]:
        return [getattr(self, name, None) for name in self._flat_weights_names]

    @property
    def _flat_weights(self) -> list[Any]:
        """The weights that the layer computes with: whatever lies under their names now, be it a parameter or not."""
        return self._current_weights()

    @_flat_weights.setter
    def _flat_weights(self, weights: list[Any]) -> None:
        for name, old, new in zip(self._flat_weights_names, self._current_weights(), weights, strict=True):
            if new is not old:
                setattr(self, name, new)

    @property
    def all_weights(self) -> list[list[Any]]:
        """The weights, by layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    def flatten_parameters(self) -> None:
        """Nothing: weights need not lie in one piece of memory here."""

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        _draw(self, self.hidden_size)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_flat_weights": self._current_weights()}  # as PyTorch's pickles have it

    def __setstate__(self, d: dict[str, Any]) -> None:
        state = {k: v for k, v in d.items() if k not in ("_flat_weights", "_flat_weight_refs", "all_weights")}
        super().__setstate__(state)
        self.__dict__.setdefault("proj_size", 0)
        self._all_weights = self._named_weights()
        self._flat_weights_names = [name for names in self._all_weights for name in names]

    def _replicate_for_data_parallel(self) -> Self:
        replica = type(self).__new__(type(self))
        replica.__dict__.update(self.__dict__)
        for table in ("_parameters", "_buffers", "_modules"):
            replica.__dict__[table] = dict(self.__dict__[table])
        return replica

    # --- checks -------------------------------------------------------------------------------------------------------

    def check_input(self, input: Tensor, batch_sizes: Tensor | None) -> None:
        """ValueError or RuntimeError unless the input has the weights' dtype, `input_size` features and the right dimensions."""
        weight = getattr(self, self._flat_weights_names[0])
        if input.dtype is not weight.dtype and grad_state.autocast is None:
            raise ValueError(
                f"RNN input dtype ({input.dtype}) does not match weight dtype ({weight.dtype}). Convert input: "
                f"input.to({weight.dtype}), or convert model: model.to({input.dtype})"
            )
        wanted = 2 if batch_sizes is not None else 3
        if input.ndim != wanted:
            raise RuntimeError(f"input must have {wanted} dimensions, got {input.ndim}")
        if input.shape[-1] != self.input_size:
            same, name = "must be equal to", "input_size"
            raise RuntimeError(f"input.size(-1) {same} {name}. Expected {self.input_size}, got {input.shape[-1]}")

    def get_expected_hidden_size(self, input: Tensor, batch_sizes: Tensor | None) -> tuple[int, int, int]:
        """The shape of a hidden state for this input."""
        return self.num_layers * self._directions, self._batch(input, batch_sizes), self.proj_size or self.hidden_size

    def _batch(self, input: Tensor, batch_sizes: Tensor | None) -> int:
        if batch_sizes is not None:
            return int(batch_sizes[0])  # type: ignore[index]
        return input.shape[0 if self.batch_first else 1]

    def check_hidden_size(
        self, hx: Tensor, expected_hidden_size: tuple[int, int, int], msg: str = "Expected hidden size {}, got {}"
    ) -> None:
        """RuntimeError unless a hidden state has this shape."""
        if tuple(hx.shape) != tuple(expected_hidden_size):
            raise RuntimeError(msg.format(expected_hidden_size, list(hx.shape)))

    def check_forward_args(self, input: Tensor, hidden: Any, batch_sizes: Tensor | None) -> None:
        """The checks of input and hidden state."""
        self.check_input(input, batch_sizes)
        self.check_hidden_size(hidden, self.get_expected_hidden_size(input, batch_sizes))

    def permute_hidden(self, hx: Any, permutation: Tensor | None) -> Any:
        """A hidden state with its sequences in another order."""
        return hx if permutation is None else _apply_permutation(hx, permutation)

    # --- the call -----------------------------------------------------------------------------------------------------

    def _computed(self, function: Callable[..., Any], input: Any, hx: Any) -> tuple[Any, Any]:
        """`function` of the input and the hidden state (`_many(hx)` tensors of it), both in its own form, and back."""
        settings = (self.bias, self.num_layers, self.dropout, self.training, bool(self.bidirectional))
        if isinstance(input, PackedSequence):
            data, sizes, order, back = input
            hx = self._starting(data, hx, None if order is None else len(order), sizes)
            hx = self.permute_hidden(hx, order)
            self.check_forward_args(data, hx, sizes)
            output, *final = function(data, sizes, hx, self._current_weights(), *settings)
            return PackedSequence(output, sizes, order, back), self.permute_hidden(self._joined(final), back)
        batched = input.dim() == 3
        if not batched:
            self._check_dims(input.dim())
            input = input.unsqueeze(0 if self.batch_first else 1)
        if hx is not None:
            self._check_hidden_dims(hx, batched)
            hx = hx if batched else self._each(hx, lambda state: state.unsqueeze(1))
        hx = self._starting(input, hx, None, None)
        self.check_forward_args(input, hx, None)
        output, *final = function(input, hx, self._current_weights(), *settings, self.batch_first)
        if not batched:
            output = output.squeeze(0 if self.batch_first else 1)
            final = [state.squeeze(1) for state in final]
        return output, self._joined(final)

    def _starting(self, input: Any, hx: Any, batch: int | None, sizes: Any) -> Any:
        """The hidden state to begin with: the one given, or zeros."""
        if hx is not None:
            return hx
        batch = self._batch(input, sizes) if batch is None else batch
        shapes = [(self.num_layers * self._directions, batch, size) for size in self._state_sizes()]
        return self._joined([zeros(shape, dtype=input.dtype, device=input.device) for shape in shapes])

    def _state_sizes(self) -> tuple[int, ...]:
        return (self.hidden_size,)

    def _joined(self, states: list[Any]) -> Any:
        return states[0]

    def _each(self, hx: Any, change: Callable[[Any], Any]) -> Any:
        return change(hx)

    def _check_dims(self, dims: int) -> None:
        if dims != 2:
            kind = self._get_name()
            shown = f"{dims}D tensor" if self.mode.startswith("RNN") else f"{dims}D"
            raise ValueError(f"{kind}: Expected input to be 2D or 3D, got {shown} instead")

    def _check_hidden_dims(self, hx: Any, batched: bool) -> None:
        if hx.dim() != 2 + batched:
            start = "batched 3-D" if batched else "unbatched 2-D"
            raise RuntimeError(f"For {start} input, hx should also be {2 + batched}-D but got {hx.dim()}-D tensor")

    def extra_repr(self) -> str:
        shown = [str(self.input_size), str(self.hidden_size)]
        usual = {
            "proj_size": 0,
            "num_layers": 1,
            "bias": True,
            "batch_first": False,
            "dropout": 0,
            "bidirectional": False,
        }
        own = {name: getattr(self, name) for name in usual}
        return ", ".join(shown + [f"{name}={own[name]}" for name, value in usual.items() if own[name] != value])


class RNN(RNNBase):
    """An Elman network: `h_t = tanh(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh)`, or `relu`, over the steps of a sequence.

    Takes an input `(T, B, in)` (`(B, T, in)` with `batch_first`, `(T, in)` without a batch, or a `PackedSequence`) and a hidden
    state `(layers * directions, B, hidden)` (zeros if there is none); returns the last layer's outputs `(T, B, directions * hidden)`
    and the final hidden states. Between layers, `dropout` is the probability to drop an element in training.
    """

    nonlinearity: str

    if TYPE_CHECKING:  # PyTorch's signature, which is the other one, tells checkers and editors nothing

        def __init__(
            self, input_size: int, hidden_size: int, num_layers: int = 1, nonlinearity: str = "tanh", bias: bool = True, batch_first: bool = False,
            dropout: float = 0.0, bidirectional: bool = False, device: Any = None, dtype: Any = None,
        ) -> None: ...  # fmt: skip

    else:

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            if len(args) > 3:  # the fourth is the nonlinearity
                self.nonlinearity = args[3]
                args = args[:3] + args[4:]
            else:
                self.nonlinearity = kwargs.pop("nonlinearity", "tanh")
            modes = {"tanh": "RNN_TANH", "relu": "RNN_RELU"}
            if self.nonlinearity not in modes:
                raise ValueError(f"Unknown nonlinearity '{self.nonlinearity}'. Select from 'tanh' or 'relu'.")
            _refuse_projection(kwargs)
            super().__init__(modes[self.nonlinearity], *args, **kwargs)

    if TYPE_CHECKING:  # a packed sequence gives a packed one

        @overload  # type: ignore[override, no-overload-impl]
        def __call__(self, input: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]: ...
        @overload
        def __call__(self, input: PackedSequence, hx: Tensor | None = None) -> tuple[PackedSequence, Tensor]: ...

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Tensor]:
        if self.mode not in _rnn_impls:
            raise AssertionError(f"mode must be {' or '.join(_rnn_impls)}, got {self.mode}")
        return self._computed(_rnn_impls[self.mode], input, hx)


def _refuse_projection(kwargs: dict[str, Any]) -> None:
    if "proj_size" in kwargs:
        raise ValueError(message("proj_size_of_lstm_only"))


class LSTM(RNNBase):
    """Long short-term memory: gates decide what a memory cell forgets, takes in and shows (Hochreiter and Schmidhuber, 1997).

    As `RNN`, but the hidden state is a pair `(h, c)`. With `proj_size`, h is a product of that many features of what the cell
    shows (Sak et al., 2014).
    """

    if TYPE_CHECKING:  # PyTorch's signature, which is the other one, tells checkers and editors nothing

        def __init__(
            self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False,
            dropout: float = 0.0, bidirectional: bool = False, proj_size: int = 0, device: Any = None, dtype: Any = None,
        ) -> None: ...  # fmt: skip

    else:

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__("LSTM", *args, **kwargs)

    if TYPE_CHECKING:  # a packed sequence gives a packed one

        @overload  # type: ignore[override, no-overload-impl]
        def __call__(
            self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None
        ) -> tuple[Tensor, tuple[Tensor, Tensor]]: ...
        @overload
        def __call__(
            self, input: PackedSequence, hx: tuple[Tensor, Tensor] | None = None
        ) -> tuple[PackedSequence, tuple[Tensor, Tensor]]: ...

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, tuple[Tensor, Tensor]]:
        return self._computed(_VF.lstm, input, hx)

    def get_expected_cell_size(self, input: Tensor, batch_sizes: Tensor | None) -> tuple[int, int, int]:
        """The shape of a memory cell for this input."""
        return self.num_layers * self._directions, self._batch(input, batch_sizes), self.hidden_size

    def check_forward_args(self, input: Tensor, hidden: Any, batch_sizes: Tensor | None) -> None:
        self.check_input(input, batch_sizes)
        expected = self.get_expected_hidden_size(input, batch_sizes), self.get_expected_cell_size(input, batch_sizes)
        for place, shape in enumerate(expected):
            self.check_hidden_size(hidden[place], shape, f"Expected hidden[{place}] size {{}}, got {{}}")

    def permute_hidden(self, hx: Any, permutation: Tensor | None) -> Any:
        return hx if permutation is None else self._each(hx, lambda state: _apply_permutation(state, permutation))

    def _state_sizes(self) -> tuple[int, ...]:
        return self.proj_size or self.hidden_size, self.hidden_size

    def _joined(self, states: list[Any]) -> Any:
        return tuple(states)

    def _each(self, hx: Any, change: Callable[[Any], Any]) -> Any:
        return tuple(change(state) for state in hx)

    def _check_hidden_dims(self, hx: Any, batched: bool) -> None:
        dims = hx[0].dim(), hx[1].dim()
        if dims != (2 + batched, 2 + batched):
            start = "batched 3-D" if batched else "unbatched 2-D"
            raise RuntimeError(
                f"For {start} input, hx and cx should also be {2 + batched}-D but got ({dims[0]}-D, {dims[1]}-D) tensors"
            )


class GRU(RNNBase):
    """Gated recurrent units (Cho et al., 2014), in PyTorch's form: the reset gate acts on `W_hn h + b_hn`. Otherwise as `RNN`."""

    if TYPE_CHECKING:  # PyTorch's signature, which is the other one, tells checkers and editors nothing

        def __init__(
            self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False,
            dropout: float = 0.0, bidirectional: bool = False, device: Any = None, dtype: Any = None,
        ) -> None: ...  # fmt: skip

    else:

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            _refuse_projection(kwargs)
            super().__init__("GRU", *args, **kwargs)

    if TYPE_CHECKING:  # a packed sequence gives a packed one

        @overload  # type: ignore[override, no-overload-impl]
        def __call__(self, input: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]: ...
        @overload
        def __call__(self, input: PackedSequence, hx: Tensor | None = None) -> tuple[PackedSequence, Tensor]: ...

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Tensor]:
        return self._computed(_VF.gru, input, hx)


# --- cells -----------------------------------------------------------------------------------------------------------


class RNNCellBase(Module):
    """The weights of one step: `weight_ih`, `weight_hh`, `bias_ih` and `bias_hh`, drawn from +-1 / sqrt(hidden_size)."""

    __constants__: ClassVar[list[str]] = ["input_size", "hidden_size", "bias"]

    input_size: int
    hidden_size: int
    bias: bool
    weight_ih: Parameter
    weight_hh: Parameter
    bias_ih: Parameter | Any  # or None: this way a checker does not warn at every use
    bias_hh: Parameter | Any

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool, num_chunks: int, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        rows = num_chunks * hidden_size
        self.weight_ih = Parameter(empty((rows, input_size), device=device, dtype=dtype))
        self.weight_hh = Parameter(empty((rows, hidden_size), device=device, dtype=dtype))
        for name in ("bias_ih", "bias_hh"):
            made = Parameter(empty(rows, device=device, dtype=dtype)) if bias else None
            self.register_parameter(name, made)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        _draw(self, self.hidden_size)

    def extra_repr(self) -> str:
        shown = f"{self.input_size}, {self.hidden_size}"
        if self.bias is not True:
            shown += f", bias={self.bias}"
        nonlinearity = self.__dict__.get("nonlinearity", "tanh")
        return shown if nonlinearity == "tanh" else f"{shown}, nonlinearity={nonlinearity}"

    def _computed(self, function: Callable[..., Any], input: Tensor, states: list[Any], names: list[str]) -> list[Any]:
        """The new states, of a batch or of one sample. ValueError for more dimensions."""
        if input.dim() not in (1, 2):
            raise ValueError(message("rnn_input_dimensions", layer=self._get_name(), dims=input.dim()))
        for state, name in zip(states, names, strict=True):
            if state is not None and state.dim() not in (1, 2):
                raise ValueError(f"{self._get_name()}: Expected {name} to be 1D or 2D, got {state.dim()}D instead")
        batched = input.dim() == 2
        rows: Any = input if batched else input.unsqueeze(0)  # type: ignore[attr-defined]
        shape = (len(rows), self.hidden_size)
        states = [
            zeros(shape, dtype=input.dtype, device=input.device) if s is None else s if batched else s.unsqueeze(0)
            for s in states
        ]
        weights = (self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        made = function(rows, states[0] if len(states) == 1 else tuple(states), *weights)
        made = made if isinstance(made, tuple) else (made,)
        return list(made) if batched else [state.squeeze(0) for state in made]


class RNNCell(RNNCellBase):
    """One step of an `RNN`: input `(B, in)` or `(in)`, hidden state `(B, hidden)` or `(hidden)`; returns the new one."""

    __constants__: ClassVar[list[str]] = ["input_size", "hidden_size", "bias", "nonlinearity"]

    nonlinearity: str

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 1, device=device, dtype=dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        functions = {"tanh": _VF.rnn_tanh_cell, "relu": _VF.rnn_relu_cell}
        if self.nonlinearity not in functions:
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        return self._computed(functions[self.nonlinearity], input, [hx], ["hidden"])[0]


class LSTMCell(RNNCellBase):
    """One step of an `LSTM`: takes an input and a pair `(h, c)`, returns the new pair."""

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 4, device=device, dtype=dtype)

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        if isinstance(hx, Tensor):
            raise TypeError("lstm_cell(): argument 'hx' (position 2) must be tuple of Tensors, not Tensor")
        h, c = self._computed(_VF.lstm_cell, input, [None, None] if hx is None else list(hx), ["hx[0]", "hx[1]"])
        return h, c


class GRUCell(RNNCellBase):
    """One step of a `GRU`: takes an input and a hidden state, returns the new one."""

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device=device, dtype=dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        return self._computed(_VF.gru_cell, input, [hx], ["hidden"])[0]
