"""Losses of probabilities and classes: each is one array function that gives elementwise losses and then reduces them.

Those under `@loss` keep PyTorch's old switches `size_average` and `reduce` in their signatures; they are None there.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.special import xlogy

from ...core.context.telling import warn
from ...core.dispatch.messages import message
from ...core.dispatch.operator import Array, composite, operator
from ...core.dispatch.signature import not_a_tensor
from ...core.tensor.tensor import Tensor
from ..support.checks import (
    FLOAT,
    category,
    demand,
    is_floating,
    refuse_outside,
    require_floating,
    shapes_first,
    type_name,
    wide,
)
from ..support.losses import REDUCTIONS, by_reduction, chosen_reduction, is_zero, loss, reduced
from ..support.softplus import log1p_exp
from .by_kernels import ENTROPY

_FUNCTIONAL = ("nn.functional",)


# ---------------------------------------------------------------- probabilities


@jax.custom_jvp
def _bernoulli_loss(input: jax.Array, target: jax.Array) -> jax.Array:
    low = -100.0  # PyTorch's lower limit for a logarithm here
    log_p, log_q = jnp.maximum(jnp.log(input), low), jnp.maximum(jnp.log1p(-input), low)
    return (target - 1) * log_q - target * log_p


@_bernoulli_loss.defjvp
def _(primals: tuple, tangents: tuple) -> tuple:
    (input, target), (d_input, d_target) = primals, tangents
    least = float(np.float32(1e-12))  # as PyTorch has it, whatever the dtype
    slope = (input - target) / jnp.maximum((1 - input) * input, least)
    odds = jnp.log1p(-input) - jnp.log(input)  # without the limit, as PyTorch has it
    return _bernoulli_loss(input, target), d_input * slope + d_target * odds


@operator(
    methods=False,
    public=(),
    grad="BinaryCrossEntropyBackward0",
    constant={"weight": "binary_cross_entropy"},
)
def _binary_cross_entropy(input: Array, target: Array, weight: Array | None, reduction: str) -> Array:
    if input.dtype != target.dtype:
        raise RuntimeError(f"Found dtype {type_name(target)} but expected {type_name(input)}")
    require_floating("binary_cross_entropy", input)
    losses = _bernoulli_loss(wide(input), wide(target))
    return reduced(losses if weight is None else losses * weight, reduction, input.dtype)


@composite(methods=False, public=_FUNCTIONAL, autocast={"cpu": "float32", "cuda": "refused"})
def binary_cross_entropy(
    input: Any, target: Any, weight: Any = None, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:  # fmt: skip
    """-(y log(x) + (1 - y) log(1 - x)), with logarithms not below -100; x must be between 0 and 1"""
    reduction = chosen_reduction(size_average, reduce, reduction)
    if input.shape != target.shape:
        raise ValueError(
            f"Using a target size ({target.shape}) that is different to the input size ({input.shape}) is deprecated. "
            "Please ensure they have the same size."
        )
    if input.dtype is not target.dtype:
        raise RuntimeError(f"Found dtype {target.dtype.abbr} but expected {input.dtype.abbr}")
    if not input.dtype.is_floating_point:
        raise NotImplementedError(f"\"binary_cross_entropy\" not implemented for '{input.dtype.abbr}'")
    for name, given in (("input", input), ("target", target)):
        demand(
            lambda x: (~((x >= 0) & (x <= 1)), 0),
            lambda _, name=name: RuntimeError(  # type: ignore[misc]
                f"all elements of {name} should be between 0 and 1 "
                "(apply a sigmoid first, or use binary_cross_entropy_with_logits)"
            ),
            given,
        )
    return _binary_cross_entropy(input, target, weight, reduction)


@loss(
    promote=None,
    autocast="float32",
    constant=dict.fromkeys(("weight", "pos_weight"), "binary_cross_entropy_with_logits"),
)
def binary_cross_entropy_with_logits(
    input: Array, target: Array, weight: Array | None = None, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean", pos_weight: Array | None = None,
) -> Array:  # fmt: skip
    """`binary_cross_entropy(sigmoid(x), y)` without overflow; `pos_weight` multiplies the term of y"""
    if target.shape != input.shape:
        raise ValueError(
            f"Target size (torch.Size({list(target.shape)})) must be the same as input size "
            f"(torch.Size({list(input.shape)}))"
        )
    require_floating("log_sigmoid_cpu", input)
    if not is_floating(target):
        raise RuntimeError(
            f"result type {type_name(input)} can't be cast to the desired output type {type_name(target)}: "
            "give the targets the dtype of the input"
        )
    x, y = wide(input), wide(target)
    factor = 1 if pos_weight is None else 1 + (wide(pos_weight) - 1) * y
    losses = (1 - y) * x + factor * log1p_exp(-x)
    losses = losses if weight is None else losses * weight
    return reduced(losses, reduction, target.dtype)  # PyTorch begins with 1 - y and goes on in place


_kl_name = by_reduction(lambda statics: "MulBackward0" if statics["log_target"] else "SubBackward0")


@operator(methods=False, promote="common", public=(), grad=_kl_name)
def _kl_div(input: Array, target: Array, reduction: str, log_target: bool) -> Array:
    losses = jnp.exp(target) * (target - input) if log_target else xlogy(target, target) - target * input
    return reduced(losses, reduction)


@composite(methods=False, public=_FUNCTIONAL, autocast="float32")
def kl_div(
    input: Any, target: Any, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean",
    log_target: bool = False,
) -> Any:  # fmt: skip
    """y (log(y) - x): the Kullback-Leibler divergence of log-probabilities x from y (or from exp(y) if `log_target`)

    `reduction="batchmean"` divides the sum by the first dimension, and is the divergence's definition.
    """
    if not (input.dtype.is_floating_point and target.dtype.is_floating_point):
        kind = "Complex" if input.dtype.is_complex or target.dtype.is_complex else "Integral"
        raise RuntimeError(f"kl_div: {kind} inputs not supported. (got {input.dtype} and {target.dtype})")
    if reduction == "batchmean" and size_average is None and reduce is None:
        total = _kl_div(input, target, "sum", log_target)
        return total / input.shape[0] if input.ndim else total
    chosen = chosen_reduction(size_average, reduce, reduction)
    if chosen == "mean":
        warn(message("kl_div_mean"))
    return _kl_div(input, target, chosen, log_target)


# ---------------------------------------------------------------- classification


def _check_weight(weight: jax.Array | None, classes: int, dtype: Any = None) -> None:
    if weight is None:
        return
    if weight.shape != (classes,):
        raise RuntimeError(
            f"weight tensor should be defined either for all {classes} classes or no classes "
            f"but got weight tensor of shape: {list(weight.shape)}"
        )
    if dtype is not None and weight.dtype != dtype:
        raise RuntimeError(f"expected scalar type {type_name(jnp.zeros((), dtype))} but found {type_name(weight)}")


def _check_class_indices(input: jax.Array, target: jax.Array) -> None:
    _check_class_sizes(input, target)
    if type_name(target) not in ("Long", "Byte"):
        raise RuntimeError(f"expected target dtype to be Long or Byte, but got {type_name(target)}")


def _check_class_sizes(input: jax.Array, target: jax.Array) -> None:
    if input.ndim == 0:
        raise ValueError(f"Expected 1 or more dimensions (got {input.ndim})")
    batch, others = (input.shape[:1], input.shape[2:]) if input.ndim > 1 else ((), ())
    if input.ndim == 1 and target.ndim == 1 and target.size != 1:
        raise ValueError(f"For 1D input, 1D target must have size 1, but got target size: {target.size}")
    if input.ndim == 1 and target.ndim <= 1:
        return
    if input.ndim > 1 and (not target.ndim or batch[0] != target.shape[0]):
        got = target.shape[0] if target.ndim else 0
        raise ValueError(f"Expected input batch_size ({batch[0]}) to match target batch_size ({got}).")
    if input.ndim <= 2 and target.ndim > 1:
        raise RuntimeError(f"0D or 1D target tensor expected, multi-target not supported (got {list(target.shape)})")
    if input.ndim == 4 and target.ndim != 3:
        what = "3D tensors"
        raise RuntimeError(
            f"only batches of spatial targets supported ({what}) but got targets of dimension: {target.ndim} "
            f"({list(target.shape)} for an input of {list(input.shape)})"
        )
    if input.ndim == 4 and target.shape != batch + others:
        raise RuntimeError(f"size mismatch (got input: {list(input.shape)} , target: {list(target.shape)})")
    if target.shape != batch + others:
        raise RuntimeError(f"Expected target size {list(batch + others)}, got {list(target.shape)}")


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _of_class(values: jax.Array, target: jax.Array, axis: int) -> jax.Array:
    """The value of each target's class; some number for a target that is no class."""
    return jnp.take_along_axis(values, jnp.expand_dims(target, axis), axis, mode="clip").squeeze(axis)


