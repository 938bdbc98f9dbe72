"""The arrays of several parameters as one, and of any kind as real numbers."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..core.tensor.tensor import Tensor


def joined(arrays: list[Any]) -> Any:
    return arrays[0] if len(arrays) == 1 else jnp.concatenate([array.reshape(-1) for array in arrays])


def split(array: Any, like: list[Any]) -> list[Any]:
    """The parts of a joined array, in these shapes."""
    if len(like) == 1:
        return [array]
    ends = np.cumsum([part.size for part in like])
    return [array[end - part.size : end].reshape(part.shape) for end, part in zip(ends, like, strict=True)]


def is_complex(array: Any) -> bool:
    return np.issubdtype(array.dtype, np.complexfloating)


def widened(array: Any) -> Any:
    """As real numbers of at least 32 bits; a complex array gets a last dimension of two."""
    if is_complex(array):
        return jnp.stack([array.real, array.imag], -1)
    return array.astype(np.float32) if array.dtype.itemsize < 4 else array


def narrowed(array: Any, like: Any) -> Any:
    if is_complex(like):
        array = jax.lax.complex(array[..., 0], array[..., 1])
    return array.astype(like.dtype)


def apart(params: list[Tensor]) -> list[list[Tensor]]:
    """The parameters in batches, so that those that overlap in memory are updated one after the other."""
    batches: list[list[Tensor]] = []
    placed: list[tuple[int, int, int, int]] = []
    for param in params:
        view, cell = param._geometry, id(param._storage)
        start, reach = view.offset, sum((n - 1) * s for n, s in zip(view.shape, view.strides, strict=True))
        stop = start + 1 + reach if view.numel else start
        level = 1 + max((lv for c, a, b, lv in placed if c == cell and a < stop and start < b), default=-1)
        placed.append((cell, start, stop, level))
        if level == len(batches):
            batches.append([])
        batches[level].append(param)
    return batches
