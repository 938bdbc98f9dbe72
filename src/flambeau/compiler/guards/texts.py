"""Texts of numbers that are inputs of the program (`f"step{n}"`, `"%d" % n`, `str(n)`), made anew at each call."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from ...core.dispatch.host_numbers import (
    Expression,
    HostKey,
    HostNumber,
    HostText,
    HostValue,
    expression_of,
    lift_text,
    plain,
)
from .values import PLAIN, has_inputs

_CONVERSIONS: dict[int, Callable[[Any], Any]] = {0: lambda value: value, 1: str, 2: repr, 3: ascii}


def _made(shadow: Any, function: Callable[..., Any], parts: list[Any], first: int) -> None:
    """The instruction makes a text of these parts, which are on the interpreter's stack from `first` on: give it plain ones, and
    put a text that is computed at each call in the place of what it makes.
    """
    reads = next(part.reads for part in parts if isinstance(part, HostValue))
    for i, part in enumerate(parts):
        if isinstance(part, HostValue):
            shadow.replace(first + i, plain(part))
    values, expression = [plain(part) for part in parts], Expression(function, *map(expression_of, parts))

    def after() -> None:
        shadow.replace(first, lift_text(function(*values), expression, reads))

    shadow.after = after


def _fits(shadow: Any, parts: Any) -> bool:
    parts = list(parts)
    inputs = any(isinstance(part, HostValue) for part in parts)
    return shadow.watcher.replaces and inputs and all(type(plain(part)) in PLAIN for part in parts)


def formatted(shadow: Any, value: Any, conversion: int, spec: Any) -> bool:
    """Whether a number, or a text, in an f-string is followed. The stack is the one before it, without it."""
    if type(spec) is not str or not _fits(shadow, [value]):
        return False
    convert = _CONVERSIONS[conversion]
    _made(shadow, lambda value: format(convert(value), spec), [value], len(shadow.stack))
    return True


def joined(shadow: Any, parts: list[Any]) -> bool:
    """The parts of an f-string."""
    if not all(isinstance(part, str) for part in parts) or not _fits(shadow, parts):
        return False
    _made(shadow, lambda *parts: "".join(parts), parts, len(shadow.stack))
    return True


def filled_in(shadow: Any, text: Any, value: Any) -> bool:
    """`text % value`."""
    if type(text) is not str:
        return False
    if type(value) is tuple and has_inputs(value) and _fits(shadow, value):
        value = HostKey(value, next(part.reads for part in value if isinstance(part, HostValue)))
    elif not isinstance(value, (HostNumber, HostText)) or not _fits(shadow, [value]):
        return False
    _made(shadow, operator.mod, [text, value], len(shadow.stack))
    return True


def settled(shadow: Any, value: Any, place: int) -> Any:
    """A value on the interpreter's stack, where a text becomes the one that it is in this trace."""
    if isinstance(value, HostText):
        value = value.settle()
        shadow.replace(place, value)
    return value


__all__ = ["filled_in", "formatted", "joined", "settled"]
