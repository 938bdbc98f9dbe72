"""The size of a ragged dimension: not a number, and equal only to itself."""

from __future__ import annotations

import itertools
import weakref
from typing import Any

from ..._symbols import SymInt
from ...core.tensor.tensor import Tensor

_numbers = itertools.count(1)
_known: weakref.WeakValueDictionary[tuple[int, int], Ragged] = weakref.WeakValueDictionary()


class NestedInt(SymInt):
    """How long the parts of one nested tensor are: `j1`, `3*j1`. At least 2, as PyTorch has it for the sake of its traces."""

    __module__ = "torch"
    stands_for_lengths = True  # so that a `Size` takes it

    def __init__(self, number: int, factor: int = 1) -> None:
        self.number, self.factor = number, factor

    def __repr__(self) -> str:
        return f"j{self.number}" if self.factor == 1 else f"{self.factor}*j{self.number}"

    def _key(self) -> tuple[int, int]:
        return self.number, self.factor

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NestedInt) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __mul__(self, other: Any) -> NestedInt:
        if not isinstance(other, int):
            return NotImplemented
        return NestedInt(self.number, self.factor * other)

    __rmul__ = __mul__

    def __ge__(self, other: Any) -> bool:
        if self == other:
            return True
        return self._compared(other, other <= 2)

    def __gt__(self, other: Any) -> bool:
        return False if self == other else self._compared(other, other < 2)

    def __lt__(self, other: Any) -> bool:
        return not self >= other

    def __le__(self, other: Any) -> bool:
        return not self > other

    def _compared(self, other: Any, known: Any) -> bool:
        if isinstance(other, int) and known:
            return True
        raise ValueError("The relation between a nested int and another size is indeterminate")

    def __int__(self) -> int:
        raise AttributeError(f"{self}: the size of a ragged dimension is no number: ask offsets() for the parts' sizes")


class Ragged:
    """Where the parts begin and end: shared by all tensors that have the same offsets."""

    __slots__ = ("offsets", "lengths", "size", "starts", "sizes", "__weakref__")

    def __init__(self, offsets: Tensor, lengths: Tensor | None = None, size: NestedInt | None = None) -> None:
        self.offsets, self.lengths = offsets, lengths
        self.size = size or NestedInt(next(_numbers))
        bounds = offsets.tolist()
        self.starts = bounds[: len(bounds) if lengths is not None and len(bounds) == len(lengths) else -1]
        self.sizes = lengths.tolist() if lengths is not None else [b - a for a, b in itertools.pairwise(bounds)]

    def total(self) -> int:
        """How many rows the parts have together."""
        return sum(self.sizes)


def ragged(offsets: Tensor, lengths: Tensor | None = None) -> Ragged:
    """The one for these tensors: the same ones give the same size."""
    key = id(offsets), id(lengths) if lengths is not None else 0
    found = _known.get(key)
    if found is None or found.offsets is not offsets:
        found = _known[key] = Ragged(offsets, lengths)
    return found
