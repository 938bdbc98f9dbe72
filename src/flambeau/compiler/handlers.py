"""Whether a traced function would catch an error: a program can raise it only when it has run."""

from __future__ import annotations

import builtins
import contextlib
import dis
import functools
import itertools
import sys
from types import CodeType, FrameType
from typing import Any

from .guards.code import USER, kind_of_code

ANY, WITH = "any exception", "with"


def catching(error: Exception, inside: CodeType, stacks: dict[FrameType, Any]) -> str | None:
    """The line under `try` that would catch `error` if it were raised now, on the way up to the frame that runs `inside`.

    `stacks` has what is on the interpreter's stack in the frames that are followed: the managers of their `with` blocks.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code is not inside:
        code = frame.f_code
        followed = code.co_exceptiontable and kind_of_code(code, frame.f_globals) == USER
        names = _caught(code, frame.f_lasti) if followed else ()
        if WITH in names:
            exits = [x for x in getattr(stacks.get(frame), "stack", ()) if getattr(x, "__name__", "") == "__exit__"]
            if any(_swallows(getattr(exit, "__self__", None), error) for exit in exits):
                return f"{code.co_filename}, line {frame.f_lineno}"
        if any(_catches(frame, name, error) for name in names if name != WITH):
            return f"{code.co_filename}, line {frame.f_lineno}"
        frame = frame.f_back
    return None


def _catches(frame: FrameType, name: str, error: Exception) -> bool:
    if name == ANY:
        return True
    first, *rest = name.split(".")
    found: Any = None
    for scope in (frame.f_locals, frame.f_globals, vars(builtins)):
        if first in scope:
            found = scope[first]
            break
    for part in rest:
        found = getattr(found, part, None)
    kinds = found if isinstance(found, tuple) else (found,)
    return isinstance(error, kinds) if all(isinstance(kind, type) for kind in kinds) else True


def _swallows(manager: Any, error: Exception) -> bool:
    """Whether a context manager ends an error that leaves its block."""
    if isinstance(manager, contextlib.suppress):
        return isinstance(error, manager._exceptions)  # type: ignore[attr-defined]
    if isinstance(manager, contextlib.ExitStack):
        return any(_swallows(getattr(exit, "__self__", None), error) for _, exit in manager._exit_callbacks)  # type: ignore[attr-defined]
    if isinstance(manager, contextlib._GeneratorContextManager):
        code, frame = manager.gen.gi_code, manager.gen.gi_frame  # type: ignore[attr-defined]
        if frame is None or kind_of_code(code, frame.f_globals) != USER:
            return False
        return any(name == WITH or _catches(frame, name, error) for name in _caught(code, frame.f_lasti))
    code = getattr(getattr(type(manager), "__exit__", None), "__code__", None)
    if code is None or kind_of_code(code, type(manager).__exit__.__globals__) != USER:
        return False
    returns = [
        (ins.argval if ins.opname == "RETURN_CONST" else before.argval if before.opname == "LOAD_CONST" else ANY)
        for before, ins in itertools.pairwise(dis.get_instructions(code))
        if ins.opname in ("RETURN_VALUE", "RETURN_CONST")
    ]
    return any(returns)


@functools.lru_cache(1024)
def _caught(code: CodeType, offset: int) -> list[str]:
    """The names of the exceptions that are caught in a function if they come from here."""
    instructions = list(dis.get_instructions(code))
    index = {ins.offset: i for i, ins in enumerate(instructions)}
    table = dis._parse_exception_table(code)  # type: ignore[attr-defined]
    found: list[str] = []
    seen: set[int] = set()
    while (entry := next((e for e in table if e.start <= offset < e.end), None)) and entry.target not in seen:
        offset = entry.target  # from there, what isn't caught goes on
        seen.add(offset)
        found += _clauses(code, instructions, index, index[offset])
    return found


def _clauses(code: CodeType, instructions: list[dis.Instruction], index: dict[int, int], at: int) -> list[str]:
    """What one handler catches: the `except` clauses of a `try`; nothing for `finally`; `WITH` for a `with`."""
    if instructions[at].opname != "PUSH_EXC_INFO":
        return []
    found: list[str] = []
    names: list[str] = []
    at += 1
    while at < len(instructions):
        ins = instructions[at]
        if ins.opname in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FAST", "LOAD_DEREF"):
            names.append(str(ins.argval))
        elif ins.opname == "LOAD_ATTR" and names:
            names[-1] += f".{ins.argval}"
        elif ins.opname == "CHECK_EXC_MATCH":
            found += names
            names = []
            at = index[instructions[at + 1].argval]  # the next clause
            continue
        elif ins.opname == "WITH_EXCEPT_START":
            return [WITH]
        elif ins.opname == "POP_TOP":
            return [*found, ANY]  # `except:`
        elif ins.opname not in ("BUILD_TUPLE", "NOP", "CACHE", "EXTENDED_ARG"):
            break
        at += 1
    return found
