"""Layers' functions as `torch` itself has them: the arguments of `nn.functional`'s in another order, or as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...core.dispatch.operator import composite
from . import embedding as _embedding
from . import loss, margin_loss, normalization, padding


@composite(methods=False)
def batch_norm(
    input: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, training: bool, momentum: float,
    eps: float, cudnn_enabled: bool,
) -> Any:  # fmt: skip
    """`nn.functional.batch_norm`."""
    return normalization.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


@composite(methods=False)
def instance_norm(
    input: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, use_input_stats: bool, momentum: float,
    eps: float, cudnn_enabled: bool,
) -> Any:  # fmt: skip
    """`nn.functional.instance_norm`."""
    return normalization.instance_norm(input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)


@composite(methods=False)
def embedding(
    weight: Any, indices: Any, padding_idx: int = -1, scale_grad_by_freq: bool = False, sparse: bool = False
) -> Any:
    """`nn.functional.embedding`; -1 stands for no padding index."""
    row = None if padding_idx < 0 else padding_idx
    return _embedding.embedding(indices, weight, row, scale_grad_by_freq=scale_grad_by_freq, sparse=sparse)


@composite(methods=False)
def constant_pad_nd(input: Any, pad: Sequence[int], value: float = 0) -> Any:
    """`nn.functional.pad` with a constant."""
    return padding.pad(input, pad, "constant", value)


_REDUCTIONS = ("none", "mean", "sum")


@composite(methods=False)
def binary_cross_entropy_with_logits(
    input: Any, target: Any, weight: Any = None, pos_weight: Any = None, reduction: int = 0
) -> Any:
    """`nn.functional.binary_cross_entropy_with_logits`; the reduction is 0 (none), 1 (mean) or 2 (sum)."""
    return loss.binary_cross_entropy_with_logits(
        input, target, weight, reduction=_REDUCTIONS[reduction], pos_weight=pos_weight
    )


@composite(methods=False)
def kl_div(input: Any, target: Any, reduction: int = 0, *, log_target: bool = False) -> Any:
    """`nn.functional.kl_div`; the reduction is 0 (none), 1 (mean) or 2 (sum)."""
    return loss.kl_div(input, target, reduction=_REDUCTIONS[reduction], log_target=log_target)


@composite(methods=False)
def poisson_nll_loss(input: Any, target: Any, log_input: bool, full: bool, eps: float, reduction: int) -> Any:
    """`nn.functional.poisson_nll_loss`; the reduction is 0 (none), 1 (mean) or 2 (sum)."""
    return loss.poisson_nll_loss(input, target, log_input, full, eps=eps, reduction=_REDUCTIONS[reduction])


@composite(methods=False)
def hinge_embedding_loss(input: Any, target: Any, margin: float = 1.0, reduction: int = 0) -> Any:
    """`nn.functional.hinge_embedding_loss`; the reduction is 0 (none), 1 (mean) or 2 (sum)."""
    return margin_loss.hinge_embedding_loss(input, target, margin, reduction=_REDUCTIONS[reduction])


@composite(methods=False)
def margin_ranking_loss(input1: Any, input2: Any, target: Any, margin: float = 0.0, reduction: int = 0) -> Any:
    """`nn.functional.margin_ranking_loss`; the reduction is 0 (none), 1 (mean) or 2 (sum)."""
    return margin_loss.margin_ranking_loss(input1, input2, target, margin, reduction=_REDUCTIONS[reduction])


@composite(methods=False)
def cosine_embedding_loss(input1: Any, input2: Any, target: Any, margin: float = 0.0, reduction: int = 0) -> Any:
    """`nn.functional.cosine_embedding_loss`; the reduction is 0 (none), 1 (mean) or 2 (sum)."""
    return margin_loss.cosine_embedding_loss(input1, input2, target, margin, reduction=_REDUCTIONS[reduction])


@composite(methods=False)
def triplet_margin_loss(
    anchor: Any, positive: Any, negative: Any, margin: float = 1.0, p: float = 2.0, eps: float = 1e-6,
    swap: bool = False, reduction: int = 0,
) -> Any:  # fmt: skip
    """`nn.functional.triplet_margin_loss`; the reduction is 0 (none), 1 (mean) or 2 (sum)."""
    return margin_loss.triplet_margin_loss(
        anchor, positive, negative, margin, p, eps, swap, reduction=_REDUCTIONS[reduction]
    )
