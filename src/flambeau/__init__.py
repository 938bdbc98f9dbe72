"""flambeau: PyTorch's module system on XLA. The public names are torch's.

Operators come from their declarations in `ops/`; the packages below (`nn`, `optim`, ...) are imported when first used.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from math import e, inf, nan, pi
from typing import Any

from . import _served, core
from . import ops as _operators
from ._settings import (
    are_deterministic_algorithms_enabled,
    get_deterministic_debug_mode,
    get_device_module,
    is_deterministic_algorithms_warn_only_enabled,
    is_warn_always_enabled,
    set_deterministic_debug_mode,
    set_warn_always,
    use_deterministic_algorithms,
)
from .core.array.devices import device, get_default_device, set_default_device
from .core.array.dtypes import ALIASES as _ALIASES
from .core.array.dtypes import DTYPES as _DTYPES
from .core.array.dtypes import NARROW as _NARROW
from .core.array.dtypes import OPAQUE as _OPAQUE
from .core.array.dtypes import can_cast, dtype, finfo, get_default_dtype, iinfo, promote_types, set_default_dtype
from .core.array.formats import (
    channels_last,
    channels_last_3d,
    contiguous_format,
    jagged,
    layout,
    memory_format,
    preserve_format,
    sparse_bsc,
    sparse_bsr,
    sparse_coo,
    sparse_csc,
    sparse_csr,
    strided,
)
from .core.array.printing import get_printoptions, set_printoptions
from .core.array.size import Size
from .core.context import doors as _doors
from .core.context.grad_mode import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from .core.context.overrides import published as _published
from .core.context.warned import warn_once as _warn_once
from .core.dispatch.help import explain_functions as _explain_functions
from .core.dispatch.help import explain_namespace as _explain
from .core.dispatch.operator import namespaces as _namespaces
from .core.dispatch.overloads import OpNamespace as _OpNamespace
from .core.dispatch.overloads import ops  # the package of this name holds the functions
from .core.dispatch.types import PUBLIC as _TYPES
from .core.tensor.tensor import Tensor
from .core.tensor.typed import TENSOR_TYPES as _TENSOR_TYPES
from .core.tensor.typed_memory import LEGACY as _LEGACY_STORAGES
from .core.tensor.typed_memory import QUANTIZED_LEGACY as _QUANTIZED_STORAGES
from .runtime.settings import asks_setting as _asks_setting
from .runtime.settings import changes_setting as _changes_setting
from .runtime.threads import get_num_interop_threads, get_num_threads, set_num_interop_threads, set_num_threads
from .torch_version import TorchVersion as _TorchVersion

__version__ = "2.13.0+flambeau.0.1.0"  # the PyTorch whose behaviour this is, then our own
__version__ = _TorchVersion(__version__)

globals().update({t.name: t for t in (*_DTYPES, *_NARROW, *_OPAQUE)})
globals().update(_ALIASES)
globals().update(_TENSOR_TYPES)
globals().update(_LEGACY_STORAGES)
globals().update(_QUANTIZED_STORAGES)
globals().update(_namespaces["torch"])
newaxis = None
bit = globals()["uint1"]
legacy_contiguous_format = contiguous_format
Storage = globals()["FloatStorage"]
long: dtype  # `int`, `float`, `bool` shadow Python's in this namespace, as torch's do

_served.install()
_PACKAGES = frozenset(module.name for module in pkgutil.iter_modules(__path__)) - {"__main__"}
_HOMES = {
    "save": "serialization",
    "load": "serialization",
    "TypedStorage": "storage",
    "UntypedStorage": "storage",
    "is_anomaly_check_nan_enabled": "autograd.anomaly_mode",
    "is_anomaly_enabled": "autograd.anomaly_mode",
    "set_anomaly_enabled": "autograd.anomaly_mode",
    "to_dlpack": "utils.dlpack",
    "plot": "utils.plot",
    "summary": "utils.summary",
    **dict.fromkeys(("load_ipython_extension", "unload_ipython_extension"), "cli.notebook"),
    "compile": "compiler",
    "load_exported": "compiler.export",
    "jax_function": "compiler.pure",
    "show_config": "runtime.config",
    "vmap": "func",
    "autocast": "amp",
    "clear_autocast_cache": "amp.autocast_mode",
    "get_autocast_dtype": "amp.autocast_mode",
    "is_autocast_cache_enabled": "amp.autocast_mode",
    "is_autocast_enabled": "amp.autocast_mode",
    "set_autocast_cache_enabled": "amp.autocast_mode",
    **dict.fromkeys(
        (
            f"{verb}_autocast_{kind}_{what}"
            for kind in ("cpu", "gpu", "ipu", "xla")
            for verb, what in (("get", "dtype"), ("set", "dtype"), ("is", "enabled"), ("set", "enabled"))
            if (verb, kind, what) not in (("is", "gpu", "enabled"), ("set", "gpu", "enabled"))
        ),
        "amp.old_names",
    ),
    "autocast_decrement_nesting": "amp.old_names",
    "autocast_increment_nesting": "amp.old_names",
    "set_autocast_dtype": "amp.autocast_mode",
    "set_autocast_enabled": "amp.autocast_mode",
    "GradScaler": "amp",
    "LoadReport": "nn.modules._load_report",
    "Stream": "cuda.generic",
    "Event": "cuda.generic",
    **dict.fromkeys(
        (
            "_check",
            "_check_index",
            "_check_value",
            "_check_type",
            "_check_not_implemented",
            "_check_is_size",
            "_check_with",
            "_check_tensor_all",
            "_check_tensor_all_with",
        ),
        "_asserting",
    ),
    "ExcludeDispatchKeyGuard": "_library.calls",
    "_nested_view_from_buffer": "nested",
    "thread_safe_generator": "random",
    "_nested_compute_contiguous_strides_offsets": "nested",
    "Argument": "core.dispatch.schema",
    "parse_schema": "_C",
    "DispatchKey": "_library.keys",
    "FunctionSchema": "core.dispatch.schema",
    "cond": "_higher_order_ops.cond",
    "while_loop": "_higher_order_ops.while_loop",
    "Tag": "_library.keys",
    "PyTorchFileReader": "checkpoint.file_reader",
    "PyTorchFileWriter": "checkpoint.file_writer",
    "StorageBase": "storage",
    "ThroughputBenchmark": "utils.throughput_benchmark",
    "FileCheck": "testing",
    "JITException": "jit._state",
    "classproperty": "_utils",
    **dict.fromkeys(_TYPES, "core.dispatch.types"),
    "unify_type_list": "core.dispatch.type_inference",
    **dict.fromkeys(
        "ScriptDict ScriptDictIterator ScriptDictKeyIterator ScriptList ScriptListIterator".split(), "jit._containers"
    ),
    **dict.fromkeys("CompilationUnit Future ScriptFunction ScriptModule fork wait".split(), "jit"),
    **dict.fromkeys(
        """DisableTorchFunction DisableTorchFunctionSubclass DispatchKeySet AggregationType AVG SUM BenchmarkConfig
        BufferDict ErrorReport LockingLogger LoggerBase ModuleDict NoopLogger ParameterDict AliasDb ArgumentSpec BenchmarkExecutionStats
        Block CallStack Capsule Code CompleteArgumentSpec ConcreteModuleType ConcreteModuleTypeBuilder DeepCopyMemoTable
        DeserializationStorageContext ExecutionPlan Gradient Graph GraphExecutorState IODescriptor LiteScriptModule Node OperatorInfo
        ScriptClass ScriptClassFunction ScriptMethod ScriptModuleSerializer ScriptObject ScriptObjectProperty
        SerializationStorageContext StaticModule TracingState Use Value""".split(),
        "_C",
    ),
    **dict.fromkeys(
        """SymBool SymFloat SymInt sym_constrain_range sym_constrain_range_for_size sym_float sym_fresh_size sym_int sym_ite
        sym_max sym_min sym_not sym_sqrt sym_sum""".split(),
        "_symbols",
    ),
}


def __getattr__(name: str) -> Any:
    if name == "torch":  # a module that imports itself, as PyTorch's does
        return importlib.import_module(__name__)
    if name in (
        "builtins",
        "ctypes",
        "functools",
        "glob",
        "inspect",
        "math",
        "os",
        "platform",
        "textwrap",
        "threading",
        "warnings",
    ):
        return importlib.import_module(name)  # which PyTorch's imports, so that code says torch.math.pi
    if name.startswith("_sym_"):
        return getattr(importlib.import_module(f"{__package__}._symbols"), name)
    if name in _PACKAGES:
        return importlib.import_module(f"{__package__}.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__package__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r} (yet)")


def _control_flow(name: str) -> Any:
    return getattr(__getattr__("_higher_order_ops"), "map" if name == "map_impl" else name, None)


ops.higher_order = _OpNamespace("higher_order", _control_flow)
ops.prims = _OpNamespace("prims", lambda name: importlib.import_module(f"{__package__}.ops.prims").look_up(name))
for _name in ("_torchaudio", "libtorchaudio"):  # of the real torchaudio, likewise
    _doors.supplied["lib", _name] = lambda: importlib.import_module(f"{__package__}.audio").register()
for _name in ("_C", "image"):  # of the real torchvision, whose Python part runs on these
    _doors.supplied["torchvision", _name] = lambda: importlib.import_module(
        f"{__package__}.vision.operators"
    ).register()
_doors.html = lambda kind, value: importlib.import_module(f"{__package__}.utils._html").view(kind, value)
_doors.compile = lambda *args, **kwargs: __getattr__("compile")(*args, **kwargs)
_doors.scripted = lambda f, where: importlib.import_module(f"{__package__}.jit").load(f, where)
_doors.vmap = lambda *args, **kwargs: __getattr__("vmap")(*args, **kwargs)


def __dir__() -> list[str]:
    return sorted({*globals(), *_PACKAGES, *_HOMES})


def typename(obj: Any) -> str:
    """The name of an object's type; `'torch.FloatTensor'` and the like for a tensor."""
    if isinstance(obj, Tensor):
        return obj.type()
    kind = obj if isinstance(obj, type) else type(obj)
    return f"{kind.__module__}.{kind.__qualname__}" if kind.__module__ != "builtins" else kind.__qualname__


