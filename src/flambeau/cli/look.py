"""`flambeau summary` and `flambeau inspect`: looking at networks and at checkpoints."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import flambeau
from flambeau import drop_in
from flambeau.cli import weights
from flambeau.cli.progress import waiting


def network(factory: str) -> flambeau.nn.Module:
    """The network that `module:callable` or `file.py:name` names, made if it is a class or a function. Ends the program if there is none."""
    drop_in.install()
    sys.path.insert(0, os.getcwd())
    module_name, _, name = factory.rpartition(":")
    if not module_name:
        sys.exit(
            f"flambeau: expected module:callable, as in torchvision.models:resnet34 or net.py:net, got {factory!r}"
        )
    try:
        made: Any = _module(module_name)
        for part in name.split("."):
            made = getattr(made, part)
    except (ImportError, AttributeError, FileNotFoundError) as error:
        sys.exit(f"flambeau: {error}")
    model = made if isinstance(made, flambeau.nn.Module) else made() if callable(made) else made
    if not isinstance(model, flambeau.nn.Module):
        sys.exit(f"flambeau: {factory} is no network, but {type(model).__name__}")
    return model


def _module(name: str) -> Any:
    if not name.endswith(".py"):
        return importlib.import_module(name)
    path = Path(name).resolve()
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))
    sys.modules.setdefault(path.stem, module)
    spec.loader.exec_module(module)
    return module


def _sizes(texts: list[str]) -> list[tuple[int, ...]]:
    try:
        return [tuple(int(n) for n in text.replace("x", ",").split(",")) for text in texts]
    except ValueError:
        sys.exit(f"flambeau: sizes are numbers with commas, as in 1,3,224,224; got {' '.join(texts)}")


def _dtype(name: str) -> Any:
    kind = getattr(flambeau, name, None)
    if not isinstance(kind, flambeau.dtype):
        sys.exit(f"flambeau: {name!r} is no dtype; try float32 or int64")
    return kind


@contextmanager
def _at_work(what: str) -> Iterator[None]:
    """What it is busy with is shown; an error, which is the network's or of what it was given, ends the program with a line."""
    from flambeau.utils.plot.record import where

    try:
        with waiting(what):
            yield
    except Exception as error:
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        sys.exit(f"flambeau: {kind}{error}{where(error)}")


def print_summary(factory: str, input_size: list[str], dtype: str) -> None:
    """Build the network that `module:callable` makes and print its table."""
    from flambeau.utils.summary import summary

    kind, sizes = _dtype(dtype), _sizes(input_size)
    with _at_work(f"looking at {factory}"):
        table = summary(network(factory), sizes, dtype=kind)
    print(table)


def write_drawing(
    factory: str, sizes: list[str] | None, dtype: str | None, output: Path, depth: int | None, theme: str
) -> None:
    """Draw a network into a file."""
    from flambeau.utils.plot import plot

    if output.suffix.lower() != ".svg":
        sys.exit(f"flambeau: the drawing is SVG: name the file .svg, not {output.name}")
    if not output.parent.is_dir():
        sys.exit(f"flambeau: the folder {output.parent} does not exist")
    kind = None if dtype is None else _dtype(dtype)
    given = _sizes(sizes) if sizes else None
    with _at_work(f"drawing {factory}"):
        drawing = plot(network(factory), given, depth=depth, theme=theme, dtype=kind)
    try:
        drawing.save(output)
    except OSError as error:
        sys.exit(f"flambeau: {output}: {error.strerror}")
    print(
        f"wrote {output} ({'x'.join(map(str, drawing.shapes[0]))}, {drawing.depth} level{'s' * (drawing.depth > 1)} open)"
    )


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
