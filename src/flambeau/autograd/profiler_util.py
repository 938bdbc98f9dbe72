"""What a profile is made of: events, averages of them, and the table that is printed."""

from __future__ import annotations

import bisect
import enum
import gzip
import json
import os
from collections import defaultdict, namedtuple
from collections.abc import Iterable
from typing import Any, NamedTuple

__all__ = [
    "DeviceType",
    "EventList",
    "EventMetadata",
    "FormattedTimesMixin",
    "FunctionEvent",
    "FunctionEventAvg",
    "Interval",
    "Kernel",
    "MemRecordsAcc",
    "StringTable",
]

MEMORY_EVENT_NAME = "[memory]"
OUT_OF_MEMORY_EVENT_NAME = "[OutOfMemory]"


class DeviceType(enum.Enum):
    """Where an event was measured: always by the host's clock, which waits for the device."""

    CPU = 0
    CUDA = 1


class EventMetadata(NamedTuple):
    """What a GPU's profiler knows of a kernel or collective. JAX's traces do not say it, so that no event has one."""

    registers_per_thread: int | None
    shared_memory: int | None
    grid: list[int] | None
    block: list[int] | None
    priority: int | None
    blocks_per_sm: float | None
    warps_per_sm: float | None
    occupancy: dict[str, Any] | None
    est_occupancy_pct: float | None
    queued: int | None
    graph_id: int | None
    graph_node_id: int | None
    stream: int | None
    context: int | None
    channel: int | None
    channel_type: int | None
    bytes: int | None
    bandwidth_gb_s: float | None
    collective_name: str | None
    dtype: str | None
    in_msg_nelems: int | None
    out_msg_nelems: int | None
    in_split_size: str | None
    out_split_size: str | None
    global_rank_start: int | None
    global_rank_stride: int | None
    group_size: int | None
    process_group_name: str | None
    process_group_desc: str | None
    group_ranks: str | None
    rank: int | None
    src_rank: int | None
    dst_rank: int | None
    seq: int | None
    is_async: bool | None


class Interval:
    """From when to when, in microseconds."""

    def __init__(self, start: float, end: float):
        self.start = start
        self.end = end

    def elapsed_us(self) -> float:
        """How long it is."""
        return self.end - self.start


Kernel: type[Kernel] = namedtuple("Kernel", ["name", "device", "duration"])


class StringTable(defaultdict):  # type: ignore[type-arg]
    """Names by themselves."""

    def __missing__(self, key: str) -> str:
        self[key] = key
        return key


class MemRecordsAcc:
    """Records that can be asked for by time."""

    def __init__(self, mem_records: Iterable[Any]):
        self._records = sorted(mem_records, key=lambda r: r[0].start_ns())
        self._starts = [r[0].start_ns() for r in self._records]

    def in_interval(self, start_us: float, end_us: float) -> Iterable[Any]:
        """Those that begin between two times."""
        first = bisect.bisect_left(self._starts, start_us * 1000)
        yield from self._records[first : bisect.bisect_right(self._starts, end_us * 1000)]


def _format_time(time_us: float) -> str:
    if time_us >= 1e6:
        return f"{time_us / 1e6:.3f}s"
    return f"{time_us / 1e3:.3f}ms" if time_us >= 1e3 else f"{time_us:.3f}us"


def _format_share(part: float, whole: float) -> str:
    return f"{part * 100.0 / whole:.2f}%" if whole else "NaN" if part else "0.00%"


