"""`torch.ao.quantization`: refused by name. Every name is there, so that packages that mention one can be imported.

Quantized tensors and kernels are not here; `torch.fake_quantize_per_tensor_affine` computes with rounded values.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from ...runtime.absent import refusal, refused_class
from ._parts import PARTS

__all__ = """
    AffineQuantizedObserverBase DeQuantStub FakeQuantize FakeQuantizeBase FixedQParamsFakeQuantize
    FixedQParamsObserver FusedMovingAvgObsFakeQuantize Granularity HistogramObserver MappingType MatchAllNode
    MinMaxObserver MovingAverageMinMaxObserver MovingAveragePerChannelMinMaxObserver NoopObserver ObserverBase
    ObserverOrFakeQuantize Pattern PerAxis PerBlock PerChannelMinMaxObserver PerGroup PerRow PerTensor PerToken
    PlaceholderObserver QConfig QConfigAny QConfigDynamic QConfigMapping QuantStub QuantType QuantWrapper
    RecordingObserver ReuseInputObserver TorchAODType UniformQuantizationObserverBase ZeroPointDomain
    add_quant_dequant convert convert_dynamic_jit convert_jit default_affine_fixed_qparams_fake_quant
    default_affine_fixed_qparams_observer default_debug_observer default_dynamic_fake_quant
    default_dynamic_quant_observer default_embedding_fake_quant default_embedding_fake_quant_4bit default_eval_fn
    default_fake_quant default_fixed_qparams_range_0to1_fake_quant default_fixed_qparams_range_0to1_observer
    default_fixed_qparams_range_neg1to1_fake_quant default_fixed_qparams_range_neg1to1_observer
    default_float_qparams_observer default_float_qparams_observer_4bit default_fused_act_fake_quant
    default_fused_per_channel_wt_fake_quant default_fused_wt_fake_quant default_histogram_fake_quant
    default_histogram_observer default_observer default_per_channel_weight_fake_quant
    default_per_channel_weight_observer default_placeholder_observer default_reuse_input_observer
    default_symmetric_fixed_qparams_fake_quant default_symmetric_fixed_qparams_observer default_weight_fake_quant
    default_weight_observer disable_fake_quant disable_observer enable_fake_quant enable_observer fuse_conv_bn
    fuse_conv_bn_jit fuse_conv_bn_relu fuse_convtranspose_bn fuse_linear_bn fuse_modules fuse_modules_qat
    fused_per_channel_wt_fake_quant_range_neg_127_to_127 fused_wt_fake_quant_range_neg_127_to_127 get_block_size
    get_combined_dict get_default_compare_output_module_list get_default_custom_config_dict
    get_default_dynamic_quant_module_mappings get_default_dynamic_sparse_quant_module_mappings
    get_default_float_to_quantized_operator_mappings get_default_qat_module_mappings get_default_qat_qconfig
    get_default_qat_qconfig_dict get_default_qat_qconfig_mapping get_default_qconfig get_default_qconfig_dict
    get_default_qconfig_mapping get_default_qconfig_propagation_list get_default_static_quant_module_mappings
    get_default_static_quant_reference_module_mappings get_default_static_sparse_quant_module_mappings
    get_dynamic_quant_module_class get_embedding_qat_module_mappings get_embedding_static_quant_module_mappings
    get_fuser_method get_fuser_method_new get_observer_state_dict get_quantized_operator
    get_static_quant_module_class load_observer_state_dict no_observer_set
    per_channel_weight_observer_range_neg_127_to_127 prepare prepare_dynamic_jit prepare_jit prepare_qat
    propagate_qconfig_ qconfig_equals quantize quantize_dynamic quantize_dynamic_jit quantize_jit quantize_qat
    script_qconfig script_qconfig_dict swap_module weight_observer_range_neg_127_to_127
""".split()

_TEXT = (
    "torch.ao.quantization.{name}: quantized tensors and modules are not here; run the model in bfloat16 (model.bfloat16()), or "
    "train with torch.fake_quantize_per_tensor_affine"
)
_function = refusal(NotImplementedError, _TEXT)


_NAMES: dict[str, Any] = {name: None for names in (*PARTS.values(), __all__) for name in names}


def _refused(name: str) -> Any:
    """What stands for a name: the same in all modules that have it."""
    made = _NAMES[name]
    if made is None:
        made = refused_class(name, _TEXT.replace("{name}", name)) if name[0].isupper() else _function(name)
        made.__module__ = __name__
        made.__doc__ = "Refused: quantized tensors and modules are not here."
        _NAMES[name] = made
    return made


class Part(ModuleType):
    """A file of PyTorch's by its path. What files import from each other can be had from each of them."""

    def __init__(self, package: str, part: str):
        super().__init__(f"{package}.{part}", "Refused by name: quantized tensors and modules are not here.")
        self.__spec__ = ModuleSpec(self.__name__, None)
        self.__all__ = PARTS[part]

    def __getattr__(self, name: str) -> Any:
        if name not in _NAMES:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return _refused(name)

    @classmethod
    def publish(cls, package: str) -> None:
        """All of them can be imported from `package`."""
        for part in PARTS:
            made = sys.modules[f"{package}.{part}"] = cls(package, part)
            if part not in __all__:  # a function of that name comes first
                setattr(sys.modules[package], part, made)


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__spec__.name!r} has no attribute {name!r}")
    return _refused(name)


Part.publish(__name__)
