"""Averaged stochastic gradient descent."""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp

from ._options import check_options
from .optimizer import Number, ParamsT
from .rule import RuleOptimizer, decayed, picked, scaled

__all__ = ["ASGD"]


def asgd(param: Any, grad: Any, state: dict[str, Any], options: Any) -> Any:
    """One step, and the average of all parameters since `t0` (Polyak and Juditsky, 1992)."""
    state["step"] = step = state["step"] + 1
    t = step.astype(jnp.float64)
    grad = decayed(grad, param, options)
    eta, mu = state["eta"].astype(jnp.float64), state["mu"]
    param = scaled(param, 1 - options.lambd * eta) - scaled(grad, eta)
    average = state["ax"]
    state["ax"] = jnp.where(mu == 1, param, average + scaled(param - average, mu))
    state["eta"] = options.lr / (1 + options.lambd * options.lr * t) ** options.alpha
    state["mu"] = 1 / jnp.maximum(1.0, t - options.t0)
    return param


class ASGD(RuleOptimizer):
    """Gradient descent with a falling rate that also keeps an average, `state[p]["ax"]`. ValueError for bad options."""

    scalars: ClassVar[tuple[str, ...]] = ("lr", "lambd", "alpha", "t0", "weight_decay")
    shared: ClassVar[tuple[str, ...]] = ("step", "eta", "mu")
    captured: ClassVar[str] = "params, mus, etas, and state_steps"
    update: ClassVar[Any] = staticmethod(asgd)

    def __init__(
        self, params: ParamsT, lr: Number = 1e-2, lambd: float = 1e-4, alpha: float = 0.75, t0: float = 1e6,
        weight_decay: float = 0, foreach: bool | None = None, maximize: bool = False, differentiable: bool = False,
        capturable: bool = False,
    ) -> None:  # fmt: skip
        check_options(lr, weight_decay=weight_decay)
        names = "lr lambd alpha t0 weight_decay foreach maximize differentiable capturable"
        super().__init__(params, picked(locals(), names))

    def state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("ax",)

    def initial(self, name: str, group: dict[str, Any]) -> float:
        return {"eta": float(group["lr"]), "mu": 1.0}.get(name, 0.0)
