"""Tensors that look into storages which are there already."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..array import geometry
from ..array.geometry import Geometry
from .storage import Storage
from .tensor import Tensor, blank


def check_inside(storage: Storage, g: Geometry) -> None:
    """Raises RuntimeError if `g` looks beyond the end of the storage."""
    if g.offset < 0:
        raise RuntimeError(f"Tensor: invalid storage offset {g.offset}")
    if any(n < 0 for n in g.shape):
        raise RuntimeError(
            f"Storage size calculation overflowed with sizes={list(g.shape)} and strides={list(g.strides)}"
        )
    step = (g.bits or storage.dtype).itemsize
    held = int(np.prod(storage.shape)) * storage.dtype.itemsize
    need = (g.offset + 1 + sum((n - 1) * s for n, s in zip(g.shape, g.strides, strict=True))) * step
    if g.numel and need > held:
        raise RuntimeError(
            f"setStorage: sizes {list(g.shape)}, strides {list(g.strides)}, storage offset {g.offset}, and itemsize {step} "
            f"requiring a storage size of {need} are out of bounds for storage of size {held}"
        )


def from_storage(storage: Storage, shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0) -> Tensor:
    """A tensor that looks into an existing storage. Raises RuntimeError if it would look beyond its end."""
    g = Geometry(tuple(shape), tuple(strides), offset)
    check_inside(storage, g)
    whole = storage.shape == g.shape and g == geometry.whole(g.shape)
    return blank(Tensor, storage, None if whole else g)


def settled_view(tensor: Any) -> Geometry | None:
    """How a tensor looks into its memory, for longer than a trace: an offset that is a program's input becomes a number."""
    view = tensor._view
    if view is not None and type(view.offset) is not int:
        view = tensor._view = view._replace(offset=view.offset.settle())
    return view
