"""Which GPU is meant, and that there is one."""

from __future__ import annotations

from typing import Any

from ..core.array.devices import device as _device
from ..core.array.devices import to_jax


def index_of(device: Any) -> int:
    """The index that an int, a name, a device or None (the first GPU) stands for. ValueError for another kind of device."""
    if device is None:
        return 0
    if isinstance(device, int):
        return device
    named = _device(device)
    if named.type != "cuda":
        raise ValueError(f"Expected a cuda device, but got: {named}")
    return named.index or 0


def required(index: int = 0) -> Any:
    """JAX's device of this index; AssertionError without one."""
    return to_jax(_device("cuda", index))


def wait(index: int = 0) -> None:
    """Wait until everything given to the device is done."""
    import jax

    jax.effects_barrier()
    jax.device_put(0, required(index)).block_until_ready()
