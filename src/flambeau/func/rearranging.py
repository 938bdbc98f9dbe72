"""`rearrange` by a pattern of names, and a look under a transform's tensors."""

from __future__ import annotations

import re
from typing import Any

import jax

from ..core.tensor.tensor import Tensor, wrap
from ..ops.shape.joining import stack

_DOTS = "…"
_BARE = [_DOTS, "1"]  # an ellipsis that stands outside of parentheses


def rearrange(tensor: Any, pattern: str, **axes_lengths: int) -> Tensor:
    """Split, reorder and join dimensions as `'b (h w) c -> b c h w'` says. https://einops.rocks/api/rearrange

    A list of tensors is stacked first. `axes_lengths` gives sizes that do not follow from the shape. Raises ValueError for a
    pattern that cannot be read or does not fit the number of dimensions, RuntimeError for sizes that do not fit.
    """
    if not isinstance(tensor, Tensor):
        tensor = stack(list(tensor))
    sides = pattern.split("->")
    if len(sides) != 2:
        raise ValueError("Pattern must contain a single '->' separator")
    left, right = (_groups(side) for side in sides)
    names, shown = ([n for group in side for n in group if n != "1"] for side in (left, right))
    if lonely := set(names) ^ set(shown):
        raise ValueError(f"Identifiers only on one side of rearrange expression (should be on both): {lonely}")
    if unknown := set(axes_lengths) - set(names):
        raise ValueError(f"Identifiers only in axes_lengths, not in the rearrange expression: {unknown}")
    dots = [i for i, group in enumerate(left) if _DOTS in group]
    extra = tensor.ndim - (len(left) - len(dots))
    if (extra != 0 and not dots) or extra < 0:
        raise ValueError(
            f"Number of dimensions in pattern ({len(left)}) must be equal to the number of dimensions in the tensor ({tensor.ndim})"
        )
    if dots and left[dots[0]] != _BARE:
        raise ValueError("An ellipsis inside of parentheses on the left side is not supported")
    many = [f"{_DOTS}{i}" for i in range(extra)] if dots else []
    left = [g for group in left for g in ([[m] for m in many] if group == _BARE else [group])]
    sizes = _sizes(left, tuple(tensor.shape), dict(axes_lengths))
    order = [n for group in left for n in group if n != "1"]
    flat = [m for group in right for n in group for m in (many if n == _DOTS else [n])]
    apart = tensor.reshape([sizes[n] for n in order])
    turned = apart.permute([order.index(n) for n in flat if n != "1"])
    shape: list[int] = []
    for group in right:
        if group == _BARE:
            shape += [sizes[m] for m in many]
            continue
        members = [m for n in group for m in (many if n == _DOTS else [n])]
        size = 1
        for member in members:
            size *= 1 if member == "1" else sizes[member]
        shape.append(size)
    return turned.reshape(shape)  # type: ignore[no-any-return]


def _groups(side: str) -> list[list[str]]:
    """The dimensions of one side, each a list of names."""
    side = side.replace("...", f" {_DOTS} ")
    found: list[list[str]] = []
    inside = False
    for token in re.findall(rf"\(|\)|{_DOTS}|[^\s()]+", side):
        if token in "()":
            if (token == "(") == inside:
                raise ValueError("Brackets of a rearrange expression must not be nested, and have to be closed")
            inside = token == "("
            if inside:
                found.append([])
            continue
        if token not in (_DOTS, "1") and not token.isidentifier():
            raise ValueError(f"Invalid axis identifier: {token!r}")
        if token != "1" and any(token in group for group in found):
            raise ValueError(f"Indexing expression contains duplicate dimension '{token}'")
        if inside:
            found[-1].append(token)
        else:
            found.append(list(_BARE) if token == _DOTS else [token])
    if inside:
        raise ValueError("Brackets of a rearrange expression must not be nested, and have to be closed")
    return found


def _sizes(groups: list[list[str]], shape: tuple[int, ...], known: dict[str, int]) -> dict[str, int]:
    for group, size in zip(groups, shape, strict=True):
        members = [n for n in group if n != "1"]
        open_ones = [n for n in members if n not in known]
        product = 1
        for name in members:
            product *= known.get(name, 1)
        if len(open_ones) > 1:
            raise RuntimeError(f"cannot infer the sizes of two dimensions at once {open_ones[0]} and {open_ones[1]}")
        if open_ones:
            if product == 0 or size % product:
                raise RuntimeError(
                    f"inferred dimension does not evenly fit into larger dimension: {size} vs {tuple(known.get(n, '?') for n in members)}"
                )
            known[open_ones[0]] = size // product
        elif product != size:
            raise RuntimeError(
                f"Dimension sizes to do not match ({size} != {product}) when matching dimension pack {members}"
            )
    return known


def debug_unwrap(tensor: Tensor, *, recurse: bool = True) -> Tensor:
    """What lies under a tensor inside of a transform: all samples under `vmap`, the values under `jvp`. For debugging only.

    With `recurse`, under all transforms, otherwise under the innermost. TypeError if it is no tensor.
    """
    if not isinstance(tensor, Tensor):
        raise TypeError(f"Expected a Tensor, got {type(tensor).__name__}")
    array = tensor._array
    while isinstance(array, jax.core.Tracer):
        under = getattr(array, "val", None) if hasattr(array, "batch_dim") else getattr(array, "primal", None)
        if under is None:
            break
        array = under
        if not recurse:
            break
    return tensor if array is tensor._array else wrap(array)


__all__ = ["debug_unwrap", "rearrange"]
