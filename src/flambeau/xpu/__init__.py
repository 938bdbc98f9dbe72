"""Intel's GPUs: XLA has no plugin for them here, so none is ever there."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from ..runtime.absent import answer, names, no_device, placed, refusal, refused_class

__all__ = [
    "Event",
    "MemPool",
    "Stream",
    "StreamContext",
    "XPUGraph",
    "XPUPluggableAllocator",
    "can_device_access_peer",
    "change_current_allocator",
    "clock_rate",
    "current_device",
    "current_stream",
    "default_generators",
    "device",
    "device_count",
    "device_memory_used",
    "device_of",
    "empty_cache",
    "get_arch_list",
    "get_device_capability",
    "get_device_name",
    "get_device_properties",
    "get_gencode_flags",
    "get_per_process_memory_fraction",
    "get_rng_state",
    "get_rng_state_all",
    "get_stream_from_external",
    "graph",
    "graph_pool_handle",
    "init",
    "initial_seed",
    "is_available",
    "is_bf16_supported",
    "is_current_stream_capturing",
    "is_initialized",
    "is_tf32_supported",
    "make_graphed_callables",
    "manual_seed",
    "manual_seed_all",
    "max_memory_allocated",
    "max_memory_reserved",
    "mem_get_info",
    "memory_allocated",
    "memory_reserved",
    "memory_snapshot",
    "memory_stats",
    "memory_stats_as_nested_dict",
    "memory_usage",
    "power_draw",
    "reset_accumulated_memory_stats",
    "reset_peak_memory_stats",
    "seed",
    "seed_all",
    "set_device",
    "set_per_process_memory_fraction",
    "set_rng_state",
    "set_rng_state_all",
    "set_stream",
    "stream",
    "streams",
    "synchronize",
    "temperature",
    "use_mem_pool",
    "utilization",
]


_absent = refusal(AssertionError, "Torch not compiled with XPU enabled: JAX has no plugin for such a device")
_tool = refusal(ImportError, "{name}: pyzes is required; install it with 'pip install pyzes'. There is no XPU here")

globals().update(
    placed(
        {
            **names(answer(False), "is_available is_bf16_supported is_initialized is_tf32_supported _is_compiled"),
            **names(answer(False), "is_current_stream_capturing"),
            **names(
                answer(0), "device_count max_memory_allocated max_memory_reserved memory_allocated memory_reserved"
            ),
            **names(
                answer(None), "empty_cache manual_seed manual_seed_all seed seed_all set_rng_state set_rng_state_all"
            ),
            **names(answer([]), "get_arch_list get_rng_state_all memory_snapshot"),
            **names(answer(OrderedDict), "memory_stats memory_stats_as_nested_dict"),
            **names(answer(""), "get_gencode_flags"),
            **names(
                _absent,
                "can_device_access_peer change_current_allocator current_device current_stream get_device_capability",
                "get_device_name get_device_properties get_per_process_memory_fraction get_rng_state init initial_seed",
                "get_stream_from_external graph_pool_handle make_graphed_callables mem_get_info set_device set_stream",
                "set_per_process_memory_fraction stream synchronize use_mem_pool reset_peak_memory_stats",
                "reset_accumulated_memory_stats graph",
            ),
            **names(_tool, "clock_rate device_memory_used memory_usage power_draw temperature utilization"),
            **{
                name: refused_class(name, f"Tried to instantiate dummy base class {name}: there is no XPU here")
                for name in "Event Stream StreamContext MemPool XPUGraph XPUPluggableAllocator".split()
            },
        },
        __name__,
    )
)
device = device_of = no_device
default_generators: tuple[Any, ...] = ()

from . import streams  # noqa: E402
