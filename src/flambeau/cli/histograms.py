"""`flambeau inspect --histograms`: how the values of each tensor in a checkpoint are distributed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

import flambeau
from flambeau.cli import weights
from flambeau.cli.progress import Bar
from flambeau.core.tensor.sparse import is_sparse

_BARS = " ▁▂▃▄▅▆▇█"
_BINS = 24


def print_histograms(file: Path) -> None:
    """A table of the tensors: mean, standard deviation, smallest and largest value, and a histogram between these two."""
    from rich.console import Console
    from rich.table import Table

    try:
        content = weights.read(file)
    except Exception as error:
        sys.exit(f"flambeau: {file}: {error}")
    tensors = [(key, value) for key, value in weights.leaves(content) if isinstance(value, flambeau.Tensor)]
    rows = []
    with Bar("looking at", sum(weights.bytes_of(tensor) for _, tensor in tensors)) as bar:
        for key, tensor in tensors:
            rows.append((key, weights.shape_of(tensor), *row(tensor)))
            bar.advance(weights.bytes_of(tensor))
    notes = [""] if any(told[-1] for told in rows) else []  # no empty column where there is nothing to note
    table = Table("Key", "Shape", "Mean", "Std", "Min", "Histogram", "Max", *notes)
    for column in (1, 2, 3, 4):
        table.columns[column].justify = "right"
    table.columns[5].no_wrap = True
    for told in rows:
        table.add_row(*told[: len(table.columns)])
    console = Console(markup=False, emoji=False)
    if not console.is_terminal:
        console.width = 200
    console.print(table)


def row(tensor: Any) -> tuple[str, ...]:
    """Mean, standard deviation, smallest, histogram, largest, and what is no finite number; empty texts where there are no values."""
    if tensor.is_meta or not tensor.numel():
        return "", "", "", "", "", "no values"
    values = np.asarray((tensor.to_dense() if is_sparse(tensor) else tensor).detach()._array).ravel()
    note = "magnitudes" if values.dtype.kind == "c" else ""
    values = np.abs(values) if note else values.astype(np.float64)
    finite = values[np.isfinite(values)]
    if finite.size < values.size:
        note += f"{', ' if note else ''}{values.size - finite.size:,} not finite"
    if not finite.size:
        return "", "", "", "", "", note
    low, high = float(finite.min()), float(finite.max())
    told = (f"{number:.4g}" for number in (finite.mean(), finite.std(), low))
    return *told, bars(finite), f"{high:.4g}", note


def bars(values: np.ndarray) -> str:
    """A histogram in one line of text: the fullest of the bins has the whole height, and none that holds something looks empty."""
    if values.min() == values.max():
        return "█"
    counts, _ = np.histogram(values, _BINS)
    heights = np.ceil(counts / counts.max() * (len(_BARS) - 1)).astype(int)
    return "".join(_BARS[height] for height in heights)
