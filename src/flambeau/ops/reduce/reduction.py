"""Reductions: sums, products, extremes, and whether any or all are true.

`dim` is None (all dimensions), a number or a tuple of numbers, negative ones counted from the end.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ...core.dispatch.operator import Array, composite, operator
from ...core.tensor.tensor import Tensor
from ..elementwise.arithmetic import maximum, minimum
from ..support.checks import (
    BOOL,
    COMPLEX,
    FLOAT,
    axes_of,
    category,
    in_dtype,
    need_elements,
    refuse,
    summed_dtype,
    type_name,
    wide,
)

Dim = int | tuple[int, ...] | None


def numbered(name: str) -> Callable[..., str]:
    """PyTorch numbers the nodes of a reduction: 0 over everything, 1 over dimensions."""
    return lambda arrays, statics: f"{name}Backward{int(statics['dim'] is not None)}"


# --- sums and products -----------------------------------------------------------------------------------------------


@operator(grad=numbered("Sum"), autocast={"cuda": "float32"})
def sum(input: Array, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Array:
    """The sum over `dim`. Integers and bools are summed as int64, or in `dtype`."""
    x = in_dtype(input, summed_dtype(input, dtype))
    return jnp.sum(x, axes_of(dim, x.ndim), keepdims=keepdim).astype(x.dtype)


def _no_complex(x: jax.Array) -> None:
    if category(x) == COMPLEX:
        raise RuntimeError("nansum on CPU does not support complex inputs")


@operator()
def nansum(input: Array, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Array:
    """The sum over `dim`, with nan counted as 0."""
    _no_complex(input)
    x = in_dtype(_without_nan(input) if category(input) >= FLOAT else input, summed_dtype(input, dtype))
    return jnp.sum(x, axes_of(dim, x.ndim), keepdims=keepdim).astype(x.dtype)


@jax.custom_jvp
def _without_nan(x: jax.Array) -> jax.Array:
    return jnp.where(x != x, jnp.zeros_like(x), x)


@_without_nan.defjvp
def _(primals: Any, tangents: Any) -> Any:
    """As PyTorch's, the slope at nan is nan where what it is multiplied with is infinite."""
    (x,), (along,) = primals, tangents
    return _without_nan(x), jnp.where(x != x, along * 0, along)


def dtype_of_mean(input: jax.Array, dtype: Any = None) -> Any:
    """The dtype of a mean. RuntimeError for integers."""
    wanted = input.dtype if dtype is None else dtype
    if not jnp.issubdtype(wanted, jnp.inexact):
        which = "Input" if dtype is None else "Optional"
        raise RuntimeError(
            f"mean(): could not infer output dtype. {which} dtype must be either a floating point or complex dtype. "
            f"Got: {type_name(jax.ShapeDtypeStruct((), wanted))}"  # type: ignore[arg-type]
        )
    return wanted


