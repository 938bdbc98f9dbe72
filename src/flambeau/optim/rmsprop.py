"""RMSprop."""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp

from ._options import check_options
from .optimizer import Number, ParamsT
from .rule import RuleOptimizer, decayed, lerp, picked, scaled

__all__ = ["RMSprop"]


def rmsprop(param: Any, grad: Any, state: dict[str, Any], options: Any) -> Any:
    """One step of RMSprop (Hinton's lecture 6), centered as in Graves (2013)."""
    state["step"] = state["step"] + 1
    grad = decayed(grad, param, options)
    state["square_avg"] = square = scaled(state["square_avg"], options.alpha) + scaled(grad * grad, 1 - options.alpha)
    if options.centered:
        state["grad_avg"] = mean = lerp(state["grad_avg"], grad, 1 - options.alpha)
        square = square - mean * mean
    root = jnp.sqrt(square) + options.eps.astype(param.dtype)
    if options.momentum is None:
        return param - scaled(grad, options.lr) / root
    state["momentum_buffer"] = buffer = scaled(state["momentum_buffer"], options.momentum) + grad / root
    return param - scaled(buffer, options.lr)


class RMSprop(RuleOptimizer):
    """Steps divided by a running root mean square of the gradient; by its deviation with `centered`.

    Raises ValueError for options out of range.
    """

    scalars: ClassVar[tuple[str, ...]] = ("lr", "alpha", "eps", "weight_decay", "momentum")
    optional: ClassVar[tuple[str, ...]] = ("weight_decay", "momentum")
    flags: ClassVar[tuple[str, ...]] = ("centered", "maximize")
    captured_on_xla: ClassVar[bool | None] = True
    update: ClassVar[Any] = staticmethod(rmsprop)

    def __init__(
        self,
        params: ParamsT,
        lr: Number = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_options(lr, eps=eps, momentum=momentum, weight_decay=weight_decay, alpha=alpha)
        names = "lr momentum alpha eps centered weight_decay capturable foreach maximize differentiable"
        super().__init__(params, picked(locals(), names))

    def written_by(self, group: dict[str, Any]) -> str:
        return "add_" if group["momentum"] > 0 else "addcdiv_"

    def state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        names = ["square_avg"]
        if group["momentum"] != 0:
            names.append("momentum_buffer")
        if group["centered"]:
            names.append("grad_avg")
        return tuple(names)
