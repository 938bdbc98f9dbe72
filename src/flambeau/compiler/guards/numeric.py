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


# methods by which functions in C get a number: they take its value without asking it
_ANSWERS = frozenset("__len__ __length_hint__ __index__ __int__ __float__ __complex__ __hash__ __bool__".split())


class Direct:
    """What stands on the interpreter's stack for `len`, `int` or `float` of an object with a method of the user's for that."""

    __slots__ = ("method",)

    def __init__(self, method: Any):
        self.method = method

    def __call__(self, thing: Any) -> Any:
        return self.method(thing)


def returned(shadow: Any, value: Any) -> None:
    """A function of the user's is about to return a number to a function in C, perhaps."""
    if not isinstance(value, HostNumber) or shadow.code.co_name not in _ANSWERS:
        return
    back = shadow.frame.f_back
    if back is None or back.f_code is not Direct.__call__.__code__:
        shadow.replace(len(shadow.stack), value.settle())


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


__all__ = ["Direct", "by_its_say", "followed", "no_numbers_on_the_way", "returned", "settle_beside"]
