"""Adadelta."""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp

from ._options import check_options
from .optimizer import Number, ParamsT
from .rule import RuleOptimizer, decayed, picked, scaled

__all__ = ["Adadelta"]


def adadelta(param: Any, grad: Any, state: dict[str, Any], options: Any) -> Any:
    """One step of Adadelta (Zeiler, 2012)."""
    state["step"] = state["step"] + 1
    grad = decayed(grad, param, options)
    eps = options.eps.astype(param.dtype)
    state["square_avg"] = square = scaled(state["square_avg"], options.rho) + scaled(grad * grad, 1 - options.rho)
    delta = jnp.sqrt(state["acc_delta"] + eps) / jnp.sqrt(square + eps) * grad
    state["acc_delta"] = scaled(state["acc_delta"], options.rho) + scaled(delta * delta, 1 - options.rho)
    return param - scaled(delta, options.lr)


class Adadelta(RuleOptimizer):
    """Steps in units of the past steps' size. Raises ValueError for options out of range."""

    scalars: ClassVar[tuple[str, ...]] = ("lr", "rho", "eps", "weight_decay")
    captured_on_xla: ClassVar[bool | None] = False
    update: ClassVar[Any] = staticmethod(adadelta)

    def __init__(
        self,
        params: ParamsT,
        lr: Number = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_options(lr, rho=rho, eps=eps, weight_decay=weight_decay)
        if rho > 1.0:
            raise ValueError(f"Invalid rho value: {rho}")
        names = "lr rho eps weight_decay maximize capturable foreach differentiable"
        super().__init__(params, picked(locals(), names))

    def state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("square_avg", "acc_delta")
