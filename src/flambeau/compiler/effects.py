"""What a traced function writes into Python's own objects: noted, taken back after the trace, and done again at each call."""

from __future__ import annotations

import operator
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any

from ..core.context.tracing import Untraceable
from ..core.dispatch.host_numbers import HostValue, plain, settle
from ..core.tensor.tree import opens
from .guards.places import MISSING, Attribute, Item, Length, Place, own_attributes
from .guards.reads import Reads
from .guards.values import elements, entries, is_buffer

_REGISTRY = "__warningregistry__"  # where a warning in the user's module notes that it was given: nothing that a program repeats


class Mutation:
    """A change of a container that was there before the trace: `function(container, *args, **kwargs)`."""

    __slots__ = ("args", "container", "function", "kwargs")

    def __init__(self, container: Any, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]):
        self.container: Any = container
        self.function: Callable[..., Any] = function
        self.args: tuple[Any, ...] = args
        self.kwargs: dict[str, Any] = kwargs


class Deferred:
    """A call that the program makes after its run, instead of the trace (a scheduler's step)."""

    __slots__ = ("args", "function", "kwargs")

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]):
        self.function: Callable[..., Any] = function
        self.args: tuple[Any, ...] = args
        self.kwargs: dict[str, Any] = kwargs


class Later:
    """What a call gives once the deferred calls before it are made. It can be returned, kept, and taken apart by items."""

    __slots__ = ("args", "function")

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...]):
        self.function: Callable[..., Any] = function
        self.args: tuple[Any, ...] = args

    def __getitem__(self, key: Any) -> Later:
        return Later(operator.getitem, (self, key))

    def __getattr__(self, name: str) -> Any:
        raise Untraceable(
            "it computes with what a scheduler's step changes, after that step, which is made after the run"
        )

    __radd__: Callable[..., Any]
    __add__: Callable[..., Any]
    __gt__: Callable[..., Any]
    __lt__: Callable[..., Any]
    __eq__: Callable[..., Any]
    __index__: Callable[..., Any]
    __int__: Callable[..., Any]
    __float__: Callable[..., Any]
    __bool__: Callable[..., Any]
    __len__: Callable[..., Any]
    __iter__: Callable[..., Any]
    __iter__ = __len__ = __bool__ = __float__ = __int__ = __index__ = __eq__ = __lt__ = __gt__ = __add__ = __radd__ = (
        __mul__
    ) = (  # type: ignore[assignment]
        lambda self, *rest: self.__getattr__("")
    )
    __repr__: Callable[..., Any]
    __str__: Callable[..., Any]
    __format__: Callable[..., Any]
    __rtruediv__: Callable[..., Any]
    __truediv__: Callable[..., Any]
    __rsub__: Callable[..., Any]
    __sub__: Callable[..., Any]
    __rmul__ = __sub__ = __rsub__ = __truediv__ = __rtruediv__ = __format__ = __str__ = __repr__ = __iter__  # type: ignore[assignment]
    __hash__: Callable[..., int] = object.__hash__


_BY_POSITION = (
    operator.setitem, operator.delitem, list.__setitem__, list.__delitem__, deque.__setitem__, deque.__delitem__, list.insert,
    deque.insert,
)  # fmt: skip


