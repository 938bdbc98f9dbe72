"""The one comparer of values: whether what a place holds now is, for a program, what it held at the trace."""

from __future__ import annotations

import math
import struct
from array import array
from collections import OrderedDict, deque
from collections.abc import ItemsView, KeysView, ValuesView
from types import MappingProxyType, MethodDescriptorType, MethodType, WrapperDescriptorType
from typing import Any

import numpy as np

from ...core.dispatch.host_numbers import NUMBERS, Expression, HostValue, lift, plain
from .places import Item

_METHODS_IN_C = (MethodDescriptorType, WrapperDescriptorType)
PLAIN = frozenset((bool, int, float, complex, str, bytes, type(None), type(Ellipsis), range))

_MOST_NUMBERS = 64  # in one container, as inputs


def is_number(value: Any) -> bool:
    """A number of Python's own (no bool), or a scalar of NumPy's: what a program may take as an input."""
    return type(value) in NUMBERS


def is_numeric(value: Any) -> bool:
    """A number, or a tuple of numbers and plain values: what a program may take as inputs."""
    if is_number(value):
        return True
    return _is_record(value) and any(map(is_numeric, value)) and all(type(v) in PLAIN or is_numeric(v) for v in value)


def _is_record(value: Any) -> bool:
    return type(value) is tuple or (isinstance(value, tuple) and hasattr(value, "_fields"))


def kind_of(value: Any) -> Any:
    """What stays the same of numbers that are inputs: their types, and what stands beside them in a tuple. To be compared by `same`."""
    if isinstance(value, HostValue) or is_number(value):
        return type(plain(value))
    return (type(value), *map(kind_of, value)) if _is_record(value) else value


def has_inputs(value: Any) -> bool:
    return isinstance(value, HostValue) or (_is_record(value) and any(map(has_inputs, value)))


def as_inputs(value: Any, expression: Expression, reads: Any) -> Any:
    """A number, or the numbers in a tuple, as inputs of the program."""
    if is_number(value):
        return lift(value, expression, reads)
    if not is_numeric(value):
        return value
    parts = [Expression(lambda made, i=i: made[i], expression) for i in range(len(value))]
    return tuple.__new__(type(value), [as_inputs(v, part, reads) for v, part in zip(value, parts, strict=True)])


def without_inputs(value: Any) -> Any:
    """The same with Python's own numbers."""
    return tuple.__new__(type(value), map(without_inputs, value)) if _is_record(value) else plain(value)


def same(before: Any, now: Any) -> bool:
    """Plain values and tuples of them by value (0.0 and -0.0 differ, nan is nan, 1 and True differ); others by identity.

    What mutable containers hold is a matter of their contents' own guards.
    """
    if before is now:
        return True
    kind = type(before)
    if kind is not type(now):
        return False
    if kind is float:
        return struct.pack("d", before) == struct.pack("d", now) or (math.isnan(before) and math.isnan(now))
    if kind is complex:
        return struct.pack("dd", before.real, before.imag) == struct.pack("dd", now.real, now.imag)
    if kind in PLAIN:
        return before == now
    if kind is tuple or (isinstance(before, tuple) and hasattr(kind, "_fields")):
        return len(before) == len(now) and all(map(same, before, now))
    if kind is slice:
        return same((before.start, before.stop, before.step), (now.start, now.stop, now.step))
    if kind is frozenset:
        return before == now and all(type(v) in PLAIN for v in before)
    if kind is MethodType:  # made anew at each look
        return before.__func__ is now.__func__ and before.__self__ is now.__self__
    if isinstance(before, np.generic):
        return before.dtype == now.dtype and before.tobytes() == now.tobytes()
    if isinstance(before, np.dtype):
        return before == now
    return False


def entries(table: dict[Any, Any]) -> Any:
    """The keys and values of a dict in their order, whatever a class of the user's makes of `items`."""
    return OrderedDict.items(table) if isinstance(table, OrderedDict) else dict.items(table)


def _keys_and_values(container: Any) -> tuple[Any, ...]:
    kind = type(container)
    if kind is list or kind is tuple or kind is deque:
        return tuple(container)
    if isinstance(container, dict) and kind is not dict:
        pairs = tuple(entries(container))
        return (*(key for key, _ in pairs), *(value for _, value in pairs))
    if kind is dict or kind is MappingProxyType:
        return (*container.keys(), *container.values())
    return tuple(elements(container))


