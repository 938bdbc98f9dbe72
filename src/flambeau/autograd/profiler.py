"""`torch.autograd.profiler`: what ran, for how long, in which module."""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Callable
from typing import Any, ClassVar

import jax

from ..core.context.grad_mode import state
from ..core.dispatch.help import explain_namespace as _explain
from ..core.dispatch.overloads import name_of_call
from ..utils._contextlib import _DecoratorContextManager
from ._recorder import Recorder, recorders
from .profiler_util import EventList, FunctionEvent, FunctionEventAvg, MemRecordsAcc, write_json

__all__ = [
    "EnforceUnique",
    "KinetoStepTracker",
    "MemRecordsAcc",
    "emit_itt",
    "emit_nvtx",
    "load_nvprof",
    "parse_nvprof_trace",
    "profile",
    "record_function",
]


def kineto_available() -> bool:
    """Whether profiles can be made; they are measured by flambeau itself."""
    return True


def _is_profiling() -> bool:
    return bool(recorders.active)


def _disable_profiler() -> EventList:
    """Stop the innermost profile of this thread, and return its events. RuntimeError if there is none."""
    if not recorders.active:
        raise RuntimeError("Can't disable Kineto profiler when it's not running")
    return recorders.active[-1].stop()


class profile:
    """Measures what runs in the `with` block. `record_shapes`, `with_flops`, `profile_memory`, `with_stack` and
    `with_modules` say what events hold beside their times; every event has the path of its module.

    Results are waited for as they are computed. Events are those of the thread that entered. A device's work counts as
    the time of the operator that waited for it, so `use_device` and `use_cuda` change nothing.
    """

    def __init__(
        self, enabled: bool = True, *, use_cuda: bool = False, use_device: str | None = None, record_shapes: bool = False,
        with_flops: bool = False, profile_memory: bool = False, with_stack: bool = False, with_modules: bool = False,
        use_kineto: bool = False, use_cpu: bool = True, experimental_config: Any = None, acc_events: bool = False,
        custom_trace_id_callback: Callable[[], str] | None = None, post_processing_timeout_s: float | None = None,
        activity_filters: Any = None,
    ):  # fmt: skip
        self.enabled = enabled
        self.use_device: str | None = "cuda" if use_cuda else use_device
        self.record_shapes: bool = record_shapes or with_flops
        self.with_flops = with_flops
        self.profile_memory = profile_memory
        self.with_stack = with_stack
        self.with_modules = with_modules
        self.use_cpu = use_cpu
        self.acc_events = acc_events
        self.custom_trace_id_callback = custom_trace_id_callback
        self.trace_id: str = ""
        self.entered: bool = False
        self._recorder: Recorder | None = None
        self._events: EventList | None = None

    def default_trace_id(self) -> str:
        """A new one, from random numbers."""
        return uuid.uuid4().hex.upper()

    def create_trace_id(self) -> str:
        """What the callback says, or a new one."""
        return self.custom_trace_id_callback() if self.custom_trace_id_callback else self.default_trace_id()

    def __enter__(self) -> Any:
        if not self.enabled:
            return None
        if self.entered:
            raise RuntimeError("Profiler context manager is not reentrant")
        self.entered = True
        self.trace_id = self.create_trace_id()
        self._recorder = Recorder(
            self.record_shapes, self.profile_memory, self.with_stack, self.with_flops, self.with_modules
        )
        self._recorder.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self.enabled and self._recorder is not None:
            self._events = self._recorder.stop()

    def toggle_collection_dynamic(self, enabled: bool, activities: Any = None) -> None:
        """Pause the measurement, or go on with it."""
        if self._recorder is not None:
            self._recorder.paused = not enabled

    @property
    def function_events(self) -> EventList:
        """The events. RuntimeError while the profile is not finished."""
        if self._events is None:
            raise RuntimeError("Profiler didn't finish running")
        return self._events

    def __repr__(self) -> str:
        return "<unfinished torch.autograd.profile>" if self._events is None else repr(self._events)

    def __str__(self) -> str:
        return "<unfinished torch.autograd.profile>" if self._events is None else str(self._events)

    def table(
        self, sort_by: str | None = None, row_limit: int = 100, max_src_column_width: int = 75,
        max_name_column_width: int = 55, max_shapes_column_width: int = 80, header: str | None = None,
        top_level_events_only: bool = False, time_unit: str | None = None,
    ) -> str:  # fmt: skip
        """The events as a table."""
        return self.function_events.table(
            sort_by, row_limit, max_src_column_width, max_name_column_width, max_shapes_column_width, header,
            top_level_events_only, time_unit,
        )  # fmt: skip

    def export_chrome_trace(self, path: Any, about: dict[str, Any] | None = None) -> None:
        """Write a trace that `chrome://tracing` and Perfetto show."""
        began = self._recorder.began if self._recorder is not None else 0
        head = {
            "schemaVersion": 1,
            "trace_id": self.trace_id,
            "with_stack": int(self.with_stack),
            "profile_memory": int(self.profile_memory),
            "record_shapes": int(self.record_shapes),
            "with_flops": int(self.with_flops),
            "displayTimeUnit": "ms",
            "baseTimeNanoseconds": began,
            **(about or {}),
            "traceEvents": self.function_events.trace_events(),
        }
        write_json(path, head)

    def export_stacks(self, path: Any, metric: str = "self_cpu_time_total") -> None:
        """Write the time of each place in the program. AssertionError unless the profile was made `with_stack`."""
        if not self.with_stack:
            raise AssertionError("export_stacks() requires with_stack=True")
        self.function_events.export_stacks(path, metric)

    def key_averages(
        self, group_by_input_shape: bool = False, group_by_stack_n: int = 0, group_by_overload_name: bool = False
    ) -> EventList:
        """The events put together by name."""
        return self.function_events.key_averages(group_by_input_shape, group_by_stack_n, group_by_overload_name)

    def total_average(self) -> FunctionEventAvg:
        """All events as one."""
        return self.function_events.total_average()

    @property
    def self_cpu_time_total(self) -> float:
        """Microseconds of all events."""
        return self.function_events.self_cpu_time_total


