"""Small calls that the host computes at once, in less time than a program of XLA takes to begin (`native/at_once.cc`).

Each function is given arrays of JAX's or of NumPy's, and NumPy's memory for the result. It says True, or None where a program has to do
it, be it to say what is wrong.
"""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Callable

import jax

from . import expect, host_function, opened

__all__ = ["COMPARISONS", "OPERATIONS", "functions"]

_OPERATIONS = ("add", "sub", "mul", "div", "eq", "ne", "lt", "le", "gt", "ge")  # in the library's order
OPERATIONS: dict[str, int] = {name: i for i, name in enumerate(_OPERATIONS)}
COMPARISONS: int = OPERATIONS["eq"]  # from here on the results are bools
_MANY = 64  # calls after which the library is loaded for this alone

expect("flambeau_at_once", by_host=True)
_calls = itertools.count()


class _Functions:
    """The library's functions, once they are there; before, and without the library or on other machines than one CPU, none is at hand.

    A part of an array is the array, where it begins, and how many elements it has, or the shape that they have. `elementwise(operation,
    result, *part, *part)` computes with two, of which the shorter one begins anew where it ends, or with a number in the place of the second
    part and whether it is an int. `slices(result, x, start, shape, dimension, *part)` takes the slices along a dimension that have the part's
    numbers, `gathered(result, x, start, shape, dimension, numbers, start, shape)` elements, each by the number in its place, and
    `named(result, x, start, shape, *part, ...)` what the first dimensions' numbers name, which may count from the end.
    """

    def __init__(self) -> None:
        self.at_hand: bool | None = None  # None: not asked yet

    def found(self) -> bool:
        """Whether the functions are at hand."""
        if self.at_hand is None and (opened() or next(_calls) >= _MANY):
            self._look()
        return bool(self.at_hand)

    def _look(self) -> None:
        maker = host_function("flambeau_at_once")
        devices = jax.devices()
        if maker is None or len(devices) != 1 or devices[0].platform != "cpu":
            self.at_hand = False
            return
        with_the_lock = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)
        made = with_the_lock(ctypes.cast(maker, ctypes.c_void_p).value)  # type: ignore[arg-type]
        self.elementwise: Callable[..., bool | None]
        self.slices: Callable[..., bool | None]
        self.gathered: Callable[..., bool | None]
        self.named: Callable[..., bool | None]
        self.elementwise, self.slices, self.gathered, self.named = made((None, True))
        self.at_hand = True


functions: _Functions = _Functions()
