"""What a program holds for: the values that its function has read, and the quick look at them that each call takes."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, MappingView
from types import FunctionType, MappingProxyType, ModuleType, SimpleNamespace
from typing import Any

from ...core.dispatch.host_numbers import KEPT_IN_ATTRIBUTES, Expression, Given, HostNumber, Looked, lift, sources
from ...core.tensor import tree
from ...core.tensor.tensor import Tensor
from ...nn.modules.module import Module
from .code import LIBRARY, kind_of_code
from .looks import Kind, Look, Names, Term, held_by, written
from .modules import is_library_class
from .places import (
    MISSING,
    Attribute,
    Bases,
    Cell,
    Item,
    Length,
    Place,
    in_class,
    is_python_class,
    own_attributes,
    shown_by,
)
from .values import Contents, as_inputs, entries, has_inputs, is_buffer, is_container, is_numeric, kind_of, same


def _as_it_is(table: Any, copy: Any) -> Any:
    return copy


class Reads:
    """The places, contents, types and outcomes that a trace depended on, as they were before the function changed anything.

    `numeric` are the keys of places whose numbers are inputs of the program, rather than constants that it holds for.
    """

    def __init__(self) -> None:
        self.places: dict[Any, tuple[Place, Any]] = {}
        self.contents: dict[int, Contents] = {}
        self.types: dict[int, tuple[Any, type]] = {}
        self.outcomes: list[tuple[Expression, Any]] = []
        self.numbers: dict[Any, tuple[Place, Any]] = {}  # places whose numbers are inputs: only their kind is looked at
        self.tuples: list[tuple[Place, Any]] = []  # and tuples of such numbers, as the trace has them
        self.old: dict[int, Any] = {}  # objects that were there before the trace, by id
        self.strict: set[Any] = set()  # keys of places and numbers of arguments whose ints have to be ints
        self.copies: dict[int, tuple[Any, Any]] = {}  # containers that were there before, by id, with what they held
        self.owners: dict[int, Any] = {}  # `__dict__`s among these -> the objects that have them
        self.unwritten: Callable[[Any, Any], Any] = _as_it_is  # a copy of a dict, without what was written
        self.before: Callable[[Any], Any] = lambda container: None  # a copy from before a container was changed
        self.settle_keys: Callable[[Any], None] = lambda container: None  # keys under which things were put matter
        self.taken_from: Callable[[Any], None] = lambda iterator: None  # code that is not followed is given an iterator
        self.walked: Callable[[Module], None] = lambda module: None  # or a module
        self.lengths: set[Any] = set()  # keys of `Length`s that are inputs
        self.installed: bool = False  # whether numbers that are inputs stand in places, read or not
        self.picked: list[Any] = []  # keys of places whose items are picked at each call
        self.make_input: Callable[[HostNumber], Any] | None = None
        self.looks: int = (
            0  # how often values had to be compared, after which other objects may be the ones that are held
        )
        self._fast: Callable[[], bool] | None = None

    # --- while tracing --------------------------------------------------------------------------------------------

    def see(self, value: Any) -> None:
        """Note that a value was there before the trace."""
        if id(value) not in self.old:
            self.old[id(value)] = value
            self._remember(value)
            if isinstance(value, tuple):
                for part in value:
                    self.see(part)
            elif isinstance(value, memoryview):
                self.see(value.obj)
            elif is_buffer(value):
                self.content(value)  # an array: whoever has it may look into it without our seeing that

    def _remember(self, value: Any) -> None:
        """Keep what a container or an object holds now, to see at the end whether anybody has changed it unnoticed."""
        kind = type(value)
        if isinstance(value, (list, set, deque)):
            self.copies[id(value)] = value, list(value)
        elif value is sys.modules:
            pass  # what is imported meanwhile is imported
        elif isinstance(value, dict):
            self.copies.setdefault(id(value), (value, self.unwritten(value, dict(entries(value)))))
        elif is_python_class(kind) and not isinstance(value, type) and not is_library_class(kind):
            own = own_attributes(value)
            self.copies.setdefault(id(own), (own, self.unwritten(own, dict(own))))
            self.owners[id(own)] = value

    def place(self, place: Place, value: Any) -> None:
        """Note that a place was read, where nothing was written before."""
        if place.key not in self.places and place.key not in self.numbers:
            if has_inputs(value):
                self.numbers[place.key] = place, kind_of(value)
                self.tuples.append((place, value))
            else:
                self.places[place.key] = place, value
                self.see(value)

    def look_at_number(self, place: Place) -> None:
        """Note that the number in a place is an input, whoever reads it."""
        if place.key not in self.numbers and place.key not in self.places and is_numeric(value := place.get()):
            self.numbers[place.key] = place, kind_of(value)

    def kind(self, thing: Any) -> None:
        """Note that an object's type matters."""
        if id(thing) not in self.types:
            self.types[id(thing)] = thing, type(thing)

    def bases(self, cls: type) -> None:
        """Note that it matters from which classes a class inherits."""
        if is_python_class(cls) and not is_library_class(cls):
            place = Bases(cls)
            if place.key not in self.places:
                self.places[place.key] = place, place.get()

    def content(self, container: Any, held: Any = None) -> None:
        """Note that all of what a container holds matters (`held`: a copy from before it was changed)."""
        self.settle_keys(container)
        if id(container) in self.contents:
            return
        held = self.before(container) if held is None else held
        self.see(container)
        made = self.contents[id(container)] = Contents(container, held)
        if made.ids is not None:
            for value in made.held:
                self.see(value)
        elif isinstance(container, set):
            for value in container:
                self.see(value)

    def deep(self, value: Any, seen: set[int] | None = None) -> None:
        """Note that all of what a value holds matters, however deep: somebody looks into it whom we cannot follow."""
        value = getattr(value, "_mapping", value) if isinstance(value, MappingView) else value
        if isinstance(
            value, (SimpleNamespace, *KEPT_IN_ATTRIBUTES)
        ):  # gone through, compared, copied and shown by code that is not followed
            own = own_attributes(value)
            if id(value) in self.old:
                self.copies.setdefault(id(own), (own, self.unwritten(own, dict(own))))
                self.old.setdefault(id(own), own)
                self.owners.setdefault(id(own), value)
            value = own
        if isinstance(value, MappingProxyType):
            value = shown_by(value)
            self.see(value)
        if isinstance(value, Module):
            self.walked(value)
        if not isinstance(value, tuple) and not is_container(value):
            if hasattr(type(value), "__next__"):
                self.taken_from(value)
            return
        seen = set() if seen is None else seen
        if id(value) in seen:
            return
        seen.add(id(value))
        if id(value) in self.old and is_container(value):
            self.content(value)
        if not is_buffer(value):
            for part in (*value.keys(), *value.values()) if isinstance(value, dict) else tuple(value):
                self.deep(part, seen)

    def is_loose(self, expression: Expression) -> bool:
        """Whether an int may be stood for by a float while tracing: nobody has asked yet for a true one."""
        return not any(source_key(source) in self.strict for source in sources(expression))

    def outcome(self, expression: Expression, value: Any) -> None:
        """Note that the program holds while an expression has this value."""
        self.outcomes.append((expression, value))

    def input(self, number: HostNumber) -> Any:
        assert self.make_input is not None
        return self.make_input(number)

    def number(self, place: Place, value: Any) -> Any:
        """The number in a place, or the numbers of a tuple there, as inputs of the program."""
        return as_inputs(value, Looked(place), self)

    def given(self, number: int, value: Any) -> Any:
        """The number that the caller gives as a leaf of the arguments, as an input of the program."""
        return lift(value, Given(number), self)

    # --- at each call ---------------------------------------------------------------------------------------------

    def finish(self, moving: Iterable[Any]) -> None:
        """The trace is over: from now on, compare. What is in places with the keys `moving` is looked up at each call."""
        self.make_input = None
        self.old, self.copies, self.owners, self.tuples = {}, {}, {}, []
        # what the function has written is no matter any more
        self.unwritten, self.before = _as_it_is, lambda container: None
        self.settle_keys = self.taken_from = self.walked = lambda container: None
        for key in moving:
            self.places.pop(key, None)
        self._fast = None

    def broken(self, given: list[Any]) -> str | None:
        """What does not hold any more, or None. `given` are the leaves of the call's arguments."""
        if self._fast is None:
            names = Names()
            self._fast = written(self.terms(names.name), names)
        return self.outcome_broken(given) if self._fast() else self._look(given)

    def outcome_broken(self, given: list[Any]) -> str | None:
        for expression, value in self.outcomes:
            try:
                if not same(value, expression.value(given)):
                    return _outcome_text(expression, given)
            except Exception:  # the code itself will raise it
                return _outcome_text(expression, given)
        return None

    def _look(self, given: list[Any]) -> str | None:
        for thing, kind in self.types.values():
            if type(thing) is not kind:
                return f"an object's class is {type(thing).__name__} now, and was {kind.__name__}"
        for key, (place, before) in self.places.items():
            now = place.get()
            if now is not before:
                if not same(before, now):
                    return _changed(place, before, now)
                self.places[key] = place, now
        for place, kind in self.numbers.values():
            if not same(kind, kind_of(place.get())):
                return f"{place} is of another kind now"
        for contents in self.contents.values():
            if not contents.holds():
                return f"{contents} has changed"
        self.looks += 1
        self._fast = None
        return self.outcome_broken(given)

    def changed_numbers(self) -> dict[Any, Place]:
        """Places whose numbers were constants of the program and have changed to others of the same type."""
        found: dict[Any, Place] = {}
        for key, (place, before) in self.places.items():
            if is_numeric(before):
                now = place.get()
                if same(kind_of(before), kind_of(now)) and not same(before, now):
                    found[key] = place
        for contents in self.contents.values():
            found.update((place.key, place) for place in contents.changed_numbers())
        return found

    def changed_tensors(self) -> dict[Any, Place]:
        """Places that hold another tensor now, or another tuple or container with tensors."""
        held = [(place, before) for place, before in self.places.values()]
        held += [(place, contents.held[i]) for contents in self.contents.values() for i, place in contents.places()]
        return {
            place.key: place
            for place, before in held
            if (now := place.get()) is not before and type(now) is type(before) and _has_tensors(before)
        }

    def terms(self, name: Callable[[Any], str]) -> list[Term]:
        """The quick look, by identity; `name` gives things names in the text of its function."""
        terms: list[Term] = [Look(Kind.TYPE, thing, None, kind) for thing, kind in self.types.values()]
        for place, before in self.places.values():
            terms += _looks(place, before, name)
        for place, kind in self.numbers.values():
            found = f"{name(place.get)}()"
            looks_like = f"type({found}) is {name(kind)}"
            terms.append(
                looks_like if isinstance(kind, type) else f"{name(same)}({name(kind)}, {name(kind_of)}({found}))"
            )
        for held in self.contents.values():
            fixed = held.ids is not None and not held.loose and not held.numbers
            fixed = fixed and isinstance(held.container, (list, dict))
            terms.append(held_by(held.container, held.held, name) if fixed else f"{name(held.holds)}()")
        return terms


