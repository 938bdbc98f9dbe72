"""Small calls that are computed at once, by kernels that the host calls: a program of XLA takes some 5 us to begin, whatever it does.

That is for calls that nobody records, traces or watches, of tensors that lie in the CPU's memory in one piece. The results lie in NumPy's memory
until a program asks for them, and have the bits that the program would have given, so that nobody can tell. None says that the program has to
do it, or the error that it gives.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf, prod
from typing import Any

import numpy as np
from jax._src.array import ArrayImpl

from ...native import channels_last
from ...native.at_once import COMPARISONS, OPERATIONS, functions
from ..context.grad_mode import state
from ..context.overrides import plain
from ..tensor.storage import HostStorage, Storage
from ..tensor.tensor import Tensor, blank

MOST = 1 << 12  # elements: with more XLA's program takes no longer
_new = object.__new__
_held = channels_last.held
_BOOL = np.dtype(bool)
_EXACT = 1 << 24  # whole numbers up to here are numbers of every dtype that is taken

AtOnce = Callable[..., Tensor | None]
Memory = tuple[Any, int, tuple[int, ...]]


def memory(tensor: Any, most: float = inf) -> Memory | None:
    """The array, of JAX's or of NumPy's, in which a tensor's values lie in one piece, where they begin, and the tensor's shape; None
    where they are not at hand, or of a view that has more than `most` elements."""
    if type(tensor) not in plain or ((g := tensor._view) is not None and prod(g.shape) > most):
        return None
    on_tape = tensor._edge is not None or tensor._base is not None
    if on_tape and state.grad and (tensor._base is None or tensor._tape_edge() is not None):
        return None
    storage = tensor._storage
    kind = type(storage)
    if kind is Storage:
        array = storage.value
        if type(array) is not ArrayImpl or id(array) in _held:
            return None
    elif kind is HostStorage:
        array = storage.host
        if array is None:  # another thread was here
            return None
    else:
        return None
    if g is None:
        return array, 0, array.shape
    if g.bits is not None or type(g.offset) is not int or not g.contiguous:
        return None
    return array, g.offset, g.shape


def nobody_looks() -> bool:
    """Whether calls are just computed now, and kernels are there for it."""
    return (functions.at_hand or functions.found()) and not (
        state.around or state.trace is not None or state.transforms is not None
    )


def made(values: np.ndarray) -> Tensor:
    """A tensor of values that nobody else holds."""
    storage: Any = _new(HostStorage)
    storage.host = values
    storage.version = 0
    return blank(Tensor, storage)  # type: ignore[no-any-return]


def elementwise(name: str) -> AtOnce:
    """A form of one of the kernel's operations on two arguments."""
    operation = OPERATIONS[name]
    compares = operation >= COMPARISONS
    divides = name == "div"
    taken = "fd" if divides else "fdlq"

    def call(*args: Any) -> Tensor | None:
        if len(args) != 2 or not nobody_looks():
            return None
        input, other = args
        found = memory(input, MOST)
        if found is None:
            return None
        a, start, shape = found
        dtype, size = a.dtype, prod(shape)
        if dtype.char not in taken or size > MOST:
            return None
        kind = type(other)
        if kind is float or kind is int:
            if kind is int and not -_EXACT <= other <= _EXACT:
                return None
            y = np.empty(shape, _BOOL if compares else dtype)
            return made(y) if functions.elementwise(operation, y, a, start, size, other, kind is int) else None
        found = memory(other, MOST)
        if found is None:
            return None
        b, place, sizes = found
        count = size
        if b.dtype != dtype:
            return None
        if sizes != shape:
            count, lead = prod(sizes), len(shape) - len(sizes)
            if count > MOST:
                return None
            if lead > 0 and shape[lead:] == sizes:
                if divides and sizes:
                    return None  # XLA multiplies by the reciprocals of a row
            elif lead < 0 and sizes[-lead:] == shape:
                shape = sizes
            else:
                return None
        y = np.empty(shape, _BOOL if compares else dtype)
        return made(y) if functions.elementwise(operation, y, a, start, size, b, place, count) else None

    call.writes = not compares  # type: ignore[attr-defined]
    return call


