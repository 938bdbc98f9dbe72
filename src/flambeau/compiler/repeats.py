"""Stretches of a program that are repeated: what a network of equal blocks is traced to, forwards, backwards and in the update."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .flat import Flat, Operation

_WINDOW = 12  # operations that have to be equal for two places to be compared at all
_DISTANCES = 16  # of such places that are tried as the length of a block
LEAST = 3  # repeats


class Run(NamedTuple):
    """`times` stretches of `length` operations, one behind the other, that are equal but for the values they take."""

    start: int
    length: int
    times: int

    @property
    def end(self) -> int:
        return self.start + self.length * self.times


def runs(flat: Flat) -> list[Run]:
    """The runs of a program, in order. Within one, each stretch takes its own results in the same places."""
    kinds = np.array([operation.kind for operation in flat.operations], np.int64)
    if len(kinds) < LEAST * _WINDOW:
        return []
    found = []
    free = np.ones(len(kinds), bool)
    for length, start, end in _stretches(kinds):
        while start < end and not free[start]:
            start += 1
        taken = np.flatnonzero(~free[start:end])
        end = start + int(taken[0]) if len(taken) else end
        if end - start < LEAST * length:
            continue
        for run in _cut(flat, start, end, length):
            free[run.start : run.end] = False
            found.append(run)
    return sorted(found)


def _stretches(kinds: np.ndarray) -> list[tuple[int, int, int]]:
    """(length, start, end) of all that repeats itself after `length` operations; what saves most comes first."""
    last: dict[bytes, int] = {}
    distances: Counter[int] = Counter()
    for i in range(len(kinds) - _WINDOW):
        window = kinds[i : i + _WINDOW].tobytes()
        before = last.get(window)
        if before is not None:
            distances[i - before] += 1
        last[window] = i
    found = []
    for length, _ in distances.most_common(_DISTANCES):
        equal = np.concatenate([[False], kinds[:-length] == kinds[length:], [False]])
        edges = np.flatnonzero(equal[1:] != equal[:-1])
        for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            if end - start >= (LEAST - 1) * length:
                found.append((length, start, end + length))
    return sorted(found, key=lambda item: (item[2] - item[1] - item[0], -item[0]), reverse=True)


def _cut(flat: Flat, start: int, end: int, length: int) -> list[Run]:
    """The runs of a stretch, cut where the fewest values go from one block to the next."""
    crossing = _crossing(flat.operations, start, end, length)
    places = np.array([crossing[first::length].mean() for first in range(length)])
    offsets = np.argsort(places, kind="stable")
    best = next(int(o) for o in offsets if (end - start - int(o)) // length >= LEAST)
    first, count = start + best, (end - start - best) // length
    shapes = [wiring(flat.operations[first + i * length : first + (i + 1) * length]) for i in range(count)]
    found, i = [], 0
    while i < count:
        j = i
        while j < count and shapes[j] == shapes[i]:
            j += 1
        if j - i >= LEAST:
            found.append(Run(first + i * length, length, j - i))
        i = j
    return found


def _crossing(operations: Sequence[Operation], start: int, end: int, length: int) -> np.ndarray:
    """How many values that are made at most a block before each place are needed at most a block behind it."""
    made: dict[int, int] = {}
    last: dict[int, int] = {}
    for i in range(start, end):
        for n in operations[i].operands:
            if n in made and i - made[n] <= length:
                last[n] = i
        for n in operations[i].results:
            made[n] = i
    change = np.zeros(end - start + 1, np.int64)
    for n, i in last.items():
        change[made[n] + 1 - start] += 1
        change[i + 1 - start] -= 1
    return np.cumsum(change)[:-1]


def wiring(operations: Sequence[Operation]) -> tuple[tuple[int, ...], ...]:
    """Which operands are results of the stretch itself (by their place in it), and which come from outside (in their order)."""
    places: dict[int, int] = {}
    outside = -1
    told = []
    made = 0
    for operation in operations:
        for n in operation.operands:
            if n not in places:
                places[n] = outside
                outside -= 1
        told.append(tuple([places[n] for n in operation.operands]))
        for n in operation.results:
            places[n] = made
            made += 1
    return tuple(told)
