"""Jaxprs as the kernel for small programs may run them (see `small.py`): what more than NumPy's rules it takes, and what XLA makes of it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jax.extend.core import Literal

from .by_numpy import Refused, _Value, _Writer
from .first_calls import SERVES
from .numpy_rules import MOVES, SPLIT

# in the kernel's order
TYPES: tuple[np.dtype, ...] = tuple(map(np.dtype, "bool int8 int16 int32 int64 uint8 float32 float64".split()))


class Reader(_Writer):
    """Looks through a jaxpr as `_Writer` does, and keeps which operation has made what."""

    def __init__(self) -> None:
        super().__init__()
        self.sums: set[int] = set()  # where nothing but sums was rounded
        self.totals: set[int] = set()
        self.picks = self.compares = False  # real numbers
        # operation, NumPy's form of it, operands, the result's place, and which of its results that is
        self.made: list[tuple[Any, Any, tuple[int, ...], int, int]] = []

    def steps_of(self, equation: Any) -> list[Any]:
        """Also what NumPy has no quick form of, and the kernel has."""
        name, kind = equation.primitive.name, equation.outvars[0].aval.dtype
        if kind in TYPES and (
            name in ("div", "sign", "rem") or (kind.kind == "f" and (_is_rem(equation) or _is_total(equation)))
        ):
            return [None]
        if name in ("reduce_max", "reduce_min") and kind.kind == "f" and not _is_loop(equation):
            raise Refused(name)
        return super().steps_of(equation)

    def refuse_chains(self, equation: Any, given: list[_Value]) -> None:
        """But for a mean: XLA divides the total by a number through its reciprocal."""
        if not (equation.primitive.name == "div" and given[0].place in self.totals and count_of(equation)):
            super().refuse_chains(equation, given)

    def _step(self, equation: Any, given: list[_Value], out: Any, step: Any) -> _Value:
        several = len(equation.outvars)
        which = 0 if several == 1 else sum(made[0] is equation for made in self.made) % several
        name = equation.primitive.name
        self.picks |= name == "select_n" and out.dtype.kind == "f"
        self.compares |= name in _COMPARE and equation.invars[0].aval.dtype.kind == "f"
        if name == "reduce_sum" and out.dtype.kind == "f":
            if given[0].rounded:
                raise Refused("a total of what is rounded")
            made = super()._step(equation, given, out, step)._replace(rounded=True)
            self.totals.add(made.place)
        else:
            made = super()._step(equation, given, out, step)
        if name == "mul" and any(isinstance(a, Literal) and np.all(np.isnan(a.val)) for a in equation.invars):
            made = made._replace(rounded=False)  # nan, whatever becomes of it
        if made.rounded and (
            name in ("add", "sub") or (name in MOVES and all(v.place in self.sums or not v.rounded for v in given))
        ):
            self.sums.add(made.place)
            if name == "select_n":  # a sum of what was chosen among sums is joined with none of them
                made = made._replace(rounded=False)
        self.made.append((equation, step, tuple(v.place for v in given), made.place, which))
        return made


_COMPARE = frozenset("lt le gt ge eq ne".split())


def _is_rem(equation: Any) -> bool:
    return equation.primitive.name == "flambeau_function" and equation.params["function"] == "rem"  # type: ignore[no-any-return]


def count_of(equation: Any) -> int:
    """By how many a total is divided; 0 if not by a small whole number."""
    number = equation.invars[1]
    value = float(number.val) if isinstance(number, Literal) and np.ndim(number.val) == 0 else 0.0
    return int(value) if 1 < value <= MOST_SUMMED * 4 and value.is_integer() else 0


MOST_SUMMED: int = 1024  # along a dimension, up to which XLA's order is known


def _is_total(equation: Any) -> bool:
    """Whether it is a sum whose order is known: of this XLA, along one dimension, of few elements.

    Along several its order hangs on their sizes and strides; the result differs in the last bits from some hundred elements on. Along
    none (sizes of 1) it is no sum for XLA, nor is a mean then a quotient, so that subnormal numbers stay.
    """
    if equation.primitive.name != "reduce_sum" or not SERVES:
        return False
    shape = equation.invars[0].aval.shape
    summed = [shape[d] for d in equation.params["axes"] if shape[d] != 1]
    return len(summed) == 1 and 0 < summed[0] <= MOST_SUMMED and _is_loop(equation)


def _is_loop(equation: Any) -> bool:
    return math.prod(equation.invars[0].aval.shape) < SPLIT
