"""Adafactor."""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp

from ..core.array import dtypes
from ..core.tensor.tensor import Tensor
from ._options import check_tensor_rate
from .optimizer import Number, ParamsT
from .rule import RuleOptimizer, lerp, picked, scaled

__all__ = ["Adafactor"]


def _root_mean_square(x: Any) -> Any:
    return jnp.sqrt(jnp.mean(x * x)) if x.size else jnp.zeros((), x.dtype)


def adafactor(param: Any, grad: Any, state: dict[str, Any], options: Any) -> Any:
    """One step of Adafactor (Shazeer and Stern, 2018), as PyTorch's documentation of `torch.optim.Adafactor` has it."""
    least, floor = options.eps
    state["step"] = step = state["step"] + 1
    t = step.astype(jnp.float64)
    grad = -grad if options.maximize else grad
    weight = t**options.beta2_decay  # of the new square in the average
    size = jnp.maximum(floor.astype(param.dtype), _root_mean_square(param))
    size = size * jnp.minimum(options.lr, 1 / jnp.sqrt(t)).astype(param.dtype)
    if options.weight_decay is not None:
        param = scaled(param, 1 - options.lr * options.weight_decay)
    square = grad * grad
    if "row_var" in state:
        state["row_var"] = rows = lerp(state["row_var"], square.mean(-1, keepdims=True), weight)
        state["col_var"] = columns = lerp(state["col_var"], square.mean(-2, keepdims=True), weight)
        mean = jnp.maximum(rows.mean(-2, keepdims=True), least.astype(param.dtype))
        variance = rows * columns / mean
    else:
        state["variance"] = variance = lerp(state["variance"], square, weight)
    update = grad / jnp.sqrt(jnp.maximum(variance, (least * least).astype(param.dtype)))
    clipped = jnp.maximum(1.0, _root_mean_square(update) / options.d.astype(param.dtype))
    return param - update * (size / clipped)


class Adafactor(RuleOptimizer):
    """Adam's second moment of a matrix kept as the means of its rows and columns, and steps relative to the weights.

    Parameters of more than one dimension keep `row_var` and `col_var`, others `variance`. `eps=(None, ...)` takes the
    dtype's machine epsilon. Raises ValueError for options out of range, RuntimeError for complex parameters.
    """

    scalars: ClassVar[Any] = ("lr", "beta2_decay", "eps", "d", "weight_decay")
    elementwise = False
    sorts = True
    decays_apart: ClassVar[bool] = True
    update: ClassVar[Any] = staticmethod(adafactor)

    def __init__(
        self,
        params: ParamsT,
        lr: Number = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        check_tensor_rate(lr)
        for name, value, bound, fits in (
            ("Learning rate", lr, ">= 0", lr >= 0.0),
            ("beta2_decay", beta2_decay, "<= 0", beta2_decay <= 0.0),
            ("epsilon1", eps[0], ">= 0", eps[0] is None or eps[0] >= 0.0),
            ("epsilon2", eps[1], ">= 0", eps[1] >= 0.0),
            ("Clipping threshold d", d, ">= 1", d >= 1.0),
            ("weight_decay", weight_decay, ">= 0", weight_decay >= 0.0),
        ):
            if not fits:
                raise ValueError(f"{name} should be {bound} but is: {value}")
        super().__init__(params, picked(locals(), "lr beta2_decay eps d weight_decay foreach maximize"))

    def state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("row_var", "col_var")

    def kind(self, param: Tensor, group: dict[str, Any]) -> Any:
        if param.dtype.is_complex:
            raise RuntimeError("Adafactor does not support complex parameters")
        return param.dtype, param.ndim > 1

    def names_of(self, kind: Any, group: dict[str, Any]) -> tuple[str, ...]:
        return ("row_var", "col_var") if kind[1] else ("variance",)

    def state_shape(self, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        if name == "row_var":
            return (*shape[:-1], 1)
        return (*shape[:-2], 1, shape[-1]) if name == "col_var" else shape

    def option(self, name: str, value: Any, kind: Any) -> Any:
        """Without an epsilon, what the dtype can tell from 1."""
        if name == "eps" and value[0] is None:
            return (dtypes.finfo(kind[0]).eps, value[1])
        return value
