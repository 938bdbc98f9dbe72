"""Kernels that are called without XLA: what an operator computes where all that its program would do is to call one.

A program of XLA is compiled for every shape, in 20 to 100 ms; a large network has hundreds of them, each for one call in a step. A
`Call` is ready at once: it fills in the frame that XLA would hand to the handler (`native/direct.cc`), and takes the results over as
`jax.Array`s without a copy. Images are such that lie channels-last (`channels_last.held`), and so are the results.
"""

from __future__ import annotations

import ctypes
import functools
import math
import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from . import expect, host_function, serves
from .channels_last import held, hold, order

Run = Callable[..., Any]  # of arrays

KNOWN = jax.__version_info__ in {
    (0, 10, 2),
    (0, 11, 2),
}  # the versions whose part is used here, and with which this was run
_DTYPES = {"float32": 11, "float64": 12}  # as XLA's FFI numbers them

if KNOWN:
    from jax._src.array import ArrayImpl
    from jax._src.lib import _jax

expect(*(f"flambeau_direct_{name}" for name in ("new", "free", "call", "over")), by_host=True)


class _Functions(NamedTuple):
    new: Any
    free: Any
    call: Any
    over: Any
    capsule: Any
    device: Any


@functools.cache
def _functions() -> _Functions | None:
    """What a call needs, or None where handlers can't be called so."""
    devices = jax.devices()
    if not KNOWN or len(devices) != 1 or devices[0].platform != "cpu":
        return None
    new, free, call, over = (host_function(f"flambeau_direct_{name}") for name in ("new", "free", "call", "over"))
    if None in (new, free, call, over):
        return None
    new.restype, new.argtypes = ctypes.c_void_p, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)
    free.restype, free.argtypes = None, (ctypes.c_void_p,)
    for function in (call, over):
        function.restype, function.argtypes = ctypes.c_char_p, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
    capsule = ctypes.pythonapi.PyCapsule_New
    capsule.restype, capsule.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
    return _Functions(new, free, call, over, capsule, devices[0])


class Buffer(NamedTuple):
    """A buffer as the handler sees it and, of a result, the array that it becomes: an image lies channels-last."""

    dims: tuple[int, ...]
    shape: tuple[int, ...] = ()
    image: bool = False
    dtype: str = "float32"

    def numbers(self, is_result: bool) -> list[int]:
        made = [_DTYPES[self.dtype], len(self.dims), *self.dims]
        return [*made, len(self.shape), *self.shape, *self.strides()] if is_result else made

    def strides(self) -> list[int]:
        strides, step = [0] * len(self.shape), 1
        for d in reversed(order(len(self.shape)) if self.image else range(len(self.shape))):
            strides[d] = step
            step *= self.shape[d]
        return strides


def images(shape: Sequence[int]) -> Buffer:
    """Images of this shape, each with its dimensions channels-last."""
    return Buffer(tuple(shape[d] for d in order(len(shape))), tuple(shape), True)


def pixels(shape: Sequence[int]) -> Buffer:
    """Images of this shape as a matrix: a row for each pixel, a column for each channel."""
    return Buffer((math.prod(shape) // max(shape[1], 1), shape[1]), tuple(shape), True)


def flat(shape: Sequence[int]) -> Buffer:
    """Images of this shape as so many numbers."""
    return Buffer((math.prod(shape),), tuple(shape), True)


def plain(shape: Sequence[int]) -> Buffer:
    """An array as it is."""
    return Buffer(tuple(shape), tuple(shape))


def number(value: Any) -> Buffer:
    """A number of Python's, or one in an array."""
    return Buffer((), (), dtype=getattr(getattr(value, "dtype", None), "name", "float64"))


class Call:
    """A handler's call for arrays of these shapes, of which it gives a list of results. Raises RuntimeError with what it says."""

    __slots__ = ("_arguments", "_call", "_capsule", "_device", "_images", "_made", "_over", "_site", "__weakref__")

    def __init__(self, symbol: str, arguments: Sequence[Buffer], results: Sequence[Buffer], **attributes: Any):
        functions = _functions()
        assert functions is not None  # see `possible`
        numbers = [len(arguments), len(results), len(attributes)]
        for buffer in arguments:
            numbers += buffer.numbers(False)
        for buffer in results:
            numbers += buffer.numbers(True)
        names = sorted(attributes)
        for name in names:
            values = np.atleast_1d(attributes[name]).tolist()
            numbers += [int(np.ndim(attributes[name]) > 0), len(values), *values]
        given = np.array(numbers, np.int64)
        handler = ctypes.cast(host_function(symbol), ctypes.c_void_p)
        self._site = functions.new(handler, given.ctypes.data, "".join(f"{name}\n" for name in names).encode())
        self._call, self._over = functions.call, functions.over
        self._capsule, self._device = functions.capsule, functions.device
        self._arguments = ctypes.c_void_p * len(arguments)
        self._made = ctypes.c_void_p * len(results)
        self._images = [buffer.image for buffer in results]
        weakref.finalize(self, functions.free, self._site).atexit = False

    def __call__(self, *arrays: Any) -> list[Any]:
        pointers, _kept = _pointers(arrays)
        made = self._made()
        error = self._call(self._site, self._arguments(*pointers), made)
        if error is not None:
            raise RuntimeError(error.decode())
        capsule, device, results = self._capsule, self._device, []
        for pointer, image in zip(made, self._images, strict=True):
            array = _jax.dlpack_managed_tensor_to_buffer(capsule(pointer, b"dltensor", None), device, None, False, 1)
            if image:
                hold(array)
            results.append(array)
        return results

    def over(self, arrays: Sequence[Any], owned: Sequence[int]) -> None:
        """The same with each result written over one of the arrays, whose numbers are `owned`. Nobody else may hold these."""
        pointers, _kept = _pointers(arrays)
        error = self._over(self._site, self._arguments(*pointers), self._made(*[pointers[i] for i in owned]))
        if error is not None:
            raise RuntimeError(error.decode())


def _pointers(arrays: Sequence[Any]) -> tuple[list[int], list[Any]]:
    """Where the arrays' numbers are, and what keeps them there."""
    kept = []
    pointers = []
    for array in arrays:
        try:
            if not array.is_ready():  # whoever used JAX before flambeau has programs that run on while Python goes on
                array.block_until_ready()
            pointers.append(array.unsafe_buffer_pointer())
        except AttributeError:  # a number of Python's
            kept.append(ctypes.c_double(array))
            pointers.append(ctypes.addressof(kept[-1]))
    return pointers, kept


def possible(*symbols: str) -> bool:
    """Whether these handlers can be called without XLA, for arrays of 32 bits."""
    return _functions() is not None and all(serves(np.float32, symbol) for symbol in symbols)


def takes(array: Any) -> bool:
    """Whether an array of 32 bits lies on the one CPU, row by row, and is bound to it as what a call gives is: where one is not, XLA
    compiles what comes after anew."""
    return (
        KNOWN and type(array) is ArrayImpl and array.dtype == np.float32 and array._committed and id(array) not in held
    )


def one(call: Call) -> Run:
    """The call of a handler that has one result."""
    return lambda *arrays: call(*arrays)[0]
