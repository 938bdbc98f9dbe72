"""Kernels that compute one operator whole (`native/alone.h`): XLA calls them in the operator's program, and the host itself while there is
no program for the arrays' shapes. It is the same code, so nobody can tell which of them it was.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import jax
import numpy as np

from . import expect, host_function, serves

__all__ = ["Alone"]

_DTYPES = ("float32", "float64")
Result = tuple[tuple[int, ...], Any]  # a shape and a dtype


class Alone:
    """The kernel of this name. It is called with arrays of one dtype and with numbers, and gives arrays like `results`: NumPy's of NumPy's,
    traced ones of traced ones.
    """

    def __init__(self, symbol: str):
        self.symbol = symbol
        expect(symbol)
        expect(symbol + "_host", by_host=True)

    def serves(self, dtype: Any) -> bool:
        """Whether it is there for arrays of this dtype."""
        return serves(dtype, self.symbol, _DTYPES)

    @cached_property
    def _host(self) -> Any:
        function = host_function(self.symbol + "_host")
        function.restype = None
        function.argtypes = [ctypes.c_void_p] * 3
        return function

    def __call__(self, arrays: Sequence[Any], results: Sequence[Result], *numbers: int) -> tuple[Any, ...]:
        """What the kernel makes; it is first told whether the arrays are of doubles."""
        numbers = (int(arrays[0].dtype.itemsize == 8), *numbers)
        if not all(isinstance(array, np.ndarray) for array in arrays):
            call = jax.ffi.ffi_call(self.symbol, [jax.ShapeDtypeStruct(*result) for result in results])
            return tuple(call(*arrays, numbers=np.array(numbers, np.int64)))
        made = tuple([np.empty(*result) for result in results])
        given = [np.ascontiguousarray(array) for array in arrays]
        self._host(_addresses(given), _addresses(made), (ctypes.c_int64 * len(numbers))(*numbers))
        return made


def _addresses(arrays: Sequence[np.ndarray]) -> Any:
    return (ctypes.c_void_p * len(arrays))(*[array.__array_interface__["data"][0] for array in arrays])
