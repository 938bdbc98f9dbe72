"""Values that the host computes at every call of a program: random keys, learning rates."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..core.context.generator import default_generator
from ..core.context.tracing import HostValue, NumberedDraw, Untraceable
from ..core.dispatch.host_numbers import expression_of, plain


class Drawing:
    """What the calls of a program draw: its sources that draw, in order, and the generators that they draw from.

    `before` tells for each of the program's checks how many of the sources come before it.
    """

    def __init__(self, sources: list[Any], marks: dict[Any, Any], before: list[int]):
        self.sources, self.generators, self.before = sources, list(marks), before
        self._at_first: Any = list(marks.values())  # the trace has drawn for the first call

    def mark(self) -> list[Any]:
        """Where the generators stand before a call."""
        if self._at_first is not None:
            marks, self._at_first = self._at_first, None
            return marks
        return [generator.mark() for generator in self.generators]

    def go_back(self, marks: list[Any]) -> None:
        """Nothing has been drawn."""
        for generator, mark in zip(self.generators, marks, strict=True):
            generator.go_back(mark)

    def repeat(self, failed: int | None, given: Any) -> None:
        """Draw what the function had drawn when its check of this number failed."""
        if failed is not None:
            for source in self.sources[: self.before[failed]]:
                source(given)


class Draws:
    """`sources` takes the inputs: (the array that stands for it in the trace, the source), by the id of the array."""

    def __init__(self, sources: dict[int, tuple[Any, Any]]):
        self.sources = sources
        # random generators that were drawn from -> their state before; a data loader takes its seed from this one by itself
        self.generators: dict[Any, Any] = {default_generator: default_generator.get_state_bytes()}
        self.drawing: bool = False  # whether a value is being computed
        self.drawn: dict[Any, Any] = {}  # the generators that values were drawn from -> where they stood
        self.drawers: list[Any] = []  # the sources of these values, in order
        self.notes: list[list[Any]] = []  # lists that take down the values, to repeat them
        self.again: Iterator[Any] | None = None  # values that are to come once more
        self._draws: bool = False  # whether the value that is being computed is drawn

    def host(self, draw: Callable[..., Any], numbers: tuple[Any, ...] = ()) -> Any:
        """A value that is computed at every call, as an input."""
        value = self._new_host(draw, numbers) if self.again is None else next(self.again)
        for note in self.notes:
            note.append(value)
        return value

    def _new_host(self, draw: Callable[..., Any], numbers: tuple[Any, ...]) -> Any:
        self.drawing, self._draws = True, False
        try:
            pending = np.asarray(draw(*map(plain, numbers)))
        finally:
            self.drawing = False
        with jax.ensure_compile_time_eval():
            stands = jax.device_put(pending)
        source = (
            NumberedDraw(draw, pending, tuple(map(expression_of, numbers))) if numbers else HostValue(draw, pending)
        )
        self.sources[id(stands)] = stands, source
        if self._draws:
            self.drawers.append(source)
        return jnp.array(stands, copy=True)

    @contextlib.contextmanager
    def noting(self, note: list[Any]) -> Iterator[None]:
        """Append the host values that are used meanwhile to a list."""
        self.notes.append(note)
        try:
            yield
        finally:
            self.notes.pop()  # the last one, which may be equal to an outer one

    @contextlib.contextmanager
    def repeating(self, note: list[Any]) -> Iterator[None]:
        """Use those host values again, in their order."""
        before, self.again = self.again, iter(note)
        try:
            yield
        finally:
            self.again = before

    def keep_generator(self, generator: Any, distribution: str) -> None:
        """Note that a random generator is about to be drawn from.

        Raises Untraceable if it is not for a host value: the numbers would be the same ones at each call.
        """
        if not self.drawing:
            raise Untraceable(
                f"these random numbers ({distribution}) are made in several steps on the host, which a compiled function "
                "cannot repeat: make them outside and pass them in, or use fullgraph=False"
            )
        self._draws = True
        if generator not in self.drawn:
            self.drawn[generator] = generator.mark()
        if generator not in self.generators:
            self.generators[generator] = generator.get_state_bytes()

    def take_back(self) -> None:
        """The trace has failed: the generators stand where they stood."""
        for generator, held in self.generators.items():
            generator.set_state_bytes(held)
