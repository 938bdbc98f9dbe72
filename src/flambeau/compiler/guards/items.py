"""The instructions that read, set and take out items, ask what a container holds, and how much."""

from __future__ import annotations

import operator
from collections import deque
from types import BuiltinFunctionType, FunctionType, MethodDescriptorType
from typing import Any

from ...core.dispatch.host_numbers import HostValue, settle, settle_key
from ...core.tensor.tensor import Tensor
from . import keyed
from .access import attribute, item, iterate, look_for_entry, look_through, push, store_item
from .foreign import look_into
from .keyed import NOTHING, Answer
from .kinds import is_instance
from .numeric import Direct
from .places import in_class, is_python_class
from .symbols import FRESH, UNKNOWN
from .values import has_inputs, is_container


class Handlers(dict[str, Any]):
    """What each instruction does, by its name."""

    def handles(self, names: str) -> Any:
        def note(function: Any) -> Any:
            self.update(dict.fromkeys(names.split(), function))
            return function

        return note


_GETS = (BuiltinFunctionType, MethodDescriptorType)
HANDLERS = Handlers()
_handles = HANDLERS.handles


@_handles("BINARY_SUBSCR")
def _binary_subscr(shadow: Any, ins: Any) -> None:
    owner, key = shadow.pop(2)
    at = keyed.counted(shadow, owner, key)
    if at is not None and (value := keyed.read(shadow, owner, at)) is not NOTHING:
        shadow.replace(len(shadow.stack), Answer(value))
        shadow.push(UNKNOWN)
    else:
        push(shadow, item(shadow, owner, key))


@_handles("STORE_SUBSCR DELETE_SUBSCR")
def _store_subscr(shadow: Any, ins: Any) -> None:
    deletes = ins.name == "DELETE_SUBSCR"
    *values, owner, key = shadow.pop(2 if deletes else 3)
    at = keyed.counted(shadow, owner, key)
    if at is not None and keyed.writes(shadow, owner, at, deletes):
        shadow.replace(len(shadow.stack) + len(values) + 1, at.plain)
        keyed.change(shadow, owner, at, tuple(values))
    else:
        store_item(shadow, owner, key, operator.delitem if deletes else operator.setitem, tuple(values))


@_handles("BINARY_SLICE")
def _binary_slice(shadow: Any, ins: Any) -> None:
    owner, start, stop = shadow.pop(3)
    (settle_key if isinstance(owner, Tensor) else settle)((start, stop))
    if is_container(owner) and shadow.watcher.is_old(owner):
        shadow.watcher.reads.content(owner, shadow.watcher.writes.before(owner))
    shadow.push(UNKNOWN)


@_handles("STORE_SLICE")
def _store_slice(shadow: Any, ins: Any) -> None:
    value, owner, start, stop = shadow.pop(4)
    store_item(shadow, owner, slice(start, stop), operator.setitem, (value,))


@_handles("UNPACK_SEQUENCE UNPACK_EX")
def _unpack(shadow: Any, ins: Any) -> None:
    owner = shadow.pop()
    count = ins.arg if ins.name == "UNPACK_SEQUENCE" else (ins.arg & 0xFF) + 1 + (ins.arg >> 8)
    iterate(shadow, owner)
    if ins.name == "UNPACK_SEQUENCE" and isinstance(owner, (tuple, list)) and len(owner) == count:
        for value in reversed(owner):
            shadow.push(value)
    else:
        for _ in range(count):
            shadow.push(UNKNOWN)


@_handles("GET_ITER GET_YIELD_FROM_ITER")
def _get_iter(shadow: Any, ins: Any) -> None:
    iterate(shadow, shadow.pop())
    shadow.push(UNKNOWN)


@_handles("FOR_ITER SEND")
def _for_iter(shadow: Any, ins: Any) -> None:
    if ins.name == "SEND":
        shadow.pop()
    shadow.push(UNKNOWN)


