"""Marks on functions that tell or change a setting of the process, for whoever holds on to what they told (`compile`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

_F = TypeVar("_F", bound=Callable[..., Any])
ASKED, CHANGED = "asked", "changed"


def asks_setting(function: _F) -> _F:
    """Say of a function that it tells a setting: a program that has asked holds while the answer is the same."""
    function.setting = ASKED  # type: ignore[attr-defined]
    return function


def changes_setting(function: _F) -> _F:
    """Say of a function that it changes a setting: no program does that."""
    function.setting = CHANGED  # type: ignore[attr-defined]
    return function


class Telling:
    """An object or module whose attributes tell settings of the process."""

    __slots__ = ()


__all__ = ["ASKED", "CHANGED", "Telling", "asks_setting", "changes_setting"]
