"""Profiles by steps: a schedule says which of a training's steps are measured, a handler what becomes of the trace."""

from __future__ import annotations

import contextlib
import enum
import json
import os
import socket
import time
import warnings
from collections.abc import Callable, Iterable
from typing import Any

from ..autograd import profiler as _measuring
from ..autograd.profiler_util import EventList
from ..core.array.devices import jax_devices

__all__ = [
    "ExecutionTraceObserver",
    "ProfilerAction",
    "ProfilerActivity",
    "profile",
    "schedule",
    "supported_activities",
    "tensorboard_trace_handler",
]


class ProfilerActivity(enum.Enum):
    """What can be measured. Work of any device counts for the operator that waits for it."""

    CPU = 0
    XPU = 1
    MTIA = 2
    CUDA = 3
    HPU = 4
    PrivateUse1 = 5


class ProfilerAction(enum.Enum):
    """What is done in a step."""

    NONE = 0
    WARMUP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3
    DEVICE_STOPPED = 4


_RECORDING = (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE)


def supported_activities() -> set[ProfilerActivity]:
    """What `profile(activities=...)` takes on this machine."""
    return {ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if jax_devices("cuda") else [])}


def schedule(
    *, wait: int, warmup: int, active: int, repeat: int = 0, skip_first: int = 0, skip_first_wait: int = 0
) -> Callable[[int], ProfilerAction]:
    """What to do in each step: `skip_first` steps nothing, then cycles of `wait` steps of nothing, `warmup` steps and `active`
    steps that are measured; `repeat` cycles (0: for ever).

    With `skip_first_wait` the first cycle does not wait. Raises AssertionError for negative numbers, or no active steps.
    """

    def action(step: int) -> ProfilerAction:
        if step < 0:
            raise AssertionError(f"Step must be non-negative. Got {step}.")
        if step < skip_first:
            return ProfilerAction.NONE
        step -= skip_first
        if skip_first_wait:
            step += wait
        length = wait + warmup + active
        if repeat > 0 and step // length >= repeat:
            return ProfilerAction.NONE
        place = step % length
        if place < wait:
            return ProfilerAction.NONE
        if place < wait + warmup:
            return ProfilerAction.WARMUP
        return ProfilerAction.RECORD if place < length - 1 else ProfilerAction.RECORD_AND_SAVE

    if wait < 0 or warmup < 0 or active <= 0 or repeat < 0 or skip_first < 0:
        raise AssertionError(
            f"Invalid profiler schedule arguments. Got wait={wait} (need >= 0), warmup={warmup} (need >= 0), "
            f"active={active} (need > 0), repeat={repeat} (need >= 0), skip_first={skip_first} (need >= 0)."
        )
    if warmup == 0:
        warnings.warn("Profiler won't be using warmup, this can skew profiler results", stacklevel=2)
    return action


def _always(step: int) -> ProfilerAction:
    return ProfilerAction.RECORD


def tensorboard_trace_handler(
    dir_name: str, worker_name: str | None = None, use_gzip: bool = False, use_python_export: bool = False
) -> Callable[[Any], None]:
    """An `on_trace_ready` that writes each trace into a folder, as `WORKER.TIME.pt.trace.json` (compressed: `.gz`).

    Raises RuntimeError if the folder can't be made.
    """

    def handle(prof: Any) -> None:
        try:
            os.makedirs(dir_name, exist_ok=True)
        except OSError as error:
            raise RuntimeError("Can't create directory: " + dir_name) from error
        worker = worker_name or f"{socket.gethostname()}_{os.getpid()}"
        name = f"{worker}.{time.time_ns()}.pt.trace.json" + (".gz" if use_gzip else "")
        prof.export_chrome_trace(os.path.join(dir_name, name))

    return handle


