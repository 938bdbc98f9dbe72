"""Programs with repeated parts as a few programs of XLA that are called many times.

XLA's time and memory for a program grow with every block of a network. Here the blocks that are equal, forwards, backwards and
in the optimizer's update, are one program each, and what is between them another; a call runs them one after the other.
What goes from one to the next stays where it is: nothing is stacked or copied, and is freed when the last has read it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from .flat import Flat, Operation
from .repeats import Run, runs

# Operations that are not compiled thanks to it, from which on a program is worth cutting: 1 ms of the compiler each. A cut one of
# small blocks takes 1.4 times the time of a whole one in each step
WORTH = 4000
# Operations of a part that is called by itself; smaller blocks are taken together: a call costs by its arrays, some 0.3 us each
PART = 60


class Piece(NamedTuple):
    """Operations that are one call."""

    start: int
    end: int
    group: int  # pieces of one group are one program


class Part:
    """One program of XLA: its operations, what it takes (in the order of their first use) and what it gives."""

    def __init__(self, flat: Flat, operations: Sequence[Operation]):
        self.operations = operations
        self.literals = flat.literals
        self.given: list[int] = _outside(operations, flat.literals)
        self.made: list[int] = [n for operation in operations for n in operation.results]

    def function(self, order: Sequence[int], results: Sequence[int], name: str) -> Callable[..., Any]:
        """The operations as a function of what it takes, in another order, that gives its results of these places."""
        given = [self.given[i] for i in order]
        wanted = [self.made[i] for i in results]
        operations, literals = self.operations, self.literals

        def run(*arrays: Any) -> list[Any]:
            values = dict(zip(given, arrays, strict=True))
            for equation, _, operands, numbers in operations:
                primitive = equation.primitive
                taken = [literals[n] if n in literals else values[n] for n in operands]
                with equation.ctx.manager:
                    made = primitive.bind(*taken, **primitive.get_bind_params(equation.params))
                values.update(zip(numbers, made if primitive.multiple_results else [made], strict=True))
            return [values[n] for n in wanted]

        run.__name__ = name
        return run


class Call(NamedTuple):
    """One call: the slots that it reads, those that it fills (-1: nobody wants it), and those that nobody reads afterwards."""

    run: Callable[..., Any]
    reads: list[int]
    fills: list[int]
    dead: list[int]


class Outlined:
    """A program as calls of smaller ones."""

    def __init__(self, calls: list[Call], values: list[Any], slots: int, results: list[int], uncomputed: list[int]):
        self.calls = calls
        self.values = values  # constants of the trace, which lie behind the inputs
        self.room: list[Any] = [None] * slots
        self.results = results
        self.uncomputed = uncomputed  # those results that are inputs or constants, maybe NumPy's

    def __call__(self, *inputs: Any) -> tuple[Any, ...]:
        slots = [*inputs, *self.values, *self.room]
        for run, reads, fills, dead in self.calls:
            made = run(*[slots[i] for i in reads])
            for i in dead:
                slots[i] = None
            for i, value in zip(fills, made, strict=True):
                if i >= 0:
                    slots[i] = value
            del made
        results = [slots[i] for i in self.results]
        for i in self.uncomputed:
            if not isinstance(results[i], jax.Array):
                results[i] = jax.numpy.asarray(results[i])
        return tuple(results)

    def programs(self) -> int:
        """How many programs of XLA it has."""
        return len({id(call.run) for call in self.calls})


def pieces(flat: Flat) -> list[Piece] | None:
    """A program cut into calls; None if that does not pay."""
    found = [_together(run) for run in runs(flat)]
    found = [run for run in found if run.times > 1]
    if sum(run.length * (run.times - 1) for run in found) < WORTH:
        return None
    cut: list[Piece] = []
    place = group = 0
    for run in found:
        if place < run.start:
            cut.append(Piece(place, run.start, group))
            group += 1
        cut += [Piece(run.start + i * run.length, run.start + (i + 1) * run.length, group) for i in range(run.times)]
        group += 1
        place = run.end
    if place < len(flat.operations):
        cut.append(Piece(place, len(flat.operations), group))
    return cut


def up_to(cut: list[Piece], end: int) -> list[Piece]:
    """The pieces with what has been added behind them, up to an operation `end`."""
    *others, last = cut
    if last.end == end:
        return cut
    if others and others[-1].group == last.group:
        return [*cut, Piece(last.end, end, last.group + 1)]
    return [*others, Piece(last.start, end, last.group)]


def _together(run: Run) -> Run:
    """The run with as many blocks in one call as it takes to be worth one."""
    blocks = min(-(-PART // run.length), run.times)
    return Run(run.start, run.length * blocks, run.times // blocks)


def keep_where_failed(flat: Flat, word: int, places: dict[int, int]) -> None:
    """Have outputs be inputs ({number of the output: of the input}) where the output `word` is not zero."""
    kept: dict[Any, Any] = {}
    for number, place in places.items():
        new, failed = flat.outputs[number], flat.outputs[word]
        aval = flat.avals[new]
        if aval not in kept:
            word_aval = flat.avals[failed]
            kept[aval] = jax.make_jaxpr(lambda w, a, b: jax.numpy.where(w == 0, a, b))(word_aval, aval, aval).jaxpr
        flat.outputs[number] = flat.write(kept[aval], (), (failed, new, place))[0]


def outlined(flat: Flat, cut: list[Piece], donated: dict[int, int], name: str, options: Any) -> Outlined:
    """The program of these pieces. `donated`: {output: the input whose memory it takes over}."""
    return _Linker(flat, cut, donated, name, options).link()


class _Linker:
    """Finds out what the pieces take from each other, and makes a program for each group."""

    def __init__(self, flat: Flat, cut: list[Piece], donated: dict[int, int], name: str, options: Any):
        self.flat = flat
        self.cut = cut
        self.name = name
        self.options = options
        self.parts = [Part(flat, flat.operations[piece.start : piece.end]) for piece in cut]
        self.last: dict[int, int] = {}  # a value -> the last piece that takes it
        for i, part in enumerate(self.parts):
            self.last.update(dict.fromkeys(part.given, i))
        for n in flat.outputs:
            self.last[n] = len(cut)
        self.pairs = {flat.outputs[output]: n for output, n in donated.items()}  # a new value -> the old one
        self.members: dict[int, list[int]] = {}
        for i, piece in enumerate(cut):
            self.members.setdefault(piece.group, []).append(i)

    def link(self) -> Outlined:
        flat = self.flat
        slots = {n: n for n in range(flat.inputs)}
        values: list[Any] = []
        given_out = {n: np.asarray(flat.literals[n], flat.avals[n].dtype) for n in flat.outputs if n in flat.literals}
        for n, value in (flat.constants | given_out).items():
            if n not in slots:
                slots[n] = flat.inputs + len(values)
                values.append(value)
        first = len(slots)
        made = {group: self._program(members) for group, members in self.members.items()}
        calls = []
        for i, (piece, part) in enumerate(zip(self.cut, self.parts, strict=True)):
            run, order, results = made[piece.group]
            fills = []
            for place in results:
                n = part.made[place]
                wanted = self.last.get(n, -1) > i
                fills.append(slots.setdefault(n, len(slots)) if wanted else -1)
            dead = [slots[n] for n in part.given if self.last[n] == i and n not in flat.constants]
            calls.append(Call(run, [slots[part.given[k]] for k in order], fills, dead))
        results = [slots[n] for n in flat.outputs]
        uncomputed = [i for i, slot in enumerate(results) if slot < first]
        return Outlined(calls, values, len(slots) - first, results, uncomputed)

    def _program(self, members: list[int]) -> tuple[Callable[..., Any], list[int], list[int]]:
        """The program of a group, the order in which it takes its arrays, and the places of its results."""
        parts = [(i, self.parts[i]) for i in members]
        made = range(len(parts[0][1].made))
        results = [k for k in made if any(self.last.get(part.made[k], -1) > i for i, part in parts)]
        given_over: dict[int, int] = {}  # the place of a result: what it takes over
        for k in results:
            found = self._given_over(parts, k)
            if found is not None and found not in given_over.values():
                given_over[k] = found
        # JAX gives the memory of the first array to the first result of its shape, and so on
        results = [*given_over, *(k for k in results if k not in given_over)]
        taken = list(given_over.values())
        order = taken + [k for k in range(len(parts[0][1].given)) if k not in set(taken)]
        function = parts[0][1].function(order, results, f"{self.name}_{self.cut[members[0]].group}")
        run = jax.jit(function, donate_argnums=tuple(range(len(given_over))), compiler_options=self.options)
        return run, order, results

    def _given_over(self, parts: list[tuple[int, Part]], place: int) -> int | None:
        """The array whose memory the result of this place takes over in every call, if there is one."""
        found = set()
        for i, part in parts:
            old = self.pairs.get(part.made[place])
            if old is None or self.last.get(old) != i:
                return None
            found.add(part.given.index(old))
        return found.pop() if len(found) == 1 else None


def _outside(operations: Sequence[Operation], literals: dict[int, Any]) -> list[int]:
    made: set[int] = set()
    found: dict[int, None] = {}
    for operation in operations:
        for n in operation.operands:
            if n not in made and n not in literals:
                found[n] = None
        made.update(operation.results)
    return list(found)