def written(at_once: AtOnce, input: Tensor, args: tuple[Any, ...]) -> bool:
    """Give a tensor that is no view what is computed at once of it and others, if that fits as it is and nobody has to be told."""
    if input._view is not None or input._base is not None or state.scope is not None:
        return False
    storage = input._storage
    if type(storage) is Storage:  # a first look, which sees most of what programs have to do
        array = storage.value
        if type(array) is not ArrayImpl or (aval := array.aval).dtype.char not in "fdlq" or prod(aval.shape) > MOST:
            return False
    found = at_once(input, *args)
    if found is None:
        return False
    values = found._storage.host  # type: ignore[attr-defined]
    if values.shape != storage.shape or values.dtype != storage.dtype:
        return False
    input._check_inplace()
    storage.set_host(values)
    input._edge_version += 1
    return True


# ---------------------------------------------------------------- by their numbers


def slices(input: Any, dim: Any, index: Any) -> Tensor | None:
    """The slices of a tensor along a dimension that have these numbers, whose dimensions come in its place."""
    both = _both(input, index)
    if both is None:
        return None
    (x, start, shape), (at, place, sizes) = both
    if type(dim) is not int or not -len(shape) <= dim < len(shape):
        return None
    dim %= len(shape)
    y = np.empty((*shape[:dim], *sizes, *shape[dim + 1 :]), x.dtype)
    # of slices of nothing the kernel would not look at the numbers
    if not 0 < y.nbytes <= _BYTES or not functions.slices(y, x, start, shape, dim, at, place, prod(sizes)):
        return None
    return made(y)


def gathered(input: Any, dim: Any, index: Any) -> Tensor | None:
    """`gather` along a dimension."""
    both = _both(input, index)
    if both is None:
        return None
    (x, start, shape), (at, place, sizes) = both
    if type(dim) is not int or not -len(shape) <= dim < len(shape) or prod(sizes) > MOST:
        return None
    y = np.empty(sizes, x.dtype)
    return made(y) if functions.gathered(y, x, start, shape, dim % len(shape), at, place, sizes) else None


def taken_along(input: Any, dim: Any, indices: Any) -> Tensor | None:
    """`take_along_dim`, where nothing has to be spread and all numbers are there."""
    both = _both(input, indices)
    if both is None or type(dim) is not int:
        return None
    (_, _, shape), (at, _, sizes) = both
    if at.dtype.itemsize != 8 or len(shape) != len(sizes) or not shape:
        return None
    dim = dim % len(shape) if -len(shape) <= dim < len(shape) else -1
    if any(n != m and d != dim for d, (n, m) in enumerate(zip(shape, sizes, strict=True))):
        return None
    return gathered(input, dim, indices) if dim >= 0 else None


def named(input: Any, *indices: Any) -> Tensor | None:
    """What numbers of one shape name in the first dimensions, counted from the end if they are below 0."""
    both = _both(input, indices[0])
    if both is None:
        return None
    (x, start, shape), (at, place, sizes) = both
    count = prod(sizes)
    if not sizes or count > _NAMED:
        return None
    numbers = [at, place, count]
    for index in indices[1:]:
        other = memory(index)
        if other is None or other[2] != sizes:
            return None
        numbers += [other[0], other[1], count]
    y = np.empty((*sizes, *shape[len(indices) :]), x.dtype)
    return made(y) if y.nbytes <= _BYTES and functions.named(y, x, start, shape, *numbers) else None


_BYTES = 1 << 17  # with more of them a program, which may use several cores, takes no longer
_NAMED = 1024  # the kernel's limit


def _both(input: Any, index: Any) -> tuple[Memory, Memory] | None:
    if not nobody_looks():
        return None
    x = memory(input)
    if x is None or x[0].dtype.kind not in "fiubc":
        return None
    at = memory(index)
    return None if at is None or at[0].dtype.kind != "i" else (x, at)
