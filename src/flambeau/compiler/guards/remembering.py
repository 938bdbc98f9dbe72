"""Functions that remember their results (`functools.lru_cache`): a program takes what is remembered, and is never what fills them."""

from __future__ import annotations

import gc
from typing import Any

import jax

from ...core.context.grad_mode import state as grad_state
from ...core.context.tracing import Untraceable
from ...core.dispatch.host_numbers import HostValue, Strict
from ...core.tensor.tensor import Tensor
from .places import MISSING, Place
from .symbols import UNKNOWN
from .values import same


class NotYet(Untraceable):
    """This call runs uncompiled, since what it does is done once. Later ones can be compiled, so nobody is warned."""


class Misses(Place):
    """How often a function has had to compute what it did not remember."""

    __slots__ = ()

    def get(self) -> Any:
        return self.owner.cache_info().misses

    def __str__(self) -> str:
        return f"what {getattr(self.owner, '__name__', 'a function')} remembers"


def recall(watcher: Any, function: Any, args: list[Any], kwargs: dict[str, Any]) -> None:
    """The traced code calls a function that remembers its results. What it remembers is what it gives, whatever it has read.

    What is not remembered yet is computed where the code itself would, by a call that runs uncompiled.
    """
    given = (*args, *kwargs.values())
    for value in given:
        if isinstance(value, HostValue):
            raise Strict(value.expression, never=True)
    if any(value is UNKNOWN or isinstance(value, Tensor) for value in given):
        watcher.refuse("it calls a function that remembers its results (functools.lru_cache) with what is being traced")
    if not remembers(function, args, kwargs):
        _compute_first(watcher, function)
    trace, grad_state.trace = grad_state.trace, None
    try:
        with jax.ensure_compile_time_eval():
            result = function(*args, **kwargs)
    finally:
        grad_state.trace = trace
    watcher.reads.see(result)

    def look() -> bool:  # as often as the code itself would call it, at least
        return remembers(function, args, kwargs) and same(result, function(*args, **kwargs))

    trace.guard(look, f"{getattr(function, '__name__', 'a function')} remembers another result")


def _compute_first(watcher: Any, function: Any) -> None:
    name = getattr(function, "__name__", "a function")
    if id(function) in watcher.fresh or watcher.is_young(function):
        watcher.refuse(f"it makes a function that remembers its results ({name}, by functools.lru_cache)")
    place = Misses(function)
    watcher.reads.see(function)
    watcher.reads.place(place, place.get())
    watcher.need(NotYet(f"{name} does not remember its result yet"))


def remembers(function: Any, args: Any, kwargs: dict[str, Any]) -> bool:
    """Whether a call would give a result from before. Looked up as CPython does: there is no other way to ask without calling."""
    own, tables, mark = function.__dict__, [], MISSING
    for part in gc.get_referents(function):
        if type(part) is dict and part is not own:
            tables.append(part)
        elif type(part) is object:
            mark = part
    if len(tables) != 1 or mark is MISSING:
        return False
    typed = function.cache_parameters()["typed"]
    if not typed and not kwargs and len(args) == 1 and type(args[0]) in (int, str):
        return args[0] in tables[0]
    key = (*args, *((mark, *(part for pair in kwargs.items() for part in pair)) if kwargs else ()))
    return ((*key, *map(type, args), *map(type, kwargs.values())) if typed else key) in tables[0]


__all__ = ["Misses", "NotYet", "recall", "remembers"]
