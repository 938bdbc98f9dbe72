"""`flambeau summary` and `flambeau inspect`: looking at networks and at checkpoints."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any

import flambeau
from flambeau import drop_in
from flambeau.cli import weights


def print_summary(factory: str, input_size: list[str], dtype: str) -> None:
    """Build the network that `module:callable` makes and print its table."""
    from flambeau.utils.summary import summary

    drop_in.install()
    sys.path.insert(0, os.getcwd())
    module_name, _, name = factory.partition(":")
    if not name:
        sys.exit(f"flambeau: expected module:callable, as in torchvision.models:resnet34, got {factory!r}")
    try:
        made: Any = importlib.import_module(module_name)
        for part in name.split("."):
            made = getattr(made, part)
    except (ImportError, AttributeError) as error:
        sys.exit(f"flambeau: {error}")
    kind = getattr(flambeau, dtype, None)
    if not isinstance(kind, flambeau.dtype):
        sys.exit(f"flambeau: {dtype!r} is no dtype; try float32 or int64")
    try:
        sizes = [tuple(int(n) for n in text.replace("x", ",").split(",")) for text in input_size]
    except ValueError:
        sys.exit(f"flambeau: sizes are numbers with commas, as in 1,3,224,224; got {' '.join(input_size)}")
    model = made if isinstance(made, flambeau.nn.Module) else made()
    print(summary(model, sizes, dtype=kind))


def print_checkpoint(file: Path) -> None:
    """List the tensors (and the plain values beside them) of a checkpoint."""
    from rich.console import Console
    from rich.table import Table

    try:
        content = weights.read(file, headers=True)
    except Exception as error:
        sys.exit(f"flambeau: {file}: {error}")
    table = Table("Key", "Shape", "Dtype", "Bytes")
    for column in (1, 3):
        table.columns[column].justify = "right"
    count = total = 0
    for key, value in weights.leaves(content):
        if isinstance(value, flambeau.Tensor):
            size = value.numel() * value.dtype.itemsize
            count, total = count + 1, total + size
            table.add_row(key, weights.shape_of(value), str(value.dtype), f"{size:,}")
        else:
            table.add_row(key, weights.brief(value), type(value).__name__, "")
    console = Console(markup=False, emoji=False)
    if not console.is_terminal:
        console.width = 200
    console.print(table)
    console.print(f"{count:,} tensors, {total:,} bytes", highlight=False)
