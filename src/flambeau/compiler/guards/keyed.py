"""Items under a number that is an input of the program (`self.log[self.step]`), and lengths of what grows: found anew at each call."""

from __future__ import annotations

import operator
from collections import Counter, OrderedDict, defaultdict, deque
from typing import Any

import numpy as np

from ...core.dispatch.host_numbers import (
    Expression,
    Given,
    HostKey,
    HostNumber,
    HostText,
    HostValue,
    Looked,
    as_key,
    expression_of,
    lift,
    plain,
    sources,
)
from ...core.tensor.tensor import Tensor
from .places import Length, Place, is_scope
from .symbols import FRESH, LATER, UNKNOWN
from .values import PLAIN, has_inputs, is_number

_DICTS = (dict, OrderedDict, defaultdict, Counter)
_ROWS = (list, deque)
_NUMERIC = (int, float, complex, np.number)  # one of these may be the same key as an int
_GROW = frozenset((list.append, list.insert, list.extend, operator.iadd, deque.append, deque.appendleft, deque.extend))
NOTHING: Any = type("NOTHING", (), {})()  # what is not there, or can't be followed


def held_under(owner: Any, key: Any) -> Any:
    """What a container holds under a key; KeyError where a defaultdict or a Counter would make something up."""
    if isinstance(owner, dict) and key not in owner:
        raise KeyError(key)
    return owner[key]


class Picked(Place):
    """The item under a key that is computed at each call. `name` is the key's expression, over places alone."""

    __slots__ = ()

    @property
    def key(self) -> tuple[str, int, Any]:
        return "Picked", id(self.owner), id(self.name)

    def get(self) -> Any:
        try:
            return held_under(self.owner, self.name.value(()))
        except (LookupError, TypeError):
            return NOTHING

    def __str__(self) -> str:
        return f"an entry of a {type(self.owner).__name__}"


class Answer:
    """What stands on the interpreter's stack for a container, or for a function, whose answer is known."""

    __slots__ = ("value",)

    def __init__(self, value: Any):
        self.value: Any = value

    def __getitem__(self, key: Any) -> Any:
        return self.value

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.value


def counted(shadow: Any, owner: Any, key: Any) -> Any:
    """A key that may be another one at each call (an int; in dicts and sets also a text and a tuple of these); None for any other."""
    if not shadow.watcher.replaces:
        return None
    if isinstance(key, HostNumber):
        key = as_key(key)
        return key if type(key.plain) is int else None
    if not isinstance(owner, (dict, set)):
        return None
    if type(key) is tuple and has_inputs(key) and all(type(plain(part)) in PLAIN for part in key):
        return HostKey(key, next(part.reads for part in key if isinstance(part, HostValue)))
    return key if isinstance(key, HostText) else None


def _is_plain(key: Any) -> bool:
    return all(type(part) in PLAIN for part in key) if type(key) is tuple else type(key) in PLAIN


def _may_be_one(key: Any, other: Any) -> bool:
    """Whether two keys may be the same one at another call."""
    return all(isinstance(k, _NUMERIC) for k in (key, other)) or (
        type(key) is type(other) and type(key) in (str, tuple)
    )


def _changes(watcher: Any, owner: Any) -> list[Any] | None:
    """What the function has done to a container, if that was setting and taking out entries; else None."""
    if id(owner) not in watcher.writes.snapshots:
        return []
    found = watcher.writes.changes_of(owner)
    kinds = (operator.setitem, operator.delitem) if isinstance(owner, dict) else (operator.setitem,)
    fit = all(m.function in kinds and m.args[0] is not LATER and _is_plain(plain(m.args[0])) for m in found)
    return found if fit else None


def _is_same(owner: Any, key: Any, other: Any, reads: Any) -> bool:
    """Whether two keys are one; the program holds while they are, or are not."""
    if not _may_be_one(plain(key), plain(other)):
        return False
    if isinstance(owner, (dict, set)):
        test: Any = operator.eq
    else:
        test = lambda a, b: (a - b) % len(owner) == 0  # noqa: E731
    found = bool(test(plain(key), plain(other)))
    reads.outcome(Expression(test, expression_of(key), expression_of(other)), found)
    return found


def _sets_one(mutation: Any) -> bool:
    return mutation.function is operator.setitem and not isinstance(mutation.args[0], slice)