@_handles("CONTAINS_OP")
def _contains(shadow: Any, ins: Any) -> None:
    key, owner = shadow.pop(2)
    watcher = shadow.watcher
    if owner is UNKNOWN:
        watcher.refuse("it looks into a value that could not be followed")
    if not isinstance(owner, Tensor):
        watcher.asked_which(key)
        watcher.reads.deep((key, owner if isinstance(owner, (tuple, list, deque)) else None))  # by `==`
        look_into(watcher, owner, "__contains__")
    at = keyed.counted(shadow, owner, key)
    if at is not None and keyed.contains(shadow, owner, at):
        shadow.replace(len(shadow.stack), at.plain)
    elif (
        isinstance(owner, dict)
        and watcher.is_old(owner)
        and key is not UNKNOWN
        and key is not FRESH
        and not has_inputs(key)
    ):
        look_for_entry(watcher, owner, key)
    else:
        settle(key)
        settle(owner if type(owner) in (list, tuple) else None)
        iterate(shadow, owner)
    shadow.push(UNKNOWN)


def truth(shadow: Any, owner: Any) -> None:
    """Somebody asks whether a container holds anything."""
    found = keyed.length(shadow, owner, always=True)
    iterate(shadow, owner) if found is NOTHING else bool(found)


_ASKED = {len: "__len__", int: "__int__", float: "__float__"}


def _method(callee: Any, thing: Any) -> FunctionType | None:
    users = is_python_class(type(thing)) and not isinstance(thing, HostValue)
    method = in_class(type(thing), _ASKED[callee]) if users else None
    return method if isinstance(method, FunctionType) else None


def answer(shadow: Any, callee: Any, args: list[Any], place: int) -> bool:
    """Have a call on the interpreter's stack give what is known: `len` of what grows, `get` with a counted key."""
    if not shadow.watcher.replaces:
        return False
    found = NOTHING
    if (
        type(callee) in (BuiltinFunctionType, type)
        and callee in _ASKED
        and len(args) == 1
        and (method := _method(callee, args[0])) is not None
    ):
        look_through(shadow.watcher, args[0])
        shadow.replace(place, Direct(callee, method, _ASKED[callee]))
        return True
    elif callee is len and len(args) == 1:
        found = keyed.length(shadow, args[0])
    elif getattr(callee, "__name__", "") == "get" and not isinstance(callee, FunctionType):
        owner = getattr(callee, "__self__", None)
        owner, args = (owner, args) if isinstance(owner, dict) else (args[0] if args else None, args[1:])
        if (
            isinstance(owner, dict)
            and 1 <= len(args) <= 2
            and (at := keyed.counted(shadow, owner, args[0])) is not None
        ):
            default = args[1] if len(args) > 1 else None
            if type(callee) in _GETS and default is not UNKNOWN and default is not FRESH:
                found = keyed.read(shadow, owner, at, default)
    if found is NOTHING:
        return _answer_change(shadow, callee, args, place)
    shadow.replace(place, Answer(found))
    return True


def _answer_change(shadow: Any, callee: Any, args: list[Any], place: int) -> bool:
    """The same for methods that change a container by a counted key: `pop`, `setdefault`, `add`."""
    name, kind = getattr(callee, "__name__", ""), type(callee)
    if name not in ("pop", "setdefault", "add") or kind not in _GETS:
        return False
    owner, given = (args[0], args[1:]) if kind is MethodDescriptorType and args else (callee.__self__, args)
    if not 1 <= len(given) <= (1 if name == "add" else 2) or (at := keyed.counted(shadow, owner, given[0])) is None:
        return False
    made = keyed.changing(shadow, owner, name, at, *given[1:])
    if made is None:
        return False
    count = len(given) - 1
    shadow.replace(place, lambda *all_args: made(*all_args[len(all_args) - count :]))
    return True


__all__ = ["HANDLERS", "Handlers", "answer", "truth"]


@_handles("MATCH_MAPPING MATCH_SEQUENCE GET_LEN")
def _match_kind(shadow: Any, ins: Any) -> None:
    iterate(shadow, shadow.stack[-1] if shadow.stack else UNKNOWN)
    shadow.push(UNKNOWN)


@_handles("MATCH_KEYS")
def _match_keys(shadow: Any, ins: Any) -> None:
    subject = shadow.stack[-2] if len(shadow.stack) > 1 else UNKNOWN
    iterate(shadow, subject)
    shadow.push(UNKNOWN)


@_handles("MATCH_CLASS")
def _match_class(shadow: Any, ins: Any) -> None:
    subject, cls, names = shadow.pop(3)
    settle(subject)
    is_instance(shadow.watcher, subject, cls)
    attribute(shadow, cls, "__match_args__")
    for name in (*(names if isinstance(names, tuple) else ()), *getattr(cls, "__match_args__", ())):
        attribute(shadow, subject, name)
    shadow.push(UNKNOWN)
