"""The LDL factorization of symmetric and Hermitian matrices, with the pivots of Bunch and Kaufman (1977), as LAPACK has it."""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ...core.array.dtypes import FLOAT, INTEGER
from ...core.array.return_types import return_type
from ...core.dispatch.operator import Array, composite, operator
from ...core.tensor.tensor import Tensor
from ..support.checks import category, normalized_dim, type_name
from .checks import LINALG, demand_success, floating, full_precision

_ALPHA = (1 + math.sqrt(17)) / 8


def _size(x: jax.Array) -> jax.Array:
    """LAPACK's size of a complex number when it looks for pivots."""
    return jnp.abs(x.real) + jnp.abs(x.imag) if jnp.iscomplexobj(x) else jnp.abs(x)


def _mirrored(x: jax.Array, hermitian: bool) -> jax.Array:
    return jnp.conj(x) if hermitian else x


def _exchanged(a: jax.Array, i: jax.Array, j: jax.Array, first: jax.Array) -> jax.Array:
    """The rows and columns i and j from `first` on, exchanged."""
    n = a.shape[-1]
    place = jnp.arange(n)
    order = jnp.where(place == i, j, jnp.where(place == j, i, place))
    rows = jnp.where(place[None, :] >= first, a[order, :], a)
    return jnp.where(place[:, None] >= first, rows[:, order], rows)


