"""Programs that compute element by element, as loops over all elements.

XLA's CPU compiler makes a loop over the last dimension and vectorises that alone: with 28 or 32 elements in a row it takes two to four
times as long as with all of them. It also undoes a reshape around a loop, so the result passes a call that it can't look into, and that
does nothing (`native/moving.cc`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax.extend import core as jex_core
from jax.interpreters.partial_eval import dce_jaxpr

from ...native import expect, serves

_SYMBOL = "flambeau_same"
expect(_SYMBOL)

LEAST = 4096  # elements: below, the call costs more than the loop
SHORT = 128  # elements in a row: from here on the loop over one is as good, if whole vectors go into it
_VECTOR = 16

EACH = frozenset(  # what gives for each element of its arguments one of the result, whatever their shape is
    """abs acos acosh add add_any and asin atan atan2 atanh bessel_i0e bessel_i1e cbrt ceil clamp convert_element_type copy
    copy_p cos cosh digamma div eq erf erf_inv erfc exp exp2 expm1 floor ge gt integer_pow is_finite le lgamma log log1p logistic lt max min
    mul ne neg nextafter not optimization_barrier or pow rem round rsqrt select_n shift_left shift_right_arithmetic shift_right_logical sign sin
    one_minus_square sinh sqrt square stop_gradient sub tan tanh xor""".split()
)
_CALLS = {"jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr", "custom_jvp_call": "call_jaxpr"}
_SPREAD = "broadcast_in_dim"


def flattened(closed: Any) -> Any | None:
    """The same program over flat arrays; None if it does more than to compute element by element, or if it is as quick."""
    jaxpr, _ = dce_jaxpr(closed.jaxpr, [True] * len(closed.jaxpr.outvars), instantiate=True)
    shapes: set[Any] = {_shape(v) for v in (*jaxpr.invars, *jaxpr.outvars)} - {()}
    shape: tuple[int, ...] = shapes.pop() if len(shapes) == 1 else ()
    if len(shape) < 2 or shapes or math.prod(shape) < LEAST or closed.consts or closed.effects:
        return None
    if (shape[-1] >= SHORT and shape[-1] % _VECTOR == 0) or not serves(np.float32, _SYMBOL):
        return None
    if not all(_is_each(equation, shape) for equation in _equations(jaxpr)):
        return None
    if any(isinstance(v, jex_core.Literal) for v in jaxpr.outvars) or not _computes(jaxpr):
        return None
    given = [jax.ShapeDtypeStruct(a.shape, a.dtype, weak_type=a.weak_type) for a in closed.in_avals]
    made = jax.make_jaxpr(_over_all(jaxpr, shape))(*given)
    return made if made.out_avals == closed.out_avals else None


def _shape(variable: Any) -> tuple[int, ...]:
    return variable.aval.shape  # type: ignore[no-any-return]


def _computes(jaxpr: Any) -> bool:
    """Whether there is a result that is not just one of the arguments."""
    return not set(jaxpr.outvars) <= set(jaxpr.invars)


def _equations(jaxpr: Any) -> Iterator[Any]:
    for equation in jaxpr.eqns:
        if (inner := _CALLS.get(equation.primitive.name)) is None:
            yield equation
        else:
            yield from _equations(_open(equation.params[inner]))


def _open(jaxpr: Any) -> Any:
    return getattr(jaxpr, "jaxpr", jaxpr)


def _is_each(equation: Any, shape: tuple[int, ...]) -> bool:
    """Whether an operation is one of each element, of arrays of this shape or of single numbers."""
    if any(v.aval.shape not in ((), shape) for v in (*equation.invars, *equation.outvars)):
        return False
    name = equation.primitive.name
    if name == _SPREAD:
        return equation.invars[0].aval.shape == () or equation.invars[0].aval.shape == shape
    return name in EACH


def _over_all(jaxpr: Any, shape: tuple[int, ...]) -> Any:
    size = math.prod(shape)

    def run(*arrays: Any) -> Any:
        flat = [a.reshape(size) if a.shape else a for a in arrays]
        made = _evaluated(jaxpr, (), flat, size)
        as_given = dict(zip(jaxpr.invars, arrays, strict=True))
        return [
            as_given[v] if v in as_given else _same(m).reshape(shape) if m.shape else m
            for v, m in zip(jaxpr.outvars, made, strict=True)
        ]

    return run


def _same(x: Any) -> Any:
    call = jax.ffi.ffi_call(_SYMBOL, jax.ShapeDtypeStruct(x.shape, x.dtype), input_output_aliases={0: 0})
    return call(x)


def _evaluated(jaxpr: Any, consts: Any, arguments: Any, size: int) -> list[Any]:
    values: dict[Any, Any] = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*consts, *arguments), strict=True))

    def value(v: Any) -> Any:
        return v.val if isinstance(v, jex_core.Literal) else values[v]

    for equation in jaxpr.eqns:
        given = [value(v) for v in equation.invars]
        name, params = equation.primitive.name, equation.params
        if (inner := _CALLS.get(name)) is not None:
            called = params[inner]
            made = _evaluated(_open(called), getattr(called, "consts", ()), given, size)
        elif name == _SPREAD:
            spread = given[0] if np.ndim(given[0]) or not equation.outvars[0].aval.shape else None
            made = [jax.numpy.broadcast_to(given[0], (size,)) if spread is None else spread]
        else:
            result = equation.primitive.bind(*given, **params)
            made = result if equation.primitive.multiple_results else [result]
        values.update(zip(equation.outvars, made, strict=True))
    return [value(v) for v in jaxpr.outvars]


__all__ = ["EACH", "LEAST", "flattened"]
