"""Settings of the process that a traced function asks for: the program holds for the answers, and changes none."""

from __future__ import annotations

import copy
import functools
from types import ModuleType
from typing import Any

from ...core.context.grad_mode import state as grad_state
from ...core.dispatch.host_numbers import plain
from ...runtime.settings import CHANGED, Telling
from .places import MISSING
from .values import is_container

# What others keep: what tells of it, and what changes it
_OF_NUMPY = "geterr", "geterrcall", "getbufsize", "get_printoptions"
TELLING = frozenset({("sys", "getrecursionlimit"), *(("numpy", name) for name in _OF_NUMPY)})
RESETTING = frozenset(("numpy", name) for name in ("seterrcall", "setbufsize", "set_printoptions"))


def setting(watcher: Any, function: Any, args: list[Any], kwargs: dict[str, Any]) -> None:
    """A function tells a setting, or changes it."""
    name = function.__name__
    if getattr(function, "setting", None) == CHANGED or (function.__module__, name) in RESETTING:
        watcher.refuse(f"it changes a setting of the process ({name}): do that outside")
    ask = functools.partial(function, *map(plain, args), **{key: plain(value) for key, value in kwargs.items()})
    grad_state.trace.guard(ask, f"{name}() gives something else now")


def told_by(owner: Telling, name: str) -> None:
    """A setting is an attribute, which code of the library looks up."""

    def ask() -> Any:
        value = getattr(owner, name, MISSING)
        return copy.copy(value) if is_container(value) else value

    if not callable(found := getattr(owner, name, MISSING)) and not isinstance(found, (Telling, ModuleType)):
        grad_state.trace.guard(ask, f"the setting {name} is another now")


__all__ = ["RESETTING", "TELLING", "setting", "told_by"]
