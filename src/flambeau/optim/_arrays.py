"""The arrays of several parameters as one, and of any kind as real numbers."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


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
