"""Adam."""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp

from ..core.tensor.tensor import Tensor
from ._moments import begun, moments
from ._options import check_options
from .optimizer import Number, ParamsT
from .rule import RuleOptimizer, picked, scaled

__all__ = ["Adam"]


def adam(param: Any, grad: Any, state: dict[str, Any], options: Any) -> Any:
    """One step of Adam (Kingma and Ba, 2015), AMSGrad (Reddi et al., 2018) and AdamW."""
    beta1, beta2 = options.betas
    param, grad, t = begun(param, grad, state, options)
    mean, square = moments(grad, state, options)
    if options.amsgrad:
        state["max_exp_avg_sq"] = square = jnp.maximum(state["max_exp_avg_sq"], square)
    root = jnp.sqrt(square) / jnp.sqrt(1 - beta2**t).astype(param.dtype) + options.eps.astype(param.dtype)
    return param - scaled(mean, options.lr / (1 - beta1**t)) / root


class Adam(RuleOptimizer):
    """Adam: steps scaled by running averages of the gradient and its square, corrected for their start at 0.

    `amsgrad` divides by the largest average so far; `decoupled_weight_decay` makes it AdamW. Raises ValueError for
    options out of range.
    """

    scalars: ClassVar[tuple[str, ...]] = ("lr", "betas", "eps", "weight_decay")
    flags: ClassVar[tuple[str, ...]] = ("amsgrad", "maximize", "decoupled_weight_decay")
    written: ClassVar[str] = "addcdiv_"
    update: ClassVar[Any] = staticmethod(adam)

    def __init__(
        self, params: ParamsT, lr: Number = 1e-3, betas: tuple[Number, Number] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 0, amsgrad: bool = False, *, foreach: bool | None = None, maximize: bool = False,
        capturable: bool = False, differentiable: bool = False, fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:  # fmt: skip
        check_options(lr, betas, eps=eps, weight_decay=weight_decay)
        if not any(all(isinstance(beta, kind) for beta in betas) for kind in (float, Tensor)):
            raise ValueError(f"betas must be either both floats or both Tensors (write 0.0 for 0; got {betas})")
        if foreach and not capturable:
            for name, value in (("lr", lr), ("betas[0]", betas[0]), ("betas[1]", betas[1])):
                if isinstance(value, Tensor):
                    raise ValueError(f"{name} as a Tensor is not supported for capturable=False and foreach=True")
        betas = betas[0], betas[1]
        names = "lr betas eps weight_decay amsgrad maximize foreach capturable differentiable fused"
        super().__init__(params, picked(locals(), names + " decoupled_weight_decay"))

    def state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        names = ("exp_avg", "exp_avg_sq")
        return (*names, "max_exp_avg_sq") if group["amsgrad"] else names
