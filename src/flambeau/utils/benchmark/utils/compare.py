"""Measurements side by side: statements in rows, descriptions in columns, a table for each label."""

from __future__ import annotations

import enum
import math
from collections import defaultdict
from typing import Any

from flambeau.utils.benchmark.utils.common import (
    Measurement,
    ordered_unique,
    select_unit,
    trim_sigfig,
    unit_to_english,
)

__all__ = ["Colorize", "Compare"]


_BEST, _GOOD, _BAD, _VERY_BAD, _END = (
    "\x1b[92m\x1b[1m",
    "\x1b[34m\x1b[1m",
    "\x1b[2m\x1b[91m",
    "\x1b[31m\x1b[1m",
    "\x1b[0m\x1b[0m",
)
_SHORT = 100e-9  # seconds that make no difference
_APART = "  |  "
_NOTE = 7  # characters that are kept free for a note on variance


class Colorize(enum.Enum):
    """What colours compare."""

    NONE = "none"
    COLUMNWISE = "columnwise"
    ROWWISE = "rowwise"


def _coloured(text: str, value: float, best: float) -> str:
    if value <= max(best * 1.01, best + _SHORT):
        return f"{_BEST}{text}{_END}"
    if value <= best * 1.1:
        return f"{_GOOD}{text}{_END}"
    for limit, colour in ((5, _VERY_BAD), (2, _BAD)):
        if value >= best * limit:
            return f"{colour}{text}{_END}"
    return text


def _row_of(result: Measurement) -> tuple[int, str, str]:
    return result.num_threads, result.env or "", result.as_row_name


class Compare:
    """A table of measurements; `print()` it, or take its `str()`."""

    def __init__(self, results: list[Measurement]):
        self._results: list[Measurement] = []
        self.extend_results(results)
        self._trim_significant_figures = False
        self._colorize = Colorize.NONE
        self._highlight_warnings = False

    def __str__(self) -> str:
        return "\n".join(self._render())

    def extend_results(self, results: list[Measurement]) -> None:
        """More measurements. Raises ValueError for anything else."""
        for result in results:
            if not isinstance(result, Measurement):
                raise ValueError(f"Expected an instance of `Measurement`, got {type(result)} instead.")
        self._results.extend(results)

    def trim_significant_figures(self) -> None:
        """Show only the digits that mean something."""
        self._trim_significant_figures = True

    def colorize(self, rowwise: bool = False) -> None:
        """Show by colours what is fast, within a column or within a row."""
        self._colorize = Colorize.ROWWISE if rowwise else Colorize.COLUMNWISE

    def highlight_warnings(self) -> None:
        """Note measurements that vary much."""
        self._highlight_warnings = True

    def print(self) -> None:
        """Print the tables."""
        print(str(self))

    def _render(self) -> list[str]:
        groups: dict[Any, list[Measurement]] = defaultdict(list)
        for result in Measurement.merge(self._results):
            groups[result.label].append(result)
        return [self._table(group) for group in groups.values()]

    def _table(self, results: list[Measurement]) -> str:
        unit, scale = select_unit(min(r.median for r in results))
        names = ordered_unique(map(_row_of, results))
        order = {name: i for i, name in enumerate(ordered_unique(name[2] for name in names))}
        rows = sorted(names, key=lambda name: (name[0], name[1], order[name[2]]))
        heads = ordered_unique(r.description for r in results)
        cells = {(_row_of(r), r.description): r for r in results}
        columns = [[cells.get((row, head)) for row in rows] for head in heads]
        texts = [self._column(column, scale) for column in columns]
        widths = [max(len(head or ""), *map(len, column)) for head, column in zip(heads, texts, strict=True)]
        left = self._row_names(rows)
        first = max(map(len, left))
        head_line = _APART.join([" " * first, *((h or "").center(w) for h, w in zip(heads, widths, strict=True))])
        title = f" {results[0].label or ''} ".center(len(head_line) - 2, "-")
        lines = [f"[{title}]", head_line]
        threads = None
        for i, row in enumerate(rows):
            if row[0] != threads:
                threads = row[0]
                lines.append(f"{threads} threads: ".ljust(len(head_line), "-"))
            placed = [text[i].center(width) for text, width in zip(texts, widths, strict=True)]
            lines.append(_APART.join([left[i].ljust(first), *self._in_colours(placed, i, rows, columns)]))
        lines += ["", f"Times are in {unit_to_english(unit)}s ({unit})."]
        if self._highlight_warnings and any(r.has_warnings for r in results):
            lines.append("(! XX%) Measurement has high variance, where XX is the IQR / median * 100.")
        return "\n".join([*lines, ""])

    @staticmethod
    def _row_names(rows: Any) -> list[str]:
        envs = [f"({env})" if env else "" for _, env, _ in rows]
        width = max(4, *map(len, envs))
        apart = "  " if any(envs) else ""
        shown = ["" if i and rows[i][:2] == rows[i - 1][:2] else env for i, env in enumerate(envs)]
        return [f"  {env.ljust(width)}{apart}{name}" for env, (_, _, name) in zip(shown, rows, strict=True)]

    def _column(self, column: list[Measurement | None], scale: float) -> list[str]:
        present = [r for r in column if r is not None]
        digits = [math.ceil(math.log10(r.median / scale)) for r in present]
        decimals = 1
        if self._trim_significant_figures:
            decimals = min(max(r.significant_figures - d, 0) for r, d in zip(present, digits, strict=True))
        width = max(digits) + decimals + (1 if decimals else 0)
        noted = self._highlight_warnings and any(r.has_warnings for r in present)
        texts = []
        for result in column:
            if result is None:
                texts.append("")
                continue
            value = result.median / scale
            if self._trim_significant_figures:
                value = trim_sigfig(value, result.significant_figures)
            note = f" (! {result.iqr / result.median * 100:.0f}%)" if noted and result.has_warnings else ""
            texts.append(f"{value:>{width}.{decimals}f}{note:>{_NOTE if noted else 0}}")
        return texts

    def _in_colours(self, placed: list[str], i: int, rows: Any, columns: Any) -> list[str]:
        if self._colorize is Colorize.NONE:
            return placed
        found = []
        for text, column in zip(placed, columns, strict=True):
            result = column[i]
            if result is None:
                found.append(text)
                continue
            if self._colorize is Colorize.ROWWISE:
                peers = [c[i] for c in columns]
            else:
                peers = [r for r, row in zip(column, rows, strict=True) if row[0] == rows[i][0]]
            found.append(_coloured(text, result.median, min(p.median for p in peers if p is not None)))
        return found