def _format_memory(size: int) -> str:
    for unit, scale in (("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)):
        if abs(size) >= scale:
            return f"{size / scale:.2f} {unit}"
    return f"{size} B"


def _as_text(name: str) -> property:
    return property(lambda self: _format_time(getattr(self, name)), doc=f"`{name}` with its unit.")


class FormattedTimesMixin:
    """Times as text. All are the host's: a device's work is waited for, and counts for the operator that asked for it."""

    count: int
    cpu_time_total: Any
    self_cpu_time_total: Any

    cpu_time_str: Any = _as_text("cpu_time")
    cpu_time_total_str: Any = _as_text("cpu_time_total")
    self_cpu_time_total_str: Any = _as_text("self_cpu_time_total")
    device_time_str: Any = _as_text("device_time")
    device_time_total_str: Any = _as_text("device_time_total")
    self_device_time_total_str: Any = _as_text("self_device_time_total")
    self_device_time_total: float
    device_time_total: float
    device_time: float
    device_time = device_time_total = self_device_time_total = 0.0
    self_cuda_time_total: float
    cuda_time_total: float
    cuda_time: float
    cuda_time = cuda_time_total = self_cuda_time_total = 0.0
    device_memory_usage = self_device_memory_usage = self_cuda_memory_usage = 0

    @property
    def cpu_time(self) -> float:
        """The mean, in microseconds."""
        return self.cpu_time_total / self.count if self.count else 0.0


class FunctionEvent(FormattedTimesMixin):
    """One call of an operator, one node of the backward pass, one compiled program or one range of `record_function`."""

    def __init__(
        self, id: int, name: str, thread: int, start_us: float, end_us: float, overload_name: str | None = None,
        fwd_thread: int | None = None, input_shapes: Any = None, stack: Any = None, scope: int = 0, use_device: Any = None,
        cpu_memory_usage: int = 0, device_memory_usage: int = 0, is_async: bool = False, is_remote: bool = False,
        sequence_nr: int = -1, node_id: int = -1, device_type: DeviceType = DeviceType.CPU, device_index: int = 0,
        is_legacy: bool = False, flops: int | None = None, trace_name: str | None = None, concrete_inputs: Any = None,
        kwinputs: Any = None, is_user_annotation: bool = False, input_dtypes: Any = None, module: str = "",
    ):  # fmt: skip
        self.id = id
        self.node_id = node_id
        self.name = name
        self.trace_name: str = trace_name or name
        self.overload_name: str = overload_name or ""
        self.time_range: Interval = Interval(start_us, end_us)
        self.thread = thread
        self.fwd_thread = fwd_thread
        self.kernels: list[Kernel] = []
        self.count = 1
        self.cpu_children: list[FunctionEvent] = []
        self.cpu_parent: FunctionEvent | None = None
        self.input_shapes: Any = input_shapes or []
        self.input_dtypes: Any = input_dtypes or []
        self.concrete_inputs: Any = concrete_inputs or []
        self.kwinputs: Any = kwinputs or {}
        self.stack: Any = stack or []
        self.scope = scope
        self.use_device = use_device
        self.own_memory_usage = cpu_memory_usage
        self.is_async = is_async
        self.is_remote = is_remote
        self.sequence_nr = sequence_nr
        self.device_type = device_type
        self.device_index = device_index
        self.is_legacy = is_legacy
        self.flops = flops
        self.is_user_annotation = is_user_annotation
        self.composite = False  # of a function that calls operators
        self.module = module  # the path of the module whose call it belongs to

    def append_cpu_child(self, child: FunctionEvent) -> None:
        """Say that `child` happened within this event."""
        self.cpu_children.append(child)

    def set_cpu_parent(self, parent: FunctionEvent) -> None:
        """Say within which event this one happened."""
        self.cpu_parent = parent

    @property
    def key(self) -> str:
        """By what events are put together."""
        return self.name

    @property
    def cpu_time_total(self) -> float:
        """Microseconds, with all that happened within."""
        return self.time_range.elapsed_us()

    @property
    def self_cpu_time_total(self) -> float:
        """Microseconds, without the events within."""
        return self.cpu_time_total - sum(child.cpu_time_total for child in self.cpu_children)

    @property
    def cpu_memory_usage(self) -> int:
        """Bytes of the results that were made, with those of the events within."""
        return self.own_memory_usage + sum(child.cpu_memory_usage for child in self.cpu_children)

    @property
    def self_cpu_memory_usage(self) -> int:
        """The same without the events within."""
        return self.own_memory_usage

    def __repr__(self) -> str:
        return (
            f"<FunctionEvent id={self.id} name={self.name} overload_name={self.overload_name} device_type={self.device_type} "
            f"node_id={self.node_id} cpu_time={self.cpu_time_str} start_us={self.time_range.start:.3f} "
            f"end_us={self.time_range.end:.3f} cpu_children={[child.id for child in self.cpu_children]} "
            f"thread={self.thread} module={self.module} input_shapes={self.input_shapes} "
            f"cpu_memory_usage={self.cpu_memory_usage} is_async={self.is_async} is_remote={self.is_remote} "
            f"seq_nr={self.sequence_nr} is_legacy={self.is_legacy}>"
        )


class FunctionEventAvg(FormattedTimesMixin):
    """The sum of several events."""

    cpu_time_total: Any
    self_cpu_time_total: Any
    cpu_memory_usage: Any
    self_cpu_memory_usage: Any

    def __init__(self) -> None:
        self.key: str | None = None
        self.count: int = 0
        self.node_id = 0
        self.is_async = self.is_remote = self.is_legacy = self.is_user_annotation = False
        self.use_device: Any = None
        self.cpu_time_total = self.self_cpu_time_total = 0.0
        self.input_shapes: Any = None
        self.overload_name: str | None = None
        self.stack: list[str] = []
        self.scope: int | None = None
        self.cpu_memory_usage = self.self_cpu_memory_usage = 0
        self.cpu_children: list[FunctionEvent] = []
        self.cpu_parent: FunctionEvent | None = None
        self.device_type = DeviceType.CPU
        self.flops: int = 0
        self.module = ""

    def add(self, other: Any) -> FunctionEventAvg:
        """Take an event, or another sum of the same kind, in."""
        if self.key is None:
            for name in (
                "key node_id is_async is_remote use_device cpu_parent cpu_children input_shapes overload_name stack scope "
                "device_type is_legacy is_user_annotation module"
            ).split():
                setattr(self, name, getattr(other, name))
        self.cpu_time_total += other.cpu_time_total
        self.self_cpu_time_total += other.self_cpu_time_total
        self.cpu_memory_usage += other.cpu_memory_usage
        self.self_cpu_memory_usage += other.self_cpu_memory_usage
        self.count += other.count
        self.flops += other.flops or 0
        return self

    def __iadd__(self, other: Any) -> FunctionEventAvg:
        return self.add(other)

    def __repr__(self) -> str:
        parts = [
            ("key", self.key),
            ("self_cpu_time", self.self_cpu_time_total_str),
            ("cpu_time", self.cpu_time_str),
            (" self_cuda_time", self.self_device_time_total_str),
            ("cuda_time", self.device_time_str),
            ("input_shapes", self.input_shapes),
            ("cpu_memory_usage", self.cpu_memory_usage),
            ("cuda_memory_usage", self.device_memory_usage),
        ]
        return f"<FunctionEventAvg {' '.join(f'{name}={value}' for name, value in parts)}>"


class EventList(list):  # type: ignore[type-arg]
    """Events, or averages of events."""

    def __init__(
        self, *args: Any, use_device: Any = None, profile_memory: bool = False, with_flops: bool = False,
        with_modules: bool = False,
    ):  # fmt: skip
        super().__init__(*args)
        self._use_device = use_device
        self._profile_memory = profile_memory
        self._with_flops = with_flops
        self._with_modules = with_modules

    def __str__(self) -> str:
        return self.table()

    def _like(self, events: Iterable[Any]) -> EventList:
        return EventList(
            events,
            use_device=self._use_device,
            profile_memory=self._profile_memory,
            with_flops=self._with_flops,
            with_modules=self._with_modules,
        )

    @property
    def self_cpu_time_total(self) -> float:
        """Microseconds of all events."""
        return sum(event.self_cpu_time_total for event in self)

    def total_average(self) -> FunctionEventAvg:
        """All events as one."""
        total = FunctionEventAvg()
        for event in self:
            total += event
            total.key = None
        total.key = "Total"
        return total

    def key_averages(
        self, group_by_input_shapes: bool = False, group_by_stack_n: int = 0, group_by_overload_name: bool = False
    ) -> EventList:
        """The events put together by name, and by what else is asked for (by their module, if that was `with_modules`)."""
        groups: dict[Any, FunctionEventAvg] = defaultdict(FunctionEventAvg)
        for event in self:
            key = [event.key, event.node_id, event.is_user_annotation]
            if group_by_overload_name:
                key.append(event.overload_name)
            if group_by_input_shapes:
                key.append(str(event.input_shapes))
            if group_by_stack_n > 0:
                key += event.stack[:group_by_stack_n]
            if self._with_modules:
                key.append(event.module)
            groups[tuple(key)].add(event)
        averages = self._like(groups.values())
        for average in averages:
            average.stack = average.stack[:group_by_stack_n]
            if not group_by_input_shapes:
                average.input_shapes = ""
            if not group_by_overload_name:
                average.overload_name = ""
        return averages

    def table(
        self, sort_by: str | None = None, row_limit: int = 100, max_src_column_width: int = 75,
        max_name_column_width: int = 55, max_shapes_column_width: int = 80, header: str | None = None,
        top_level_events_only: bool = False, time_unit: str | None = None,
    ) -> str:  # fmt: skip
        """A table, the first `row_limit` rows (-1: all) by `sort_by`, the name of an attribute such as 'cpu_time_total'.

        `time_unit`: 's', 'ms' or 'us' for all times. Raises AttributeError for an unknown `sort_by`.
        """
        from ._profile_table import table

        widths = {"name": max_name_column_width, "shapes": max_shapes_column_width, "source": max_src_column_width}
        return table(self, sort_by, row_limit, widths, header, top_level_events_only, time_unit)

    def export_chrome_trace(self, path: str | os.PathLike[str]) -> None:
        """Write the events as a trace that `chrome://tracing` and Perfetto show."""
        write_json(path, {"schemaVersion": 1, "displayTimeUnit": "ms", "traceEvents": self.trace_events()})

    def trace_events(self) -> list[dict[str, Any]]:
        """The events as the trace's format has them."""
        process = os.getpid()
        found: list[dict[str, Any]] = [
            {"ph": "M", "name": "process_name", "ts": 0, "pid": process, "tid": 0, "args": {"name": "python"}}
        ]
        for event in self:
            about: dict[str, Any] = {"External id": event.id}
            if event.module:
                about["Module"] = event.module
            if event.input_shapes:
                about |= {"Input Dims": event.input_shapes, "Input type": event.input_dtypes}
            if event.stack:
                about["Call stack"] = ";".join(event.stack)
            if event.flops:
                about["Flops"] = event.flops
            if self._profile_memory:
                about["Bytes"] = event.self_cpu_memory_usage
            if event.sequence_nr >= 0:
                about["Sequence number"] = event.sequence_nr
            found.append(
                {
                    "ph": "X",
                    "cat": "user_annotation" if event.is_user_annotation else "cpu_op",
                    "name": event.trace_name,
                    "pid": process,
                    "tid": event.thread,
                    "ts": event.time_range.start,
                    "dur": event.cpu_time_total,
                    "args": about,
                }
            )
        return found

    def supported_export_stacks_metrics(self) -> list[str]:
        """What `export_stacks` can be asked for."""
        return ["self_cpu_time_total", "self_cuda_time_total", "self_xpu_time_total", "self_privateuse1_time_total"]

    def export_stacks(self, path: str | os.PathLike[str], metric: str) -> None:
        """Write for each place in the program its time, as flame graphs are made of. Raises ValueError for another metric."""
        if metric not in self.supported_export_stacks_metrics():
            raise ValueError(f"metric should be one of: {self.supported_export_stacks_metrics()}")
        sums: dict[str, int] = defaultdict(int)
        for event in self:
            value = int(getattr(event, metric, 0))
            if event.stack and value > 0:
                frames = (f.translate(str.maketrans(" ;\t\n", "____")) for f in reversed(event.stack))
                sums[";".join(frames)] += value
        with open(path, "w") as file:
            file.writelines(f"{stack} {value}\n" for stack, value in sums.items())


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Write a file of JSON, compressed if its name ends with `.gz`."""
    if os.fspath(path).endswith(".gz"):
        with gzip.open(path, "wt") as packed:
            json.dump(content, packed)
        return
    with open(path, "w") as file:
        json.dump(content, file)
