"""The first calls of a program for new shapes, which NumPy computes (`by_numpy.py`) until a compilation would have been cheaper.

The results are those of XLA's program to the bit, so that nobody can tell when it takes over.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax._src.interpreters import pxla
from jax.sharding import SingleDeviceSharding

from ...native.channels_last import held
from ...runtime import config
from .by_numpy import Refused, Written

BUDGET = 16.0  # ms that first calls may take together: half of what XLA takes for a small program
_CALL, _ELEMENT = 0.25, 2e-6  # ms of a call, and of each of its elements
_MOST = 256  # programs of one function of which this is known

Key = tuple[Any, ...]


class _Program(NamedTuple):
    written: Written
    tree: Any  # how the results are put together
    results: list[Any]  # what they are, to JAX


class FirstCalls:
    """Those of one function, by the kinds of its arguments."""

    __slots__ = ("_left", "_programs")

    def __init__(self) -> None:
        self._left: dict[Key, float] = {}
        self._programs: dict[Key, _Program] = {}

    def forget(self) -> None:
        """Let go of everything: what comes is new."""
        self._left.clear()
        self._programs.clear()

    def enter(self, key: Key, jaxpr: Any, tree: Any) -> bool:
        """A program that is nowhere yet is called for: whether it is one of those, and new."""
        if key in self._left:
            return False
        if len(self._left) >= _MOST:
            self.forget()
        self._left[key] = BUDGET
        try:
            written = Written(jaxpr)
        except Refused:
            return False
        self._programs[key] = _Program(written, tree, list(jaxpr.out_avals))
        return True

    def answer(self, key: Key, arguments: Sequence[Any]) -> Any:
        """The results of a call, or XLA's if it has to compute them, from now on."""
        found = self._programs.get(key)
        if found is None:
            return XLAS
        self._left[key] -= _CALL + _ELEMENT * found.written.elements
        if self._left[key] >= 0:
            try:
                made = found.written([_numbers(a) for a in arguments])
            except Refused:
                pass
            else:
                used = zip(arguments, found.written.used, strict=True)
                committed = any(isinstance(a, jax.Array) and a.committed for a, is_used in used if is_used)
                held_by_jax = [_array(a, aval, committed) for a, aval in zip(made, found.results, strict=True)]
                return jax.tree_util.tree_unflatten(found.tree, held_by_jax)
        self._programs.pop(key, None)
        return XLAS


SERVES = jax.__version_info__ == (0, 10, 2) and config.computes_first_calls()
XLAS = object()  # in the place of results


def _array(made: np.ndarray, aval: Any, committed: bool) -> jax.Array:
    device = jax.devices()[0]
    return pxla.batched_device_put(aval, SingleDeviceSharding(device), [made], [device], committed)  # type: ignore[no-any-return]


def _numbers(value: Any) -> np.ndarray:
    """An argument as NumPy sees it: on the array's own memory, but without a hold on it, which would keep others from writing there."""
    if not isinstance(value, jax.Array):
        return np.asarray(value)
    if id(value) in held:
        raise Refused("an image")
    if not value.size:
        return np.zeros(value.shape, value.dtype)
    value.block_until_ready()
    memory = (ctypes.c_char * value.nbytes).from_address(value.unsafe_buffer_pointer())
    return np.ndarray(value.shape, value.dtype, memory)  # type: ignore[arg-type]
