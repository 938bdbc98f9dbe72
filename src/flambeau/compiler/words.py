"""What a compiled function says of its programs: why there is one more, and which input makes it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

from ..core.tensor import tree


def name_of(function: Callable[..., Any]) -> str:
    """What warnings call a function; a module's `__call__` by the module's class."""
    written = _written(function)
    named = type(function.__self__) if written is not function else function  # type: ignore[attr-defined]
    return getattr(named, "__qualname__", type(function).__name__)


def place_of(function: Callable[..., Any]) -> str:
    """The file and the line where a function (a module's: its `forward`) stands, in brackets; nothing if it has none."""
    code = getattr(inspect.unwrap(_written(function)), "__code__", None)
    return f" ({code.co_filename}, line {code.co_firstlineno})" if code is not None else ""


def _written(function: Any) -> Any:
    """The function that a user has written: a module's `forward` for its `__call__`."""
    owner: Any = getattr(function, "__self__", None)
    return owner.forward if hasattr(owner, "_parameters") and hasattr(owner, "forward") else function


def cure(text: str) -> str:
    """What to do about a call that runs uncompiled, where the reason does not say it."""
    if re.search(r"\b(outside|instead|write)\b", text, re.IGNORECASE):
        return ""
    return (
        " For one program do this outside and pass in what comes of it; or leave it as it is: the modules that it calls are compiled "
        "one by one."
    )


def with_names(text: str, function: Callable[..., Any], treedef: Any, count: int) -> str:
    """A text in which `argument 3` (a number of a leaf) has the name that it has in the function's signature."""
    if "argument " not in text:
        return text
    try:
        numbers = ((*range(treedef),), {}) if isinstance(treedef, int) else tree.unflatten([*range(count)], treedef)
        bound = inspect.signature(_written(function)).bind(*numbers[0], **numbers[1])
    except (TypeError, ValueError):
        return text
    names: dict[int, str] = {}
    for name, value in bound.arguments.items():
        leaves = tree.flatten(value)[0]
        for leaf in leaves:
            names[leaf] = f"argument {name!r}" if len(leaves) == 1 else f"a part of the argument {name!r}"
    return re.sub(r"argument (\d+)(?=:| =)", lambda m: names.get(int(m[1]), m[0]), text)


def difference(last: Any, key: Any) -> str:
    """In what a new signature differs from the last one."""
    if last[2] != key[2]:
        return f"grad mode is {'on' if key[2] else 'off'} now"
    if last[4] != key[4]:
        return f"autocast is {'on' if key[4] else 'off'} now, or of another dtype"
    if last[0] != key[0]:
        return "the arguments have another structure"
    changed = [
        f"argument {i}: {_shown(a)} -> {_shown(b)}"
        for i, (a, b) in enumerate(zip(last[1], key[1], strict=False))
        if a != b
    ]
    if last[5] != key[5]:
        return f"inference mode is {'on' if key[5] else 'off'} now"
    return "; ".join(changed) or "the default dtype or device has changed"


def _shown(part: Any) -> str:
    if len(part) == 5:
        return f"tensor {list(part[0])} {part[1]}{' requiring grad' if part[2] else ''}"
    try:
        text = part[0] if part[1] is float and isinstance(part[0], str) else repr(part[0])
    except Exception:
        return f"a {part[1].__name__}"
    return text if len(text) <= 60 else text[:57] + "..."