def result_type(tensor1: Any, tensor2: Any) -> dtype:
    """The dtype that an operator on both, tensors or numbers, would have. TypeError for anything else."""
    import numbers

    from .core.dispatch.promotion import result_type as _result_type

    if not (isinstance(tensor1, (Tensor, numbers.Number)) and isinstance(tensor2, (Tensor, numbers.Number))):
        kinds = f"{type(tensor1).__name__}, {type(tensor2).__name__}"
        raise TypeError(
            f"result_type() received an invalid combination of arguments - got ({kinds}), but expected one of:\n"
            " * (Tensor tensor, Tensor other)\n * (Number scalar, Tensor tensor)\n * (Tensor tensor, Number other)\n"
            " * (Number scalar1, Number scalar2)"
        )
    return _result_type(tensor1, tensor2)


result_type = _published(result_type, "torch", in_python=False)


def set_default_tensor_type(t: Any) -> None:
    """The old way to set the default dtype and device: by a tensor type such as `FloatTensor` or its name."""
    _warn_once(
        "torch.set_default_tensor_type() is deprecated as of PyTorch 2.1, please use torch.set_default_dtype() and "
        "torch.set_default_device()"
    )
    if isinstance(t, str):
        module, _, name = t.rpartition(".")
        t = getattr(importlib.import_module(module.replace("torch", __name__, 1) if module else name), name)
    if t not in _TENSOR_TYPES.values():
        raise TypeError("invalid type object: only floating-point types are supported as the default type")
    if not t.dtype.is_floating_point:
        raise TypeError("only floating-point types are supported as the default type")
    set_default_dtype(t.dtype)


