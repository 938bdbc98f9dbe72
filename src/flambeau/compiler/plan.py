"""What a trace has found for each call to do: how its tensors are found or made, and what changes in Python's own objects."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..core.tensor.tensor import Tensor
from .guards.places import Place
from .templates import Template

SAME, AT, ARGUMENT, MADE, LOOK = "same", "at", "argument", "made", "look"
OFF, LEAF, USED_UP = -1, -2, -3  # what becomes of a tensor's place on the tape, beside a number of a gradient


class Recipe(NamedTuple):
    """How a call finds or makes one of the tensors that it hands out or stores somewhere."""

    # SAME: an object; AT: what a place holds before the call; ARGUMENT: an argument; MADE: a new tensor; LOOK: a new view of
    # another recipe's tensor
    kind: str
    what: Any  # the object, or the number of the argument, output or recipe
    view: Any = None  # the geometry of a LOOK
    cls: type = Tensor
    live: int = -1  # the number of the gradient that it has, if any
    dead: bool = False  # whether its graph was used up inside
    leaf: bool = False  # whether it is a new leaf that requires grad


class Effect(NamedTuple):
    """A change of Python's own objects that each call makes after its run, in order."""

    place: Place | None  # where `args[0]` is put (None: `function` is called)
    function: Any
    args: list[Template]
    kwargs: dict[str, Template]
