"""Functions of one's numbers that are computed anew at each call (`math.cos(n)`), in place of Python's own, which look at the value."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ...core.context.grad_mode import state as grad_state
from ...core.dispatch.host_numbers import Constant, Expression, HostInt, HostNumber, expression_of, lift, plain
from ...core.tensor.tensor import Tensor
from .symbols import UNKNOWN
from .values import is_number

_NAMES = (
    "acos acosh asin asinh atan atan2 atanh cbrt ceil comb copysign cos cosh degrees erf erfc exp exp2 expm1 fabs factorial floor "
    "fmod gamma gcd hypot isclose isfinite isinf isnan isqrt lcm ldexp lgamma log log10 log1p log2 nextafter perm pow radians "
    "remainder sin sinh sqrt tan tanh trunc ulp"
)


def _followed(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        reads = next(arg.reads for arg in args if isinstance(arg, HostNumber))
        return lift(function(*map(plain, args)), Expression(function, *map(expression_of, args)), reads)

    return call


_FOLLOWED = {
    function: _followed(function)
    for function in (int, float, *(getattr(math, name) for name in _NAMES.split() if hasattr(math, name)))
}


def followed(callee: Any, args: list[Any], kwargs: Any) -> Callable[..., Any] | None:
    """What to call instead of a function that is given numbers which are inputs of the program; None for any other call."""
    if kwargs or not any(isinstance(arg, HostNumber) for arg in args):
        return None
    if not all(type(arg) in (int, float, np.float64) or isinstance(arg, HostNumber) for arg in args):
        return None
    try:
        return _FOLLOWED.get(callee)
    except TypeError:  # it has no hash
        return None


class _Numbers:
    """What stands for a row of numbers while one of them is taken by a number that is an input (`schedule[step]`)."""

    __slots__ = ("held",)

    def __init__(self, held: Any):
        self.held = held

    def __getitem__(self, key: HostNumber) -> Any:
        held = self.held
        return lift(held[key.plain], Expression(lambda i: held[i], key.expression), key.reads)


def from_a_row(shadow: Any, owner: Any, key: Any) -> bool:
    """Have a number be taken from a list, tuple or array of numbers of one kind at each call: `schedule[self.step]`."""
    if not isinstance(key, HostNumber) or type(owner) not in (list, tuple, np.ndarray) or not shadow.watcher.replaces:
        return False
    if type(owner) is np.ndarray:
        fit = owner.ndim == 1 and owner.dtype == np.float64
    else:
        fit = set(map(type, owner)) in ({int}, {float}, {np.float64})
    if not fit or type(key.plain) is not int or not -len(owner) <= key.plain < len(owner):
        return False
    shadow.replace(len(shadow.stack), _Numbers(owner.copy() if type(owner) is np.ndarray else tuple(owner)))
    return True


def by_its_say(shadow: Any, left: Any, right: Any) -> bool:
    """NumPy's float takes a float's value without asking it: put another object that asks in its place on the stack."""
    if not isinstance(left, np.generic) or not isinstance(right, HostNumber):
        return False
    if type(left) is np.float64 and shadow.watcher.replaces:
        shadow.replace(len(shadow.stack), lift(left, Constant(left), right.reads))
        return True
    right.settle()
    return False


def settle_beside(number: HostNumber, sign: str, other: Any) -> None:
    """Settle a number where the other side of a sign would take its value without asking, or looks at it."""
    if isinstance(other, Tensor) and sign.rstrip("=") not in ("+", "-", "*", "/", "**"):
        number.settle()  # these look at the number
    elif isinstance(number, HostInt) and isinstance(other, (float, complex)) and not isinstance(other, HostNumber):
        number.settle()  # a float takes an int's value without asking it
    elif not (is_number(other) or isinstance(other, (Tensor, HostNumber, bool)) or other is UNKNOWN):
        number.settle()


# what takes the values of an iterator by methods that such numbers have
_ASKS = frozenset(
    "sum min max any all sorted next iter list tuple set len isinstance hasattr getattr setattr reversed id type callable".split()
)


def no_numbers_on_the_way(shadow: Any, function: Any, args: list[Any]) -> None:
    """A function in C takes numbers from a generator as they are, without asking those that are inputs of the program."""
    watcher, name = shadow.watcher, getattr(function, "__name__", "")
    if name in _ASKS or not any(hasattr(type(value), "__next__") for value in args):
        return
    trace = grad_state.trace
    if watcher.reads.numbers or trace.number_leaves:
        watcher.refuse(f"it gives {name} an iterator while some numbers are inputs of the program")


__all__ = ["by_its_say", "followed", "from_a_row", "no_numbers_on_the_way", "settle_beside"]
