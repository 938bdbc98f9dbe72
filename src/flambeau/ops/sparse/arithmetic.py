"""Sums, products and functions of single elements of sparse tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...core.array import dtypes
from ...core.dispatch.operator import namespaces
from ...core.dispatch.sparse_forms import sparse_form
from ...core.tensor.sparse import SparseOperand, is_sparse, layout_of, make, pattern, stored, values_of, with_values
from ...core.tensor.tensor import Tensor
from ..shape.joining import cat
from .compressed import in_layout_of, zeros_like
from .coo import flat_indices, grouped, host_indices, index_tensor, resized, to_dense, to_sparse_coo

_MIXED = "add(sparse, dense) is not supported. Use add(dense, sparse) instead."


def _is_number(value: Any) -> bool:
    return not isinstance(value, Tensor) or (not is_sparse(value) and value.ndim == 0)


def coordinates(name: str, *tensors: Any) -> None:
    """Raises SparseOperand for a tensor whose layout is not the one in coordinates."""
    for tensor in tensors:
        if is_sparse(tensor) and layout_of(tensor) != "sparse_coo":
            error = SparseOperand(layout_of(tensor))
            error.name = name
            raise error


def _promoted(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    dtype = dtypes.promote_types(a.dtype, b.dtype)
    return a.to(dtype), b.to(dtype)


def overwrite(self: Tensor, result: Tensor) -> Tensor:
    """Make a sparse tensor hold what a computed one holds."""
    if self.shape != result.shape:
        raise RuntimeError(
            f"output with shape {list(self.shape)} doesn't match the broadcast shape {list(result.shape)}"
        )
    self._check_inplace()
    if result.dtype is not self.dtype:
        if not dtypes.can_cast(result.dtype, self.dtype):
            raise RuntimeError(
                f"result type {result.dtype.abbr} can't be cast to the desired output type {self.dtype.abbr}"
            )
        result = result.to(self.dtype)
    stored(self).become(stored(result))
    self._edge = result._edge
    return self


# --- sums ------------------------------------------------------------------------------------------------------------


@sparse_form("add")
def _add(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    compressed = [layout_of(t) == "sparse_csr" for t in (input, other) if is_sparse(t)]
    if any(compressed):
        a, b = (to_sparse_coo(t) if is_sparse(t) else t for t in (input, other))
        made = _add(a, b, alpha=alpha)
        return in_layout_of(made, input) if all(compressed) and is_sparse(made) else made
    if not is_sparse(other):
        raise RuntimeError(_MIXED)
    if not is_sparse(input):
        if not isinstance(input, Tensor) or input.ndim == 0:
            raise RuntimeError(_MIXED)
        if input.shape != other.shape:
            raise RuntimeError(
                "add: Expected 'self' to have same size as 'other', but self has size "
                f"{list(input.shape)} while other has size {list(other.shape)} (FYI: dense-sparse addition does not "
                "currently support broadcasting)"
            )
        return _added(input, other, alpha)
    if input.shape != other.shape:
        raise RuntimeError(
            f"add: expected sizes of 'self' and 'other' to match, but {list(input.shape)} != {list(other.shape)}"
        )
    a, b = _promoted(input, other)
    mine, its = host_indices(a), host_indices(b)
    first, second = values_of(a), values_of(b)
    second = second if alpha == 1 else second * alpha
    both = stored(a).coalesced and stored(b).coalesced
    if np.array_equal(mine, its):
        return pattern(a, first + second)
    joined = np.concatenate([mine, its], 1)
    values = cat([first, second])
    shape = tuple(a.shape)
    if both:
        _, place, group = np.unique(flat_indices(joined, shape), return_index=True, return_inverse=True)
    else:
        place, group = _merged(flat_indices(mine, shape).tolist(), flat_indices(its, shape).tolist())
    return resized(a, joined[:, place], grouped(values, group, len(place)), shape, both)


def _merged(a: list[int], b: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Two rows of places merged from their beginnings, as PyTorch does whether they are in order or not.

    Which of all places (`a`'s, then `b`'s) stand for the merged ones, and to which of these each belongs.
    """
    place: list[int] = []
    group = [0] * (len(a) + len(b))
    i = j = 0
    while i < len(a) or j < len(b):
        from_a = j == len(b) or (i < len(a) and a[i] <= b[j])
        from_b = i == len(a) or (j < len(b) and b[j] <= a[i])
        if from_a:
            group[i] = len(place)
        if from_b:
            group[len(a) + j] = len(place)
        place.append(i if from_a else len(a) + j)
        i, j = i + from_a, j + from_b
    return np.array(place, np.int64), np.array(group, np.int64)


