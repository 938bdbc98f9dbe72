"""Element types: the `dtype` singletons, their NumPy twins, promotion and limits."""

from __future__ import annotations

import builtins
from typing import Any

import jax  # noqa: F401  (registers bfloat16 with NumPy)
import ml_dtypes
import numpy as np

from . import narrow

BOOL, INTEGER, FLOAT, COMPLEX, OTHER = range(5)  # categories, in the order of promotion


class dtype:
    """An element type. Printed as PyTorch prints it; compared by identity."""

    __slots__ = ("name", "numpy", "category", "itemsize", "is_floating_point", "is_complex", "is_signed", "abbr")

    def __init__(self, name: str, numpy: Any, category: int, abbr: str):
        self.name: str = name
        self.category: int = category
        self.abbr: str = abbr  # the class name in `torch.FloatTensor`, as `Tensor.type()` returns it
        self.is_floating_point: builtins.bool = category == FLOAT
        self.is_complex: builtins.bool = category == COMPLEX
        self.itemsize: int
        self.is_signed: builtins.bool
        if isinstance(numpy, int):  # a type that tensors do not have here, of so many bytes
            self.itemsize = numpy
            if not abbr.startswith(("Bits", "Q")):
                self.is_signed = not abbr.startswith("U")
            return
        self.numpy: Any = np.dtype(numpy)
        self.itemsize = self.numpy.itemsize
        self.is_signed = category != BOOL and self.numpy.kind != "u" and self.numpy != narrow.E8M0FNU

    def __getattr__(self, name: str) -> Any:
        """What a type that tensors do not have here is asked for. `numpy`: NotImplementedError that says what to do."""
        if name == "numpy":
            raise NotImplementedError(
                f"\"empty\" not implemented for '{self.abbr}': {_CURES[self.abbr.rstrip('_0123456789x')]}"
            )
        if name == "is_signed":
            quantized = self.abbr.startswith("Q")
            raise RuntimeError(
                "isSignedType not supported for quantized types" if quantized else "Bits types are undefined"
            )
        raise AttributeError(f"'torch.dtype' object has no attribute '{name}'")

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str:
        return self.name

    def to_complex(self) -> dtype:
        """The complex type whose parts have this type's precision."""
        if self.is_complex:
            return self
        found = {float64: complex128, float32: complex64, bfloat16: complex64, float16: complex32}.get(self)
        if found is None:
            raise RuntimeError(f"Unknown Complex ScalarType for {self.abbr}")
        return found

    def to_real(self) -> dtype:
        """The type of a complex type's parts; itself for a real type."""
        return {complex32: float16, complex64: float32, complex128: float64}.get(self, self)


def cpp_name(kind: dtype) -> str:
    """A dtype's name as PyTorch's C++ prints it ('float', 'long int', 'c10::Half', ...)."""
    name = kind.abbr
    return _CPP_NAMES.get(name) or (f"c10::{name}" if name in ("Half", "BFloat16") else name.lower())


_CPP_NAMES = {
    "Long": "long int", "Short": "short int", "Char": "signed char", "Byte": "unsigned char",
    "ComplexFloat": "c10::complex<float>", "ComplexDouble": "c10::complex<double>",
}  # fmt: skip

