"""Functions of one's numbers that are computed anew at each call (`math.cos(n)`), in place of Python's own, which look at the value."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np

from ...core.context.grad_mode import state as grad_state
from ...core.dispatch.host_numbers import (
    NUMBERS,
    SCALARS,
    Constant,
    Expression,
    HostInt,
    HostNumber,
    HostScalar,
    HostText,
    HostValue,
    asks_nobody,
    computed,
    constant,
    lift_text,
    plain,
    settle,
)
from ...core.tensor.tensor import Tensor
from .modules import is_library_class
from .places import in_class
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
        return computed(function, args, reads)

    return call


def _power(base: Any, exponent: Any, *modulus: Any) -> Any:
    return _said(base, exponent) ** exponent if not modulus else _followed(pow)(base, exponent, *modulus)


def _divided(number: Any, by: Any) -> Any:
    return divmod(_said(number, by), by)


def _said(left: Any, right: Any) -> Any:
    """A number on the left, as one that asks the right one for its say."""
    return constant(left, right.reads) if asks_nobody(left) and isinstance(right, HostNumber) else left


_FOLLOWED = {
    function: _followed(function)
    for function in (
        int,
        float,
        round,
        *SCALARS,
        *(getattr(math, name) for name in _NAMES.split() if hasattr(math, name)),
    )
}
_FOLLOWED |= {pow: _power, divmod: _divided}


def _as_text(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(number: Any) -> Any:
        return lift_text(function(number.plain), Expression(function, number.expression), number.reads)

    return call


_TEXTS = {str: _as_text(str), repr: _as_text(repr)}


def followed(callee: Any, args: list[Any], kwargs: Any) -> Callable[..., Any] | None:
    """What to call instead of a function that is given numbers which are inputs of the program; None for any other call."""
    if kwargs or not any(isinstance(arg, HostNumber) for arg in args):
        return None
    if not all(type(arg) in NUMBERS or isinstance(arg, HostNumber) for arg in args):
        return None
    if len(args) == 1 and (callee is str or callee is repr):
        return _TEXTS[callee]
    try:
        return _FOLLOWED.get(callee)
    except TypeError:  # it has no hash
        return None


class Asking:
    """What stands on the interpreter's stack for `sum`, `min`, `max` and `sorted`: in C, a float takes the value of an int that is an
    input of the program, and NumPy's float that of any number.
    """

    __slots__ = ("function", "reads")
    FUNCTIONS = (sum, min, max, sorted)

    def __init__(self, function: Any, reads: Any):
        self.function: Any = function
        self.reads: Any = reads

    def _asked(self, value: Any) -> Any:
        return constant(value, self.reads) if asks_nobody(value) else value

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        several = len(args) > 1 and self.function in (min, max)
        values = list(args if several or not args else args[0])
        settle_mixed([values, args[1:]], unasked=False)
        if self.function is sum:
            return self._added(values, *args[1:], **kwargs)
        if (key := kwargs.get("key")) is not None:
            kwargs["key"] = lambda value: self._asked(key(_unasked(value)))
        asked = list(map(self._asked, values))
        made = self.function(*(asked if several else [asked] if args else []), **kwargs)
        return list(map(_unasked, made)) if self.function is sorted else _unasked(made)

    @staticmethod
    def _added(values: list[Any], start: Any = 0) -> Any:
        if isinstance(start, (str, bytes, bytearray)):
            return sum(values, start)  # type: ignore[arg-type]
        for value in values:
            start = _said(start, value) + value
        return start


def _unasked(value: Any) -> Any:
    return value.plain if isinstance(value, HostNumber) and isinstance(value.expression, Constant) else value


def asking(shadow: Any, callee: Any, place: int) -> None:
    """Have `sum` and its like ask the numbers that they are given."""
    watcher = shadow.watcher
    if watcher.replaces and any(callee is function for function in Asking.FUNCTIONS) and _has_inputs(watcher):
        shadow.replace(place, Asking(callee, watcher.reads))


def _has_inputs(watcher: Any) -> bool:
    reads = watcher.reads
    return bool(
        reads.numbers
        or reads.lengths
        or reads.installed
        or grad_state.trace.number_leaves
        or any(contents.numbers for contents in reads.contents.values())
    )


def settle_mixed(values: Any, unasked: bool = True) -> None:
    """Settle numbers beside others that would take their values without asking: bools, members of enumerations, numbers of a class;
    `unasked`: floats and NumPy's scalars too, in whose place nobody puts one that asks.
    """
    parts, stack = [], [values]
    while stack:
        part = stack.pop()
        if type(part) in (list, tuple):
            stack += part
        elif isinstance(part, dict):
            stack += part.values()
        else:
            parts.append(part)
    takes = [part for part in parts if _takes(part) or (unasked and asks_nobody(part))]
    if takes and any(isinstance(part, (HostInt, HostScalar)) for part in parts):
        settle(parts)


def _takes(value: Any) -> bool:
    numeric = isinstance(value, (int, float, complex, np.generic))
    return numeric and type(value) not in NUMBERS and not isinstance(value, HostNumber)


def looks_at_types(callee: Any) -> bool:
    """Whether a function is one of NumPy's in C, to which Python's own numbers are others than those of a class."""
    module = str(getattr(callee, "__module__", None))
    return module.partition(".")[0] == "numpy" and not isinstance(callee, (np.ufunc, type, FunctionType))


def settled(shadow: Any, value: Any, place: int) -> Any:
    """The value of a number that is given to such a function, which is put in its place on the stack."""
    if not isinstance(value, HostNumber):
        return value
    shadow.replace(place, found := value.settle())
    return found


def by_its_say(shadow: Any, left: Any, right: Any) -> bool:
    """A float takes an int's value without asking it, NumPy's scalar any number's: put another object that asks in its place on the
    stack. What else would do so gets the value.
    """
    if not isinstance(right, HostNumber) or isinstance(left, HostNumber):
        return False
    kind = type(left)
    if kind is int or (kind is float and not isinstance(right, HostInt)):
        return False
    if asks_nobody(left) and shadow.watcher.replaces:
        shadow.replace(len(shadow.stack), constant(left, right.reads))
        return True
    if isinstance(left, (int, float, complex, np.generic)) and not (kind is bool and not isinstance(right, HostInt)):
        right.settle()
    return False


def settle_beside(number: HostValue, sign: str, other: Any) -> None:
    """Settle a number, or a text, where the other side of a sign looks at it."""
    if isinstance(number, HostText):
        if sign not in ("+", "+=") or not isinstance(other, str):
            number.settle()
        return
    looks = isinstance(other, Tensor) and sign.rstrip("=") not in ("+", "-", "*", "/", "**")
    simple = is_number(other) or isinstance(other, (Tensor, HostNumber, bool)) or other is UNKNOWN
    if looks or not simple:
        number.settle()


# methods by which functions in C get a number: they take its value without asking it
_ANSWERS = frozenset("__len__ __length_hint__ __index__ __int__ __float__ __complex__ __hash__ __bool__".split())


class Direct:
    """What stands on the interpreter's stack for `len`, `int` or `float` of an object with a method of the user's for that."""

    __slots__ = ("function", "method", "name")

    def __init__(self, function: Any, method: Any, name: str):
        self.function: Any = function
        self.method: Any = method
        self.name: str = name  # in the class: the method itself may be called otherwise

    def __call__(self, thing: Any) -> Any:
        made = self.method(thing)
        kind = float if self.function is float else int
        if (
            isinstance(made, HostNumber)
            and type(made.plain) is kind
            and not (self.function is len and made.looked_at(_is_below_zero))
        ):
            return made
        # what the function in C makes of it, and its errors
        return self.function(type(type(thing).__name__, (), {self.name: lambda self: plain(made)})())


def _is_below_zero(number: Any) -> bool:
    return bool(number < 0)


def returned(shadow: Any, value: Any) -> None:
    """A function of the user's is about to return a number, or a text, to a function in C, perhaps."""
    if isinstance(value, HostText):
        caller = shadow.watcher.shadows.get(shadow.frame.f_back)
        called = getattr(caller, "called", None)
        if getattr(getattr(called, "__func__", called), "__code__", None) is not shadow.code:
            shadow.replace(len(shadow.stack), value.settle())
        return
    if not isinstance(value, HostNumber) or shadow.code.co_name not in _ANSWERS:
        return
    back = shadow.frame.f_back
    if back is None or back.f_code is not Direct.__call__.__code__:
        shadow.replace(len(shadow.stack), value.settle())


