"""Numbers that may be symbols in PyTorch: here every size is a Python number, so the classes have no instances."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NoReturn

__all__ = [
    "SymBool", "SymFloat", "SymInt", "sym_constrain_range", "sym_constrain_range_for_size", "sym_float", "sym_int", "sym_ite",
    "sym_max", "sym_min", "sym_not", "sym_sqrt", "sym_sum",
]  # fmt: skip


class _Symbol:
    def __init__(self, node: Any) -> NoReturn:
        raise NotImplementedError(
            f"{type(self).__name__}: sizes are Python numbers here, also in compiled functions; there are no symbols"
        )


class SymInt(_Symbol):
    """An integer that is not known yet: never, here. It serves `isinstance`."""

    __module__ = "torch"


class SymFloat(_Symbol):
    """A float that is not known yet: never, here. It serves `isinstance`."""

    __module__ = "torch"


class SymBool(_Symbol):
    """A bool that is not known yet: never, here. It serves `isinstance`."""

    __module__ = "torch"


def sym_int(a: Any) -> int:
    """The whole part of a number."""
    return math.floor(a) if a >= 0 else math.ceil(a)


def sym_float(a: Any) -> float:
    """A number as a float."""
    return float(a)


def sym_not(a: Any) -> bool:
    """`not a`."""
    return not a


def sym_max(a: Any, b: Any) -> Any:
    """The greater number; a float if either is one."""
    return float(max(a, b)) if isinstance(a, float) or isinstance(b, float) else max(a, b)


def sym_min(a: Any, b: Any) -> Any:
    """The smaller number; a float if either is one."""
    return float(min(a, b)) if isinstance(a, float) or isinstance(b, float) else min(a, b)


def sym_sqrt(a: Any) -> float:
    """The square root."""
    return math.sqrt(a)


def sym_ite(b: Any, t: Any, f: Any) -> Any:
    """`t if b else f`, which are of one type."""
    if not isinstance(b, bool) or type(t) is not type(f):
        raise AssertionError("sym_ite() takes a bool and two values of one type")
    return t if b else f


def sym_sum(args: Sequence[Any]) -> Any:
    """The sum of numbers."""
    return sum(args)


def sym_constrain_range(size: Any, *, min: int | None = None, max: int | None = None) -> None:
    """RuntimeError if a number is not between two others."""
    low, high = -(2**63) if min is None else min, 2**63 - 1 if max is None else max
    if not low <= size <= high:
        raise RuntimeError(f"Invalid value range for {size} between [{low}, {high}].")


def sym_constrain_range_for_size(size: Any, *, min: int | None = None, max: int | None = None) -> None:
    """The same for a size, which is not negative."""
    sym_constrain_range(size, min=0 if min is None else min, max=max)
