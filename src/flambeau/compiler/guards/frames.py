"""What the interpreter itself has in a running frame: the objects on its stack, and the function that it runs.

Nothing of Python's own shows the stack, so it is read from memory, laid out as in CPython 3.11 to 3.13 (a frame object points to
the interpreter's frame, which ends with the variables and then the stack). `readable()` tries that out before anything relies on it.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from types import CodeType, FrameType, FunctionType
from typing import Any

from .symbols import NULL

_WORD = ctypes.sizeof(ctypes.c_void_p)
_FRAME = 3 * _WORD  # in a frame object: after its reference count, its type and `f_back`
_FUNCTION = (0 if sys.version_info < (3, 12) else 2) * _WORD
_TOP = 8 * _WORD
_VARIABLES = 9 * _WORD
_pointer, _integer, _object = ctypes.c_void_p.from_address, ctypes.c_int.from_address, ctypes.py_object.from_address


def variables(code: CodeType) -> int:
    """How many variables stand before the stack."""
    return len({*code.co_varnames, *code.co_cellvars}) + len(code.co_freevars)


def stack(frame: FrameType, before: int) -> list[Any]:
    """The objects on the stack of a frame that is being traced; `before` is the number of its variables."""
    start: Any = _pointer(id(frame) + _FRAME).value
    found = []
    place, end = start + _VARIABLES + before * _WORD, start + _VARIABLES + _integer(start + _TOP).value * _WORD
    while place < end:
        found.append(NULL if _pointer(place).value is None else _object(place).value)
        place += _WORD
    return found


def function_of(frame: FrameType) -> Any:
    """The function that a frame runs; None if it runs something else."""
    start: Any = _pointer(id(frame) + _FRAME).value
    found = _object(start + _FUNCTION).value
    return found if isinstance(found, FunctionType) and found.__code__ is frame.f_code else None


def _tried(first: Any, second: Any) -> Any:
    return first, (second, first)


@functools.cache
def readable() -> bool:
    """Whether frames of this interpreter can be read: tried with one whose stack is known."""
    if sys.implementation.name != "cpython" or not (3, 11) <= sys.version_info < (3, 14):
        return False
    seen: list[list[Any]] = []
    functions: list[Any] = []
    count = variables(_tried.__code__)

    def look(frame: FrameType, event: str, arg: Any) -> Any:
        if frame.f_code is not _tried.__code__:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            start: Any = _pointer(id(frame) + _FRAME).value
            top = _integer(start + _TOP).value
            if count <= top <= count + 4:
                seen.append(stack(frame, count))
                functions.append(function_of(frame))
        return look

    first, second, before = object(), object(), sys.gettrace()
    sys.settrace(look)
    try:
        _tried(first, second)
    finally:
        sys.settrace(before)
    pair = second, first
    wanted: list[list[Any]] = [[], [first], [first, second], [first, second, first], [first, pair], [(first, pair)]]
    return (
        all(s in wanted for s in seen) and all(s in seen for s in wanted[-3:]) and all(f is _tried for f in functions)
    )


__all__ = ["function_of", "readable", "stack", "variables"]
