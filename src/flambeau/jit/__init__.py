"""`torch.jit` without TorchScript: what is scripted or traced stays Python, which runs the code itself.

`save` writes a program that is read without the module's class (see `_serialization.py`).
"""

import typing
from typing import Final

from .. import futures as _futures
from .._jit_internal import _isinstance as isinstance
from .._jit_internal import _overload, _overload_method, export, ignore, is_scripting, unused
from ..core.dispatch.help import explain_namespace as _explain
from . import _async, _recursive, _script, _serialization, _state, _trace, annotations
from ._async import _fork, _wait, fork, wait
from ._freeze import (
    enable_onednn_fusion,
    export_opnames,
    freeze,
    last_executed_optimized_graph,
    onednn_fusion_enabled,
    optimize_for_inference,
    optimized_execution,
    run_frozen_optimizations,
    set_fusion_strategy,
    strict_fusion,
)
from ._script import (
    Attribute,
    RecursiveScriptModule,
    ScriptFunction,
    ScriptModule,
    ScriptWarning,
    interface,
    script,
    script_method,
)
from ._serialization import load, save
from ._state import Error
from ._trace import (
    TopLevelTracedModule,
    TracedModule,
    TracerWarning,
    TracingCheckError,
    _get_trace_graph,
    _script_if_tracing,
    is_tracing,
    script_if_tracing,
    trace,
    trace_module,
)
from ._units import CompilationUnit

Future = _futures.Future


def annotate(the_type: typing.Any, the_value: typing.Any) -> typing.Any:
    """The value itself."""
    return the_value


__all__ = [
    "Attribute",
    "CompilationUnit",
    "Error",
    "Future",
    "ScriptFunction",
    "ScriptModule",
    "annotate",
    "enable_onednn_fusion",
    "export",
    "export_opnames",
    "fork",
    "freeze",
    "ignore",
    "interface",
    "isinstance",
    "load",
    "onednn_fusion_enabled",
    "optimize_for_inference",
    "save",
    "script",
    "script_if_tracing",
    "set_fusion_strategy",
    "strict_fusion",
    "trace",
    "trace_module",
    "unused",
    "wait",
]

_explain(globals(), "torch.jit")
