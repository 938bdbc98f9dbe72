"""Numbers that PyTorch keeps as symbols while it traces. Here sizes are always known: these are functions of plain numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any


class SymInt:
    """A size that is a symbol. There are none here, so that `isinstance(x, torch.SymInt)` is False."""

    __module__ = "flambeau"
    _what = "int"

    def __init__(self, node: Any):
        raise NotImplementedError(
            f"torch.{type(self).__name__}: sizes are known numbers here, not symbols; use Python's {self._what}"
        )


class SymFloat(SymInt):
    """A float that is a symbol; as `SymInt`."""

    __module__ = "flambeau"
    _what = "float"


class SymBool(SymInt):
    """A condition that is a symbol; as `SymInt`."""

    __module__ = "flambeau"
    _what = "bool"


def sym_int(a: Any) -> int:
    """The number without its fraction."""
    return math.floor(a) if isinstance(a, float) and a >= 0 else math.ceil(a) if isinstance(a, float) else int(a)


def sym_float(a: Any) -> float:
    """The number as a float."""
    return float(a)


def sym_not(a: Any) -> bool:
    """Whether it is false."""
    return not a


def _either(choose: Callable[[Any, Any], Any], a: Any, b: Any) -> Any:
    if isinstance(a, float) or isinstance(b, float):
        return float(choose(a, b))
    return choose(a, b)


def sym_max(a: Any, b: Any) -> Any:
    """The greater one, a float if one of them is."""
    return _either(max, a, b)


def sym_min(a: Any, b: Any) -> Any:
    """The smaller one, a float if one of them is."""
    return _either(min, a, b)


def sym_sum(*args: Any) -> Any:
    """The sum of a sequence of numbers, or of the arguments."""
    values = args[0] if len(args) == 1 and isinstance(args[0], (list, tuple)) else args
    return sum(values)


def sym_ite(b: bool, t: Any, f: Any) -> Any:
    """`t` if `b`, else `f`. AssertionError if `b` is no bool, or the two are not of one type."""
    if type(b) is not bool:
        raise AssertionError(f"expected SymBool or bool, got {type(b)}")
    if type(t) is not type(f):
        raise AssertionError(f"type mismatch: {type(t)} vs {type(f)}")
    return t if b else f


def sym_fresh_size(expr: Any) -> Any:
    """The size itself."""
    return expr


def _on_number(name: str) -> Callable[[Any], float]:
    function = getattr(math, name)

    def call(a: Any) -> float:
        return float(function(a))

    call.__name__ = call.__qualname__ = f"sym_{name}"
    call.__doc__ = f"`math.{name}` of a number."
    return call


sym_sqrt = _on_number("sqrt")


def sym_constrain_range(size: Any, *, min: int | None = None, max: int | None = None) -> None:
    """RuntimeError if a number is not between two others."""
    low, high = -(2**63) if min is None else min, 2**63 - 1 if max is None else max
    if not low <= size <= high:
        raise RuntimeError(f"Invalid value range for {size} between [{low}, {high}].")


def sym_constrain_range_for_size(size: Any, *, min: int | None = None, max: int | None = None) -> None:
    """The same for a size, which is not negative."""
    sym_constrain_range(size, min=0 if min is None else min, max=max)


_FUNCTIONS = {
    f"_sym_{name}": _on_number(name) for name in "acos asin atan cos cosh log2 sin sinh sqrt tan tanh".split()
}
globals().update(_FUNCTIONS)

__all__ = [
    "SymBool",
    "SymFloat",
    "SymInt",
    "sym_constrain_range",
    "sym_constrain_range_for_size",
    "sym_float",
    "sym_fresh_size",
    "sym_int",
    "sym_ite",
    "sym_max",
    "sym_min",
    "sym_not",
    "sym_sqrt",
    "sym_sum",
]  # fmt: skip
