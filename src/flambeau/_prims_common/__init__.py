"""Helpers about dtypes, strides and dimensions, under the names of PyTorch's own package."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import Enum
from typing import Any

from ..core.array import dtypes
from ..core.array.formats import channels_last, channels_last_3d, contiguous_format
from ..core.array.geometry import contiguous_strides
from ..core.array.size import normalized_dim
from ..core.dispatch.promotion import result_type
from ..core.tensor.tensor import Tensor

__all__ = [
    "ELEMENTWISE_TYPE_PROMOTION_KIND", "canonicalize_dim", "canonicalize_dims", "corresponding_complex_dtype",
    "corresponding_real_dtype", "dtype_to_type", "elementwise_dtypes", "get_computation_dtype", "is_boolean_dtype",
    "is_channels_last_contiguous", "is_complex_dtype", "is_contiguous", "is_contiguous_for_memory_format",
    "is_contiguous_for_memory_format_or_false", "is_contiguous_or_false", "is_cpu_scalar_tensor", "is_float_dtype",
    "is_grad_dtype", "is_integer_dtype", "is_low_precision_dtype", "is_same_shape", "is_valid_permutation",
    "make_contiguous_strides_for", "prod", "suggest_memory_format", "type_to_dtype",
]  # fmt: skip


class ELEMENTWISE_TYPE_PROMOTION_KIND(Enum):
    """How the dtype of an elementwise result follows from the common one of its arguments."""

    DEFAULT = (0,)
    NO_OPMATH = (1,)
    INT_TO_FLOAT = (2,)
    ALWAYS_BOOL = (3,)
    COMPLEX_TO_FLOAT = (4,)
    BOOL_TO_LONG = (5,)


_LOW = (dtypes.bfloat16, dtypes.float16)


def is_boolean_dtype(dtype: dtypes.dtype) -> bool:
    """Whether it is bool."""
    return dtype is dtypes.bool


def is_float_dtype(dtype: dtypes.dtype) -> bool:
    """Whether it is one of real floating point numbers."""
    return dtype.is_floating_point


def is_complex_dtype(dtype: dtypes.dtype) -> bool:
    """Whether it is one of complex numbers."""
    return dtype.is_complex


def is_integer_dtype(dtype: dtypes.dtype) -> bool:
    """Whether it is one of whole numbers; bool is not."""
    return not (dtype.is_floating_point or dtype.is_complex or dtype is dtypes.bool)


def is_low_precision_dtype(dtype: dtypes.dtype) -> bool:
    """Whether it is a floating point kind of 16 bits."""
    return dtype in _LOW


def is_grad_dtype(dtype: dtypes.dtype) -> bool:
    """Whether tensors of it can require gradients."""
    return dtype.is_floating_point or dtype.is_complex


def corresponding_real_dtype(dtype: dtypes.dtype) -> dtypes.dtype:
    """The dtype of a complex one's parts."""
    return dtype.to_real()  # type: ignore[attr-defined, no-any-return]


def corresponding_complex_dtype(dtype: dtypes.dtype) -> dtypes.dtype:
    """The complex dtype whose parts are of this one."""
    return dtype.to_complex()  # type: ignore[attr-defined, no-any-return]


def get_computation_dtype(dtype: dtypes.dtype) -> dtypes.dtype:
    """The dtype that is computed in: float32 for the 16 bit kinds."""
    return dtypes.float32 if dtype in _LOW else dtype


def dtype_to_type(dtype: dtypes.dtype) -> type:
    """The kind of Python's numbers that stands for a dtype."""
    kinds = ((is_boolean_dtype, bool), (is_integer_dtype, int), (is_float_dtype, float))
    return next((kind for asks, kind in kinds if asks(dtype)), complex)


def type_to_dtype(typ: type) -> dtypes.dtype:
    """The dtype of Python's numbers of a kind. ValueError for other kinds."""
    found = {bool: dtypes.bool, int: dtypes.int64, float: dtypes.get_default_dtype(), complex: dtypes.default_complex()}
    if typ not in found:
        raise ValueError(f"Invalid type {typ}!")
    return found[typ]


