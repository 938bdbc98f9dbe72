"""The CPU as a device: names that let a program treat it like an accelerator."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from . import amp

__all__ = [
    "Event",
    "Stream",
    "StreamContext",
    "current_device",
    "current_stream",
    "device_count",
    "get_capabilities",
    "is_available",
    "is_initialized",
    "set_device",
    "stream",
    "synchronize",
]


class Stream:
    """The order of the CPU's work; there is one."""

    def __init__(self, priority: int = -1):
        self.priority = priority

    def wait_stream(self, stream: Any) -> None:
        """Nothing to do: what comes later is done later."""

    def record_event(self, event: Any = None) -> None:
        """Nothing to do."""

    def wait_event(self, event: Any) -> None:
        """Nothing to do."""


class Event:
    """A mark in the order of the CPU's work, in which all before it is done."""

    def query(self) -> bool:
        """Whether the work before it is done."""
        return True

    def record(self, stream: Any = None) -> None:
        """Nothing to do."""

    def synchronize(self) -> None:
        """Wait for the work before it."""
        synchronize()

    def wait(self, stream: Any = None) -> None:
        """Nothing to do."""


class StreamContext(contextlib.AbstractContextManager[None]):
    """What `torch.cpu.stream` gives: it means nothing."""

    def __init__(self, stream: Any):
        self.stream = stream

    def __exit__(self, *error: object) -> None:
        return None


_stream = Stream()


def stream(stream: Any) -> StreamContext:
    """A context in which work is given to this stream."""
    return StreamContext(stream)


def current_stream(device: Any = None) -> Stream:
    """The one stream."""
    return _stream


def synchronize(device: Any = None) -> None:
    """Wait until all work is done."""
    import jax

    jax.effects_barrier()
    jax.device_put(0, jax.devices("cpu")[0]).block_until_ready()


def is_available() -> bool:
    """Always."""
    return True


def is_initialized() -> bool:
    """Always."""
    return True


def device_count() -> int:
    """1: a CPU is one device, however many processors it has."""
    return 1


def current_device() -> str:
    """`cpu`."""
    return "cpu"


def set_device(device: Any) -> None:
    """Nothing to do."""


_FLAGS = {
    "avx": "avx", "avx2": "avx2", "avx512_f": "avx512f", "avx512_bw": "avx512bw", "avx512_dq": "avx512dq",
    "avx512_vl": "avx512vl", "avx512_vnni": "avx512_vnni", "avx512_bf16": "avx512_bf16", "avx_vnni": "avx_vnni",
    "amx_tile": "amx_tile", "amx_bf16": "amx_bf16", "amx_int8": "amx_int8", "amx_fp16": "amx_fp16", "fma3": "fma",
    "bmi": "bmi1", "bmi2": "bmi2", "aes": "aes", "sha": "sha_ni", "popcnt": "popcnt", "lzcnt": "abm", "clflush": "clflush",
    "sse": "sse", "sse2": "sse2", "sse3": "pni", "ssse3": "ssse3", "sse4_1": "sse4_1", "sse4_2": "sse4_2",
}  # fmt: skip


def get_capabilities() -> Mapping[str, Any]:
    """The instructions that this processor has, where the system tells (Linux on x86)."""
    try:
        with open("/proc/cpuinfo") as file:
            line = next((line for line in file if line.startswith("flags")), "")
    except OSError:
        line = ""
    flags = set(line.partition(":")[2].split())
    found = {name: flag in flags for name, flag in _FLAGS.items()} if flags else {}
    return MappingProxyType({"architecture": platform.machine(), **found})
