"""How many programs of XLA are held for operators. Each takes some 1.5 MiB, and one is made for each shape and each static value.

The usual call must not pay for the count, so nothing is noted when a program is used. Whenever `ROUND` programs have been compiled,
`sweep` lets go of the programs of static values that were not called for since the sweep before (what is called for is looked for
there and comes back), and of all programs of a function that has more than `SHAPES` of them. What is needed again comes from the
compilation cache on the disk in a few milliseconds. `room` sees to it that programs of all kinds together do not end the process.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any

import jax

from . import executables, room

ROUND = 512  # compilations from one sweep to the next: a first step of DenseNet121 makes 550, which its second step calls for
SHAPES = 128  # programs of one function
MOST = 1024  # programs in all that outlive a sweep

_functions: weakref.WeakSet[Any] = weakref.WeakSet()
_tables: list[Table] = []
_lock = threading.Lock()
_compiled = 0  # since the last sweep
_until_looked: int | None = 128  # programs until it is seen whether there is room for more


class Table(dict[Any, Any]):
    """What is held by static values, in two generations: this dict's, and those that nobody has asked for since the last sweep."""

    def __init__(self) -> None:
        super().__init__()
        self.older: dict[Any, Any] = {}
        _tables.append(self)

    def __missing__(self, key: Any) -> Any:
        """What the older generation holds (it becomes young again), or None."""
        found = self.older.pop(key, None)
        if found is not None:
            self[key] = found
        return found

    def age(self) -> None:
        """Let go of the older generation; this one becomes it."""
        self.older = dict(self)
        self.clear()

    def forget(self) -> None:
        """Let go of everything."""
        self.older = {}
        self.clear()


def jit(
    function: Callable[..., Any], identity: Any = None, quickly: bool = True, by_numpy: Any = None, **options: Any
) -> Any:
    """`jax.jit` of a function of an operator, whose programs are counted, and kept on the disk as those of `identity`.

    `quickly`, `by_numpy`: see `executables.jit`; the first not for many equal loops, which are compiled one by one then.
    """
    made = executables.jit(function, identity, _loaded, quickly, by_numpy, **options)
    _functions.add(made)
    return made


def ready(identity: Any, arrays: Any, build: executables.Build) -> tuple[Any, Any]:
    """See `executables.ready`."""
    return executables.ready(identity, arrays, build, _loaded)


def held() -> int:
    """How many programs are held."""
    return sum(function._cache_size() for function in list(_functions))


def forget() -> None:
    """Let go of what is held by static values: something on which all programs depend has changed."""
    for table in _tables:
        table.forget()


def sweep() -> None:
    """Let go of what was not used lately, and of more if too many programs are left."""
    for table in _tables:
        table.age()
    for function in list(_functions):
        if function._cache_size() > SHAPES:
            function.clear_cache()
    if held() > MOST:
        for table in _tables:
            table.older = {}
    if held() > MOST:
        for function in list(_functions):
            function.clear_cache()


def _count(event: str, seconds: float, **rest: Any) -> None:
    if event.endswith("backend_compile_duration"):
        _loaded()


@room.keeper
def _let_go(everything: bool) -> None:
    for table in _tables:
        table.forget() if everything else table.age()
    for function in list(_functions):
        function.clear_cache()


def _loaded() -> None:
    """There is one program more."""
    global _compiled, _until_looked
    _compiled += 1
    if _until_looked is not None:
        _until_looked -= 1
    if (_compiled >= ROUND or (_until_looked is not None and _until_looked <= 0)) and _lock.acquire(blocking=False):
        try:
            if _compiled >= ROUND:
                _compiled = 0
                sweep()
            if _until_looked is not None and _until_looked <= 0:
                _until_looked = room.make()
        finally:
            _lock.release()


jax.monitoring.register_event_duration_secs_listener(_count)  # type: ignore[arg-type]
