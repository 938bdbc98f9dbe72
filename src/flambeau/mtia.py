"""Meta's accelerators: XLA has no plugin for them here, so none is ever there."""

from __future__ import annotations

from .runtime.absent import answer, names, no_device, placed, refusal, refused_class

__all__ = """
    MTIAGraph attach_out_of_memory_observer current_device current_stream default_stream device device_count
    empty_cache get_device_capability get_device_properties get_rng_state get_rng_state_all graph
    graph_pool_handle init initial_seed is_available is_bf16_supported is_initialized manual_seed
    manual_seed_all max_memory_allocated memory_allocated memory_stats record_memory_history
    reset_peak_memory_stats seed seed_all set_device set_rng_state set_rng_state_all set_stream snapshot
    stream synchronize
""".split()


__path__: list[str] = []  # the modules below it are in `served.txt`
_absent = refusal(RuntimeError, "Cannot execute {name}() without MTIA backend. JAX has no plugin for it here")

_uncompiled = refusal(AssertionError, "Torch not compiled with MTIA enabled. JAX has no plugin for it here")

globals().update(
    placed(
        {
            **names(answer(False), "is_available is_bf16_supported is_initialized"),
            **names(answer(0), "device_count max_memory_allocated memory_allocated"),
            **names(answer(None), "manual_seed manual_seed_all seed seed_all reset_peak_memory_stats set_rng_state"),
            **names(answer(None), "set_rng_state_all record_memory_history"),
            **names(answer([]), "get_rng_state_all"),
            **names(
                _absent,
                "attach_out_of_memory_observer current_device current_stream default_stream empty_cache graph",
                "get_device_capability get_device_properties graph_pool_handle set_device set_stream snapshot stream",
                "synchronize",
            ),
            **names(_uncompiled, "get_rng_state init initial_seed"),
            "MTIAGraph": refused_class("MTIAGraph", "Cannot execute mtiagraphCreate() without MTIA backend."),
            "memory_stats": lambda device=None: {},
        },
        __name__,
    )
)
device = no_device
