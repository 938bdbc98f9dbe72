"""Adagrad."""

from __future__ import annotations

import functools
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from ..core.dispatch.messages import message
from ..core.tensor.donation import overwrite
from ..core.tensor.tensor import Tensor
from ._options import check_options
from .optimizer import Number, ParamsT
from .rule import RuleOptimizer, decayed, picked, scaled
from .sparse_adam import at_places, named_rows, put_places, summed

__all__ = ["Adagrad"]


def adagrad(param: Any, grad: Any, state: dict[str, Any], options: Any) -> Any:
    """One step of Adagrad (Duchi et al., 2011)."""
    state["step"] = step = state["step"] + 1
    grad = decayed(grad, param, options)
    state["sum"] = total = state["sum"] + grad * grad
    rate = options.lr / (1 + (step.astype(jnp.float64) - 1) * options.lr_decay)
    return param - scaled(grad, rate) / (jnp.sqrt(total) + options.eps.astype(param.dtype))


@functools.partial(jax.jit, donate_argnums=(0, 1))
def _sparse_step(param: Any, total: Any, rows: Any, options: Any) -> tuple[Any, Any]:
    """The same for the places that a sparse gradient names."""
    places, groups, values = rows
    rate, eps, sign = (options[i].astype(param.dtype) for i in range(3))
    grad = summed(values, groups).astype(param.dtype) * sign
    squares = at_places(total, places) + grad * grad
    moved = at_places(param, places) - rate * (grad / (jnp.sqrt(squares) + eps))
    return put_places(param, places, moved), put_places(total, places, squares)


class Adagrad(RuleOptimizer):
    """Steps divided by the root of the sum of all squared gradients. Raises ValueError for options out of range."""

    scalars: ClassVar[tuple[str, ...]] = ("lr", "lr_decay", "eps", "weight_decay")
    written: ClassVar[str] = "addcdiv_"
    update: ClassVar[Any] = staticmethod(adagrad)

    def __init__(
        self,
        params: ParamsT,
        lr: Number = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_options(
            lr,
            lr_decay=lr_decay,
            weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value,
            eps=eps,
        )
        names = "lr lr_decay eps weight_decay initial_accumulator_value foreach maximize differentiable fused"
        super().__init__(params, picked(locals(), names))
        for group in self.param_groups:  # Adagrad's state is there from the start
            self._complete(group["params"], group, self.state_names(group))

    def state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("sum",)

    def initial(self, name: str, group: dict[str, Any]) -> float:
        return group["initial_accumulator_value"] if name == "sum" else 0.0

    def _check_sparse(self, group: dict[str, Any]) -> None:
        if group.get("fused"):
            raise RuntimeError(message("adagrad_fused_sparse"))
        if group["weight_decay"] != 0:
            raise RuntimeError("weight_decay option is not compatible with sparse gradients")

    def _step_sparse(self, group: dict[str, Any], param: Tensor) -> None:
        own = self.state[param]
        own["step"] += 1
        rate = float(group["lr"]) / (1 + (own["step"].item() - 1) * group["lr_decay"])
        options = np.array([rate, group["eps"], -1.0 if group["maximize"] else 1.0], np.float64)
        rows = named_rows(param.grad)  # type: ignore[arg-type]
        overwrite(_sparse_step, (param, own["sum"]), rows, options)
