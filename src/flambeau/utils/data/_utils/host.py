"""Batches are put together in the host's memory: many small look-ups would be as many dispatches otherwise."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from flambeau.core.tensor.tensor import Tensor, from_host


def on_host(tensor: Any) -> np.ndarray | None:
    """A NumPy look at a CPU tensor's values, without a copy; None if it has none or is on the tape."""
    if type(tensor) is not Tensor or tensor.requires_grad:
        return None
    storage, view = tensor._storage, tensor._view
    if storage.volatile:
        return storage.view(tensor._geometry)  # type: ignore[attr-defined]
    value = storage.value
    if isinstance(value, jax.core.Tracer) or tensor.device.type != "cpu":
        return None
    values = np.asarray(value)
    if view is None:
        return values
    if view.bits is not None or not view.numel:
        return None
    size = values.itemsize
    memory = values.reshape(-1).view(np.uint8)
    return np.ndarray(view.shape, values.dtype, memory, view.offset * size, [step * size for step in view.strides])


def stacked(tensors: Any) -> Tensor | None:
    """The tensors stacked along a new first dimension, if all can be looked at and are alike; None otherwise."""
    looks = [on_host(tensor) for tensor in tensors]
    first = looks[0]
    if first is None or any(a is None or a.shape != first.shape or a.dtype != first.dtype for a in looks):
        return None
    return from_host(np.stack(looks))  # type: ignore[arg-type]
