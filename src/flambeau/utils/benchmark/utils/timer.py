"""Times statements. A block of runs is timed until what it computed is there: JAX computes in the background."""

from __future__ import annotations

import ast
import enum
import textwrap
import time
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from flambeau.autograd._recorder import _memory, _tensors, wait
from flambeau.utils.benchmark.utils.common import Measurement, TaskSpec, set_torch_threads
from flambeau.utils.benchmark.utils.valgrind_wrapper.timer_interface import CopyIfCallgrind

__all__ = ["Language", "Timer", "timer"]


timer: Callable[[], float] = time.perf_counter


class Language(enum.Enum):
    """Of the statement."""

    PYTHON = 0
    CPP = 1


def _settle(values: dict[str, Any]) -> None:
    wait(map(_memory, _tensors(values)))


def _compiled(stmt: str, setup: str, global_setup: str, names: dict[str, Any]) -> Callable[[int, Any], float]:
    """A function that runs the setup, then the statement so many times, and returns the seconds that this took."""
    source = (
        "def _timed(_number, _clock, _settle):\n{setup}\n    _began = _clock()\n    for _ in range(_number):\n{stmt}\n"
        "    _settle(locals())\n    return _clock() - _began\n"
    )
    body = ast.parse(stmt).body
    if body and isinstance(body[-1], ast.Expr):  # its value is waited for, too
        last = body[-1]
        body[-1] = ast.copy_location(ast.Assign([ast.Name("_result", ast.Store())], last.value), last)
    text = ast.unparse(ast.fix_missing_locations(ast.Module(body, []))) or "pass"
    setup_text = ast.unparse(ast.parse(setup)) or "pass"
    if global_setup:
        exec(global_setup, names)
    exec(
        compile(
            source.format(setup=textwrap.indent(setup_text, " " * 4), stmt=textwrap.indent(text, " " * 8)),
            "<torch.utils.benchmark>",
            "exec",
        ),
        names,
    )
    timed = names.pop("_timed")
    return lambda number, clock: timed(number, clock, _settle)


class Timer:
    """Times the statement `stmt`, whose names are those of `globals` and what `setup` makes.

    `label`, `sub_label`, `description` and `env` name it in tables. `num_threads` is what `torch.get_num_threads()` is
    meanwhile, which does not make XLA use fewer. Raises ValueError for statements that are not text,
    NotImplementedError for C++.
    """

    def __init__(
        self, stmt: str = "pass", setup: str = "pass", global_setup: str = "", timer: Callable[[], float] = timer,
        globals: dict[str, Any] | None = None, label: str | None = None, sub_label: str | None = None,
        description: str | None = None, env: str | None = None, num_threads: int = 1,
        language: Language | str = Language.PYTHON,
    ):  # fmt: skip
        if not isinstance(stmt, str):
            raise ValueError("Currently only a `str` stmt is supported.")
        if language in (Language.CPP, "c++", "cpp"):
            raise NotImplementedError(
                "Timer: C++ statements are compiled against libtorch, which is not here; time Python"
            )
        if language not in (Language.PYTHON, "py", "python"):
            raise ValueError(f"Invalid language `{language}`.")
        self._globals = dict(globals or {})
        for name, value in self._globals.items():
            if isinstance(value, CopyIfCallgrind):
                self._globals[name] = value.value
        if not globals or "torch" not in globals:
            import flambeau

            self._globals.setdefault("torch", flambeau)
        stmt, setup = textwrap.dedent(stmt), textwrap.dedent(setup)
        stmt = stmt.removeprefix("\n").rstrip()
        setup = setup.removeprefix("\n").rstrip()
        self._clock = timer
        self._run = _compiled(stmt, setup, textwrap.dedent(global_setup), self._globals)
        self._task_spec = TaskSpec(stmt, setup, global_setup, label, sub_label, description, env, num_threads)

    def _timeit(self, number: int) -> float:
        # a clock may stand still for an empty statement
        return max(self._run(number, self._clock), 1e-9)

    def _measured(self, number: int, times: list[float]) -> Measurement:
        return Measurement(number, times, self._task_spec)

    def timeit(self, number: int = 1000000) -> Measurement:
        """One measurement of `number` runs, after some to warm up."""
        with set_torch_threads(self._task_spec.num_threads):
            self._timeit(max(number // 100, 2))
            return self._measured(number, [self._timeit(number)])

    def repeat(self, repeat: int = -1, number: int = -1) -> None:
        """Refused: see `timeit` and `blocked_autorange`."""
        raise NotImplementedError("See `Timer.blocked_autorange.`")

    def autorange(self, callback: Callable[[int, float], NoReturn] | None = None) -> None:
        """Refused: see `blocked_autorange`."""
        raise NotImplementedError("See `Timer.blocked_autorange.`")

    def _block_size(self, min_run_time: float) -> int:
        """So many runs that looking at the clock is no matter."""
        with set_torch_threads(self._task_spec.num_threads):
            overhead = float(np.median([self._empty() for _ in range(5)]))
            number = 1
            while True:
                taken = self._timeit(number)
                relative = overhead / taken
                if relative <= 1e-4 and taken >= min_run_time / 1000:
                    return number
                if taken > min_run_time:
                    return number
                number *= 10

    def _empty(self) -> float:
        return max(self._run(0, self._clock), 1e-9)

    def _blocks(
        self, number: int, stop: Callable[[list[float]], bool], min_run_time: float, max_run_time: float | None,
        callback: Callable[[int, float], Any] | None,
    ) -> list[float]:  # fmt: skip
        total, can_stop, times = 0.0, False, []
        with set_torch_threads(self._task_spec.num_threads):
            while total < min_run_time or not can_stop:
                taken = self._timeit(number)
                times.append(taken)
                total += taken
                if callback is not None:
                    callback(number, taken)
                can_stop = stop(times)
                if max_run_time is not None and total >= max_run_time:
                    break
        return times

    def blocked_autorange(
        self, callback: Callable[[int, float], NoReturn] | None = None, min_run_time: float = 0.2
    ) -> Measurement:
        """Many measurements, each of so many runs that looking at the clock is no matter, for `min_run_time` seconds."""
        number = self._block_size(min_run_time)
        return self._measured(number, self._blocks(number, lambda times: True, min_run_time, None, callback))

    def adaptive_autorange(
        self,
        threshold: float = 0.1,
        *,
        min_run_time: float = 0.01,
        max_run_time: float = 10.0,
        callback: Callable[[int, float], NoReturn] | None = None,
    ) -> Measurement:
        """Measures until the interquartile range is below `threshold` of the median, between two run times."""
        number = self._block_size(0.05)

        def stop(times: list[float]) -> bool:
            return len(times) > 3 and self._measured(number, times).meets_confidence(threshold)

        return self._measured(number, self._blocks(number, stop, min_run_time, max_run_time, callback))

    def collect_callgrind(
        self,
        number: int = 100,
        *,
        repeats: int | None = None,
        collect_baseline: bool = True,
        retain_out_file: bool = False,
    ) -> Any:
        """Refused: instructions of XLA's programs are not those of Python statements."""
        raise NotImplementedError(
            "collect_callgrind: counting instructions is not supported, for statements run in XLA's programs; use "
            "blocked_autorange() for times, or torch.utils.flop_counter for a count that does not vary"
        )
