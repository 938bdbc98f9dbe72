"""Which modules a function runs through."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

__all__ = ["trace_dependencies"]


def trace_dependencies(callable: Callable[..., Any], inputs: Iterable[tuple[Any, ...]]) -> list[str]:
    """The names of the modules whose functions are called when `callable` is, once for each of `inputs`.

    Args:
        callable: a function or a model.
        inputs: tuples of arguments.
    """
    found: dict[str, None] = {}

    def note(frame: FrameType, event: str, argument: Any) -> None:
        name = frame.f_globals.get("__name__")
        if event == "call" and isinstance(name, str) and frame is not own:
            found[name] = None
        elif event == "c_call" and isinstance(module := getattr(argument, "__module__", None), str):
            found[module] = None

    own = sys._getframe()
    before = sys.getprofile()
    sys.setprofile(note)
    try:
        for given in inputs:
            callable(*given)
    finally:
        sys.setprofile(before)
    found.pop(__name__, None)
    found.pop("sys", None)
    return list(found)
