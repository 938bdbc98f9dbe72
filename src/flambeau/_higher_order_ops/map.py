"""`map`: a function on each slice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from ..core.tensor.tensor import Tensor
from ..core.tensor.tree import flatten, unflatten
from ..ops.shape.joining import stack
from ._staged import is_traced, on_arrays, staged


def map(f: Callable[..., Any], xs: Any, *args: Any) -> Any:
    """`f(x, *args)` for each slice `x` of `xs` along dimension 0, one after the other, stacked.

    Raises RuntimeError for no function, for no tensors to map over, or lengths that differ.
    """
    if not callable(f):
        raise RuntimeError(f"map(f, xs, *args): f has to be callable, got {f}")
    leaves, spec = flatten(xs)
    if not leaves or not all(isinstance(v, Tensor) for v in leaves):
        raise RuntimeError(f"Mapped xs can only consist of tensors. Got xs {leaves}")
    lengths = {v.shape[0] for v in leaves}
    if lengths == {0}:
        raise RuntimeError("Leading dimensions of mapped xs cannot be 0.")
    if len(lengths) != 1:
        raise RuntimeError(
            f"Leading dimensions of mapped xs must be consistent. Got shapes {[tuple(v.shape) for v in leaves]}"
        )
    others, args_spec = flatten(args)
    if is_traced() and all(isinstance(v, Tensor) for v in others):
        return _in_trace(f, leaves, spec, others, args_spec)
    made = [flatten(f(unflatten([v[i] for v in leaves], spec), *args)) for i in range(lengths.pop())]
    columns = zip(*(found for found, _ in made), strict=True)
    return unflatten([stack(list(column)) for column in columns], made[0][1])


def _in_trace(f: Any, leaves: Any, spec: Any, others: Any, args_spec: Any) -> Any:
    told: list[Any] = []
    _, pair = flatten(([0] * len(leaves), [0] * len(others)))
    one = on_arrays(lambda x, rest: f(unflatten(list(x), spec), *unflatten(list(rest), args_spec)), pair, told)

    def body(*arrays: Any) -> Any:
        mapped, rest = list(arrays[: len(leaves)]), list(arrays[len(leaves) :])
        return jax.lax.map(lambda x: one([*x, *rest]), mapped)

    return unflatten(staged("Map", body, [*leaves, *others]), told[0])


__all__ = ["map"]
