"""Stochastic gradient descent."""

from __future__ import annotations

import functools
from typing import Any, ClassVar

import jax
import numpy as np
from jax import lax

from ..core.context.tracing import recorder
from ..core.tensor.donation import overwrite
from ..core.tensor.sparse import is_sparse
from ..core.tensor.tensor import Tensor
from ._options import check_options
from .optimizer import Number, ParamsT
from .rule import RuleOptimizer, decayed, picked, scaled
from .sparse_adam import all_rows

__all__ = ["SGD"]


def sgd(param: Any, grad: Any, state: dict[str, Any], options: Any) -> Any:
    """One step. The momentum is Sutskever et al. (2013), with the learning rate outside of the buffer."""
    grad = decayed(grad, param, options)
    if options.momentum is not None:
        buffer = scaled(state["momentum_buffer"], options.momentum) + scaled(grad, 1 - options.dampening)
        state["momentum_buffer"] = buffer
        grad = grad + scaled(buffer, options.momentum) if options.nesterov else buffer
    return param - scaled(grad, options.lr)


def first_of_sgd(param: Any, grad: Any, state: dict[str, Any], options: Any) -> Any:
    """The step that begins the momentum, with the gradient undamped; the tape does not follow it into the buffer."""
    grad = decayed(grad, param, options)
    state["momentum_buffer"] = buffer = lax.stop_gradient(grad)
    return param - scaled(grad + scaled(buffer, options.momentum) if options.nesterov else buffer, options.lr)


@functools.partial(jax.jit, donate_argnums=(0,))
def _sparse_step(param: Any, rows: Any, factor: Any) -> tuple[Any]:
    """`factor` times the values that a sparse gradient stores, added at their places."""
    places, values = rows
    return (param.at[tuple(places)].add(values * factor.astype(param.dtype), mode="drop"),)


class SGD(RuleOptimizer):
    """Stochastic gradient descent, with momentum, Nesterov's momentum and weight decay if asked for.

    The first gradient enters the momentum undamped. Raises ValueError for options out of range, or `nesterov` without
    momentum or with dampening.
    """

    scalars: ClassVar[tuple[str, ...]] = ("lr", "momentum", "dampening", "weight_decay")
    optional: ClassVar[tuple[str, ...]] = ("momentum", "weight_decay")
    flags: ClassVar[tuple[str, ...]] = ("nesterov", "maximize")
    shared: ClassVar[tuple[str, ...]] = ()
    late = True
    sorts = True
    foreach_recorded = True
    update: ClassVar[Any] = staticmethod(sgd)

    def __init__(
        self,
        params: ParamsT,
        lr: Number = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: Number = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_options(lr, momentum=momentum, weight_decay=weight_decay, takes_nan=True)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        names = "lr momentum dampening weight_decay nesterov maximize foreach differentiable fused"
        super().__init__(params, picked(locals(), names))

    def state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("momentum_buffer",) if group["momentum"] != 0 else ()

    def kind(self, param: Tensor, group: dict[str, Any]) -> Any:
        if group["momentum"] == 0 or not (group["dampening"] or self.defaults.get("differentiable")):
            return None
        return "first" if self.state.get(param, {}).get("momentum_buffer") is None else None

    def rule(self, kind: Any) -> Any:
        return sgd if kind is None else first_of_sgd

    def _step_batch(self, index: int, group: dict[str, Any], params: list[Tensor], kind: Any = None) -> None:
        if kind is not None and (trace := recorder()) is not None:
            trace.begun.once = True
        if group["momentum"] != 0:
            for param in params:
                if (own := self.state.get(param)) and own.get("momentum_buffer", own) is None:
                    del own["momentum_buffer"]  # None is one that is not there yet
        super()._step_batch(index, group, params, kind)

    def _check_sparse(self, group: dict[str, Any]) -> None:
        if group.get("fused"):
            raise RuntimeError("`_fused_sgd` does not support sparse gradients")

    def _step_sparse(self, group: dict[str, Any], param: Tensor) -> None:
        grad: Any = -param.grad if group["maximize"] else param.grad  # type: ignore[operator]
        if group["weight_decay"] != 0:
            grad = grad.add(param, alpha=group["weight_decay"])
        if group["momentum"] != 0:
            own = self.state[param]
            if own.get("momentum_buffer") is None:
                own["momentum_buffer"] = buffer = grad.detach().clone()
            else:
                buffer = own["momentum_buffer"].mul_(group["momentum"]).add_(grad, alpha=1 - group["dampening"])
            grad = grad.add(buffer, alpha=group["momentum"]) if group["nesterov"] else buffer
        if is_sparse(grad) and not is_sparse(param) and grad.dtype is param.dtype:
            overwrite(_sparse_step, (param,), all_rows(grad), np.float64(-float(group["lr"])))
        else:
            param.add_(grad, alpha=-float(group["lr"]))
