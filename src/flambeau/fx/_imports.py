"""The lines of import in front of generated code: written for a pickle, and read again."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from typing import Any

from ._names import KNOWN, of_torch

_PACKAGE = __name__.partition(".")[0]


def _statement(name: str, obj: Any) -> str:
    if name in KNOWN and KNOWN[name].obj is obj:
        return KNOWN[name].import_str
    if isinstance(obj, str) or obj is ...:  # an annotation that is a text, the rest of `tuple[int, ...]`
        return f"{name} = {'...' if obj is ... else repr(obj)}"
    module = getattr(obj, "__module__", None)
    own = getattr(obj, "__qualname__", None) or getattr(obj, "__name__", None) or getattr(obj, "_name", None)
    if module is None and hasattr(obj, "__name__"):
        return f"import {of_torch(obj.__name__)} as {name}"
    if own is None or "." in own or "<" in own:
        raise RuntimeError(
            f"{obj!r} (`{name}` in the generated code) can't be imported, so the module can't be pickled"
        )
    return f"from {of_torch(module or 'builtins')} import {own} as {name}"


def format_import_block(globals: dict[str, Any]) -> str:
    """One line for each global name of generated code, sorted; by torch's names."""
    return "\n".join(sorted({_statement(name, obj) for name, obj in globals.items()}))


_LITERAL = re.compile(r"(\w+) = (\.\.\.|['\"].*['\"])")
_LINE = re.compile(r"(?:from (?P<home>[\w.]+) )?import (?P<what>[\w.]+)(?: as (?P<name>\w+))?")


def _module(name: str) -> Any:
    """A module; torch's name means flambeau's."""
    if name.partition(".")[0] == "torch":
        name = _PACKAGE + name.removeprefix("torch")
    return importlib.import_module(name)


def run_import_block(block: str, scope: dict[str, Any]) -> None:
    """Put what the lines import into a scope. ValueError for anything that is no import (and no text)."""
    for line in filter(None, map(str.strip, block.splitlines())):
        if line == "NoneType = type(None)":
            scope["NoneType"] = type(None)
            continue
        if literal := _LITERAL.fullmatch(line):
            scope[literal[1]] = ast.literal_eval(literal[2])
            continue
        found = _LINE.fullmatch(line)
        if found is None:
            raise ValueError(f"a line of a GraphModule's imports is no import: {line!r}")
        home, what, name = found.group("home", "what", "name")
        if home is None:
            module = _module(what)
            scope[name or what.partition(".")[0]] = module if name else _module(what.partition(".")[0])
        else:
            scope[name or what] = _imported(home, what)
    scope.setdefault("torch", sys.modules[_PACKAGE])


def _imported(home: str, what: str) -> Any:
    module = _module(home)
    return getattr(module, what) if hasattr(module, what) else _module(f"{home}.{what}")
