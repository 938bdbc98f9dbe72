"""The way out of a trace that ends in the middle of the user's functions.

When a trace function raises, Python stops tracing, so what `finally`, `except` and `with` do on the way up would be seen by nobody,
and would be done once more by the call that runs uncompiled. So the functions that are left have no handlers for that time: their
code objects get an empty table of them. Managers that are not the user's (`no_grad`, `catch_warnings`) end afterwards.
"""

from __future__ import annotations

import contextlib
import ctypes
import dis
import functools
import gc
import sys
from types import CodeType, FrameType
from typing import Any

from ...core.context.warned import warn_once
from .code import USER, kind_of_code

_TABLE = 40  # bytes from the beginning of a code object to its table, in CPython 3.11 to 3.13
_GENERATES = 0x2A0
_YIELDS = dis.opmap["YIELD_VALUE"]
_NO_HANDLERS = b""
_TWICE = (
    "A compiled function turned out not to be one program in the middle of a `try` or `with`, whose handlers this version of Python runs on "
    "the way out: what they write is done twice. Put torch.compiler.disable on that function."
)


@functools.cache
def _can() -> bool:
    def probe() -> Any:
        try:
            return 1
        finally:
            probe.__name__  # noqa: B018

    code = probe.__code__
    return bool(code.co_exceptiontable) and _pointer(code).value == id(code.co_exceptiontable)


def _pointer(code: CodeType) -> ctypes.c_size_t:
    return ctypes.c_size_t.from_address(id(code) + _TABLE)


class Unwinding:
    """`begin` just before the error is raised, `end` when it has come out of all of the user's functions."""

    def __init__(self) -> None:
        self.tables: dict[CodeType, Any] = {}
        self.generators: list[FrameType] = []
        self.exits: list[Any] = []  # of managers, innermost first
        self.interval: float | None = None

    def begin(self, shadows: dict[FrameType, Any]) -> None:
        if self.interval is not None or not shadows:
            return
        if not _can():
            if any(frame.f_code.co_exceptiontable for frame in shadows):
                warn_once(_TWICE)
            return
        self.interval = sys.getswitchinterval()
        sys.setswitchinterval(100.0)  # other threads run the same code
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            if frame in shadows:
                stack = shadows[frame].stack
                self.exits += [x for x in reversed(stack) if getattr(x, "__name__", "") == "__exit__"]
            frame = frame.f_back
        self.generators = [frame for frame in shadows if frame.f_code.co_flags & _GENERATES]
        for frame in shadows:
            code = frame.f_code
            if code.co_exceptiontable and code not in self.tables:
                self.tables[code] = code.co_exceptiontable
                _pointer(code).value = id(_NO_HANDLERS)

    def end(self) -> None:
        if self.interval is None:
            return
        for frame in self.generators:
            _finish(frame)
        for code, table in self.tables.items():
            _pointer(code).value = id(table)
        sys.setswitchinterval(self.interval)
        exits, self.exits, self.interval = self.exits, [], None
        self.tables, self.generators = {}, []
        for leave in exits:
            _leave(leave)


def waits_in_a_block(frame: FrameType) -> bool:
    """Whether a generator of the user's has stopped at a `yield` within a `try` or `with`, whose end runs when Python frees it."""
    code, at = frame.f_code, frame.f_lasti
    if not code.co_flags & _GENERATES or at < 0 or code.co_code[at] != _YIELDS:
        return False
    if kind_of_code(code, frame.f_globals) != USER:
        return False  # those of the standard library handle single errors there (`Sequence.__iter__`)
    return any(entry.start <= at < entry.end and not _is_pythons(code, entry.target) for entry in _entries(code))


def _entries(code: CodeType) -> list[Any]:
    return dis._parse_exception_table(code)  # type: ignore[attr-defined, no-any-return]


def _is_pythons(code: CodeType, target: int) -> bool:
    """Whether a handler is what Python 3.12 and later put around a whole generator."""
    return dis.opname[code.co_code[target]] == "CALL_INTRINSIC_1"


def _finish(frame: FrameType) -> None:
    """End a generator of the user's that waits, so that it does not end where its handlers are back."""
    try:
        frame.clear()
    except RuntimeError:  # it runs; or it waits, under Python 3.13
        for holder in gc.get_referrers(frame):
            if frame in (getattr(holder, "gi_frame", None), getattr(holder, "cr_frame", None)):
                with contextlib.suppress(ValueError):
                    holder.close()


def _leave(leave: Any) -> None:
    """End what a manager has begun, unless that is the user's code."""
    manager = getattr(leave, "__self__", None)
    if isinstance(manager, contextlib.ExitStack):
        for _, held in reversed(manager.pop_all()._exit_callbacks):  # type: ignore[attr-defined]
            if getattr(held, "__name__", "") == "__exit__":
                _leave(held)
    elif not _is_users(manager):
        with contextlib.suppress(Exception):
            leave(None, None, None)


def _is_users(manager: Any) -> bool:
    if isinstance(manager, contextlib.closing):
        return True
    is_generator = isinstance(manager, contextlib._GeneratorContextManager)
    function: Any = getattr(manager, "func", None) if is_generator else getattr(type(manager), "__exit__", None)
    code = getattr(function, "__code__", None)
    return code is not None and kind_of_code(code, function.__globals__) == USER