bool: dtype = dtype("bool", np.bool_, BOOL, "Bool")
uint8: dtype = dtype("uint8", np.uint8, INTEGER, "Byte")
int8: dtype = dtype("int8", np.int8, INTEGER, "Char")
int16: dtype = dtype("int16", np.int16, INTEGER, "Short")
int32: dtype = dtype("int32", np.int32, INTEGER, "Int")
int64: dtype = dtype("int64", np.int64, INTEGER, "Long")
uint16: dtype = dtype("uint16", np.uint16, INTEGER, "UInt16")
uint32: dtype = dtype("uint32", np.uint32, INTEGER, "UInt32")
uint64: dtype = dtype("uint64", np.uint64, INTEGER, "UInt64")
float16: dtype = dtype("float16", np.float16, FLOAT, "Half")
bfloat16: dtype = dtype("bfloat16", ml_dtypes.bfloat16, FLOAT, "BFloat16")
float32: dtype = dtype("float32", np.float32, FLOAT, "Float")
float64: dtype = dtype("float64", np.float64, FLOAT, "Double")
complex64: dtype = dtype("complex64", np.complex64, COMPLEX, "ComplexFloat")
complex128: dtype = dtype("complex128", np.complex128, COMPLEX, "ComplexDouble")
float8_e4m3fn: dtype = dtype("float8_e4m3fn", narrow.E4M3FN, FLOAT, "Float8_e4m3fn")
float8_e4m3fnuz: dtype = dtype("float8_e4m3fnuz", narrow.E4M3FNUZ, FLOAT, "Float8_e4m3fnuz")
float8_e5m2: dtype = dtype("float8_e5m2", narrow.E5M2, FLOAT, "Float8_e5m2")
float8_e5m2fnuz: dtype = dtype("float8_e5m2fnuz", narrow.E5M2FNUZ, FLOAT, "Float8_e5m2fnuz")
float8_e8m0fnu: dtype = dtype("float8_e8m0fnu", narrow.E8M0FNU, FLOAT, "Float8_e8m0fnu")

DTYPES: tuple[dtype, ...] = (
    bool, uint8, int8, int16, int32, int64, uint16, uint32, uint64,
    float16, bfloat16, float32, float64, complex64, complex128,
)  # fmt: skip
NARROW: tuple[dtype, ...] = (float8_e4m3fn, float8_e4m3fnuz, float8_e5m2, float8_e5m2fnuz, float8_e8m0fnu)

# Types that have a name, a size and limits; a tensor of one is refused, with what to do instead.
complex32: dtype = dtype("complex32", 4, COMPLEX, "ComplexHalf")
float4_e2m1fn_x2: dtype = dtype("float4_e2m1fn_x2", 1, FLOAT, "Float4_e2m1fn_x2")
OPAQUE: tuple[dtype, ...] = (
    complex32,
    float4_e2m1fn_x2,
    *(
        dtype(f"bits{n}", size, OTHER, f"Bits{n}")
        for n, size in (("8", 1), ("16", 2), ("1x8", 1), ("2x4", 1), ("4x2", 1))
    ),
    *(dtype(f"int{n}", 1, INTEGER, f"Int{n}") for n in range(1, 8)),
    *(dtype(f"uint{n}", 1, INTEGER, f"UInt{n}") for n in range(1, 8)),
    *(
        dtype(f"q{n}", size, OTHER, a)
        for n, size, a in (("int8", 1, "QInt8"), ("uint8", 1, "QUInt8"), ("int32", 4, "QInt32"))
    ),
    *(dtype(f"quint{n}", 1, OTHER, f"QUInt{n}") for n in ("4x2", "2x4")),
)
globals().update({d.name: d for d in OPAQUE})
_BYTES = "JAX has no such type. Keep the bytes in a tensor of torch.uint8"
_QUANTIZED = "there are no quantized tensors here. Keep a tensor of torch.int8 with its scale and zero point, or use dequantized values"
_CURES = {
    "ComplexHalf": "JAX has no complex numbers of half precision. Use torch.complex64",
    "Float4_e2m1fn": _BYTES, "Bits": _BYTES, "Int": _BYTES, "UInt": _BYTES, "QInt": _QUANTIZED, "QUInt": _QUANTIZED,
}  # fmt: skip

ALIASES: dict[str, dtype] = {
    "half": float16,
    "float": float32,
    "double": float64,
    "short": int16,
    "int": int32,
    "long": int64,
    "chalf": complex32,
    "cfloat": complex64,
    "cdouble": complex128,
}

_FROM_NUMPY = {t.numpy: t for t in (*DTYPES, *NARROW)}