class Contents:
    """What a container (list, dict, set, deque, NumPy array) held at the trace: kept, and compared at each call."""

    __slots__ = ("container", "held", "ids", "loose", "numbers")

    def __init__(self, container: Any, held: Any = None):
        self.container: Any = container
        self.loose: set[int] = set()
        self.numbers: dict[int, Any] = {}
        source = container if held is None else held
        if is_buffer(source):
            self.held: Any = _bytes(source)
            self.ids: Any = None
        elif isinstance(source, set):
            self.held, self.ids = source.copy(), None
        else:
            found = _keys_and_values(source)
            # inputs of the program: whoever takes them out depends on what he does with them
            self.numbers = {i: kind_of(v) for i, v in enumerate(found) if has_inputs(v)}
            self.held = tuple(map(without_inputs, found)) if self.numbers else found
            self.ids = tuple(map(id, self.held))

    def places(self) -> list[tuple[int, Item]]:
        """Where each value that is held stands, with its number in `held`."""
        container = self.container
        if isinstance(container, dict):
            n = len(self.held) // 2
            return [(n + i, Item(container, key)) for i, key in enumerate(self.held[:n])]
        return [(i, Item(container, i)) for i in range(len(self.held))] if isinstance(container, (list, deque)) else []

    def changed_numbers(self) -> list[Item]:
        """Where all its numbers stand, if some of them have changed to others of the same type and nothing else has: then they may be
        inputs. Nothing for many of them, since a sum of a thousand inputs costs more than a program.
        """
        container = self.container
        if self.ids is None or len(now := _keys_and_values(container)) != len(self.held):
            return []
        places = [(place, self.held[i], now[i]) for i, place in self.places() if is_number(self.held[i])]
        if len(places) > _MOST_NUMBERS or any(type(before) is not type(after) for _, before, after in places):
            return []
        return [place for place, _, _ in places] if not all(same(a, b) for _, a, b in places) else []

    def loosen(self, numbers: set[int]) -> None:
        """Values with these numbers may be others at each call."""
        self.loose = numbers

    def holds(self) -> bool:
        container = self.container
        if self.ids is None:
            if isinstance(container, set):
                return container == self.held
            return _bytes(container) == self.held
        now = _keys_and_values(container)
        if tuple(map(id, now)) == self.ids:
            return True
        if len(now) != len(self.held):
            return False
        loose, numbers = self.loose, self.numbers
        for i, (a, b) in enumerate(zip(self.held, now, strict=True)):
            if i not in loose and not (same(numbers[i], kind_of(b)) if i in numbers else same(a, b)):
                return False
        if loose or numbers:  # nothing is gained from remembering these, and they would be kept alive
            return True
        self.held, self.ids = now, tuple(map(id, now))
        return True

    def put_back(self) -> None:
        """Give a buffer back what it held."""
        container, held = self.container, self.held
        if isinstance(container, bytearray):
            container[:] = held[1]
        elif isinstance(container, array):
            del container[:]
            container.frombytes(held[1])
        elif container.dtype.hasobject:
            container[...] = np.array(held[3], dtype=container.dtype).reshape(held[0])
        else:
            container[...] = np.frombuffer(held[2], dtype=held[1]).reshape(held[0])

    def __str__(self) -> str:
        return f"what a {type(self.container).__name__} holds"


def _bytes(buffer: Any) -> Any:
    if not isinstance(buffer, np.ndarray):
        return type(buffer), bytes(buffer)
    if buffer.dtype.hasobject:
        return buffer.shape, buffer.dtype, tuple(map(id, buffer.ravel().tolist())), buffer.tolist()
    return buffer.shape, buffer.dtype, buffer.tobytes()


def is_container(value: Any) -> bool:
    """Whether a value can change while it stays the same object, and is compared by what it holds."""
    return isinstance(value, (list, dict, set, deque, MappingProxyType, KeysView, ValuesView, ItemsView)) or is_buffer(
        value
    )


def elements(container: Any) -> list[Any]:
    """What a list, deque or set holds, whatever its class's own methods say of it."""
    kind = next((kind for kind in (list, deque, set) if isinstance(container, kind)), None)
    return list(container) if kind is None else list(kind.__iter__(container))


def in_c(container: Any, name: str) -> Any:
    """The method in C that a container has under a name, whatever the classes in Python before it have."""
    found = (vars(base)[name] for base in type(container).__mro__ if name in vars(base))
    return next((method for method in found if isinstance(method, _METHODS_IN_C)), None)


def is_in_c(container: Any, name: str) -> bool:
    """Whether what an operator (`setitem`, `iadd`) asks of a container is done by code in C, not by a class's own method."""
    method = getattr(type(container), f"__{name}__", None)
    return method is None or isinstance(method, _METHODS_IN_C)


def is_buffer(value: Any) -> bool:
    """Whether a value is memory with numbers in it, which is compared byte by byte."""
    return isinstance(value, (np.ndarray, bytearray, array))