class _KinetoProfile:
    """One measurement, started and stopped by hand."""

    def __init__(
        self, *, activities: Iterable[Any] | None = None, record_shapes: bool = False, profile_memory: bool = False,
        with_stack: bool = False, with_flops: bool = False, with_modules: bool = False, experimental_config: Any = None,
        execution_trace_observer: Any = None, acc_events: bool = False,
        custom_trace_id_callback: Callable[[], str] | None = None, post_processing_timeout_s: float | None = None,
    ):  # fmt: skip
        given = supported_activities() if activities is None else activities
        self.activities: Any = {a for entry in given for a in (entry if isinstance(entry, dict) else [entry])}
        if not self.activities:
            raise AssertionError("No valid profiler activities found")
        if unknown := [a for a in self.activities if not isinstance(a, ProfilerActivity)]:
            raise TypeError(f"activities must be ProfilerActivity, got {unknown[0]!r}")
        if execution_trace_observer is not None:
            raise NotImplementedError(
                "profile(): execution traces are not supported; export_chrome_trace() writes a trace"
            )
        if asked := getattr(experimental_config, "_asked", None):
            warnings.warn(
                f"profile(experimental_config=...): {', '.join(asked)} {'are' if len(asked) > 1 else 'is'} not measured here",
                stacklevel=3,
            )
        self.record_shapes = record_shapes
        self.profile_memory = profile_memory
        self.with_stack = with_stack
        self.with_flops = with_flops
        self.with_modules = with_modules
        self.acc_events = acc_events
        self.custom_trace_id_callback = custom_trace_id_callback
        self.profiler: _measuring.profile | None = None
        self.preset_metadata: dict[str, str] = {}
        self._metadata: dict[str, Any] = {}

    def start(self) -> None:
        """Begin to measure."""
        self.prepare_trace()
        self.start_trace()

    def stop(self) -> None:
        """Measure no longer."""
        self.stop_trace()

    def prepare_trace(self) -> None:
        """Make ready for a measurement."""
        self._metadata = {key: json.loads(text) for key, text in self.preset_metadata.items()}
        self.profiler = _measuring.profile(
            record_shapes=self.record_shapes,
            with_flops=self.with_flops,
            profile_memory=self.profile_memory,
            with_stack=self.with_stack,
            with_modules=self.with_modules,
            custom_trace_id_callback=self.custom_trace_id_callback,
        )

    def start_trace(self) -> None:
        """Begin the measurement that was prepared."""
        self._there("starting a trace").__enter__()

    def stop_trace(self) -> None:
        """End the measurement."""
        self._there("stopping a trace").__exit__(None, None, None)

    def _there(self, doing: str) -> _measuring.profile:
        if self.profiler is None:
            raise AssertionError(f"Profiler must be initialized before {doing}")
        return self.profiler

    def toggle_collection_dynamic(self, enable: bool, activities: Iterable[ProfilerActivity]) -> None:
        """Pause the measurement, or go on with it."""
        if self.profiler is not None:
            self.profiler.toggle_collection_dynamic(enable, activities)

    def export_chrome_trace(self, path: str, use_python_export: bool = False) -> None:
        """Write the trace as JSON for `chrome://tracing` or Perfetto, compressed if the name ends with `.gz`."""
        self._there("exporting chrome trace").export_chrome_trace(path, self._metadata)

    def export_stacks(self, path: str, metric: str = "self_cpu_time_total") -> None:
        """Write the time of each place in the program. ValueError unless the profile was made `with_stack`."""
        self._there("exporting stacks").export_stacks(path, metric)

    def export_memory_timeline(self, path: str, device: str | None = None) -> None:
        """Refused: XLA does not tell when memory is taken and given back."""
        raise NotImplementedError(
            "export_memory_timeline: XLA does not tell when memory is taken and given back; jax.profiler.device_memory_profile() "
            "shows what is held"
        )

    def key_averages(
        self, group_by_input_shape: bool = False, group_by_stack_n: int = 0, group_by_overload_name: bool = False
    ) -> EventList:
        """The events put together by name, and by what else is asked for."""
        prof = self._there("getting key averages")
        return prof.key_averages(group_by_input_shape, group_by_stack_n, group_by_overload_name)

    def events(self) -> EventList:
        """All events."""
        return self._there("accessing events").function_events

    def add_metadata(self, key: str, value: str) -> None:
        """Put a text into the trace that is written."""
        self._metadata[key] = value

    def add_metadata_json(self, key: str, value: str) -> None:
        """Put something that is given as JSON into the trace that is written."""
        self._metadata[key] = json.loads(value)

    def preset_metadata_json(self, key: str, value: str) -> None:
        """The same for every measurement that starts from now on."""
        self.preset_metadata[key] = value

    def set_custom_trace_id_callback(self, callback: Callable[[], str]) -> None:
        """Let a function name the traces."""
        self.custom_trace_id_callback = callback

    def get_trace_id(self) -> str | None:
        """The trace's name."""
        return None if self.profiler is None else self.profiler.trace_id