class Writes:
    """The changes of one trace, in their order."""

    def __init__(self, reads: Reads):
        self.reads = reads
        reads.before = self.before
        reads.unwritten = self.unwritten
        reads.settle_keys = self.settle_keys
        self.places: dict[Any, tuple[Place, Any]] = {}  # where something was put, with what was there before
        self.read_first: dict[Any, None] = {}  # those of them that had been read before
        self.log: list[Mutation | Deferred | Place] = []
        self.snapshots: dict[int, tuple[Any, Any]] = {}  # containers that were changed, with copies from before
        self.given: dict[int, Any] = {}  # containers that stand for the caller's, by id
        self.stored: set[Any] = set()  # entries of containers that the function itself has put there
        self.unsure: dict[int, Any] = {}  # containers of which it is not known whether they were there before
        self.away: dict[int, Any] = {}  # objects that deferred calls will change

    def put(self, place: Place) -> None:
        """Note that a place is about to be written."""
        key = place.key
        if key not in self.places:
            self.places[key] = place, place.own()
            self.log.append(place)
            if key in self.reads.places or key in self.reads.numbers:
                self.read_first[key] = None

    def unwritten(self, table: Any, copy: dict[Any, Any]) -> dict[Any, Any]:
        """A copy of a dict, made as it was before anything was put into its places."""
        for place, before in self.places.values():
            if place.owner is table or (isinstance(place, Attribute) and own_attributes(place.owner) is table):
                copy.pop(place.name, None) if before is MISSING else copy.update({place.name: before})
        return copy

    def is_written(self, place: Place) -> bool:
        return place.key in self.places or place.key in self.stored

    def mutate(self, container: Any, function: Callable[..., Any], args: Any = (), kwargs: Any = None) -> None:
        """Note that a container is about to be changed."""
        if id(container) in self.unsure:
            raise Untraceable(
                f"it changes a {type(container).__name__} of which it can't be seen whether it is a new one"
            )
        if id(container) not in self.snapshots and id(container) not in self.given:
            self.snapshots[id(container)] = container, _copy(container)
        by_position = function in _BY_POSITION and not (
            args and isinstance(args[0], slice) and args[0].step in (None, 1)
        )
        counted = bool(args) and isinstance(args[0], HostValue)  # its place is looked at by who has counted
        if by_position and not counted and isinstance(container, (list, deque)) and id(container) in self.snapshots:
            # which element it is, and whether there is one
            self.reads.place(Length(container), len(self.snapshots[id(container)][1]))
        self.log.append(Mutation(container, function, tuple(args), kwargs or {}))
        if (
            function in (operator.setitem, operator.delitem)
            and isinstance(container, (dict, list))
            and not isinstance(args[0], slice)
        ):
            self.stored.add(Item(container, plain(args[0])).key)

    def reached(self) -> dict[int, Any]:
        """The containers, by id, that must not be an argument, too: the trace has another one in its place, and one of both is changed."""
        changed = [
            entry.owner if isinstance(entry, Place) else entry.container
            for entry in self.log
            if not isinstance(entry, Deferred)
        ]
        outside = {id(container): container for container in changed if id(container) not in self.given}
        if any(id(container) in self.given for container in changed):
            outside |= self.reads.old
        return {key: container for key, container in outside.items() if opens(container)}

    def changes_of(self, container: Any) -> list[Mutation]:
        """What was done to a container, in order."""
        return [entry for entry in self.log if isinstance(entry, Mutation) and entry.container is container]

    def settle_keys(self, container: Any) -> None:
        """Somebody looks at all that a container holds: under which keys the function has put things matters."""
        if id(container) in self.snapshots:
            for mutation in self.changes_of(container):
                if mutation.function in (operator.setitem, operator.delitem, set.add):
                    settle(mutation.args[0])

    def put_last(self, container: Any, position: int) -> bool:
        """Whether an element, counted from the end, is one that the function has appended, whatever else the container holds."""
        changes = self.changes_of(container)
        appends = (list.append, deque.append)
        return -len(changes) <= position < 0 and all(m.function in appends for m in changes)

    def take_back(self, mutation: Mutation) -> None:
        """A change was not made: it raised."""
        self.log.remove(mutation)
        if mutation.function in (operator.setitem, operator.delitem) and mutation.args:
            key = Item(mutation.container, plain(mutation.args[0])).key
            others = (m for m in self.changes_of(mutation.container) if m.args)
            if not any(m.args[0] is mutation.args[0] for m in others):
                self.stored.discard(key)

    def take_back_place(self, place: Place) -> None:
        """A place was not written: that raised."""
        self.log.remove(place)
        self.places.pop(place.key, None)
        self.read_first.pop(place.key, None)

    def before(self, container: Any) -> Any:
        """What a container held before the function changed it."""
        key = id(container)
        if key in self.snapshots:
            return self.snapshots[key][1]
        if isinstance(container, dict) and key in self.reads.copies:  # entries may have been written as places
            return self.reads.copies[key][1]
        return container

    def defer(self, function: Callable[..., Any], args: Any, kwargs: Any, touched: list[Any]) -> None:
        """Note a call that is to be made after each run. Nobody may look at what it changes until then."""
        self.log.append(Deferred(function, tuple(args), dict(kwargs)))
        for thing in touched:
            self.away[id(thing)] = thing

    def unnoticed(self, but: set[int]) -> list[str]:
        """What containers and objects have changed without a note of it (something in C did that), in words.

        `but`: ids not to look at.
        """
        found = []
        for key, (container, copy) in self.reads.copies.items():
            if key in but or key in self.snapshots or not _differs(container, copy):
                continue
            owner = self.reads.owners.get(key)
            kind = type(container if owner is None else owner).__name__
            if isinstance(container, dict):
                names = [
                    k
                    for k in {**copy, **container}
                    if k != _REGISTRY and copy.get(k, MISSING) is not dict.get(container, k, MISSING)
                ]
                places = [[Item(container, k), *([] if owner is None else [Attribute(owner, k)])] for k in names]
                if all(any(map(self.is_written, ways)) for ways in places):
                    continue
                kind += f" at {', '.join(map(repr, names[:3]))}"
            found.append(kind)
        buffers = (c.container for c in self.reads.contents.values() if is_buffer(c.container) and not c.holds())
        return found + [type(b).__name__ for b in buffers]

    def undo_unnoticed(self, but: set[int]) -> None:
        """Put back what such code has changed."""
        for key, (container, copy) in self.reads.copies.items():
            if key not in but and _differs(container, copy):
                _refill(container, copy)
        for contents in reversed(self.reads.contents.values()):  # in memory that several share, what was seen first
            if is_buffer(contents.container) and not contents.holds():
                contents.put_back()

    def undo(self) -> None:
        """Put everything back as it was before the trace."""
        for container, copy in self.snapshots.values():
            _refill(container, copy)
        for place, before in reversed(self.places.values()):
            place.put(before)


