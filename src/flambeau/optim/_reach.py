"""Where a step finds the values of parameters and state: in whole arrays, or in this process's parts of unequal lengths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from ..core.array import devices
from ..core.tensor.storage import PartsStorage
from ..core.tensor.tensor import Tensor, blank
from ._arrays import is_complex


class Whole:
    """The values as everybody sees them."""

    def read(self, tensor: Any) -> Any:
        return tensor._array

    number = read

    def write(self, tensor: Tensor, array: Any) -> None:
        tensor._write(array)

    def beside(self, params: Any, grads: list[Any], own: Any) -> tuple[Any, list[Any]]:
        """The way that serves the parameters' own state, too, and their gradients by it."""
        return self, grads


class InParts:
    """This process's part: an elementwise rule needs no more, and nothing is sent."""

    def read(self, tensor: Any) -> Any:
        return tensor._storage.host.one

    def number(self, tensor: Any) -> Any:
        """What is one number in all processes."""
        array = tensor._array
        return np.asarray(array.addressable_data(0)) if devices.is_far(array.sharding) else array

    def write(self, tensor: Tensor, array: Any) -> None:
        tensor._storage.set_part_held(array)  # type: ignore[attr-defined]

    def beside(self, params: Any, grads: list[Any], own: Any) -> tuple[Any, list[Any]]:
        """The same, or whole arrays where state lies otherwise than its parameter."""
        if reach_of(params, own) is self:
            return self, grads
        return WHOLE, [WHOLE.read(param.grad) for param in params]


WHOLE = Whole()
_IN_PARTS = InParts()


def lies_in_parts(tensor: Any) -> bool:
    """Whether this process has one part of it, and others have parts of other lengths."""
    storage = tensor._storage
    return type(storage) is PartsStorage and tensor._view is None and storage.host.one is not None


def reach_of(params: Sequence[Any], *columns: Sequence[Any]) -> Any:
    """The way to parameters, and to what belongs to them: `InParts` if all of it lies so, each as its parameter."""
    if not params or not all(map(lies_in_parts, params)):
        return WHOLE
    held = [param._storage.host for param in params]
    for column in columns:
        for i, other in enumerate(column):
            if not lies_in_parts(other) or not other._storage.host.lies_as(held[i % len(held)]):
                return WHOLE
    return _IN_PARTS


def begun_in_parts(param: Tensor, begin: Any, value: complex) -> Tensor:
    """A piece of state that lies as the parameter does."""
    held: Any = param._storage
    part = held.host.one
    value = complex(value, value) if is_complex(part) else value
    with jax.ensure_compile_time_eval():  # where a function is traced, too: each process has its own
        return blank(Tensor, PartsStorage(held.host.with_one(begin(part, value, part.shape))))
