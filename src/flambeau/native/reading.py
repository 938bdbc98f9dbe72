"""Single values of arrays in the CPU's memory, and whether indices are in range, without NumPy (`native/reading.cc`)."""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from jax._src.array import ArrayImpl

from . import expect, host_function, opened

_MANY = 64  # calls after which the library is loaded for this alone
_NUMBERS = ("float32", "float64", "int64", "int32", "int16", "int8", "uint8", "bool")  # in the library's order

AreInside = Callable[..., bool]

expect("flambeau_reading", by_host=True)
_calls = itertools.count()


class _Functions:
    """The library's functions, once they are there; before, and without the library, nothing is at hand.

    `number_at(array, place)` is the number at a place of an array, in the order of its memory, as Python's own; `all_inside(array, low, high)`
    whether all of its whole numbers are in `[low, high)`, or equal to a fourth argument. Both give None for what is not at hand: in the memory
    of this process's CPU, and computed. `looking(looks)` makes a function that says of a list of arrays whether all that it looks at are
    seen to be inside; `looks` are (place in the list, low, high, ignored, number) of each, one after the other, where one that ignores
    nothing has `low` there again. The number is that of a further argument, NumPy's memory that the array was made of (or None), and -1
    where there is none. What was seen is remembered of an array as long as it lives: its values are for ever. `know_addresses()` says that
    somebody may write into memory of arrays all the same, after which nothing is remembered.
    """

    def __init__(self) -> None:
        self.number_at: Callable[[Any, int], Any] = self._number_at
        self.all_inside: Callable[..., bool | None] = self._all_inside
        self.looking: Callable[[tuple[int, ...]], AreInside] | None = None
        self.know_addresses: Callable[[], None] = self._know_addresses
        self._are_known: bool = False

    def _number_at(self, array: Any, place: int) -> Any:
        return self.number_at(array, place) if self._found() else None

    def _all_inside(self, array: Any, *look: int) -> bool | None:
        return self.all_inside(array, *look) if self._found() else None

    def _know_addresses(self) -> None:
        self._are_known = True

    def for_programs(self) -> Callable[[tuple[int, ...]], AreInside] | None:
        """`looking`, or None without the library."""
        if self.looking is None and self.all_inside is not _nothing:
            self._found(at_once=True)
        return self.looking

    def _found(self, at_once: bool = False) -> bool:
        if not at_once and not opened() and next(_calls) < _MANY:
            return False
        maker = host_function("flambeau_reading")
        if maker is None:
            self.number_at = self.all_inside = _nothing
        else:
            with_the_lock = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)
            made = with_the_lock(ctypes.cast(maker, ctypes.c_void_p).value)  # type: ignore[arg-type]
            known = {np.dtype(name): i for i, name in enumerate(_NUMBERS)}
            self.number_at, self.all_inside, self.looking, self.know_addresses = made((None, ArrayImpl, known))
            if self._are_known:
                self.know_addresses()
        return True


def _nothing(*given: Any) -> None:
    return None


functions: _Functions = _Functions()
