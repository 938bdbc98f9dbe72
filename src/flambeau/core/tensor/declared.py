"""Storages of tensors without values, whose classes have a `__torch_dispatch__`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..array.geometry import Geometry
from ..array.owned import OwnedArray
from .storage import Storage


class DeclaredStorage(Storage):
    """In the place of memory: how much there would be, of which dtype, and where."""

    __slots__ = ("counter", "declared")
    volatile = True  # what a tensor shows of it is the tensor itself

    def __init__(self, count: int, dtype: np.dtype, device: Any, counter: list[int] | None = None):
        self.declared: tuple[int, np.dtype, Any] = (count, dtype, device)
        self.counter: list[int] = counter or [0]  # of the writes, which views share

    @property
    def version(self) -> int:  # type: ignore[override]
        return self.counter[0]

    @version.setter
    def version(self, version: int) -> None:
        self.counter[0] = version

    @property
    def value(self) -> Any:  # type: ignore[override]
        return OwnedArray(self.shape, self.dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.declared[0],)

    @property
    def dtype(self) -> np.dtype:
        return self.declared[1]

    @property
    def device(self) -> Any:
        return self.declared[2]

    def read(self, g: Geometry) -> Any:
        return OwnedArray(g.shape, self.dtype)

    def set(self, value: Any) -> None:
        OwnedArray((), self.dtype).refuse()

    def set_part(self, g: Geometry, value: Any) -> None:
        self.set(value)

    set_host = share_with = set  # type: ignore[assignment]

    def in_numpy(self) -> Any:
        self.set(None)

    def share_between_processes(self) -> None:
        self.set(None)


def no_view_anew(cls: type) -> NotImplementedError:
    """What to say of a view whose base was written to since."""
    return NotImplementedError(
        f"{cls.__name__}: a view of a tensor that has been written to since can't be followed on the tape, where the class computes "
        "by __torch_dispatch__. Take the view anew after the write"
    )


__all__ = ["DeclaredStorage", "no_view_anew"]
