"""Which class comes in the place of which while training with rounding, and which layers are observed."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from ...nn import modules as layers
from ...nn.modules.activation import Hardsigmoid, Sigmoid, Softmax, Tanh
from ...nn.modules.conv import Conv2d, Conv3d
from ...nn.modules.linear import Linear, NonDynamicallyQuantizableLinear
from ...nn.modules.sparse import Embedding, EmbeddingBag
from ..nn import qat
from ..nn.intrinsic import qat as fused_qat
from ..nn.intrinsic.modules import fused
from ..nn.quantized.modules.functional_modules import FloatFunctional
from ._refused import refused
from .fake_quantize import default_fixed_qparams_range_0to1_fake_quant, default_fixed_qparams_range_neg1to1_fake_quant
from .stubs import DeQuantStub, QuantStub

__all__ = """
    DEFAULT_MODULE_TO_ACT_POST_PROCESS DEFAULT_QAT_MODULE_MAPPINGS get_default_qat_module_mappings
    get_default_qconfig_propagation_list get_embedding_qat_module_mappings no_observer_set
""".split()

if not TYPE_CHECKING:
    __getattr__ = refused

DEFAULT_QAT_MODULE_MAPPINGS: dict[Any, Any] = {
    Conv2d: qat.Conv2d,
    Conv3d: qat.Conv3d,
    Linear: qat.Linear,
    NonDynamicallyQuantizableLinear: qat.Linear,
    **{
        getattr(fused, name): getattr(fused_qat, name)
        for name in """
            ConvBn1d ConvBn2d ConvBn3d ConvBnReLU1d ConvBnReLU2d ConvBnReLU3d ConvReLU2d ConvReLU3d LinearReLU LinearBn1d
        """.split()
    },
}
DEFAULT_MODULE_TO_ACT_POST_PROCESS: dict[Any, Any] = {
    Hardsigmoid: default_fixed_qparams_range_0to1_fake_quant,
    Sigmoid: default_fixed_qparams_range_0to1_fake_quant,
    Softmax: default_fixed_qparams_range_0to1_fake_quant,
    Tanh: default_fixed_qparams_range_neg1to1_fake_quant,
}
_OBSERVED = """
    BatchNorm2d BatchNorm3d Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d Dropout ELU Embedding
    EmbeddingBag GRU GRUCell GroupNorm Hardswish InstanceNorm1d InstanceNorm2d InstanceNorm3d LSTM LSTMCell LayerNorm LeakyReLU
    Linear PReLU RNNCell ReLU6 Sequential
""".split()
_OBSERVED_FUSED = """
    BNReLU2d BNReLU3d ConvAdd2d ConvAddReLU2d ConvBn1d ConvBn2d ConvBn3d ConvBnReLU1d ConvBnReLU2d ConvBnReLU3d ConvReLU1d
    ConvReLU2d ConvReLU3d LinearBn1d LinearLeakyReLU LinearReLU LinearTanh
""".split()


def get_default_qat_module_mappings() -> dict[Any, Any]:
    """Which class trains with rounding in the place of which."""
    return copy.copy(DEFAULT_QAT_MODULE_MAPPINGS)


def get_embedding_qat_module_mappings() -> dict[Any, Any]:
    """The same with embeddings."""
    return {**DEFAULT_QAT_MODULE_MAPPINGS, EmbeddingBag: qat.EmbeddingBag, Embedding: qat.Embedding}


def get_default_qconfig_propagation_list() -> set[Any]:
    """The classes of layers that are observed."""
    found = {getattr(layers, name) for name in _OBSERVED} | {getattr(fused, name) for name in _OBSERVED_FUSED}
    return found | set(DEFAULT_QAT_MODULE_MAPPINGS.values()) | {
        NonDynamicallyQuantizableLinear, FloatFunctional, QuantStub, DeQuantStub, qat.dynamic.Linear,
    }  # fmt: skip


def no_observer_set() -> set[Any]:
    """The classes of layers that observe for themselves."""
    from ..nn import quantizable

    return {quantizable.LSTM, quantizable.MultiheadAttention}
