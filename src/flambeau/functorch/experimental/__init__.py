"""`functorch.experimental`: transforms that have a place in `torch.func` since."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...func import functionalize, hessian, jacfwd, jvp, replace_all_batch_norm_modules_, vmap

__all__ = ["chunk_vmap", "functionalize", "hessian", "jacfwd", "jvp", "replace_all_batch_norm_modules_"]


def chunk_vmap(
    func: Callable[..., Any], in_dims: Any = 0, out_dims: Any = 0, randomness: str = "error", chunks: int = 2
) -> Callable[..., Any]:
    """`vmap` in that many parts, one after the other."""

    def mapped(*args: Any, **kwargs: Any) -> Any:
        from ...utils._pytree import _broadcast_to_and_flatten, tree_flatten

        leaves, spec = tree_flatten(args)
        dims = _broadcast_to_and_flatten(in_dims, spec) or []
        sizes = [leaf.size(dim) for leaf, dim in zip(leaves, dims, strict=False) if dim is not None]
        size = -(-sizes[0] // chunks) if sizes else None
        return vmap(func, in_dims, out_dims, randomness, chunk_size=size)(*args, **kwargs)

    return mapped
