"""`torch.nn.quantized`: of it the modules that compute with floats; the quantized ones are refused by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...runtime.absent import refused_class
from .functional_modules import FloatFunctional

__all__ = """
    BatchNorm2d BatchNorm3d Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d DeQuantize Dropout ELU
    Embedding EmbeddingBag FXFloatFunctional FloatFunctional GroupNorm Hardswish InstanceNorm1d InstanceNorm2d
    InstanceNorm3d LSTM LayerNorm LeakyReLU Linear MultiheadAttention PReLU QFunctional Quantize ReLU6 Sigmoid Softmax
""".split()

_TEXT = "torch.nn.quantized.{name}: quantized tensors and modules are not here; run the model in bfloat16 (model.bfloat16())"


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__spec__.name!r} has no attribute {name!r}")
        made = refused_class(name, _TEXT.replace("{name}", name))
        made.__module__ = __name__
        made.__doc__ = "Refused: quantized tensors and modules are not here."
        globals()[name] = made
        return made
