"""The interpreter's frames as they are read while a function is traced, and its instructions."""

from __future__ import annotations

import dis
import sys
import warnings

import pytest

import flambeau as fb
from flambeau.compiler.guards import frames, shadow
from flambeau.compiler.guards.instructions import HANDLERS

# Instructions that no function's code has, and those that make a call run uncompiled (async code, `except*`).
NEVER = (
    "EXTENDED_ARG JUMP JUMP_NO_INTERRUPT LOAD_SUPER_METHOD LOAD_ZERO_SUPER_ATTR LOAD_ZERO_SUPER_METHOD POP_BLOCK RESERVED "
    "SETUP_CLEANUP SETUP_FINALLY SETUP_WITH STORE_FAST_MAYBE_NULL INTERPRETER_EXIT EXIT_INIT_CHECK IMPORT_STAR PRINT_EXPR"
)
REFUSED = (
    "ASYNC_GEN_WRAP BEFORE_ASYNC_WITH CHECK_EG_MATCH END_ASYNC_FOR GET_AITER GET_ANEXT GET_AWAITABLE PREP_RERAISE_STAR "
    "CALL_INTRINSIC_2 CLEANUP_THROW"
)


def test_every_instruction_is_known() -> None:
    rest = {name for name in dis.opmap if name not in HANDLERS and not name.startswith("INSTRUMENTED_")}
    assert rest <= {*NEVER.split(), *REFUSED.split()}


def test_an_unknown_instruction_is_refused() -> None:
    k = [1.0]

    def step(x):
        try:
            raise ExceptionGroup("", [ValueError()])
        except* ValueError:
            y = x * k[0]
        return y

    compiled = fb.compile(step)
    with pytest.warns(UserWarning, match="an instruction of which it isn't known what it does"):
        assert compiled(fb.ones(2)).tolist() == [1.0, 1.0]
    k[0] = 2.0
    assert compiled(fb.ones(2)).tolist() == [2.0, 2.0]


def test_the_stack_of_a_frame() -> None:
    assert frames.readable()
    first, second = [1], {"a": 2}
    seen, functions = [], []

    def watched(a, b, *rest, key=3):
        def inner():
            return key

        return sorted(a), max(b, inner(), key=str), rest

    count = frames.variables(watched.__code__)
    depths = frames.depths(watched.__code__, list(dis.get_instructions(watched.__code__)))

    def look(frame, event, arg):
        if frame.f_code is not watched.__code__:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            seen.append(frames.stack(frame, count, depths[frame.f_lasti]))
            functions.append(frames.function_of(frame))
        return look

    before = sys.gettrace()
    frames.trace_opcodes(look)
    try:
        result = watched(first, second and "2", 5)
    finally:
        sys.settrace(before)
    assert any(found and found[-1] is result for found in seen)
    assert any(first in found for found in seen)
    assert all(f is watched for f in functions)


def test_nothing_is_compiled_where_frames_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "readable", lambda: False)
    k = [1.0]
    compiled = fb.compile(lambda x: x * k[0])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert compiled(fb.ones(2)).tolist() == [1.0, 1.0]
        k[0] = 2.0
        assert compiled(fb.ones(2)).tolist() == [2.0, 2.0]
    assert any("can't be read" in str(w.message) for w in caught)
    with pytest.raises(RuntimeError, match="can't be read"):
        fb.compile(lambda x: x * 2, fullgraph=True)(fb.ones(2))


def test_an_object_that_only_the_stack_holds_is_told_from_others() -> None:
    kept = [[1.0], [2.0]]

    def step(x):
        new, old = sorted([2.0, 1.0]), max(kept)
        new.append(3.0)
        old.append(1.0)
        return x * (len(new) + sum(old))

    compiled = fb.compile(step)
    assert [compiled(fb.ones(1)).item() for _ in range(3)] == [6.0, 7.0, 8.0]
    assert kept == [[1.0], [2.0, 1.0, 1.0, 1.0]]
    assert shadow._baseline() == shadow._ALONE
