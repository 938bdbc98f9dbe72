"""Which dtype an operator computes in, and values in it."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..array import dtypes
from ..tensor.tensor import Tensor


def rank(value: Any) -> tuple[dtypes.dtype, int]:
    number = not hasattr(value, "ndim") or getattr(value.aval, "weak_type", False)
    found = dtypes.from_numpy(np.result_type(value) if not hasattr(value, "dtype") else value.dtype)
    return found, 2 if number else 0 if value.ndim else 1


def promoted(flat: tuple[Any, ...], arrays: list[int], scalars: list[int], mode: str) -> tuple[Any, ...]:
    common = dtypes.promote([rank(flat[i]) for i in arrays])
    if mode == "float" and common.category <= dtypes.INTEGER:
        common = dtypes.get_default_dtype()
    made = list(flat)
    for i in scalars:
        if common.category <= dtypes.INTEGER < rank(flat[i])[0].category:
            raise RuntimeError("For integral input tensors, argument alpha must not be a floating point number.")
    for i in (*arrays, *scalars):
        made[i] = convert(flat[i], common.numpy)
    return tuple(made)


def result_type(*values: Any) -> dtypes.dtype:
    """The dtype that a promoting operator on these tensors and Python numbers has."""
    kinds = {bool: dtypes.bool, int: dtypes.int64, float: dtypes.float64, complex: dtypes.complex128}
    return dtypes.promote(
        [(v.dtype, 1 - bool(v.ndim)) if isinstance(v, Tensor) else (kinds[type(v)], 2) for v in values]
    )


def convert(value: Any, target: np.dtype) -> Any:
    """The value as a (strongly typed) array of this dtype; of complex numbers only the real parts become real."""
    value = jnp.asarray(value)
    if value.dtype == target:
        return jax.lax.convert_element_type(value, target) if value.aval.weak_type else value
    if value.dtype.kind == "c" and target.kind != "c":
        value = value.real
    if value.dtype == np.bool_ and target.kind not in "biu":
        # XLA turns a product with a converted bool into a choice, which would lose 0 * nan, 0 * inf and -0.0
        return jnp.where(value, np.ones((), target), np.zeros((), target))
    return jax.lax.convert_element_type(value, target)


def strong(value: Any) -> Any:
    return jax.lax.convert_element_type(value, value.dtype) if value.aval.weak_type else value


def fit(out: Any, shape: tuple[int, ...], target: np.dtype) -> Any:
    """A result as it may be stored into a tensor of this shape and dtype; RuntimeError if it may not."""
    if out.shape != shape:
        raise RuntimeError(f"output with shape {list(shape)} doesn't match the broadcast shape {list(out.shape)}")
    if out.dtype == target:
        return out
    have, want = dtypes.from_numpy(out.dtype), dtypes.from_numpy(target)
    if not dtypes.can_cast(have, want):
        raise RuntimeError(f"result type {have.abbr} can't be cast to the desired output type {want.abbr}")
    return jax.lax.convert_element_type(out, target)
