"""The arrays of several parameters as one, and of any kind as real numbers."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..core.array import dtypes
from ..core.context.tracing import PACKED_ARRAY
from ..core.tensor.tensor import Tensor

_BLOCKS, _BLOCK = 6, 8  # so many blocks of so many parameters are worth programs of their own


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


def bundles(params: Any, grads: Any, alone: bool) -> list[list[int]]:
    """The numbers of the parameters that are updated together: small ones of one dtype, as the flat array that holds them."""
    bundles: dict[Any, list[int]] = {}
    for i, (param, grad) in enumerate(zip(params, grads, strict=True)):
        small = 0 < param.size * param.dtype.itemsize <= PACKED_ARRAY and grad.dtype == param.dtype
        small = small and not is_complex(param)
        bundles.setdefault(param.dtype if small and not alone else i, []).append(i)
    return list(bundles.values())


def in_blocks(params: Any) -> bool:
    """Whether the parameters are those of many equal blocks: these are updated by one program of XLA each (`compiler/outlining.py`)."""
    shapes = [(param.shape, param.dtype) for param in params]
    for length in range(1, len(shapes) // _BLOCKS + 1):
        same = longest = 0
        for a, b in zip(shapes, shapes[length:], strict=False):
            same = same + 1 if a == b else 0
            longest = max(longest, same)
        if longest >= length * (_BLOCKS - 1):
            return length >= _BLOCK
    return False


def placed(array: np.ndarray, beside: Any = None) -> Any:
    """The array on the device, bound to it if `beside` is: what the step gives back is, and would ask for a second program."""
    bound = not isinstance(beside, jax.core.Tracer) and getattr(beside, "committed", False)  # a tracer is not asked
    where = beside.sharding if bound else None
    with jax.ensure_compile_time_eval():  # a value, also while a step is being traced
        return jax.device_put(array, where if isinstance(where, jax.sharding.SingleDeviceSharding) else None)


def one_number(value: float) -> np.ndarray:
    """A 0-dim array in the dtype that PyTorch counts steps in."""
    return np.asarray(float(value), np.float64 if dtypes.get_default_dtype() is dtypes.float64 else np.float32)
