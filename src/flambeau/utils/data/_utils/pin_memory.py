"""A batch's tensors in page-locked memory, through the containers that hold them."""

from __future__ import annotations

import queue
from collections.abc import Mapping, Sequence
from typing import Any

from flambeau._utils import ExceptionWrapper
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


def _pin_memory_loop(in_queue: Any, out_queue: Any, device_id: Any, done_event: Any, device: Any) -> None:
    """In a thread of a loader of others: batches go from one queue to the other through `pin_memory`, until the event is set."""
    while not done_event.is_set():
        try:
            number, data = in_queue.get(timeout=5.0)
        except queue.Empty:
            continue
        if not isinstance(data, ExceptionWrapper):
            try:
                data = pin_memory(data, device)
            except Exception:
                data = ExceptionWrapper(where=f"in pin memory thread for device {device_id}")
        while not done_event.is_set():
            try:
                out_queue.put((number, data), timeout=5.0)
                break
            except queue.Full:
                continue