def from_numpy(numpy_dtype: Any) -> dtype:
    """The dtype of a NumPy dtype. Raises TypeError for one that tensors do not have."""
    found = _FROM_NUMPY.get(numpy_dtype)
    if found is None:
        found = _FROM_NUMPY.get(np.dtype(numpy_dtype).newbyteorder("="))
    if found is None:
        raise TypeError(
            f"can't convert np.ndarray of type {_full_name(numpy_dtype)}. The only supported types are: "
            "float64, float32, float16, complex64, complex128, int64, int32, int16, int8, "
            "uint64, uint32, uint16, uint8, and bool."
        )
    return found


def _full_name(numpy_dtype: Any) -> str:
    kind = np.dtype(numpy_dtype).type
    return f"{kind.__module__}.{kind.__name__}"


def of_number(value: Any) -> dtype:
    """The dtype of a Python number; one of NumPy's counts as Python's own."""
    value = value.item() if isinstance(value, np.generic) else value
    kinds = ((_python_bool, bool), (int, int64), (float, float64), (complex, complex128))
    return next(made for kind, made in kinds if isinstance(value, kind))


def as_dtype(value: Any) -> dtype | None:
    """A dtype from what users write for one: a dtype, a Python type, None."""
    if value is None or isinstance(value, dtype):
        return value
    python = {float: float64, int: int64, _python_bool: bool, complex: complex128}
    if value in python:
        return python[value]
    raise TypeError(f"argument 'dtype' must be torch.dtype, not {type(value).__name__} ({value!r})")


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
    if d in NARROW or d is float4_e2m1fn_x2:
        raise TypeError(f"couldn't find storage object {d.abbr}Storage")
    if d is not _default:
        _default = d
        for callback in _on_default_change:
            callback()


def default_complex() -> dtype:
    """The complex type that goes with the default dtype."""
    return complex128 if _default is float64 else complex64


# --- promotion -------------------------------------------------------------------------------------------------------
# Within a category the wider type wins; two types of which neither holds the other go to the next that holds both.
# https://docs.pytorch.org/docs/stable/tensor_attributes.html#type-promotion-doc


def _promote_integers(a: dtype, b: dtype) -> dtype:
    if a.is_signed == b.is_signed:
        return a if a.itemsize >= b.itemsize else b
    signed = a if a.is_signed else b
    return int16 if signed is int8 else signed


def _given(function: str, **named: Any) -> list[dtype]:
    """The dtypes that arguments stand for: Python's own types of numbers have one. TypeError for anything else."""
    of_python: dict[Any, dtype] = {_python_bool: bool, int: int64, float: float64, complex: complex128}
    found = []
    for position, (name, it) in enumerate(named.items(), 1):
        known = it if type(it) is dtype else of_python.get(it) if isinstance(it, type) else None
        if known is None:
            kind = f"must be torch.dtype, not {type(it).__name__}"
            raise TypeError(f"{function}(): argument '{name}' (position {position}) {kind}")
        found.append(known)
    return found


def promote_types(type1: dtype, type2: dtype) -> dtype:
    """The smallest dtype to which both can go without losing their category."""
    if type(type1) is not dtype or type(type2) is not dtype:
        type1, type2 = _given("promote_types", type1=type1, type2=type2)
    if type1 is type2:
        return type1
    for d in (type1, type2):
        if d in NARROW or d is float4_e2m1fn_x2:
            raise RuntimeError(
                f"Promotion for Float8 Types is not supported, attempted to promote {type1.abbr} and {type2.abbr}"
            )
        if d.category == OTHER:
            if d.abbr.startswith("Q"):
                raise RuntimeError("promoteTypes with quantized numbers is not handled yet")
            raise RuntimeError(f"Promotion from {type1.abbr} and {type2.abbr} is unsupported.")
    low, high = sorted((type1, type2), key=lambda t: t.category)
    if high.category in (INTEGER, COMPLEX) and not {type1, type2}.isdisjoint((uint16, uint32, uint64)):
        raise RuntimeError(
            "Promotion for uint16, uint32, uint64 types is not supported, attempted to promote "
            f"{type1.abbr} and {type2.abbr}"
        )
    if low.category == high.category:
        if low.category == INTEGER:
            return _promote_integers(type1, type2)
        if {low, high} == {float16, bfloat16}:
            return float32
        return low if low.itemsize > high.itemsize else high
    if high.category == COMPLEX and low.category == FLOAT:
        if high is complex32 and low is not float16:
            return complex128 if low is float64 else complex64
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
                result = complex128 if result is float64 else complex64
            else:
                result = d
    assert result is not None
    return result


