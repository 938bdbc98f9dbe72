"""`while_loop`: a function again and again, while a condition holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from ..core.dispatch.help import explain_functions as _explain_functions
from ..core.tensor.tensor import Tensor
from ..core.tensor.tree import flatten, unflatten
from ._staged import is_traced, on_arrays, staged


def while_loop(cond_fn: Callable[..., Any], body_fn: Callable[..., Any], carried_inputs: Any) -> Any:
    """`carried = body_fn(*carried)` while `cond_fn(*carried)` holds; gives what was carried at the end.

    Raises RuntimeError if `body_fn` gives another number of values, or the condition is no single boolean.
    """
    if not (callable(cond_fn) and callable(body_fn)):
        raise RuntimeError(f"Expect cond_fn and body_fn to be callable, got {cond_fn} and {body_fn}")
    if not isinstance(carried_inputs, (tuple, list)):
        raise RuntimeError(f"Expect carried_inputs to be a tuple or list, got {type(carried_inputs)}")
    leaves, spec = flatten(tuple(carried_inputs))
    if not all(isinstance(v, (Tensor, int, float)) for v in leaves):
        raise RuntimeError(
            f"Expect carried_inputs to be a tuple of possibly nested dict/list/tuple that only consists of tensor or int leaves, "
            f"but got {carried_inputs}."
        )
    if is_traced() and all(isinstance(v, Tensor) for v in leaves):
        told: list[Any] = []
        test, step = on_arrays(lambda *c: _condition(cond_fn(*c)), spec, []), on_arrays(body_fn, spec, told)

        def body(*arrays: Any) -> Any:
            return jax.lax.while_loop(lambda c: test(c)[0].reshape(()), lambda c: _like(step(c), c), list(arrays))

        return unflatten(staged("WhileLoop", body, leaves, differentiable=False), spec)
    carried = tuple(carried_inputs)
    while _condition(cond_fn(*carried)):
        made = body_fn(*carried)
        made = tuple(made) if isinstance(made, (tuple, list)) else (made,)
        if flatten(made)[1] != spec:
            raise RuntimeError(
                "Expected body_fn_output and carried_inputs to have same number of outputs but got "
                f"lhs:{made} and rhs:{carried}"
            )
        carried = made
    return carried


def _condition(value: Any) -> Any:
    if isinstance(value, Tensor) and (value.numel() != 1 or value.is_floating_point() or value.is_complex()):
        raise RuntimeError(
            f"cond_fn must return a boolean scalar tensor or a boolean but got {value.dtype} of shape {list(value.shape)}"
        )
    return value


def _like(made: list[Any], carried: list[Any]) -> list[Any]:
    if len(made) != len(carried):
        raise RuntimeError(
            "Expected body_fn_output and carried_inputs to have same number of outputs but got "
            f"lhs:{len(made)} and rhs:{len(carried)}"
        )
    return made


__all__ = ["while_loop"]

_explain_functions([while_loop], "torch")
