"""`Size`: the tuple of a tensor's dimensions."""

from __future__ import annotations

import math
import operator
from typing import Any, SupportsIndex, overload

import numpy as np


def dimension(n: Any) -> Any:
    """`n` as an int, or as it is if it is one that `export` leaves open. TypeError if it is none."""
    try:
        return operator.index(n)
    except TypeError:
        from jax.export import is_symbolic_dim  # only here: it takes a while to import

        if is_symbolic_dim(n):
            return n
        raise


def _is_dimension(n: Any) -> bool:
    try:
        dimension(n)
    except TypeError:
        return False
    return True


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
        items = tuple(iterable)
        try:
            return tuple.__new__(cls, map(dimension, items))
        except TypeError:
            bad = next(i for i, n in enumerate(items) if not _is_dimension(n))
            raise TypeError(
                f"torch.Size() takes an iterable of 'int' (item {bad} is '{type(items[bad]).__name__}')"
            ) from None

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
        raise out_of_range(dim, span)
    return dim % span


def out_of_range(dim: int, span: int, more: str = "") -> IndexError:
    """The error of a dimension that a tensor of `span` dimensions has not; `more` says what would do."""
    text = f"Dimension out of range (expected to be in range of [{-span}, {span - 1}], but got {dim})"
    return IndexError(f"{text}: {more}" if more else text)


def constructed(args: tuple[Any, ...], target: np.dtype) -> np.ndarray:
    """The values of `Tensor(2, 3)`, of `Tensor(size)` (zeros) or of `Tensor(data)`. TypeError for a text or a single float."""
    if len(args) != 1 or isinstance(args[0], (int, Size)):
        return np.zeros(args[0] if args and isinstance(args[0], Size) else args or (0,), target)
    if isinstance(args[0], (str, float)):
        kind = type(args[0]).__name__
        what = f"invalid data type '{kind}'" if kind == "str" else f"data must be a sequence (got {kind})"
        raise TypeError(f"new(): {what}")
    return np.array(args[0], target)


def infer_size(shape: tuple[int, ...], numel: int) -> tuple[int, ...]:
    """A shape with its one -1 filled in. Raises RuntimeError if it does not fit the number of elements."""
    for n in shape:
        if n < -1:
            raise RuntimeError(f"invalid shape dimension {min(shape)}")
    if shape.count(-1) > 1:
        raise RuntimeError("only one dimension can be inferred")
    if -1 in shape:
        rest = math.prod(n for n in shape if n != -1)
        if rest == 0 and numel == 0:
            raise RuntimeError(
                f"cannot reshape tensor of 0 elements into shape {list(shape)} because the unspecified dimension size -1 "
                "can be any value and is ambiguous"
            )
        if rest == 0 or numel % rest:
            raise _size_clash(shape, numel)
        return tuple(numel // rest if n == -1 else n for n in shape)
    if math.prod(shape) != numel:
        raise _size_clash(shape, numel)
    return shape


def _size_clash(shape: tuple[int, ...], numel: int) -> RuntimeError:
    return RuntimeError(f"shape '{list(shape)}' is invalid for input of size {numel}")