# what takes the values of an iterator by methods that such numbers have, or keeps them, or does not go through it
_ASKS = frozenset(
    "sum min max any all sorted next iter list tuple set len isinstance hasattr getattr setattr reversed id type callable "
    "issubclass hash repr ascii format str vars dir property partial SimpleNamespace __init__".split()
)
_KEEPING = (list, tuple, dict, set, frozenset, deque, BaseException)


def no_numbers_on_the_way(shadow: Any, function: Any, args: list[Any]) -> None:
    """A function in C takes numbers from a generator, or from an object whose parts code in Python gives, as they are, without asking
    those that are inputs of the program.
    """
    watcher, name = shadow.watcher, getattr(function, "__name__", "")
    if name in _ASKS or not any(map(_gives_by_code, args)):
        return
    if isinstance(function, type) and issubclass(function, _KEEPING) and not is_library_class(function):
        return
    if _has_inputs(watcher):
        watcher.refuse(f"it gives {name} an iterator while some numbers are inputs of the program")


def _gives_by_code(value: Any) -> bool:
    kind = type(value)
    if hasattr(kind, "__next__"):
        return True
    if isinstance(value, type) or is_library_class(kind):
        return False
    return any(isinstance(in_class(kind, name), FunctionType) for name in ("__iter__", "__getitem__"))


__all__ = [
    "Asking",
    "Direct",
    "asking",
    "by_its_say",
    "followed",
    "looks_at_types",
    "no_numbers_on_the_way",
    "returned",
    "settle_beside",
    "settle_mixed",
    "settled",
]
