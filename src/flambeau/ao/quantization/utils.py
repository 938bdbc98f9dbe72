"""Limits of quantized dtypes, and what observers ask before they tell a scale."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from ...core.array import dtypes
from ...core.dispatch.messages import message
from ...core.tensor.tensor import Tensor
from ...ops.making.quantized import (
    per_channel_affine,
    per_channel_affine_float_qparams,
    per_channel_symmetric,
    per_tensor_affine,
    per_tensor_symmetric,
)
from ._refused import refused

__all__ = ["check_min_max_valid", "is_per_channel", "is_per_tensor", "validate_qmin_qmax"]

if not TYPE_CHECKING:
    __getattr__ = refused

_RANGES = {  # by a dtype's name
    "qint8": (-128, 127), "int8": (-128, 127), "quint8": (0, 255), "uint8": (0, 255), "quint4x2": (0, 15),
    "qint32": (-(2**31), 2**31 - 1), "int32": (-(2**31), 2**31 - 1), "int16": (-(2**15), 2**15 - 1), "uint16": (0, 2**16 - 1),
    "float8_e5m2": (0, 15), "float8_e4m3fn": (0, 15),
}  # fmt: skip


def quantized_range(dtype: Any) -> tuple[int, int]:
    """The smallest and the largest whole number of a quantized dtype. AssertionError for others."""
    if not isinstance(dtype, dtypes.dtype) or dtype.name not in _RANGES:
        raise AssertionError(message("observer_dtypes"))
    return _RANGES[dtype.name]


def is_per_tensor(qscheme: Any) -> bool:
    """Whether there is one scale for the whole tensor."""
    return qscheme in (per_tensor_affine, per_tensor_symmetric)


def is_per_channel(qscheme: Any) -> bool:
    """Whether each channel has a scale of its own."""
    return qscheme in (per_channel_affine, per_channel_affine_float_qparams, per_channel_symmetric)


def validate_qmin_qmax(quant_min: int, quant_max: int) -> None:
    """AssertionError unless 0 is between the limits, and these are two."""
    if not quant_min <= 0 <= quant_max:
        raise AssertionError(message("observer_without_zero"))
    if quant_min >= quant_max:
        raise AssertionError(message("observer_limits"))


def check_min_max_valid(min_val: Tensor, max_val: Tensor) -> bool:
    """Whether anything was seen; warns if not. AssertionError if the smallest value is above the largest."""
    if min_val.numel() == 0 or max_val.numel() == 0:
        warnings.warn(message("observer_unused"), stacklevel=4)
        return False
    if min_val.ndim == 0 or max_val.ndim == 0:
        if float(min_val) == float("inf") and float(max_val) == float("-inf"):
            warnings.warn(message("observer_unused"), stacklevel=4)
            return False
        if float(min_val) > float(max_val):
            raise AssertionError(f"min {min_val} should be less than max {max_val}")
    elif bool((min_val > max_val).any()):
        raise AssertionError(f"min {min_val} should be less than max {max_val}")
    return True