def _added(dense: Tensor, sparse: Tensor, alpha: Any) -> Tensor:
    dense, sparse = _promoted(dense, sparse)
    values = values_of(sparse)
    count = stored(sparse).indices.shape[0]
    shape = tuple(dense.shape)
    flat = dense.reshape(-1, *shape[count:])
    places = index_tensor(flat_indices(host_indices(sparse), shape), sparse)
    return flat.index_add(0, places, values if alpha == 1 else values * alpha).reshape(shape)


@sparse_form("sub")
def _sub(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    return _add(input, other, alpha=-alpha)


@sparse_form("rsub", "__rsub__")
def _rsub(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    return _add(other, input, alpha=-alpha)


@sparse_form("add_", "__iadd__")
def _add_(self: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    if is_sparse(self):
        return overwrite(self, _add(self, other, alpha=alpha))
    return self.copy_(_add(self, other, alpha=alpha))


@sparse_form("sub_", "__isub__")
def _sub_(self: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    return _add_(self, other, alpha=-alpha)


# --- products --------------------------------------------------------------------------------------------------------


@sparse_form("mul")
def _mul(input: Any, other: Any) -> Tensor:
    if not is_sparse(input):
        input, other = other, input
    if _is_number(other):
        return pattern(input, values_of(input) * other)
    if layout_of(input) == "sparse_csr":
        other = to_sparse_coo(other) if is_sparse(other) else other
        return in_layout_of(_mul(to_sparse_coo(input), other), input)
    coordinates("mul", other)
    if is_sparse(other):
        return _common(input, other)
    count = stored(input).indices.shape[0]
    if other.ndim > input.ndim or other.expand(input.shape).shape != input.shape:
        raise RuntimeError(
            f"mul(sparse, dense): the dense tensor of shape {list(other.shape)} should broadcast to {list(input.shape)}"
        )
    picked = other.expand(input.shape)[tuple(stored(input).indices[:count])]
    return pattern(input, values_of(input) * picked)


def _common(a: Tensor, b: Tensor) -> Tensor:
    """The product of two sparse tensors: what both of them store."""
    if a.shape != b.shape:
        raise RuntimeError(
            f"mul(sparse, sparse) requires both of the same shape here, got {list(a.shape)} and {list(b.shape)}"
        )
    a, b = a.coalesce(), b.coalesce()
    mine, its = host_indices(a), host_indices(b)
    if np.array_equal(mine, its):
        return pattern(a, values_of(a) * values_of(b))
    shape = tuple(a.shape)
    _, first, second = np.intersect1d(
        flat_indices(mine, shape), flat_indices(its, shape), assume_unique=True, return_indices=True
    )
    product = values_of(a)[index_tensor(first, a)] * values_of(b)[index_tensor(second, b)]
    return resized(a, mine[:, first], product, shape, True)


@sparse_form("mul_", "__imul__")
def _mul_(self: Tensor, other: Any) -> Tensor:
    if is_sparse(self):
        return overwrite(self, _mul(self, other))
    return self.copy_(to_dense(_mul(self, other)))


@sparse_form("div", "true_divide")
def _div(input: Any, other: Any, *, rounding_mode: str | None = None) -> Tensor:
    if not is_sparse(input):
        raise _missing("reciprocal", other)
    if not _is_number(other):
        shape = list(other.shape)
        raise RuntimeError(
            f"Sparse division requires a scalar or zero-dim dense tensor divisor (got shape {shape} for divisor)"
        )
    if rounding_mode is not None:
        input = input.coalesce() if layout_of(input) == "sparse_coo" else input
        return pattern(input, values_of(input).div(other, rounding_mode=rounding_mode))
    return pattern(input, values_of(input) / other)


def _missing(name: str, tensor: Tensor) -> SparseOperand:
    error = SparseOperand(layout_of(tensor))
    error.name = name
    return error


@sparse_form("div_", "__itruediv__", "true_divide_")
def _div_(self: Tensor, other: Any, **options: Any) -> Tensor:
    return overwrite(self, _div(self, other, **options))


# --- functions of single elements ------------------------------------------------------------------------------------


@sparse_form("pow")
def _pow(input: Any, exponent: Any) -> Tensor:
    if not is_sparse(input) or not _is_number(exponent):
        raise _missing("pow.Tensor_Tensor", input if is_sparse(input) else exponent)
    if exponent == 0:
        raise _missing("ones_like", input)
    return _of_values(input, lambda v: v**exponent)


def _of_values(input: Tensor, function: Callable[[Tensor], Tensor], linear: bool = False) -> Tensor:
    if not linear and layout_of(input) == "sparse_coo":
        input = input.coalesce()
    return pattern(input, function(values_of(input)))


_KEEP_ZERO = (
    "abs absolute asin arcsin asinh arcsinh atan arctan atanh arctanh ceil deg2rad erf erfinv expm1 floor frac isinf "
    "isnan isneginf isposinf log1p rad2deg relu round sgn sign signbit sin sinh sqrt tan tanh trunc fix positive neg "
    "negative conj conj_physical square real imag"
).split()
_LINEAR = ("neg", "negative", "positive", "deg2rad", "rad2deg", "real", "imag", "conj", "conj_physical")


def _elementwise(name: str) -> None:
    @sparse_form(name, of_values=True)
    def form(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return _of_values(input, lambda v: namespaces["torch"][name](v, *args, **kwargs), name in _LINEAR)

    @sparse_form(name + "_", of_values=True)
    def written(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return overwrite(self, form(self, *args, **kwargs))


for _name in _KEEP_ZERO:
    _elementwise(_name)


@sparse_form("zero_")
def _zero_(self: Tensor) -> Tensor:
    return overwrite(self, zeros_like(self))


@sparse_form("any")
def _any(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return values_of(input.coalesce()).any()


@sparse_form("norm")
def _norm(
    input: Tensor, p: Any = "fro", dim: Any = None, keepdim: bool = False, dtype: Any = None, **more: Any
) -> Tensor:
    p = more.get("ord", p)
    if dim is not None or keepdim:
        raise RuntimeError("norm_sparse currently does not support keepdim=True or a dim: use .to_dense() first")
    return values_of(input.coalesce()).norm(p, dtype=dtype)


# --- the same values in other forms ----------------------------------------------------------------------------------


@sparse_form("clone")
def _clone(input: Tensor, *, memory_format: Any = None) -> Tensor:
    held = stored(input)
    indices = tuple(i.clone() for i in held.indices) if isinstance(held.indices, tuple) else held.indices.clone()
    return make(indices, values_of(input).clone(), held.shape, held.coalesced, held.layout)


@sparse_form("cast")
def _cast(input: Tensor, dtype: Any) -> Tensor:
    return with_values(input, values_of(input).to(dtypes.from_numpy(dtype)))


@sparse_form("copy_")
def _copy_(self: Tensor, src: Tensor, non_blocking: bool = False) -> Tensor:
    if not (is_sparse(self) and is_sparse(src)):
        raise RuntimeError(
            "copy_() between dense and sparse Tensors is not implemented! Found self type = "
            f"{self.type()} and src type = {src.type()}"
        )
    return overwrite(self, _clone(src))
