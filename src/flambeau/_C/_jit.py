"""The classes of TorchScript's compiler, and what packages ask and tell it.

There is none: most classes have no objects, every answer is no, and what is told is remembered.
"""

from __future__ import annotations

import enum
from typing import Any

from ..core.dispatch.type_inference import infer
from ..core.dispatch.types import InferredType, unfit
from ..jit._script import ScriptModule


def _without_instances(name: str) -> type:
    """A class of which Python makes no object in PyTorch either, and libtorch none here."""

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        raise TypeError(f"torch._C.{name}: No constructor defined! There is no TorchScript in flambeau")

    told = "A class of TorchScript's compiler: there are no objects of it."
    return type(name, (), {"__init__": __init__, "__doc__": told, "__module__": "flambeau"})


def _refused(name: str) -> type:
    """A class that PyTorch lets one make."""

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError(
            f"torch._C.{name}: there is no TorchScript in flambeau; torch.fx has graphs of programs"
        )

    return type(
        name, (), {"__init__": __init__, "__doc__": "Refused: there is no TorchScript.", "__module__": "flambeau"}
    )


WITHOUT_INSTANCES = """AliasDb ArgumentSpec BenchmarkExecutionStats Block Capsule Code CompleteArgumentSpec ConcreteModuleType
DeepCopyMemoTable ExecutionPlan Gradient GraphExecutorState IODescriptor Node OperatorInfo ScriptClass ScriptClassFunction
ScriptMethod ScriptObject ScriptObjectProperty SerializationStorageContext StaticModule TracingState Use Value""".split()
REFUSED = """CallStack ConcreteModuleTypeBuilder DeserializationStorageContext Graph LiteScriptModule ScriptModuleSerializer""".split()
globals().update({name: _without_instances(name) for name in WITHOUT_INSTANCES})
globals().update({name: _refused(name) for name in REFUSED})


class ErrorReport:
    """An error at a place in TorchScript's source: none is made."""

    __module__ = "flambeau"

    def __init__(self, source_range: Any):
        raise NotImplementedError(
            "torch._C.ErrorReport: there is no TorchScript in flambeau, and so no place in its source"
        )

    @staticmethod
    def call_stack() -> str:
        """The calls that TorchScript's compiler is in: always empty."""
        return ""


class _Of:
    """Something of a scripted module, by name."""

    def __init__(self, module: Any):
        if not isinstance(module, ScriptModule):
            raise unfit(type(self), "arg0: torch._C.ScriptModule", (module,))
        self._module = module

    def _found(self) -> dict[str, Any]:
        raise NotImplementedError

    def items(self) -> list[tuple[str, Any]]:
        """Names and what they name."""
        return [(name, value) for name, value in self._found().items() if value is not None]

    def contains(self, name: str) -> bool:
        """Whether there is one of this name."""
        return self._found().get(name) is not None

    def getattr(self, name: str) -> Any:
        """The one of this name. RuntimeError if there is none."""
        if not self.contains(name):
            kind = self._module.original_name
            raise RuntimeError(f"__torch__.{kind} does not have a field with name '{name}'")
        return self._found()[name]

    def setattr(self, name: str, value: Any) -> None:
        """Put another one in its place."""
        self.getattr(name)
        setattr(self._module, name, value)


class ParameterDict(_Of):
    """The parameters of a scripted module itself, not those of the modules in it."""

    __module__ = "flambeau"

    def _found(self) -> dict[str, Any]:
        return self._module._parameters


class BufferDict(_Of):
    """The buffers of a scripted module itself."""

    __module__ = "flambeau"

    def _found(self) -> dict[str, Any]:
        return self._module._buffers


class ModuleDict(_Of):
    """The modules in a scripted module."""

    __module__ = "flambeau"

    def _found(self) -> dict[str, Any]:
        return self._module._modules


class AggregationType(enum.Enum):
    """What a logger makes of a counter's values."""

    SUM = 0
    AVG = 1

    def __hash__(self) -> int:
        return self.value


AggregationType.__module__ = "flambeau"
SUM, AVG = AggregationType


class LoggerBase:
    """What TorchScript's interpreter would count with. Nothing here counts."""

    __module__ = "flambeau._C"

    def __init__(self) -> None:
        raise TypeError("torch._C.LoggerBase: No constructor defined!")


class LockingLogger(LoggerBase):
    """Counters that add values up, or average them: nothing here adds any."""

    __module__ = "flambeau"

    def __init__(self) -> None:
        self._kinds: dict[str, AggregationType] = {}

    def set_aggregation_type(self, counter_name: str, type: AggregationType) -> None:
        """Whether values of a counter would be added up or averaged."""
        self._kinds[counter_name] = type

    def get_counter_val(self, counter_name: str) -> int:
        """Always 0."""
        return 0


class NoopLogger(LoggerBase):
    """Counts nothing."""

    __module__ = "flambeau"

    def __init__(self) -> None:
        pass


class BenchmarkConfig:
    """How a ThroughputBenchmark measures."""

    __module__ = "flambeau"

    def __init__(self) -> None:
        self.num_calling_threads = self.num_worker_threads = self.num_warmup_iters = 1
        self.num_iters = 100
        self.profiler_output_path = ""


_settings: dict[str, bool] = {}


def _setting(name: str, at_first: bool) -> Any:
    def set_it(value: bool) -> bool:
        before = _settings.get(name, at_first)
        _settings[name] = bool(value)
        return before

    set_it.__name__ = name
    set_it.__doc__ = "Remembered, and means nothing. Returns what was set before."
    return set_it


def _remembered(name: str) -> Any:
    def set_it(value: bool) -> None:
        _settings[name] = bool(value)

    set_it.__name__ = name
    set_it.__doc__ = "Remembered, and means nothing."
    return set_it


def _no(name: str) -> Any:
    def ask() -> bool:
        return False

    ask.__name__ = name
    ask.__doc__ = "False: there is no such compiler here."
    return ask


_jit_set_profiling_executor = _setting("_jit_set_profiling_executor", True)
_jit_set_profiling_mode = _setting("_jit_set_profiling_mode", True)
_jit_override_can_fuse_on_gpu = _remembered("_jit_override_can_fuse_on_gpu")
_jit_override_can_fuse_on_cpu = _remembered("_jit_override_can_fuse_on_cpu")
_jit_set_texpr_fuser_enabled = _remembered("_jit_set_texpr_fuser_enabled")
_jit_set_nvfuser_enabled = _remembered("_jit_set_nvfuser_enabled")
_jit_set_nvfuser_guard_mode = _remembered("_jit_set_nvfuser_guard_mode")
_set_graph_executor_optimize = _remembered("_set_graph_executor_optimize")
_jit_can_fuse_on_cpu = _no("_jit_can_fuse_on_cpu")
_jit_can_fuse_on_gpu = _no("_jit_can_fuse_on_gpu")
_jit_texpr_fuser_enabled = _no("_jit_texpr_fuser_enabled")
_jit_nvfuser_enabled = _no("_jit_nvfuser_enabled")
_get_graph_executor_optimize = _no("_get_graph_executor_optimize")
_is_tracing = _no("_is_tracing")


def _get_tracing_state() -> None:
    """None: nothing traces."""


def _jit_try_infer_type(value: Any) -> InferredType:
    """The type that TorchScript would give a value."""
    return infer(value)
