"""Losses of regression: distances of numbers from targets, and of counts and numbers with a variance from their laws."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ...core.array.dtypes import can_cast, from_numpy
from ...core.dispatch.errors import broadcast_clash
from ...core.dispatch.operator import Array, composite, operator
from ...core.dispatch.promotion import promoted
from ..elementwise.arithmetic import modulus
from ..reduce.reduction import dtype_of_mean
from ..support.checks import (
    BOOL,
    COMPLEX,
    FLOAT,
    category,
    demand,
    refuse,
    refuse_masks,
    require_floating,
    scalar_name,
    type_name,
    wide,
)
from ..support.losses import REDUCTIONS, by_reduction, is_zero, loss, reduced
from ..support.steps import Steps

_FUNCTIONAL = ("nn.functional",)


def _weighted(losses: jax.Array, weight: jax.Array | None, reduction: str) -> jax.Array:
    """Reduce; with weights, the mean is the weighted one."""
    if weight is None:
        return reduced(losses, reduction)
    if weight.shape != losses.shape:
        raise ValueError(f"Weights and input must have the same size, but got {weight.shape} and {losses.shape}")
    if category(losses) != COMPLEX:
        weight = weight.real  # made complex along with complex inputs, whose distances are real
    if reduction == "mean":
        return jnp.sum(losses * weight) / jnp.sum(weight)
    return reduced(losses * weight, reduction)


def _unless_weighted(plain: Any, mean: str = "DivBackward0") -> Any:
    """The printed name of a loss: PyTorch weights the losses in a step of its own."""
    weighted = by_reduction("MulBackward0", mean)

    def name(arrays: list[Any], statics: dict[str, Any]) -> str:
        if "weight" not in statics:  # it is an array
            return weighted(arrays, statics)
        return plain if isinstance(plain, str) else plain(arrays, statics)

    return name


@loss(grad=_unless_weighted("MseLossBackward0"), same_sizes=True, autocast="float32")
def mse_loss(
    input: Array, target: Array, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean", weight: Array | None = None,
) -> Array:  # fmt: skip
    """(x - y)^2"""
    require_floating("mse_cpu", input)
    return _weighted(jnp.square(input - target), weight, reduction)


@loss(grad=_unless_weighted(by_reduction("AbsBackward0")), same_sizes=True, check=refuse_masks, autocast="float32")
def l1_loss(
    input: Array, target: Array, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean", weight: Array | None = None,
) -> Array:  # fmt: skip
    """|x - y|"""
    if reduction == "mean":
        dtype_of_mean(input)
    return _weighted(modulus(input - target), weight, reduction)


def _below(distance: jax.Array, bound: Any) -> jax.Array:
    """The distances below a bound, and nan; 0 for the others, whose square would be nan in the gradient where they are infinite."""
    return jnp.where(distance >= bound, jnp.zeros((), distance.dtype), distance)


def _smooth_name(arrays: list[Any], statics: dict[str, Any]) -> str:
    return "SmoothL1LossBackward0" if statics.get("beta", True) else by_reduction("AbsBackward0")(arrays, statics)


def _check_beta(*given: Any) -> None:
    if not given[-1] >= 0:
        raise RuntimeError(f"smooth_l1_loss does not support negative values for beta. (got {given[-1]})")


@loss(grad=_smooth_name, same_sizes=True, options=_check_beta, autocast="float32")
def smooth_l1_loss(
    input: Array, target: Array, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean", beta: float = 1.0,
) -> Array:  # fmt: skip
    """(x - y)^2 / (2 beta) where |x - y| < beta, else |x - y| - beta / 2"""
    require_floating("smooth_l1_cpu", input)
    if input.dtype == jnp.bfloat16:  # PyTorch rounds the steps of float16 alone, and in huber_loss those of bfloat16
        distance = modulus(wide(input) - wide(target))
    else:
        distance = modulus(input - target)
    if not is_zero(beta):
        safe = jnp.where(beta == 0, 1, beta)  # 0 / 0 in the branch that is not taken would be in the gradient
        distance = jnp.where(distance >= beta, distance - beta / 2, jnp.square(_below(distance, beta)) / (2 * safe))
    return reduced(distance, reduction, input.dtype)


@jax.custom_jvp
def _written_for(losses: jax.Array, input: jax.Array, target: jax.Array) -> jax.Array:
    """The losses in the input's dtype. There is no derivative unless the target has it, too, as in PyTorch."""
    return losses.astype(input.dtype)


@_written_for.defjvp
def _(primals: tuple, tangents: tuple) -> tuple:
    _, input, target = primals
    if input.dtype != target.dtype:
        raise RuntimeError(f"Found dtype {type_name(target)} but expected {type_name(input)}")
    return _written_for(*primals), tangents[0]


def _check_delta(input: Any, target: Any, reduction: str, delta: float, weight: Any) -> None:
    if not delta > 0:
        raise RuntimeError(f"huber_loss does not support non-positive values for delta. (got {delta})")


