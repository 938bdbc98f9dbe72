"""A structured computation (a branch, a loop) as one operation of a compiled program and one node of the tape.

Only while a function is traced; uncompiled, Python's own branches and loops run, and the tape records what they do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax

from ..compiler.pure import PureCall
from ..core.context.grad_mode import state
from ..core.context.tracing import Untraceable
from ..core.tape.nodes import OperatorNode, is_differentiable
from ..core.tape.programs import Program
from ..core.tensor.tensor import Tensor, wrap
from ..core.tensor.tree import flatten, unflatten


def is_traced() -> bool:
    """Whether values are not there to branch on."""
    return state.trace is not None


def tensors_only(what: str, tree: Any) -> tuple[list[Tensor], Any]:
    """The tensors of a nested container. RuntimeError if it holds anything else."""
    leaves, spec = flatten(tree)
    if not all(isinstance(v, Tensor) for v in leaves):
        raise RuntimeError(
            f"{what} to be a tuple of possibly nested dict/list/tuple that only consists of tensor leaves, but got {tree}."
        )
    return leaves, spec


def on_arrays(function: Callable[..., Any], spec: Any, told: list[Any]) -> Callable[..., list[Any]]:
    """A user's function as one of arrays; the structure of what it gives is put into `told`.

    Untraceable if its result depends on captured tensors that require grad, or if it does more than to compute.
    """

    def call(arrays: Sequence[Any]) -> list[Any]:
        before, state.transforms = state.transforms, _Pure()
        try:
            result = function(*unflatten([wrap(a) for a in arrays], spec))
            if state.transforms.before:
                raise Untraceable("a function given to a control flow operator writes to a tensor from outside")
        finally:
            state.transforms = before
        leaves, out = tensors_only("Expected the result of a function given to a control flow operator", result)
        if any(v._tape_edge() is not None for v in leaves):
            raise Untraceable(
                "a function given to a control flow operator uses a tensor that requires grad and is none of its arguments: "
                "hand it over as one"
            )
        told.append(out)
        return [v._array for v in leaves]

    return call


class _Pure(PureCall):
    def apply(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        raise Untraceable(f"autograd.Function {function.__name__} in a control flow operator")

    def host_value(self, draw: Callable[[], Any]) -> Any:
        raise Untraceable("random numbers in a control flow operator")

    def unchecked(self) -> None:
        raise Untraceable("an operator that looks at values (indices, say) in a control flow operator")


def staged(name: str, body: Callable[..., Any], tensors: list[Tensor], differentiable: bool = True) -> list[Tensor]:
    """Run `body`, a function of arrays, as one operation on these tensors."""
    arrays = [t._array for t in tensors]
    closed = jax.make_jaxpr(body)(*arrays)
    constants = list(closed.consts)

    def pure(*values: Any) -> tuple[Any, ...]:
        return tuple(jax.core.eval_jaxpr(closed.jaxpr, values[: len(constants)], *values[len(constants) :]))

    program = Program(pure, name)
    given = [*constants, *arrays]
    outputs = program(*given)
    made = [wrap(o) for o in outputs]
    edges = {len(constants) + i: t._tape_edge() for i, t in enumerate(tensors)}
    live = {i: e for i, e in edges.items() if e is not None}
    if not (state.grad and live):
        return made
    if not differentiable:
        raise Untraceable(f"{name} of tensors that require grad: how often it runs is not known before")
    node = OperatorNode(program, given, tuple(live), tuple(live.values()), len(made), f"{name}Backward0")
    for i, tensor in enumerate(made):
        if is_differentiable(tensor._np_dtype):
            tensor._edge = (node, i)
    return made


def same_structure(name: str, first: Any, second: Any) -> None:
    """RuntimeError if two functions give results of different structures."""
    if first != second:
        raise RuntimeError(f"{name}: expected both functions to give the same structure, got {first} and {second}")
