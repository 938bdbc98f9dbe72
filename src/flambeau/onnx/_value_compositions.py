"""Elementwise functions, products and norms that ONNX has no operator for, written with functions that have a form."""

from __future__ import annotations

import math
import string
from typing import Any

from ..core.array.dtypes import int64
from ..core.tensor.tensor import Tensor
from ._compositions import _torch, _vector_norm, composed
from ._graph import Unsupported


def counted(input: Tensor, dim: int) -> Tensor:
    """0, 1, 2, ... along a dimension, however long it is."""
    return _torch().ones_like(input, dtype=int64).cumsum(dim) - 1


@composed("atan2", "arctan2")
def _atan2(input: Tensor, other: Tensor) -> Tensor:
    where = _torch().where
    turned = where(input < 0, -math.pi, math.pi)
    upright = input.sign() * (math.pi / 2)
    level = where(other.eq(0), upright, (input / other).atan())
    return where(other < 0, level + turned, level)


@composed("copysign")
def _copysign(input: Tensor, other: Any) -> Tensor:
    """A zero counts as positive: ONNX has no way to ask for its sign."""
    if not isinstance(other, Tensor):
        return input.abs() * math.copysign(1.0, other)
    return input.abs() * _torch().where(other < 0, -1.0, 1.0)


@composed("deg2rad")
def _deg2rad(input: Tensor) -> Tensor:
    return input * (math.pi / 180)


@composed("rad2deg")
def _rad2deg(input: Tensor) -> Tensor:
    return input * (180 / math.pi)


@composed("fmax")
def _fmax(input: Tensor, other: Tensor) -> Tensor:
    where = _torch().where
    return where(input.isnan(), other, where(other.isnan(), input, input.maximum(other)))


@composed("fmin")
def _fmin(input: Tensor, other: Tensor) -> Tensor:
    where = _torch().where
    return where(input.isnan(), other, where(other.isnan(), input, input.minimum(other)))


@composed("frac")
def _frac(input: Tensor) -> Tensor:
    return input - input.trunc()


@composed("sinc")
def _sinc(input: Tensor) -> Tensor:
    x = input * math.pi
    return _torch().where(input.eq(0), 1.0, x.sin() / x)


@composed("xlogy")
def _xlogy(input: Any, other: Any) -> Tensor:
    if not isinstance(other, Tensor):
        return input * math.log(other)
    made = input * other.log()
    if not isinstance(input, Tensor):
        return made
    return _torch().where(input.eq(0) & ~other.isnan(), 0.0, made)


@composed("xlog1py")
def _xlog1py(input: Tensor, other: Tensor) -> Tensor:
    return _torch().where(input.eq(0) & ~other.isnan(), 0.0, input * other.log1p())


@composed("ldexp")
def _ldexp(input: Tensor, other: Tensor) -> Tensor:
    return input * (other * math.log(2)).exp() if other.is_floating_point() else input * _torch().pow(2.0, other)


@composed("logaddexp2")
def _logaddexp2(input: Tensor, other: Tensor) -> Tensor:
    return input.maximum(other) + (1 + (-(input - other).abs() * math.log(2)).exp()).log() * (1 / math.log(2))


@composed("positive")
def _positive(input: Tensor) -> Tensor:
    return input.clone()


@composed("sgn")
def _sgn(input: Tensor) -> Tensor:
    if input.is_complex():
        raise Unsupported("complex numbers")
    return input.sign()


@composed("isposinf")
def _isposinf(input: Tensor) -> Tensor:
    return input.isinf() & (input > 0)


@composed("isneginf")
def _isneginf(input: Tensor) -> Tensor:
    return input.isinf() & (input < 0)


