"""Programs of small arrays that the host runs at once (`native/small.cc`)."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax._src.array import ArrayImpl

from . import expect, host_function

__all__ = ["functions"]

expect("flambeau_small", by_host=True)


class _Functions:
    """The library's functions, once they were looked for; without the library, and on other machines than one CPU, none is there.

    `programs()` makes what holds programs of one function by the kinds of their arguments. `run(programs, arguments, recording)` gives
    the results, in NumPy's memory, of tensors and Python's numbers; None where it has none (-1, now and then, if that goes on and on);
    or the number of a program that was asked for often enough to be looked at, of which `enter` tells what it is made of (nothing more:
    it is refused). `write(array, start, sizes, steps, number, copy)` puts a number at places of an array, or
    `write(..., None, copy, source, first)` what lies in a row in another one; with NumPy's memory for a `copy` there, not in the array.
    """

    def __init__(self) -> None:
        self.programs: Callable[[], Any]
        self.run: Callable[[Any, tuple[Any, ...], Any], Any]
        self.enter: Callable[..., None]
        self.write: Callable[..., bool | None]
        self.at_hand: bool = False

    def look(self, plain: set[type], storage: type, on_host: type) -> bool:
        """Whether the functions are there, for tensors of these classes over these storages."""
        maker = host_function("flambeau_small")
        devices = jax.devices()
        if maker is not None and len(devices) == 1 and devices[0].platform == "cpu":
            with_the_lock = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)
            made = with_the_lock(ctypes.cast(maker, ctypes.c_void_p).value)  # type: ignore[arg-type]
            told = (None, np.empty, plain, storage, on_host, ArrayImpl, float, int, bool, True)
            self.programs, self.run, self.enter, self.write = made(told)
            self.at_hand = True
        return self.at_hand

    def stop(self) -> None:
        """Run no more programs."""
        self.at_hand = True
        self.programs = lambda: None
        self.run = self.write = lambda *given: None


functions: _Functions = _Functions()
