"""An LSTM of linear layers and arithmetic modules, each of which quantization could replace. It runs step by step."""

from __future__ import annotations

import numbers
import warnings
from typing import Any, ClassVar, TypeAlias

from .....core.array.dtypes import OPAQUE, float32
from .....core.tensor.tensor import Tensor
from .....nn.modules import rnn as layers
from .....nn.modules.activation import Sigmoid, Tanh
from .....nn.modules.container import ModuleDict, ModuleList
from .....nn.modules.linear import Linear
from .....nn.modules.module import Module
from .....nn.parameter import Parameter
from .....ops.making.constants import zeros
from .....ops.shape.joining import cat, stack
from ....quantization._refused import refused
from ...quantized.modules.functional_modules import FloatFunctional

__all__ = ["LSTM", "LSTMCell"]

State: TypeAlias = tuple[Tensor, Tensor]
_QUINT8 = next(kind for kind in OPAQUE if kind.name == "quint8")
_GATES = ("input", "forget", "cell", "output")


def _require_no_rounding(qconfig: Any) -> None:
    if qconfig is not None:
        refused("prepare")()


class LSTMCell(Module):
    """One step of an LSTM, of linear layers; with `split_gates` each gate has its own."""

    _FLOAT_MODULE: ClassVar[Any] = layers.LSTMCell
    __constants__: ClassVar[list[str]] = ["split_gates"]

    def __init__(
        self, input_dim: int, hidden_dim: int, bias: bool = True, device: Any = None, dtype: Any = None, *,
        split_gates: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.input_size = input_dim
        self.hidden_size = hidden_dim
        self.bias = bias
        self.split_gates = split_gates

        def linears(size: int) -> tuple[Module, Module]:
            return tuple(Linear(w, size, bias=bias, device=device, dtype=dtype) for w in (input_dim, hidden_dim))  # type: ignore[return-value]

        self.igates: Any
        self.hgates: Any
        self.gates: Any
        if split_gates:
            self.igates, self.hgates, self.gates = ModuleDict(), ModuleDict(), ModuleDict()
            for gate in _GATES:
                self.igates[gate], self.hgates[gate] = linears(hidden_dim)
                self.gates[gate] = FloatFunctional()
        else:
            self.igates, self.hgates = linears(4 * hidden_dim)
            self.gates = FloatFunctional()
        self.input_gate: Sigmoid = Sigmoid()
        self.forget_gate: Sigmoid = Sigmoid()
        self.cell_gate: Tanh = Tanh()
        self.output_gate: Sigmoid = Sigmoid()
        self.fgate_cx: FloatFunctional = FloatFunctional()
        self.igate_cgate: FloatFunctional = FloatFunctional()
        self.fgate_cx_igate_cgate: FloatFunctional = FloatFunctional()
        self.ogate_cy: FloatFunctional = FloatFunctional()
        self.initial_hidden_state_qparams = self.initial_cell_state_qparams = (1.0, 0)
        self.hidden_state_dtype = self.cell_state_dtype = _QUINT8

    def _get_name(self) -> str:
        return "QuantizableLSTMCell"

    def forward(self, x: Tensor, hidden: State | None = None) -> State:
        if hidden is None or hidden[0] is None or hidden[1] is None:
            hidden = self.initialize_hidden(x.shape[0])
        hx, cx = hidden
        if self.split_gates:
            parts = [self.gates[g].add(self.igates[g](x), self.hgates[g](hx)) for g in _GATES]
        else:
            parts = list(self.gates.add(self.igates(x), self.hgates(hx)).chunk(4, 1))
        into, kept, cell, out = parts
        kept_cell = self.fgate_cx.mul(self.forget_gate(kept), cx)
        cy = self.fgate_cx_igate_cgate.add(kept_cell, self.igate_cgate.mul(self.input_gate(into), self.cell_gate(cell)))
        return self.ogate_cy.mul(self.output_gate(out), cy.tanh()), cy

    def initialize_hidden(self, batch_size: int, is_quantized: bool = False) -> State:
        """A state of zeros."""
        if is_quantized:
            refused("convert")()
        return zeros((batch_size, self.hidden_size)), zeros((batch_size, self.hidden_size))

    @classmethod
    def from_params(
        cls, wi: Tensor, wh: Tensor, bi: Tensor | None = None, bh: Tensor | None = None, split_gates: bool = False
    ) -> LSTMCell:
        """A cell with the weights of a layer's."""
        if (bi is None) != (bh is None):
            raise AssertionError("bi and bh must both be None or both have values")
        cell = cls(wi.shape[1], wh.shape[1], bias=bi is not None, split_gates=split_gates)
        for linear, weight, bias in ((cell.igates, wi, bi), (cell.hgates, wh, bh)):
            if not split_gates:
                linear.weight = Parameter(weight)
                linear.bias = None if bias is None else Parameter(bias)
                continue
            biases = [None] * 4 if bias is None else bias.chunk(4, 0)
            for gate, rows, shift in zip(_GATES, weight.chunk(4, 0), biases, strict=True):
                linear[gate].weight = Parameter(rows)
                linear[gate].bias = None if shift is None else Parameter(shift)
        return cell

    @classmethod
    def from_float(cls, other: Any, use_precomputed_fake_quant: bool = False, split_gates: bool = False) -> LSTMCell:
        """A cell with the weights of an `nn.LSTMCell`."""
        if type(other) is not cls._FLOAT_MODULE:
            raise AssertionError(f"Expected module type {cls._FLOAT_MODULE}, got {type(other)}")
        if not hasattr(other, "qconfig"):
            raise AssertionError("The float module must have 'qconfig'")
        _require_no_rounding(other.qconfig)
        cell = cls.from_params(other.weight_ih, other.weight_hh, other.bias_ih, other.bias_hh, split_gates=split_gates)
        cell.qconfig = cell.igates.qconfig = cell.hgates.qconfig = other.qconfig
        return cell


class _LSTMSingleLayer(Module):
    """One layer in one direction."""

    def __init__(
        self, input_dim: int, hidden_dim: int, bias: bool = True, device: Any = None, dtype: Any = None, *,
        split_gates: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.cell: LSTMCell = LSTMCell(
            input_dim, hidden_dim, bias=bias, device=device, dtype=dtype, split_gates=split_gates
        )

    def forward(self, x: Tensor, hidden: State | None = None) -> tuple[Tensor, State | None]:
        results = []
        for step in x.unbind(0):
            hidden = self.cell(step, hidden)
            results.append(hidden[0])
        return stack(results, 0), hidden


class _LSTMLayer(Module):
    """One layer in one direction or both."""

    def __init__(
        self, input_dim: int, hidden_dim: int, bias: bool = True, batch_first: bool = False, bidirectional: bool = False,
        device: Any = None, dtype: Any = None, *, split_gates: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.batch_first = batch_first
        self.bidirectional = bidirectional
        for name in ("layer_fw", "layer_bw")[: 2 if bidirectional else 1]:
            layer = _LSTMSingleLayer(
                input_dim, hidden_dim, bias=bias, device=device, dtype=dtype, split_gates=split_gates
            )
            self.add_module(name, layer)

    def forward(self, x: Tensor, hidden: State | None = None) -> tuple[Tensor, State]:
        if self.batch_first:
            x = x.transpose(0, 1)
        forwards: Any = hidden
        if self.bidirectional and hidden is not None:
            forwards = (hidden[0][0], hidden[1][0])
        result, state = self.layer_fw(x, forwards)  # type: ignore[operator]
        if self.bidirectional:
            backwards = None if hidden is None else (hidden[0][1], hidden[1][1])
            reverse, last = self.layer_bw(x.flip(0), backwards)  # type: ignore[operator]
            result = cat([result, reverse.flip(0)], result.dim() - 1)
            state = (stack([state[0], last[0]], 0), stack([state[1], last[1]], 0))
        return result.transpose(0, 1) if self.batch_first else result, state


class LSTM(Module):
    """An LSTM of the arguments, results and states of `nn.LSTM`, whose weights lie in linear layers. It has no dropout."""

    _FLOAT_MODULE: ClassVar[Any] = layers.LSTM

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False,
        dropout: float = 0.0, bidirectional: bool = False, device: Any = None, dtype: Any = None, *,
        split_gates: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout: float = float(dropout)
        self.bidirectional = bidirectional
        if not isinstance(dropout, numbers.Number) or not 0 <= dropout <= 1 or isinstance(dropout, bool):
            raise ValueError(
                "dropout should be a number in range [0, 1] representing the probability of an element being zeroed"
            )
        if dropout > 0:
            warnings.warn(
                "dropout option for quantizable LSTM is ignored. "
                "If you are training, please, use nn.LSTM version followed by `prepare` step.",
                stacklevel=2,
            )
            if num_layers == 1:
                warnings.warn(
                    "dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects "
                    f"num_layers greater than 1, but got dropout={dropout} and num_layers={num_layers}",
                    stacklevel=2,
                )
        widths = [input_size] + [hidden_size] * (num_layers - 1)  # also where both directions come in, as in PyTorch
        self.layers: ModuleList = ModuleList(
            _LSTMLayer(
                width, hidden_size, bias, batch_first=False, bidirectional=bidirectional, device=device, dtype=dtype,
                split_gates=split_gates,
            )
            for width in widths
        )  # fmt: skip

    def _get_name(self) -> str:
        return "QuantizableLSTM"

    def forward(self, x: Tensor, hidden: State | None = None) -> tuple[Tensor, State]:
        if self.batch_first:
            x = x.transpose(0, 1)
        directions = 2 if self.bidirectional else 1
        if hidden is None:
            shape = (directions, x.size(1), self.hidden_size)
            hidden = (zeros((self.num_layers, *shape), dtype=float32),) * 2  # whatever the default is, as in PyTorch
        else:
            shape = (self.num_layers, directions, x.size(1), self.hidden_size)  # type: ignore[assignment]
            hidden = (hidden[0].reshape(shape), hidden[1].reshape(shape))
        found = []
        for layer, hx, cx in zip(self.layers, *hidden, strict=True):
            x, state = layer(x, (hx, cx) if self.bidirectional else (hx.squeeze(0), cx.squeeze(0)))
            found.append(state)
        shape = (-1, *found[0][0].shape[-2:])  # type: ignore[assignment]
        h, c = (stack(states, 0).reshape(shape) for states in zip(*found, strict=True))
        return x.transpose(0, 1) if self.batch_first else x, (h, c)

    @classmethod
    def from_float(cls, other: Any, qconfig: Any = None, split_gates: bool = False) -> LSTM:
        """The same network as an `nn.LSTM`, with its weights."""
        if not isinstance(other, cls._FLOAT_MODULE):
            raise AssertionError(f"Expected module type {cls._FLOAT_MODULE}, got {type(other)}")
        if not hasattr(other, "qconfig") and not qconfig:
            raise AssertionError("other must have qconfig or qconfig must be provided")
        _require_no_rounding(getattr(other, "qconfig", qconfig))
        made = cls(
            other.input_size, other.hidden_size, other.num_layers, other.bias, other.batch_first, other.dropout,
            other.bidirectional, split_gates=split_gates,
        )  # fmt: skip
        made.qconfig = None
        for place, layer in enumerate(made.layers):
            layer.qconfig = None
            for name, suffix in (("layer_fw", ""), ("layer_bw", "_reverse"))[: 2 if other.bidirectional else 1]:
                names = [f"{what}_l{place}{suffix}" for what in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
                wi, wh, bi, bh = (getattr(other, n, None) for n in names)
                cell = LSTMCell.from_params(wi, wh, bi, bh, split_gates)  # type: ignore[arg-type]
                cell.qconfig = None
                single = getattr(layer, name)
                single.qconfig, single.cell = None, cell
        return made.train(other.training)

    @classmethod
    def from_observed(cls, other: Any) -> Any:
        """Refused, as PyTorch does."""
        raise NotImplementedError(
            "It looks like you are trying to convert a non-quantizable LSTM module. "
            "Please, see the examples on quantizable LSTMs."
        )
