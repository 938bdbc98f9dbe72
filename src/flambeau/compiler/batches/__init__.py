"""Batch sizes: one program of XLA for all sizes up to some (`compile(dynamic=True)`, `mark_dynamic`).

A function is traced at its size and at that of the program, which costs little beside XLA. What differs in the two traces is what depends on
the size; `masked.py` makes of it a program that takes arrays with more rows, and computes with those that count.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import numpy as np

from ...core.tensor.tensor import Tensor, wrap
from ..capture import Failed, Traced
from .shared import Entry, PaddedBuilder, Place, Shared, Unlike

__all__ = ["Batches", "Entry", "PaddedBuilder", "mark"]

Sizes = dict[Place, int]
Capture = Callable[[list[Any]], Traced]

KEPT = 64  # groups
SMALLEST = 4  # rows of the smallest program
# id of a tensor -> a reference to it, and which dimensions are open, or not
_marks: dict[int, tuple[Any, dict[int, bool]]] = {}


def mark(tensor: Tensor, dimensions: Iterable[int], is_open: bool = True) -> None:
    """Note that the sizes of a tensor along these dimensions are open, or are not."""
    key = id(tensor)
    found = _marks.get(key)
    if found is None or found[0]() is not tensor:
        found = _marks[key] = weakref.ref(tensor, lambda _: _marks.pop(key, None)), {}
    found[1].update((d % max(tensor.ndim, 1), is_open) for d in dimensions)


def _marked(leaves: Sequence[Any]) -> tuple[set[Place], set[Place]]:
    """The sizes of a call that were said to be open, and those that were said not to be."""
    said: tuple[set[Place], set[Place]] = set(), set()
    for i, leaf in enumerate(leaves if _marks else ()):
        found = _marks.get(id(leaf))
        if found is not None and found[0]() is leaf:
            for d, is_open in found[1].items():
                said[not is_open].add((i, d))
    return said


class Group:
    """Calls that differ in sizes only. `places` are the sizes that are open."""

    def __init__(self, general: Any, places: frozenset[Place]):
        self.general = general
        self.places = places
        self.programs: list[Shared] = []
        self.failed: str = ""
        self.often: set[tuple[int, ...]] = set()  # sizes that are called too often to be padded that far
        self.alone: set[tuple[int, ...]] = set()  # sizes at which the function computes something else

    def sizes(self, leaves: Sequence[Any]) -> Sizes:
        return {(i, d): leaves[i].shape[d] for i, d in sorted(self.places)}

    def fail(self, sizes: Sizes, why: str) -> None:
        """Note that there is no shared program for these sizes, or none at all if there has never been one."""
        if self.programs:
            self.alone.add(tuple(sizes.values()))
        else:
            self.failed = why

    def fitting(self, sizes: Sizes) -> list[Shared]:
        """The programs that take these sizes, the smallest one first."""
        often = tuple(sizes.values()) in self.often
        found = [s for s in self.programs if all(s.sizes[p] >= n for p, n in sizes.items())]
        found = [s for s in found if not (often and s.wasted(sizes))]
        return sorted(found, key=lambda s: math.prod(s.sizes.values()))

    def up_to(self, sizes: Sizes) -> Sizes:
        """The sizes of a new program for these: their own for the first one, powers of two later."""
        fitting = self.fitting(sizes)
        if fitting:
            return fitting[0].sizes  # for another state of the function
        return {p: max(1 << (n - 1).bit_length() if self.programs else n, SMALLEST) for p, n in sizes.items()}


class Batches:
    """What one compiled function knows of sizes. `always`: without being told which ones are open."""

    def __init__(self, always: bool):
        self.always = always
        self.groups: list[Group] = []

    def group(self, key: Any, leaves: Sequence[Any], known: Iterable[Any]) -> Group | None:
        """The group of a call, `known` being the keys of earlier ones; None if its sizes are not open."""
        if len(key[1]) != len(leaves):
            return None  # arguments share memory
        marked, closed = _marked(leaves)
        for group in self.groups:  # of a tensor that was marked before, another need not be
            if marked <= group.places and not closed & group.places and general(key, group.places) == group.general:
                return group
        if not marked and not self.always:
            return None
        guessed = _guessed(key, leaves, known) if self.always else set()
        places = frozenset((_along(marked, leaves) | guessed) - closed)
        if not places:
            return None
        made = Group(general(key, places), places)
        self.groups.append(made)
        return made

    def trace(self, group: Group, leaves: list[Any], capture: Capture) -> tuple[Traced, Entry | None]:
        """The trace of a call, as one of a shared program if there can be one."""
        sizes = group.sizes(leaves)
        alone = bool(group.failed) or 0 in sizes.values() or tuple(sizes.values()) in group.alone
        fitting = [] if alone else group.fitting(sizes)
        if fitting or alone or 1 in sizes.values():
            traced = capture(leaves)
            for shared in fitting:
                found = _entry(shared, traced, sizes)
                if found is not None:
                    found[1].joins = True
                    return self._patient(group, found, sizes)
            if alone or 1 in sizes.values():  # 1 often means something else, as it does to PyTorch
                return traced, None
            traced.give_up()
        return self._begin(group, leaves, sizes, capture)

    def _begin(self, group: Group, leaves: list[Any], sizes: Sizes, capture: Capture) -> tuple[Traced, Entry | None]:
        """The trace of a call for which a new program is made."""
        alike = [other for other in self.groups if other.places == group.places and other.fitting(sizes)]
        upper = (alike[0] if alike and not group.programs else group).up_to(sizes)  # as in another mode
        for again in (True, False):  # the first traces may find inputs that the next ones take
            probes: list[Traced | None] = []
            for choices in ([_less(sizes, upper, 1), _less(sizes, upper, 2)], [upper]):  # 2: rows may come in pairs
                try:
                    probes.append(_probe(choices, sizes, leaves, capture))
                except Failed as failed:
                    group.fail(sizes, f"with {_said(choices[0])} rows it can't be traced: {failed.error}")
                    return capture(leaves), None
            traced = capture(leaves)
            try:
                shared, found = _made(upper, [probe or traced for probe in probes], traced, sizes)
            except Unlike as unlike:
                if again and unlike.differs:
                    traced.give_up()
                    continue
                group.fail(sizes, str(unlike))
                return traced, None
            group.programs.append(shared)
            return self._patient(group, found, sizes)
        raise AssertionError("the second time is the last one")

    def _patient(self, group: Group, found: tuple[Traced, Entry], sizes: Sizes) -> tuple[Traced, Entry]:
        """Have a size that is mostly padding get a program of its own when it comes often."""

        def tired() -> None:
            group.often.add(tuple(sizes.values()))
            found[0].conditions.end("a smaller program pays for a size that comes often")

        found[1].tired = tired
        return found

    def let_go(self, kept: list[Any]) -> None:
        """Let go of what none of these programs uses."""
        used = {id(program.entry.shared) for program in kept if getattr(program, "entry", None) is not None}
        for group in self.groups:
            group.programs = [shared for shared in group.programs if id(shared) in used]
        self.groups = [g for g in self.groups if g.programs or g.failed][-KEPT:] if kept else []


def _less(sizes: Sizes, upper: Sizes, by: int) -> Sizes:
    return {p: n if n != upper[p] else n - by for p, n in sizes.items()}


def _probe(choices: list[Sizes], sizes: Sizes, leaves: list[Any], capture: Capture) -> Traced | None:
    """The trace at the first of these sizes at which there is one; None for the sizes of the call. Raises what the first one has raised."""
    failed: Failed | None = None
    for at in choices:
        if at == sizes:
            return None
        try:
            probe = capture(_resized(leaves, at))
        except Failed as error:
            failed = failed or error
        else:
            probe.give_up()
            return probe
    assert failed is not None
    raise failed


def _made(upper: Sizes, traces: list[Traced], traced: Traced, sizes: Sizes) -> tuple[Shared, tuple[Traced, Entry]]:
    """A program of two traces, and the trace of a call as one of it. Raises Unlike."""
    try:
        shared = Shared(upper, *traces)
        found = shared.entry(traced, sizes)
    except Unlike:
        raise
    except Exception as error:  # a program for each size is right all the same
        raise Unlike(f"{type(error).__name__}: {error}") from error
    if found is None:
        raise Unlike("what it computes depends on the size")
    return shared, found


def _entry(shared: Shared, traced: Traced, sizes: Sizes) -> tuple[Traced, Entry] | None:
    try:
        return shared.entry(traced, sizes)
    except Unlike:
        return None


def _said(sizes: Sizes) -> str:
    return " x ".join(map(str, dict.fromkeys(sizes.values())))


def general(key: Any, places: frozenset[Place]) -> Any:
    """A key of calls without the sizes of these places."""
    parts = list(key[1])
    for i, d in places:
        if i >= len(parts) or not isinstance(parts[i][0], tuple) or d >= len(parts[i][0]):
            return None
        shape = list(parts[i][0])
        shape[d] = None
        parts[i] = (tuple(shape), *parts[i][1:])
    return key[0], tuple(parts), *key[2:]


def _along(marked: set[Place], leaves: Sequence[Any]) -> set[Place]:
    """The marked sizes, and those of other tensors that are equal to one along the same dimension: rows of one batch, words of one text."""
    sizes = {(d, leaves[i].shape[d]) for i, d in marked}
    tensors = [(i, leaf.shape) for i, leaf in enumerate(leaves) if type(leaf) is Tensor]
    return marked | {(i, d) for i, shape in tensors for d, n in enumerate(shape) if (d, n) in sizes}


def _guessed(key: Any, leaves: Sequence[Any], known: Iterable[Any]) -> set[Place]:
    """The first size of the first tensor and of all that have the same one; and what has differed between calls."""
    tensors = [i for i, leaf in enumerate(leaves) if type(leaf) is Tensor and leaf.ndim]
    if not tensors:
        return set()
    rows = leaves[tensors[0]].shape[0]
    found = {(i, 0) for i in tensors if leaves[i].shape[0] == rows}
    for other in known:
        if other[0] != key[0] or len(other[1]) != len(key[1]):
            continue
        pairs = [(i, other[1][i][0], leaves[i].shape) for i in tensors]
        if all(isinstance(a, tuple) and len(a) == len(b) for _, a, b in pairs):
            found |= {(i, d) for i, a, b in pairs for d, (m, n) in enumerate(zip(a, b, strict=True)) if m != n}
    return found


def _resized(leaves: list[Any], sizes: Sizes) -> list[Any]:
    """Leaves like these of other sizes, without values."""
    shapes: dict[int, list[int]] = {}
    for (i, d), size in sizes.items():
        shapes.setdefault(i, list(leaves[i].shape))[d] = size
    made = list(leaves)
    for i, shape in shapes.items():
        leaf = leaves[i]
        value = leaf._storage.value
        place = value.sharding if isinstance(value, jax.Array) and value.committed else None
        made[i] = wrap(jax.device_put(np.zeros(shape, leaf._np_dtype), place))
        if leaf.requires_grad:
            made[i].requires_grad_()
        made[i].__dict__.update(leaf.__dict__)
    return made
