"""How optimizers group their tensors for operators over lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["_device_has_foreach_support", "_group_tensors_by_device_and_dtype", "_has_foreach_support"]


def _group_tensors_by_device_and_dtype(
    tensorlistlist: Sequence[Sequence[Any]], with_indices: bool = False
) -> dict[tuple[Any, Any], tuple[list[list[Any]], list[int]]]:
    """Lists that go together, split by device and dtype of the first list's tensors; with the places they had."""
    groups: dict[tuple[Any, Any], tuple[list[list[Any]], list[int]]] = {}
    for place, first in enumerate(tensorlistlist[0]):
        key = (first.device, first.dtype)
        lists, places = groups.setdefault(key, ([[] for _ in tensorlistlist], []))
        for part, given in zip(lists, tensorlistlist, strict=True):
            if given:
                part.append(given[place])
        if with_indices:
            places.append(place)
    return groups


def _device_has_foreach_support(device: Any) -> bool:
    """On every device."""
    return True


def _has_foreach_support(tensors: Sequence[Any], device: Any) -> bool:
    """On every device."""
    return True
