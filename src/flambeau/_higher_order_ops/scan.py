"""`scan`: a function along a dimension, which hands something on from step to step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from ..core.tensor.tensor import Tensor
from ..core.tensor.tree import flatten, unflatten
from ..ops.shape.joining import stack
from ._staged import is_traced, on_arrays, staged


def scan(
    combine_fn: Callable[[Any, Any], tuple[Any, Any]], init: Any, xs: Any, *, dim: int = 0, reverse: bool = False
) -> tuple[Any, Any]:
    """`(last carry, outputs)` of `carry, out = combine_fn(carry, x)` for each slice `x` of `xs`, from `init` on.

    Outputs are stacked along `dim`. Raises RuntimeError for no function, lengths that differ, or a carry that changes its
    shape or dtype.
    """
    if not callable(combine_fn):
        raise RuntimeError(f"Combine_fn must be a callable, but got {combine_fn}")
    carried, carry_spec = flatten(init)
    slices, spec = flatten(xs)
    for what, leaves in (("init", carried), ("xs", slices)):
        if not all(isinstance(v, Tensor) for v in leaves):
            raise RuntimeError(f"All {what} leaves must be a Tensor but got {leaves}")
    if not carried:
        raise RuntimeError("scan() operator requires init leaves.")
    if not slices:
        return init, []
    lengths = {v.shape[dim] for v in slices}
    if len(lengths) != 1:
        raise RuntimeError(f"All xs leaves must have the same size in dimension {dim}, got {sorted(lengths)}")
    if lengths == {0}:
        raise RuntimeError("All xs leaves must at least have 'dim' number of dimensions and scan dimension > 0")
    moved = [v.movedim(dim, 0) for v in slices]
    if is_traced():
        carry, outs = _in_trace(combine_fn, carried, carry_spec, moved, spec, reverse)
        leaves, out_spec = flatten(outs)
        return carry, unflatten([v.movedim(0, dim) for v in leaves], out_spec)
    length = lengths.pop()
    outputs: list[Any] = []
    carry, out_spec = init, spec
    for i in reversed(range(length)) if reverse else range(length):
        carry, out = combine_fn(carry, unflatten([v[i] for v in moved], spec))
        made, made_spec = flatten(carry)
        if made_spec != carry_spec or any(
            a.shape != b.shape or a.dtype != b.dtype for a, b in zip(made, carried, strict=True)
        ):
            raise RuntimeError(
                f"Expected init and carry to have same metadata but found: {made} where init is {carried}"
            )
        leaves, out_spec = flatten(out)
        outputs.append(leaves)
    outputs = outputs[::-1] if reverse else outputs
    return carry, unflatten([stack(list(column)).movedim(0, dim) for column in zip(*outputs, strict=True)], out_spec)


def _in_trace(combine_fn: Any, carried: Any, carry_spec: Any, moved: Any, spec: Any, reverse: bool) -> tuple[Any, Any]:
    count = len(carried)
    _, pair = flatten(([0] * count, [0] * len(moved)))
    told: list[Any] = []

    def one(carry: Any, x: Any) -> Any:
        made = combine_fn(unflatten(list(carry), carry_spec), unflatten(list(x), spec))
        return made

    step = on_arrays(one, pair, told)

    def body(*arrays: Any) -> Any:
        def advance(carry: Any, x: Any) -> Any:
            made = step([*carry, *x])
            return made[:count], made[count:]

        try:
            last, outputs = jax.lax.scan(advance, list(arrays[:count]), list(arrays[count:]), reverse=reverse)
        except TypeError as error:
            raise RuntimeError(f"Expected init and carry to have same metadata but found: {error}") from None
        return [*last, *outputs]

    made = staged("Scan", body, [*carried, *moved])
    return unflatten(made, told[0])  # type: ignore[return-value]


__all__ = ["scan"]
