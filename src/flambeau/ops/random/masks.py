"""Masks of bools that the default generator draws: what dropout keeps."""

from __future__ import annotations

import math

import jax
import numpy as np

from ...core.array import devices
from ...core.array.meta import MetaArray, is_meta
from ...core.context.generator import draw
from ...core.context.grad_mode import state as grad_state
from ...core.context.tracing import host_value
from ...core.dispatch.host_numbers import HostNumber
from ...core.tensor.tensor import Tensor
from ..making.constants import memory_order


def mask(like: Tensor, shape: tuple[int, ...], chance: float, order: tuple[int, ...] | None = None) -> jax.Array:
    """Bools that are true with probability `chance`, for the tensor `like`; drawn anew at each call of a compiled function.

    They are drawn row by row, or with the dimensions in another order, first the one that changes last.
    """
    if is_meta(like._storage.value):
        return MetaArray(shape, np.bool_)  # type: ignore[return-value]

    def drawn(chance: float) -> np.ndarray:
        made = draw("bernoulli", None, math.prod(shape), chance)
        if order is None:
            return made.reshape(shape)
        turned = made.reshape([shape[d] for d in order]).transpose(np.argsort(order))
        return np.ascontiguousarray(turned)

    made = host_value(drawn, chance) if isinstance(chance, HostNumber) else host_value(lambda: drawn(chance))
    return devices.from_numpy(made) if type(made) is np.ndarray else made


def mask_like(input: Tensor, chance: float) -> jax.Array:
    """A mask of `input`'s shape, drawn in the order in which its elements lie in memory, as PyTorch does."""
    plain = input._view is None and grad_state.trace is None  # which is told that strides matter
    order = None if plain or input.is_contiguous() else memory_order(input)
    return mask(input, tuple(input.shape), chance, order)