def set_flush_denormal(mode: bool) -> bool:
    """False, never possible: how XLA treats denormal numbers is its own affair. RuntimeError for what is no bool."""
    if mode is not True and mode is not False:
        raise RuntimeError(f"flush_denormal expects a bool, but got {type(mode).__name__}")
    return False


class OutOfMemoryError(RuntimeError):
    """A device has no memory left."""


class AcceleratorError(RuntimeError):
    """A device reports an error."""


class FatalError(Exception):
    """An error after which PyTorch's own process could not go on. Nothing here raises it."""


for _error in (OutOfMemoryError, AcceleratorError, FatalError):
    _error.__module__ = "torch"
has_lapack = has_spectral = True  # XLA's own, and SciPy's
has_mkl = has_openmp = False


def compiled_with_cxx11_abi() -> bool:
    """Whether strings in compiled extensions are of the C++11 kind: those of the kernels here are."""
    return True


def set_vital(vital: str, attr: str, value: str) -> None:
    """Nothing: PyTorch once kept signs of life of its process, and warns that this does nothing any more."""
    _warn_once("'set_vital' is deprecated, please do not call")


def init_num_threads() -> None:
    """Nothing is to be done in a new thread: the numbers of threads are the process's."""


@_changes_setting
def set_float32_matmul_precision(precision: str) -> None:
    """Remembered; products of float32 are computed in float32.

    RuntimeError for what is no text; another text is left with a warning.
    """
    from .backends._precision import tell_of_products

    tell_of_products(precision)


@_asks_setting
def get_float32_matmul_precision() -> str:
    """What was set: 'highest' (from the start), 'high' or 'medium'."""
    from .backends._precision import precision_of_products

    return precision_of_products()


def is_storage(obj: Any) -> bool:
    """Whether an object is a storage."""
    from .core.tensor.memory import Memory

    return isinstance(obj, Memory)


__all__ = [
    "Size",
    "Tensor",
    "can_cast",
    "channels_last",
    "channels_last_3d",
    "contiguous_format",
    "device",
    "dtype",
    "e",
    "enable_grad",
    "finfo",
    "get_default_device",
    "get_default_dtype",
    "get_num_interop_threads",
    "get_num_threads",
    "get_printoptions",
    "iinfo",
    "inf",
    "inference_mode",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "layout",
    "memory_format",
    "nan",
    "newaxis",
    "no_grad",
    "pi",
    "preserve_format",
    "promote_types",
    "set_default_device",
    "set_default_dtype",
    "set_grad_enabled",
    "set_num_interop_threads",
    "set_num_threads",
    "set_printoptions",
    "sparse_coo",
    "sparse_csr",
    "strided",
]

_explain(globals(), "torch")
_explain_functions(
    [
        *(
            are_deterministic_algorithms_enabled,
            get_deterministic_debug_mode,
            get_device_module,
            get_float32_matmul_precision,
        ),
        *(is_deterministic_algorithms_warn_only_enabled, is_storage, is_warn_always_enabled, set_default_tensor_type),
        *(set_deterministic_debug_mode, set_float32_matmul_precision, set_flush_denormal, set_warn_always, typename),
        use_deterministic_algorithms,
    ],
    "torch",
)
