"""`torch.fx.passes.pass_manager`: passes that run one after another, in an order that constraints allow."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable
from itertools import combinations
from typing import Any

__all__ = [
    "PassManager",
    "inplace_wrapper",
    "log_hook",
    "loop_pass",
    "these_before_those_pass_constraint",
    "this_before_that_pass_constraint",
]

Pass = Callable[..., Any]


def inplace_wrapper(fn: Pass) -> Pass:
    """A pass of a function that changes what it is given and returns nothing."""

    @functools.wraps(fn)
    def changed(gm: Any) -> Any:
        fn(gm)
        return gm

    return changed


def log_hook(fn: Pass, level: int = logging.INFO) -> Pass:
    """The same pass, which logs what it gives."""

    @functools.wraps(fn)
    def logged(gm: Any) -> Any:
        logging.getLogger(__name__).log(level, "Ran pass %s\t Return value: %s", fn.__name__, value := fn(gm))
        return value

    return logged


def loop_pass(base_pass: Pass, n_iter: int | None = None, predicate: Callable[..., bool] | None = None) -> Pass:
    """A pass that is repeated `n_iter` times, or as long as `predicate` holds of its result. AssertionError unless one is given."""
    assert (n_iter is None) != (predicate is None), "loop_pass: give one of n_iter and predicate"

    @functools.wraps(base_pass)
    def repeated(source: Any) -> Any:
        if n_iter is not None:
            for _ in range(n_iter):
                source = base_pass(source)
            return source
        while predicate is not None and predicate(source):
            source = base_pass(source)
        return source

    return repeated


def this_before_that_pass_constraint(this: Pass, that: Pass) -> Callable[[Pass, Pass], bool]:
    """A constraint: `that` may not come before `this`."""
    return lambda first, second: not (first == that and second == this)


def these_before_those_pass_constraint(these: Pass, those: Pass) -> Callable[[Pass, Pass], bool]:
    """The same of passes that are made of these by wrappers."""
    return lambda first, second: not (inspect.unwrap(first) == those and inspect.unwrap(second) == these)


class PassManager:
    """Calls passes in their order, each with what the one before it gave. RuntimeError for an order that a constraint forbids."""

    def __init__(self, passes: list[Pass] | None = None, constraints: list[Callable[..., bool]] | None = None) -> None:
        self.passes = passes or []
        self.constraints = constraints or []
        self._validated = False

    @classmethod
    def build_from_passlist(cls, passes: list[Pass]) -> PassManager:
        """One of these passes."""
        return cls(passes)

    def add_pass(self, _pass: Pass) -> None:
        """Add one at the end."""
        self.passes.append(_pass)
        self._validated = False

    def add_constraint(self, constraint: Callable[..., bool]) -> None:
        """Add a function of an earlier and a later pass that says whether they may come so."""
        self.constraints.append(constraint)
        self._validated = False

    def remove_pass(self, _passes: list[str]) -> None:
        """Take out the passes of these names."""
        self.passes = [each for each in self.passes if each.__name__ not in _passes]
        self._validated = False

    def replace_pass(self, _target: Pass, _replacement: Pass) -> None:
        """Put a pass in the place of another, which is known by its name."""
        self.passes = [_replacement if each.__name__ == _target.__name__ else each for each in self.passes]
        self._validated = False

    def validate(self) -> None:
        """RuntimeError if a constraint forbids the order."""
        if self._validated:
            return
        for constraint in self.constraints:
            for first, second in combinations(self.passes, 2):
                if not constraint(first, second):
                    raise RuntimeError(f"pass schedule constraint violated: {second} has to come before {first}")
        self._validated = True

    def __call__(self, source: Any) -> Any:
        self.validate()
        for each in self.passes:
            source = each(source)
        return source
