"""Computing a part of a network again in the backward pass instead of keeping what it computed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..autograd import backward as run_backward
from ..core.function import Function
from ..core.grad_mode import enable_grad
from ..core.operator import namespaces
from ..core.tensor import Tensor
from ..core.tracing import recorder
from ..nn.modules.container import Sequential

__all__ = ["checkpoint", "checkpoint_sequential"]


class CheckpointFunction(Function):
    @staticmethod
    def forward(ctx: Any, function: Callable[..., Any], keep_random: bool, anchor: Tensor, *args: Any) -> Any:
        ctx.function, ctx.args, ctx.random = function, args, None
        trace = recorder()
        if not keep_random:
            return function(*args)
        if trace is not None:
            ctx.random = []
            with trace.noting(ctx.random):
                return function(*args)
        ctx.random = namespaces["torch"]["get_rng_state"]()
        return function(*args)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        inputs = [
            a.detach().requires_grad_(a.requires_grad) if isinstance(a, Tensor) and a.is_floating_point() else a
            for a in ctx.args
        ]
        with _random_again(ctx.random), enable_grad():
            outputs = ctx.function(*inputs)
        outputs = outputs if isinstance(outputs, (tuple, list)) else (outputs,)
        pairs = [(o, g) for o, g in zip(outputs, gradients, strict=True) if isinstance(o, Tensor) and o.requires_grad]
        if pairs:
            run_backward([o for o, _ in pairs], [g for _, g in pairs])
        return (None, None, None, *(a.grad if isinstance(a, Tensor) else None for a in inputs))


@contextlib.contextmanager
def _random_again(random: Any) -> Iterator[None]:
    """Draw the numbers of the forward pass once more: from the generator's state then, or those that a trace noted."""
    trace = recorder()
    if random is None:
        yield
    elif isinstance(random, list):
        assert trace is not None
        with trace.repeating(random):
            yield
    else:
        with namespaces["random"]["fork_rng"]():
            namespaces["torch"]["set_rng_state"](random)
            yield


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    preserve_rng_state: bool = True,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    **kwargs: Any,
) -> Any:
    """`function(*args, **kwargs)`, of which nothing is kept but the arguments: its backward computes it again.

    Gradients go to the tensors among `args` and, with `use_reentrant=False`, also to what `function` closes over even if
    no argument requires grad. Random draws are repeated with `preserve_rng_state`. First derivatives only.
    """

    def call(*given: Any) -> Any:
        return function(*given, **kwargs)

    # Parameters inside `function` are no arguments: this one puts the call on the tape for them.
    anchor = namespaces["torch"]["zeros"](0, requires_grad=not use_reentrant)
    return CheckpointFunction.apply(call, preserve_rng_state, anchor, *args)


def checkpoint_sequential(
    functions: Any, segments: int, input: Any, use_reentrant: bool | None = None, **kwargs: Any
) -> Any:
    """A chain of modules cut into `segments` parts, of which all but the last are checkpointed."""
    chain: Sequence[Any] = list(functions.children()) if isinstance(functions, Sequential) else list(functions)
    size = len(chain) // segments

    def part(start: int, stop: int) -> Callable[[Any], Any]:
        def run(value: Any) -> Any:
            for function in chain[start:stop]:
                value = function(value)
            return value

        return run

    for start in range(0, size * (segments - 1), size):
        input = checkpoint(part(start, start + size), input, use_reentrant=use_reentrant, **kwargs)
    return part(size * (segments - 1), len(chain))(input)
