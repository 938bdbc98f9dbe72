"""Element types: the `dtype` singletons, their NumPy twins, promotion and limits."""

from __future__ import annotations

import builtins
from typing import Any

import jax  # noqa: F401  (registers bfloat16 with NumPy)
import ml_dtypes
import numpy as np

BOOL, INTEGER, FLOAT, COMPLEX = range(4)  # categories, in the order of promotion


class dtype:
    """An element type. Printed as PyTorch prints it; compared by identity."""

    __slots__ = ("name", "numpy", "category", "itemsize", "is_floating_point", "is_complex", "is_signed", "abbr")

    def __init__(self, name: str, numpy: Any, category: int, abbr: str):
        self.name = name
        self.numpy = np.dtype(numpy)
        self.category = category
        self.itemsize: int = self.numpy.itemsize
        self.is_floating_point: bool = category == FLOAT
        self.is_complex: bool = category == COMPLEX
        self.is_signed: bool = category != BOOL and self.numpy.kind != "u"
        self.abbr = abbr  # the class name in `torch.FloatTensor`, as `Tensor.type()` returns it

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str:
        return self.name

    def to_complex(self) -> dtype:
        """The complex type whose parts have this type's precision."""
        return {float64: complex128, complex128: complex128}.get(self, complex64)

    def to_real(self) -> dtype:
        """The type of a complex type's parts; itself for a real type."""
        return {complex64: float32, complex128: float64}.get(self, self)


bool = dtype("bool", np.bool_, BOOL, "Bool")
uint8 = dtype("uint8", np.uint8, INTEGER, "Byte")
int8 = dtype("int8", np.int8, INTEGER, "Char")
int16 = dtype("int16", np.int16, INTEGER, "Short")
int32 = dtype("int32", np.int32, INTEGER, "Int")
int64 = dtype("int64", np.int64, INTEGER, "Long")
uint16 = dtype("uint16", np.uint16, INTEGER, "UInt16")
uint32 = dtype("uint32", np.uint32, INTEGER, "UInt32")
uint64 = dtype("uint64", np.uint64, INTEGER, "UInt64")
float16 = dtype("float16", np.float16, FLOAT, "Half")
bfloat16 = dtype("bfloat16", ml_dtypes.bfloat16, FLOAT, "BFloat16")
float32 = dtype("float32", np.float32, FLOAT, "Float")
float64 = dtype("float64", np.float64, FLOAT, "Double")
complex64 = dtype("complex64", np.complex64, COMPLEX, "ComplexFloat")
complex128 = dtype("complex128", np.complex128, COMPLEX, "ComplexDouble")

DTYPES: tuple[dtype, ...] = (
    bool, uint8, int8, int16, int32, int64, uint16, uint32, uint64,
    float16, bfloat16, float32, float64, complex64, complex128,
)  # fmt: skip

ALIASES: dict[str, dtype] = {
    "half": float16,
    "float": float32,
    "double": float64,
    "short": int16,
    "int": int32,
    "long": int64,
    "cfloat": complex64,
    "cdouble": complex128,
}

_FROM_NUMPY = {t.numpy: t for t in DTYPES}


def from_numpy(numpy_dtype: Any) -> dtype:
    """The dtype of a NumPy dtype. Raises TypeError for one that tensors do not have."""
    found = _FROM_NUMPY.get(numpy_dtype)
    if found is None:
        found = _FROM_NUMPY.get(np.dtype(numpy_dtype).newbyteorder("="))
    if found is None:
        raise TypeError(
            f"can't convert np.ndarray of type {numpy_dtype}. The only supported types are: "
            "float64, float32, float16, complex64, complex128, int64, int32, int16, int8, "
            "uint64, uint32, uint16, uint8, and bool."
        )
    return found


def as_dtype(value: Any) -> dtype | None:
    """A dtype from what users write for one: a dtype, a Python type, None."""
    if value is None or isinstance(value, dtype):
        return value
    python = {float: float64, int: int64, _python_bool: bool, complex: complex128}
    if value in python:
        return python[value]
    raise TypeError(f"expected a torch.dtype, got {value!r} ({type(value).__name__})")


_python_bool = builtins.bool
_default: dtype = float32
_on_default_change: list[Any] = []  # called when the default dtype changes: it is baked into compiled operators


def get_default_dtype() -> dtype:
    """The type that Python floats and integer divisions become."""
    return _default


