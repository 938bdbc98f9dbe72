"""Which numbers a dtype has room for."""

from __future__ import annotations

import cmath
import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..array import dtypes
from ..array.narrow import E5M2, NARROW, narrowed
from ..tensor.tensor import Tensor
from .checks import on_host
from .promotion import result_type

_IN_C = {
    "float16": "c10::Half",
    "bfloat16": "c10::BFloat16",
    "float32": "float",
    "float64": "double",
    "complex64": "c10::complex<float>",
    "complex128": "c10::complex<double>",
    "int32": "int",
    **{d.name: f"c10::{d.abbr}" for d in dtypes.NARROW},
    **{
        f"{sign}int{bits}": f"{sign}int{bits}_t"
        for sign in ("", "u")
        for bits in (8, 16, 32, 64)
        if (sign, bits) != ("", 32)
    },
}


def overflow(value: Any, dtype: np.dtype) -> RuntimeError:
    """The error for a number that a dtype has no room for; PyTorch names the dtype as C++ does."""
    name = dtypes.from_numpy(dtype).name
    return RuntimeError(f"value cannot be converted to type {_IN_C.get(name, name)} without overflow: {value}")


def cast_number(value: Any, dtype: np.dtype) -> Any:
    """A Python number as an element. Raises RuntimeError if the element type cannot hold it."""
    value = value.item() if isinstance(value, np.generic) else value  # or the limits would be of its own dtype
    if dtype.kind == "b":
        return np.bool_(value)
    if isinstance(value, complex) and dtype.kind != "c":
        if value.imag:
            raise overflow(value, dtype)
        value = value.real
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if isinstance(value, float):
            if not math.isfinite(value) or not limits.min <= value <= limits.max:  # as it is, before its fraction goes
                raise overflow(value, dtype)
            value = int(value)
        lowest = -limits.max if dtype.kind == "u" else limits.min  # negative numbers wrap into unsigned types
        if not lowest <= value <= limits.max:
            raise overflow(value, dtype)
        return dtype.type(value % (limits.max + 1) if dtype.kind == "u" else value)
    if dtype in NARROW:
        return narrowed(np.float32(value), dtype, np)[()]
    with np.errstate(over="ignore"):
        return dtype.type(value)


def fitting_number(value: Any, dtype: np.dtype) -> Any:
    """The same, refusing also finite numbers that would become infinite."""
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise OverflowError("int too big to convert")
    if dtype in NARROW and not isinstance(value, complex) and value == value:
        limits = dtypes.finfo(dtypes.from_numpy(dtype))
        endless = math.isinf(value) and dtype == E5M2
        if not limits.min <= value <= limits.max and not endless:
            raise overflow(value, dtype)
    made = cast_number(value, dtype)
    if dtype.kind in "fVc" and cmath.isinf(made) and cmath.isfinite(value):
        raise overflow(value, dtype)
    return made


def refuse_unfit(value: Any, dtype: np.dtype) -> None:
    """The same of what is to become an element: a Python number, or the one that a 0-dim tensor of another dtype holds, if that is at hand."""
    if isinstance(value, (int, float, np.generic)):
        fitting_number(value, dtype)
        return
    reads = isinstance(value, Tensor) and not value.ndim and value._np_dtype != dtype
    if reads and (held := on_host(value)) is not None:
        fitting_number(held.item(), dtype)


def looks_large(value: Any) -> bool:
    """Whether there is a dtype that has no room for this Python number. Most numbers are found to be small by this alone."""
    kind = type(value)
    if kind is float or kind is int:
        return not -128 <= value <= 127
    return kind is complex or (isinstance(value, np.generic) and looks_large(value.item()))


_LOOKED_AT = {"": "iufVc", "reals": "iufV", "floats": "fV", "inexact": "fVc"}  # kinds of dtypes


def refuse_beyond(room: dict[str, str], exact: Iterable[str], given: dict[str, Any], promotes: bool) -> None:
    """Raise RuntimeError for a number that the dtype of the call's tensors has no room for. `room` as for `operator`.

    `exact` are the parameters of which a number with a fraction is refused among whole ones, in other words.
    """
    tensors = [value for value in given.values() if isinstance(value, Tensor)]
    if not tensors:
        return
    dtype = result_type(*tensors if promotes else tensors[:1]).numpy
    for name, where in room.items():
        width, _, kinds = where.partition(" ")
        value = given[name]
        if (
            dtype.kind not in _LOOKED_AT[kinds]
            or not looks_large(value)
            or (isinstance(value, complex) and dtype.kind != "c")
        ):
            continue
        if dtype.kind in "iu" and name in exact and not isinstance(value, int):
            continue
        halves = dtype.kind in "fV" and dtype.itemsize < 4
        fitting_number(value, np.dtype(np.float32) if halves and width == "wide" else dtype)
