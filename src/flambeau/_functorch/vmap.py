"""The pieces of `vmap` that packages build theirs of. What would wrap tensors is refused: values are tracers here."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from .._C._functorch import _add_batch_dim, _remove_batch_dim, _vmap_decrement_nesting, _vmap_increment_nesting
from ..core.tensor.tensor import Tensor
from ..func import vmap
from ..func.lent import lend
from ..func.lent import maybe_remove_batch_dim as _maybe_remove_batch_dim
from ..utils._pytree import _broadcast_to_and_flatten, tree_flatten, tree_map_, tree_unflatten

__all__ = [
    "Tensor", "_add_batch_dim", "_broadcast_to_and_flatten", "_create_batched_inputs", "_get_name", "_maybe_remove_batch_dim",
    "_process_batched_inputs", "_remove_batch_dim", "_unwrap_batched", "_validate_and_get_batch_size",
    "_vmap_decrement_nesting", "_vmap_increment_nesting", "tree_flatten", "tree_map_", "tree_unflatten", "vmap",
]  # fmt: skip


def _get_name(func: Callable[..., Any]) -> str:
    """A function's name, or its printed form."""
    return getattr(func, "__name__", None) or repr(func)


def _validate_and_get_batch_size(flat_in_dims: list[int | None], flat_args: list[Any]) -> int:
    """The size that the mapped dimensions share. ValueError if they differ or there is none."""
    sizes = [arg.size(dim) for dim, arg in zip(flat_in_dims, flat_args, strict=True) if dim is not None]
    if not sizes:
        raise ValueError("vmap: no input is mapped over")
    if any(size != sizes[0] for size in sizes):
        raise ValueError(
            f"vmap: Expected all tensors to have the same size in the mapped dimension, got sizes {sizes} for the mapped dimension"
        )
    return int(sizes[0])


def _process_batched_inputs(in_dims: Any, args: Any, func: Callable[..., Any]) -> tuple[int, list[Any], list[Any], Any]:
    """The batch size, the mapped dimension of each leaf, the leaves, and how they were nested."""
    name = _get_name(func)
    if not isinstance(in_dims, (int, tuple, list)):
        raise ValueError(
            f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): expected `in_dims` to be int or a (potentially nested) tuple "
            f"matching the structure of inputs, got: {type(in_dims)}."
        )
    flat, spec = tree_flatten(args)
    dims = _broadcast_to_and_flatten(in_dims, spec)
    if dims is None:
        raise ValueError(
            f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): in_dims is not compatible with the structure of inputs"
        )
    placed = [dim % arg.dim() if isinstance(dim, int) and dim < 0 else dim for dim, arg in zip(dims, flat, strict=True)]
    return _validate_and_get_batch_size(placed, flat), placed, flat, spec


def _refused(name: str) -> Any:
    from .._C._functorch import _refused as make

    return make(name)


_create_batched_inputs = _refused("_create_batched_inputs")
_unwrap_batched = _refused("_unwrap_batched")
lend(sys.modules[__name__])
