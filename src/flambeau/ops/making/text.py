"""Tensors as text, as notebooks show them, and in formatted strings."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from ...core.array.geometry import Geometry
from ...core.array.meta import is_meta
from ...core.array.printing import format_tensor
from ...core.context import doors
from ...core.context.grad_mode import state as grad_state
from ...core.context.overrides import is_plain
from ...core.context.tracing import Untraceable
from ...core.tensor.tensor import Tensor

_MANY = 2**20


def _values_to_show(self: Tensor) -> Any:
    """The tensor's array; of a large one whose places share elements (`expand`) a look at its memory, which is not written out."""
    look = self._view
    if isinstance(look, Geometry) and look.numel > _MANY and look.bits is None and not grad_state.transforms:
        memory = self._storage.value
        if isinstance(memory, jax.Array) and not isinstance(memory, jax.core.Tracer) and memory.size < look.numel:
            flat = np.asarray(memory).reshape(-1)[look.offset :]
            steps = [step * flat.itemsize for step in look.strides]
            return np.lib.stride_tricks.as_strided(flat, look.shape, steps, writeable=False)
    return self._array


def dense_text(self: Tensor, *, tensor_contents: Any = None) -> str:
    """What `repr` says of a tensor that is not sparse."""
    array = _values_to_show(self)
    name = None
    edge = self._tape_edge()
    node = self.grad_fn
    if node is not None:
        name = node.label
    parts = grad_state.transforms.dual_parts(self) if grad_state.transforms else None
    if parts is not None:
        array = parts[0]._array
    if isinstance(array, jax.core.Tracer):
        if grad_state.trace is not None:
            raise Untraceable(
                "it makes a text of a tensor, whose values are not known while a function is being compiled: return the tensor "
                "and print it outside"
            )
        return f"tensor(<traced>, shape={list(self.shape)}, dtype={self.dtype})"
    where, no_values = self.device, is_meta(array)
    has_own_class = not is_plain(self.__class__)
    text = format_tensor(
        None if no_values else np.asarray(array), self.dtype, shape=tuple(self.shape), requires_grad=edge is not None, grad_fn_name=name,
        device=None if where.type == "cpu" else where,
        name=self.__class__.__name__ if has_own_class else "tensor",
        tangent=None if parts is None else f"{parts[1]}",
    )  # fmt: skip
    own = has_own_class and (hasattr(self, "_mark") or self.__dict__.get("_is_param"))
    return f"Parameter({text})" if own else text


def _repr_html_(self: Tensor) -> str | None:
    """What a notebook shows: a table. None, and so the printed form, for what has no values at hand."""
    if grad_state.trace is not None or grad_state.transforms:
        return None
    return doors.html("Tensor", self)


Tensor._repr_html_ = _repr_html_  # type: ignore[attr-defined]


def _format(self: Tensor, spec: str) -> str:
    if self.ndim == 0 and self.__class__ is Tensor and not self.is_meta:
        return format(self.item(), spec)
    return object.__format__(self, spec)


Tensor.__format__ = _format  # type: ignore[assignment]
