"""GPUs as JAX sees them, under torch's names."""

from __future__ import annotations

import importlib
from typing import Any

from ..core.array.devices import device as _device
from ..core.array.devices import jax_devices, to_jax


def is_available() -> bool:
    """Whether JAX has a GPU."""
    return bool(jax_devices("cuda"))


def device_count() -> int:
    """The number of GPUs that JAX has."""
    return len(jax_devices("cuda"))


def _index(device: Any) -> int:
    if device is None:
        return 0
    return device if isinstance(device, int) else (_device(device).index or 0)


def current_device() -> int:
    """The index of the GPU in use. Raises AssertionError without one."""
    to_jax(_device("cuda", 0))
    return 0


def get_device_name(device: Any = None) -> str:
    """The name of a GPU. Raises AssertionError without one."""
    return to_jax(_device("cuda", _index(device))).device_kind


def synchronize(device: Any = None) -> None:
    """Wait until everything given to the device is done."""
    import jax

    jax.effects_barrier()
    jax.device_put(0, to_jax(_device("cuda", _index(device)))).block_until_ready()


def empty_cache() -> None:
    """Nothing to do: XLA's allocator keeps its memory."""


def manual_seed(seed: int) -> None:
    """Seed the generator (one serves all devices)."""
    from ..ops.random.factories import manual_seed as seeded

    seeded(seed)


manual_seed_all = manual_seed


def memory_allocated(device: Any = None) -> int:
    """Bytes in use on a GPU; 0 without one, or where JAX does not tell."""
    if not is_available():
        return 0
    return int((to_jax(_device("cuda", _index(device))).memory_stats() or {}).get("bytes_in_use", 0))


def max_memory_allocated(device: Any = None) -> int:
    """The most bytes that were in use on a GPU; 0 without one, or where JAX does not tell."""
    if not is_available():
        return 0
    return int((to_jax(_device("cuda", _index(device))).memory_stats() or {}).get("peak_bytes_in_use", 0))


memory_reserved, max_memory_reserved = memory_allocated, max_memory_allocated  # XLA's allocator tells no more


def set_device(device: Any) -> None:
    """Make a GPU the one that `cuda()` without an index means; so far only the first can be. AssertionError without one."""
    to_jax(_device("cuda", _index(device)))
    if _index(device):
        raise NotImplementedError("cuda.set_device() is not there yet for another GPU than 0: say .to('cuda:1')")


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """Whether there is a GPU (XLA has bfloat16 on all)."""
    return is_available()


def is_initialized() -> bool:
    """Whether there is a GPU to use; JAX needs no further start."""
    return is_available()


def init() -> None:
    """Nothing to do."""


def __getattr__(name: str) -> Any:
    from ..core.tensor.typed import CUDA_TENSOR_TYPES

    if name == "OutOfMemoryError":
        return importlib.import_module("flambeau").OutOfMemoryError
    if name == "amp":
        return importlib.import_module(f"{__package__}.amp")
    if name in CUDA_TENSOR_TYPES:
        return CUDA_TENSOR_TYPES[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r} (yet)")
