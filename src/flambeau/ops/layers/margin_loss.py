"""Losses with a margin, and the distances that they measure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ...core.dispatch.errors import broadcast_clash
from ...core.dispatch.operator import Array, Static, composite, operator
from ...core.dispatch.promotion import promoted
from ..reduce.statistics import distance
from ..support.checks import (
    FLOAT,
    category,
    normalized_dim,
    refuse_masks,
    refuse_negated_mask,
    refuse_outside,
    refuse_unordered,
    require_floating,
    summed_dtype,
    type_name,
    wide,
)
from ..support.losses import REDUCTIONS, by_reduction, chosen_reduction, loss, reduced
from ..support.softplus import log1p_exp
from ..support.steps import Steps
from .normalization import vector_norm

_FUNCTIONAL = ("nn.functional",)
_NO_CLASSES = "Expected non-empty vector or matrix with optional 0-dim batch size, but got: "


def _positive_part(x: jax.Array) -> jax.Array:
    """max(x, 0) with slope 1 at 0, as PyTorch's clamp_min has."""
    return jnp.where(x >= 0, x, jnp.where(x < 0, jnp.zeros((), x.dtype), lax.stop_gradient(x)))  # nan stays


# ---------------------------------------------------------------- distances


@operator(
    methods=False,
    promote="common",
    public=("torch", "nn.functional"),
    grad="SumBackward1",
    autocast={"cuda": "float32"},
)
def cosine_similarity(x1: Array, x2: Array, dim: int = 1, eps: float = 1e-8) -> Array:
    """x1 . x2 / (max(|x1|, eps) max(|x2|, eps)) along `dim`"""
    if category(x1) != FLOAT:
        raise RuntimeError(
            f"expected common dtype to be floating point, yet common dtype is {type_name(x1)}: cosine_similarity takes no other"
        )
    a, b = jnp.broadcast_arrays(wide(x1), wide(x2))
    axis = normalized_dim(dim, a.ndim)
    a, b = (jnp.atleast_1d(v) for v in (a, b))
    unit = [v / jnp.maximum(vector_norm(v, 2, (axis,), True), eps) for v in (a, b)]
    return (unit[0] * unit[1]).sum(axis).astype(x1.dtype)


def _float_of(*arrays: jax.Array) -> Any:
    """The real floating dtype in which PyTorch gives what it measures of these."""
    common = promoted(arrays, list(range(len(arrays))), (), "float")[0]
    return common.real.dtype


def _distance(x1: jax.Array, x2: jax.Array, p: float, eps: float, keepdim: bool = False) -> jax.Array:
    away = (Steps(wide(x1)) - wide(x2) + 1.0 * eps).array
    return vector_norm(away, p, (-1,) if away.ndim else (), keepdim)