def apart(watcher: Any, owner: Any, key: Any) -> bool:
    """Whether the function itself has set or taken out the entry under a key. Takes down whether it is one of a counted key."""
    found = False
    for mutation in _changes(watcher, owner) or ():
        other = mutation.args[0]
        if isinstance(key, HostValue) or isinstance(other, HostValue):
            found = _is_same(owner, key, other, watcher.reads) or found
    return found


def _live(watcher: Any, owner: Any) -> Any:
    """What to look into at each call; NOTHING for what can't be."""
    if isinstance(owner, tuple):
        return owner
    if type(owner) is np.ndarray:
        return owner.copy() if owner.ndim == 1 and owner.dtype == np.float64 else NOTHING
    if type(owner) not in (*_DICTS, *_ROWS) or id(owner) in watcher.attribute_tables or is_scope(owner):
        return NOTHING
    if watcher.is_old(owner):
        return owner if _changes(watcher, owner) is not None else NOTHING
    if type(owner) is list and set(map(type, owner)) in ({int}, {float}, {np.float64}):
        return tuple(owner)  # made by the function, or the caller's
    return NOTHING


def read(shadow: Any, owner: Any, key: HostValue, *default: Any) -> Any:
    """The item under a counted key, or the default; NOTHING if it can't be followed, or is not there."""
    watcher = shadow.watcher
    reads, live = watcher.reads, _live(watcher, owner)
    if live is NOTHING:
        return NOTHING
    if type(owner) is np.ndarray:
        reads.content(owner) if watcher.is_old(owner) else None
    mine = live is owner and apart(watcher, owner, key)
    at, expression = key.plain, key.expression
    if isinstance(live, dict):
        if at not in live:
            if not default:
                return NOTHING
            if not mine:
                reads.outcome(Expression(lambda k: k in live, expression), False)
            return default[0]
    elif not -len(live) <= at < len(live):
        return NOTHING
    value = live[at]
    if mine:
        return value
    if is_number(value):
        reads.outcome(Expression(lambda k: type(held_under(live, k)), expression), type(value))
        return lift(value, Expression(lambda k: held_under(live, k), expression), reads)
    if has_inputs(value):
        return NOTHING
    if not isinstance(value, Tensor):
        reads.see(value)
        reads.outcome(Expression(lambda k: held_under(live, k), expression), value)
        return value
    if any(isinstance(source, Given) for source in sources(expression)):
        return NOTHING
    place = Picked(live, expression)
    reads.place(place, value)
    reads.picked.append(place.key)
    return value


def writes(shadow: Any, owner: Any, key: HostValue, deletes: bool) -> bool:
    """Whether the entry under a counted key may be set, or taken out, at each call."""
    watcher = shadow.watcher
    if not watcher.is_old(owner) or isinstance(owner, (tuple, np.ndarray)) or (deletes and not isinstance(owner, dict)):
        return False
    if _live(watcher, owner) is NOTHING:
        return False
    at, expression = key.plain, key.expression
    if isinstance(owner, dict):
        if deletes and not apart(watcher, owner, key):
            watcher.reads.outcome(Expression(lambda k: k in owner, expression), at in owner)
        return not deletes or at in owner
    if not -len(owner) <= at < len(owner):
        return False
    watcher.reads.outcome(Expression(lambda k: -len(owner) <= k < len(owner), expression), True)
    return True


def contains(shadow: Any, owner: Any, key: HostValue) -> bool:
    """Take down whether a counted number is in a container; False if that can't be followed."""
    watcher = shadow.watcher
    held = owner
    if isinstance(owner, dict) and watcher.is_old(owner):
        if type(owner) not in _DICTS or _live(watcher, owner) is NOTHING:
            return False
        if apart(watcher, owner, key):
            return True
    elif type(owner) in (list, set, deque):
        if watcher.is_old(owner) and id(owner) in watcher.writes.snapshots:
            return type(owner) is set and _contains_added(watcher, owner, key)
        held = owner if watcher.is_old(owner) else frozenset(owner) if type(owner) is set else tuple(owner)
    elif type(owner) not in (tuple, frozenset, range):
        return False
    if not all(_is_plain(part) for part in held):
        return False
    watcher.reads.outcome(Expression(lambda k: k in held, key.expression), key.plain in held)
    return True


