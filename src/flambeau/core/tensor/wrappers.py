"""Tensors of classes with a `__torch_dispatch__`: what they declare in the place of values."""

from __future__ import annotations

import copyreg
from collections.abc import Callable
from typing import Any

from ..array import devices, dtypes, formats
from ..array.geometry import Geometry, contiguous_strides
from ..array.owned import OwnedArray
from ..context import overrides
from ..tape.nodes import is_differentiable
from .declared import DeclaredStorage
from .tensor import _INTERNAL, Tensor, blank, check_subclass, wrap

written_since: Callable[[OwnedArray], str] = repr  # what to say of one, put here by dispatch/classes.py
_POLICIES = ("dispatch_sizes_strides_policy", "dispatch_device", "dispatch_layout")


def declared(
    cls: Any, size: Any, *, strides: Any = None, storage_offset: Any = None, memory_format: Any = None, dtype: Any = None,
    layout: Any = formats.strided, device: Any = None, pin_memory: bool = False, requires_grad: bool = False,
    dispatch_sizes_strides_policy: Any = None, dispatch_device: bool = False, dispatch_layout: bool = False,
    _extra_dispatch_keys: Any = None, storage_size: Any = None,
) -> Any:  # fmt: skip
    """A tensor of `cls` that has this shape, dtype and device and no values: `cls.__torch_dispatch__` computes for it."""
    check_subclass(cls)
    if not overrides.computes_itself(cls):
        raise TypeError(f"{cls.__name__} must define __torch_dispatch__")
    if not isinstance(size, (tuple, list)):
        raise TypeError(
            f"_make_wrapper_subclass(): argument 'size' (position 2) must be tuple of ints, not {type(size).__name__}"
        )
    asked = dict(zip(_POLICIES, (dispatch_sizes_strides_policy, dispatch_device, dispatch_layout), strict=True))
    if any(asked.values()):
        option = next(name for name, value in asked.items() if value)
        raise NotImplementedError(
            f"_make_wrapper_subclass: {option} is not supported: sizes, strides, device and layout are what was declared. Give "
            "them when the tensor is made, or define them as properties of the class"
        )
    if layout is not formats.strided:
        raise NotImplementedError(f"_make_wrapper_subclass: layout={layout} is not supported: declare torch.strided")
    shape = tuple(int(n) for n in size)
    kind = (dtypes.get_default_dtype() if dtype is None else dtype).numpy
    if requires_grad and not is_differentiable(kind):
        raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
    steps = contiguous_strides(shape) if strides is None else tuple(int(n) for n in strides)
    if strides is None and memory_format is not None and getattr(memory_format, "order", None):
        steps = _in_order(shape, memory_format.order)
    if len(steps) != len(shape):
        raise RuntimeError(
            f"dimensionality of sizes ({len(shape)}) must match dimensionality of strides ({len(steps)})"
        )
    offset = int(storage_offset or 0)
    reach = 0 if 0 in shape else offset + 1 + sum((n - 1) * step for n, step in zip(shape, steps, strict=True))
    where = devices.get_default_device() if device is None else devices.device(device)
    made = blank(cls, DeclaredStorage(reach, kind, where), Geometry(shape, steps, offset))
    if requires_grad:
        made._require_grad(True)
    return made


def _in_order(shape: tuple[int, ...], order: Any) -> tuple[int, ...]:
    turned = contiguous_strides(tuple(shape[dim] for dim in order))
    found = dict(zip(order, turned, strict=True))
    return tuple(found[dim] for dim in range(len(shape)))


def tensor_of_owned(array: OwnedArray, edge: Any) -> Any:
    """The way back: the tensor itself if it has this place on the tape, else one with the same content that has."""
    tensor = array.tensor
    if tensor is None:
        array.refuse()
    if tensor._version != array.version:
        return _stale(array, edge)
    return tensor if tensor._edge == edge else beside(tensor, edge)


def _stale(array: OwnedArray, edge: Any) -> Any:
    """What was saved and has been written to since: its shape can be asked for, to compute with it raises RuntimeError."""
    held = OwnedArray(array.shape, array.dtype)
    held.written = written_since(array)
    made = wrap(held)
    made._edge = edge
    return made


def beside(tensor: Any, edge: Any = None) -> Any:
    """Another object of the same class and content, with another place on the tape."""
    made = blank(type(tensor), tensor._storage, tensor._view)
    made._edge = edge
    for name in copyreg._slotnames(type(tensor)):  # type: ignore[attr-defined]
        if name not in _INTERNAL and hasattr(tensor, name):
            setattr(made, name, getattr(tensor, name))
    made.__dict__.update(tensor.__dict__)
    return made


Tensor._beside = beside  # type: ignore[attr-defined]
Tensor._make_wrapper_subclass = staticmethod(declared)  # type: ignore[attr-defined]

__all__ = ["beside", "declared", "tensor_of_owned"]
