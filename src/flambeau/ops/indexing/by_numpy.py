"""What tensors of indices pick out and where they put it, computed by NumPy as XLA's program would, bit by bit.

How many elements a mask chooses is another number at each call, so that the program is hardly ever there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...core.array.by_numpy import REAL, Refused, refuse_subnormal
from ...core.dispatch.numpy_forms import NumPyForm


def subscript(indices: Any, dims: tuple[bool, ...]) -> tuple[Any, ...]:
    """The key of one index for each of the dimensions marked in `dims`."""
    given = iter(indices)
    return tuple(next(given) if d else slice(None) for d in dims)


def _pick(input: np.ndarray, indices: Sequence[np.ndarray], dims: tuple[bool, ...]) -> np.ndarray:
    return np.asarray(input[subscript(indices, dims)])


def _pick_back(wanted: Any, gradient: np.ndarray, input: np.ndarray, indices: Any, dims: tuple[bool, ...]) -> Any:
    if wanted != (0,) or gradient.dtype.name not in REAL or gradient.dtype != input.dtype:
        raise Refused("a gradient of another kind")
    refuse_subnormal(gradient)
    _refuse_twice(input.shape, indices, dims)
    made = np.zeros(input.shape, gradient.dtype)
    made[subscript(indices, dims)] = gradient + made.dtype.type(0)  # XLA adds to zeros, which makes -0 +0
    return (made,)


def _select(input: np.ndarray, places: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return np.asarray(np.broadcast_to(input, shape).reshape(-1)[places])


def _select_back(wanted: Any, gradient: np.ndarray, input: np.ndarray, places: np.ndarray, shape: Any) -> Any:
    if shape != input.shape:
        raise Refused("a sum")
    (made,) = _pick_back(wanted, gradient, input.reshape(-1), (places,), (True,))
    return (made.reshape(shape),)


def _put(
    input: np.ndarray, values: np.ndarray, indices: Any, dims: tuple[bool, ...], accumulate: bool = False
) -> np.ndarray:
    _refuse_puts(input, values, indices, dims, accumulate)
    made = input.copy()
    made[subscript(indices, dims)] = values
    return made


def _put_back(
    wanted: Any, gradient: np.ndarray, input: np.ndarray, values: np.ndarray, indices: Any, dims: tuple[bool, ...],
    accumulate: bool = False,
) -> Any:  # fmt: skip
    _refuse_puts(input, values, indices, dims, accumulate or gradient.dtype != input.dtype)
    where, made = subscript(indices, dims), []
    for place in wanted:
        if place == 0:
            kept = gradient.copy()
            kept[where] = 0
            made.append(kept)
        else:
            taken = np.asarray(gradient[where])
            if place != 1 or taken.size != values.size:
                raise Refused("a sum")
            made.append(taken.reshape(values.shape))
    return tuple(made)


def _refuse_puts(input: np.ndarray, values: np.ndarray, indices: Any, dims: tuple[bool, ...], adds: bool) -> None:
    if adds or values.dtype != input.dtype:
        raise Refused("a sum or a cast")
    _refuse_twice(input.shape, indices, dims)


def _refuse_twice(shape: tuple[int, ...], indices: Sequence[np.ndarray], dims: tuple[bool, ...]) -> None:
    """Raises Refused if an element may be named twice, which is then summed, or written, in an order of XLA's own."""
    sizes = [n for n, is_indexed in zip(shape, dims, strict=False) if is_indexed]
    flat: Any = 0
    for index, size in zip(indices, sizes, strict=True):
        flat = flat * size + np.where(index < 0, index + size, index)
    flat = np.ravel(flat)
    if not (flat[1:] > flat[:-1]).all():
        raise Refused("an element that is named twice")


PICKED = NumPyForm(_pick, _pick_back)
PUT = NumPyForm(_put, _put_back)
SELECTED = NumPyForm(_select, _select_back)
