"""Which Python numbers and which moving tensors a compiled function takes as inputs, learned from trace to trace."""

from __future__ import annotations

from typing import Any

from ..core.dispatch.host_numbers import HostNumber
from .guards.places import Place
from .guards.reads import Reads
from .guards.values import is_number


class Inputs:
    """`places` hold numbers that have changed between calls, or that the function replaces; `leaves` are the numbers of such
    arguments; `moving` are places whose tensors were replaced between calls.
    """

    def __init__(self) -> None:
        self.places: dict[Any, Place] = {}
        self.leaves: set[int] = set()
        self.moving: dict[Any, Place] = {}
        self.strict: set[Any] = set()  # sources whose ints are looked at as ints
        self.never: set[Any] = set()  # sources that somebody asks for their type
        self._before: list[tuple[Place, Any]] = []

    def forget(self, keys: set[Any]) -> None:
        """These sources are no inputs, now and later."""
        self.never |= keys
        self.leaves -= keys
        for key in keys:
            self.places.pop(key, None)

    def install(self, reads: Reads) -> None:
        """Put numbers that know where they come from into the places, for the time of a trace."""
        self._before = []
        reads.strict = self.strict
        for place in self.places.values():
            value = place.get()
            if is_number(value):
                self._before.append((place, value))
                place.put(reads.number(place, value))

    def restore(self) -> None:
        """Put Python's own numbers back."""
        for place, value in self._before:
            if isinstance(place.get(), HostNumber):
                place.put(value)
        self._before = []