def _differs(container: Any, copy: Any) -> bool:
    if isinstance(container, dict):
        now_there, before = entries(container), copy.items()
        if dict.__contains__(container, _REGISTRY):
            now_there = [pair for pair in now_there if pair[0] != _REGISTRY]
            before = [pair for pair in before if pair[0] != _REGISTRY]
        if len(now_there) != len(before):
            return True
        pairs = zip(now_there, before, strict=True)
        return not all(key is k and value is v for (key, value), (k, v) in pairs)
    now = elements(container)
    if isinstance(container, set):
        return set(now) != set(copy)
    return len(now) != len(copy) or not all(a is b for a, b in zip(now, copy, strict=True))


def _copy(container: Any) -> Any:
    if isinstance(container, dict):
        return dict(entries(container))
    return set(elements(container)) if isinstance(container, set) else elements(container)


def _refill(container: Any, copy: Any) -> None:
    if isinstance(container, dict):
        kind = OrderedDict if isinstance(container, OrderedDict) else dict
        kind.clear(container)
        for key, value in copy.items():
            kind.__setitem__(container, key, value)
    elif isinstance(container, list):
        list.__setitem__(container, slice(None), copy)
    elif isinstance(container, set):
        set.clear(container)
        set.update(container, copy)
    elif isinstance(container, deque):
        deque.clear(container)
        deque.extend(container, copy)


__all__ = ["MISSING", "Deferred", "Mutation", "Writes"]