def _has_tensors(value: Any) -> bool:
    return any(isinstance(leaf, Tensor) for leaf in tree.flatten(value)[0])


def _outcome_text(expression: Expression, given: list[Any]) -> str:
    found = []
    for source in sources(expression):
        key = source_key(source)
        name = str(source.place) if isinstance(source, Looked) else f"argument {key}"
        found.append(f"{name} = {source.value(given)!r}")
    values = ", ".join(dict.fromkeys(found))
    return f"the code looks at a number, and finds something else for {values}"


def source_key(source: Expression) -> Any:
    """What tells a source of numbers from others."""
    return source.place.key if isinstance(source, Looked) else source.number  # type: ignore[attr-defined]


def _looks(place: Place, before: Any, name: Callable[[Any], str]) -> list[Term]:
    """What is true while a place holds the very same object."""
    owner, key = place.owner, place.name
    if isinstance(place, Cell):
        if before is not MISSING:
            return [Look(Kind.ATTRIBUTE, owner, "cell_contents", before)]
    elif isinstance(place, Length):
        return [Look(Kind.LENGTH, owner, None, before)]
    elif isinstance(place, Item):
        if not isinstance(owner, dict):
            if before is not MISSING:
                return [Look(Kind.ITEM, owner, key, before)]
        elif _is_plain(owner):
            return [Look(Kind.ABSENT, owner, key) if before is MISSING else Look(Kind.ENTRY, owner, key, before)]
    elif type(place) is Attribute and isinstance(key, str) and key.isidentifier() and before is not MISSING:
        if isinstance(owner, ModuleType):
            if key in (table := own_attributes(owner)):
                return [Look(Kind.ENTRY, table, key, before)]
        else:
            found = _as_python_finds(owner, key)
            if found is before or (type(owner) is FunctionType and key in _OF_FUNCTIONS):
                return [Look(Kind.ATTRIBUTE, owner, key, before)]
            if (
                not isinstance(owner, type)
                and in_class(type(owner), key) is before
                and _as_python_finds(type(owner), key) is before
            ):
                # a method: an instance could only hide it with an attribute of its own
                return [Look(Kind.ATTRIBUTE, type(owner), key, before), Look(Kind.ABSENT, own_attributes(owner), key)]
    return [f"{name(place.get)}() is {name(before)}"]


