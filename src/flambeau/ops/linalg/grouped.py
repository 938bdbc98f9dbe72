"""Products of groups of rows or columns, each group with a matrix of its own (the experts of a mixture)."""

from __future__ import annotations

import enum
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ...core.array.dtypes import (
    as_dtype,
    bfloat16,
    float8_e4m3fn,
    float8_e4m3fnuz,
    float8_e5m2,
    float8_e5m2fnuz,
    float32,
)
from ...core.dispatch.operator import Array, composite, operator
from ...core.tensor.tensor import Tensor
from ..support.checks import scalar_name, type_name


def _check_groups(mat_a: jax.Array, mat_b: jax.Array, offs: jax.Array | None) -> None:
    for name, array in (("mat_a", mat_a), ("mat_b", mat_b)):
        if array.dtype not in (jnp.float32, jnp.bfloat16, jnp.float16):
            raise RuntimeError(f"Expected {name} to be Float32, BFloat16 or Float16 matrix, got {type_name(array)}")
        if array.ndim not in (2, 3):
            raise RuntimeError(f"{name} has to be 2 or 3d (got {array.ndim}d)")
    if mat_a.dtype != mat_b.dtype:
        raise RuntimeError(
            f"Expected out tensor to have dtype {scalar_name(mat_b)}, but got {scalar_name(mat_a)} instead"
        )
    if mat_a.shape[-1] != mat_b.shape[-2]:
        raise RuntimeError(
            f"contraction dimension of mat_a and mat_b must match (got {list(mat_a.shape)} and {list(mat_b.shape)})"
        )
    if (offs is None) != (mat_a.ndim == mat_b.ndim == 3):
        raise RuntimeError(
            "Have to provide offsets if there is a 2d matrix, or no offset if both matrices are 3d "
            f"(got {list(mat_a.shape)} and {list(mat_b.shape)})"
        )
    if offs is None:
        if mat_a.shape[0] != mat_b.shape[0]:
            raise RuntimeError(f"batched dimension has to match (got {mat_a.shape[0]} and {mat_b.shape[0]})")
        return
    if offs.dtype != jnp.int32:
        raise RuntimeError(f"Offsets have to be int32 (got {type_name(offs)})")
    for array in (mat_a, mat_b):
        if array.ndim == 3 and offs.shape != array.shape[:1]:
            raise RuntimeError(
                f"matrix batch sizes have to match (got {array.shape[0]} matrices and {offs.size} offsets)"
            )


@operator(methods=False, public=(), grad="GroupedMmBackward0")
def _groups(mat_a: Array, mat_b: Array, offs: Array | None) -> Array:
    _check_groups(mat_a, mat_b, offs)
    highest: Any = {"precision": lax.Precision.HIGHEST}
    if offs is None:
        return jnp.matmul(mat_a, mat_b, **highest)
    sizes = jnp.diff(offs, prepend=jnp.zeros(1, offs.dtype))
    if mat_a.ndim == mat_b.ndim:
        place = jnp.arange(mat_a.shape[1])
        return lax.map(
            lambda ends: jnp.matmul(jnp.where((place >= ends[0]) & (place < ends[1]), mat_a, 0), mat_b, **highest),
            (offs - sizes, offs),
        )
    if mat_a.ndim == 2:
        return lax.ragged_dot(mat_a, mat_b, sizes, **highest)
    return lax.ragged_dot(mat_b.T, mat_a.swapaxes(1, 2), sizes, **highest).T


