"""Bits of integers, and the logic of true and false."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ...core.dispatch.operator import Array, operator
from ...core.tensor.tensor import Tensor
from ..support.checks import BOOL, COMPLEX, FLOAT, category, refuse
from ..support.declare import unary

# --- bits ------------------------------------------------------------------------------------------------------------


def _bits(
    name: str, kernel: str, dunder: str, formula: Callable[..., jax.Array], doc: str, **options: Any
) -> Callable[..., Any]:
    """An operator on integers with its Python sign: `__and__`, `__rand__`, `__iand__` for dunder `and`."""

    def function(input: Array, other: Array) -> Array:
        refuse(kernel, input, FLOAT, COMPLEX, *((BOOL,) if "shift" in name else ()))
        return formula(input, other)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{doc} Floating dtypes raise NotImplementedError."
    forward = (name, f"__{dunder}__")
    symmetric = dunder in ("and", "or", "xor")
    return operator(
        promote="common",
        methods=(*forward, f"__r{dunder}__") if symmetric else forward,
        inplace=(f"{name}_", f"__i{dunder}__"),
    )(function)


def _shift(formula: Callable[..., jax.Array], beyond: Callable[[jax.Array], jax.Array]) -> Callable[..., jax.Array]:
    """A shift by more bits than there are, or by fewer than none, leaves what lies `beyond` the number."""

    def function(x: jax.Array, bits: jax.Array) -> jax.Array:
        width = x.dtype.itemsize * 8
        inside = (bits >= 0) & (bits < width)
        return jnp.where(inside, formula(x, jnp.where(inside, bits, jnp.zeros_like(bits))), beyond(x))

    return function


def _sign_fill(x: jax.Array) -> jax.Array:
    return jnp.where(x < 0, jnp.full_like(x, -1), jnp.zeros_like(x)) if x.dtype.kind == "i" else jnp.zeros_like(x)


_left = _shift(jnp.left_shift, jnp.zeros_like)
_right = _shift(jnp.right_shift, _sign_fill)

bitwise_and: Callable[..., Tensor] = _bits(
    "bitwise_and", "bitwise_and_cpu", "and", jnp.bitwise_and, "Bitwise AND; of bools, logical."
)
bitwise_or: Callable[..., Tensor] = _bits(
    "bitwise_or", "bitwise_or_cpu", "or", jnp.bitwise_or, "Bitwise OR; of bools, logical."
)
bitwise_xor: Callable[..., Tensor] = _bits(
    "bitwise_xor", "bitwise_xor_cpu", "xor", jnp.bitwise_xor, "Bitwise XOR; of bools, logical."
)
bitwise_left_shift: Callable[..., Tensor] = _bits(
    "bitwise_left_shift", "lshift_cpu", "lshift", _left, "`input << other`."
)
bitwise_right_shift: Callable[..., Tensor] = _bits(
    "bitwise_right_shift", "rshift_cpu", "rshift", _right, "`input >> other`."
)


@operator(promote="common", methods=("__rlshift__",), public=())
def _rlshift(input: Array, other: Array) -> Array:
    refuse("lshift_cpu", input, BOOL, FLOAT, COMPLEX)
    return _left(other, input)


@operator(promote="common", methods=("__rrshift__",), public=())
def _rrshift(input: Array, other: Array) -> Array:
    refuse("rshift_cpu", input, BOOL, FLOAT, COMPLEX)
    return _right(other, input)


def _not(x: jax.Array) -> jax.Array:
    refuse("bitwise_not_cpu", x, FLOAT, COMPLEX)
    return ~x


def _invert(x: jax.Array) -> jax.Array:
    if category(x) >= FLOAT:
        raise TypeError("~ (operator.invert) is only implemented on integer and Boolean-type tensors")
    return ~x


bitwise_not: Callable[..., Tensor] = unary(
    "bitwise_not", _not, "Bitwise NOT; of bools, logical.", promote=None, public_inplace=False
)
_tilde = unary("_tilde", _invert, "`~input`.", promote=None, methods=("__invert__",), inplace=False, public=())

# --- logic -----------------------------------------------------------------------------------------------------------


def _logical(name: str, formula: Callable[..., jax.Array], doc: str) -> Callable[..., Any]:
    def function(input: Array, other: Array) -> Array:
        return formula(input != 0, other != 0)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{doc}, elementwise; what is not 0 counts as true."
    return operator(inplace=True)(function)


logical_and: Callable[..., Tensor] = _logical("logical_and", jnp.logical_and, "Whether both are true")
logical_or: Callable[..., Tensor] = _logical("logical_or", jnp.logical_or, "Whether one or both are true")
logical_xor: Callable[..., Tensor] = _logical("logical_xor", jnp.logical_xor, "Whether exactly one is true")
logical_not: Callable[..., Tensor] = unary(
    "logical_not", lambda x: x == 0, "Whether `input` is false, that is 0.", promote=None, public_inplace=False
)
