"""The few names of `torch._C` that Python code asks for. There is no C++ library behind them."""

from __future__ import annotations

import importlib as _importlib
from typing import Any as _Any

from .._library.calls import below_autograd as _AutoDispatchBelowAutograd
from .._library.calls import without_keys as _ExcludeDispatchKeyGuard
from .._library.keys import DispatchKey, DispatchKeySet
from ..autograd.grad_mode import _is_multithreading_enabled
from ..core.context.overrides import disabled as _disabled_torch_function_impl
from ..core.context.overrides import dispatch_disabled as _disabled_torch_dispatch_impl
from ..core.context.overrides import no_dispatch as _DisableTorchDispatch
from ..core.context.overrides import no_subclasses as DisableTorchFunctionSubclass
from ..core.context.overrides import nobody as DisableTorchFunction
from ..core.dispatch.schema import Argument, FunctionSchema
from ..core.dispatch.schema import parse as parse_schema
from ..core.dispatch.types import PUBLIC as _TYPES
from ..core.tensor.tensor import Tensor as TensorBase
from ..overrides import _is_torch_function_mode_enabled

_TensorBase = TensorBase
_PARTS = ("_fft", "_functorch", "_linalg", "_nn", "_profiler", "_special")
_ROOT = """Event Generator Size Stream autocast_decrement_nesting autocast_increment_nesting clear_autocast_cache default_generator device
dtype finfo get_autocast_cpu_dtype get_autocast_dtype get_autocast_gpu_dtype get_default_dtype get_num_interop_threads get_num_threads iinfo
is_autocast_cache_enabled is_autocast_cpu_enabled is_autocast_enabled is_grad_enabled is_inference_mode_enabled layout memory_format
set_autocast_cache_enabled set_autocast_dtype set_autocast_enabled set_flush_denormal set_num_interop_threads set_num_threads""".split()
_HOMES = {
    **dict.fromkeys(_TYPES, "core.dispatch.types"),
    "unify_type_list": "core.dispatch.type_inference",
    **dict.fromkeys(("ScriptDict", "ScriptList"), "jit._containers"),
    **dict.fromkeys(("CompilationUnit", "Future", "ScriptFunction", "ScriptModule", "fork", "wait"), "jit"),
    **dict.fromkeys(
        ("PyTorchFileReader", "PyTorchFileWriter", "StorageBase", "FatalError", "AcceleratorError", "JITException"), ""
    ),
    **dict.fromkeys(("has_lapack", "has_mkl", "has_openmp", "has_spectral"), ""),
    **dict.fromkeys(_ROOT, ""),
    "FileCheck": "testing",
    "is_anomaly_enabled": "autograd.anomaly_mode",
}
_OTHER_NAMES = {  # what has another name at its home
    "_SDPBackend": (".nn.attention", "SDPBackend"),
    "_from_dlpack": (".utils.dlpack", "from_dlpack"),
    "_get_deterministic_algorithms": (".", "are_deterministic_algorithms_enabled"),
    "_get_deterministic_algorithms_warn_only": (".", "is_deterministic_algorithms_warn_only_enabled"),
    "_get_flash_sdp_enabled": (".backends.cuda", "flash_sdp_enabled"),
    "_get_math_sdp_enabled": (".backends.cuda", "math_sdp_enabled"),
    "_get_mem_efficient_sdp_enabled": (".backends.cuda", "mem_efficient_sdp_enabled"),
    "_get_warnAlways": (".", "is_warn_always_enabled"),
    "_is_autocast_available": (".amp", "is_autocast_available"),
    "_set_default_dtype": (".", "set_default_dtype"),
    "_to_dlpack": (".utils.dlpack", "to_dlpack"),
}


def __getattr__(name: str) -> _Any:
    if name in ("_VariableFunctions", "_VariableFunctionsClass"):  # where torch has the functions of its root
        return _importlib.import_module(__package__.rpartition(".")[0])
    if name in _PARTS:
        return _importlib.import_module(f"{__package__}.{name}")
    if name in _HOMES:
        home = _importlib.import_module(f"{__package__.rpartition('.')[0]}.{_HOMES[name]}".rstrip("."))
        return getattr(home, name)
    if name == "_GLIBCXX_USE_CXX11_ABI":  # of the kernels here
        return True
    if name in _OTHER_NAMES:
        place, there = _OTHER_NAMES[name]
        return getattr(_importlib.import_module(place, __package__.rpartition(".")[0]), there)
    state = _importlib.import_module(f"{__package__}._state")
    if name.startswith("_") and not name.startswith("__") and hasattr(state, name):
        return getattr(state, name)
    jit = _importlib.import_module(f"{__package__}._jit")
    if not name.startswith("__") and hasattr(jit, name):
        return getattr(jit, name)
    raise AttributeError(f"module {__package__!r} has no attribute {name!r}")


def _is_torch_function_enabled() -> bool:
    """Whether arguments with a `__torch_function__` are asked in this thread."""
    from ..core.context.grad_mode import state

    return state.subclasses


def _log_api_usage_once(event: str) -> None:
    """Nothing is logged."""


__all__ = [
    "Argument",
    "DisableTorchFunction",
    "DisableTorchFunctionSubclass",
    "DispatchKey",
    "DispatchKeySet",
    "FunctionSchema",
    "TensorBase",
    "_AutoDispatchBelowAutograd",
    "_DisableTorchDispatch",
    "_ExcludeDispatchKeyGuard",
    "_TensorBase",
    "_disabled_torch_dispatch_impl",
    "_disabled_torch_function_impl",
    "_is_torch_function_enabled",
    "_is_torch_function_mode_enabled",
    "_log_api_usage_once",
    "parse_schema",
]
