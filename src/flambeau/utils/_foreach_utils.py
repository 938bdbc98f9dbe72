"""How optimizers group their tensors for operators over lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..optim.optimizer import _group_tensors as _group_tensors_by_device_and_dtype

__all__ = ["_device_has_foreach_support", "_group_tensors_by_device_and_dtype", "_has_foreach_support"]


def _device_has_foreach_support(device: Any) -> bool:
    """On every device."""
    return True


def _has_foreach_support(tensors: Sequence[Any], device: Any) -> bool:
    """On every device."""
    return True
