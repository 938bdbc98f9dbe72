"""Reductions and normalizations over the elements that a mask keeps: what it leaves out counts as the operation's identity."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .. import ops  # noqa: F401
from ..core.array import dtypes
from ..core.array.size import normalized_dim
from ..core.dispatch.messages import message
from ..core.dispatch.operator import namespaces
from ..core.tensor.sparse import is_sparse
from ..core.tensor.tensor import Tensor
from ..ops.elementwise.arithmetic import logaddexp as _logaddexp
from ..ops.indexing.masking import where
from ..ops.linalg.norms import vector_norm
from ..ops.making.constants import full, ones_like
from ..ops.support.checks import refuse_masks
from ._sparse import check_strided, reduce_sparse
from .maskedtensor.core import is_masked_tensor

Dim = int | tuple[int, ...] | list[int] | None
_torch = namespaces["torch"]


def _parts(name: str, input: Any, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """The values, and the mask in their shape: an argument's own one, whatever else is given."""
    if is_masked_tensor(input):
        return input.get_data(), input.get_mask()
    check_strided(name, input)
    if mask is not None:
        mask = mask.to_dense() if is_sparse(mask) else mask
        if mask.ndim > input.ndim:
            raise IndexError(message("mask_of_more_dimensions"))
        mask = mask.to(dtypes.bool).expand(input.shape)
    return input, mask


def _axes(input: Tensor, dim: Dim) -> tuple[int, ...]:
    """The dimensions to reduce, counted from the front; none given are all."""
    if dim is None or (isinstance(dim, (tuple, list)) and not dim):
        return tuple(range(input.ndim))
    found: list[int] = []
    for d in (dim,) if isinstance(dim, int) else dim:
        d = normalized_dim(d, input.ndim)
        if d in found:
            times = "multiple times"
            raise RuntimeError(f"dim={d} appears {times} in the list of dims")
        found.append(d)
    return tuple(found) if input.ndim else ()


def _cast(values: Tensor, dtype: Any, whole: bool = False) -> Tensor:
    """The values in `dtype`; of whole numbers, sums and products are int64."""
    if dtype is not None:
        return values.to(dtype)
    narrow = values.dtype.category <= dtypes.INTEGER
    return values.to(dtypes.int64) if whole and narrow else values


def _extreme(dtype: Any, sign: int, name: str) -> Any:
    """The largest (`sign` 1) or the smallest number of a dtype. Bools have none in what `name` does, complex numbers in nothing."""
    if dtype.category == dtypes.FLOAT or (dtype.category == dtypes.COMPLEX and name == "logsumexp"):
        return sign * math.inf
    if dtype.category == dtypes.BOOL:
        raise NotImplementedError(f"identity of {name} on torch.bool input")
    limits = dtypes.iinfo(dtype)
    return int(limits.max if sign > 0 else limits.min)


def _kept(values: Tensor, mask: Tensor | None, identity: Any) -> Tensor:
    return values if mask is None else where(mask, values, full((), identity, dtype=values.dtype))


def _reduction(
    name: str, identity: Callable[[Any], Any], reduce: Callable[..., Tensor], doc: str, whole: bool = False
) -> Callable[..., Tensor]:
    def function(
        input: Tensor, dim: Dim = None, *, keepdim: bool = False, dtype: Any = None, mask: Tensor | None = None
    ) -> Tensor:
        if is_sparse(input) and name != "logsumexp":
            axes = tuple(sorted(_axes(input, dim)))
            return reduce_sparse(name, input, axes, bool(keepdim), mask, identity, lambda v: _cast(v, dtype, whole))
        values, mask = _parts(name, input, mask)
        axes = _axes(values, dim)
        values = _cast(values, dtype, whole)
        kept = values if mask is None else _kept(values, mask, identity(values.dtype))
        made = reduce(kept, axes, bool(keepdim)).to(values.dtype)
        return made

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{doc} of the elements that `mask` keeps, over `dim` (default: all)."
    return function


def _product(values: Tensor, axes: tuple[int, ...], keepdim: bool) -> Tensor:
    for axis in sorted(axes, reverse=True):
        values = values.prod(axis, keepdim=keepdim)
    return values


def _reduced(name: str) -> Callable[[Tensor, tuple[int, ...], bool], Tensor]:
    return lambda values, axes, keepdim: getattr(values, name)(axes, keepdim=keepdim) if values.ndim else values.clone()


