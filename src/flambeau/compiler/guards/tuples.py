"""Tuples that were there before a trace: one that is kept, given out or asked for by `is` is the object that its place holds at the call.

Programs hold for what is in a tuple; which tuple it is may differ at each call.
"""

from __future__ import annotations

from collections.abc import Container
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.dispatch.host_numbers import Expression, Looked
from .values import has_inputs

if TYPE_CHECKING:
    from .reads import Reads

Found = dict[
    int, tuple[Any, list[Expression]]
]  # by id: the tuple of the trace, and the ways in which a call finds its own


def found(reads: Reads, looked_up: Container[int] = ()) -> Found:
    """Those in places that were read, and in lists and dicts all of which was; none out of containers that may be others (`looked_up`)."""
    made: Found = {}
    for place, value in (*reads.places.values(), *reads.tuples):
        if id(place.owner) not in looked_up:
            _note(made, value, place)
    for contents in reads.contents.values():
        if contents.ids is None or id(contents.container) in looked_up:
            continue
        if any(isinstance(value, tuple) for value in contents.held):
            for i, place in contents.places():
                _note(made, contents.held[i], place)
    return made


def _note(made: Found, value: Any, place: Any) -> None:
    stack: list[tuple[Any, Any]] = [(value, None)]
    while stack:
        part, expression = stack.pop()
        if isinstance(part, tuple) and part:
            expression = expression or Looked(place)
            made.setdefault(id(part), (part, []))[1].append(expression)
            stack += [(p, Expression(lambda t, i=i: tuple.__getitem__(t, i), expression)) for i, p in enumerate(part)]


def taken(reads: Reads, there: Found, value: Any) -> Expression:
    """How a call finds a tuple. The program holds while all places where it stood hold one object."""
    ways = there[id(value)][1]
    if len(ways) > 1:
        reads.outcome(Expression(_pattern, *ways), (0,) * len(ways))
    return ways[0]


def asked_for(watcher: Any, a: Any, b: Any) -> None:
    """Somebody asks by `is`. The program holds while two tuples are one object, or while they are two."""
    pair, reads = (a, b), watcher.reads
    if not any(all(isinstance(value, kind) for value in pair) for kind in (tuple, np.ndarray)):
        return
    if any(id(value) in watcher.kept for value in pair) or any(map(has_inputs, pair)):
        watcher.refuse(
            f"it asks by `is` which {type(a).__name__} an argument is, or one of numbers, which a program does not know: write =="
        )
    there = found(reads)
    if id(a) in there and id(b) in there:
        ways = there[id(a)][1] if a is b else [*there[id(a)][1], *there[id(b)][1]]
        first = len(there[id(a)][1])
        reads.outcome(Expression(_pattern, *ways), tuple(0 if i < first else first for i in range(len(ways))))


def _pattern(*values: Any) -> tuple[int, ...]:
    """Which of some values are one object: for each the number of the first that is it."""
    ids = list(map(id, values))
    return tuple(map(ids.index, ids))