@composite(methods=False, public=("nn.functional",))
def grouped_mm(mat_a: Any, mat_b: Any, *, offs: Any = None, bias: Any = None, out_dtype: Any = None) -> Any:
    """Matrix products of groups: `offs[i]` (int32) is where the i-th group ends in a 2-D operand.

    Shapes: `(M, K)`, grouped by rows, and `(G, K, N)` give `(M, N)`; `(G, M, K)` and `(K, N)`, grouped by columns,
    `(M, N)`; `(M, K)` and `(K, N)`, both grouped along K, `(G, M, N)`; `(G, M, K)` and `(G, K, N)` without `offs`
    `(G, M, N)`. What lies beyond the last group is 0.
    """
    if bias is not None:
        raise RuntimeError("Bias not supported yet: add it to the result")
    if out_dtype is not None and out_dtype is not mat_a.dtype:
        raise RuntimeError(f"Grouped gemm output dtype must match `mat_a` dtype (got {out_dtype} and {mat_a.dtype})")
    return _groups(mat_a, mat_b, offs)


@composite(methods=False)
def _grouped_mm(self: Any, mat2: Any, offs: Any = None, bias: Any = None, out_dtype: Any = None) -> Any:
    """The name of `nn.functional.grouped_mm` below it."""
    return grouped_mm(self, mat2, offs=offs, bias=bias, out_dtype=out_dtype)


# ---------------------------------------------------------------- scaled products


class _ScalingType(enum.Enum):
    """Which elements of a scaled matrix share a scale."""

    TensorWise = 0
    RowWise = 1
    BlockWise1x16 = 2
    BlockWise1x32 = 3
    BlockWise1x128 = 4
    BlockWise128x128 = 5


class _SwizzleType(enum.Enum):
    """In which order scales lie in memory."""

    NO_SWIZZLE = 0
    SWIZZLE_32_4_4 = 1


_FLOAT8 = (float8_e4m3fn, float8_e5m2, float8_e4m3fnuz, float8_e5m2fnuz)


@operator(methods=False, public=())
def _scaled_product(a: Array, b: Array, scale_a: Array, scale_b: Array, bias: Array | None) -> Array:
    product = jnp.matmul(a, b, precision=lax.Precision.HIGHEST) * scale_a * scale_b
    return product if bias is None else product + bias.astype(jnp.float32)


@composite(methods=False)
def _scaled_mm(
    self: Tensor,
    mat2: Tensor,
    scale_a: Tensor,
    scale_b: Tensor,
    bias: Tensor | None = None,
    scale_result: Tensor | None = None,
    out_dtype: Any = None,
    use_fast_accum: bool = False,
) -> Tensor:
    """`(self * scale_a) @ (mat2 * scale_b) + bias` of matrices in float8, computed in float32; `use_fast_accum` changes nothing.

    Scales are one number, or `(M, 1)` and `(1, N)`: ValueError for others. Without `out_dtype` the result is in the first
    matrix's dtype.
    """
    if scale_result is not None:
        raise NotImplementedError("_scaled_mm: scale_result is not supported: multiply the result")
    for i, matrix in ((1, self), (2, mat2)):
        if matrix.ndim != 2:
            raise RuntimeError(f"mat{i} must be a matrix, got {matrix.ndim} dimensions")
    (m, k), (inner, n) = self.shape, mat2.shape
    if k != inner:
        raise RuntimeError(f"mat_a and mat_b shapes cannot be multiplied ({m}x{k} and {inner}x{n})")
    single = scale_a.numel() == scale_b.numel() == 1
    rows = tuple(scale_a.shape) == (m, 1) and tuple(scale_b.shape) == (1, n)
    kinds = {self.dtype, mat2.dtype} <= set(_FLOAT8) and scale_a.dtype is scale_b.dtype is float32
    if not kinds or not (single or rows):
        raise ValueError(
            f"Invalid scaling configuration.\n- For TensorWise scaling, a and b should be float8, scales should be float and "
            f"singletons.\n- For RowWise scaling, a and b should be float8, scales should be float, scale_a should be ({m}, 1) and "
            f"scale_b should be (1, {n})"
        )
    scales = (scale_a.reshape(()), scale_b.reshape(())) if single else (scale_a, scale_b)
    made = _scaled_product(self.to(float32), mat2.to(float32), *scales, bias)  # type: ignore[attr-defined]
    return made.to(self.dtype if out_dtype is None else as_dtype(out_dtype))  # type: ignore[attr-defined, no-any-return]


