"""Where things were written that show the name of another module (`drop_in`)."""

from __future__ import annotations

from typing import Any

moved: dict[Any, str] = {}  # function or class -> the module that it named before


def written_in(value: Any) -> str:
    """The module of flambeau's that a function or class was written in; empty for what names none."""
    try:
        before = moved.get(value)
    except TypeError:  # what can't be a key was not moved
        before = None
    return before or getattr(value, "__module__", None) or ""
