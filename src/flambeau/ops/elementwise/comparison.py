"""Comparisons, elementwise and of whole tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ...core.context.grad_mode import state as grad_state
from ...core.context.overrides import PASS
from ...core.dispatch.at_once import elementwise
from ...core.dispatch.operator import Array, composite, operator
from ...core.dispatch.overloads import taken
from ...core.tensor.tensor import Tensor
from ..support.checks import BOOL, COMPLEX, FLOAT, category, refuse, type_name
from ..support.declare import alias


def _comparison(name: str, formula: Callable[..., jax.Array], sign: str, ordered: bool = True) -> Callable[..., Any]:
    def function(input: Array, other: Array) -> Array:
        if ordered:
            refuse(f"{name}_cpu", input, COMPLEX)
        return formula(input, other)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Whether `input {sign} other`, elementwise and with broadcasting."
    methods, at_once = (name, f"__{name}__"), elementwise(name)
    return operator(promote="common", inplace=True, methods=methods, narrow=not ordered, at_once=at_once)(function)


eq: Callable[..., Tensor] = _comparison("eq", jnp.equal, "==", ordered=False)
ne: Callable[..., Tensor] = _comparison("ne", jnp.not_equal, "!=", ordered=False)
lt: Callable[..., Tensor] = _comparison("lt", jnp.less, "<")
le: Callable[..., Tensor] = _comparison("le", jnp.less_equal, "<=")
gt: Callable[..., Tensor] = _comparison("gt", jnp.greater, ">")
ge: Callable[..., Tensor] = _comparison("ge", jnp.greater_equal, ">=")

not_equal: Callable[..., Tensor] = alias("not_equal", ne)
less: Callable[..., Tensor] = alias("less", lt)
less_equal: Callable[..., Tensor] = alias("less_equal", le)
greater: Callable[..., Tensor] = alias("greater", gt)
greater_equal: Callable[..., Tensor] = alias("greater_equal", ge)


@operator(promote="common", methods=False, public=())
def _all_equal(input: Array, other: Array) -> Array:
    return jnp.all(input == other)


@composite(methods=True)
def equal(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same shape and the same elements, as a Python bool."""
    if grad_state.dispatch_modes and (found := taken("equal", input, other)) is not PASS:
        return found  # type: ignore[no-any-return]
    return tuple(input.shape) == tuple(other.shape) and bool(_all_equal(input, other).item())


def _check_tolerances(input: Any, other: Any, rtol: float, atol: float, equal_nan: bool) -> None:
    for name, value in (("rtol", rtol), ("atol", atol)):
        if value < 0:
            raise RuntimeError(f"{name} must be greater than or equal to zero, but got {value}")


@operator(options=_check_tolerances)
def isclose(input: Array, other: Array, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Array:
    """Whether `abs(input - other) <= atol + rtol * abs(other)`, or both are equal, or (if asked) both are nan."""
    if input.dtype != other.dtype:
        raise RuntimeError(f"{type_name(input)} did not match {type_name(other)}")
    close = input == other
    if equal_nan and category(input) >= FLOAT:
        close = close | ((input != input) & (other != other))
    a, b = input, other
    if category(a) < FLOAT:
        a, b = a.astype(jnp.float64), b.astype(jnp.float64)
    distance = jnp.abs(a - b)
    return close | (jnp.isfinite(distance) & (distance <= atol + rtol * jnp.abs(b)))


@composite(methods=True)
def allclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
    """Whether all elements are close in the sense of `isclose`, as a Python bool."""
    return bool(isclose(input, other, rtol, atol, equal_nan).all().item())


def _refuse_unsorted(elements: Any, test_elements: Any) -> None:
    for x in (elements, test_elements):
        if category(x) in (BOOL, COMPLEX):
            raise RuntimeError(f"Unsupported input type encountered for isin(): {type_name(x)}")


@operator(promote="common", methods=False, check=_refuse_unsorted)
def isin(elements: Array, test_elements: Array, *, assume_unique: bool = False, invert: bool = False) -> Array:
    """Whether each of `elements` is among `test_elements` (with `invert`: is not). Either may be a number."""
    values = jnp.sort(test_elements.reshape(-1))
    if values.size == 0:
        return jnp.full(elements.shape, invert, jnp.bool_)
    place = jnp.clip(jnp.searchsorted(values, elements), 0, values.size - 1)
    return (values[place] == elements) != invert
