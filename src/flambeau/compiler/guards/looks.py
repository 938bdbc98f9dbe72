"""Looks at what a program holds for, by identity: each is a line of Python, and all together one pass of the native library.

    written([Look(Kind.ENTRY, globals(), "model", model), "tensors[0]._grad is None"], names, "tensors")

makes a function that tells whether all of them hold.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Sequence
from enum import IntEnum
from functools import cache
from itertools import chain
from operator import is_
from typing import Any, NamedTuple

from ... import native

native.expect("flambeau_looks", by_host=True)


class Kind(IntEnum):
    """What a look asks. In the order of `Kind` in `native/looks.cc`."""

    TYPE = 0  # type(owner) is value
    ENTRY = 1  # a dict: owner[name] is value
    ABSENT = 2  # a dict: name not in owner
    ITEM = 3  # owner[name] is value
    ATTRIBUTE = 4  # owner.name is value
    LENGTH = 5  # len(owner) == value
    KEYS_AND_VALUES = 6  # a dict: (*owner, *owner.values()), each of them
    MEMBERS = 7  # a list: each of them
    EMPTY = 8  # not owner
    OF_THREAD = 9  # a thread's own attributes, by `of_thread`


class Look(NamedTuple):
    kind: Kind
    owner: Any
    name: Any = None
    value: Any = None


Term = Look | str
_WRITTEN = {
    Kind.TYPE: "type({owner}) is {value}",
    Kind.ENTRY: "{owner}[{name}] is {value}",
    Kind.ABSENT: "{name} not in {owner}",
    Kind.ITEM: "{owner}[{name}] is {value}",
    Kind.ATTRIBUTE: "{owner}.{attribute} is {value}",
    Kind.LENGTH: "len({owner}) == {value}",
    Kind.EMPTY: "not {owner}",
}
_END = object()  # behind the last of what is compared, so that nothing can follow it unseen


class Names(dict[str, Any]):
    """What the text of a function names: `name(thing)` gives a thing a name in it."""

    def name(self, thing: Any) -> str:
        self[text := f"x{len(self)}"] = thing
        return text


def written(terms: Sequence[Term], names: Names, arguments: str = "") -> Callable[..., bool]:
    """A function that tells whether all of these terms are true. False where one raises."""
    looks = [term for term in terms if isinstance(term, Look)]
    texts = [term for term in terms if isinstance(term, str)]
    compiled = together(looks)
    if compiled is not None:
        texts = [f"{names.name(compiled)}()", *texts]
    elif looks:
        texts = [*_texts(looks, names.name), *texts]
    if not texts:
        return lambda *given: True
    lines = [f"def holds({arguments}):", "    try:"]
    for start in range(0, len(texts), 50):
        lines.append(f"        if not ({' and '.join(texts[start : start + 50])}):")
        lines.append("            return False")
    lines += ["        return True", "    except Exception:", "        return False"]
    scope = dict(names)  # of a dict that is no other class the interpreter remembers where a name stands
    exec("\n".join(lines), scope)
    return scope.pop("holds")  # or each would hold the other


def together(looks: Sequence[Look]) -> Callable[[], bool] | None:
    """One compiled function of many looks; None where the library is not there."""
    maker = _maker() if looks else None
    return None if maker is None else maker(tuple(looks))


@cache
def _maker() -> Callable[[tuple[Look, ...]], Callable[[], bool]] | None:
    """Makes one function of many looks."""
    function = native.host_function("flambeau_looks")
    if function is None:
        return None
    with_the_lock = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)
    return with_the_lock(ctypes.cast(function, ctypes.c_void_p).value)  # type: ignore[return-value, arg-type]


def _texts(looks: Sequence[Look], name: Callable[[Any], str]) -> list[str]:
    texts, parts, held = [], [], []
    for look in looks:
        if look.kind is Kind.KEYS_AND_VALUES:
            parts += [look.owner, look.owner.values()]
            held += look.value
        elif look.kind is Kind.MEMBERS:
            parts.append(look.owner)
            held += look.value
        elif look.kind is Kind.OF_THREAD:
            owner, wanted = name(look.owner), look.value[::2]
            texts += [f"{owner}.{n} is {name(value)}" for n, value in zip(look.name[1:], wanted, strict=True)]
        else:
            found = {"owner": name(look.owner), "value": name(look.value)}
            found["name"] = name(look.name) if look.name is not None else ""
            texts.append(_WRITTEN[look.kind].format(**found, attribute=look.name))
    if parts:  # all containers in one pass
        every = f"{name(chain.from_iterable)}({name([*parts, (_END,)])})"
        texts.append(f"{name(all)}({name(map)}({name(is_)}, {every}, {name([*held, _END])}))")
    return texts


def held_by(container: Any, held: Sequence[Any], name: Callable[[Any], str]) -> Term:
    """The look at everything that a list or a dict holds (of a dict its keys, then its values)."""
    if type(container) in _PLAIN:
        return Look(_PLAIN[type(container)], container, None, tuple(held))
    return f"{name(_holds)}({name(container)}, {name(held)})"


def of_thread(local: threading.local, wanted: dict[str, Any]) -> Look:
    """The look at attributes of this thread, of which the class has the values that hold by default."""
    values = chain.from_iterable((value, getattr(type(local), name)) for name, value in wanted.items())
    return Look(Kind.OF_THREAD, local, ("__dict__", *wanted), tuple(values))


_PLAIN: dict[type, Kind] = {dict: Kind.KEYS_AND_VALUES, list: Kind.MEMBERS}


def _holds(container: Any, held: Sequence[Any]) -> bool:
    now = [*container, *container.values()] if isinstance(container, dict) else [*container]
    return len(now) == len(held) and all(map(is_, now, held))
