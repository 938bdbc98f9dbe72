"""The names of `torch._dynamo.utils` that programs use."""

from __future__ import annotations


def is_compile_supported(device_type: str) -> bool:
    """Whether functions can be compiled for this kind of device: wherever JAX has one."""
    from ..core.array.devices import jax_devices

    return bool(jax_devices(device_type))
