"""Resilient backpropagation."""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp

from ._options import check_options
from .optimizer import Number, ParamsT
from .rule import RuleOptimizer, picked

__all__ = ["Rprop"]


def rprop(param: Any, grad: Any, state: dict[str, Any], options: Any) -> Any:
    """One step of Rprop (Riedmiller and Braun, 1993), without going back where the sign has changed."""
    state["step"] = state["step"] + 1
    if options.maximize:
        grad = -grad
    shrink, grow = (x.astype(param.dtype) for x in options.etas)
    low, high = (x.astype(param.dtype) for x in options.step_sizes)
    agreement = grad * state["prev"]
    factor = jnp.where(agreement > 0, grow, jnp.where(agreement < 0, shrink, 1))
    state["step_size"] = size = jnp.clip(state["step_size"] * factor, low, high)
    state["prev"] = grad = jnp.where(agreement < 0, 0, grad)
    return param - jnp.sign(grad) * size


class Rprop(RuleOptimizer):
    """Steps by the gradient's sign alone, each weight with a size of its own. Raises ValueError for bad options."""

    scalars: ClassVar[tuple[str, ...]] = ("etas", "step_sizes")
    optional: ClassVar[tuple[str, ...]] = ()
    captured_on_xla: ClassVar[bool | None] = True
    written: ClassVar[str] = "addcmul_"
    update: ClassVar[Any] = staticmethod(rprop)

    def __init__(
        self,
        params: ParamsT,
        lr: Number = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_options(lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        super().__init__(params, picked(locals(), "lr etas step_sizes foreach maximize differentiable capturable"))

    def state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("prev", "step_size")

    def initial(self, name: str, group: dict[str, Any]) -> float:
        return float(group["lr"]) if name == "step_size" else 0.0
