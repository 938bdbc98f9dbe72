"""Modules as functions: ensembles of them, and what stands in the way of mapping them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..core.tensor.tensor import Tensor
from ..nn.modules.batchnorm import _BatchNorm
from ..nn.modules.module import Module
from ..nn.utils.stateless import call_with
from ..ops.shape.joining import stack


def functional_call(
    module: Module,
    parameter_and_buffer_dicts: Any,
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """`module(*args, **kwargs)` with the tensors of a dict (or several) in the places that its keys name.

    Tensors that the module holds under several names are replaced under all of them if `tie_weights` is set. With
    `strict`, RuntimeError if the keys are not exactly the module's parameters and buffers. The module is as before
    afterwards; buffers that the call replaced are put into the dict. ValueError if a key is given twice, AttributeError for
    a path that leads nowhere, TypeError for what is no tensor.
    """
    return call_with(module, parameter_and_buffer_dicts, args, kwargs, tie_weights, strict)


def stack_module_state(models: Sequence[Module]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The parameters and buffers of several models of one kind, each stacked in a new dimension 0.

    For `vmap` over `functional_call`. The stacked parameters are leaves that require grad if the models' did.
    RuntimeError for no models, for models of several classes or in several training modes.
    """
    if len(models) == 0:
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")
    every = "stack_module_state: Expected all models to"
    if len({m.training for m in models}) > 1:
        raise RuntimeError(f"{every} have the same training/eval mode. (Call train() or eval().)")
    if len({type(m) for m in models}) > 1:
        raise RuntimeError(
            f"{every} be of the same class. (They are " + ", ".join(sorted({type(m).__name__ for m in models})) + ".)"
        )
    params: list[dict[str, Tensor]] = [dict(m.named_parameters()) for m in models]
    buffers = [dict(m.named_buffers()) for m in models]
    return _stacked(params), _stacked(buffers)


def _stacked(states: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    made = {}
    for name in states[0]:
        tensors = [state[name] for state in states]
        wanting = {t.requires_grad for t in tensors}
        if len(wanting) > 1:
            raise RuntimeError(
                f"Expected {name} from each model to have the same .requires_grad (in stack_module_state)"
            )
        stacked = stack(tensors).detach()
        made[name] = stacked.requires_grad_() if wanting == {True} else stacked
    return made


def replace_all_batch_norm_modules_(root: Module) -> Module:
    """Turn off the running statistics of all batch normalizations in a module, in place, and return it."""
    for module in root.modules():
        if isinstance(module, _BatchNorm):
            module.running_mean = module.running_var = module.num_batches_tracked = None
            module.track_running_stats = False
    return root


def functionalize(func: Callable[..., Any], *, remove: str = "mutations") -> Callable[..., Any]:
    """`func` itself: values are immutable here, and writes in place are already new values."""
    if remove not in ("mutations", "mutations_and_views"):
        raise RuntimeError(
            f"functionalize(f, remove='mutations'): expected remove to be 'mutations' or 'mutations_and_views', got {remove}"
        )
    return func


__all__ = ["functional_call", "functionalize", "replace_all_batch_norm_modules_", "stack_module_state"]
