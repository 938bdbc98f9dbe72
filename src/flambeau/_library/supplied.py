"""Operators that packages expect of compiled libraries, given in plain array code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..library import Library

Operators = Mapping[str, tuple[str, Callable[..., Any]]]
_libraries: dict[str, Library] = {}  # what is registered goes with its library


def supply(**spaces: Operators) -> None:
    """Register the operators of these namespaces, once: (schema, function) by name."""
    for space, operators in spaces.items():
        if space in _libraries:
            continue
        library = _libraries[space] = Library(space, "DEF")
        for name, (schema, function) in operators.items():
            library.define(name + schema)
            library.impl(name, function, "CompositeExplicitAutograd")