@operator(grad=numbered("Mean"))
def mean(input: Array, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Array:
    """The mean over `dim`. Integers raise RuntimeError unless a floating `dtype` is given; nan if nothing is there."""
    made = dtype_of_mean(input, dtype)
    return jnp.mean(wide(in_dtype(input, made)), axes_of(dim, input.ndim), keepdims=keepdim).astype(made)


@operator()
def nanmean(input: Array, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Array:
    """The mean over `dim` of what is not nan."""
    if category(input) < FLOAT:
        raise RuntimeError(
            f"nanmean(): expected input to have floating point or complex dtype but got {type_name(input)}"
        )
    _no_complex(input)
    x, axes = in_dtype(input, dtype_of_mean(input, dtype)), axes_of(dim, input.ndim)
    kept = jnp.sum(_without_nan(x), axes, keepdims=keepdim)
    return kept / jnp.sum(x == x, axes, keepdims=keepdim).astype(x.dtype)


@operator(grad=numbered("Prod"), autocast="float32")
def prod(input: Array, dim: int | None = None, keepdim: bool = False, *, dtype: Any = None) -> Array:
    """The product over `dim` (one dimension or all). Integers and bools give int64, or `dtype`."""
    x = in_dtype(input, summed_dtype(input, dtype))
    return _product(wide(x), axes_of(dim, x.ndim), keepdim).astype(x.dtype)


@partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _product(x: jax.Array, axes: tuple[int, ...], keepdims: bool) -> jax.Array:
    kept = tuple(1 if d in axes else n for d, n in enumerate(x.shape))
    if len(axes) == x.ndim:
        x, axes = x.reshape(-1), (0,)
    if axes == (x.ndim - 1,):
        while x.shape[-1] > 16 and x.shape[-1] % 2 == 0:  # one by one XLA multiplies numbers that lie beside each other
            x = x[..., : x.shape[-1] // 2] * x[..., x.shape[-1] // 2 :]
    made = jnp.prod(x, axes)
    return made.reshape(kept) if keepdims else made


@_product.defjvp
def _product_jvp(axes: tuple[int, ...], keepdims: bool, primals: Any, tangents: Any) -> Any:
    (x,), (t,) = primals, tangents
    return _product(x, axes, keepdims), jnp.sum(t * _product_of_others(x, axes), axes, keepdims=keepdims)


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def _product_of_others(x: jax.Array, axes: tuple[int, ...]) -> jax.Array:
    zero = x == 0
    zeros = jnp.sum(zero, axes, keepdims=True)
    others = _product(jnp.where(zero, 1, x), axes, True)
    return jnp.where(zeros == 0, others / x, jnp.where(zero & (zeros == 1), others, 0)).astype(x.dtype)


@_product_of_others.defjvp
def _product_of_others_jvp(axes: tuple[int, ...], primals: Any, tangents: Any) -> Any:
    def without_division(x: jax.Array) -> jax.Array:
        made, back = jax.vjp(lambda x: jnp.prod(x, axes), x)
        return back(jnp.ones_like(made))[0]  # type: ignore[no-any-return]

    return _product_of_others(*primals, axes), jax.jvp(without_division, primals, tangents)[1]


@operator()
def count_nonzero(input: Array, dim: Dim = None) -> Array:
    """How many elements over `dim` are not 0."""
    return jnp.sum((input != 0).astype(jnp.int64), axes_of(dim, input.ndim))


# --- true and false --------------------------------------------------------------------------------------------------


def _truth(name: str, formula: Callable[..., jax.Array], doc: str) -> Callable[..., Any]:
    def function(input: Array, dim: Dim = None, keepdim: bool = False) -> Array:
        axes = () if dim == () else axes_of(dim, input.ndim)  # an empty list of dimensions reduces none here
        result = formula(input != 0, axis=axes, keepdims=keepdim)
        return result.astype(jnp.uint8) if input.dtype == jnp.uint8 else result

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Whether {doc} over `dim` true, that is not 0. uint8 gives uint8."
    return operator(narrow=True)(function)


all: Callable[..., Tensor] = _truth("all", jnp.all, "all elements are")
any: Callable[..., Tensor] = _truth("any", jnp.any, "any element is")

# --- extremes --------------------------------------------------------------------------------------------------------


def _whole(name: str, input: jax.Array, kind: type[Exception] = RuntimeError) -> None:
    if input.size == 0:
        empty = "input.numel() == 0"
        raise kind(
            f"{name}(): Expected reduction dim to be specified for {empty}. "
            "Specify the reduction dim with the 'dim' argument."
        )


def take_along(x: jax.Array, index: jax.Array, axis: int, keepdim: bool) -> tuple[jax.Array, jax.Array]:
    """The elements at one index per line along `axis`, and these indices: what `max(x, dim)` and its like return."""
    index = index.astype(jnp.int64)
    if x.ndim == 0:
        return x, index.reshape(())
    kept = jnp.expand_dims(index, axis)
    values = jnp.take_along_axis(x, kept, axis)
    return (values, kept) if keepdim else (values.squeeze(axis), index)


def _place_of(best: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """Where the best element is along an axis, the first one of equals, or the first nan: `jnp.argmax` in two quick passes."""

    def place(x: jax.Array, axis: int | None = None, keepdims: bool = False) -> jax.Array:
        x = lax.stop_gradient(x)
        shape = x.shape
        if axis is None:
            x, axis = x.reshape(-1), 0
        size = x.shape[axis]
        kind = np.int32 if size < 1 << 31 else np.int64
        here = (x == best(x, axis, keepdims=True)) | (x != x)
        found = jnp.min(jnp.where(here, lax.broadcasted_iota(kind, x.shape, axis), kind(size)), axis, keepdims=keepdims)
        return found.reshape([1] * len(shape)) if keepdims and len(shape) != x.ndim else found

    return place


_argmax, _argmin = _place_of(jnp.max), _place_of(jnp.min)


@jax.custom_jvp
def shared(x: jax.Array, value: jax.Array) -> jax.Array:
    """`value`, with its gradient shared evenly by the elements of `x` that equal it."""
    return value


@shared.defjvp
def _shared_jvp(primals: Any, tangents: Any) -> Any:
    (x, value), (t, _) = primals, tangents
    hit = (x == value) | ((x != x) & (value != value))
    return shared(x, value), jnp.sum(jnp.where(hit, t, jnp.zeros_like(t))) / jnp.sum(hit).astype(x.dtype)


def _extreme(
    name: str,
    best: Callable[..., jax.Array],
    arg: Callable[..., jax.Array],
    pairwise: Callable[..., Tensor],
    word: str,
) -> Callable[..., Any]:
    title = name.capitalize()

    def along(input: Array, dim: int, keepdim: bool = False) -> tuple[Array, Array]:
        if category(input) == COMPLEX:
            raise RuntimeError(f"{name}(): does not support complex input")
        axes = axes_of(dim, input.ndim)
        need_elements(f"{name}()", input, axes)
        axis = axes[0] if axes else 0
        return take_along(input, arg(input, axis) if input.ndim else jnp.zeros((), jnp.int64), axis, keepdim)

    def whole(input: Array) -> Array:
        refuse(f"{name}_all", input, COMPLEX)
        _whole(name, input)
        return shared(input, best(input)) if category(input) == FLOAT else best(input)

    along.__name__ = whole.__name__ = name  # the name in messages and of the pair that is returned
    along_dim = operator(methods=False, public=(), returns=("values", "indices"), grad=f"{title}Backward0")(along)
    over_all = operator(methods=False, public=(), grad=f"{title}Backward1")(whole)

    def function(
        input: Tensor, dim: int | Tensor | None = None, keepdim: bool = False, *, other: Tensor | None = None
    ) -> Any:
        if isinstance(dim, Tensor) and other is None:
            dim, other = None, dim
        if other is not None:
            return pairwise(input, other)
        if dim is None:
            return over_all(input)
        if not isinstance(dim, int):
            raise TypeError(f"{name}(): argument 'dim' must be int or Tensor, not {type(dim).__name__}")
        return along_dim(input, dim, keepdim)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = (
        f"`{name}(input)` is the {word} element; its gradient is shared evenly by ties.\n"
        f"`{name}(input, dim, keepdim)` is a named pair of the\n"
        f"{word} values and their (first) indices along `dim`; gradients go to these indices.\n"
        f"`{name}(input, other)` is `{name}imum(input, other)`. nan is the result wherever it is met."
    )
    return composite()(function)


max: Callable[..., Any] = _extreme("max", jnp.max, _argmax, maximum, "largest")
min: Callable[..., Any] = _extreme("min", jnp.min, _argmin, minimum, "smallest")


def extreme(best: Callable[..., jax.Array], x: jax.Array, axes: tuple[int, ...], keepdims: bool = False) -> jax.Array:
    """The largest or smallest elements (`best`), whose gradient ties share, and is nan for all where they are nan."""
    made = best(x, axes, keepdims=True)
    made = _given_to_ties(x, made, axes) if category(x) == FLOAT else made
    return made if keepdims else jnp.squeeze(made, axes)


@partial(jax.custom_jvp, nondiff_argnums=(2,))
def _given_to_ties(x: jax.Array, made: jax.Array, axes: tuple[int, ...]) -> jax.Array:
    return made


@_given_to_ties.defjvp
def _given_to_ties_jvp(axes: tuple[int, ...], primals: Any, tangents: Any) -> Any:
    x, made = primals
    count = jnp.sum(x == made, axes, keepdims=True)  # 0 where it is nan; XLA would make a choice of a quotient of bools
    share = jnp.where(x == made, jnp.asarray(1, x.dtype), 0) / jnp.maximum(count, 1).astype(x.dtype)
    change = tangents[0] * jnp.where(count == 0, jnp.asarray(jnp.nan, x.dtype), share)
    return _given_to_ties(x, made, axes), jnp.sum(change, axes, keepdims=True)


def _shared_extreme(name: str, best: Callable[..., jax.Array], word: str) -> Callable[..., Any]:
    def function(input: Array, dim: Dim = (), keepdim: bool = False) -> Array:
        refuse(f"{name[1:]}_values_cpu", input, COMPLEX)
        if dim is None or dim == ():
            _whole(name, input)
        axes = axes_of(dim, input.ndim)
        need_elements(f"{name}()", input, axes)
        return extreme(best, input, axes, keepdim)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"The {word} elements over `dim`. The gradient is shared evenly by ties."
    return operator()(function)


amax: Callable[..., Tensor] = _shared_extreme("amax", jnp.max, "largest")
amin: Callable[..., Tensor] = _shared_extreme("amin", jnp.min, "smallest")


@operator(returns=("min", "max"))
def aminmax(input: Array, *, dim: int | None = None, keepdim: bool = False) -> tuple[Array, Array]:
    """The smallest and the largest elements over `dim`, as a named pair (min, max)."""
    if dim is not None and input.ndim == 0 and category(input) == COMPLEX:
        raise RuntimeError(f"aminmax not implemented for {type_name(input)}")
    refuse("aminmax_cpu", input, COMPLEX)
    if dim is None and input.size == 0:
        raise RuntimeError(
            "aminmax(): cannot compute aminmax over an empty dimension as the operation has no identity."
        )
    axes = axes_of(dim, input.ndim)
    need_elements("aminmax", input, axes)
    return extreme(jnp.min, input, axes, keepdim), extreme(jnp.max, input, axes, keepdim)


def _position(name: str, arg: Callable[..., jax.Array], word: str) -> Callable[..., Any]:
    def function(input: Array, dim: int | None = None, keepdim: bool = False) -> Array:
        if category(input) in (BOOL, COMPLEX):
            raise RuntimeError(f"{name}(): does not support {str(input.dtype).rstrip('0123456789')} input")
        if dim is None:
            _whole(name, input, IndexError)
        axes = axes_of(dim, input.ndim)
        need_elements(f"{name}()", input, axes if dim is not None else ())
        if not axes:
            return jnp.zeros((), jnp.int64)
        return arg(input, axis=None if dim is None else axes[0], keepdims=keepdim).astype(jnp.int64)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"The index of the (first) {word} element along `dim`; without `dim`, in the flattened tensor."
    return operator()(function)


argmax: Callable[..., Tensor] = _position("argmax", _argmax, "largest")
argmin: Callable[..., Tensor] = _position("argmin", _argmin, "smallest")


@composite(public=())
def sum_to_size(self: Tensor, *size: Any) -> Tensor:
    """The sum over the dimensions that broadcasting from `size` to this shape would repeat."""
    shape = tuple(size[0]) if len(size) == 1 and not isinstance(size[0], int) else size
    if not shape:
        return self.sum()
    lead = self.ndim - len(shape)
    if lead < 0 or builtins.any(n not in (1, m) for n, m in zip(shape, self.shape[lead:], strict=True)):
        raise RuntimeError(f"size {{{list(shape)}}} is not expandable to size {{{list(self.shape)}}}.")
    dims = [d for d, m in enumerate(self.shape) if d < lead or (shape[d - lead] == 1 and m != 1)]
    summed = self.sum(dims, keepdim=True) if dims else self
    return summed.reshape(shape) if lead else summed
