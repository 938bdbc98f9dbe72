"""`torch.device` as a context, by PyTorch's name for it."""

from __future__ import annotations

from typing import Any

from ..core.array.devices import device

__all__ = ["DeviceContext", "set_device"]


def DeviceContext(where: Any) -> device:
    """A context in which new tensors are made on this device."""
    return device(where)


def set_device(where: Any) -> Any:
    """A decorator: the function's new tensors are made on this device."""
    from ._contextlib import context_decorator

    return lambda function: context_decorator(lambda: device(where), function)
