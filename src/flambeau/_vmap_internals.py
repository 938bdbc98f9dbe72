"""The `vmap` from before `torch.func`, which packages name for many products with a Jacobian at once."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from . import func as functions

__all__ = ["_vmap", "vmap"]


def _vmap(
    func: Callable[..., Any], in_dims: Any = 0, out_dims: Any = 0, allow_none_pass_through: bool = False
) -> Callable[..., Any]:
    """`torch.vmap`; with `allow_none_pass_through` what `func` returns may hold None at some places, and the result then does."""
    if isinstance(out_dims, tuple) and allow_none_pass_through:
        raise NotImplementedError("with allow_none_pass_through, out_dims is one number for all results")
    if not allow_none_pass_through:
        return functions.vmap(func, in_dims, out_dims)

    def mapped(*args: Any) -> Any:
        there: list[bool] = []
        single = False

        def tensors(*parts: Any) -> tuple[Any, ...]:
            nonlocal single, there
            made = func(*parts)
            single = not isinstance(made, tuple)
            row = (made,) if single else made
            there = [part is not None for part in row]
            return tuple(part for part in row if part is not None)

        found = iter(functions.vmap(tensors, in_dims, out_dims)(*args))
        row = tuple(next(found) if is_there else None for is_there in there)
        return row[0] if single else row

    return mapped


def vmap(func: Callable[..., Any], in_dims: Any = 0, out_dims: Any = 0) -> Callable[..., Any]:
    """`torch.vmap`, by its old name, with a FutureWarning."""
    warnings.warn("Please use `torch.vmap` instead of `torch._vmap_internals.vmap`.", FutureWarning, stacklevel=2)
    return functions.vmap(func, in_dims, out_dims)
