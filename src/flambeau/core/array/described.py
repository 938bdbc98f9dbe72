"""Values and functions as text that is the same in every process, and different for what differs.

It is what a program on the disk is found by, so it is told of the kinds below only, and `Untold` is raised for anything else.
Of a function of this package or of JAX its place is told, and what it closes over: the versions of both packages tell the rest.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import sys
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import numpy as np

_OTHERS = frozenset(("jax", "jaxlib", "numpy", "ml_dtypes", "builtins", "_operator", "operator", "math"))
_OURS = Path(__file__).parents[2]


class Untold(Exception):
    """A value that cannot be told."""


def described(value: Any) -> str:
    """The value as text. Raises Untold for what has no such text."""
    return _told(value, ())


def _told(value: Any, around: tuple[int, ...]) -> str:
    kind = type(value)
    if value is None or value is Ellipsis or kind in (bool, int, str, bytes):
        return repr(value)
    if kind is float:
        return value.hex()
    if kind is complex:
        return f"complex({value.real.hex()},{value.imag.hex()})"
    if id(value) in around:
        return f"around:{around[::-1].index(id(value))}"  # a function that calls itself
    inside = (*around, id(value))
    if kind in (tuple, list):
        return _row(kind.__name__, value, inside)
    if kind is slice:
        return _row("slice", (value.start, value.stop, value.step), inside)
    if isinstance(value, np.dtype):
        return f"dtype({value.name})"
    if kind is FunctionType:
        return _function(value, inside)
    if isinstance(value, type):
        return f"type({_place(value)})"
    if isinstance(value, np.generic):
        return f"{value.dtype.name}({value.tobytes().hex()})"
    if isinstance(value, enum.Enum):
        return f"{_place(kind)}.{value.name}"
    if isinstance(value, tuple):  # of a class of its own: named, or a size
        return _row(_place(kind), tuple(value), inside)
    if isinstance(value, functools.partial):
        return _row("partial", (value.func, value.args, sorted(value.keywords.items())), inside)
    if dataclasses.is_dataclass(kind):
        return _row(_place(kind), [getattr(value, field.name) for field in dataclasses.fields(kind)], inside)
    if (wrapped := getattr(value, "__wrapped__", None)) is not None:
        return _row(
            f"{_home(kind.__module__)}.{kind.__qualname__}", (wrapped,), inside
        )  # jit and custom_jvp of a function
    return _place(value)


def _row(name: str, values: Any, around: tuple[int, ...]) -> str:
    return f"{name}({','.join(_told(value, around) for value in values)})"


@functools.cache
def _home(module: Any) -> str:
    """The name of a module, if it is known in every process what is in it: of ours the file, whatever they are called here."""
    if type(module) is str:
        if module.partition(".")[0] in _OTHERS:
            return module
        file = getattr(sys.modules.get(module), "__file__", None)
        if file and (path := Path(file)).is_relative_to(_OURS):
            return str(path.relative_to(_OURS))
    raise Untold(f"something of {module}")


def _place(value: Any) -> str:
    """Where something is that a module of a known package holds under its own name."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if type(name) is str:
        home = _home(module)
        found: Any = sys.modules.get(module)  # type: ignore[arg-type]
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is value:
            return f"{home}:{name}"
    raise Untold(f"{type(value).__name__} object")


def _function(function: Callable[..., Any], around: tuple[int, ...]) -> str:
    home = _home(function.__globals__.get("__name__"))
    code = function.__code__  # type: ignore[attr-defined]
    try:
        cells = [cell.cell_contents for cell in function.__closure__ or ()]  # type: ignore[attr-defined]
    except ValueError:
        raise Untold("a function that is not complete") from None
    given = (cells, function.__defaults__, sorted((function.__kwdefaults__ or {}).items()))  # type: ignore[attr-defined]
    return f"{home}:{code.co_qualname}:{code.co_firstlineno}:{_digest(code)}{_row('', given, around)}"


@functools.lru_cache(4096)
def _digest(code: CodeType) -> str:
    """Tells functions apart that stand in the same line, or that were made of text."""
    found = blake2b(digest_size=8)
    for part in (code.co_code, code.co_linetable, repr((code.co_names, code.co_varnames)).encode()):
        found.update(part)
    for constant in code.co_consts:
        if isinstance(constant, frozenset):
            constant = sorted(map(repr, constant))
        found.update((_digest(constant) if isinstance(constant, CodeType) else repr(constant)).encode())
    return found.hexdigest()
