"""Steps that gradients go through (`differentiable=True`)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ..core.context.grad_mode import enable_grad
from ..core.tape.nodes import taped_call
from ..core.tape.programs import Program
from ..core.tensor.tensor import Tensor


def differentiable_step(
    program: Callable[..., Any],
    params: list[Tensor],
    own: list[Tensor],
    common: list[Tensor],
    tensors: dict[int, Tensor],
    scalars: Any,
    shared: tuple[str, ...],
) -> None:
    """The step as one node on the tape: parameters, gradients, state and options that are tensors are its arguments."""
    with enable_grad():
        grads: list[Any] = [param.grad for param in params]
        for tensor in params:
            tensor._check_inplace()
        numbers = [scalars[i] for i in range(len(scalars))]
        edges = dict(enumerate(tensor._tape_edge() for tensor in (*params, *grads, *own, *common)))
        arrays = [tensor._array for tensor in (*params, *grads, *own, *common)]
        edges.update((len(arrays) + i, _flat_edge(tensor)) for i, tensor in tensors.items())
        taped = _taped_program(program, len(params), len(own), len(common))
        made = taped_call(taped, [*arrays, *numbers], edges)
        for tensor, (array, edge) in zip((*params, *own), made, strict=False):
            tensor._assign(array, edge)
        followed = any(tensor.requires_grad for tensor in (*tensors.values(), *common))
        for i, (array, edge) in enumerate(made[len(params) + len(own) :]):
            count = shared[i % len(shared)] == "step"
            common[i]._assign(array, edge if followed and not count else None)


def _flat_edge(option: Tensor) -> Any:
    """The edge of an option, which the program takes without dimensions."""
    return (option if option.ndim == 0 else option.reshape(()))._tape_edge()


@functools.lru_cache(maxsize=128)
def _taped_program(program: Callable[..., Any], params: int, own: int, common: int) -> Program:
    """The update as a program from single arrays to single arrays, of which the tape knows the derivatives."""

    def update(*arrays: Any) -> tuple[Any, ...]:
        rest = iter(arrays)
        parts = [[next(rest) for _ in range(count)] for count in (params, params, own, common)]
        new_params, new_own, new_common = program(*parts, list(rest), False)
        return (*new_params, *new_own, *new_common)

    return Program(update, program.__name__)
