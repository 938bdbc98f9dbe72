"""Programs that write their results into the memory of the tensors that they change."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from sys import getrefcount
from typing import Any

import jax.numpy as jnp

from .storage import is_only_holder
from .tensor import Tensor


class _Cell:
    value: Any


def _baseline() -> int:
    """What `getrefcount` says of an array that only its storage and a list hold."""
    cell = _Cell()
    cell.value = object()
    held = [cell.value]
    return max([getrefcount(held[i]) for i in (0,)])


_ALONE = _baseline()


def are_alone(tensors: Sequence[Tensor]) -> bool:
    """Whether each of the tensors is all of its memory, and nobody else has the array of it (see `Storage.set_part`)."""
    return threading.active_count() == 1 and all(t._view is None and is_only_holder(t._storage) for t in tensors)


def overwrite(program: Callable[..., Sequence[Any]], tensors: Sequence[Tensor], *rest: Any) -> None:
    """Give the tensors the values `program(*arrays, *rest)`; the program donates its first `len(tensors)` arguments.

    An array that others hold, too (a clone, a NumPy view, the tape), is copied first.
    """
    arrays = [tensor._array for tensor in tensors]
    for i in range(len(arrays)):
        if getrefcount(arrays[i]) > _ALONE:
            arrays[i] = jnp.array(arrays[i], copy=True)
    for tensor, array in zip(tensors, program(*arrays, *rest), strict=True):
        tensor._write(array)
