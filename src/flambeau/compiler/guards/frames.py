"""What the interpreter itself has in a running frame: the objects on its stack, and the function that it runs.

Nothing of Python's own shows the stack, so it is read from memory, laid out as in CPython 3.11 to 3.13 (a frame object points to
the interpreter's frame, which ends with the variables and then the stack). `readable()` tries that out before anything relies on it.
"""

from __future__ import annotations

import ctypes
import dis
import functools
import sys
from types import CodeType, FrameType, FunctionType
from typing import Any

from .symbols import NULL

_WORD = ctypes.sizeof(ctypes.c_void_p)
_FRAME = 3 * _WORD  # in a frame object: after its reference count, its type and `f_back`
_FUNCTION = (0 if sys.version_info < (3, 12) else 2) * _WORD
_TOP = 8 * _WORD
_VARIABLES = _TOP + 8  # after the number of objects, and some small ones
_pointer, _integer, _object = ctypes.c_void_p.from_address, ctypes.c_int.from_address, ctypes.py_object.from_address


def variables(code: CodeType) -> int:
    """How many variables stand before the stack."""
    return len({*code.co_varnames, *code.co_cellvars}) + len(code.co_freevars)


def stack(frame: FrameType, before: int, depth: int) -> list[Any]:
    """The objects on the stack of a frame that is being traced. `before` is the number of its variables, `depth` how deep the stack
    is by the code; the frame itself knows only in Python 3.11.
    """
    start: Any = _pointer(id(frame) + _FRAME).value
    top = _integer(start + _TOP).value
    if top < 0:
        if depth < 0:
            raise LookupError("it is not known how deep the stack is")
        top = before + depth
    found = []
    place, end = start + _VARIABLES + before * _WORD, start + _VARIABLES + top * _WORD
    while place < end:
        found.append(NULL if _pointer(place).value is None else _object(place).value)
        place += _WORD
    return found


def replace(frame: FrameType, before: int, index: int, value: Any) -> None:
    """Put another object in the place of one on the stack, which the instruction that is about to run takes from there."""
    start: Any = _pointer(id(frame) + _FRAME).value
    place = start + _VARIABLES + (before + index) * _WORD
    held = ctypes.py_object(_object(place).value)
    new = ctypes.py_object(value)
    ctypes.pythonapi.Py_IncRef(new)
    _pointer(place).value = id(value)
    ctypes.pythonapi.Py_DecRef(held)


def function_of(frame: FrameType) -> Any:
    """The function that a frame runs; None if it runs something else."""
    start: Any = _pointer(id(frame) + _FRAME).value
    found = _object(start + _FUNCTION).value
    return found if isinstance(found, FunctionType) and found.__code__ is frame.f_code else None


def depths(code: CodeType, instructions: list[dis.Instruction]) -> dict[int, int]:
    """How deep the stack is before each instruction."""
    depths: dict[int, int] = {}
    index = {ins.offset: i for i, ins in enumerate(instructions)}
    pending = [(0, 0)]
    entries = dis._parse_exception_table(code) if hasattr(dis, "_parse_exception_table") else []  # type: ignore[attr-defined]
    pending += [(e.target, e.depth + 1 + bool(e.lasti)) for e in entries]
    while pending:
        offset, depth = pending.pop()
        while offset in index and offset not in depths:
            depths[offset] = depth
            ins = instructions[index[offset]]
            arg = ins.arg if ins.opcode >= dis.HAVE_ARGUMENT else None
            jumps = ins.opcode in dis.hasjrel or ins.opcode in dis.hasjabs
            if jumps:
                pending.append((ins.argval, depth + dis.stack_effect(ins.opcode, arg, jump=True)))
            if ins.opname in _ENDS:
                break
            if ins.opname != "PRECALL":  # Python 3.11 counts the arguments as gone here already
                depth += dis.stack_effect(ins.opcode, arg, jump=False)
            if ins.opname == "CALL" and "PRECALL" in dis.opmap:
                depth -= ins.arg or 0
            if ins.opname == "RETURN_GENERATOR":
                depth = 1
            following = index[offset] + 1
            if following >= len(instructions):
                break
            offset = instructions[following].offset
    return depths


_ENDS = frozenset(
    "RETURN_VALUE RETURN_CONST RAISE_VARARGS RERAISE JUMP_FORWARD JUMP_BACKWARD JUMP_BACKWARD_NO_INTERRUPT JUMP_ABSOLUTE".split()
)


def _tried(first: Any, second: Any) -> Any:
    return first, (second, first)


def _replaced(function: Any, first: Any) -> Any:
    return function(first)


def trace_opcodes(function: Any) -> None:
    """`sys.settrace`, so that frames can ask for their opcodes: Python 3.12 looks only here whether anybody does."""
    sys._getframe().f_trace_opcodes = True
    sys.settrace(function)


@functools.cache
def readable() -> bool:
    """Whether frames of this interpreter can be read: tried with one whose stack is known."""
    if sys.implementation.name != "cpython" or not (3, 11) <= sys.version_info < (3, 14):
        return False
    seen: list[list[Any]] = []
    functions: list[Any] = []
    count = variables(_tried.__code__)
    deep = depths(_tried.__code__, list(dis.get_instructions(_tried.__code__)))

    def look(frame: FrameType, event: str, arg: Any) -> Any:
        if frame.f_code is not _tried.__code__:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            start: Any = _pointer(id(frame) + _FRAME).value
            top = _integer(start + _TOP).value
            if top == -1 or count <= top <= count + 4:
                seen.append(stack(frame, count, deep.get(frame.f_lasti, -1)))
                functions.append(function_of(frame))
        return look

    first, second, before = object(), object(), sys.gettrace()
    trace_opcodes(look)
    try:
        _tried(first, second)
    finally:
        sys.settrace(before)
    pair = second, first
    wanted: list[list[Any]] = [[], [first], [first, second], [first, second, first], [first, pair], [(first, pair)]]
    return (
        all(s in wanted for s in seen) and all(s in seen for s in wanted[-3:]) and all(f is _tried for f in functions)
    )


@functools.cache
def replaceable() -> bool:
    """Whether `replace` works in this interpreter: tried with one call whose function is replaced."""
    if not readable():
        return False
    count = variables(_replaced.__code__)
    table = {ins.offset: ins for ins in dis.get_instructions(_replaced.__code__)}
    deep = depths(_replaced.__code__, list(table.values()))

    def look(frame: FrameType, event: str, arg: Any) -> Any:
        if frame.f_code is not _replaced.__code__:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode" and table[frame.f_lasti].opname == "CALL":
            found = stack(frame, count, deep.get(frame.f_lasti, -1))
            replace(frame, count, found.index(str), int)
        return look

    before = sys.gettrace()
    trace_opcodes(look)
    try:
        return _replaced(str, 1.5) == 1
    finally:
        sys.settrace(before)


__all__ = ["depths", "function_of", "readable", "replace", "replaceable", "stack", "trace_opcodes", "variables"]
