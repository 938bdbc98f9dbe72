"""Adamax."""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp

from ._options import check_options
from .optimizer import Number, ParamsT
from .rule import RuleOptimizer, decayed, lerp, picked, scaled

__all__ = ["Adamax"]


def adamax(param: Any, grad: Any, state: dict[str, Any], options: Any) -> Any:
    """One step of Adamax (Kingma and Ba, 2015, section 7.1)."""
    beta1, beta2 = options.betas
    state["step"] = step = state["step"] + 1
    grad = decayed(grad, param, options)
    state["exp_avg"] = mean = lerp(state["exp_avg"], grad, 1 - beta1)
    size = jnp.abs(grad) + options.eps.astype(param.dtype)
    state["exp_inf"] = largest = jnp.maximum(scaled(state["exp_inf"], beta2), size)
    return param - scaled(mean, options.lr / (1 - beta1 ** step.astype(jnp.float64))) / largest


class Adamax(RuleOptimizer):
    """Adam with the largest gradient, decaying, in place of the mean square. ValueError for options out of range."""

    scalars: ClassVar[tuple[str, ...]] = ("lr", "betas", "eps", "weight_decay")
    written: ClassVar[str] = "addcdiv_"
    update: ClassVar[Any] = staticmethod(adamax)

    def __init__(
        self, params: ParamsT, lr: Number = 2e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 0, foreach: bool | None = None, *, maximize: bool = False, differentiable: bool = False,
        capturable: bool = False,
    ) -> None:  # fmt: skip
        check_options(lr, betas, eps=eps, weight_decay=weight_decay)
        names = "lr betas eps weight_decay foreach maximize differentiable capturable"
        super().__init__(params, picked(locals(), names))

    def state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("exp_avg", "exp_inf")