@loss(
    promote=None,
    grad=_unless_weighted("HuberLossBackward0", "MeanBackward0"),
    same_sizes=True,
    options=_check_delta,
    autocast={"cpu": "float32"},
)
def huber_loss(
    input: Array, target: Array, reduction: str = "mean", delta: float = 1.0, weight: Array | None = None
) -> Array:
    """(x - y)^2 / 2 where |x - y| < delta, else delta (|x - y| - delta / 2)"""
    x, y = promoted((input, target), [0, 1], (), "common")
    have, want = (from_numpy(v.dtype) for v in (x, input))
    if not can_cast(have, want):
        raise RuntimeError(f"result type {have.abbr} can't be cast to the desired output type {want.abbr}")
    require_floating("huber_cpu", x)
    distance = modulus(wide(x) - wide(y) if x.dtype == jnp.float16 else x - y)
    losses = jnp.where(distance >= delta, delta * (distance - delta / 2), jnp.square(_below(distance, delta)) / 2)
    losses = _written_for(losses, input, target)
    if weight is not None:  # unlike mse_loss and l1_loss, whose mean is the weighted one
        losses = losses * weight
    return reduced(losses, reduction)


def _check_counts(input: Any, target: Any, *others: Any) -> None:
    if category(input) == BOOL and category(target) == BOOL:
        refuse_masks(None, target)  # their product
    if clash := broadcast_clash([target.shape, input.shape]):
        raise RuntimeError(clash)


@loss(
    promote=None,
    grad=by_reduction(lambda statics: "AddBackward0" if statics["full"] else "SubBackward0"),
    check=_check_counts,
    autocast="float32",
)
def poisson_nll_loss(
    input: Array, target: Array, log_input: bool = True, full: bool = False, size_average: bool | None = None,
    eps: float = 1e-8, reduce: bool | None = None, reduction: str = "mean",
) -> Array:  # fmt: skip
    """-log of the Poisson probability of `target` under the rate exp(x) (or x), up to log(target!)

    With `full`, Stirling's formula stands for that term.
    """
    rate, count = Steps(input), Steps(target)
    if log_input:
        losses = rate.apply(jnp.exp) - count * rate
    else:
        losses = rate - count * (rate + 1.0 * eps).apply(jnp.log)
    if full:
        refuse("le_cpu", target, COMPLEX)
        safe = Steps(jnp.where(target > 1, target, jnp.ones((), target.dtype)))
        stirling = (safe * safe.apply(jnp.log) - safe + (safe * (2 * math.pi)).apply(jnp.log) * 0.5).array
        losses = losses + jnp.where(target > 1, stirling, jnp.zeros((), stirling.dtype))
    return reduced(losses.array, reduction)


_gaussian_name = by_reduction(lambda statics: "AddBackward0" if statics["full"] else "MulBackward0")


def _check_variances(input: Any, target: Any, var: Any, *others: Any) -> None:
    if not getattr(var, "weak_type", True):  # else it is a number
        refuse("lt_cpu", var, COMPLEX)
        if category(var) < FLOAT:
            raise RuntimeError(f"result type Float can't be cast to the desired output type {scalar_name(var)}")
    refuse_masks(input, target)


@operator(methods=False, public=(), grad=_gaussian_name, check=_check_variances, numbers=("var",))
def _gaussian_nll_loss(
    input: Array, target: Array, var: Array, full: bool, eps: float = 1e-6, reduction: str = "mean"
) -> Array:
    if var.shape != input.shape and var.ndim:
        if input.shape[:-1] == var.shape:
            var = var[..., None]
        elif not (input.ndim == var.ndim and all(v in (1, i) for v, i in zip(var.shape, input.shape, strict=True))):
            raise ValueError(f"var is of incorrect size: got {list(var.shape)} for an input of {list(input.shape)}")
    var = var + lax.stop_gradient(jnp.maximum(var, eps) - var)  # the gradient ignores the lower limit
    away = Steps(input) - target
    losses = (Steps(var).apply(jnp.log) + away * away / var) * 0.5
    if full:
        losses = losses + 0.5 * math.log(2 * math.pi)
    return reduced(losses.array, reduction)


@composite(methods=False, public=_FUNCTIONAL, numbers=True)
def gaussian_nll_loss(
    input: Any, target: Any, var: Any, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Any:
    """-log of the normal density of `target` with mean `input` and variance `var` (at least `eps`)

    The constant log(2 pi) / 2 is added if `full`. Raises ValueError if a variance is negative.
    """
    wrong = "var has negative entry/entries"
    if isinstance(var, (int, float)) and var < 0:
        raise ValueError(wrong)
    demand(lambda x: (x < 0, 0), lambda _: ValueError(wrong), var)
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(reduction + " is not valid")
    return _gaussian_nll_loss(input, target, var, full, eps, reduction)


@composite(methods=False, name="poisson_nll_loss", autocast="float32")
def _torch_poisson_nll_loss(input: Any, target: Any, log_input: bool, full: bool, eps: float, reduction: int) -> Any:
    """`nn.functional.poisson_nll_loss`; the reduction is 0 (none), 1 (mean) or 2 (sum)."""
    return poisson_nll_loss(input, target, log_input, full, eps=eps, reduction=REDUCTIONS[reduction])
