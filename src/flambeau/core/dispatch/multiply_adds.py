"""Multiply-adds of calls, forward and backward, from shapes alone.

A product is one wherever it stands: what an operator computes is asked for its programs, so that no operator has to say how
many it needs. A kernel's declaration says it for the kernel (`native/kernel.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.interpreters.partial_eval import dce_jaxpr

from ...native.kernel import multiply_adds_of
from ..context.grad_mode import no_grad
from ..tape.nodes import OperatorNode
from ..tensor.tensor import Tensor, wrap


def products(jaxpr: Any, scope: str = "", times: int = 1) -> Iterator[tuple[str, int]]:
    """The products in a traced program: for each the scopes that it stands in (`a/b`), and its multiply-adds."""
    for equation in jaxpr.eqns:
        stack = str(equation.source_info.name_stack)
        where = f"{scope}/{stack}" if scope and stack else scope or stack
        count = _dot(equation) if equation.primitive.name == "dot_general" else multiply_adds_of(equation)
        if count is not None:
            yield where, times * count
        repeats = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
        for value in equation.params.values():
            for inner in value if isinstance(value, list | tuple) else [value]:
                inner = getattr(inner, "jaxpr", inner)
                if hasattr(inner, "eqns"):
                    yield from products(inner, where, times * repeats)


def _dot(equation: Any) -> int:
    (contracted, _), _ = equation.params["dimension_numbers"]
    left = equation.invars[0].aval.shape
    return int(equation.outvars[0].aval.size * math.prod(left[d] for d in contracted))


def of_call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> int:
    """The multiply-adds of a function of tensors, which is traced with their shapes and not run."""
    leaves, tree = jax.tree_util.tree_flatten((args, kwargs), is_leaf=lambda x: isinstance(x, Tensor))
    places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]

    def traced(*arrays: Any) -> Any:
        filled = list(leaves)
        for i, array in zip(places, arrays, strict=True):
            filled[i] = wrap(array)
        given, named = jax.tree_util.tree_unflatten(tree, filled)
        made = jax.tree_util.tree_leaves(function(*given, **named), is_leaf=lambda x: isinstance(x, Tensor))
        return [m._array for m in made if isinstance(m, Tensor)]

    with no_grad():
        return _needed(traced, *(leaves[i]._array for i in places))


def of_backward(node: OperatorNode) -> int:
    """The multiply-adds of the gradients that go on from a recorded call, for the arguments that need one."""
    arguments: Any = node.saved if node.saved is not None else node.released
    made = jax.eval_shape(node.program.function, *arguments)
    made = made if isinstance(made, tuple) else (made,)
    given = tuple(i for i, m in enumerate(made) if m.dtype.kind in "fcV")
    return _needed(node.program.derivative(node.wanted, given).function, *arguments, *(made[i] for i in given))


def _needed(function: Callable[..., Any], *arguments: Any) -> int:
    """Of what the results depend on: XLA leaves the rest out."""
    traced = jax.make_jaxpr(function)(*arguments).jaxpr
    kept, _ = dce_jaxpr(traced, [True] * len(traced.outvars))
    return sum(count for _, count in products(kept))


__all__ = ["of_backward", "of_call", "products"]
