"""What was measured, and what can be said of it."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cached_property
from textwrap import indent
from typing import Any

import numpy as np

from flambeau.runtime.threads import get_num_threads, set_num_threads

_LARGEST_DIGITS = 4  # of a median; a clock does not tell more
_CLOCK = 25e-9  # seconds that a clock may be wrong by
_Z = 1.645  # of a 90 % interval
_NOTICEABLE, _GROSS = 0.1, 0.25  # interquartile ranges, relative to the median


@dataclasses.dataclass(init=True, repr=False, eq=True, frozen=True)
class TaskSpec:
    """What was timed: the statement, and what names it."""

    stmt: str
    setup: str
    global_setup: str = ""
    label: str | None = None
    sub_label: str | None = None
    description: str | None = None
    env: str | None = None
    num_threads: int = 1

    @property
    def title(self) -> str:
        """The label, or the statement."""
        if self.label is not None:
            return self.label + (f": {self.sub_label}" if self.sub_label else "")
        if "\n" not in self.stmt:
            return self.stmt + (f": {self.sub_label}" if self.sub_label else "")
        return f"stmt:{f' ({self.sub_label})' if self.sub_label else ''}\n{indent(self.stmt, '  ')}"

    def setup_str(self) -> str:
        """What comes before the measurement; empty if nothing does."""
        if self.setup == "pass" or not self.setup:
            return ""
        return f"setup:\n{indent(self.setup, '  ')}" if "\n" in self.setup else f"setup: {self.setup}"

    def summarize(self) -> str:
        """Everything as text."""
        parts = [self.title, self.description or "", self.setup_str()]
        return "\n".join(part + ("\n" if "\n" in part else "") for part in parts if part)


_FIELDS = tuple(field.name for field in dataclasses.fields(TaskSpec))


class Measurement:
    """Times of a statement, each of `number_per_run` runs. Pickles, and knows its `task_spec`'s fields."""

    def __init__(
        self, number_per_run: int, raw_times: list[float], task_spec: TaskSpec, metadata: dict[Any, Any] | None = None
    ):
        self.number_per_run = number_per_run
        self.raw_times = raw_times
        self.task_spec = task_spec
        self.metadata = metadata

    def __getattr__(self, name: str) -> Any:
        if name in _FIELDS:
            return getattr(self.task_spec, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @property
    def times(self) -> list[float]:
        """Seconds of one run, by measurement."""
        return [t / self.number_per_run for t in self.raw_times]

    @cached_property
    def _quartiles(self) -> tuple[float, float, float]:
        if not self.raw_times:
            return math.nan, math.nan, math.nan
        low, median, high = np.quantile(self.times, [0.25, 0.5, 0.75])
        return float(low), float(median), float(high)

    @property
    def median(self) -> float:
        """Of one run, in seconds."""
        return self._quartiles[1]

    @property
    def mean(self) -> float:
        """Of one run, in seconds."""
        return float(np.mean(self.times)) if self.raw_times else math.nan

    @property
    def iqr(self) -> float:
        """The interquartile range, in seconds."""
        return self._quartiles[2] - self._quartiles[0]

    @property
    def significant_figures(self) -> int:
        """How many digits of the median mean something.

        From the 90 % interval of a mean of what lies within the quartiles, which leaves outliers out.
        """
        count = len(self.raw_times)
        inner = sorted(self.times)[count // 4 : math.ceil(3 * count / 4)]
        spread = float(np.std(inner))
        interval = max(_Z * spread / math.sqrt(len(inner)), _CLOCK)
        return min(max(math.floor(-math.log10(interval / self.median)), 1), _LARGEST_DIGITS)

    @property
    def has_warnings(self) -> bool:
        """Whether the times vary noticeably."""
        return not self.meets_confidence()

    def meets_confidence(self, threshold: float = _NOTICEABLE) -> bool:
        """Whether the interquartile range is less than this share of the median."""
        return self.iqr / self.median < threshold

    @property
    def title(self) -> str:
        """The label, or the statement."""
        return self.task_spec.title

    @property
    def as_row_name(self) -> str:
        """Its name in a table of comparisons."""
        return self.task_spec.sub_label or self.task_spec.stmt or "[Unknown]"

    def __repr__(self) -> str:
        head = [
            f"<torch.utils.benchmark.utils.common.Measurement object at {hex(id(self))}>",
            self.task_spec.summarize(),
        ]
        count, runs = len(self.raw_times), self.number_per_run
        unit, scale = select_unit(self.median)
        low, median, high = (q / scale for q in self._quartiles)
        lines = [f"{'Median: ' if count > 1 else ''}{median:.2f} {unit}"]
        if count > 3:
            lines.append(f"IQR:    {self.iqr / scale:.2f} {unit} ({low:.2f} to {high:.2f})")
        each = "per measurement" if count > 1 else ""
        threads = f"{self.num_threads} thread{'s' if self.num_threads > 1 else ''}"
        lines.append(f"{count} measurement{'s' if count > 1 else ''}, {runs} runs {each}, {threads}")
        if count > 1 and self.has_warnings:
            gross = not self.meets_confidence(_GROSS)
            lines += [
                f"WARNING: Interquartile range is {self.iqr / self.median * 100:.1f}% of the median measurement.",
                "         This "
                + ("suggests significant environmental influence." if gross else "could indicate system fluctuation."),
            ]
        return "\n".join([*head, *("  " + line for line in lines)])

    @staticmethod
    def merge(measurements: Iterable[Measurement]) -> list[Measurement]:
        """One measurement for each task, with the times of all that are of it."""
        groups: dict[TaskSpec, list[Measurement]] = defaultdict(list)
        for measurement in measurements:
            groups[measurement.task_spec].append(measurement)
        return [
            Measurement(
                group[0].number_per_run,
                [t * group[0].number_per_run for m in group for t in m.times],
                task,
                None,
            )
            for task, group in groups.items()
        ]


def select_unit(t: float) -> tuple[str, float]:
    """The unit in which a time is at least one, and its seconds."""
    for unit, scale in (("s", 1), ("ms", 1e-3), ("us", 1e-6)):
        if t >= scale:
            return unit, scale
    return "ns", 1e-9


def unit_to_english(u: str) -> str:
    """The unit's name. KeyError for another."""
    return {"ns": "nanosecond", "us": "microsecond", "ms": "millisecond", "s": "second"}[u]


def trim_sigfig(x: float, n: int) -> float:
    """The number with `n` significant digits. Raises AssertionError for another `n` than an int."""
    if n != int(n):
        raise AssertionError("Number of significant figures must be an integer")
    single = np.float32(x)
    magnitude = int(np.ceil(np.log10(np.abs(single))))
    scale = 10 ** (magnitude - n)
    return float(np.float32(np.round(single / np.float32(scale)) * np.float32(scale)))


def ordered_unique(elements: Iterable[Any]) -> list[Any]:
    """Each element once, in order."""
    return list(dict.fromkeys(elements))


@contextlib.contextmanager
def set_torch_threads(n: int) -> Iterator[None]:
    """`torch.get_num_threads()` is `n` in the `with` block."""
    before = get_num_threads()
    try:
        if n != before:
            set_num_threads(n)
        yield
    finally:
        if get_num_threads() != before:
            set_num_threads(before)