class profile(_KinetoProfile):
    """Measures the thread's operators, gradients, compiled programs and `record_function` ranges, with their modules' paths.

    `schedule` says what is done in each step (without one everything is measured), `step()` ends one, and `on_trace_ready` is
    called with this object whenever a cycle is measured. `record_shapes`, `profile_memory` (bytes of new results),
    `with_stack`, `with_flops` say what events hold; `with_modules` makes tables show modules. Results are waited for, so
    that a program takes longer than without. https://docs.pytorch.org/docs/stable/profiler.html
    """

    def __init__(
        self, *, activities: Iterable[Any] | None = None, schedule: Callable[[int], ProfilerAction] | None = None,
        on_trace_ready: Callable[..., Any] | None = None, record_shapes: bool = False, profile_memory: bool = False,
        with_stack: bool = False, with_flops: bool = False, with_modules: bool = False, experimental_config: Any = None,
        execution_trace_observer: Any = None, acc_events: bool = False, use_cuda: bool | None = None,
        custom_trace_id_callback: Callable[[], str] | None = None, post_processing_timeout_s: float | None = None,
    ):  # fmt: skip
        if use_cuda is not None:
            warnings.warn("`use_cuda` is deprecated, use `activities` argument instead", FutureWarning, stacklevel=2)
        super().__init__(
            activities=activities, record_shapes=record_shapes, profile_memory=profile_memory, with_stack=with_stack,
            with_flops=with_flops, with_modules=with_modules, experimental_config=experimental_config,
            execution_trace_observer=execution_trace_observer, acc_events=acc_events,
            custom_trace_id_callback=custom_trace_id_callback, post_processing_timeout_s=post_processing_timeout_s,
        )  # fmt: skip
        self.schedule: Callable[..., Any] = schedule or _always
        self.record_steps: bool = schedule is not None
        self.on_trace_ready = on_trace_ready
        self.step_num: int = 0
        self.current_action: ProfilerAction = self.schedule(0)
        self._step: contextlib.ExitStack = contextlib.ExitStack()

    def __enter__(self) -> profile:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin, with the schedule's first step."""
        self._go(ProfilerAction.NONE, self.current_action)
        self._name_step()

    def stop(self) -> None:
        """End; what is being measured is handed over."""
        self._step.close()
        if self.current_action in _RECORDING and self._running:
            self.stop_trace()
            self._ready()
        self._running = False

    def step(self) -> None:
        """A step is over, the next one begins."""
        self._step.close()
        before = self.current_action
        self.step_num = self.step_num + 1
        self.current_action = self.schedule(self.step_num)
        self._go(before, self.current_action)
        _measuring.KinetoStepTracker.increment_step("ProfilerStep")
        self._name_step()

    _running = False

    def _name_step(self) -> None:
        if self.record_steps:
            self._step.enter_context(_measuring.record_function(f"ProfilerStep#{self.step_num}"))

    def _go(self, before: ProfilerAction, now: ProfilerAction) -> None:
        if self._running and (before is ProfilerAction.RECORD_AND_SAVE or now not in _RECORDING):
            if before is ProfilerAction.RECORD:
                warnings.warn(f"Incorrect schedule: {before.name} followed by {now.name}", stacklevel=3)
            self.stop_trace()
            self._running = False
            if before is ProfilerAction.RECORD_AND_SAVE:
                self._ready()
        if now in _RECORDING and not self._running:
            super().start()
            self._running = True

    def _ready(self) -> None:
        if self.on_trace_ready is not None:
            self.on_trace_ready(self)


class ExecutionTraceObserver:
    """Refused: execution traces are of PyTorch's own runtime."""

    def __init__(self) -> None:
        raise NotImplementedError(
            "ExecutionTraceObserver: execution traces are not supported; torch.profiler.profile().export_chrome_trace() writes a trace"
        )
