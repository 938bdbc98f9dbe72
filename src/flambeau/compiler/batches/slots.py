"""The numbers that differ between sizes, as inputs of one program."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .skeleton import same


class Slots:
    """Numbers that differ in two traces, each pair of them once.

    Two places with one pair are taken to hold one number at every size. `values` looks whether they do, and says what the slots
    hold in another trace. `sizes`: where the numbers are sizes of arrays, none of which may be more than the large program has room for.
    """

    def __init__(self, small: Sequence[Any], big: Sequence[Any], sizes: Iterable[int] = ()):
        self.big: list[Any] = list(big)
        self.of: dict[tuple[type, Any, Any], int] = {}
        self.places: dict[int, int] = {}  # where numbers differ, and the slot
        for i, (a, b) in enumerate(zip(small, big, strict=True)):
            if not same(a, b):
                if a != a or b != b:
                    raise ValueError("a number that it computes with is nan at some sizes only")
                self.places[i] = self.of.setdefault((type(a), a, b), len(self.of))
        if any(small[i] > big[i] for i in sizes):
            raise ValueError("a size that it computes with becomes less as that of its inputs grows")
        self.most: dict[int, int] = {self.places[i]: big[i] for i in sizes if i in self.places}
        kinds = [kind for kind, _, _ in self.of]
        self.whole: list[bool] = [kind is int for kind in kinds]
        # products of numbers (a slot's, or a fixed one) that have to be equal: what a reshape was understood by
        self.products: list[tuple[tuple[Any, ...], tuple[Any, ...]]] = []

    def slot(self, a: Any, b: Any) -> int | None:
        """The slot of a pair of numbers of one place; None if they are one."""
        return None if same(a, b) else self.of[type(a), a, b]

    def require_products(self, left: Sequence[tuple[int, int]], right: Sequence[tuple[int, int]]) -> None:
        def told(pairs: Sequence[tuple[int, int]]) -> tuple[Any, ...]:
            return tuple((self.slot(*pair), pair[1]) for pair in pairs)

        self.products.append((told(left), told(right)))

    def values(self, numbers: Sequence[Any]) -> tuple[np.ndarray, np.ndarray] | None:
        """What the slots hold in a trace with these numbers: whole ones, others. None if it is no trace of the same program."""
        if len(numbers) != len(self.big):
            return None
        held: list[Any] = [None] * len(self.of)
        for i, (value, own) in enumerate(zip(numbers, self.big, strict=True)):
            slot = self.places.get(i)
            if slot is None:
                if not same(value, own):
                    return None
            elif held[slot] is None:
                held[slot] = value
            elif not same(held[slot], value):
                return None
        if any(held[slot] > most for slot, most in self.most.items()):
            return None
        for left, right in self.products:
            a, b = (math.prod(n if s is None else held[s] for s, n in side) for side in (left, right))
            if a != b:
                return None
        ints = [value for value, whole in zip(held, self.whole, strict=True) if whole]
        if any(not -(2**63) <= value < 2**63 for value in ints):
            return None
        floats = [value for value, whole in zip(held, self.whole, strict=True) if not whole]
        return np.array(ints, np.int64), np.array(floats, np.float64)
