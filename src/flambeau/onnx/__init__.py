"""`torch.onnx`: modules as ONNX models. The `onnx` package writes them (`pip install 'flambeau[onnx]'`)."""

from __future__ import annotations

import enum
import importlib
import pkgutil
import re
from typing import TYPE_CHECKING, Any

from ..core.dispatch.help import explain_namespace as _explain_namespace
from ..version import __version__ as producer_version
from . import errors, ops
from ._export import ONNXProgram, OperatorExportTypes, TrainingMode, export, is_in_onnx_export
from ._exportable import ExportableModule
from .errors import OnnxExporterError
from .input_observer import InputObserver

producer_name = "flambeau"
_SUBMODULES = frozenset(module.name for module in pkgutil.iter_modules(__path__))


class TensorProtoDataType(enum.IntEnum):
    """ONNX's numbers of dtypes."""

    UNDEFINED = 0
    FLOAT = 1
    UINT8 = 2
    INT8 = 3
    UINT16 = 4
    INT16 = 5
    INT32 = 6
    INT64 = 7
    STRING = 8
    BOOL = 9
    FLOAT16 = 10
    DOUBLE = 11
    UINT32 = 12
    UINT64 = 13
    COMPLEX64 = 14
    COMPLEX128 = 15
    BFLOAT16 = 16
    FLOAT8E4M3FN = 17
    FLOAT8E4M3FNUZ = 18
    FLOAT8E5M2 = 19
    FLOAT8E5M2FNUZ = 20


def register_custom_op_symbolic(symbolic_name: str, symbolic_fn: Any, opset_version: int) -> None:
    """Remember that there is a form for TorchScript's exporter. An export that meets the operator is refused, and says so."""
    errors.registered.add(symbolic_name)


def unregister_custom_op_symbolic(symbolic_name: str, opset_version: int) -> None:
    """Forget it."""
    errors.registered.discard(symbolic_name)


def select_model_mode_for_export(model: Any, mode: Any) -> Any:
    """A context in which a model has the mode that an export asks for."""
    from ._export import _mode

    return _mode(model, TrainingMode(mode))


if TYPE_CHECKING:
    # isort: off
    from . import operators as operators, symbolic_helper as symbolic_helper, utils as utils
    # isort: on
else:

    def __getattr__(name: str) -> Any:
        if re.fullmatch(r"symbolic_opset\d+", name):
            return importlib.import_module(f"{__package__}._symbolic").opset(f"{__package__}.{name}")
        if name in _SUBMODULES:
            return importlib.import_module(f"{__package__}.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r} (yet)")


__all__ = [
    "ExportableModule",
    "InputObserver",
    "ONNXProgram",
    "OnnxExporterError",
    "errors",
    "export",
    "is_in_onnx_export",
    "ops",
]

_explain_namespace(globals(), "torch.onnx")
