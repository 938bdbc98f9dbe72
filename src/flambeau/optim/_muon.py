"""Muon."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import jax.numpy as jnp
from jax import lax

from ..core.tensor.tensor import Tensor
from ._loading import check_option
from ._options import check_tensor_rate
from .optimizer import ParamsT
from .rule import RuleOptimizer, lerp, picked, scaled

__all__ = ["Muon"]

_RULES = ("original", "match_rms_adamw")


def _rounded(x: Any) -> Any:
    """The nearest bfloat16 number, in float32 (a cast and back is what XLA leaves out)."""
    return lax.reduce_precision(x.astype(jnp.float32), exponent_bits=8, mantissa_bits=7)


def _orthogonal(matrix: Any, coefficients: Any, eps: Any, steps: int) -> Any:
    """Nearly the closest matrix with orthonormal rows, by `steps` Newton-Schulz iterations in bfloat16 (Jordan, 2024)."""
    a, b, c = (x.astype(jnp.float32) for x in coefficients)
    x = _rounded(matrix)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    norm = _rounded(jnp.sqrt(jnp.sum(x * x)))
    x = _rounded(x / jnp.maximum(norm, _rounded(eps)))
    for _ in range(steps):
        gram = _rounded(x @ x.T)
        poly = _rounded(b * gram + c * (gram @ gram))
        x = _rounded(a * x + poly @ x)
    return x.T if tall else x


def muon(param: Any, grad: Any, state: dict[str, Any], options: Any) -> Any:
    """One step of Muon (Jordan, 2024; the scale "match_rms_adamw" is that of Liu et al., 2025)."""
    state["momentum_buffer"] = buffer = lerp(state["momentum_buffer"], grad, 1 - options.momentum)
    update = lerp(grad, buffer, options.momentum) if options.nesterov else buffer
    update = _orthogonal(update, options.ns_coefficients, options.eps, options.ns_steps[0])
    rows, columns = param.shape
    if options.adjust_lr_fn == "match_rms_adamw":
        ratio = 0.2 * math.sqrt(max(rows, columns))
    else:
        ratio = math.sqrt(max(1, rows / columns))
    if options.weight_decay is not None:
        param = scaled(param, 1 - options.lr * options.weight_decay)
    return param - scaled(update.astype(param.dtype), options.lr * ratio)


class Muon(RuleOptimizer):
    """Momentum made orthogonal, for the matrices of hidden layers; give other parameters to AdamW.

    Raises ValueError for parameters that are no matrices and options out of range, RuntimeError for complex parameters.
    """

    scalars: ClassVar[Any] = ("lr", "weight_decay", "momentum", "ns_coefficients", "eps")
    flags: ClassVar[Any] = ("nesterov", "ns_steps", "adjust_lr_fn")
    whole: ClassVar[Any] = ("ns_steps",)
    shared: ClassVar[Any] = ()
    elementwise = False
    sorts = True
    decays_apart: ClassVar[bool] = True
    update: ClassVar[Any] = staticmethod(muon)

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        check_tensor_rate(lr)
        for name, value in (("Learning rate", lr), ("momentum", momentum), ("weight decay", weight_decay)):
            if not value >= 0.0:
                raise ValueError(f"{name} should be >= 0 but is: {value}")
        if adjust_lr_fn is not None and adjust_lr_fn not in _RULES:
            what = "Adjust learning rate function"
            raise ValueError(f"{what} {adjust_lr_fn} is not supported: only {' and '.join(_RULES)} are")
        names = "lr weight_decay momentum nesterov ns_coefficients eps ns_steps adjust_lr_fn"
        super().__init__(params, picked(locals(), names))
        for group in self.param_groups:
            for param in group["params"]:
                if param.ndim != 2:
                    raise ValueError(
                        f"{type(self).__name__} only supports 2D parameters whereas we found a parameter with size: {param.shape}"
                    )

    def state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("momentum_buffer",)

    def kind(self, param: Tensor, group: dict[str, Any]) -> Any:
        if param.dtype.is_complex:
            raise RuntimeError("Muon does not support complex parameters")
        if param.ndim != 2:
            raise ValueError(f"Param gradient must be a 2D matrix, but got the shape {list(param.shape)}")
        return "matrix"

    def option(self, name: str, value: Any, kind: Any) -> Any:
        """The number of iterations is built into the program."""
        if name == "ns_coefficients" and len(value) != 3:
            raise ValueError(f"Coefficients must be a tuple of exactly 3 values, but got {value}")
        if name == "eps":
            check_option(name, value, 0.0)  # one number
        if name != "ns_steps":
            return value
        if value >= 100:
            raise ValueError(f"Number of steps must be less than 100 for computational efficiency, but got {value}")
        return (int(value),)
