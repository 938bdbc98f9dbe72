"""A batch's tensors in page-locked memory, through the containers that hold them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flambeau.core.tensor.tensor import Tensor
from flambeau.utils.data._utils.collate import _with_elements, _with_items

__all__ = ["pin_memory"]


def pin_memory(data: Any, device: Any = None) -> Any:
    """`data` with every tensor, and whatever has a method `pin_memory`, replaced by what its `pin_memory()` gives."""
    if isinstance(data, Tensor) or hasattr(data, "pin_memory"):
        return data.pin_memory()
    if isinstance(data, Mapping):
        return _with_items(data, {key: pin_memory(value, device) for key, value in data.items()})
    if isinstance(data, Sequence) and not isinstance(data, str | bytes):
        elements = [pin_memory(value, device) for value in data]
        return tuple(elements) if type(data) is tuple else _with_elements(data, elements)
    return data