class record_function(_DecoratorContextManager):
    """A named range: an event of the profiles that are being made, and of JAX's own traces. Serves as a decorator."""

    def __init__(self, name: str, args: str | None = None):
        self.name = name
        self.args = args
        self._open: list[Any] = []

    def clone(self) -> record_function:
        """Another range of the same name."""
        return type(self)(self.name, self.args)

    def __enter__(self) -> record_function:  # type: ignore[override]
        annotation = jax.profiler.TraceAnnotation(self.name)
        annotation.__enter__()
        begun = [(r, r.begin(self.name, is_user_annotation=True)) for r in recorders.active if not r.paused]
        self._open.append((annotation, begun))
        return self

    def __exit__(self, *exc: object) -> None:
        annotation, begun = self._open.pop()
        for recorder, event in begun:
            if event in recorder.open:
                recorder.end(event)
        annotation.__exit__(None, None, None)

    def _call_end_callbacks_on_future(self, fut: Any) -> Any:
        raise NotImplementedError(
            "a range can't end with a Future here: let the `with` block end when the result is there"
        )


class _Emitting:
    """While entered, each operator and each node of the backward pass is a range for another profiler."""

    def __init__(self, enabled: bool = True, record_shapes: bool = False):
        self.enabled = enabled
        self.record_shapes = record_shapes
        self.entered: bool = False

    def _begin(self, name: str) -> None:
        raise NotImplementedError

    def _end(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Any:
        if self.entered:
            raise RuntimeError(
                f"{type(self).__name__.upper().removeprefix('EMIT_')} annotation context manager is not reentrant"
            )
        self.entered = True
        if self.enabled:
            self._begin("start")
            self._end()
            self._before = state.observer, state.node_observer
            state.observer, state.node_observer = self._call, self._node
        return self

    def __exit__(self, *exc: object) -> None:
        if self.enabled:
            state.observer, state.node_observer = self._before

    def _call(self, call: Any, op: Any, args: Any, kwargs: Any) -> Any:
        name = name_of_call(op, call) if hasattr(call, "__name__") else "CompiledFunction"
        self._begin(
            f"{name}, sizes = {[list(a.shape) for a in args if hasattr(a, 'shape')]}" if self.record_shapes else name
        )
        try:
            outer = self._before[0]
            return call(*args, **kwargs) if outer is None else outer(call, op, args, kwargs)
        finally:
            self._end()

    def _node(self, node: Any, run: Callable[[], Any]) -> Any:
        self._begin(f"{node.name()}, seq = {node.order}")
        try:
            outer = self._before[1]
            return run() if outer is None else outer(node, run)
        finally:
            self._end()


class emit_nvtx(_Emitting):
    """Ranges that NVIDIA's profilers show, see `torch.cuda.nvtx`. RuntimeError without a GPU."""

    def _begin(self, name: str) -> None:
        from ..cuda import nvtx

        nvtx.range_push(name)

    def _end(self) -> None:
        from ..cuda import nvtx

        nvtx.range_pop()


class emit_itt(_Emitting):
    """Ranges for Intel's profilers, which are not there: RuntimeError."""

    def _begin(self, name: str) -> None:
        from ..profiler import itt

        itt.range_push(name)

    def _end(self) -> None:
        from ..profiler import itt

        itt.range_pop()


def load_nvprof(path: str) -> EventList:
    """Refused: nvprof's databases are of PyTorch's own CUDA programs."""
    raise NotImplementedError("load_nvprof: reading nvprof's databases is not supported; use torch.profiler.profile")


def parse_nvprof_trace(path: str) -> list[FunctionEvent]:
    """Refused, as `load_nvprof`."""
    raise NotImplementedError(
        "parse_nvprof_trace: reading nvprof's databases is not supported; use torch.profiler.profile"
    )


class EnforceUnique:
    """Raises RuntimeError when it sees the same twice."""

    def __init__(self) -> None:
        self.seen: set[Any] = set()

    def see(self, *key: Any) -> None:
        """Look at a key."""
        if key in self.seen:
            raise RuntimeError("duplicate key: " + str(key))
        self.seen.add(key)


class KinetoStepTracker:
    """Counts steps of several requesters: the step is the largest of their counts."""

    _current_step = 0
    _step_dict: ClassVar[dict[str, int]] = {}

    @classmethod
    def init_step_count(cls, requester: str) -> None:
        """Begin to count for a requester, at the current step."""
        cls._step_dict[requester] = cls._current_step

    @classmethod
    def erase_step_count(cls, requester: str) -> bool:
        """Forget a requester; whether it was known."""
        return cls._step_dict.pop(requester, None) is not None

    @classmethod
    def increment_step(cls, requester: str) -> int:
        """One more step of a requester; the current step."""
        cls._step_dict[requester] = cls._step_dict.get(requester, cls._current_step) + 1
        newest = max(cls._step_dict.values())
        if newest - cls._current_step > 1:
            warnings.warn(
                f"Profiler step count has increased more than 1 - current_step = {cls._current_step} step dict =  {cls._step_dict}"
            )
        cls._current_step = max(cls._current_step, newest)
        return cls._current_step

    @classmethod
    def current_step(cls) -> int:
        """The largest count so far."""
        return cls._current_step


_explain(globals(), "torch.autograd.profiler")
