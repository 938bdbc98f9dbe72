"""Functions in C that are handed to functions in C (`map(list.append, rows)`, `max(parts, key=attrgetter("n"))`): nobody is told of their
calls, so what they would read is taken down beforehand, and those that change something are refused.
"""

from __future__ import annotations

import functools
import operator
import types
from collections import deque
from collections.abc import Iterator
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

import numpy as np

from ...core.dispatch.host_numbers import settle
from ...core.tensor.tensor import Tensor
from .access import attribute, item
from .modules import layers_run
from .numeric import no_numbers_on_the_way
from .places import MISSING
from .symbols import PENDING, UNKNOWN
from .values import is_container

# Methods of containers that change them.
_CHANGING = {
    list: "append extend insert pop remove clear sort reverse __setitem__ __delitem__ __iadd__ __imul__ __init__",
    dict: "update setdefault pop popitem clear __setitem__ __delitem__ __ior__ move_to_end __init__",
    set: "add discard remove pop clear update difference_update intersection_update symmetric_difference_update "
    "__iand__ __ior__ __isub__ __ixor__ __init__",
    deque: "append appendleft extend extendleft pop popleft rotate clear insert remove reverse __setitem__ __delitem__ __iadd__ "
    "__imul__ __init__",
    np.ndarray: "fill sort put itemset resize partition setfield setflags byteswap __setitem__ __delitem__",
}
_PLACING = frozenset("pop insert rotate __getitem__ __setitem__ __delitem__ __mul__ __rmul__ __imul__".split())
CHANGING = {kind: frozenset(names.split()) for kind, names in _CHANGING.items()}
# Functions and classes in C that call what they are given.
CALLING = frozenset(
    "map filter sorted min max sort reduce starmap accumulate groupby takewhile dropwhile filterfalse iter defaultdict sub subn "
    "bisect_left bisect_right insort_left insort_right cmp_to_key fromiter call apply_along_axis frompyfunc".split()
)
_IN_C = (
    BuiltinFunctionType, types.MethodWrapperType, types.WrapperDescriptorType, types.MethodDescriptorType,
    types.ClassMethodDescriptorType,
)  # fmt: skip
_LOOKS_OR_CHANGES = frozenset(
    "getattr hasattr setattr delattr vars dir next setitem delitem iadd iand iconcat ifloordiv ilshift imatmul imod imul ior ipow "
    "irshift isub itruediv ixor call heappush heappop heapify heappushpop heapreplace insort_left insort_right".split()
)


def hand_over(shadow: Any, function: Any, given: list[Any]) -> None:
    """A function in C gets `function` beside what is `given`, and may call it with any of that."""
    watcher = shadow.watcher
    if isinstance(function, functools.partial):
        hand_over(shadow, function.func, [*given, *function.args, *function.keywords.values()])
    elif isinstance(function, MethodType):
        layers_run(function, ())
        hand_over(shadow, function.__func__, given)
    elif isinstance(function, operator.attrgetter) or function is type:
        for part in _parts(shadow, given, function):
            if function is type:
                watcher.known(part)
                watcher.reads.kind(part)
            else:
                getter(shadow, function, [part])
    elif isinstance(function, operator.methodcaller):
        watcher.refuse("it hands operator.methodcaller to a function in C, whose calls nobody can see")
    elif isinstance(function, (*_IN_C, type)):
        watcher.reads.deep(tuple(given))
        if not isinstance(function, type):
            _in_c(watcher, function)
        if function not in (operator.add, operator.mul):  # by which numbers of any kind ask each other
            no_numbers_on_the_way(shadow, function, [part for part in given if part is not function])


def _in_c(watcher: Any, function: Any) -> None:
    name, owner = function.__name__, getattr(function, "__self__", None)
    if owner is None or isinstance(owner, types.ModuleType):
        kind = getattr(function, "__objclass__", None)
        changes = name in _LOOKS_OR_CHANGES or name in ("__setattr__", "__delattr__", "__getattribute__")
        changes = changes or any(kind is not None and issubclass(kind, k) and name in CHANGING[k] for k in CHANGING)
        if changes:
            watcher.refuse(f"it hands {name} to a function in C, whose calls nobody can see")
    elif is_container(owner) and (watcher.is_old(owner) or id(owner) in watcher.arguments):
        if any(isinstance(owner, k) and name in CHANGING[k] for k in CHANGING):
            watcher.refuse(f"it hands a {type(owner).__name__}'s {name} to a function in C, whose calls nobody can see")
        watcher.reads.deep(owner)
    elif name in ("__next__", "send") and watcher.is_old(owner):
        watcher.refuse("it hands an iterator that was there before to a function in C")


def _parts(shadow: Any, given: list[Any], function: Any) -> Iterator[Any]:
    for value in given:
        if value is function or isinstance(value, (str, int, float, FunctionType, type(None))):
            continue
        if not isinstance(value, tuple) and not is_container(value):
            shadow.watcher.refuse(
                f"it hands {type(function).__name__} to a function in C with what can't be looked through"
            )
        yield from list(value.keys() if isinstance(value, dict) else value)


def getter(shadow: Any, callee: Any, args: list[Any]) -> Any:
    """What an attrgetter or itemgetter gives; what it reads is taken down."""
    names = callee.__reduce__()[1]
    value: Any = UNKNOWN
    for name in names:
        value = args[0] if args else UNKNOWN
        steps = name.split(".") if isinstance(callee, operator.attrgetter) else [name]
        for i, part in enumerate(steps):
            found = (
                attribute(shadow, value, part) if isinstance(callee, operator.attrgetter) else item(shadow, value, part)
            )
            if found is PENDING and i < len(steps) - 1 and not isinstance(value, Tensor):
                shadow.watcher.refuse(f"operator.attrgetter takes {part!r} from what the code computes")
            value = UNKNOWN if found is PENDING or found is MISSING else found
    return value if len(names) == 1 else UNKNOWN


def settle_places(kind: type, name: str, args: list[Any], kwargs: dict[str, Any]) -> None:
    """What says where, or how often, to a container's method: code in C takes the value of a number, whoever computed it."""
    if kind is np.ndarray:
        settle((*args, *kwargs.values()))
    elif kind in (list, deque):
        settle(args[:1] if name in _PLACING else args[1:] if name == "index" else [])


__all__ = ["CALLING", "CHANGING", "getter", "hand_over", "settle_places"]