def _contains_added(watcher: Any, owner: set[Any], key: HostValue) -> bool:
    """The same for a set to which the function has added something."""
    changes, before = watcher.writes.changes_of(owner), watcher.writes.before(owner)
    added = [mutation.args[0] for mutation in changes if mutation.function is set.add]
    if len(added) < len(changes) or not all(map(_is_plain, (*map(plain, added), *before))):
        return False
    if not any(_is_same(owner, key, other, watcher.reads) for other in added):
        watcher.reads.outcome(Expression(lambda k: k in owner, key.expression), key.plain in before)
    return True


def change(shadow: Any, owner: Any, key: HostValue, values: tuple[Any, ...]) -> None:
    """Note that the entry under a counted key is about to be set, or taken out."""
    writes = shadow.watcher.writes
    values = tuple(LATER if v is FRESH or v is UNKNOWN else v for v in values)
    writes.mutate(owner, operator.setitem if values else operator.delitem, (key, *values))
    if any(v is LATER for v in values):
        mutation = writes.log[-1]
        shadow.after = lambda: setattr(mutation, "args", (key, owner[key.plain]))


def changing(shadow: Any, owner: Any, name: str, key: HostValue, *default: Any) -> Any:
    """What to call, with the default, in place of a method that changes a container by a counted key; the change is noted. None if
    it can't be followed.
    """
    watcher, at = shadow.watcher, key.plain
    if name == "add":
        if type(owner) is not set or not watcher.is_old(owner):
            return None
        watcher.writes.mutate(owner, set.add, (key,))
        return lambda: owner.add(at)
    if type(owner) not in _DICTS or not watcher.is_old(owner) or _live(watcher, owner) is NOTHING:
        return None
    if at in owner:
        value = read(shadow, owner, key)
        if value is NOTHING:
            return None
        if name == "setdefault":
            return lambda *_: value
        if not writes(shadow, owner, key, deletes=True):
            return None
        change(shadow, owner, key, ())

        def take(*_: Any) -> Any:
            del owner[at]
            return value

        return take
    if name == "pop" and not default:
        return None  # an error
    if not apart(watcher, owner, key):
        watcher.reads.outcome(Expression(lambda k: k in owner, key.expression), False)
    if name == "pop":
        return lambda given: given
    change(shadow, owner, key, default or (None,))

    def put(given: Any = None) -> Any:
        owner[at] = given
        return given

    return put


def length(shadow: Any, owner: Any, always: bool = False) -> Any:
    """How much a container holds that was there before; NOTHING if the program then depends on all that it holds. It is an input
    if it has changed before, or `always`.
    """
    watcher = shadow.watcher
    if type(owner) not in (*_DICTS, *_ROWS, set) or not watcher.is_old(owner) or id(owner) in watcher.attribute_tables:
        return NOTHING
    reads = watcher.reads
    if any(place.owner is owner for place, _ in watcher.writes.places.values()):
        return NOTHING  # a module's globals, or a table of buffers
    now, before = len(owner), len(watcher.writes.before(owner))
    changes = watcher.writes.changes_of(owner)
    limit = getattr(owner, "maxlen", None)
    if isinstance(owner, dict):
        if _changes(watcher, owner) is None:
            return NOTHING
        for mutation in changes:
            key = mutation.args[0]
            was_there = plain(key) in watcher.writes.before(owner)
            reads.outcome(Expression(lambda k: k in owner, expression_of(key)), was_there)
    elif not all(m.function in _GROW or _sets_one(m) for m in changes):
        return NOTHING
    place, grown = Length(owner), now - before
    if limit is not None and changes:
        if not all(m.function in (deque.append, deque.appendleft) for m in changes):
            return NOTHING
        grown = len(changes)  # but for what falls out at the other end
        compute: Any = lambda n: min(n + grown, limit)  # noqa: E731
    else:
        compute = lambda n: n + grown  # noqa: E731
    if place.key not in reads.lengths and not always:
        reads.place(place, before)
        return now
    return lift(now, Expression(compute, Looked(place)), reads)


__all__ = [
    "NOTHING",
    "Answer",
    "Picked",
    "apart",
    "change",
    "changing",
    "contains",
    "counted",
    "length",
    "read",
    "writes",
]