@operator(methods=False, public=("torch", "nn.functional"), grad="NormBackward1", check=refuse_masks)
def pairwise_distance(x1: Array, x2: Array, p: Static[float] = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Array:
    """The p-norm of x1 - x2 + eps along the last dimension"""
    made = _distance(x1, x2, p, eps, keepdim)
    return made.astype(_float_of(x1, x2))


@operator(methods=False, public=("torch", "nn.functional"), autocast={"cuda": "float32"})
def pdist(input: Array, p: Static[float] = 2.0) -> Array:
    """The p-norm distances of every two rows of a matrix: a vector of n (n - 1) / 2"""
    if input.ndim != 2:
        raise RuntimeError(f"pdist only supports 2D tensors, got: {input.ndim}D")
    if not p >= 0:
        raise RuntimeError("pdist only supports non-negative p values")
    if category(input) != FLOAT:
        raise RuntimeError(f"pdist only supports floating-point dtypes, but got {type_name(input)}")
    if input.shape[0] < 2:
        return input[:0, :0].reshape(0)
    require_floating("pdist", input, halves=False)
    first, second = jnp.triu_indices(input.shape[0], 1)
    return distance(input[first] - input[second], p)


# ---------------------------------------------------------------- losses


@loss(
    promote=None, grad=by_reduction("AddBackward0"), autocast="float32", constant={"target": ""}, room={"margin": "own"}
)
def hinge_embedding_loss(
    input: Array, target: Array, margin: float = 1.0, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:  # fmt: skip
    """x where y = 1, max(0, margin - x) where y = -1"""
    near = jnp.where(target != -1, input, jnp.zeros((), input.dtype))
    refuse_masks(input, input)
    refuse_unordered(input)
    slack = _positive_part(jnp.asarray(margin).astype(input.dtype) - input)
    far = jnp.where(target != 1, slack, jnp.zeros((), input.dtype))
    return reduced(near + far, reduction)


def _check_ranking(input1: Any, input2: Any, target: Any, *others: Any) -> None:
    refuse_masks(input1, input2)
    refuse_negated_mask(target)
    refuse_unordered(input1, input2, target)


@loss(promote=None, grad=by_reduction("ClampMinBackward0"), check=_check_ranking, autocast="float32")
def margin_ranking_loss(
    input1: Array, input2: Array, target: Array, margin: float = 0, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean",
) -> Array:  # fmt: skip
    """max(0, -y (x1 - x2) + margin)"""
    if not input1.ndim == input2.ndim == target.ndim:
        given = (("sizes: input1", input1), ("input2", input2), ("target", target))
        shown = [f"{name}: torch.Size({list(array.shape)})" for name, array in given]
        raise RuntimeError(
            f"margin_ranking_loss : All input tensors should have same dimension but got {', '.join(shown)} "
        )
    losses = _positive_part((-Steps(target) * (Steps(input1) - input2) + 1.0 * margin).array)
    return reduced(losses, reduction)


def _check_cosines(input1: Any, input2: Any, *others: Any) -> None:
    refuse_unordered(input1, input2)


@loss(
    promote=None,
    grad=by_reduction("AddBackward0"),
    check=_check_cosines,
    autocast="float32",
    constant={"target": ""},
)
def cosine_embedding_loss(
    input1: Array, input2: Array, target: Array, margin: float = 0, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean",
) -> Array:  # fmt: skip
    """1 - cos(x1, x2) where y = 1, max(0, cos(x1, x2) - margin) where y = -1"""
    if target.ndim > 1:
        raise RuntimeError(f"0D or 1D target tensor expected, multi-target not supported, got {list(target.shape)}")
    ndim = target.ndim + 1
    if input1.ndim != ndim or input2.ndim != ndim:
        raise RuntimeError(
            f"{target.ndim}D target tensor expects {ndim}D input tensors, but found inputs with sizes "
            f"{list(input1.shape)} and {list(input2.shape)}."
        )
    a, b, dtype = wide(input1), wide(input2), _float_of(input1, input2)
    products = [(Steps(x) * y).array for x, y in ((a, b), (a, a), (b, b))]
    both, one, other = (jnp.sum(x, -1, dtype=summed_dtype(x)) for x in products)
    squares = (Steps(one) + 1e-12) * (Steps(other) + 1e-12)
    cosine = (Steps(both) / jnp.sqrt(squares.array)).array
    if clash := broadcast_clash([target.shape, cosine.shape]):
        raise RuntimeError(clash)
    zero = jnp.zeros((), cosine.dtype)
    losses = jnp.where(target == 1, 1 - cosine, zero) + jnp.where(target == -1, _positive_part(cosine - margin), zero)
    return reduced(losses, reduction, dtype)


def _check_margin(anchor: Any, positive: Any, negative: Any, margin: float, *others: Any) -> None:
    if margin <= 0:
        raise ValueError(f"the triplet's margin must be greater than 0, got {margin}")


@loss(
    promote=None,
    grad=by_reduction("ClampMinBackward0"),
    options=_check_margin,
    check=refuse_masks,
    autocast="float32",
)
def triplet_margin_loss(
    anchor: Array, positive: Array, negative: Array, margin: float = 1.0, p: Static[float] = 2, eps: float = 1e-6,
    swap: bool = False, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean",
) -> Array:  # fmt: skip
    """max(0, |a - p| - |a - n| + margin); with `swap`, |p - n| in place of |a - n| where it is smaller"""
    if not anchor.ndim == positive.ndim == negative.ndim:
        raise RuntimeError(
            "The anchor, positive, and negative tensors are expected to have the same number of dimensions, but got: "
            f"anchor {anchor.ndim}D, positive {positive.ndim}D, and negative {negative.ndim}D inputs"
        )
    near, far = _distance(anchor, positive, p, eps), _distance(anchor, negative, p, eps)
    if swap:
        far = jnp.minimum(far, _distance(positive, negative, p, eps))
    losses = _positive_part(near - far + margin)
    return reduced(losses, reduction, _float_of(anchor, positive, negative))


@composite(methods=False, public=_FUNCTIONAL, numbers=True)
def triplet_margin_with_distance_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    *,
    distance_function: Callable | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Any:
    """`triplet_margin_loss` with a distance of one's own"""
    distance = pairwise_distance if distance_function is None else distance_function
    reduction = chosen_reduction(None, None, reduction)
    if margin <= 0:
        raise ValueError(f"the triplet's margin must be greater than 0, got {margin}")
    if not anchor.ndim == positive.ndim == negative.ndim:
        raise RuntimeError(
            "The anchor, positive, and negative tensors are expected to have the same number of dimensions, but got: "
            f"anchor {anchor.ndim}D, positive {positive.ndim}D, and negative {negative.ndim}D inputs"
        )
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = far.minimum(distance(positive, negative))
    losses = (near - far + margin).clamp_min(0)
    return losses if reduction == "none" else getattr(losses, reduction)()


@loss(promote=None, autocast="float32", constant={"target": "soft_margin_loss"})
def soft_margin_loss(
    input: Array, target: Array, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
) -> Array:
    """log(1 + exp(-y x))"""
    refuse_negated_mask(input)
    if category(input) < FLOAT:
        raise RuntimeError(f"result type Float can't be cast to the desired output type {type_name(input)}")
    if category(target) > category(input):
        raise RuntimeError(
            f"result type {type_name(target)} can't be cast to the desired output type {type_name(input)}"
        )
    losses = log1p_exp(-target.astype(input.dtype) * input)
    return reduced(losses, reduction)


def _check_labels(input: Any, target: Any, *others: Any) -> None:
    require_floating("log_sigmoid_cpu", input)
    refuse_masks(None, target)


@loss(promote=None, grad=by_reduction("DivBackward0"), check=_check_labels)
def multilabel_soft_margin_loss(
    input: Array, target: Array, weight: Array | None = None, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean",
) -> Array:  # fmt: skip
    """The mean over the classes (last dimension) of -(y log(sigmoid(x)) + (1 - y) log(sigmoid(-x)))"""
    if not (input.ndim or target.ndim):
        raise IndexError(f"Dimension specified as {-1} but tensor has no dimensions: the last one holds the classes")
    losses = Steps(target) * log1p_exp(-input) + (1 - Steps(target)) * log1p_exp(input)
    losses = losses if weight is None else losses * weight
    return reduced(losses.array.mean(-1), reduction)


def _class_lists(input: Any, target: Any) -> None:
    classes = input.shape[-1] if input.ndim else 1
    text = f"argument #2 'target' is out of range: got {{}}, with {classes} classes"
    refuse_outside(target, classes, text, RuntimeError, ignored=-1)


@loss(promote=None, grad="MultilabelMarginLossBackward0", targets=_class_lists, autocast="float32")
def multilabel_margin_loss(
    input: Array, target: Array, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
) -> Array:
    """The mean over classes i of max(0, 1 - x[y_j] + x[i]), summed over the target classes y_j, for other classes i

    A row of `target` lists classes up to the first -1.
    """
    if input.ndim > 2 or 0 in input.shape[-1:]:
        raise RuntimeError(_NO_CLASSES + str(list(input.shape)))
    if target.shape != input.shape:
        raise RuntimeError(f"inconsistent target size: {list(target.shape)} for input of size: {list(input.shape)}")
    if type_name(target) != "Long":
        raise RuntimeError(f"expected scalar type Long but found {type_name(target)}")
    require_floating("multilabel_margin_loss_forward_out_frame", input, halves=False)
    x, y = jnp.atleast_1d(input), jnp.atleast_1d(target)
    classes = x.shape[-1]
    listed = jnp.cumprod((y >= 0).astype(jnp.int32), -1).astype(bool)
    named = (listed[..., None] & (y[..., None] == jnp.arange(classes))).any(-2)
    at_target = jnp.take_along_axis(x, jnp.clip(y, 0, classes - 1), -1)
    slack = 1 - at_target[..., :, None] + x[..., None, :]
    counted = listed[..., :, None] & ~named[..., None, :] & (slack > 0)
    losses = jnp.where(counted, slack, jnp.zeros((), x.dtype)).sum((-1, -2)) / classes
    return reduced(losses, reduction) if losses.size or reduction == "none" else losses.sum()


def _class_numbers(input: Any, target: Any) -> None:
    classes = input.shape[-1] if input.ndim else 1
    if classes:
        refuse_outside(target, classes, f"target out of range: got {{}}, with {classes} classes", RuntimeError)


@loss(
    promote=None,
    targets=_class_numbers,
    autocast="float32",
    constant={"weight": "multi_margin_loss"},
    room={"margin": "wide floats"},
)
def multi_margin_loss(
    input: Array, target: Array, p: Static[float] = 1, margin: float = 1.0, weight: Array | None = None,
    size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean",
) -> Array:  # fmt: skip
    """The mean over classes i other than y of weight[y] max(0, margin - x[y] + x[i])^p"""
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    if weight is not None and weight.ndim != 1:
        raise ValueError("weight must be one-dimensional")
    if input.ndim > 2 or 0 in input.shape[-1:]:
        raise RuntimeError(_NO_CLASSES + str(list(input.shape)))
    x = input.reshape(-1, input.shape[-1]) if input.ndim else input.reshape(1, 1)
    y = target.reshape(-1)
    if target.ndim > 1 or x.shape[0] != y.shape[0]:
        raise RuntimeError(
            "multi_margin_loss: target tensor should be 1-D with size equal to the number of input samples (batch size). "
            f"Expected target size [{x.shape[0]}], but got {list(target.shape)}. Input has shape {list(input.shape)}."
        )
    if weight is not None and weight.shape[0] != x.shape[1]:
        raise RuntimeError(f"inconsistent weight size, expected {x.shape[1]} but got {list(weight.shape)}")
    require_floating("multi_margin_loss_cpu_kernel", input, halves=False)
    if weight is not None and weight.dtype != input.dtype:
        raise RuntimeError(f"expected scalar type {type_name(input)} but found {type_name(weight)}")
    if type_name(target) != "Long":
        raise RuntimeError(f"expected scalar type Long but found {type_name(target)}")
    classes = x.shape[1]
    here = jnp.arange(classes) == y[:, None]
    at_target = jnp.where(here, x, jnp.zeros((), x.dtype)).sum(1, keepdims=True)
    slack = margin - at_target + x
    losses = jnp.where((slack > 0) & ~here, slack, jnp.zeros((), x.dtype)) ** p
    if weight is not None:
        losses = losses * jnp.take(weight, y, mode="clip")[:, None]
    losses = losses.sum(1) / classes
    if reduction != "none" and not losses.size:
        return losses.sum()
    return reduced(losses.reshape(target.shape) if reduction == "none" else losses, reduction)


# --- as `torch` itself has them: arguments in another order, a reduction as a number -----------------------------------


@composite(methods=False, name="hinge_embedding_loss", autocast="float32")
def _torch_hinge_embedding_loss(input: Any, target: Any, margin: float = 1.0, reduction: int = 0) -> Any:
    """`nn.functional.hinge_embedding_loss`; the reduction is 0 (none), 1 (mean) or 2 (sum)."""
    return hinge_embedding_loss(input, target, margin, reduction=REDUCTIONS[reduction])


@composite(methods=False, name="margin_ranking_loss", autocast="float32")
def _torch_margin_ranking_loss(input1: Any, input2: Any, target: Any, margin: float = 0.0, reduction: int = 0) -> Any:
    """`nn.functional.margin_ranking_loss`; the reduction is 0 (none), 1 (mean) or 2 (sum)."""
    return margin_ranking_loss(input1, input2, target, margin, reduction=REDUCTIONS[reduction])


@composite(methods=False, name="cosine_embedding_loss", autocast="float32")
def _torch_cosine_embedding_loss(input1: Any, input2: Any, target: Any, margin: float = 0.0, reduction: int = 0) -> Any:
    """`nn.functional.cosine_embedding_loss`; the reduction is 0 (none), 1 (mean) or 2 (sum)."""
    return cosine_embedding_loss(input1, input2, target, margin, reduction=REDUCTIONS[reduction])


@composite(methods=False, name="triplet_margin_loss", autocast="float32")
def _torch_triplet_margin_loss(
    anchor: Any, positive: Any, negative: Any, margin: float = 1.0, p: float = 2.0, eps: float = 1e-6,
    swap: bool = False, reduction: int = 0,
) -> Any:  # fmt: skip
    """`nn.functional.triplet_margin_loss`; the reduction is 0 (none), 1 (mean) or 2 (sum)."""
    return triplet_margin_loss(anchor, positive, negative, margin, p, eps, swap, reduction=REDUCTIONS[reduction])
