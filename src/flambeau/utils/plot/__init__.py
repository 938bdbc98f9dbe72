"""`plot`: a network as a picture (SVG), drawn from shapes alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flambeau.nn.modules.module import Module
from flambeau.utils.plot.blocks import blocks, count, deepest
from flambeau.utils.plot.record import Example, likely_input, record
from flambeau.utils.plot.svg import draw

from ...core.dispatch.help import explain_functions as _explain_functions

_MOST_BOXES = 48  # how many a drawing has at most where nothing says how deep it goes


class Drawing:
    """A picture: notebooks show it, `save` writes it, `svg` is its text, `shapes` are the inputs', `depth` how deep modules were opened."""

    def __init__(self, svg: str, depth: int, shapes: list[tuple[int, ...]]):
        self.svg = svg
        self.depth = depth
        self.shapes = shapes

    def save(self, path: str | Path) -> None:
        """Write the picture to a file, as SVG. ValueError for a name that says another format."""
        if Path(path).suffix.lower() != ".svg":
            raise ValueError(f"flambeau.plot draws SVG: name the file .svg, not {Path(path).name}")
        Path(path).write_text(self.svg, encoding="utf-8")

    def _repr_svg_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        return f"<a drawing of {len(self.svg):,} bytes of SVG; save it with .save('net.svg')>"


def plot(
    module: Module, input: Any = None, *, depth: int | None = None, theme: str = "auto", dtype: Any = None
) -> Drawing:
    """Draw what `module` makes of an input: its layers and what is computed between them, with the shapes on the way.

    `input`: a tensor or a shape with its batch dimension, or a list of these for several inputs; without it a shape is guessed
    from the first layer (or `module.example_input_array` is taken). `dtype`: of the inputs that are given as shapes, one for all or a
    list, or of the guessed one. `depth`: how many levels of modules are opened; what is deeper is one box; without it as many as
    give a picture of at most 48 boxes. Equal blocks in a row share one box. `theme`: "light", "dark" or "auto" (what the reader's
    system says).

    The forward runs once in `eval()` with shapes in the place of values, so a large network takes no memory and no time; the module is
    left as it was. An error in the forward comes as it is. Raises TypeError for what is no module, ValueError for parameters that
    are not initialised yet, for another theme, where no shape can be guessed, and where the forward asks for values.

    >>> from flambeau import nn
    >>> drawing = plot(nn.Sequential(nn.Linear(4, 8), nn.ReLU()), (1, 4))
    >>> "1×8" in drawing.svg
    True
    """
    if not isinstance(module, Module):
        raise TypeError(f"plot needs a module, but got {type(module).__name__}")
    if theme not in ("auto", "light", "dark"):
        raise ValueError(f"theme must be 'auto', 'light' or 'dark', got {theme!r}")
    given = likely_input(module, dtype) if input is None else Example.of(input, dtype)
    recorded = record(module, given)
    if depth is None:
        reach = deepest(recorded)
        depth = next((d for d in range(reach, 1, -1) if count(blocks(recorded, d)) <= _MOST_BOXES), 1)
    return Drawing(draw(blocks(recorded, depth), theme), depth, [leaf.shape for leaf in given.leaves])


__all__ = ["Drawing", "plot"]

_explain_functions([plot], "torch")
