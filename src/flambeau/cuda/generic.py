"""`torch.Stream` and `torch.Event`: the CPU's, whose work is done when its call returns, or a GPU's (`streams.py`)."""

from __future__ import annotations

from typing import Any

import jax

from ..core.array.devices import device as _device
from ._devices import required

_NUMBERS = {"cpu": 0, "meta": 14}  # of device types, as PyTorch counts them
_NO_EVENTS = "{} backend doesn't support events."


def asked(device: Any) -> _device:
    """The device that is meant: the accelerator, or the CPU without one, if none is told. RuntimeError for one that is not there."""
    if device is None:
        return _device("cuda" if jax.default_backend() == "gpu" else "cpu")
    if isinstance(device, int) and jax.default_backend() != "gpu":
        raise RuntimeError("Cannot access accelerator device when none is available.")
    named = _device("cuda", device) if isinstance(device, int) else _device(device)
    if named.type not in _NUMBERS:
        try:
            required(named.index or 0)
        except AssertionError as error:
            raise RuntimeError(f"PyTorch is not linked with support for {named.type} devices: {error}") from None
    return _device(named.type) if named.type in _NUMBERS else named


class Stream:
    """The order in which a device does its work: the accelerator's by default, the CPU's without one. All of a device's are the same.

    Raises RuntimeError for a device that is not here, and where a CPU's stream is asked for events.
    """

    gpus: type[Stream]

    def __new__(cls, device: Any = None, *args: Any, **options: Any) -> Stream:
        return object.__new__(Stream.gpus if cls is Stream and asked(device).type not in _NUMBERS else cls)

    def __init__(self, device: Any = None, *, priority: int = 0):
        self.device = asked(device)
        self.device_index: int = -1
        self.device_type: int = _NUMBERS[self.device.type]
        self.stream_id = 0

    def query(self) -> bool:
        """Whether all work is done: a CPU's always is."""
        return True

    def synchronize(self) -> None:
        """Nothing to wait for."""

    def is_capturing(self) -> bool:
        """Whether it records a graph: never."""
        return False

    def wait_event(self, event: Any) -> None:
        """Nothing to do: what comes later is done later."""

    def wait_stream(self, stream: Any) -> None:
        """RuntimeError: a CPU has no events, which this takes."""
        raise RuntimeError(_NO_EVENTS.format(self.device.type))

    def record_event(self, event: Any = None) -> Any:
        """RuntimeError: a CPU has no events."""
        raise RuntimeError(_NO_EVENTS.format(self.device.type))

    @property
    def native_handle(self) -> int:
        """RuntimeError: there is none."""
        raise RuntimeError("Backend doesn't support getting stream native handle.")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and other.device == self.device

    def __hash__(self) -> int:
        return hash(self.device)

    def __repr__(self) -> str:
        return (
            f"torch.Stream device_type={self.device.type}, device_index={self.device_index}, stream_id={self.stream_id}"
        )

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *error: object) -> None:
        return None


class Event:
    """A mark in a device's work: the accelerator's by default, the CPU's without one, which can't be recorded (RuntimeError)."""

    gpus: type[Event]

    def __new__(cls, device: Any = None, *args: Any, **options: Any) -> Event:
        return object.__new__(Event.gpus if cls is Event and asked(device).type not in _NUMBERS else cls)

    def __init__(
        self, device: Any = None, *, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False
    ):
        self.device = asked(device)
        self.event_id = 0
        self._timed = enable_timing

    def record(self, stream: Any = None) -> None:
        """RuntimeError: a CPU has no events."""
        raise RuntimeError(_NO_EVENTS.format(self.device.type))

    def wait(self, stream: Any = None) -> None:
        """Nothing to do: what comes later is done later."""

    def query(self) -> bool:
        """Whether the work before the mark is done: a CPU's always is."""
        return True

    def synchronize(self) -> None:
        """Nothing to wait for."""

    def elapsed_time(self, end_event: Any) -> float:
        """ValueError: a CPU's events are never recorded."""
        if not (self._timed and end_event._timed):
            raise ValueError("Both events must be created with argument 'enable_timing=True'.")
        raise ValueError("Both events must be recorded before calculating elapsed time.")

    def ipc_handle(self) -> bytes:
        """NotImplementedError: other processes see no events."""
        raise NotImplementedError("torch.Event ipc is not supported yet: share what was computed instead")

    def __repr__(self) -> str:
        flag, kind = int(self._timed), self.device.type
        return f"torch.Event device_type={kind}, device_index=-1, event_flag={flag}, event_id={self.event_id}"