def set_default_dtype(d: dtype) -> None:
    """Set the type that Python floats become; raises TypeError unless `d` is a floating point dtype."""
    global _default
    if not isinstance(d, dtype):
        raise TypeError("invalid dtype object: only floating-point types are supported as the default type")
    if not d.is_floating_point:
        raise TypeError(f"only floating-point types are supported as the default type, got {d}")
    if d is not _default:
        _default = d
        for callback in _on_default_change:
            callback()


def default_complex() -> dtype:
    """The complex type that goes with the default dtype."""
    return _default.to_complex()


# --- promotion -------------------------------------------------------------------------------------------------------
# Within a category the wider type wins; two types of which neither holds the other go to the next that holds both.
# https://docs.pytorch.org/docs/stable/tensor_attributes.html#type-promotion-doc


def _promote_integers(a: dtype, b: dtype) -> dtype:
    if a.is_signed == b.is_signed:
        return a if a.itemsize >= b.itemsize else b
    signed, unsigned = (a, b) if a.is_signed else (b, a)
    if unsigned is not uint8:
        # PyTorch refuses to mix the wide unsigned types with signed ones, but for a signed type that is wider.
        raise RuntimeError(
            f"Promotion for uint16, uint32, uint64 types is not supported, attempted to promote {a} and {b}"
        )
    return int16 if signed is int8 else signed


def promote_types(type1: dtype, type2: dtype) -> dtype:
    """The smallest dtype to which both can go without losing their category."""
    if type1 is type2:
        return type1
    low, high = sorted((type1, type2), key=lambda t: t.category)
    if low.category == high.category:
        if low.category == INTEGER:
            return _promote_integers(type1, type2)
        if {low, high} == {float16, bfloat16}:
            return float32
        return low if low.itemsize > high.itemsize else high
    if high.category == COMPLEX and low.category == FLOAT:
        return complex128 if low is float64 else high
    return high


def promote(participants: Any) -> dtype:
    """PyTorch's result type of tensors and numbers.

    `participants` yields (dtype, rank) pairs: rank 0 for a tensor with dimensions, 1 for a 0-dim tensor, 2 for a
    Python number. A lower rank decides the width within a category; a higher one counts only if its category is
    higher.
    """
    by_rank: list[dtype | None] = [None, None, None]
    for d, rank in participants:
        held = by_rank[rank]
        by_rank[rank] = d if held is None else promote_types(held, d)
    result: dtype | None = None
    for rank, d in enumerate(by_rank):
        if d is None:
            continue
        if rank == 2 and (d.category == FLOAT or d.category == COMPLEX):
            d = _default if d.category == FLOAT else default_complex()
        if result is None:
            result = d
        elif d.category > result.category:
            if d.category == COMPLEX and result.category == FLOAT:
                # a number or 0-dim tensor makes the result complex but keeps the width that the others chose
                result = result.to_complex()
            else:
                result = d
    assert result is not None
    return result


def can_cast(from_: dtype, to: dtype) -> _python_bool:
    """Whether `from_` may be stored into `to` in place (no loss of category)."""
    if from_.category == INTEGER and to.category == INTEGER:
        return True
    return from_.category <= to.category


# --- limits ----------------------------------------------------------------------------------------------------------


class finfo:
    """Limits of a floating point (or, for its parts, complex) dtype, as `torch.finfo`."""

    def __init__(self, type: dtype | None = None):
        d = _default if type is None else type
        if not isinstance(d, dtype) or not (d.is_floating_point or d.is_complex):
            raise TypeError(f"torch.finfo() requires a floating point input type. Use torch.iinfo to handle '{d}'")
        info = ml_dtypes.finfo(d.to_real().numpy)
        self.dtype = d.to_real().name
        self.bits = int(info.bits)
        self.eps = float(info.eps)
        self.max = float(info.max)
        self.min = float(info.min)
        self.tiny = float(info.smallest_normal)
        self.smallest_normal = self.tiny
        self.resolution = float(f"1e-{info.precision}")

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, eps={self.eps:g}, "
            f"smallest_normal={self.smallest_normal:g}, tiny={self.tiny:g}, dtype={self.dtype})"
        )


class iinfo:
    """Limits of an integer dtype, as `torch.iinfo`."""

    def __init__(self, type: dtype):
        if not isinstance(type, dtype) or type.category != INTEGER:
            raise TypeError(f"torch.iinfo() requires an integer input type. Use torch.finfo to handle '{type}'")
        info = np.iinfo(type.numpy)
        self.dtype = type.name
        self.bits = int(info.bits)
        self.max = int(info.max)
        self.min = int(info.min)

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"
