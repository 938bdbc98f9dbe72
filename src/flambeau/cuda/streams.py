"""Streams and events: XLA puts a device's work in order by itself, one stream for all of it.

So work "on another stream" is done in the order in which it was given, which keeps what a program may rely on. An event's time is
that at which all work before it was done; recording one that shall be timed waits for that.
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

from ..core.array.devices import device as _device
from . import generic
from ._devices import index_of, required, wait


class Stream(generic.Stream):
    """The order in which a device does its work; all streams of a device are the same order here.

    Raises RuntimeError without a GPU.
    """

    priority = 0

    def __init__(self, device: Any = None, priority: int = 0, **options: Any):
        try:
            self.device_index: int = index_of(device)
            required(self.device_index)
        except AssertionError as error:
            raise RuntimeError(f"torch.cuda.Stream requires CUDA support: {error}") from None
        self.device = _device("cuda", self.device_index)
        self.stream_id = 0
        self.device_type = 1  # CUDA's number among PyTorch's device types

    @property
    def cuda_stream(self) -> int:
        """RuntimeError: XLA's streams have no handle that Python can hand on."""
        raise RuntimeError("cuda_stream: the streams of XLA have no handle that Python can give to other libraries")

    def synchronize(self) -> None:
        """Wait until all work that was given to the device is done."""
        wait(self.device_index)

    def query(self) -> bool:
        """Whether all work is done. It waits for that, since XLA doesn't tell."""
        self.synchronize()
        return True

    def wait_event(self, event: Event) -> None:
        """Nothing to do: what comes later is done later."""

    def wait_stream(self, stream: Stream) -> None:
        """Nothing to do: what comes later is done later."""

    def record_event(self, event: Event | None = None) -> Event:
        """Record an event, a new one if none is given."""
        event = event or Event()
        event.record(self)
        return event

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and other.device == self.device

    def __hash__(self) -> int:
        return hash(self.device)

    def __repr__(self) -> str:
        return f"torch.cuda.Stream(device={self.device}, cuda_stream=0x0)"

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *error: object) -> None:
        return None


class ExternalStream(Stream):
    """Refused: XLA takes no streams from outside."""

    def __init__(self, stream_ptr: int, device: Any = None, **options: Any):
        required(index_of(device))
        raise NotImplementedError("torch.cuda.ExternalStream: XLA runs its work on streams of its own")


class Event(generic.Event):
    """A mark in the work of a device. Raises RuntimeError without a GPU."""

    def __new__(cls, *args: Any, **options: Any) -> Event:
        return object.__new__(cls)

    def __init__(
        self, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False, external: bool = False
    ):
        try:
            required(0)
        except AssertionError as error:
            raise RuntimeError(f"Tried to instantiate dummy base class Event: {error}") from None
        if interprocess:
            raise NotImplementedError("torch.cuda.Event(interprocess=True): other processes can't see XLA's work")
        self._timed = enable_timing
        self._time: float | None = None

    def record(self, stream: Stream | None = None) -> None:
        """Set the mark after all work that was given so far; with `enable_timing` that is waited for."""
        if self._timed:
            wait(0 if stream is None else stream.device_index)
        self._time = time.perf_counter()

    def wait(self, stream: Stream | None = None) -> None:
        """Nothing to do: what comes later is done later."""

    def query(self) -> bool:
        """Whether the work before the mark is done (it is waited for)."""
        wait(0)
        return True

    def synchronize(self) -> None:
        """Wait for the work before the mark."""
        wait(0)

    def elapsed_time(self, end_event: Event) -> float:
        """Milliseconds from this mark to the other. Both need `enable_timing`."""
        if not (self._timed and end_event._timed):
            raise ValueError("Both events must be created with argument 'enable_timing=True'.")
        if self._time is None or end_event._time is None:
            raise ValueError("Both events must be recorded before calculating elapsed time.")
        return (end_event._time - self._time) * 1000


generic.Stream.gpus, generic.Event.gpus = Stream, Event


class StreamContext:
    """What `torch.cuda.stream` gives."""

    def __init__(self, stream: Stream | None):
        self.stream = stream

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


def stream(stream: Stream | None) -> StreamContext:
    """A context in which work is given to this stream; None means nothing."""
    return StreamContext(stream)


def current_stream(device: Any = None) -> Stream:
    """The stream of a device. AssertionError without a GPU."""
    required(index_of(device))
    return Stream(device)


def default_stream(device: Any = None) -> Stream:
    """The stream of a device. AssertionError without a GPU."""
    required(index_of(device))
    return Stream(device)


def get_stream_from_external(data_ptr: int, device: Any = None) -> Stream:
    """Refused: XLA takes no streams from outside."""
    return ExternalStream(data_ptr, device)


def set_stream(stream: Stream | None) -> None:
    """Nothing to do: a device has one stream. AssertionError without a GPU."""
    if stream is not None:
        required(stream.device_index)
