"""`associative_scan`: all partial results of an associative function along a dimension."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.tensor.tensor import Tensor
from ..core.tensor.tree import flatten, unflatten
from ..ops.shape.joining import cat, stack


def associative_scan(
    combine_fn: Callable[[Any, Any], Any], xs: Any, dim: int, reverse: bool = False, combine_mode: str = "pointwise"
) -> Any:
    """What `combine_fn` makes of the slices of `xs` up to each place (from each place on, if `reverse`).

    It is called on slices of many places at once, in about `2 log2(n)` steps, as Blelloch (1990) has it. "pointwise" is
    refused on the CPU, as PyTorch does (ValueError).
    """
    if not callable(combine_fn):
        raise ValueError(f"Combine_fn must be a callable, but got {combine_fn}")
    if combine_mode not in ("pointwise", "generic"):
        raise ValueError(f"Combine_mode must either 'pointwise' or 'generic', but got {combine_mode}")
    leaves, spec = flatten(xs)
    if not leaves or not all(isinstance(v, Tensor) for v in leaves):
        raise ValueError(f"xs leaves must be a Tensor, got {leaves}")
    if combine_mode == "pointwise" and any(v.device.type == "cpu" for v in leaves):
        raise ValueError("For combine_mode='pointwise', all input tensors need to be on CUDA or XPU")
    if len({v.shape[dim] for v in leaves}) != 1:
        raise ValueError(f"All xs leaves must have the same size in dimension {dim}")
    leaves = [v.movedim(dim, 0) for v in leaves]
    leaves = [v.flip(0) for v in leaves] if reverse else leaves
    made = _scanned(lambda a, b: flatten(combine_fn(unflatten(a, spec), unflatten(b, spec)))[0], leaves)
    made = [v.flip(0) for v in made] if reverse else made
    return unflatten([v.movedim(0, dim) for v in made], spec)


def _scanned(combine: Callable[[list[Any], list[Any]], list[Any]], leaves: list[Any]) -> list[Any]:
    length = leaves[0].shape[0]
    if length < 2:
        return leaves
    pairs = combine([v[: length - 1 : 2] for v in leaves], [v[1::2] for v in leaves])
    odd = _scanned(combine, pairs)  # the results at places 1, 3, 5, ...
    if length == 2:
        even: list[Any] = [v[:1] for v in leaves]
    else:
        left = odd if length % 2 else [v[:-1] for v in odd]
        later = combine(left, [v[2::2] for v in leaves])
        even = [cat([v[:1], w]) for v, w in zip(leaves, later, strict=True)]
    return [_interleaved(a, b) for a, b in zip(even, odd, strict=True)]


def _interleaved(even: Any, odd: Any) -> Any:
    both = min(even.shape[0], odd.shape[0])
    made = stack([even[:both], odd[:both]], 1).flatten(0, 1)
    return cat([made, even[both:]]) if even.shape[0] > both else made


__all__ = ["associative_scan"]