@composed("isclose")
def _isclose(input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Tensor:
    near = ((input - other).abs() <= atol + (rtol * other).abs()) & ~other.isinf() & ~input.isinf()
    found = input.eq(other) | near
    return found | (input.isnan() & other.isnan()) if equal_nan else found


@composed("nansum")
def _nansum(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    kept = input.masked_fill(input.isnan(), 0.0) if input.is_floating_point() else input
    kept = kept if dtype is None else kept.to(dtype)
    return kept.sum() if dim is None else kept.sum(dim, keepdim)


@composed("nanmean")
def _nanmean(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    known = (~input.isnan()).to(input.dtype)
    total = _nansum(input, dim, keepdim, dtype=dtype)
    return total / (known.sum() if dim is None else known.sum(dim, keepdim))


@composed("entr")
def _entr(input: Tensor) -> Tensor:
    where = _torch().where
    return where(input.eq(0), 0.0, where(input < 0, -math.inf, -input * input.log()))


@composed("ndtr")
def _ndtr(input: Tensor) -> Tensor:
    return (1 + (input * math.sqrt(0.5)).erf()) * 0.5


@composed("isin")
def _isin(elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False) -> Tensor:
    if not isinstance(test_elements, Tensor):
        found = elements.eq(test_elements)
    elif not isinstance(elements, Tensor):
        found = test_elements.eq(elements).any()
    else:
        found = elements.unsqueeze(-1).eq(test_elements.reshape(-1)).any(-1)
    return ~found if invert else found


@composed("searchsorted")
def _searchsorted(
    sorted_sequence: Tensor,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: Any = None,
    sorter: Any = None,
) -> Tensor:
    if sorter is not None or not isinstance(input, Tensor):
        raise Unsupported("sorter=" if sorter is not None else "a number")
    limits = sorted_sequence if sorted_sequence.ndim == 1 else sorted_sequence.unsqueeze(-2)
    values = input.unsqueeze(-1)
    passed = ~(limits > values) if right or side == "right" else ~(limits >= values)
    made = passed.to(int64).sum(-1)
    return made.int() if out_int32 else made


@composed("bucketize")
def _bucketize(input: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False) -> Tensor:
    return _searchsorted(boundaries, input, out_int32=out_int32, right=right)


# --- products and norms ----------------------------------------------------------------------------------------------


@composed("addmv")
def _addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    return beta * input + alpha * (mat @ vec)


@composed("addbmm")
def _addbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    return beta * input + alpha * (batch1 @ batch2).sum(0)


@composed("addr")
def _addr(input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    return beta * input + alpha * vec1.unsqueeze(1) * vec2.unsqueeze(0)


@composed("vdot")
def _vdot(input: Tensor, other: Tensor) -> Tensor:
    if input.is_complex():
        raise Unsupported("complex numbers")
    return (input * other).sum()


@composed("__rmatmul__")
def _rmatmul(input: Tensor, other: Tensor) -> Tensor:
    return other @ input


@composed("vecdot")
def _vecdot(x: Tensor, y: Tensor, *, dim: int = -1) -> Tensor:
    if x.is_complex():
        raise Unsupported("complex numbers")
    return (x * y).sum(dim)


@composed("inner")
def _inner(input: Tensor, other: Tensor) -> Tensor:
    if not input.ndim or not other.ndim:
        return input * other
    return _tensordot(input, other, ([-1], [-1]))


@composed("tensordot")
def _tensordot(a: Tensor, b: Tensor, dims: Any = 2, out: Any = None) -> Tensor:
    if isinstance(dims, Tensor):
        raise Unsupported("dims as a tensor")
    left, right = (list(range(a.ndim - dims, a.ndim)), list(range(dims))) if isinstance(dims, int) else map(list, dims)
    letters = iter(string.ascii_lowercase)
    first = [next(letters) for _ in range(a.ndim)]
    shared = {d % b.ndim: first[e % a.ndim] for e, d in zip(left, right, strict=True)}
    second = [shared.get(d) or next(letters) for d in range(b.ndim)]
    rest = [x for x in first if x not in shared.values()] + [x for x in second if x not in shared.values()]
    return _torch().einsum(f"{''.join(first)},{''.join(second)}->{''.join(rest)}", a, b)


@composed("kron")
def _kron(input: Tensor, other: Tensor) -> Tensor:
    ndim = max(input.ndim, other.ndim)
    while input.ndim < ndim:
        input = input.unsqueeze(0)
    while other.ndim < ndim:
        other = other.unsqueeze(0)
    for d in range(ndim):
        input, other = input.unsqueeze(2 * d + 1), other.unsqueeze(2 * d)
    made = input * other
    for d in range(ndim):
        made = made.flatten(d, d + 1)
    return made


@composed("cross")
def _cross(input: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    if dim is None:  # torch.cross takes the first of three elements, torch.linalg.cross the last dimension
        threes = [d for d, n in enumerate(input.shape) if n == 3]
        if len(threes) != 1:
            raise Unsupported("without dim")
        dim = threes[0]
    after, before = (_torch().tensor(places) for places in ([1, 2, 0], [2, 0, 1]))
    left = input.index_select(dim, after) * other.index_select(dim, before)
    return left - input.index_select(dim, before) * other.index_select(dim, after)


@composed("trace")
def _trace(input: Tensor) -> Tensor:
    return input.masked_fill(counted(input, 0).ne(counted(input, 1)), 0).sum()


@composed("dist")
def _dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    return _vector_norm(input - other, p)


@composed("cdist")
def _cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str = "") -> Tensor:
    if not p:
        raise Unsupported("p=0")
    return _vector_norm(x1.unsqueeze(-2) - x2.unsqueeze(-3), p, -1)


@composed("cov")
def _cov(input: Tensor, *, correction: int = 1, fweights: Any = None, aweights: Any = None) -> Tensor:
    if fweights is not None or aweights is not None:
        raise Unsupported("weights")
    rows = input if input.ndim == 2 else input.reshape(1, -1)
    off = rows - rows.mean(1, True)
    count = _torch().ones_like(rows[0]).sum() - correction
    made = off @ off.t() / count
    return made if input.ndim == 2 else made.reshape(())


@composed("corrcoef")
def _corrcoef(input: Tensor) -> Tensor:
    if input.ndim != 2:
        raise Unsupported("other than a matrix")
    off = input - input.mean(1, True)
    lengths = (off * off).sum(1, True).sqrt()
    return ((off / lengths) @ (off / lengths).t()).clamp(-1, 1)


@composed("trapezoid", "trapz")
def _trapezoid(y: Tensor, x: Any = None, *, dx: Any = 1, dim: int = -1) -> Tensor:
    return _areas(y, x, dx, dim).sum(dim)


@composed("cumulative_trapezoid")
def _cumulative_trapezoid(y: Tensor, x: Any = None, *, dx: Any = 1, dim: int = -1) -> Tensor:
    return _areas(y, x, dx, dim).cumsum(dim)


def _areas(y: Tensor, x: Any, dx: Any, dim: int) -> Tensor:
    if x is not None and x.ndim != y.ndim and dim % y.ndim != y.ndim - 1:
        raise Unsupported("x of other dimensions")
    before = (slice(None),) * (dim % y.ndim)
    sums = (y[(*before, slice(1, None))] + y[(*before, slice(None, -1))]) * 0.5
    if x is None:
        return sums * dx
    place = before if x.ndim == y.ndim else ()
    return sums * (x[(*place, slice(1, None))] - x[(*place, slice(None, -1))])


__all__ = ["counted"]