@_of_class.defjvp
def _of_class_jvp(axis: int, primals: Any, tangents: Any) -> Any:
    # The derivative as a selection among all classes: its transpose is one pass, where that of a gather is a scatter.
    values, target = primals
    classes = lax.broadcasted_iota(target.dtype, values.shape, axis)
    here = classes == jnp.expand_dims(target, axis)
    chosen = jnp.where(here, tangents[0], jnp.zeros((), values.dtype)).sum(axis)
    return _of_class(values, target, axis), chosen


def _chosen_losses(
    log_p: jax.Array, target: jax.Array, weight: jax.Array | None, ignore_index: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """-log p of the target class times its weight, those weights (0 where ignored), and what is kept."""
    axis = 1 if log_p.ndim > 1 else 0
    target = target.reshape(()) if log_p.ndim == 1 else target
    kept = target != ignore_index
    zero = jnp.zeros((), log_p.dtype)
    losses = -_of_class(log_p, target, axis)
    weights = kept.astype(log_p.dtype)
    if weight is not None:
        weights = weights * jnp.take(wide(weight), target, mode="clip")
    return jnp.where(kept, losses * weights, zero), weights, kept


def _mean_over(losses: jax.Array, weights: jax.Array, reduction: str) -> jax.Array:
    if reduction == "mean":
        return losses.sum() / weights.sum()
    return losses.sum() if reduction == "sum" else losses


def _nll_name(arrays: list[Any], statics: dict[str, Any]) -> str:
    if arrays[0].ndim <= 2:
        return "NllLossBackward0"
    return "ViewBackward0" if arrays[0].ndim != 4 and statics["reduction"] == "none" else "NllLoss2DBackward0"


def _nll_function(arrays: list[Any]) -> str:
    return "nll_loss2d_forward" if arrays[0].ndim > 2 else "nll_loss_forward"


@operator(methods=False, public=(), grad=_nll_name, constant={"weight": _nll_function})
def _nll_loss(
    input: Array, target: Array, weight: Array | None = None, ignore_index: int = -100, reduction: str = "mean"
) -> Array:
    _check_class_indices(input, target)
    require_floating("nll_loss_out_frame", input)
    _check_weight(weight, input.shape[1 if input.ndim > 1 else 0], input.dtype)
    losses, weights, _ = _chosen_losses(wide(input), target, weight, ignore_index)
    return _mean_over(losses, weights, reduction).astype(input.dtype)


def _check_in_bounds(input: Any, target: Any, ignore_index: int) -> None:
    """Raise IndexError for a class that is not there."""
    shape = input._geometry.shape
    if not shape:
        return
    classes = shape[1 if len(shape) > 1 else 0]
    if not classes and len(shape) == 3 and 0 not in target.shape:  # PyTorch makes images of both first
        raise RuntimeError(
            f"size mismatch (got input: {[shape[0], 0, 0, 0]} , target: {[target.shape[0], 1, *target.shape[1:]]}"
        )

    def text() -> str:
        return (
            f"Target {{}} is out of bounds. (There are {classes} classes in an input of shape {list(shape)}; "
            f"ignore_index is {ignore_index}.)"
        )

    refuse_outside(target, classes, text, IndexError, ignored=ignore_index)


@composite(methods=False, public=_FUNCTIONAL, autocast="float32")
def nll_loss(
    input: Any, target: Any, weight: Any = None, size_average: bool | None = None, ignore_index: int = -100,
    reduce: bool | None = None, reduction: str = "mean",
) -> Any:  # fmt: skip
    """-x[target]: the negative log likelihood, for log-probabilities x of shape `(N, C, *)` or `(C)`

    The mean is weighted by `weight[target]`; targets equal to `ignore_index` count for nothing.
    """
    reduction = chosen_reduction(size_average, reduce, reduction)
    try:
        _check_in_bounds(input, target, ignore_index)
    except IndexError:
        shapes_first(target, lambda zeros: _nll_loss(input, zeros, weight, ignore_index, reduction))
        raise
    if weight is None and ignore_index == -100 and reduction == "mean":
        return _nll_loss(input, target)  # a call of tensors alone needs no binding
    return _nll_loss(input, target, weight, ignore_index, reduction)


def _cross_entropy_of_indices(
    input: jax.Array, target: jax.Array, weight: jax.Array | None, ignore_index: int, reduction: str, smoothing: float
) -> jax.Array:
    axis = 1 if input.ndim > 1 else 0
    log_p = jax.nn.log_softmax(wide(input), axis)
    losses, weights, kept = _chosen_losses(log_p, target, weight, ignore_index)
    result = _mean_over(losses, weights, reduction)
    if not is_zero(smoothing):
        even = log_p if weight is None else log_p * _along_axis(wide(weight), log_p.ndim, axis)
        even = jnp.where(kept, -even.sum(axis), jnp.zeros((), log_p.dtype)) / log_p.shape[axis]
        result = (1 - smoothing) * result + smoothing * _mean_over(even, weights, reduction)
    return result.astype(input.dtype)


def _refuse_classes(target: jax.Array) -> None:
    if category(target) != FLOAT:
        raise RuntimeError(f"Expected floating point type for target with class probabilities, got {type_name(target)}")


def _cross_entropy_of_probabilities(
    input: jax.Array, target: jax.Array, weight: jax.Array | None, reduction: str, smoothing: float
) -> jax.Array:
    axis = 1 if input.ndim > 1 else 0
    others = (target,) if weight is None else (target, weight)
    classes, made = input.shape[axis], functools.reduce(jnp.promote_types, (x.dtype for x in others), input.dtype)
    log_p = jax.nn.log_softmax(wide(input), axis).astype(input.dtype)
    log_p, target = wide(log_p), wide(target)
    if not is_zero(smoothing):
        target = target * (1 - smoothing) + smoothing / classes
    products = log_p * target
    if weight is not None:
        products = products * _along_axis(wide(weight), log_p.ndim, axis)
    losses = -products.sum(axis)
    if reduction == "mean":
        losses = losses.sum() / losses.size if log_p.size else jnp.full((), jnp.nan, losses.dtype)
    return reduced(losses, "sum" if reduction == "sum" else "none", made)


def _along_axis(vector: jax.Array, ndim: int, axis: int) -> jax.Array:
    return vector.reshape([-1 if i == axis else 1 for i in range(ndim)])


def _cross_entropy_name(arrays: list[Any], statics: dict[str, Any]) -> str:
    if arrays[0].shape == arrays[1].shape:
        return "DivBackward1" if statics["reduction"] == "mean" else "NegBackward0"
    return "AddBackward0" if statics.get("smoothing", True) else _nll_name(arrays, statics)


def _check_smoothing(*given: Any) -> None:
    if given[-1] > 1:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {given[-1]}")


def _cross_entropy_function(arrays: list[Any]) -> str | None:
    return None if arrays[0].shape == arrays[1].shape else _nll_function(arrays)


@operator(
    methods=False,
    public=(),
    grad=_cross_entropy_name,
    options=_check_smoothing,
    constant={"weight": _cross_entropy_function},
    by_numpy=ENTROPY,
)
def _cross_entropy(
    input: Array, target: Array, weight: Array | None, ignore_index: int, reduction: str, smoothing: float = 0.0
) -> Array:
    if input.shape == target.shape:
        _refuse_classes(target)
    require_floating("log_softmax_lastdim_kernel_impl", input)
    if not (input.ndim or target.ndim) and is_floating(target):
        raise IndexError("Dimension specified as 1 but tensor has no dimensions: cross_entropy got numbers")
    of_classes = input.shape != target.shape
    if of_classes:
        _check_class_indices(input, target)
    classes = input.shape[1 if input.ndim > 1 else 0] if input.ndim else 0
    _check_weight(weight, classes, input.dtype if of_classes else None)
    if not of_classes:
        return _cross_entropy_of_probabilities(input, target, weight, reduction, smoothing)
    return _cross_entropy_of_indices(input, target, weight, ignore_index, reduction, smoothing)


@composite(methods=False, public=_FUNCTIONAL, numbers=True, autocast="float32")
def cross_entropy(
    input: Tensor | Any, target: Any, weight: Any = None, size_average: bool | None = None, ignore_index: int = -100,
    reduce: bool | None = None, reduction: str = "mean", label_smoothing: float = 0.0,
) -> Any:  # fmt: skip
    """The cross entropy of logits `(N, C, *)` or `(C)` and targets: class indices `(N, *)`, or probabilities

    `label_smoothing` mixes the target with the uniform distribution; see `nll_loss` for `weight` and `ignore_index`.
    """
    reduction = chosen_reduction(size_average, reduce, reduction)
    for position, (name, given) in enumerate((("input", input), ("target", target)), 1):
        if not isinstance(given, Tensor):
            raise not_a_tensor("cross_entropy_loss", name, position, given)
    if not target.dtype.is_floating_point and target.shape != input.shape:
        try:
            _check_in_bounds(input, target, ignore_index)
        except IndexError:
            shapes_first(target, lambda zeros: _cross_entropy(input, zeros, weight, ignore_index, reduction))
            raise
    if target.dtype.is_floating_point and ignore_index >= 0:
        raise RuntimeError("ignore_index is not supported for floating point target")
    if type(label_smoothing) is float and not label_smoothing > 0:
        label_smoothing = 0.0  # as PyTorch takes what is below, and nan
    return _cross_entropy(input, target, weight, ignore_index, reduction, label_smoothing)


# --- as `torch` itself has them: arguments in another order, a reduction as a number -----------------------------------


@composite(methods=False, name="binary_cross_entropy_with_logits", autocast="float32")
def _torch_binary_cross_entropy_with_logits(
    input: Any, target: Any, weight: Any = None, pos_weight: Any = None, reduction: int = 0
) -> Any:
    """`nn.functional.binary_cross_entropy_with_logits`; the reduction is 0 (none), 1 (mean) or 2 (sum)."""
    return binary_cross_entropy_with_logits(
        input, target, weight, reduction=REDUCTIONS[reduction], pos_weight=pos_weight
    )


@composite(methods=False, name="kl_div", autocast="float32")
def _torch_kl_div(input: Any, target: Any, reduction: int = 0, *, log_target: bool = False) -> Any:
    """`nn.functional.kl_div`; the reduction is 0 (none), 1 (mean) or 2 (sum)."""
    return kl_div(input, target, reduction=REDUCTIONS[reduction], log_target=log_target)
