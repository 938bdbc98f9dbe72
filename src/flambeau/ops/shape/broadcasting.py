"""Shapes to which several shapes broadcast, tensors expanded to them, and tensors of so many dimensions at least."""

from __future__ import annotations

from typing import Any

from ...core.array.size import Size
from ...core.context.overrides import unseen
from ...core.dispatch.errors import broadcast_clash
from ...core.dispatch.operator import composite
from ...core.dispatch.signature import not_a_tensor
from ...core.tensor.tensor import Tensor
from .views import expand, unsqueeze


@composite(methods=False, in_python=True)
@unseen
def broadcast_shapes(*shapes: Any) -> Size:
    """The shape to which shapes (sequences of ints, or ints) broadcast.

    Raises RuntimeError if they do not or are none, ValueError for a negative length.
    """
    given = []
    for shape in shapes:
        if not isinstance(shape, (int, tuple, list, range, str)) and shape is not None:
            kinds = "ints, a tuple of ints, or a list of ints"
            raise RuntimeError(f"Input shapes should be of type {kinds}, got {shape}")
        given.append((shape,) if isinstance(shape, int) else () if shape is None else shape)
    made: list[Any] = [1] * max(map(len, given), default=0)
    for i, shape in enumerate(given):
        for at in range(-1, -1 - len(shape), -1):
            n: Any = shape[at]
            if n < 0 and made[at] == 1:
                raise ValueError("Attempting to broadcast a dimension with negative length!")
            if n != 1 and made[at] not in (1, n):
                raise RuntimeError(
                    f"Attempting to broadcast a dimension of length {n} at {at}! Mismatching argument at index {i} had "
                    f"{shape}; but expected shape should be broadcastable to {made}"
                )
            made[at] = n if made[at] == 1 else made[at]
    return Size(made)


@composite(methods=False, in_python=True)
def broadcast_tensors(*tensors: Any) -> tuple[Tensor, ...]:
    """The tensors expanded to their common shape; those that have it are given back themselves."""
    given = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)) else tensors
    if clash := broadcast_clash([tuple(t.shape) for t in given]):
        raise RuntimeError(clash)
    shape = broadcast_shapes(*(tuple(t.shape) for t in given))
    return tuple(t if t.shape == shape else expand(t, *shape) for t in given)


def _at_least(name: str, count: int) -> None:
    def at_least(*tensors: Any) -> Any:
        if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
            return tuple(at_least(x) for x in tensors[0])
        if len(tensors) != 1:
            return tuple(at_least(x) for x in tensors)
        (x,) = tensors
        if not isinstance(x, Tensor):
            raise not_a_tensor(name, "input", 1, x)
        if count == 3 and x.ndim in (1, 2):
            return unsqueeze(x if x.ndim == 2 else unsqueeze(x, 0), -1)
        while x.ndim < count:
            x = unsqueeze(x, 0)
        return x

    at_least.__name__ = name
    at_least.__doc__ = f"Each tensor as a view with at least {count} dimensions."
    composite(methods=False, in_python=True)(at_least)


for _count in (1, 2, 3):
    _at_least(f"atleast_{_count}d", _count)