def _is_plain(table: dict[Any, Any]) -> bool:
    """Whether what a dict gives for a key is what it holds."""
    cls = type(table)
    return cls.__getitem__ is dict.__getitem__ and cls.__contains__ is dict.__contains__


_OF_FUNCTIONS = ("__code__", "__defaults__", "__kwdefaults__")


def _answers_itself(cls: type) -> bool:
    """Whether code of the user's would be asked for an attribute that is not there (any more)."""
    own = in_class(cls, "__getattr__")
    code = getattr(own, "__code__", None)
    return own is not MISSING and not (code is not None and kind_of_code(code, own.__globals__) == LIBRARY)


def _as_python_finds(owner: Any, name: str) -> Any:
    """What `owner.name` gives where that runs no code of the user's; else MISSING."""
    cls = type(owner)
    if cls.__getattribute__ not in (object.__getattribute__, type.__getattribute__) or _answers_itself(cls):
        return MISSING
    raw = in_class(owner, name) if isinstance(owner, type) else in_class(cls, name)
    simple = (
        raw is MISSING
        or not hasattr(type(raw), "__get__")
        or type(raw).__name__ in ("function", "member_descriptor", "staticmethod")
    )
    if not simple:
        return MISSING
    if raw is MISSING and name not in own_attributes(owner):
        return MISSING
    try:
        return getattr(owner, name)
    except Exception:
        return MISSING


def _changed(place: Place, before: Any, now: Any) -> str:
    def shown(value: Any) -> str:
        text = "nothing" if value is MISSING else f"a {type(value).__name__}"
        if type(value) in (int, float, str, bool, type(None)):
            text = repr(value)
            text = text if len(text) <= 40 else text[:37] + "..."
        return text

    if shown(before) == shown(now):
        return f"{place} is another {type(now).__name__} now"
    return f"{place} was {shown(before)} and is {shown(now)} now"


__all__ = ["Reads"]
