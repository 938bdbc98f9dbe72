"""`torch.export`: modules as graphs. Called itself, `flambeau.export(model, example)` makes the StableHLO program of `compiler/export.py`."""

import sys as _sys
import types as _types
from typing import Any

from ..compiler import export as _programs
from ..core.dispatch.help import explain_namespace as _explain
from . import dynamic_shapes, exported_program, graph_signature
from ._export import export
from ._files import load, register_dataclass, save
from ._unflatten import FlatArgsAdapter, InterpreterModule, UnflattenedModule, unflatten
from .dynamic_shapes import AdditionalInputs, Constraint, Dim, ShapesCollection, dims
from .exported_program import ExportedProgram, ModuleCallEntry, ModuleCallSignature
from .graph_signature import ExportBackwardSignature, ExportGraphSignature

draft_export = export
export_for_training = export


class CustomDecompTable(dict):
    """A table of decompositions. It is empty: the graphs' nodes are torch's functions."""


def default_decompositions() -> CustomDecompTable:
    """An empty table."""
    return CustomDecompTable()


class _Callable(_types.ModuleType):
    """A module that is also a function: `flambeau.export(model, example)`."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return _programs.export(*args, **kwargs)


_sys.modules[__name__].__class__ = _Callable

__all__ = [
    "AdditionalInputs",
    "Constraint",
    "CustomDecompTable",
    "Dim",
    "ExportBackwardSignature",
    "ExportGraphSignature",
    "ExportedProgram",
    "FlatArgsAdapter",
    "ModuleCallEntry",
    "ModuleCallSignature",
    "ShapesCollection",
    "UnflattenedModule",
    "default_decompositions",
    "dims",
    "draft_export",
    "export",
    "load",
    "register_dataclass",
    "save",
    "unflatten",
]

_explain(globals(), "torch.export")
