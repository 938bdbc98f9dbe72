"""Families of numbers that are given by a place `loc` and a width `scale`."""

from __future__ import annotations

from typing import Any

from ..core.tensor.tensor import Tensor
from . import constraints
from .utils import broadcast_all

LOCATED: dict[str, constraints.Constraint] = {"loc": constraints.real, "scale": constraints.positive}


class Located:
    """Both parameters, broadcast, and their constraints."""

    arg_constraints = LOCATED
    loc: Tensor
    scale: Tensor

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = broadcast_all(loc, scale)
        super().__init__(self.loc.size(), validate_args=validate_args)  # type: ignore[call-arg]
