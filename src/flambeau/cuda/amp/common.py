"""Whether mixed precision can be asked for."""

from __future__ import annotations

from ...core.array.devices import jax_devices

__all__ = ["amp_definitely_not_available"]


def amp_definitely_not_available() -> bool:
    """Whether there is no GPU."""
    return not jax_devices("cuda")
