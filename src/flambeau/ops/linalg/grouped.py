"""Products of groups of rows or columns, each group with a matrix of its own (the experts of a mixture)."""

from __future__ import annotations

import enum
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
from jax import lax

from ...core.array.dtypes import bfloat16
from ...core.dispatch.operator import Array, composite, operator
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
def _grouped_mm(mat_a: Array, mat_b: Array, offs: Array | None) -> Array:
    _check_groups(mat_a, mat_b, offs)
    highest = {"precision": lax.Precision.HIGHEST}
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
    return _grouped_mm(mat_a, mat_b, offs)


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


def _refuse_scaled(name: str) -> NoReturn:
    raise NotImplementedError(
        f"{name}: there are no float8 and float4 dtypes in flambeau. Keep the matrices in bfloat16 and call "
        f"{'matmul' if name == 'scaled_mm' else 'grouped_mm'} on matrices that are multiplied by their scales."
    )


@composite(methods=False, public=("nn.functional",))
def scaled_mm(
    mat_a: Any, mat_b: Any, scale_a: Any, scale_recipe_a: Any, scale_b: Any, scale_recipe_b: Any, swizzle_a: Any = None,
    swizzle_b: Any = None, bias: Any = None, output_dtype: Any = bfloat16, contraction_dim: Any = (),
    use_fast_accum: bool = False,
) -> Any:  # fmt: skip
    """Products of matrices of 8 or 4 bits with scales: refused (NotImplementedError)."""
    _refuse_scaled("scaled_mm")


@composite(methods=False, public=("nn.functional",))
def scaled_grouped_mm(
    mat_a: Any, mat_b: Any, scale_a: Any, scale_recipe_a: Any, scale_b: Any, scale_recipe_b: Any, swizzle_a: Any = None,
    swizzle_b: Any = None, bias: Any = None, offs: Any = None, output_dtype: Any = bfloat16,
    contraction_dim: Any = (), use_fast_accum: bool = False,
) -> Any:  # fmt: skip
    """`grouped_mm` of matrices of 8 or 4 bits with scales: refused (NotImplementedError)."""
    _refuse_scaled("scaled_grouped_mm")
