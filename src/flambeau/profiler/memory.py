"""How much memory this process takes on the CPU, by the names of `torch.cuda.memory_stats`. PyTorch has no such figures for the CPU.

XLA's CPU client counts nothing itself, so what is allocated is what its arrays hold, and what is resident is what the system tells of
the process: with XLA's intermediate values, NumPy's arrays (parameters that no operator has read yet lie there), and the libraries.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from pathlib import Path

import jax

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


def _allocated() -> tuple[int, int]:
    """How many buffers the arrays on CPUs hold, and their bytes; a buffer that several arrays share counts once."""
    held: dict[int, int] = {}
    for array in jax.live_arrays("cpu"):
        for shard in array.addressable_shards:
            if shard.data.nbytes:
                held[shard.data.unsafe_buffer_pointer()] = int(shard.data.nbytes)
    return len(held), sum(held.values())


def _resident() -> dict[str, int]:
    """Bytes of the process that lie in memory, now (Linux only) and at most."""
    if _STATUS.exists():
        told = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines() if line.startswith("Vm"))
        return {
            f"resident_bytes.all.{name}": int(told[key].split()[0]) * 1024
            for name, key in (("current", "VmRSS"), ("peak", "VmHWM"))
        }
    import resource  # which Windows lacks

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"resident_bytes.all.peak": peak if sys.platform == "darwin" else peak * 1024}


def memory_stats() -> OrderedDict[str, int]:
    """Bytes and numbers by name.

    `allocation.all.current` and `allocated_bytes.all.current` are of the arrays of tensors on the CPU; `resident_bytes.all.current` (Linux)
    and `resident_bytes.all.peak` of the whole process, the peak since it began or since `reset_peak_memory_stats`.
    """
    count, size = _allocated()
    return OrderedDict(
        sorted({"allocation.all.current": count, "allocated_bytes.all.current": size, **_resident()}.items())
    )


def memory_allocated() -> int:
    """Bytes that the arrays of tensors on the CPU hold."""
    return _allocated()[1]


def max_memory_resident() -> int:
    """The most bytes of the process that lay in memory at once, since it began or since `reset_peak_memory_stats`."""
    return _resident()["resident_bytes.all.peak"]


def reset_peak_memory_stats() -> None:
    """Let the peak begin anew at what is resident now. NotImplementedError where the system can't (Linux can)."""
    if not _CLEAR.exists():
        raise NotImplementedError(
            "flambeau.profiler.reset_peak_memory_stats: only Linux lets a process's peak begin anew"
        )
    _CLEAR.write_text("5")


def memory_summary() -> str:
    """The figures, one in a line."""
    return "\n".join(f"{name:>32}  {value:,}" for name, value in memory_stats().items())
