"""The names of PyTorch's profiler that programs take from its C++ part."""

from __future__ import annotations

from typing import Any

from ..profiler.profiler import ProfilerActivity

__all__ = ["ProfilerActivity", "_ExperimentalConfig"]

_AT_FIRST: dict[str, Any] = {
    "profiler_metrics": [], "profiler_measure_per_kernel": False, "verbose": False, "performance_events": [],
    "enable_cuda_sync_events": False, "adjust_profiler_step": False, "disable_external_correlation": False,
    "profile_all_threads": False, "capture_overload_names": False, "record_python_gc_info": False,
    "expose_kineto_event_metadata": False, "custom_profiler_config": "", "adjust_timestamps": False, "trace_only": False,
}  # fmt: skip


class _ExperimentalConfig:
    """What PyTorch's own recorder may be told beside; `profile` warns of what has no meaning here. TypeError for other names."""

    __module__ = "flambeau._C._profiler"

    def __init__(self, *args: Any, **settings: Any):
        given = {**dict(zip(_AT_FIRST, args, strict=False)), **settings}
        if len(args) > len(_AT_FIRST) or not given.keys() <= _AT_FIRST.keys():
            raise TypeError(
                f"__init__(): incompatible constructor arguments: _ExperimentalConfig has {', '.join(_AT_FIRST)}"
            )
        self._asked = [name for name, value in given.items() if value != _AT_FIRST[name] and name != "verbose"]
        vars(self).update({**_AT_FIRST, **given})
