"""MT19937's words on the host, and what is made of them, many at a time.

The compiled functions work on the memory in which NumPy's bit generator keeps its state, so that either of them goes on
where the other stopped.
"""

from __future__ import annotations

import ctypes
import itertools
from functools import cache
from typing import Any

import numpy as np

from . import expect, host_function, opened

__all__ = ["fill", "memory"]

_LOADS = 1024  # numbers from which on the library is loaded
_FROM = 8  # numbers from which on a call pays where it is loaded
_MANY = 64  # calls for fewer numbers after which it is loaded all the same

_short = itertools.count()

_NUMBERS: dict[str, list[Any]] = {  # what each function takes after the state, the results and how many
    "below": [ctypes.c_uint64],
    "doubles": [ctypes.c_double] * 2,
    "floats": [ctypes.c_float] * 2,
    "normals": [ctypes.c_float] * 2,
    "pairs": [],
    "permutation": [],
    "remainders": [ctypes.c_uint32, ctypes.c_int64],
    "wide_normals": [ctypes.c_double] * 2,
    "words": [],
}
expect(*(f"flambeau_random_{name}" for name in _NUMBERS), by_host=True)


@cache
def _function(name: str) -> Any:
    function = host_function(f"flambeau_random_{name}")
    if function is None or not _layout_is_known():
        return None
    function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, *_NUMBERS[name]]
    function.restype = None
    return function


@cache
def _layout_is_known() -> bool:
    """Whether NumPy's state lies as expected: 624 words, then the position."""
    bits = np.random.MT19937(1)
    bits.random_raw(5)
    held = (ctypes.c_uint32 * 625).from_address(bits.ctypes.state_address)
    state: dict[str, Any] = bits.state["state"]  # type: ignore[assignment]
    return held[624] == state["pos"] and np.array_equal(held[:624], state["key"])


def memory(bits: np.random.MT19937) -> Any:
    """The bytes of a generator's words and of its position, where it keeps them; None where that is not known."""
    return (ctypes.c_char * 2500).from_address(bits.ctypes.state_address) if _layout_is_known() else None


def fill(name: str, bits: np.random.MT19937, out: np.ndarray, *numbers: float) -> bool:
    """Fill `out` with the next draws of a generator; False, and nothing is drawn, where NumPy has to do it.

    `words`: as they are (uint32). `below` (limit): whether the 53 low bits of two words, the first one above the second,
    are below a limit (bool). `floats` (scale, start): u * scale + start, rounded once, with u from [0, 1) of a word's 24
    low bits; `doubles` the same of 53 bits. `normals` (mean, deviation): of single precision, at least 16; `wide_normals`
    the same of double precision; `pairs`: an even number of these, of pairs that follow each other. `permutation`: the whole
    numbers below the size (int64), shuffled. `remainders` (divisor below 2**28, start): of words, with the start added (int64).
    """
    if out.size < _LOADS and (out.size < _FROM or not (opened() or next(_short) >= _MANY)):
        return False
    function = _function(name)
    if function is None:
        return False
    with bits.lock:
        place = ctypes.addressof(ctypes.c_char.from_buffer(out.data))  # a third of the time of `out.ctypes.data`
        function(bits.ctypes.state_address, place, out.size, *numbers)
    return True