sum: Callable[..., Tensor] = _reduction("sum", lambda _: 0, _reduced("sum"), "The sum", True)
prod: Callable[..., Tensor] = _reduction("prod", lambda _: 1, _product, "The product", True)
amax: Callable[..., Tensor] = _reduction(
    "amax", lambda dtype: _extreme(dtype, -1, "amax"), _reduced("amax"), "The largest"
)
amin: Callable[..., Tensor] = _reduction(
    "amin", lambda dtype: _extreme(dtype, 1, "amin"), _reduced("amin"), "The smallest"
)
logsumexp: Callable[..., Tensor] = _reduction(
    "logsumexp",
    lambda dtype: _extreme(dtype, -1, "logsumexp"),
    lambda values, axes, keepdim: values.logsumexp(axes, keepdim=keepdim),
    "The logarithm of the sum of exponentials",
)


def _place(name: str, sign: int, doc: str) -> Callable[..., Tensor]:
    def function(
        input: Tensor, dim: int | None = None, *, keepdim: bool = False, dtype: Any = None, mask: Tensor | None = None
    ) -> Tensor:
        values, mask = _parts(name, input, mask)
        values = _cast(values, dtype)
        kept = values if mask is None else _kept(values, mask, _extreme(values.dtype, -sign, name))
        made = getattr(kept, name)(dim, keepdim=bool(keepdim))
        return made.to(values.dtype)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"The place of the {doc} of the elements that `mask` keeps (in all of them without `dim`), in the input's dtype."
    return function


argmax: Callable[..., Tensor] = _place("argmax", 1, "largest")
argmin: Callable[..., Tensor] = _place("argmin", -1, "smallest")


def _count(values: Tensor, mask: Tensor | None, axes: tuple[int, ...], keepdim: bool) -> Tensor:
    kept = ones_like(values, dtype=dtypes.int64)
    kept = kept if mask is None else kept * mask
    return kept.sum(axes, keepdim=keepdim) if values.ndim else kept


def mean(
    input: Tensor, dim: Dim = None, *, keepdim: bool = False, dtype: Any = None, mask: Tensor | None = None
) -> Tensor:
    """The mean of the elements that `mask` keeps, over `dim` (default: all); nan where it keeps none."""
    if is_sparse(input):
        axes = tuple(sorted(_axes(input, dim)))
        return reduce_sparse("mean", input, axes, bool(keepdim), mask, lambda _: 0, lambda v: _cast(v, dtype))
    values, mask = _parts("mean", input, mask)
    axes, keepdim = _axes(values, dim), bool(keepdim)
    if dtype is None and values.dtype.category < dtypes.FLOAT:
        what = "Could not infer output dtype. Input dtype must be either a floating point or complex dtype."
        raise ValueError(f"mean(): {what} Got: {values.dtype}")
    if mask is None:
        made = values.mean(axes, keepdim=keepdim, dtype=dtype) if values.ndim else values.mean(dtype=dtype)
        return made
    total = sum(_cast(values, dtype), dim, keepdim=keepdim, mask=mask)
    return total / _count(values, mask, axes, keepdim)


def median(
    input: Tensor, dim: int = -1, *, keepdim: bool = False, dtype: Any = None, mask: Tensor | None = None
) -> Tensor:
    """The lower median of the elements that `mask` keeps; nan where it keeps none. ValueError for nan among all elements."""
    values, mask = _parts("median", input, mask)
    values = _cast(values, dtype)
    if mask is None:
        return values.nanmedian(dim, keepdim=bool(keepdim)).values
    if values.dtype.category < dtypes.FLOAT:
        return _whole_median(values, mask, dim, bool(keepdim))
    if bool(values.isnan().any()):
        raise ValueError("masked median expects no fully masked out rows if grad is requested, and no nan in the input")
    made = _kept(values, mask, math.nan).nanmedian(dim, keepdim=bool(keepdim)).values
    return made


def _whole_median(values: Tensor, mask: Tensor, dim: int, keepdim: bool) -> Tensor:
    """Of whole numbers: the lower median of those that are kept, which stand first where the others are sorted behind them."""
    if not bool(mask.any(dim).all()):
        raise ValueError(message("masked_median_of_nothing"))
    order = _kept(values.long(), mask, _extreme(dtypes.int64, 1, "median")).sort(dim).values
    middle = (mask.sum(dim, keepdim=True) - 1) // 2
    found = order.gather(dim, middle).to(values.dtype)
    return found if keepdim else found.squeeze(dim)


