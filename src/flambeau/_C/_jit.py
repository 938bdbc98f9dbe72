"""What packages ask TorchScript's compiler, and tell it. There is none: every answer is no, and what is told is remembered."""

from __future__ import annotations

from typing import Any


class _Absent:
    """A class of libtorch of which nothing here is an instance."""

    def __init__(self, *args: Any, **kwargs: Any):
        raise NotImplementedError(f"torch._C.{type(self).__name__}: there is no TorchScript in flambeau")


class Graph(_Absent):
    """TorchScript's graph."""


class Value(_Absent):
    """A value in TorchScript's graph."""


class Node(_Absent):
    """A node of TorchScript's graph."""


class ScriptMethod(_Absent):
    """A method that TorchScript has compiled."""


class ScriptFunction(_Absent):
    """A function that TorchScript has compiled; what `torch.jit.script` gives here is a `torch.jit.ScriptFunction`."""


class ScriptModule(_Absent):
    """libtorch's own module; what `torch.jit.script` gives here is a `torch.jit.ScriptModule`."""


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
