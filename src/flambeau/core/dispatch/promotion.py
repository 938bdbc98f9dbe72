"""Which dtype an operator computes in, and values in it."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..array import dtypes
from ..array.narrow import NARROW, narrowed
from ..tensor.tensor import Tensor


def rank(value: Any) -> tuple[dtypes.dtype, int]:
    number = not hasattr(value, "ndim") or getattr(value.aval, "weak_type", False)
    found = dtypes.from_numpy(np.result_type(value) if not hasattr(value, "dtype") else value.dtype)
    return found, 2 if number else 0 if value.ndim else 1


def promoted(flat: tuple[Any, ...], arrays: list[int], scalars: Iterable[int], mode: str) -> tuple[Any, ...]:
    common = dtypes.promote([rank(flat[i]) for i in arrays])
    if mode == "float" and common.category <= dtypes.INTEGER:
        common = dtypes.get_default_dtype()
    made = list(flat)
    for i in (*arrays, *scalars):
        made[i] = convert(flat[i], common.numpy)
    return tuple(made)


def half_of(flat: tuple[Any, ...], arrays: list[int], unrounded: Iterable[int]) -> np.dtype | None:
    """The dtype of half precision that a result has among whose operands there are numbers that are not to be rounded to it."""
    if not any(flat[i].ndim == 0 for i in unrounded):
        return None
    common = dtypes.promote([rank(flat[i]) for i in arrays])
    return common.numpy if common in (dtypes.float16, dtypes.bfloat16) else None


def widened(flat: tuple[Any, ...], half: np.dtype, unrounded: Iterable[int]) -> tuple[Any, ...]:
    """The operands in float32: numbers as they are, others as they are in half precision."""
    wide, numbers = np.dtype(np.float32), {i for i in unrounded if flat[i].ndim == 0}
    return tuple(convert(value if i in numbers else convert(value, half), wide) for i, value in enumerate(flat))


_IN_C = {
    "float64": "double",
    "int64": "int64_t",
    "int32": "int",
    "int16": "int16_t",
    "int8": "int8_t",
    "uint8": "uint8_t",
}


def in_c(dtype: Any) -> str:
    """What a number of this dtype is computed in, by the name that it has in C++."""
    return _IN_C.get(np.dtype(dtype).name, "float")


def refuse_scalars(
    flat: tuple[Any, ...],
    arrays: list[int],
    scalars: dict[int, str],
    whole: tuple[str, ...],
    exact: tuple[str, ...],
    real: str | None,
) -> None:
    """Raises RuntimeError if a number (by its place, with its parameter's name) can't be computed with among these arrays.

    A complex number among real ones would lose a part. `whole` and `exact` as for `operator`, `real` with the operator's name.
    """
    common = dtypes.promote([rank(flat[i]) for i in arrays])
    for i, argument in scalars.items():
        kind = rank(flat[i])[0].category
        if argument in (*whole, *exact):
            if kind == dtypes.BOOL < common.category:
                raise RuntimeError(f"Boolean {argument} only supported for Boolean results.")
            if common.category <= dtypes.INTEGER < kind:
                text = f"For integral input tensors, argument {argument} must not be a floating point number."
                raise RuntimeError(text)
        if kind == dtypes.COMPLEX and (real or common.category < dtypes.COMPLEX):
            if argument in exact:
                raise RuntimeError(f"For non-complex input tensors, argument {argument} must not be a complex number.")
            raise RuntimeError(real or f"value cannot be converted to type {in_c(common.numpy)} without overflow")


def refuse_narrow(name: str, arrays: tuple[Any, ...], promotes: bool) -> None:
    """Raises NotImplementedError if there is an array of 8-bit floating point numbers: those are to be kept, not computed with."""
    found = {a.dtype for a in arrays if hasattr(a, "dtype")}
    if not found.isdisjoint(NARROW):
        kinds = [a.dtype for a in arrays if hasattr(a, "dtype") and (a.dtype in NARROW or (promotes and a.ndim))]
        common = functools.reduce(dtypes.promote_types, map(dtypes.from_numpy, kinds))  # may raise
        raise NotImplementedError(
            f"\"{kernel_of(name)}\" not implemented for '{common.abbr}' (in {name}: numbers of 8 bits are for "
            "keeping. Convert them first, as in x.to(torch.float32))"
        )


def kernel_of(name: str) -> str:
    """What PyTorch calls the kernel of an operator."""
    return _KERNELS.get(name, f"{name}_cpu")


# of operators whose kernel is not named after them
_KERNELS = {
    "add": "add_stub", "sub": "add_stub", "mul": "mul_cpu_reduced_float", "floor_divide": "div_floor_cpu",
    "max": "max_all", "min": "min_all", "amax": "max_values_cpu", "amin": "min_values_cpu", "dot": "dot", "true_divide": "div_cpu",
    "pow": "pow", "mean": "sum_cpu", "sort": "sorting_kernel_method_name", "cumsum": "cumsum_out_cpu",
    "relu": "clamp_min_scalar_cpu", "clamp": "clamp_scalar_cpu", "sigmoid": "sigmoid_cpu_reduced_float",
    "softmax": "softmax_lastdim_kernel_impl", "gather": "gather_expanded_index", "masked_fill": "masked_fill",
    "scatter": "scatter_gather_tensor_cpu", "isinf": "isinf", "isfinite": "isfinite", "tril": "tril", "triu": "triu",
    "digamma": "digamma", "polygamma": "trigamma", "ndtr": "erf_vml_cpu", "mvlgamma": "arange_cpu",
    **{
        name: f"{name}_vml_cpu"
        for name in (
            "exp", "log", "sin", "cos", "tan", "tanh", "sqrt", "round", "trunc", "ceil", "floor", "erf", "erfc", "erfinv", "lgamma", "i0",
        )
    },
}  # fmt: skip


def result_type(*values: Any) -> dtypes.dtype:
    """The dtype that a promoting operator on these tensors and Python numbers has."""
    return dtypes.promote(
        [(v.dtype, 1 - bool(v.ndim)) if isinstance(v, Tensor) else (dtypes.of_number(v), 2) for v in values]
    )


def convert(value: Any, target: np.dtype) -> Any:
    """The value as a (strongly typed) array of this dtype; of complex numbers only the real parts become real numbers."""
    value = jnp.asarray(value)
    if target in NARROW and value.dtype != target:
        return narrowed(value.real if value.dtype.kind == "c" else value, target, jnp)
    if value.dtype == target:
        return jax.lax.convert_element_type(value, target) if value.aval.weak_type else value
    if value.dtype.kind == "c" and target.kind == "b":
        return value != 0
    if value.dtype.kind == "c" and target.kind != "c":
        value = value.real
    if value.dtype == np.bool_ and target.kind not in "biu":
        # XLA turns a product with a converted bool into a choice, which would lose 0 * nan, 0 * inf and -0.0
        return jnp.where(value, np.ones((), target), np.zeros((), target))
    if value.dtype.kind not in "biuc" and target.kind in "iu":
        return _whole(value, target)
    return jax.lax.convert_element_type(value, target)


def _whole(x: Any, target: np.dtype) -> Any:
    """Integers as x86 processors make them of floating point numbers: in 32 or 64 bits, where what has no place (nan, too) is the
    lowest number, and narrow ones are the last bits of that. XLA has the nearest number, and 0 for nan.
    """
    made: Any = np.dtype(np.int64 if target.itemsize == 8 or target == np.uint32 else np.int32)
    low = np.iinfo(made).min
    unsigned_nan = x.dtype.name in _NAN_IS_ZERO
    x = x.astype(np.float32) if x.dtype.itemsize < 4 else x
    fits = (x >= float(low)) & (x < -float(low))
    whole = jnp.where(fits, x.astype(made), made.type(low))
    return (jnp.where(jnp.isnan(x), made.type(0), whole) if unsigned_nan else whole).astype(target)


_NAN_IS_ZERO = frozenset(("float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu"))  # in PyTorch, as an integer


def strong(value: Any) -> Any:
    return jax.lax.convert_element_type(value, value.dtype) if value.aval.weak_type else value


def fit(out: Any, shape: tuple[int, ...], target: np.dtype) -> Any:
    """A result as it may be stored into a tensor of this shape and dtype; RuntimeError if it may not."""
    if out.shape != shape:
        raise RuntimeError(f"output with shape {list(shape)} doesn't match the broadcast shape {list(out.shape)}")
    if out.dtype == target:
        return out
    if target in NARROW:
        return narrowed(out, target, jnp)
    have, want = dtypes.from_numpy(out.dtype), dtypes.from_numpy(target)
    if not dtypes.can_cast(have, want):
        raise RuntimeError(f"result type {have.abbr} can't be cast to the desired output type {want.abbr}")
    return jax.lax.convert_element_type(out, target)
