"""RAdam."""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp

from ._moments import begun, moments
from ._options import check_options
from .optimizer import Number, ParamsT
from .rule import RuleOptimizer, picked, scaled

__all__ = ["RAdam"]


def radam(param: Any, grad: Any, state: dict[str, Any], options: Any) -> Any:
    """One step of rectified Adam (Liu et al., 2020)."""
    beta1, beta2 = options.betas
    param, grad, t = begun(param, grad, state, options)
    mean, square = moments(grad, state, options)
    correction2 = 1 - beta2**t
    limit = 2 / (1 - beta2) - 1
    length = limit - 2 * t * beta2**t / correction2  # of the average that the variance is known from
    rectified = length > 5
    length = jnp.where(rectified, length, limit)  # keeps the root below real
    rectifier = jnp.sqrt((length - 4) * (length - 2) * limit / ((limit - 4) * (limit - 2) * length))
    adaptive = jnp.sqrt(correction2).astype(param.dtype) / (jnp.sqrt(square) + options.eps.astype(param.dtype))
    direction = scaled(mean / (1 - beta1**t).astype(param.dtype), options.lr)
    return param - jnp.where(rectified, scaled(direction * adaptive, rectifier), direction)


class RAdam(RuleOptimizer):
    """Adam that leaves the gradient's square aside until it is known well enough. ValueError for bad options."""

    scalars: ClassVar[tuple[str, ...]] = ("lr", "betas", "eps", "weight_decay")
    flags: ClassVar[tuple[str, ...]] = ("maximize", "decoupled_weight_decay")
    update: ClassVar[Any] = staticmethod(radam)

    def __init__(
        self, params: ParamsT, lr: Number = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 0, decoupled_weight_decay: bool = False, *, foreach: bool | None = None,
        maximize: bool = False, capturable: bool = False, differentiable: bool = False,
    ) -> None:  # fmt: skip
        check_options(lr, betas, eps=eps, weight_decay=weight_decay)
        names = "lr betas eps weight_decay maximize foreach capturable decoupled_weight_decay differentiable"
        super().__init__(params, picked(locals(), names))

    def state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq")