def norm(
    input: Tensor,
    ord: float | None = 2.0,
    dim: Dim = None,
    *,
    keepdim: bool = False,
    dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The vector norm of the elements that `mask` keeps."""
    values, mask = _parts("norm", input, mask)
    axes = _axes(values, dim)
    order = 2.0 if ord is None else ord
    kept = _kept(_cast(values, dtype), mask, math.inf if order == -math.inf else 0)
    made = vector_norm(kept, order, axes, bool(keepdim), dtype=dtype)
    return made


def _spread(
    input: Tensor, dim: Any, unbiased: bool | None, correction: float | None, keepdim: bool, dtype: Any,
    mask: Tensor | None, root: bool,
) -> Tensor:  # fmt: skip
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if unbiased is not None and correction is not None:
        raise RuntimeError(f"Only one of unbiased and correction may be given, got {unbiased} and {correction}")
    less = float(unbiased) if unbiased is not None else 1.0 if correction is None else correction
    values, mask = _parts("std/var", input, mask)
    if dtype is None and values.dtype is dtypes.bool:
        refuse_masks(True, 1)
    axes, keepdim = _axes(values, dim), bool(keepdim)
    if dtype is None and values.dtype.category < dtypes.FLOAT:
        dtype = dtypes.float32
    values = _cast(values, dtype)
    count = _count(values, mask, axes, True)
    middle = (_kept(values, mask, 0).sum(axes, keepdim=True) if values.ndim else _kept(values, mask, 0)) / count
    away = _kept(values - middle, mask, 0)
    squares = away * away.conj() if away.is_complex() else away * away
    total = squares.sum(axes, keepdim=True) if values.ndim else squares
    made = total / (count - less).clamp(min=0)
    made = made.sqrt() if root else made  # of complex numbers complex ones without imaginary parts, as in PyTorch
    if values.dtype.is_floating_point:
        made = _cast(made, values.dtype)  # the count of what the mask keeps is float32
    for axis in () if keepdim else sorted(axes, reverse=True):
        made = made.squeeze(axis)
    return made


def var(
    input: Tensor,
    dim: Dim = None,
    unbiased: bool | None = None,
    *,
    correction: float | None = None,
    keepdim: bool = False,
    dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The variance of the elements that `mask` keeps, divided by their number less `correction` (default 1)."""
    return _spread(input, dim, unbiased, correction, keepdim, dtype, mask, False)


def std(
    input: Tensor,
    dim: Dim = None,
    unbiased: bool | None = None,
    *,
    correction: int | None = None,
    keepdim: bool = False,
    dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The root of `var`."""
    return _spread(input, dim, unbiased, correction, keepdim, dtype, mask, True)


# --- of the input's own shape ----------------------------------------------------------------------------------------


def _normalization(name: str, sign: int, doc: str) -> Callable[..., Tensor]:
    apply = "softmax" if name == "softmin" else name

    def function(input: Tensor, dim: int, *, dtype: Any = None, mask: Tensor | None = None) -> Tensor:
        values, mask = _parts(name, input, mask)
        values = _cast(values, dtype)
        identity = {"cumsum": 0, "cumprod": 1}.get(name)
        if mask is not None:
            best = "amin" if sign < 0 else "amax"
            values = _kept(values, mask, _extreme(values.dtype, -sign, best) if identity is None else identity)
        own = {} if identity is None else {"dtype": values.dtype}
        made = getattr(-values if name == "softmin" else values, apply)(dim, **own)
        return made

    function.__name__ = function.__qualname__ = name
    function.__doc__ = (
        f"{doc} along `dim`, of the elements that `mask` keeps. What it leaves out has no meaning in the result."
    )
    return function


softmax: Callable[..., Tensor] = _normalization("softmax", 1, "The softmax")
log_softmax: Callable[..., Tensor] = _normalization("log_softmax", 1, "The logarithm of the softmax")
softmin: Callable[..., Tensor] = _normalization("softmin", -1, "The softmax of the negative elements")
cumsum: Callable[..., Tensor] = _normalization("cumsum", 1, "Running sums")
cumprod: Callable[..., Tensor] = _normalization("cumprod", 1, "Running products")


def normalize(
    input: Tensor, ord: float, dim: int, *, eps: float = 1e-12, dtype: Any = None, mask: Tensor | None = None
) -> Tensor:
    """The elements divided by their `norm` along `dim`, or by `eps` where that is larger."""
    values, mask = _parts("normalize", input, mask)
    values = _cast(values, dtype)
    size = norm(values, ord, dim, keepdim=True, dtype=dtype, mask=mask)
    made = _kept(values, mask, 0) / size.clamp(min=eps)
    return made


def logaddexp(
    input: Tensor,
    other: Tensor,
    *,
    dtype: Any = None,
    input_mask: Tensor | None = None,
    other_mask: Tensor | None = None,
) -> Tensor:
    """`log(exp(input) + exp(other))`, where an element that its mask leaves out counts as -inf."""
    one, first = _parts("logaddexp", input, input_mask)
    two, second = _parts("logaddexp", other, other_mask)
    one, two = _cast(one, dtype), _cast(two, dtype)
    made = _logaddexp(_kept(one, first, -math.inf), _kept(two, second, -math.inf))
    return _cast(made, one.dtype)
