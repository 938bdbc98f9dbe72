"""`jax_function`: a module as a pure function of arrays, for code that lives in JAX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..core.context.grad_mode import no_grad, state
from ..core.context.transforms import TransformedCall
from ..core.dispatch.help import explain_functions as _explain_functions
from ..core.tensor import tree
from ..core.tensor.tensor import Tensor, wrap
from ..nn.modules.module import Module
from ..nn.utils.stateless import call_with


class PureCall(TransformedCall):
    """What the core asks while a module runs as a pure function (see `grad_mode.state.transforms`)."""

    differentiates = True

    def __init__(self) -> None:
        self.before: dict[Any, tuple[Any, int]] = {}  # storages that were written to -> their values

    def before_write(self, tensor: Tensor) -> None:
        self.before.setdefault(tensor._storage, (tensor._storage.value, tensor._storage.version))

    def before_grad(self, leaf: Tensor, array: Any) -> None:
        raise RuntimeError("a pure function has no .grad: use jax.grad on what jax_function returns")

    def host_value(self, draw: Callable[[], Any]) -> Any:
        raise RuntimeError(
            "this module draws random numbers, which a pure function would repeat at each call: call model.eval() first, "
            "or draw them with jax.random and pass them in"
        )

    def apply(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        raise RuntimeError(
            f"JAX does not know the backward of the autograd.Function {function.__name__}: write it with operators, or as a "
            "jax.custom_vjp function of arrays"
        )

    def concrete(self, array: Any) -> Any:
        return array

    def restore(self) -> None:
        for storage, (value, _) in self.before.items():
            storage.set(value)


def jax_function(model: Module, return_buffers: bool = False) -> tuple[Callable[..., Any], dict[str, jax.Array]]:
    """`(f, params)`: `f(params, *args, **kwargs)` is `model(*args, **kwargs)` on JAX arrays, for jit, grad and vmap.

    `params` holds the arrays of all parameters and buffers by name (`f.buffer_names` tells which are buffers). The
    module's mode, and everything else about it, is as it is at the time of a call (under `jax.jit`: of a trace). With
    `return_buffers`, the result is `(outputs, buffers)`, the buffers as the call has left them; without it, what is
    written to buffers is forgotten. Tensors in the result are arrays.

    RuntimeError if the module draws random numbers, calls backward or uses an autograd.Function: none of them is pure.
    """
    if not isinstance(model, Module):
        raise TypeError(f"jax_function expects a module, got {type(model).__name__}")
    buffers = tuple(name for name, _ in model.named_buffers())
    params = {name: tensor._array for name, tensor in (*model.named_parameters(), *model.named_buffers())}

    def f(params: dict[str, Any], /, *args: Any, **kwargs: Any) -> Any:
        tensors = {name: wrap(jnp.asarray(value)) for name, value in params.items()}
        unknown = tensors.keys() - known
        if unknown or len(tensors) < len(known):
            wrong = f"unknown {sorted(unknown)}" if unknown else f"missing {sorted(known - tensors.keys())}"
            raise KeyError(f"jax_function: params should have the module's names; {wrong}")
        args, kwargs = jax.tree_util.tree_map(_tensor, (args, kwargs))
        call = PureCall()
        previous, state.transforms = state.transforms, call
        try:
            with no_grad():
                out = call_with(model, tensors, args, kwargs, tie_weights=True, strict=False)
            leaves, spec = tree.flatten(out)
            made = tree.unflatten(list(map(_array, leaves)), spec)
            left = {name: tensors[name]._array for name in buffers}
        finally:
            state.transforms = previous
            call.restore()
        return (made, left) if return_buffers else made

    known = params.keys()
    f.__name__ = type(model).__name__
    f.buffer_names = buffers  # type: ignore[attr-defined]
    return f, params


def _tensor(value: Any) -> Any:
    return wrap(jnp.asarray(value)) if isinstance(value, (jax.Array, np.ndarray)) else value


def _array(value: Any) -> Any:
    return value._array if isinstance(value, Tensor) else value


_explain_functions([jax_function], "torch")
