"""`torch.onnx.utils`: older names of what `torch.onnx` has."""

from . import register_custom_op_symbolic, select_model_mode_for_export, unregister_custom_op_symbolic
from ._export import export, is_in_onnx_export

__all__ = [
    "export",
    "is_in_onnx_export",
    "register_custom_op_symbolic",
    "select_model_mode_for_export",
    "unregister_custom_op_symbolic",
]
