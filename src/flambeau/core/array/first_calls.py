"""The first calls of a program for new shapes, which NumPy computes (`by_numpy.py`): a program that is called a few times needs no compilation.

The results are those of XLA's program to the bit, so that nobody can tell when it takes over.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax._src.array import ArrayImpl
from jax._src.lib import xla_client
from jax.sharding import SingleDeviceSharding

from ...native.channels_last import held
from ...runtime import config
from .by_numpy import MOVED, Refused, Written, own

BUDGET = (
    2.0  # ms that first calls may take together: eight small ones, so that who warms up a loop does not measure them
)
_CALL, _ELEMENT = 0.25, 2e-6  # ms of a call, and of each of its elements
_MOST = 256  # programs of one function of which this is known
_FEW = 16  # programs of one function: if there are more, its shapes change, and each may never come again
_MORE = 8  # times the budget, then: a compilation takes as long as some thousand calls

Key = tuple[Any, ...]


class _Program:
    """What NumPy computes of a program, and how its arguments and results are handed over."""

    __slots__ = ("_memories", "_results", "_tree", "cost", "left", "written")

    def __init__(self, jaxpr: Any, tree: Any):
        self.written = Written(jaxpr)
        self._tree = None if tree == _ONE else tree  # how the results are put together
        device = jax.devices()[0]
        self._results = [(aval, SingleDeviceSharding(device), [device]) for aval in jaxpr.out_avals]
        used = zip(jaxpr.in_avals, self.written.used, strict=True)
        self._memories = [_memory(aval.shape, aval.dtype) if is_used else None for aval, is_used in used]
        self.left = 0.0  # see `FirstCalls`
        self.cost = _CALL + _ELEMENT * self.written.elements

    def __call__(self, arguments: Sequence[Any]) -> Any:
        numbers: list[Any] = []
        committed = False
        for value, memory in zip(arguments, self._memories, strict=True):
            if memory is None:
                numbers.append(None)
            elif type(value) is ArrayImpl:
                numbers.append(_numbers(value, *memory))
                committed = committed or value._committed
            else:
                numbers.append(_plain(value, memory[2]))
        made = [
            xla_client.batched_device_put(aval, sharding, [array], devices, committed)
            for array, (aval, sharding, devices) in zip(self.written(numbers), self._results, strict=True)
        ]
        return made[0] if self._tree is None else jax.tree_util.tree_unflatten(self._tree, made)


class _Told:
    """What a function of NumPy's arrays computes, which has to give what XLA's program for them would; it needs no trace."""

    __slots__ = ("_compute", "_memories", "cost", "left")

    def __init__(self, compute: Callable[..., Any], arguments: Sequence[Any]):
        self._compute = compute
        if not all(isinstance(value, jax.Array) and value.dtype.name in MOVED for value in arguments):
            raise Refused("another kind of argument")
        self._memories = [_memory(value.shape, value.dtype) for value in arguments]
        self.left = 0.0
        self.cost = _CALL  # whatever the size: XLA moves elements no quicker

    def __call__(self, arguments: Sequence[Any]) -> Any:
        numbers = [_numbers(value, *memory) for value, memory in zip(arguments, self._memories, strict=True)]
        try:
            made = self._compute(*numbers)
        except (IndexError, ValueError) as error:  # of which the operator says what PyTorch does
            raise Refused(str(error)) from None
        committed = any(value._committed for value in arguments)
        place, devices = _one_device()

        def array(result: np.ndarray) -> Any:
            aval = jax.core.ShapedArray(result.shape, result.dtype)
            return xla_client.batched_device_put(
                aval, place, [own(result, False, result.dtype, result.shape)], devices, committed
            )

        return tuple(map(array, made)) if type(made) is tuple else array(made)


class FirstCalls:
    """Those of one function, by the kinds of its arguments. `told` is a function of NumPy's arrays with the same results,
    `most` how many elements its operations may give in all.
    """

    __slots__ = ("_count", "_most", "_programs", "_told")

    def __init__(self, told: Callable[..., Any] | None = None, most: float = math.inf) -> None:
        self._programs: dict[Key, _Program | _Told | None] = {}
        self._told = told
        self._most = most
        self._count = 0  # of programs that there have been

    def forget(self) -> None:
        """Let go of everything: what comes is new."""
        self._programs.clear()

    def enter(self, key: Key, jaxpr: Any, tree: Any) -> bool:
        """A program that is nowhere yet is called for: whether it is one of those, and new."""
        if key in self._programs:
            return False
        program = None
        with contextlib.suppress(Refused):
            program = _Program(jaxpr, tree)
            if program.written.elements > self._most:
                program = None
        self._take(key, program)
        return program is not None

    def _take(self, key: Key, program: _Program | _Told | None) -> None:
        if len(self._programs) >= _MOST:
            self.forget()
        self._programs[key] = program
        if program is not None:
            self._count += 1
            program.left = BUDGET * (_MORE if self._count > _FEW else 1)

    def answer(self, key: Key, arguments: Sequence[Any]) -> Any:
        """The results of a call, or XLA's if it has to compute them, from now on."""
        program = self._programs.get(key)
        if program is None:
            return XLAS if self._told is None or key in self._programs else self._first(key, arguments)
        program.left -= program.cost
        if program.left >= 0:
            with contextlib.suppress(Refused):
                return program(arguments)
        self._programs[key] = None
        return XLAS

    def _first(self, key: Key, arguments: Sequence[Any]) -> Any:
        """The first call of these kinds of arguments, without a trace."""
        try:
            program = _Told(self._told, arguments)  # type: ignore[arg-type]
            results = program(arguments)
        except Refused:
            return XLAS
        self._take(key, program)
        program.left -= program.cost
        return results


SERVES = jax.__version_info__ == (0, 10, 2) and config.computes_first_calls()
_ONE = jax.tree_util.tree_structure(0)
XLAS = object()  # in the place of results


@functools.cache
def _one_device() -> tuple[Any, list[Any]]:
    """Where results are put."""
    device = jax.devices()[0]
    return SingleDeviceSharding(device), [device]


def _memory(shape: tuple[int, ...], dtype: np.dtype) -> tuple[Any, tuple[int, ...], np.dtype]:
    """How the memory of an array of this kind is read."""
    return ctypes.c_char * (math.prod(shape) * dtype.itemsize), shape, dtype


def _numbers(value: jax.Array, memory: Any, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An argument as NumPy sees it: on the array's own memory, but without a hold on it, which would keep others from writing there."""
    if id(value) in held:
        raise Refused("an image")
    value.block_until_ready()
    if not memory._length_:
        return np.zeros(shape, dtype)
    return np.ndarray(shape, dtype, memory.from_address(value.unsafe_buffer_pointer()))


def _plain(value: Any, dtype: np.dtype) -> np.ndarray:
    """A number or an array of NumPy's, as JAX takes it."""
    if isinstance(value, np.ndarray):
        return value if value.dtype == dtype else value.astype(dtype)
    try:
        return np.asarray(value, dtype)
    except OverflowError:
        raise Refused("a number that the dtype does not have") from None
