"""What operators refuse at each call of a program: an index that is not there, a singular matrix."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from ..core.context.tracing import Demand, Refusal, Untraceable
from ..core.dispatch import checks
from ..processes.groups import are_several
from .ahead import Ahead, Origins
from .guards.shadow import Watcher
from .handlers import catching


class Demands:
    def __init__(self, watcher: Watcher, drawers: list[Any]):
        self.watcher = watcher
        self.drawers = drawers  # what has drawn random numbers so far
        self.found: list[Demand] = []
        self.ahead: list[Ahead] = []  # those that are looked at before the program runs: the first ones, or all
        self.origins: Origins = Origins()
        # whether the program has called Python back, which what comes later must not overtake
        self.called_back: bool = False
        self.kept: set[Any] = set()  # storages that are written only where the demands up to there are met
        self.calls: list[Callable[[Exception], None]] = []  # of modules, outermost first: each names itself in an error
        self.root: Any = None  # the code under which the traced function runs

    def add(self, bad: Any, value: Any, error: Callable[[int], Exception]) -> None:
        """Note that each call has to raise `error(value)` if `bad` is true (both are traced scalars)."""
        self._refuse_caught(error)
        self.found.append(Demand(bad, value, Refusal(error, tuple(self.calls)), len(self.drawers)))

    def add_ahead(self, index: Any, look: checks.Look, within: checks.Range, error: Callable[[int], Exception]) -> bool:
        """Note that each call has to look at these indices before its program runs. False if that can't be.

        What fails first is told first: once a check is in the program, so are all after it. Among several processes what fails
        in one is told to the others by a program.
        """
        origin = None if self.found or self.called_back or are_several() else self.origins.of(index)
        if origin is None:
            return False
        self._refuse_caught(error)
        self.ahead.append(Ahead(*origin, look, within, Refusal(error, tuple(self.calls)), len(self.drawers)))
        return True

    def _refuse_caught(self, error: Callable[[int], Exception]) -> None:
        caught = catching(error(0), self.root, self.watcher.shadows)
        if caught is not None:
            raise Untraceable(
                f"an error that depends on values would be caught there ({caught}), and a program raises it only when it has run"
            )

    def met(self) -> Any:
        """Whether all demands up to here are met: a traced bool, or None if there are none."""
        bad = [demand.bad for demand in self.found]
        return ~functools.reduce(jnp.logical_or, bad) if bad else None

    def told(self) -> tuple[Any, list[Refusal]]:
        """The error word up to here, and what it may tell of."""
        return checks.word(self.found), [demand.refusal for demand in self.found]

    def take(self) -> list[Demand]:
        """All of them, which are forgotten here: they hold traced values."""
        found, self.found, self.origins = self.found, [], Origins()
        return found
