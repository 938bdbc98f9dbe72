"""Methods of the `__dict__`s of objects, what dicts give under keys that are not there, and the fields that `str.format` takes."""

from __future__ import annotations

import _string  # type: ignore[import-not-found]
from typing import Any

from ...core.dispatch.host_numbers import plain, settle
from .access import attribute, item, push, store_attribute
from .keyed import apart
from .places import MISSING, Item
from .symbols import PENDING, UNKNOWN


def absent(shadow: Any, owner: Any, args: list[Any]) -> Any:
    """Note that a dict does not hold a key; what its `get` or `pop` will give."""
    watcher = shadow.watcher
    apart(watcher, owner, args[0])
    place = Item(owner, plain(args[0]))
    if not watcher.writes.is_written(place):
        watcher.reads.place(place, watcher.writes.before(owner).get(plain(args[0]), MISSING))
    return args[1] if len(args) > 1 else (None if len(args) == 1 else UNKNOWN)


def change_attributes(shadow: Any, owner: Any, table: Any, name: str, args: list[Any], kwargs: dict[str, Any]) -> None:
    """A method changes the `__dict__` of an object, and gives what stood there: note both, and push what it will give."""
    given = args[0] if args and isinstance(args[0], dict) else {}
    if name not in ("update", "__setitem__", "setdefault", "pop") or (args and not (given or isinstance(args[0], str))):
        shadow.watcher.refuse(f"it changes the __dict__ of a {type(owner).__name__} by {name}")
    found: Any = UNKNOWN
    if name in ("setdefault", "pop"):
        found = item(shadow, table, args[0])
        if (plain(args[0]) in table) == (name == "setdefault"):  # nothing changes
            push(shadow, found)
            return
    for key in (*given, *kwargs) if name == "update" else args[:1]:
        store_attribute(shadow, owner, plain(key), deleted=name == "pop")
    push(shadow, found)


def fields(shadow: Any, text: str, args: list[Any], named: Any) -> None:
    """`str.format` takes attributes and items: "{0.lr} {cfg[k]}"."""
    number = 0
    for _, field, spec, _ in _string.formatter_parser(text):
        if spec:
            fields(shadow, spec, args, named)
        if field is None:
            continue
        first, steps = _string.formatter_field_name_split(field)
        if first == "":
            first, number = number, number + 1
        try:
            value = args[first] if isinstance(first, int) else named[first]
        except (LookupError, TypeError):
            continue
        for is_attribute, name in steps:
            value = attribute(shadow, value, name) if is_attribute else item(shadow, value, name)
            if value is PENDING or value is UNKNOWN:
                shadow.watcher.refuse(f"str.format takes {name!r} from what the code computes")
        shadow.watcher.reads.deep(value)
        settle(value)