def _one(value: Any) -> Any:
    return value[0] if isinstance(value, (list, tuple)) and len(value) == 1 else value


@composite(methods=False, public=("nn.functional",))
def scaled_mm(
    mat_a: Any, mat_b: Any, scale_a: Any, scale_recipe_a: Any, scale_b: Any, scale_recipe_b: Any, swizzle_a: Any = None,
    swizzle_b: Any = None, bias: Any = None, output_dtype: Any = bfloat16, contraction_dim: Any = (),
    use_fast_accum: bool = False,
) -> Any:  # fmt: skip
    """The product of matrices in float8 with one scale each (`TensorWise`), or one for each row and column (`RowWise`).

    NotImplementedError for scales of blocks, which are a format of GPUs' matrix units, and for other orders of memory.
    """
    recipes = [_one(recipe) for recipe in (scale_recipe_a, scale_recipe_b)]
    usual = [_one(order) in (None, _SwizzleType.NO_SWIZZLE) for order in (swizzle_a, swizzle_b)]
    if (
        any(r not in (_ScalingType.TensorWise, _ScalingType.RowWise) for r in recipes)
        or not all(usual)
        or contraction_dim
    ):
        raise NotImplementedError(
            "scaled_mm: scales of blocks, their orders in memory and contraction_dim are not supported. Multiply the matrices by "
            "their scales in bfloat16 and call matmul"
        )
    return _scaled_mm(mat_a, mat_b, _one(scale_a), _one(scale_b), bias, None, output_dtype, use_fast_accum)


@operator(methods=False)
def _int_mm(self: Array, mat2: Array) -> Array:
    """The product of matrices of 8 bits (the first may be without a sign) in int32. RuntimeError for others."""
    for name, array, kinds in (("self", self, (jnp.int8, jnp.uint8)), ("mat2", mat2, (jnp.int8,))):
        if array.ndim != 2:
            raise RuntimeError(f"int_mm_out_cpu: Expected {name} to be of dimension 2 but got {array.ndim}")
        if array.dtype not in kinds:
            wanted = "int8 or uint8" if len(kinds) > 1 else "int8"
            raise RuntimeError(
                f"int_mm_out_cpu: Expected {name} dtype to be {wanted} but got {type_name(array).lower()}"
            )
    if self.shape[1] != mat2.shape[0]:
        raise RuntimeError(
            f"int_mm_out_cpu: self.size(1) needs to match mat2.size(0) but got {self.shape[1]} and {mat2.shape[0]}"
        )
    return jnp.matmul(self.astype(jnp.int32), mat2.astype(jnp.int32))


@operator(methods=False)
def _weight_int8pack_mm(self: Array, mat2: Array, scales: Array) -> Array:
    """`self @ (mat2 * scales[:, None]).T` of a weight in int8, in `self`'s dtype."""
    product = jnp.matmul(self.astype(jnp.float32), mat2.T.astype(jnp.float32), precision=lax.Precision.HIGHEST)
    return (product * scales.astype(jnp.float32)).astype(self.dtype)


@composite(methods=False, public=("nn.functional",))
def scaled_grouped_mm(
    mat_a: Any, mat_b: Any, scale_a: Any, scale_recipe_a: Any, scale_b: Any, scale_recipe_b: Any, swizzle_a: Any = None,
    swizzle_b: Any = None, bias: Any = None, offs: Any = None, output_dtype: Any = bfloat16,
    contraction_dim: Any = (), use_fast_accum: bool = False,
) -> Any:  # fmt: skip
    """`grouped_mm` of matrices of 8 or 4 bits with scales: refused (NotImplementedError)."""
    raise NotImplementedError(
        "scaled_grouped_mm: multiply the matrices by their scales in bfloat16 and call grouped_mm, or call scaled_mm for each group"
    )