def _pivot(a: jax.Array, k: jax.Array, hermitian: bool) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The row that becomes the pivot at k, whether it is one of two, and whether the column is 0."""
    n = a.shape[-1]
    place = jnp.arange(n)
    size = _size(a)
    own = jnp.abs(a[k, k].real) if hermitian else size[k, k]
    below = jnp.where(place > k, size[:, k], -1.0)
    largest = jnp.argmax(below)
    column = jnp.maximum(below[largest], 0.0)
    along = jnp.where((place >= k) & (place != largest), size[largest], 0.0)
    row = jnp.max(along)
    there = jnp.abs(a[largest, largest].real) if hermitian else size[largest, largest]
    stays = (own >= _ALPHA * column) | (own * row >= _ALPHA * column * column)
    single = stays | (there >= _ALPHA * row)
    return jnp.where(stays, k, largest), ~single, jnp.maximum(own, column) == 0


def _factor_one(a: jax.Array, hermitian: bool) -> tuple[jax.Array, jax.Array, jax.Array]:
    """LD, pivots and info of one matrix, both triangles of which are kept."""
    n = a.shape[-1]
    place = jnp.arange(n)

    def step(state: Any) -> Any:
        k, a, pivots, info = state
        row, two, zero = _pivot(a, k, hermitian)
        last = k + two
        a = _exchanged(a, last, row, k)
        after = place > last
        whole = jnp.where(after[:, None] & after[None, :], a, 0)
        block = a[jnp.stack([k, jnp.minimum(k + 1, n - 1)])][:, jnp.stack([k, jnp.minimum(k + 1, n - 1)])]
        block = jnp.where(two, block, jnp.diag(jnp.stack([block[0, 0], jnp.ones((), a.dtype)])))
        block = block.at[0, 0].set(jnp.where(zero, 1, block[0, 0]))
        if hermitian:
            block = block.at[jnp.arange(2), jnp.arange(2)].set(jnp.diagonal(block).real.astype(a.dtype))
        columns = a[:, jnp.stack([k, jnp.minimum(k + 1, n - 1)])]
        columns = jnp.where(after[:, None] & jnp.stack([~zero, two])[None, :], columns, 0)
        # multipliers = columns @ inverse(block)
        det = block[0, 0] * block[1, 1] - block[0, 1] * block[1, 0]
        first = (columns[:, 0] * block[1, 1] - columns[:, 1] * block[1, 0]) / det
        second = (columns[:, 1] * block[0, 0] - columns[:, 0] * block[0, 1]) / det
        update = first[:, None] * _mirrored(columns[None, :, 0], hermitian)
        update = update + second[:, None] * _mirrored(columns[None, :, 1], hermitian)
        rest = whole - update
        if hermitian:  # without what rounding leaves on the diagonal
            rest = jnp.where(jnp.eye(n, dtype=np.bool_), rest.real, rest)
        a = jnp.where(after[:, None] & after[None, :], rest, a)
        a = jnp.where((after & ~zero)[:, None] & (place == k)[None, :], first[:, None], a)
        a = jnp.where((after & two)[:, None] & (place == k + 1)[None, :], second[:, None], a)
        told = jnp.where(two, -(row + 1), row + 1)
        pivots = jnp.where((place == k) | ((place == k + 1) & two), told, pivots)
        return k + 1 + two, a, pivots, jnp.where((info == 0) & zero, k + 1, info)

    start = (jnp.zeros((), np.int64), a, jnp.zeros(n, np.int64), jnp.zeros((), np.int64))
    _, a, pivots, info = lax.while_loop(lambda state: state[0] < n, step, start)
    return jnp.tril(a), pivots.astype(np.int32), info.astype(np.int32)


def _undifferentiable(name: str, formula: Any) -> Any:
    """`formula` with a derivative that is refused."""
    guarded = jax.custom_jvp(formula)

    @guarded.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        raise RuntimeError(f"derivative for aten::{name} is not implemented")

    return guarded


def _check(name: str, A: jax.Array) -> None:
    if A.ndim < 2:
        raise RuntimeError(f"{name}: The input tensor A must have at least 2 dimensions.")
    if A.shape[-1] != A.shape[-2]:
        raise RuntimeError(
            f"{name}: A must be batches of square matrices, but they are {A.shape[-2]} by {A.shape[-1]} matrices"
        )
    needed = "complex tensor"
    if category(A) < FLOAT:
        raise RuntimeError(f"{name}: Expected a floating point or {needed} as input. Got {type_name(A)}")


@operator(methods=False, public=(), grad="NotImplemented")
def _ldl_factor_ex(A: Array, hermitian: bool) -> tuple[Array, Array, Array]:
    _check("torch.linalg.ldl_factor_ex", A)
    full_precision("linalg.ldl_factor_ex", A, "ldl_factor_kernel_cpu")
    n = A.shape[-1]
    if A.size == 0:
        return A, jnp.zeros(A.shape[:-1], np.int32), jnp.zeros(A.shape[:-2], np.int32)
    hermitian = hermitian and jnp.iscomplexobj(A)

    def formula(a: jax.Array) -> Any:
        low = jnp.tril(a, -1)
        whole = low + _mirrored(jnp.swapaxes(low, -1, -2), hermitian) + jnp.eye(n, dtype=a.dtype) * a
        whole = jnp.where(jnp.eye(n, dtype=np.bool_), whole.real, whole) if hermitian else whole
        one = functools.partial(_factor_one, hermitian=hermitian)
        flat = jax.vmap(one)(whole.reshape(-1, n, n).astype(a.dtype))
        return tuple(f.reshape(*a.shape[:-2], *f.shape[1:]) for f in flat)

    return _undifferentiable("linalg_ldl_factor_ex", formula)(A)


_Ex = return_type("linalg_ldl_factor_ex", ("LD", "pivots", "info"))
_Plain = return_type("linalg_ldl_factor", ("LD", "pivots"))


def _demand_factors(info: Tensor, name: str) -> None:
    text = f"torch.linalg.{name}: {{batch}}D[{{code}},{{code}}] is zero: the matrix is singular, and ldl_solve would divide by zero"
    demand_success(info, text, RuntimeError)


@composite(methods=False, public=LINALG)
def ldl_factor_ex(A: Tensor, *, hermitian: bool = False, check_errors: bool = False) -> Any:
    """`ldl_factor`, and 0 or the position of the first zero block of `D`; it raises only with `check_errors`."""
    made = _Ex(*_ldl_factor_ex(A, hermitian))
    if check_errors:
        _demand_factors(made.info, "ldl_factor_ex")
    return made


@composite(methods=False, public=LINALG)
def ldl_factor(A: Tensor, *, hermitian: bool = False) -> Any:
    """`A = L D L^T` (`L^H` if `hermitian`) in the compact form of LAPACK's `sytrf`, and the exchanges of rows.

    `D` has blocks of 1 and 2 rows on the diagonal; a block of 2 has two equal negative pivots. The lower triangle of `A` is
    read. Shapes: `(*, n, n)`, and `(*, n)`. RuntimeError if `D` is singular. There are no gradients.
    """
    *made, info = _ldl_factor_ex(A, hermitian)
    _demand_factors(info, "ldl_factor")
    return _Plain(*made)


def _solve_one(ld: jax.Array, pivots: jax.Array, b: jax.Array, hermitian: bool) -> jax.Array:
    n = ld.shape[-1]
    place = jnp.arange(n)

    def exchanged(b: jax.Array, i: jax.Array, j: jax.Array) -> jax.Array:
        order = jnp.where(place == i, j, jnp.where(place == j, i, place))
        return b[order]

    def block_solved(k: jax.Array, two: jax.Array, b: jax.Array) -> jax.Array:
        after = jnp.minimum(k + 1, n - 1)
        low = jnp.where(two, ld[after, k], 0)
        up, first, second = _mirrored(low, hermitian), ld[k, k], jnp.where(two, ld[after, after], 1)
        if hermitian:
            first, second = first.real, second.real
        det = first * second - low * up
        x, y = (second * b[k] - up * b[after]) / det, (first * b[after] - low * b[k]) / det
        b = b.at[after].set(jnp.where(two, y, b[after]))
        return b.at[k].set(x)

    def down(state: Any) -> Any:
        k, b = state
        two = pivots[k] < 0
        after = jnp.minimum(k + 1, n - 1)
        b = exchanged(b, k + two, jnp.abs(pivots[k]) - 1)
        below = (place > k + two)[:, None]
        b = b - jnp.where(below, ld[:, k, None] * b[k], 0) - jnp.where(below & two, ld[:, after, None] * b[after], 0)
        return k + 1 + two, block_solved(k, two, b)

    def up(state: Any) -> Any:
        k, b = state  # the last row of a block
        two = pivots[k] < 0
        first = k - two
        below = (place > k)[:, None]
        rest = jnp.where(below, b, 0)
        turned = _mirrored(ld, hermitian)
        b = b.at[k].add(-jnp.sum(turned[:, k, None] * rest, 0))
        b = b.at[first].add(jnp.where(two, -jnp.sum(turned[:, first, None] * rest, 0), 0))
        return first - 1, exchanged(b, k, jnp.abs(pivots[k]) - 1)

    _, b = lax.while_loop(lambda state: state[0] < n, down, (jnp.zeros((), np.int64), b))
    return lax.while_loop(lambda state: state[0] >= 0, up, (jnp.full((), n - 1, np.int64), b))[1]


@operator(methods=False, public=LINALG, grad="NotImplemented")
def ldl_solve(LD: Array, pivots: Array, B: Array, *, hermitian: bool = False) -> Array:
    """The solution `X` of `A X = B` from `ldl_factor(A)`. Shapes: `(*, n, n)`, `(*, n)`, `(*, n, k)`. There are no gradients."""
    name = "torch.linalg.ldl_solve"
    if LD.ndim < 2 or LD.shape[-1] != LD.shape[-2]:
        _check(name, LD)
    if B.ndim < 2:
        normalized_dim(-2, B.ndim)  # IndexError
    if category(pivots) > INTEGER:
        raise RuntimeError(f"{name}: Expected pivots to be integers. Got {type_name(pivots)}")
    if LD.shape[:-1] != pivots.shape:
        raise RuntimeError(
            f"{name}: Expected LD.shape[:-1] and pivots.shape to be the same, but got pivots with shape {list(pivots.shape)} "
            "instead"
        )
    floating(name, LD)
    full_precision(name, LD, "ldl_solve_kernel_cpu")
    if B.shape[-2] != LD.shape[-1]:
        raise RuntimeError(
            f"Incompatible matrix sizes for {name}: each A matrix is {LD.shape[-2]} by {LD.shape[-1]} but each b matrix is "
            f"{B.shape[-2]} by {B.shape[-1]}"
        )
    if LD.dtype != B.dtype:
        raise RuntimeError(
            f"Expected b and A to have the same dtype, but found b of type {type_name(B)} and A of type {type_name(LD)} "
            "instead."
        )
    batch = jnp.broadcast_shapes(LD.shape[:-2], B.shape[:-2])
    n, k = B.shape[-2:]
    if 0 in (n, k, *batch):
        return jnp.zeros((*batch, n, k), B.dtype)
    hermitian = hermitian and jnp.iscomplexobj(B)

    def formula(ld: jax.Array, b: jax.Array) -> jax.Array:
        flat = (
            jnp.broadcast_to(ld, (*batch, n, n)).reshape(-1, n, n),
            jnp.broadcast_to(pivots, (*batch, n)).reshape(-1, n).astype(np.int64),
            jnp.broadcast_to(b, (*batch, n, k)).reshape(-1, n, k),
        )
        return jax.vmap(functools.partial(_solve_one, hermitian=hermitian))(*flat).reshape(*batch, n, k)

    return _undifferentiable("linalg_ldl_solve", formula)(LD, B)
