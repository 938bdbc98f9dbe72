"""What a function finds by name: globals, closures, attributes of plain objects. A compiled program holds while they are the same."""

from __future__ import annotations

import functools
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from types import CellType, CodeType, FunctionType, MethodType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from ..core.tensor import Tensor
from ..core.tracing import MISSING, Recorder
from ..nn.modules.module import Module
from .fingerprint import value_of

_HERE = __name__.partition(".")[0]
_LIBRARIES = frozenset({_HERE, "torch", "jax", "numpy", *sys.stdlib_module_names}) - {"__main__"}
_RECORDS = frozenset({SimpleNamespace, Namespace})  # the libraries' classes for values of the user's
_MOST = 500  # functions that are looked through


class Surroundings:
    """The named places that a function's code, and that of the functions it names, may read; and what is in them.

    They are found in the code, without running it: global names, closure cells, and attributes of the objects in them
    that are named like anything in the code. Libraries are not looked through.
    """

    def __init__(self, function: Any):
        self.places: dict[tuple[int, Any], tuple[Any, Any]] = {}  # (a dict, a name) or (a cell, None)
        self.seen: set[tuple[int, int]] = set()
        self._visit(function)
        del self.seen
        self.before = [_get(*place) for place in self.places.values()]
        self.values = list(map(_see, self.before))

    def guard(self, recorder: Recorder) -> None:
        """Make a trace depend on what it may have read here."""
        kept = [
            (place, before, value)
            for (key, place), before, value in zip(self.places.items(), self.before, self.values, strict=True)
            if key not in recorder.entries and self._matters(before, value, _get(*place), recorder)
        ]
        if kept:
            what = "a global, a variable of an enclosing function or an object's attribute has changed"
            recorder.guards.append((_unchanged(kept), True, what))

    @staticmethod
    def _matters(before: Any, value: Any, after: Any, recorder: Recorder) -> bool:
        if isinstance(before, Tensor):
            return before._storage in recorder.values
        # what the function itself changes is a side effect, which happens once
        return isinstance(after, Tensor) or _see(after) == value

    # --- finding them ---------------------------------------------------------------------------------------------

    def _visit(self, value: Any, names: frozenset[str] = frozenset()) -> None:
        """Look through a value that was found; `names` are those of the code that it was found in."""
        if isinstance(value, FunctionType):
            self._function(value, None)
        elif isinstance(value, MethodType):
            self._visit(value.__self__, names)
            self._function(value.__func__, value.__self__)
        elif isinstance(value, functools.partial):
            for part in (value.func, *value.args, *value.keywords.values()):
                self._visit(part, names)
        elif isinstance(value, Module):
            for module in value.modules():
                self._function(type(module).forward, module)
            self._members(value, names)
        elif not isinstance(value, (Tensor, type, ModuleType)):
            own = getattr(value, "__dict__", {})
            if "__wrapped__" in own:  # compiled functions, and what functools has
                self._visit(own["__wrapped__"], names)
            elif not _is_library(type(value).__module__) or type(value) in _RECORDS:
                self._function(vars(type(value)).get("__call__"), value)
                self._members(value, names)

    def _members(self, owner: Any, names: frozenset[str]) -> None:
        """The attributes of an object that code with these names may use."""
        key = id(owner), hash(names)
        own = getattr(owner, "__dict__", None)
        if key in self.seen or own is None or not names:
            return
        self.seen.add(key)
        for name in names:
            if name in own:
                self._place(own, name, names)
                continue
            found = getattr(type(owner), name, None)
            found = found.fget if isinstance(found, property) else found
            if isinstance(found, FunctionType):
                self._function(found, owner)

    def _place(self, table: dict[str, Any], name: str, names: frozenset[str]) -> None:
        value = table[name]
        if isinstance(value, (type, ModuleType)):
            return
        if (id(table), name) not in self.places:
            self.places[id(table), name] = table, name
        self._visit(value, names)

    def _function(self, function: Any, owner: Any) -> None:
        while isinstance(function, FunctionType) and "__wrapped__" in function.__dict__:
            self._code(function, None)
            function = function.__dict__["__wrapped__"]
        if isinstance(function, FunctionType):
            self._code(function, owner)

    def _code(self, function: FunctionType, owner: Any) -> None:
        key = id(function), id(owner)
        if key in self.seen or len(self.seen) > _MOST or _is_library(function.__globals__.get("__name__")):
            return
        self.seen.add(key)
        names = frozenset(_names(function.__code__))
        for name in names & function.__globals__.keys():
            self._place(function.__globals__, name, names)
        for cell in function.__closure__ or ():
            content = _get(cell, None)
            if content is not MISSING and not isinstance(content, (type, ModuleType)):
                self.places[id(cell), None] = cell, None
                self._visit(content, names)
        if owner is not None:
            self._members(owner, names)


def _unchanged(kept: list[tuple[tuple[Any, Any], Any, Any]]) -> Callable[[], bool]:
    """Whether all places still hold what they held, as a quick look at every call."""
    names = [(table, name, before, value) for (table, name), before, value in kept if type(table) is not CellType]
    cells = [(cell, before, value) for (cell, _), before, value in kept if type(cell) is CellType]
    inside = [(before, value) for _, before, value in kept if type(before) in (list, dict, np.ndarray)]

    def unchanged() -> bool:
        try:
            for table, name, before, value in names:
                now = table.get(name)
                if now is not before and (now is None or _see(now) != value):
                    return False
            for cell, before, value in cells:
                now = cell.cell_contents
                if now is not before and _see(now) != value:
                    return False
        except ValueError:  # an empty cell
            return False
        return all(_see(before) == value for before, value in inside) if inside else True

    return unchanged


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _is_library(module: str | None) -> bool:
    return module is not None and module.partition(".")[0] in _LIBRARIES


def _get(table: Any, name: Any) -> Any:
    if type(table) is CellType:
        try:
            return table.cell_contents
        except ValueError:
            return MISSING
    return table.get(name, MISSING)


def _see(value: Any) -> Any:
    """What is compared of a value: numbers, texts and small containers of them as they are, anything else by identity."""
    kind = type(value)
    if kind in _BY_VALUE:
        return kind, value
    if kind in (list, tuple, dict) and len(value) <= 100:
        return value_of(value)
    if isinstance(value, np.generic):
        return value.item()
    if kind is np.ndarray and value.size <= 1000:
        return value.tobytes()
    return id(value)


_BY_VALUE = frozenset((bool, int, float, complex, str, bytes, type(None)))
