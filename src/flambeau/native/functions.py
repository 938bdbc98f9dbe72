"""Elementwise functions that XLA's CPU compiler computes one number at a time, in vectors (`native/functions.cc`), and running
sums and products (`native/running.cc`).

Each function here is JAX's of the same name: for other dtypes, for few numbers and on other devices it is JAX's own.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.interpreters import ad

from .kernel import kernel

__all__ = ["arctan", "arctan2", "cos", "cumprod", "cumsum", "rem", "sin", "tan"]

SMALL = 2048  # numbers up to which XLA's loop costs less than the call
FUNCTIONS = ("sin", "cos", "tan", "atan", "atan2", "rem")  # in the kernel's order
_DTYPES = ("float32", "float64")


# ---------------------------------------------------------------- elementwise


def _xla(x: jax.Array, y: jax.Array, *, function: str) -> jax.Array:
    made = getattr(lax, function)
    return made(x, y) if function in ("atan2", "rem") else made(x)  # type: ignore[no-any-return]


def _native(x: jax.Array, y: jax.Array, *, result: Any, function: str) -> Any:
    call = jax.ffi.ffi_call("flambeau_function", jax.ShapeDtypeStruct(result.shape, result.dtype))
    return call(x, y, function=np.int64(FUNCTIONS.index(function)))


def _many(*shapes: tuple[int, ...], **_: Any) -> bool:
    return math.prod(shapes[0]) > SMALL


def _slopes(x: jax.Array, y: jax.Array, function: str) -> tuple[Any, Any]:
    """The derivatives by the arguments; None for one that is not looked at."""
    if function in ("sin", "cos"):
        return (cos(x) if function == "sin" else -sin(x)), None
    if function == "tan":
        return 1 + jnp.square(tan(x)), None
    if function == "atan":
        return 1 / (1 + jnp.square(x)), None
    if function == "atan2":
        square = x * x + y * y
        return y / square, -x / square
    quotient = x / y
    return 1, -jnp.sign(quotient) * jnp.floor(jnp.abs(quotient))


def _jvp(primals: Any, tangents: Any, *, function: str) -> Any:
    x, y = primals
    made = _function_p.bind(*primals, function=function)
    moved = [
        (t, s)
        for t, s in zip(tangents, _slopes(x, y, function), strict=True)
        if type(t) is not ad.Zero and s is not None
    ]
    if not moved:
        return made, jnp.zeros_like(made)
    return made, sum(t * s for t, s in moved)


def _mapped(primitive: Any, arrays: Any, dims: Any, *, function: str) -> Any:
    size = next(a.shape[d] for a, d in zip(arrays, dims, strict=True) if d is not None)
    together = [
        jnp.broadcast_to(a, (size, *a.shape)) if d is None else jnp.moveaxis(a, d, 0)
        for a, d in zip(arrays, dims, strict=True)
    ]
    return primitive.bind(*together, function=function), 0


_function_p = kernel(
    "flambeau_function",
    _xla,
    _native,
    fits=_many,
    dtypes=_DTYPES,
    batched=_mapped,
    jvp=_jvp,
    rows=lambda *_, **__: True,
)


def _bound(function: str, jax_form: Any, x: jax.Array, y: jax.Array) -> jax.Array:
    if x.dtype.name not in _DTYPES:
        return jax_form()  # type: ignore[no-any-return]
    return _function_p.bind(*jnp.broadcast_arrays(x, y), function=function)


def sin(x: jax.Array) -> jax.Array:
    return _bound("sin", partial(jnp.sin, x), x, x)


def cos(x: jax.Array) -> jax.Array:
    return _bound("cos", partial(jnp.cos, x), x, x)


def tan(x: jax.Array) -> jax.Array:
    return _bound("tan", partial(jnp.tan, x), x, x)


def arctan(x: jax.Array) -> jax.Array:
    return _bound("atan", partial(jnp.arctan, x), x, x)


def arctan2(y: jax.Array, x: jax.Array) -> jax.Array:
    return _bound("atan2", partial(jnp.arctan2, y, x), y, x)


def rem(x: jax.Array, y: jax.Array) -> jax.Array:
    """What is left of a division whose quotient is cut off, as `fmod` in C."""
    return _bound("rem", lambda: lax.rem(*jnp.broadcast_arrays(x, y)), x, y)


# ---------------------------------------------------------------- running


def _xla_running(x: jax.Array, *, axis: int, reverse: bool, product: bool) -> jax.Array:
    return (lax.cumprod if product else lax.cumsum)(x, axis, reverse)


def _native_running(x: jax.Array, *, result: Any, axis: int, reverse: bool, product: bool) -> Any:
    call = jax.ffi.ffi_call("flambeau_running", jax.ShapeDtypeStruct(result.shape, result.dtype))
    inner = np.int64(math.prod(x.shape[axis + 1 :]))
    return call(x, length=np.int64(x.shape[axis]), inner=inner, backwards=reverse, product=product)


def _running_jvp(primals: Any, tangents: Any, *, axis: int, reverse: bool, product: bool) -> Any:
    (x,), (t,) = primals, tangents
    made = _running_p.bind(x, axis=axis, reverse=reverse, product=product)
    if type(t) is ad.Zero:
        return made, jnp.zeros_like(made)
    if not product:
        return made, _running_p.bind(t, axis=axis, reverse=reverse, product=False)
    return made, jax.jvp(lambda x: lax.cumprod(x, axis, reverse), (x,), (t,))[1]


def _running_transpose(cotangent: Any, x: Any, *, axis: int, reverse: bool, product: bool) -> Any:
    if type(cotangent) is ad.Zero:
        return [None]
    return [_running_p.bind(cotangent, axis=axis, reverse=not reverse, product=False)]


def _running_mapped(primitive: Any, arrays: Any, dims: Any, *, axis: int, **params: Any) -> Any:
    return primitive.bind(jnp.moveaxis(arrays[0], dims[0], 0), axis=axis + 1, **params), 0


_running_p = kernel(
    "flambeau_running",
    _xla_running,
    _native_running,
    fits=_many,
    dtypes=(*_DTYPES, "int64"),
    batched=_running_mapped,
    jvp=_running_jvp,
    transpose=_running_transpose,
    rows=lambda dims, *_, axis, reverse, **__: not (reverse and axis in dims[0]),
    sums=lambda *_, axis, reverse, product: ((axis,) if reverse and not product else (),),
)


def cumsum(x: jax.Array, axis: int) -> jax.Array:
    return _running_p.bind(x, axis=axis, reverse=False, product=False)  # type: ignore[no-any-return]


def cumprod(x: jax.Array, axis: int) -> jax.Array:
    return _running_p.bind(x, axis=axis, reverse=False, product=True)  # type: ignore[no-any-return]