def can_cast(from_: dtype, to: dtype) -> _python_bool:
    """Whether `from_` may be stored into `to` in place (no loss of category)."""
    if type(from_) is not dtype or type(to) is not dtype:
        from_, to = _given("can_cast", from_=from_, to=to)
    if OTHER in (from_.category, to.category):
        return True
    if from_.category == INTEGER and to.category == INTEGER:
        return True
    return from_.category <= to.category


# --- limits ----------------------------------------------------------------------------------------------------------


def _limits_of(name: str, given: tuple[Any, ...], named: dict[str, Any]) -> dtype | None:
    """The dtype that `finfo` or `iinfo` is asked about: a dtype or a Python type, or none at all."""
    if len(given) + len(named) > 1:
        if name == "finfo":
            got = ", ".join(type(one).__name__ for one in (*given, *named.values()))
            raise TypeError(
                f"finfo() received an invalid combination of arguments - got ({got}), but expected one of:\n"
                " * (torch.dtype type)\n * ()\n"
            )
        raise TypeError(f"iinfo() takes 1 positional argument but {len(given) + len(named)} were given")
    if (named and "type" not in named) or (name == "iinfo" and not given and not named):
        raise TypeError(f'{name}() missing 1 required positional arguments: "type"')
    if not given and not named:
        return None
    wanted = given[0] if given else named["type"]
    if wanted is None or not (isinstance(wanted, dtype) or wanted in (float, int, complex, _python_bool)):
        raise TypeError(f"{name}(): argument 'type' (position 1) must be torch.dtype, not {type(wanted).__name__}")
    return as_dtype(wanted)


class finfo:
    """Limits of a floating point (or, for its parts, complex) dtype, as `torch.finfo`."""

    def __init__(self, *type: Any, **named: Any):
        d = _limits_of("finfo", type, named) or _default
        if not (d.is_floating_point or d.is_complex):
            raise TypeError(
                "torch.finfo() requires a floating point input type. Use torch.iinfo to handle 'torch.finfo'"
            )
        if d is float4_e2m1fn_x2:
            raise TypeError("torch.finfo() has no limits of torch.float4_e2m1fn_x2, of which an element is two numbers")
        info = ml_dtypes.finfo(d.to_real().numpy)
        self.dtype: str = d.to_real().name
        self.bits: int = int(info.bits)
        self.eps: float = 0.125 if d is float8_e5m2fnuz else float(info.eps)  # as PyTorch has it
        self.max: float = float(info.max)
        self.min: float = float(info.min)
        self.tiny: float = float(info.smallest_normal)
        self.smallest_normal: float = self.tiny
        self.resolution: float = 1.0 if self.bits == 8 else float(f"1e-{info.precision}")

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, eps={self.eps:g}, "
            f"smallest_normal={self.smallest_normal:g}, tiny={self.tiny:g}, dtype={self.dtype})"
        )


class iinfo:
    """Limits of an integer dtype, as `torch.iinfo`."""

    def __init__(self, *type: Any, **named: Any):
        d = _limits_of("iinfo", type, named)
        if d is bool:
            raise TypeError("torch.bool is not supported by torch.iinfo")
        if d is None or d.category != INTEGER or d in OPAQUE:
            raise TypeError("torch.iinfo() requires an integer input type. Use torch.finfo to handle 'torch.iinfo'")
        info = np.iinfo(d.numpy)
        self.dtype: str = d.name
        self.bits: int = int(info.bits)
        self.max: int = int(info.max)
        self.min: int = int(info.min)

    def __repr__(self) -> str:
        return f"iinfo(min={self.min:g}, max={self.max:g}, dtype={self.dtype})"
