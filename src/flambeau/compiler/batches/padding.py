"""Around a program for several sizes: what it takes gets more rows, what it gives is cut."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...core.tape.programs import Program as ArrayProgram

Shape = tuple[int, ...]
Sizes = list[tuple[int, Shape]]  # which one, and what shape it gets

PATIENCE = 32  # calls of which most is padding, before a size gets a smaller program


def _on_cpu(array: Any) -> bool:
    return not isinstance(array, jax.Array) or next(iter(array.devices())).platform == "cpu"


def grown(array: Any, shape: Shape) -> Any:
    """An array with zeros behind its rows. On a CPU that is a copy, elsewhere a small program."""
    if not _on_cpu(array):
        return _pad(array, shape)
    made = np.zeros(shape, array.dtype)
    made[tuple(map(slice, array.shape))] = np.asarray(array)
    if isinstance(array, jax.Array) and array.committed:
        return jax.device_put(made, array.sharding)
    return made


def cut(array: Any, shape: Shape) -> Any:
    """The first rows of an array, in memory of their own."""
    box = tuple(map(slice, shape))
    if not _on_cpu(array):
        return array[box]
    rows = np.array(np.asarray(array)[box], order="C")
    return jax.device_put(rows, array.sharding if array.committed else None)


def _pad(array: Any, shape: Shape) -> Any:
    return jnp.pad(array, [(0, n - m) for m, n in zip(array.shape, shape, strict=True)])


class Padded:
    """A program for larger arrays than it is given. `tired` is called once it was called very often."""

    def __init__(self, run: Callable[..., Any], pads: Sizes, cuts: Sizes, tired: Callable[[], None] | None):
        self.run = run
        self.pads = pads
        self.cuts = cuts
        self.tired = tired
        self.left: int = PATIENCE

    def __call__(self, *inputs: Any) -> list[Any]:
        given = list(inputs)
        del inputs
        for i, shape in self.pads:
            given[i] = grown(given[i], shape)
        outputs = list(self.run(*given))
        for i, shape in self.cuts:
            outputs[i] = cut(outputs[i], shape)
        if self.tired is not None:
            self.left -= 1
            if self.left == 0:
                self.tired()
        return outputs


class PaddedProgram(ArrayProgram):
    """The same around a backward program. `function` computes it for one size: its derivatives are taken, since the larger program
    has taken functions with derivatives of their own apart.
    """

    __slots__ = ("inner", "pads", "cuts")

    def __init__(self, function: Callable[..., Any], inner: ArrayProgram, pads: Sizes, cuts: Sizes):
        super().__init__(function, inner.name)
        self.inner = inner
        self.pads = pads
        self.cuts = cuts

    def __call__(self, *arrays: Any) -> Any:
        if any(isinstance(array, jax.core.Tracer) for array in arrays):
            return self.run(*arrays)
        given = list(arrays)
        for i, shape in self.pads:
            given[i] = grown(given[i], shape)
        made = list(self.inner(*given))
        for i, shape in self.cuts:
            made[i] = cut(made[i], shape)
        return tuple(made)
