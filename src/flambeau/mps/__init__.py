"""Apple's GPUs: XLA has no plugin for them here, so none is ever there."""

from __future__ import annotations

from ..runtime.absent import answer as answer
from ..runtime.absent import names as names
from ..runtime.absent import placed as placed
from ..runtime.absent import refusal as refusal
from ..runtime.absent import refused_class as refused_class

__all__ = [
    "Event",
    "compile_shader",
    "current_allocated_memory",
    "device_count",
    "driver_allocated_memory",
    "empty_cache",
    "get_rng_state",
    "is_available",
    "load_metallib",
    "manual_seed",
    "profiler",
    "recommended_max_memory",
    "seed",
    "set_per_process_memory_fraction",
    "set_rng_state",
    "synchronize",
]


_absent = refusal(RuntimeError, "Cannot execute {name}() without MPS backend. JAX has no plugin for it here")

globals().update(
    placed(
        {
            **names(answer(False), "is_available"),
            **names(answer(0), "device_count"),
            **names(
                _absent,
                "compile_shader current_allocated_memory driver_allocated_memory empty_cache get_rng_state load_metallib",
                "manual_seed recommended_max_memory seed set_per_process_memory_fraction set_rng_state synchronize",
            ),
            "Event": refused_class("Event", "Cannot execute acquireEvent() without MPS backend."),
        },
        __name__,
    )
)

from . import profiler  # noqa: E402
