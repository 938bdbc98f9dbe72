"""`flambeau inspect --diff`: what is different between two checkpoints."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import flambeau
from flambeau.cli import weights
from flambeau.cli.progress import Bar
from flambeau.core.tensor.sparse import is_sparse

Row = tuple[str, str, str, str, str]


def print_difference(old: Path, new: Path) -> None:
    """A table of the keys that were added, removed and changed from one file to another."""
    from rich.console import Console
    from rich.table import Table

    contents: list[dict[str, Any]] = []
    for path in (old, new):
        try:
            contents.append(dict(weights.leaves(weights.read(path))))
        except Exception as error:
            sys.exit(f"flambeau: {path}: {error}")
    table = Table("Key", "Change", old.name, new.name if new.name != old.name else str(new), "Max abs difference")
    table.columns[4].justify = "right"
    counts: Counter[str] = Counter()
    with Bar("comparing", sum(weights.bytes_of(value) for value in contents[0].values())) as bar:
        for row in compare(*contents):
            bar.advance(weights.bytes_of(contents[0].get(row[0])))
            counts[row[1]] += 1
            if row[1] != "equal":
                table.add_row(*row)
    console = Console(markup=False, emoji=False)
    if not console.is_terminal:
        console.width = 200
    if table.row_count:
        console.print(table)
    console.print(
        ", ".join(f"{counts[what]:,} {what}" for what in ("added", "removed", "changed", "equal")), highlight=False
    )


def compare(old: dict[str, Any], new: dict[str, Any]) -> Iterator[Row]:
    """For every key: the change (added, removed, changed, equal), both sides, and the largest difference of the values."""
    for key in old | new:
        if key not in new:
            yield key, "removed", _side(old[key]), "", ""
        elif key not in old:
            yield key, "added", "", _side(new[key]), ""
        else:
            a, b = old[key], new[key]
            sides = _side(a), _side(b)
            if not isinstance(a, flambeau.Tensor) or not isinstance(b, flambeau.Tensor):
                equal = type(a) is type(b) and np.array_equal(a, b)
                yield key, "equal" if equal else "changed", *sides, ""
            else:
                far = largest(a, b) if a.shape == b.shape else None
                alike = sides[0] == sides[1] and far in (None, 0)
                told = "" if far is None else f"{far:,}" if isinstance(far, int) else f"{far:.6g}"
                yield key, "equal" if alike else "changed", *sides, told


def largest(a: Any, b: Any) -> int | float | None:
    """The largest absolute difference: 0 for equal values (two NaN are), NaN where one is; None where there are no values."""
    if a.is_meta or b.is_meta:
        return None
    x, y = (np.asarray((t.to_dense() if is_sparse(t) else t)._array) for t in (a, b))
    if all(t.dtype.kind in "biu" for t in (x, y)) and x.dtype == y.dtype:
        high, low = np.maximum(x, y), np.minimum(x, y)
        # int64's differences are up to 2**64 - 1: exact modulo that
        return int((high.astype(np.uint64) - low.astype(np.uint64)).max(initial=0))
    wide = np.complex128 if "c" in (x.dtype.kind, y.dtype.kind) else np.float64
    x, y = x.astype(wide), y.astype(wide)
    differ = ~((x == y) | (np.isnan(x) & np.isnan(y)))
    return float(np.abs(x[differ] - y[differ]).max(initial=0.0))


def _side(value: Any) -> str:
    if isinstance(value, flambeau.Tensor):
        return f"{weights.shape_of(value)} {str(value.dtype).removeprefix('torch.').removeprefix('flambeau.')}"
    return f"{weights.brief(value)} ({type(value).__name__})"
