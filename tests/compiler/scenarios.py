"""Scenarios: small scripts that are played twice, uncompiled and compiled, and must show the same at every yield.

A script is a generator function `script(compile, x)`. `compile` is the identity in one run and `flambeau.compile` in the
other; `x` is `tensor([1., 2., 3.])`, in float64 as everything that the script makes. What it yields is frozen at once to
plain data: values, dtypes, shapes, `requires_grad`, types of containers.
"""

from __future__ import annotations

import collections
import dataclasses
import enum
import math
import sys
import types
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest

import flambeau as fb

Script = Callable[..., Iterator[Any]]
HARMLESS = "drop_last"  # advice about smaller batches is no fallback


def frozen(value: Any) -> Any:
    """A value as nested tuples that no later write changes."""
    if isinstance(value, fb.Tensor):
        return "tensor", type(value).__name__, str(value.dtype), tuple(value.shape), value.requires_grad, value.tolist()
    if isinstance(value, np.ndarray):
        return "array", str(value.dtype), value.shape, value.tolist()
    if isinstance(value, BaseException):
        return "raised", type(value).__name__
    if isinstance(value, type):
        return "class", value.__name__
    if isinstance(value, Mapping):
        return type(value).__name__, tuple((frozen(k), frozen(v)) for k, v in value.items())
    if isinstance(value, (set, frozenset)):
        return type(value).__name__, tuple(sorted(value, key=repr))
    if isinstance(value, (list, tuple, collections.deque)):
        return type(value).__name__, tuple(frozen(v) for v in value)
    if dataclasses.is_dataclass(value) or isinstance(value, types.SimpleNamespace):
        return type(value).__name__, frozen(vars(value))
    if isinstance(value, enum.Enum):
        return type(value).__name__, value.name
    if isinstance(value, (bool, int, float, complex, str, bytes, type(None), fb.Size, fb.dtype, np.generic)):
        return type(value).__name__, value
    raise TypeError(f"a scenario shows plain data and tensors, not {type(value).__name__}")


def same(a: Any, b: Any, scale: float = 1.0) -> bool:
    """Equality of frozen values, floats up to rounding of float64 (`scale`: of the terms they are sums of) and NaN equal to itself."""
    if isinstance(a, (tuple, list)):
        return type(a) is type(b) and len(a) == len(b) and all(same(p, q, scale) for p, q in zip(a, b, strict=True))
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12 * scale) or (a != a and b != b)
    return type(a) is type(b) and bool(a == b)


def largest(a: Any) -> float:
    """The largest finite number of frozen values."""
    if isinstance(a, (tuple, list)):
        return max(map(largest, a), default=0.0)
    return abs(a) if isinstance(a, float) and math.isfinite(a) else 0.0


def attempt(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What a call gives, or the exception that it raises."""
    try:
        return function(*args, **kwargs)
    except Exception as error:
        return error


def executions(function: Any, code: Callable[[], Any]) -> int:
    """How often Python runs the body of a function while `code` runs: 0 if it is part of a program."""
    body, seen = function.__code__, 0

    def look(frame: types.FrameType, event: str, arg: Any) -> None:
        nonlocal seen
        seen += event == "call" and frame.f_code is body

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        code()
    finally:
        sys.setprofile(before)
    return seen


@dataclasses.dataclass
class Played:
    seen: list[tuple[int, Any]]
    warned: list[str]


def play(script: Script, compile: Callable[..., Any]) -> Played:
    """Run a script to its end or to its exception, in float64, and leave the library's settings as they were."""
    default, grad = fb.get_default_dtype(), fb.is_grad_enabled()
    fb.manual_seed(0)
    np.random.seed(0)
    fb.set_default_dtype(fb.float64)
    seen: list[tuple[int, Any]] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            run = script(compile, fb.tensor([1.0, 2.0, 3.0]))
            try:
                for value in run:
                    seen.append((run.gi_frame.f_lineno, frozen(value)))  # type: ignore[attr-defined]
            except Exception as error:
                line = run.gi_frame.f_lineno if run.gi_frame else _line(error, script)  # type: ignore[attr-defined]
                seen.append((line, (*frozen(error), str(error)[:600])))
    finally:
        fb.set_default_dtype(default)
        fb.set_grad_enabled(grad)
    return Played(seen, [str(w.message) for w in caught])


def _line(error: BaseException, script: Script) -> int:
    line, step = 0, error.__traceback__
    while step is not None:
        if step.tb_frame.f_code is getattr(script, "__code__", None):
            line = step.tb_lineno
        step = step.tb_next
    return line


@dataclasses.dataclass
class Case:
    """One script; `may_fall_back` says why it may run uncompiled, with a warning. Otherwise it must be compiled.

    `programs` is the most programs that all its compiled functions may hold at the end, together.
    """

    script: Script
    may_fall_back: str = ""
    wrong: str = ""  # why it is known not to hold yet
    programs: int | None = None

    def __str__(self) -> str:
        return self.script.__name__

    def check(self, compile: Callable[..., Any] = fb.compile) -> None:
        made: list[Any] = []

        def remembered(function: Any = None, **options: Any) -> Any:
            if function is None:
                return lambda function: remembered(function, **options)
            made.append(compile(function, **options))
            return made[-1]

        expected, found = play(self.script, _identity), play(self.script, remembered)
        last = expected.seen[-1][1]
        assert not (last[0] == "raised" and len(last) == 3), f"the scenario itself fails: {last}"
        where = self.script.__code__.co_filename.rpartition("/")[2]  # type: ignore[attr-defined]
        for i, ((_, a), (line, b)) in enumerate(zip(expected.seen, found.seen, strict=False)):
            if not same(a, b):
                pytest.fail(f"{where}:{line}, yield {i}:\n  compiled   {b}\n  uncompiled {a}", pytrace=False)
        assert len(found.seen) == len(expected.seen)
        extra = [w for w in found.warned if w not in expected.warned and HARMLESS not in w]
        if not self.may_fall_back and extra:
            pytest.fail(f"right, but with a warning: {extra[0]}", pytrace=False)
        if self.programs is not None:
            held = [str(fb.compile.explain(compiled)) for compiled in made]
            total = sum(len(fb.compile.explain(compiled)) for compiled in made)
            assert total <= self.programs, "\n".join(held)


def _identity(function: Any = None, **options: Any) -> Any:
    return function if function is not None else _identity


class Table(list[Case]):
    """Collects the scripts of a file: `@case`, `@case(may_fall_back="why")`, `@case(programs=2)`."""

    def __call__(self, script: Script | None = None, **options: Any) -> Any:
        if script is None:
            return lambda script: self(script, **options)
        self.append(Case(script, **options))
        return script

    @property
    def test(self) -> Any:
        """`parametrize` over the cases; ids are the scripts' names."""
        assert len({str(c) for c in self}) == len(self), "two scripts have one name"
        rows = [pytest.param(c, marks=pytest.mark.xfail(reason=c.wrong)) if c.wrong else c for c in self]
        return pytest.mark.parametrize("case", rows, ids=str)
