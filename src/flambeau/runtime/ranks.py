"""Ranks that are threads of one process, and what each of them has of its own.

Objects of the process of which every rank has another are named once (`each_its_own`). While ranks run, such an object asks for the
rank's; otherwise it is of its plain class, and nobody pays for what is not used.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any, TypeVar

_T = TypeVar("_T")


class Rank:
    """One of `n` threads. `world` is what joins them; `own` has what is its own, by the id of what stands for it."""

    def __init__(self, number: int, n: int, world: Any):
        self.number, self.n, self.world = number, n, world
        self.own: dict[int, Any] = {}
        self.names: dict[str, Any] = {}  # those of its `__main__`
        self.met: dict[str, int] = {}  # how often it has met the others at an address


class _Here(threading.local):
    """The rank that this thread is, if it is one."""

    rank: Rank | None = None


here: _Here = _Here()
_shared: list[tuple[Any, Callable[[Any], Any]]] = []
_running = threading.Lock()


def each_its_own(shared: _T, make: Callable[[_T], _T]) -> _T:
    """Give `shared`. Each rank has `make(shared)` in its place."""
    _shared.append((shared, make))
    return shared


_SPECIAL = (
    "__getitem__",
    "__setitem__",
    "__delitem__",
    "__len__",
    "__iter__",
    "__reversed__",
    "__contains__",
    "__repr__",
)


@functools.cache
def _asking(kind: type) -> type:
    """A class whose objects ask for the rank's own at every use."""

    def forwarded(name: str) -> Any:
        plain = getattr(kind, name)

        def call(self: Any, *args: Any) -> Any:
            rank = here.rank
            own = self if rank is None else rank.own.get(id(self), self)
            return plain(self, *args) if own is self else getattr(own, name)(*args)

        return call

    members = {name: forwarded(name) for name in (*_SPECIAL, "__getattribute__", "__setattr__") if hasattr(kind, name)}
    return type(kind.__name__, (kind,), {"__slots__": (), "__hash__": kind.__hash__, **members})


class _Environment(MutableMapping[str, str]):
    """The environment as a rank sees it: what its launcher tells each rank is its own, the rest is the process's."""

    def __init__(self, whole: MutableMapping[str, str], own: dict[str, str]):
        self._whole, self._own = whole, own
        self._names = frozenset(own)

    def __getitem__(self, name: str) -> str:
        return self._own[name] if name in self._names else self._whole[name]

    def __setitem__(self, name: str, value: str) -> None:
        if name in self._names and not isinstance(value, str):
            raise TypeError(f"str expected, not {type(value).__name__}")
        (self._own if name in self._names else self._whole)[name] = value

    def __delitem__(self, name: str) -> None:
        del (self._own if name in self._names else self._whole)[name]

    def __iter__(self) -> Iterator[str]:
        return iter([name for name in self._whole if name not in self._names] + list(self._own))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __repr__(self) -> str:
        return f"environ({dict(self)!r})"

    def copy(self) -> dict[str, str]:
        """A dict of it."""
        return dict(self)


@contextlib.contextmanager
def running(ranks: list[Rank], told: Callable[[Rank], dict[str, str]]) -> Iterator[None]:
    """Threads whose `here.rank` is one of these have their own of what ranks have. `told(rank)` is what its launcher tells it.

    RuntimeError where others run: a process has one set of ranks at a time.
    """
    if here.rank is not None or not _running.acquire(blocking=False):
        raise RuntimeError("ranks that are threads run in this process already: it has one set of them at a time")
    environ: Any = os.environ
    parts = ("encodekey", "decodekey", "encodevalue", "decodevalue")
    whole = type(environ)(environ._data, *[getattr(environ, part) for part in parts])  # the same, under the plain class
    shared = [*_shared, (environ, None)]
    for rank in ranks:
        rank.own = {id(thing): make(thing) for thing, make in _shared}
        rank.own[id(environ)] = _Environment(whole, told(rank))
    plain = [type(thing) for thing, _ in shared]
    for thing, _ in shared:
        kind: Any = type(thing)
        thing.__class__ = _asking(kind)
    try:
        yield
    finally:
        for (thing, _), kind in zip(shared, plain, strict=True):
            thing.__class__ = kind
        _running.release()


__all__ = ["Rank", "each_its_own", "here", "running"]
