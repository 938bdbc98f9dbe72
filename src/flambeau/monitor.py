"""`torch.monitor`: statistics and events of a running program, handed to those who registered for them."""

from __future__ import annotations

import datetime
import enum
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING as TYPE_CHECKING
from typing import Any

__all__ = [
    "Aggregation",
    "Event",
    "EventHandlerHandle",
    "Stat",
    "TensorboardEventHandler",
    "log_event",
    "register_event_handler",
    "unregister_event_handler",
]

STAT_EVENT = "torch.monitor.Stat"


class Aggregation(enum.Enum):
    """What a Stat makes of the values of a window."""

    VALUE = 0  # the last one
    MEAN = 2
    COUNT = 3
    SUM = 4
    MAX = 5
    MIN = 6


VALUE, MEAN, COUNT, SUM, MAX, MIN = Aggregation

_AGGREGATE: dict[Aggregation, Callable[[list[float]], float]] = {
    VALUE: lambda values: values[-1],
    MEAN: lambda values: sum(values) / len(values),
    COUNT: lambda values: float(len(values)),
    SUM: sum,
    MAX: max,
    MIN: min,
}


data_value_t = str | float | int | bool  # what an event's values are


class Event:
    """Something that happened: a name, a time, and values that are texts, numbers or bools. TypeError for other values."""

    def __init__(self, name: str, timestamp: datetime.datetime, data: dict[str, str | float | int | bool]):
        if not isinstance(name, str) or not isinstance(timestamp, datetime.datetime):
            raise TypeError("Event(name: str, timestamp: datetime.datetime, data: dict[str, str | float | int | bool])")
        for key, value in data.items():
            if not isinstance(key, str) or not isinstance(value, str | float | int):
                raise TypeError(
                    f"Event(): the value of {key!r} must be a str, float, int or bool, not {type(value).__name__}"
                )
        self.name = name
        self.timestamp = timestamp
        self.data: dict[str, str | float | int | bool] = dict(data)


class EventHandlerHandle:
    """What `register_event_handler` returns."""

    def __init__(self, handler: Callable[[Event], None]):
        self._handler = handler


_handlers: list[EventHandlerHandle] = []
_lock = threading.RLock()


def register_event_handler(callback: Callable[[Event], None]) -> EventHandlerHandle:
    """Have `callback` called with every event."""
    handle = EventHandlerHandle(callback)
    with _lock:
        _handlers.append(handle)
    return handle


def unregister_event_handler(handler: EventHandlerHandle) -> None:
    """Call it no longer."""
    with _lock:
        if handler in _handlers:
            _handlers.remove(handler)


def log_event(event: Event) -> None:
    """Hand an event to all who registered."""
    with _lock:
        handlers = list(_handlers)
    for handle in handlers:
        handle._handler(event)


class Stat:
    """Values of a window of time, at most the first `max_samples` of them; when it is over they are logged as an event.

    The event is named `torch.monitor.Stat` and holds `NAME.sum` and the like. A window is found to be over when the next value
    comes, when `get` is called, or when the Stat is deleted.
    """

    def __init__(
        self,
        name: str,
        aggregations: Sequence[Aggregation],
        window_size: datetime.timedelta,
        max_samples: int = 2**63 - 1,
    ):
        self.name = name
        self._aggregations = list(dict.fromkeys(aggregations))
        if unknown := [a for a in self._aggregations if not isinstance(a, Aggregation)]:
            raise TypeError(f"Stat(): aggregations must be of torch.monitor.Aggregation, got {unknown[0]!r}")
        self._window = window_size
        self._most = max_samples
        self._values: list[float] = []
        self._last: dict[Aggregation, float] = dict.fromkeys(self._aggregations, 0.0)
        self._began = datetime.datetime.now()
        self._full = False

    @property
    def count(self) -> int:
        """How many values there are in this window that were not logged yet."""
        self._look_at_the_clock()
        return len(self._values)

    def add(self, v: float) -> None:
        """Take a value in; it is left out if there were `max_samples` in this window."""
        self._look_at_the_clock()
        if self._full:
            return
        self._values.append(float(v))
        if len(self._values) >= self._most:
            self._full = True
            self._log()

    def get(self) -> dict[Aggregation, float]:
        """What the values that were logged last came to."""
        self._look_at_the_clock()
        return dict(self._last)

    def _look_at_the_clock(self) -> None:
        now = datetime.datetime.now()
        if now - self._began >= self._window:
            self._began, self._full = now, False
            self._log()

    def _log(self) -> None:
        if not self._values:
            return
        values, self._values = self._values, []
        self._last = {a: float(_AGGREGATE[a](values)) for a in self._aggregations}
        data: dict[str, Any] = {f"{self.name}.{a.name.lower()}": v for a, v in self._last.items()}
        log_event(Event(STAT_EVENT, datetime.datetime.now(), data))

    def __del__(self) -> None:
        if getattr(self, "_values", None):
            self._log()


class TensorboardEventHandler:
    """Writes the numbers of events into a `SummaryWriter`, as scalars; to be registered as a handler."""

    def __init__(self, writer: Any):
        self._writer = writer

    def __call__(self, event: Event) -> None:
        if event.name == STAT_EVENT:
            for name, value in event.data.items():
                self._writer.add_scalar(name, value, walltime=event.timestamp.timestamp())
