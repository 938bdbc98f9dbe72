"""Arrays without values: what tensors on the meta device hold.

A `MetaArray` stands where a `jax.Array` would. It knows its shape and dtype, and whatever asks it for values raises `NoData`;
`evaluate` lets JAX find what a function would make of such arrays. So there is no second table of shapes: an operator's one
array function gives them.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

import jax
import numpy as np
from jax._src import core as jax_core


class NoData(NotImplementedError):
    """The values of a tensor on the meta device were asked for."""

    def __init__(self, text: str = "Cannot copy out of meta tensor; no data!") -> None:
        super().__init__(text)


# in a traceback it is what PyTorch raises
NoData.__name__ = NoData.__qualname__ = "NotImplementedError"
NoData.__module__ = "builtins"


class Nowhere:
    """In the place of a JAX device: where arrays without values are."""

    platform = "meta"
    local_hardware_id = 0
    id = 0
    device_kind = "meta"

    def __repr__(self) -> str:
        return "Nowhere()"

    def __reduce__(self) -> str:
        return "NOWHERE"


NOWHERE = Nowhere()


class MetaArray:
    """A shape and a dtype, in the place of an array."""

    __slots__ = ("shape", "dtype")
    committed = True
    weak_type = False
    sharding = NOWHERE

    def __init__(self, shape: Iterable[int], dtype: Any):
        self.shape: tuple[int, ...] = tuple(shape)
        self.dtype: np.dtype = np.dtype(dtype)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    @property
    def itemsize(self) -> int:
        return self.dtype.itemsize

    @property
    def aval(self) -> jax.core.ShapedArray:
        return jax.core.ShapedArray(self.shape, self.dtype)

    def devices(self) -> set[Any]:
        return {NOWHERE}

    def is_deleted(self) -> bool:
        return False

    def astype(self, dtype: Any) -> MetaArray:
        return MetaArray(self.shape, dtype)

    def transpose(self, *order: Any) -> MetaArray:
        return evaluate(lambda x: x.transpose(*order), (self,))

    def reshape(self, *shape: Any) -> MetaArray:
        return evaluate(lambda x: x.reshape(*shape), (self,))

    def item(self) -> NoReturn:
        raise RuntimeError("Tensor.item() cannot be called on meta tensors")

    def __bool__(self) -> NoReturn:
        self.item()

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise NoData

    __dlpack_device__: Callable[..., Any]
    __dlpack__: Callable[..., Any]
    __index__: Callable[..., Any]
    __int__: Callable[..., Any]
    __float__: Callable[..., Any]
    __getitem__: Callable[..., Any]
    __iter__: Callable[..., Any]
    __array__ = __iter__ = __getitem__ = __float__ = __int__ = __index__ = __dlpack__ = __dlpack_device__ = _refuse
    unsafe_buffer_pointer: Callable[..., Any]
    tolist = unsafe_buffer_pointer = _refuse

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"MetaArray({self.shape}, {self.dtype})"


def _abstracted(array: MetaArray) -> NoReturn:
    raise NoData


jax_core.pytype_aval_mappings[MetaArray] = _abstracted  # a compiled function refuses them with this error


def is_meta(array: Any) -> bool:
    """Whether this is an array without values."""
    return type(array) is MetaArray


def any_meta(arrays: Iterable[Any]) -> bool:
    """Whether there is an array without values among these."""
    return any(type(array) is MetaArray for array in arrays)


def like(array: MetaArray) -> jax.ShapeDtypeStruct:
    """What JAX traces with in its place."""
    return jax.ShapeDtypeStruct(array.shape, array.dtype)


def evaluate(function: Callable[..., Any], arrays: Sequence[Any]) -> Any:
    """The results of `function(*arrays)` without values: an array, or a tuple of arrays."""
    made = jax.eval_shape(function, *jax.tree.map(lambda a: like(a) if type(a) is MetaArray else a, tuple(arrays)))
    return jax.tree.map(lambda x: MetaArray(x.shape, x.dtype), made)


def with_shapes(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, of arrays and tuples of arrays, made to give arrays without values for such."""

    @functools.wraps(function)
    def call(*args: Any) -> Any:
        try:
            return function(*args)
        except NoData:
            held = {i: a for i, a in enumerate(args) if any_meta(a if isinstance(a, tuple) else (a,))}

            def filled(*given: Any) -> Any:
                every = dict(enumerate(args)) | dict(zip(held, given, strict=True))
                return function(*every.values())

            return evaluate(filled, tuple(held.values()))

    return call
