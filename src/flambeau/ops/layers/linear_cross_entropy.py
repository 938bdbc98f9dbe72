"""The cross entropy of a linear layer's results, with or without the whole of them in memory."""

from __future__ import annotations

import warnings
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ...core.array import dtypes
from ...core.dispatch.operator import Array, composite, operator
from ..linalg.products import times
from ..support.checks import scalar_name, wide
from ..support.losses import chosen_reduction
from .linear import linear
from .loss import _check_in_bounds, cross_entropy


@operator(methods=False, public=(), grad="LinearCrossEntropyBatchChunkedBackward")
def _linear_cross_entropy(
    input: Array, linear_weight: Array, target: Array, linear_bias: Array | None, weight: Array | None,
    reduction: str, ignore_index: int, rows: int, accumulated: Any,
) -> Array:  # fmt: skip
    """`rows` samples at a time: forward and backward, only so many logits exist, for they are computed again."""
    dtype = input.dtype
    least = wide(input).dtype if accumulated is None else jnp.promote_types(wide(input).dtype, accumulated)
    x, matrix = input.astype(least), linear_weight.astype(least)
    bias = None if linear_bias is None else linear_bias.astype(least)
    class_weight = None if weight is None else weight.astype(least)
    samples, chunks = x.shape[0], -(-x.shape[0] // rows)
    beyond = chunks * rows - samples
    kept = jnp.pad(target != ignore_index, (0, beyond)).reshape(chunks, rows)
    target = jnp.pad(target, (0, beyond)).reshape(chunks, rows)
    x = jnp.pad(x, ((0, beyond), (0, 0))).reshape(chunks, rows, x.shape[1])

    @jax.checkpoint
    def chunk(x: jax.Array, target: jax.Array, kept: jax.Array) -> tuple[jax.Array, jax.Array]:
        logits = times(x, matrix, transposed=True)
        logits = logits if bias is None else logits + bias
        chosen = jnp.take_along_axis(logits, target[:, None], 1, mode="clip")[:, 0]
        weights = kept.astype(least)
        if class_weight is not None:
            weights = weights * jnp.take(class_weight, target, mode="clip")
        return jnp.where(kept, (jax.nn.logsumexp(logits, 1) - chosen) * weights, 0), weights

    def step(carry: None, part: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[None, tuple[jax.Array, jax.Array]]:
        return None, chunk(*part)

    losses, weights = lax.scan(step, None, (x, target, kept))[1]
    if reduction == "none":
        return losses.ravel()[:samples].astype(dtype)
    total = losses.sum()
    return (total / weights.sum() if reduction == "mean" else total).astype(dtype)


def _check(input: Any, linear_weight: Any, linear_bias: Any) -> None:
    if input.ndim not in (1, 2):
        raise RuntimeError(f"expected input with dimensionality 1 or 2, got {input.ndim}")
    if linear_weight.ndim < 2:
        raise RuntimeError(f"expected linear_weight with dimensionality at least 2, got {linear_weight.ndim}")
    if input.shape[-1] != linear_weight.shape[-1]:
        raise RuntimeError(
            "expected equal input and linear_weight last dimensions (in_features), got "
            f"{input.shape[-1]} and {linear_weight.shape[-1]}, respectively"
        )
    if input.ndim == 1 and linear_weight.ndim > 2:
        raise RuntimeError(
            f"K-dimensional loss defined by linear_weight shape {tuple(linear_weight.shape)} requires batched input, "
            f"(N, {input.shape[0]}), got unbatched input with shape ({input.shape[0]},)"
        )
    if linear_bias is not None and linear_bias.shape != linear_weight.shape[:-1]:
        wanted, got = tuple(linear_weight.shape[:-1]), tuple(linear_bias.shape)
        raise RuntimeError(f"expected linear_bias shape {wanted}, got {got}")


def _rows(options: Any, samples: int, features: int, classes: int) -> int:
    """How many samples' logits are in memory at a time."""
    if options.batch_chunk_size is not None:
        return max(1, min(options.batch_chunk_size, samples))
    if options.chunking_method is None:
        return max(1, samples)
    _, _, ratio = options.chunking_method.partition(":")
    wanted = -(-samples * features * int(ratio or 2) // max(classes, 1))
    return max(1, min(wanted, samples))


@composite(methods=False, public=("nn.functional",))
def linear_cross_entropy(
    input: Any,
    linear_weight: Any,
    target: Any,
    *,
    linear_bias: Any = None,
    weight: Any = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: Any = None,
) -> Any:
    """`cross_entropy(linear(input, linear_weight, linear_bias), target)` for inputs `(N, in_features)` or `(in_features)`.

    `linear_weight` is `(C, in_features)`, or `(C, d1, ..., in_features)` for several predictions per sample. With `options`
    (`nn.LinearCrossEntropyOptions`) only a part of the logits is in memory at a time; where these can't be had
    (probabilities as targets, label smoothing, several predictions), a warning says so, and all are computed.
    """
    _check(input, linear_weight, linear_bias)
    reduction = chosen_reduction(None, None, reduction)
    if input.ndim == 2 and target.ndim and input.shape[0] != target.shape[0]:
        raise ValueError(
            f"Expected input batch_size ({input.shape[0]}) to match target batch_size ({target.shape[0]})."
        )
    if target.dtype.is_floating_point and ignore_index is not None:
        raise RuntimeError("ignore_index cannot be specified when target contains probabilities")
    ignored = -100 if ignore_index is None else ignore_index
    others = tuple(linear_weight.shape[1:-1])
    if options is not None:
        rows = _rows(options, input.shape[0] if input.ndim == 2 else 1, input.shape[-1], linear_weight.shape[0])
        if label_smoothing == 0 and target.dtype is dtypes.int64 and not others:
            return _chunked(input, linear_weight, target, linear_bias, weight, reduction, ignored, rows, options)
        warnings.warn(
            "linear_cross_entropy: ``options`` ignored; chunked path needs label_smoothing == 0, "
            f"target.dtype == int64, out_features == (). Got {reduction=}, {label_smoothing=}, {target.dtype=}, "
            f"out_features={others}",
            stacklevel=3,
        )
    matrix = linear_weight.reshape(-1, linear_weight.shape[-1]) if others else linear_weight
    logits = linear(input, matrix, linear_bias.reshape(-1) if others and linear_bias is not None else linear_bias)
    if others:
        logits = logits.reshape(*input.shape[:-1], *linear_weight.shape[:-1])
    return cross_entropy(logits, target, weight, None, ignored, None, reduction, label_smoothing)


def check_accumulates(dtype: dtypes.dtype | None) -> None:
    """ValueError for a dtype that sums of parts can't be in."""
    allowed = (None, dtypes.float16, dtypes.bfloat16, dtypes.float32, dtypes.float64)
    if dtype not in allowed:
        raise ValueError(
            f"acc_dtype must be one of {{{', '.join(map(str, allowed))}}}, got {dtype!r}. "
            "Pass acc_dtype=None to let the op pick automatically."
        )


def _chunked(
    input: Any, linear_weight: Any, target: Any, linear_bias: Any, weight: Any, reduction: str, ignore_index: int,
    rows: int, options: Any,
) -> Any:  # fmt: skip
    """One chunk after the other. Raises IndexError for a class that is not there."""
    classes = linear_weight.shape[0]
    if weight is not None and weight.shape != (classes,):
        raise RuntimeError(
            f"weight tensor should be defined either for all {classes} classes or no classes "
            f"but got weight tensor of shape: {list(weight.shape)}"
        )
    single = input.ndim == 1
    batch, labels = (input.unsqueeze(0), target.reshape(-1)) if single else (input, target)
    if labels.ndim != 1 or labels.shape[0] != batch.shape[0]:
        raise ValueError(
            f"Expected input batch_size ({batch.shape[0]}) to match target batch_size "
            f"({labels.shape[0] if labels.ndim else 1})."
        )
    for name, other in (("linear_weight", linear_weight), ("linear_bias", linear_bias)):
        if other is not None and other.dtype is not input.dtype:
            raise RuntimeError(
                f"expected m1 and m2 to have the same dtype, but got: {scalar_name(input._array)} != "
                f"{scalar_name(other._array)} ({name})"
            )
    _check_in_bounds(linear_weight.t(), labels, ignore_index)
    if options.acc_dtype is None:
        check_accumulates(batch.dtype)
    accumulated = options.acc_dtype
    made = _linear_cross_entropy(
        batch, linear_weight, labels, linear_bias, weight, reduction, ignore_index, rows, accumulated
    )
    return made.squeeze(0) if single and reduction == "none" else made
