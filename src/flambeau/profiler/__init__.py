"""`torch.profiler`: which operators a program runs, for how long and in which module; by steps; as tables and traces."""

from ..autograd.profiler import KinetoStepTracker, kineto_available, record_function
from ..autograd.profiler_util import DeviceType
from ..core.dispatch.help import explain_namespace as _explain_namespace
from . import itt, memory, profiler
from .memory import max_memory_resident as max_memory_resident
from .memory import memory_allocated as memory_allocated
from .memory import memory_stats as memory_stats
from .memory import memory_summary as memory_summary
from .memory import reset_peak_memory_stats as reset_peak_memory_stats
from .profiler import (
    ExecutionTraceObserver,
    ProfilerAction,
    ProfilerActivity,
    _KinetoProfile,
    profile,
    schedule,
    supported_activities,
    tensorboard_trace_handler,
)

__all__ = [
    "DeviceType",
    "ExecutionTraceObserver",
    "ProfilerAction",
    "ProfilerActivity",
    "kineto_available",
    "profile",
    "record_function",
    "schedule",
    "supported_activities",
    "tensorboard_trace_handler",
]

_explain_namespace(globals(), "torch.profiler")
