"""NAdam."""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp

from ._moments import begun, moments
from ._options import check_options
from .optimizer import Number, ParamsT
from .rule import RuleOptimizer, picked, scaled

__all__ = ["NAdam"]


def nadam(param: Any, grad: Any, state: dict[str, Any], options: Any) -> Any:
    """One step of Adam with Nesterov's momentum (Dozat, 2016)."""
    beta1, beta2 = options.betas
    param, grad, t = begun(param, grad, state, options)
    now = beta1 * (1.0 - 0.5 * 0.96 ** (t * options.momentum_decay))
    then = beta1 * (1.0 - 0.5 * 0.96 ** ((t + 1) * options.momentum_decay))
    state["mu_product"] = scaled(state["mu_product"], now)
    product = state["mu_product"].astype(jnp.float64)
    mean, square = moments(grad, state, options)
    root = jnp.sqrt(square / (1 - beta2**t).astype(param.dtype)) + options.eps.astype(param.dtype)
    param = param + scaled(grad, -options.lr * (1.0 - now) / (1.0 - product)) / root
    return param + scaled(mean, -options.lr * then / (1.0 - product * then)) / root


class NAdam(RuleOptimizer):
    """Adam with Nesterov's momentum, whose factor grows as `momentum_decay` says. ValueError for bad options."""

    scalars: ClassVar[tuple[str, ...]] = ("lr", "betas", "eps", "weight_decay", "momentum_decay")
    flags: ClassVar[tuple[str, ...]] = ("maximize", "decoupled_weight_decay")
    shared: ClassVar[tuple[str, ...]] = ("step", "mu_product")
    captured: ClassVar[str] = "params, mu_products and state_steps"
    written: ClassVar[str] = "addcdiv_"
    update: ClassVar[Any] = staticmethod(nadam)

    def __init__(
        self, params: ParamsT, lr: Number = 2e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 0, momentum_decay: float = 4e-3, decoupled_weight_decay: bool = False, *,
        foreach: bool | None = None, maximize: bool = False, capturable: bool = False, differentiable: bool = False,
    ) -> None:  # fmt: skip
        check_options(lr, betas, eps=eps, weight_decay=weight_decay, momentum_decay=momentum_decay)
        names = "lr betas eps weight_decay momentum_decay decoupled_weight_decay maximize foreach"
        super().__init__(params, picked(locals(), names + " capturable differentiable"))

    def state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq")

    def initial(self, name: str, group: dict[str, Any]) -> float:
        return 1.0 if name == "mu_product" else 0.0
