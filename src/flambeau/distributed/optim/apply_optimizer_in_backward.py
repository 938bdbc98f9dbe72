"""Optimizers that step inside `backward()`, as soon as a parameter has its gradient, which is dropped then."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...core.tensor.tensor import Tensor
from ...nn.modules.module import Module
from ...optim import Optimizer

__all__: list[str] = []


def _apply_optimizer_in_backward(
    optimizer_class: type[Optimizer],
    params: Iterable[Tensor],
    optimizer_kwargs: dict[str, Any],
    register_hook: bool = True,
) -> None:
    """Give each parameter an optimizer of its own, which steps when its gradient is there; the gradient is None after it.

    A parameter with several takes their steps in turn. Without `register_hook` they are made only, as `_in_backward_optimizers`.
    """
    for param in params:
        found: Any = param
        first = not hasattr(found, "_in_backward_optimizers")
        if first:
            found._in_backward_optimizers, found._optimizer_classes, found._optimizer_kwargs = [], [], []
        found._optimizer_classes.append(optimizer_class)
        found._optimizer_kwargs.append(optimizer_kwargs)
        found._in_backward_optimizers.append(optimizer_class([param], **optimizer_kwargs))  # type: ignore[call-arg]
        if register_hook and not getattr(found, "_steps_in_backward", False):
            found._steps_in_backward = True
            param.register_post_accumulate_grad_hook(_step)


def _step(param: Any) -> None:
    for optimizer in param._in_backward_optimizers:
        optimizer.step()
    param.grad = None


def _get_in_backward_optimizers(module: Module) -> list[Optimizer]:
    """The optimizers that the module's parameters have by `_apply_optimizer_in_backward`."""
    return [one for param in module.parameters() for one in getattr(param, "_in_backward_optimizers", ())]
