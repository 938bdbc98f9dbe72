"""Elementwise bounds: `clamp` and its halves.

Written with `where`, whose gradients at ties are then the ones that the comparisons say.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ...core.dispatch.host_numbers import settle
from ...core.dispatch.limits import fitting_number, looks_large
from ...core.dispatch.operator import Array, composite, inplace_form, operator
from ...core.dispatch.promotion import result_type
from ...core.dispatch.publishing import _attach, _publish
from ...core.tensor.tensor import Tensor
from ..support.checks import BOOL, COMPLEX, category, refuse
from ..support.declare import alias, named_by_numbers


def _raise_to(x: jax.Array, low: jax.Array) -> jax.Array:
    return jnp.where(x < low, low, jnp.where(x >= low, x, _not_ordered(x, low)))


def _cut_to(x: jax.Array, high: jax.Array) -> jax.Array:
    return jnp.where(x > high, high, jnp.where(x <= high, x, _not_ordered(x, high)))


def _not_ordered(x: jax.Array, bound: jax.Array) -> jax.Array:
    """nan for floating-point numbers of which one is nan, with slope 0."""
    return lax.stop_gradient(x + bound)


def _look_at_numbers(name: str, input: Any, *bounds: Any, **named: Any) -> None:
    """Raise RuntimeError for a number that the result's dtype has no room for (a whole one below zero: but for its sign).

    NotImplementedError for bools as bounds of a bool tensor, which PyTorch has for tensors alone.
    """
    if isinstance(input, Tensor) and input._np_dtype.kind == "b":
        given = [
            name for name, b in (*zip(("min", "max"), bounds, strict=False), *named.items()) if isinstance(b, bool)
        ]
        if given:
            kernel = (
                "clamp_scalar_cpu" if len(given) == 2 else f"{name if '_' in name else f'clamp_{given[0]}'}_scalar_cpu"
            )
            raise NotImplementedError(f"\"{kernel}\" not implemented for 'Bool'")
    bounds = (*bounds, *named.values())
    if not isinstance(input, Tensor) or input._np_dtype.kind in "bc":
        return
    if input._np_dtype.kind in "iu":
        settle(bounds)
    numbers = [bound for bound in bounds if bound is not None]
    for number in filter(looks_large, numbers):
        fitting_number(number, result_type(input, *numbers).numpy)


def _refuse_complex(x: jax.Array) -> None:
    if category(x) == COMPLEX:
        raise NotImplementedError("clamp is not supported for complex types")


def _real_bounds(name: str, input: Any, *bounds: Any, **named: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The bounds, complex numbers with nothing imaginary as real ones where `clamp` of PyTorch takes them for that."""

    taken = name == "clamp" and isinstance(input, Tensor) and input.dtype.is_floating_point

    def real(bound: Any) -> Any:
        if type(bound) is not complex or not taken:
            return bound
        if bound.imag:
            raise RuntimeError("value cannot be converted to type double without overflow")
        return bound.real

    return tuple(map(real, bounds)), {key: real(bound) for key, bound in named.items()}


def _within_dtype(operation: Callable[..., Any]) -> Callable[..., Any]:
    """The public forms of an operator whose other arguments are bounds: as tensors, or as numbers that the dtype can hold."""

    def written(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        args, kwargs = _real_bounds(operation.__name__, input, *args, **kwargs)
        _look_at_numbers(operation.__name__, input, *args, **kwargs)
        return write(input, *args, **kwargs)

    @functools.wraps(operation)
    def checked(input: Any, *args: Any, **kwargs: Any) -> Any:
        args, kwargs = _real_bounds(operation.__name__, input, *args, **kwargs)
        _look_at_numbers(operation.__name__, input, *args, **kwargs)
        return operation(input, *args, **kwargs)

    name = operation.__name__ + "_"
    write = inplace_form(operation.operator, name)  # type: ignore[attr-defined]
    written.__name__ = written.__qualname__ = name
    written.__doc__ = write.__doc__
    written.operator, written.in_place_of = operation.operator, write.in_place_of  # type: ignore[attr-defined]
    _attach(written, (name,))
    _publish(name, written, ("torch",))
    return composite()(checked)


@_within_dtype
@operator(promote="common", methods=False, public=(), grad=named_by_numbers("Clamp", 0, 1))
def clamp(input: Array, min: Array | None = None, max: Array | None = None) -> Array:
    """`input`, cut to lie between `min` and `max` (numbers or tensors, or one None). `max` wins if below `min`."""
    if min is None and max is None:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    _refuse_complex(input)
    if min is not None and max is not None:
        refuse("clamp_cpu", input, BOOL)
    result = input
    if min is not None:
        low = min if max is None else jnp.where(min < max, min, lax.stop_gradient(min))
        result = _raise_to(result, low)
    return result if max is None else _cut_to(result, max)


@_within_dtype
@operator(promote="common", methods=False, public=())
def clamp_min(input: Array, min: Array) -> Array:
    """`input`, raised to at least `min`."""
    _refuse_complex(input)
    return _raise_to(input, min)


@_within_dtype
@operator(promote="common", methods=False, public=())
def clamp_max(input: Array, max: Array) -> Array:
    """`input`, cut to at most `max`."""
    _refuse_complex(input)
    return _cut_to(input, max)


clip: Callable[..., Tensor] = alias("clip", clamp)