def elementwise_dtypes(
    *args: Any, type_promotion_kind: ELEMENTWISE_TYPE_PROMOTION_KIND
) -> tuple[dtypes.dtype, dtypes.dtype]:
    """The dtypes that an elementwise function of these tensors and numbers computes in, and gives."""
    given = [arg for arg in args if arg is not None]
    common = _common(given)
    kinds = ELEMENTWISE_TYPE_PROMOTION_KIND
    if type_promotion_kind is kinds.INT_TO_FLOAT and not is_grad_dtype(common):
        common = dtypes.get_default_dtype()
    result = common
    if type_promotion_kind is kinds.ALWAYS_BOOL:
        result = dtypes.bool
    elif type_promotion_kind is kinds.COMPLEX_TO_FLOAT and common.is_complex:
        result = corresponding_real_dtype(common)
    elif type_promotion_kind is kinds.BOOL_TO_LONG and common is dtypes.bool:
        common = result = dtypes.int64
    return (common if type_promotion_kind is kinds.NO_OPMATH else get_computation_dtype(common)), result


def _common(given: Sequence[Any]) -> dtypes.dtype:
    if len(given) == 1:
        return given[0].dtype if isinstance(given[0], Tensor) else type_to_dtype(type(given[0]))
    ranked = sorted(given, key=lambda v: 2 if not isinstance(v, Tensor) else 1 if v.ndim == 0 else 0)
    found, best = ranked[0], None
    for other in ranked[1:]:
        best = result_type(found, other)
        if isinstance(found, Tensor):
            found = (
                found
                if best is found.dtype
                else (other if isinstance(other, Tensor) and other.dtype is best else found.detach().to(best))
            )
    assert best is not None
    return best


def canonicalize_dim(rank: int, idx: int, wrap_scalar: bool = True) -> int:
    """A dimension counted from the front. IndexError beyond the last one."""
    if rank < 0:
        raise IndexError(f"Rank cannot be negative but got {rank}")
    if rank == 0:
        if not wrap_scalar:
            raise IndexError(f"Dimension specified as {idx} but tensor has no dimensions")
        rank = 1
    return normalized_dim(idx, rank)


def canonicalize_dims(rank: int, indices: Any, wrap_scalar: bool = True) -> Any:
    """One dimension or several, counted from the front."""
    if isinstance(indices, int):
        return canonicalize_dim(rank, indices, wrap_scalar)
    return tuple(canonicalize_dim(rank, i, wrap_scalar) for i in indices)


def is_valid_permutation(rank: int, perm: Sequence[int]) -> bool:
    """Whether `perm` names each dimension once."""
    return isinstance(perm, Sequence) and sorted(perm) == list(range(rank))


def is_same_shape(a: Sequence[int], b: Sequence[int]) -> bool:
    """Whether two shapes are the same."""
    return tuple(a) == tuple(b)


def is_cpu_scalar_tensor(a: Any) -> bool:
    """Whether it is a tensor without dimensions on the CPU."""
    return isinstance(a, Tensor) and a.ndim == 0 and a.device.type == "cpu"


def is_contiguous(a: Tensor, false_if_dde: bool = False) -> bool:
    """Whether the elements lie one after the other, in the usual order."""
    return a.is_contiguous()


def is_contiguous_or_false(a: Tensor) -> bool:
    """`is_contiguous`: sizes are always known here."""
    return a.is_contiguous()


def is_channels_last_contiguous(a: Tensor) -> bool:
    """Whether the channels lie innermost."""
    return a.is_contiguous(memory_format=channels_last) or a.is_contiguous(memory_format=channels_last_3d)


def is_contiguous_for_memory_format(a: Tensor, *, memory_format: Any) -> bool:
    """Whether the elements lie one after the other, in the order of a format."""
    return a.is_contiguous(memory_format=memory_format)


is_contiguous_for_memory_format_or_false = is_contiguous_for_memory_format


def suggest_memory_format(x: Tensor) -> Any:
    """The format that a tensor has."""
    if x.ndim == 4 and not x.is_contiguous() and x.is_contiguous(memory_format=channels_last):
        return channels_last
    if x.ndim == 5 and not x.is_contiguous() and x.is_contiguous(memory_format=channels_last_3d):
        return channels_last_3d
    return contiguous_format


def make_contiguous_strides_for(shape: Sequence[int], row_major: bool = True) -> tuple[int, ...]:
    """The strides of a shape in the usual order; with `row_major=False` its last two dimensions are turned."""
    if row_major or len(shape) < 2:
        return tuple(contiguous_strides(tuple(shape)))
    strides = contiguous_strides((*shape[:-2], shape[-1], shape[-2]))
    return (*strides[:-2], strides[-1], strides[-2])


def prod(xs: Sequence[Any]) -> Any:
    """The product of numbers."""
    return math.prod(xs)
