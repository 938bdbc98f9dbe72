"""`Size`: the tuple of a tensor's dimensions."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Iterator
from typing import Any, SupportsIndex, overload

import numpy as np

from .devices import device


def dimension(n: Any) -> Any:
    """`n` as an int, or as it is if it is one that `export` leaves open, or a nested tensor's. TypeError if it is none."""
    try:
        return operator.index(n)
    except TypeError:
        if getattr(type(n), "stands_for_lengths", False):
            return n
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
    """The values of `Tensor(2, 3)`, of `Tensor(size)` (zeros) or of `Tensor(data)`. TypeError or ValueError for other things."""
    if not args or (len(args) == 1 and isinstance(args[0], Size)) or _counts(args[0]):
        return np.zeros(_sizes(args[0] if args and isinstance(args[0], Size) else args or (0,)), target)
    if len(args) > 1:
        raise _no_constructor(args, {})
    data = args[0]
    if isinstance(data, (str, bytes)):
        raise TypeError(f"new(): invalid data type '{type(data).__name__}'")
    if isinstance(data, (dict, np.generic)) or not (hasattr(data, "__len__") and hasattr(data, "__getitem__")):
        kind = f"numpy.{type(data).__name__}" if isinstance(data, np.generic) else type(data).__name__
        raise TypeError(f"new(): data must be a sequence (got {kind})")
    leaf = data
    while isinstance(leaf, (list, tuple)) and leaf:
        leaf = leaf[0]
    try:
        values = np.array(_numbers(data) if hasattr(leaf, "detach") else data, target)
    except (TypeError, ValueError, RuntimeError):
        raise _no_values(data) from None
    if (
        target.kind == "f"
        and not isinstance(data, np.ndarray)
        and np.isnan(values).any()
        and any(it is None for it in _leaves(data))
    ):
        raise _no_values(data)
    return values


def _numbers(data: Any) -> Any:
    """Nested lists of tensors of one element, as nested lists of numbers."""
    return [_numbers(it) for it in data] if isinstance(data, (list, tuple)) else getattr(data, "item", lambda: data)()


def _leaves(data: Any) -> Iterator[Any]:
    if not isinstance(data, (list, tuple)):
        yield data
        return
    for it in data:
        yield from _leaves(it)


def legacy_arguments(args: tuple[Any, ...], kwargs: dict[str, Any], here: str = "cpu") -> tuple[Any, ...]:
    """What `Tensor(...)` is made of, given by place or by name. TypeError for other names, RuntimeError for another device."""
    named = kwargs.keys() - {"device"}
    if named:
        if args or len(named) > 1 or not named <= {"data", "other", "size", "storage"}:
            raise _no_constructor(args, kwargs)
        name = named.pop()
        args = (Size(kwargs[name]) if name == "size" else kwargs[name],)
    where = kwargs.get("device")
    if where is not None and (kind := device(where).type) != here:
        raise RuntimeError(f"legacy constructor expects device type: {here} but device type: {kind} was passed")
    return args


def _no_constructor(args: tuple[Any, ...], kwargs: dict[str, Any]) -> TypeError:
    """The refusal of arguments that no form of `Tensor(...)` takes."""
    got = [type(it).__name__ for it in args] + [f"{name}={type(it).__name__}" for name, it in kwargs.items()]
    return TypeError(
        f"new() received an invalid combination of arguments - got ({', '.join(got)}), but expected one of:\n"
        " * (*, torch.device device = None)\n * (torch.Storage storage)\n * (Tensor other)\n"
        " * (tuple of ints size, *, torch.device device = None)\n * (object data, *, torch.device device = None)\n"
        "torch.tensor(data, dtype=...) takes a dtype"
    )


def _counts(n: Any) -> bool:
    return hasattr(n, "__index__") and not isinstance(n, (bool, np.bool_)) and not getattr(n, "shape", ())


def _sizes(sizes: Iterable[Any]) -> tuple[int, ...]:
    found = []
    for place, n in enumerate(sizes, 1):
        if not _counts(n):
            raise TypeError(
                f"new(): argument 'size' failed to unpack the object at pos {place} with error \"type must be tuple of ints,"
                f'but got {type(n).__name__}"'
            )
        found.append(operator.index(n))
    for n in found:
        if n < 0:
            raise RuntimeError(f"Trying to create tensor with negative dimension {n}: {found}")
    return tuple(found)


def _no_values(data: Any) -> Exception:
    """Why nested sequences are no array of numbers."""
    level, dim = [data], 0
    while level and isinstance(level[0], (list, tuple)):
        n = len(level[0])
        for item in level:
            if not isinstance(item, (list, tuple)):
                return TypeError(f"not a sequence: expected one of length {n} at dim {dim}, got {item!r}")
            if len(item) != n:
                return ValueError(f"expected sequence of length {n} at dim {dim} (got {len(item)})")
        level, dim = [it for item in level for it in item], dim + 1
    wrong = next((it for it in level if not isinstance(it, (int, float))), data)
    if hasattr(wrong, "detach"):
        n = wrong.numel()
        return ValueError(f"only one element tensors can be converted to Python scalars, not {n} elements")
    return TypeError(f"must be real number, not {type(wrong).__name__}")


def counted(dim: Any, ndim: int, name: str) -> int:
    """`normalized_dim` of the argument of a method that takes no bool for an int."""
    if isinstance(dim, bool):
        raise TypeError(f"{name}(): argument 'dim' (position 1) must be int, not bool")
    return normalized_dim(dim, ndim)


def infer_size(shape: tuple[int, ...], numel: int) -> tuple[int, ...]:
    """A shape with its one -1 filled in. Raises RuntimeError if it does not fit the number of elements."""
    for n in shape:
        if n < -1:
            raise RuntimeError(f"invalid shape dimension {n} at index {shape.index(n)} of shape {list(shape)}")
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
