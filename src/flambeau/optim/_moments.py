"""What Adam and its kin begin with: running averages of the gradient and of its square (Kingma and Ba, 2015)."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from .rule import decayed, lerp, scaled, shrunk


def begun(param: Any, grad: Any, state: dict[str, Any], options: Any) -> tuple[Any, Any, Any]:
    """Count the step; the parameter and the gradient after weight decay, and the step's number in 64 bits."""
    state["step"] = step = state["step"] + 1
    return shrunk(param, options), decayed(grad, param, options), step.astype(jnp.float64)


def moments(grad: Any, state: dict[str, Any], options: Any) -> tuple[Any, Any]:
    """Move both averages on by a gradient."""
    beta1, beta2 = options.betas
    state["exp_avg"] = mean = lerp(state["exp_avg"], grad, 1 - beta1)
    state["exp_avg_sq"] = square = scaled(state["exp_avg_sq"], beta2) + scaled(grad * grad, 1 - beta2)
    return mean, square
