"""Quantized tensors, which there are none of here: their functions are refused by name, with what to do instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from ...core.array.formats import Named
from ...core.dispatch.operator import _attach, _publish, composite
from ...core.tensor.tensor import Tensor

_CURE = (
    "There are no quantized tensors here: keep a tensor of torch.int8 (x / scale, rounded, plus the zero point) with its scale and "
    "zero point, or compute with the values that they stand for"
)


class qscheme(Named):
    """How a quantized tensor's numbers stand for values. It serves comparisons and `isinstance`."""

    __module__ = "torch"

    def __init__(self, name: str):
        super().__init__(name)
        self.__module__ = "flambeau"  # where it is pickled from


SCHEMES = (
    "per_tensor_affine", "per_channel_affine", "per_tensor_symmetric", "per_channel_symmetric", "per_channel_affine_float_qparams",
)  # fmt: skip
per_tensor_affine: qscheme
per_channel_affine: qscheme
per_tensor_symmetric: qscheme
per_channel_symmetric: qscheme
per_channel_affine_float_qparams: qscheme
_publish("qscheme", qscheme, ("torch",))
for _name in SCHEMES:
    globals()[_name] = qscheme(_name)
    _publish(_name, globals()[_name], ("torch",))


def _refused(name: str) -> Callable[..., NoReturn]:
    def function(*args: Any, **kwargs: Any) -> NoReturn:
        raise NotImplementedError(f"Could not run 'aten::{name}' with arguments from the 'CPU' backend. {_CURE}.")

    function.__name__ = function.__qualname__ = name
    function.__doc__ = "Refused with NotImplementedError: there are no quantized tensors."
    return function


_METHODS = (
    "q_scale",
    "q_zero_point",
    "q_per_channel_scales",
    "q_per_channel_zero_points",
    "q_per_channel_axis",
    "int_repr",
)
REFUSED = (
    "quantize_per_tensor", "quantize_per_channel", "quantize_per_tensor_dynamic", "empty_quantized", "quantized_batch_norm",
    "quantized_gru", "quantized_gru_cell", "quantized_lstm", "quantized_lstm_cell", "quantized_max_pool1d", "quantized_max_pool2d",
    "quantized_max_pool3d", "quantized_rnn_relu_cell", "quantized_rnn_tanh_cell", "choose_qparams_optimized",
    *_METHODS,
)  # fmt: skip
for _name in REFUSED:
    _publish(_name, _refused(_name), ("torch",))
for _name in (*_METHODS, "qscheme"):
    _attach(_refused(_name), (_name,))


@composite(methods=True)
def dequantize(tensor: Any) -> Any:
    """The values that a quantized tensor stands for; those of any other one are its own, in float32."""
    if not isinstance(tensor, Tensor):
        raise TypeError(f"dequantize(): argument 'tensor' (position 1) must be Tensor, not {type(tensor).__name__}")
    return tensor.float()  # type: ignore[attr-defined]
