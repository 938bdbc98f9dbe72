"""`Size`: the tuple of a tensor's dimensions."""

from __future__ import annotations

import math
import operator
from typing import Any, SupportsIndex, overload


def dimension(n: Any) -> Any:
    """`n` as an int, or as it is if it is one that `export` leaves open. TypeError if it is none."""
    try:
        return operator.index(n)
    except TypeError:
        from jax.export import is_symbolic_dim  # only here: it takes a while to import

        if is_symbolic_dim(n):
            return n
        raise


def is_open(shape: tuple[Any, ...]) -> bool:
    """Whether a shape has dimensions that `export` leaves open."""
    for n in shape:  # noqa: SIM110  (half the time of `any`, and every view asks)
        if type(n) is not int and not hasattr(n, "__index__"):
            return True
    return False


class Size(tuple[int, ...]):
    """A tensor's shape: a tuple of ints that stays one under slicing and `+`."""

    __slots__ = ()

    def __new__(cls, iterable: Any = ()) -> Size:
        return tuple.__new__(cls, map(dimension, iterable))

    def __repr__(self) -> str:
        return f"torch.Size([{', '.join(map(str, self))}])"

    __str__ = __repr__

    def numel(self) -> int:
        """The product of the dimensions."""
        return math.prod(self)

    @overload
    def __getitem__(self, key: SupportsIndex) -> int: ...
    @overload
    def __getitem__(self, key: slice) -> Size: ...
    def __getitem__(self, key: Any) -> Any:
        item = tuple.__getitem__(self, key)
        return Size(item) if isinstance(key, slice) else item

    def __add__(self, other: Any) -> Size:
        return Size(tuple.__add__(self, tuple(other))) if isinstance(other, tuple) else NotImplemented

    def __radd__(self, other: Any) -> Size:
        return Size(tuple(other) + tuple(self)) if isinstance(other, tuple) else NotImplemented

    def __mul__(self, times: Any) -> Size:
        return Size(tuple.__mul__(self, times))

    def __rmul__(self, times: Any) -> Size:
        return self * times

    def __reduce__(self) -> tuple[Any, ...]:
        return (Size, (tuple(self),))


def normalized_dim(dim: int, ndim: int) -> int:
    """A dimension counted from the front. Raises IndexError if out of range (a 0-dim tensor takes 0 and -1)."""
    span = max(ndim, 1)
    if not -span <= dim < span:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-span}, {span - 1}], but got {dim})")
    return dim % span
