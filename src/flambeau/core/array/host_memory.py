"""Memory of NumPy that JAX takes without a copy."""

from __future__ import annotations

from typing import Any

import numpy as np

ALIGNMENT = 64  # JAX takes memory that begins at a multiple of this without a copy


def aligned(nbytes: int) -> np.ndarray:
    """Fresh bytes that JAX can take without a copy."""
    room = np.empty(nbytes + ALIGNMENT, np.uint8)
    start = -room.ctypes.data % ALIGNMENT
    return room[start : start + nbytes]


def is_aligned(array: np.ndarray) -> bool:
    """Whether JAX can take the array without a copy."""
    return array.ctypes.data % ALIGNMENT == 0 and array.flags.c_contiguous


def owner_of(array: np.ndarray) -> Any:
    """The array whose memory another one looks into."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array
