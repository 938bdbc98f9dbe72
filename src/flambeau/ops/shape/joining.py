"""Putting tensors together: cat, stack and their relatives."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from ...core.array.dtypes import get_default_dtype
from ...core.dispatch.operator import Array, Arrays, composite, operator
from ...core.tensor.tensor import Tensor, wrap
from ..making.ranges import members_of, meshgrid
from ..support.checks import normalized_dim
from ..support.declare import alias
from ..support.images import CAT


def _joined(arrays: tuple[Array, ...], dim: int) -> Array:
    """`arrays`, all of one dtype, one after the other along `dim`; empty vectors count for nothing."""
    if not arrays:
        raise ValueError("torch.cat(): expected a non-empty list of Tensors")
    for position, array in enumerate(arrays):
        if array.ndim == 0:
            raise RuntimeError(f"zero-dimensional tensor (at position {position}) cannot be concatenated")
    given = [(position, array) for position, array in enumerate(arrays) if array.shape != (0,)]
    if not given:
        normalized_dim(dim, 1)
        return arrays[0]
    first = given[0][1]
    axis = normalized_dim(dim, first.ndim)
    for position, array in given:
        if array.ndim != first.ndim:
            raise RuntimeError(f"Tensors must have same number of dimensions: got {first.ndim} and {array.ndim}")
        for i, (expected, size) in enumerate(zip(first.shape, array.shape, strict=True)):
            if i != axis and size != expected:
                raise RuntimeError(
                    f"Sizes of tensors must match except in dimension {axis}. Expected size {expected} but got size "
                    f"{size} for tensor number {position} in the list."
                )
    return jnp.concatenate([array for _, array in given], axis)


@operator(promote="common", methods=False, autocast="widest", narrow=True, direct=CAT, stored_by="cat")
def cat(tensors: Arrays, dim: int = 0) -> Array:
    """The tensors one after the other along `dim`, in their common dtype; other sizes must agree.

    A tensor of shape `(0,)` is skipped whatever the others' shapes. Raises ValueError for no tensors, RuntimeError
    for shapes that do not fit and for 0-dim tensors (use `stack` for those).
    """
    return _joined(tensors, dim)


concat: Callable[..., Tensor] = alias("concat", cat, methods=False)
concatenate: Callable[..., Tensor] = alias("concatenate", cat, methods=False)


@operator(promote="common", methods=False, autocast="widest", narrow=True, stored_by="cat")
def stack(tensors: Arrays, dim: int = 0) -> Array:
    """Tensors of one shape, joined along a new dimension `dim`."""
    if not tensors:
        raise RuntimeError("stack expects a non-empty TensorList")
    first = tensors[0]
    axis = normalized_dim(dim, first.ndim + 1)
    for position, tensor in enumerate(tensors):
        if tensor.shape != first.shape:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(first.shape)} at entry 0 and "
                f"{list(tensor.shape)} at entry {position}"
            )
    return jnp.stack(tensors, axis)


def _some(name: str, tensors: tuple[Array, ...]) -> None:
    if not tensors:
        raise RuntimeError(f"{name} expects a non-empty TensorList")


@operator(promote="common", methods=False, grad="CatBackward0", stored_by="cat", narrow=True)
def hstack(tensors: Arrays) -> Array:
    """The tensors side by side: joined along the second dimension, vectors along their only one."""
    _some("hstack", tensors)
    raised = tuple(jnp.atleast_1d(t) for t in tensors)
    return _joined(raised, 0 if raised[0].ndim == 1 else 1)


@operator(promote="common", methods=False, grad="CatBackward0", stored_by="cat", narrow=True)
def vstack(tensors: Arrays) -> Array:
    """The tensors on top of each other: joined along the first dimension, with vectors as rows."""
    _some("vstack", tensors)
    return _joined(tuple(jnp.atleast_2d(t) for t in tensors), 0)


row_stack: Callable[..., Tensor] = alias("row_stack", vstack, methods=False)


@operator(promote="common", methods=False, grad="CatBackward0", stored_by="cat", narrow=True)
def dstack(tensors: Arrays) -> Array:
    """The tensors behind each other: joined along the third dimension."""
    _some("dstack", tensors)
    return _joined(tuple(jnp.atleast_3d(t) for t in tensors), 2)


@operator(promote="common", methods=False, grad="CatBackward0", stored_by="cat", narrow=True)
def column_stack(tensors: Arrays) -> Array:
    """The tensors side by side, with vectors (and numbers) as columns."""
    _some("column_stack", tensors)
    return _joined(tuple(t.reshape(t.size, 1) if t.ndim <= 1 else t for t in tensors), 1)


@operator(promote="common", methods=False, public=(), narrow=True)
def _block_diag(tensors: Arrays) -> Array:
    for position, tensor in enumerate(tensors):
        if tensor.ndim > 2:
            raise RuntimeError(
                f"torch.block_diag: Input tensors must have 2 or fewer dimensions. "
                f"Input {position} has {tensor.ndim} dimensions"
            )
    blocks = [jnp.atleast_2d(t) for t in tensors]
    height, width = (sum(b.shape[axis] for b in blocks) for axis in (0, 1))
    out = jnp.zeros((height, width), blocks[0].dtype)
    row = column = 0
    for block in blocks:
        out = out.at[row : row + block.shape[0], column : column + block.shape[1]].set(block)
        row, column = row + block.shape[0], column + block.shape[1]
    return out


@composite(methods=False, in_python=True)
def block_diag(*tensors: Tensor) -> Tensor:
    """A matrix with the given matrices (vectors count as rows) along its diagonal and zeros elsewhere."""
    return _block_diag(tensors) if tensors else _block_diag([wrap(np.zeros((1, 0), get_default_dtype().numpy))])


@operator(narrow=True)
def combinations(input: Array, r: int = 2, with_replacement: bool = False) -> Array:
    """All choices of `r` elements of a vector, as rows in the order of `itertools.combinations`."""
    if input.ndim != 1:
        raise RuntimeError(f"Expect a 1D vector, but got shape {list(input.shape)}")
    if r < 0:
        raise RuntimeError(f"Expect a non-negative number, but got {r}")
    if r == 0:
        return input[:0]
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    chosen = np.array(list(choose(range(input.shape[0]), r)), np.int64).reshape(-1, r)
    return jnp.take(input, chosen, axis=0, mode="clip") if chosen.size else jnp.zeros(chosen.shape, input.dtype)


@composite(methods=False, in_python=True)
def cartesian_prod(*tensors: Any) -> Tensor:
    """All combinations of one element from each of the 1-dim tensors, as rows; a single tensor stays as it is."""
    members = members_of(tensors)
    for member in members:
        if member.ndim != 1:
            raise RuntimeError(f"Expect a 1D vector, but got shape {list(member.shape)}")
    if len(members) == 1:
        return members[0]
    grids: Any = meshgrid(*members, indexing="ij")
    return stack([g.reshape(-1) for g in grids], 1)
