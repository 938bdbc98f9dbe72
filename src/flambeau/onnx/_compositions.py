"""Functions that ONNX has no operator for, written with functions that have a form.

They may ask for dimensions, not for sizes: those may change from run to run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from ..core.tensor.tensor import Tensor
from ..nn import functional as F
from ._graph import Unsupported

COMPOSED: dict[str, Callable[..., Any]] = {}


def composed(*names: str) -> Callable[[Any], Any]:
    """Declares what a function of this name is made of."""

    def declare(function: Any) -> Any:
        COMPOSED.update(dict.fromkeys(names, function))
        return function

    return declare


def _torch() -> Any:
    """The public functions, which a recording sees."""
    import flambeau

    return flambeau


def _reduced(loss: Tensor, reduction: str) -> Tensor:
    if reduction == "none":
        return loss
    return loss.mean() if reduction == "mean" else loss.sum()


def _no_weight(*weights: Any) -> None:
    if any(w is not None for w in weights):
        raise Unsupported("weights")


@composed("hypot")
def _hypot(input: Tensor, other: Tensor) -> Tensor:
    return (input * input + other * other).sqrt()


@composed("outer", "ger")
def _outer(input: Tensor, vec2: Tensor) -> Tensor:
    return input.unsqueeze(1) * vec2.unsqueeze(0)


@composed("tanhshrink")
def _tanhshrink(input: Tensor) -> Tensor:
    return input - input.tanh()


@composed("softshrink")
def _softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    return (input - lambd).relu() - (-input - lambd).relu()


@composed("hardshrink")
def _hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    return input.masked_fill(input.abs() <= lambd, 0.0)


@composed("threshold")
def _threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    return input.masked_fill(input <= threshold, value)


@composed("cosine_similarity")
def _cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    lengths = [(x * x).sum(dim).sqrt().clamp(min=eps) for x in (x1, x2)]
    return (x1 * x2).sum(dim) / (lengths[0] * lengths[1])


@composed("expit")
def _expit(input: Tensor) -> Tensor:
    return input.sigmoid()


@composed("logit")
def _logit(input: Tensor, eps: float | None = None) -> Tensor:
    x = input if eps is None else input.clamp(eps, 1 - eps)
    return (x / (1 - x)).log()


@composed("erfc")
def _erfc(input: Tensor) -> Tensor:
    return 1 - input.erf()


@composed("isfinite")
def _isfinite(input: Tensor) -> Tensor:
    return ~(input.isnan() | input.isinf())


@composed("clamp_max")
def _clamp_max(input: Tensor, max: Any) -> Tensor:
    return input.clamp(max=max)


@composed("clamp_min")
def _clamp_min(input: Tensor, min: Any) -> Tensor:
    return input.clamp(min=min)


@composed("logaddexp")
def _logaddexp(input: Tensor, other: Tensor) -> Tensor:
    return input.maximum(other) + F.softplus(-(input - other).abs())


@composed("trunc", "fix")
def _trunc(input: Tensor) -> Tensor:
    return _torch().where(input < 0, input.ceil(), input.floor())


@composed("pairwise_distance")
def _pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    return _vector_norm(x1 - x2 + eps, p, -1, keepdim)


@composed("log2")
def _log2(input: Tensor) -> Tensor:
    return input.log() * (1 / math.log(2))


@composed("log10")
def _log10(input: Tensor) -> Tensor:
    return input.log() * (1 / math.log(10))


@composed("log1p")
def _log1p(input: Tensor) -> Tensor:
    """Kahan's: what is lost in 1 + x is put back by a factor."""
    whole = 1 + input
    lost = whole - 1
    where = _torch().where
    return where(lost.eq(0), input, whole.log() * input / where(lost.eq(0), 1.0, lost))


@composed("exp2")
def _exp2(input: Tensor) -> Tensor:
    return (input * math.log(2)).exp()


@composed("expm1")
def _expm1(input: Tensor) -> Tensor:
    half = (input * 0.5).tanh()
    return _torch().where(input.abs() < 1, 2 * half / (1 - half), input.exp() - 1)


@composed("lerp")
def _lerp(input: Tensor, end: Tensor, weight: Any) -> Tensor:
    return input + weight * (end - input)


@composed("addcmul")
def _addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Tensor:
    return input + value * tensor1 * tensor2


@composed("addcdiv")
def _addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Tensor:
    return input + value * tensor1 / tensor2


@composed("nan_to_num")
def _nan_to_num(input: Tensor, nan: float | None = None, posinf: Any = None, neginf: Any = None) -> Tensor:
    limits = _torch().finfo(input.dtype)
    made = input.masked_fill(input.isnan(), nan or 0.0)
    endless = input.isinf()
    made = made.masked_fill(endless & (input > 0), limits.max if posinf is None else posinf)
    return made.masked_fill(endless & (input < 0), limits.min if neginf is None else neginf)


@composed("heaviside")
def _heaviside(input: Tensor, values: Tensor) -> Tensor:
    return _torch().where(input.eq(0), values, (input > 0).to(input.dtype))


@composed("binary_cross_entropy")
def _binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Any = None, *_: Any, reduction: str = "mean", **old: Any
) -> Tensor:
    logs = [x.log().clamp(min=-100) for x in (input, 1 - input)]
    loss = -(target * logs[0] + (1 - target) * logs[1])
    return _reduced(loss if weight is None else loss * weight, reduction)


@composed("smooth_l1_loss")
def _smooth_l1_loss(
    input: Tensor, target: Tensor, *_: Any, reduction: str = "mean", beta: float = 1.0, **old: Any
) -> Tensor:
    if beta == 0:
        return _l1_loss(input, target, reduction=reduction)
    return _huber_loss(input, target, reduction, beta) / beta


@composed("kl_div")
def _kl_div(
    input: Tensor, target: Tensor, *_: Any, reduction: str = "mean", log_target: bool = False, **old: Any
) -> Tensor:
    if not log_target:
        known = target.masked_fill(target <= 0, 1.0)
        loss = target * (known.log() - input)
    else:
        loss = target.exp() * (target - input)
    if reduction == "batchmean":
        raise Unsupported("reduction='batchmean'")
    return _reduced(loss, reduction)


@composed("movedim", "moveaxis")
def _movedim(input: Tensor, source: Any, destination: Any) -> Tensor:
    sources, places = ((d,) if isinstance(d, int) else tuple(d) for d in (source, destination))
    n = input.ndim
    order: list[Any] = [None] * n
    for d, place in zip(sources, places, strict=True):
        order[place % n] = d % n
    rest = iter(d for d in range(n) if d not in order)
    return input.permute(*(next(rest) if d is None else d for d in order))


@composed("meshgrid")
def _meshgrid(*tensors: Any, indexing: str | None = None) -> tuple[Tensor, ...]:
    parts = tuple(tensors[0]) if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors
    parts = tuple(part if part.ndim else part.unsqueeze(0) for part in parts)
    n, made = len(parts), []
    for i, part in enumerate(parts):
        placed = part
        for d in range(n):
            placed = placed if d == i else placed.unsqueeze(d)
        for j, other in enumerate(parts):
            if j != i:
                filler = _torch().zeros_like(other)
                for d in range(n):
                    filler = filler if d == j else filler.unsqueeze(d)
                placed = placed + filler
        made.append(placed)
    return tuple(m.transpose(0, 1) for m in made) if indexing == "xy" and n > 1 else tuple(made)


@composed("vector_norm")
def _vector_norm(x: Tensor, ord: float = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    x = x if dtype is None else x.to(dtype)
    dims = tuple(range(x.ndim)) if dim is None else dim
    if ord in (float("inf"), -float("inf")):
        return x.abs().amax(dims, keepdim) if ord > 0 else x.abs().amin(dims, keepdim)
    if ord == 2:
        return (x * x).sum(dims, keepdim).sqrt()
    if ord == 1:
        return x.abs().sum(dims, keepdim)
    return (x.abs() ** ord).sum(dims, keepdim) ** (1 / ord)


@composed("var_mean")
def _var_mean(input: Tensor, dim: Any = None, **options: Any) -> tuple[Tensor, Tensor]:
    if isinstance(dim, bool):  # `unbiased` alone
        dim, options = None, {"unbiased": dim}
    dims = tuple(range(input.ndim)) if dim is None else dim
    keepdim = options.get("keepdim", False)
    return input.var(dims, **options), input.mean(dims, keepdim)


@composed("std_mean")
def _std_mean(input: Tensor, dim: Any = None, **options: Any) -> tuple[Tensor, Tensor]:
    variance, mean = _var_mean(input, dim, **options)
    return variance.sqrt(), mean


@composed("aminmax")
def _aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    dims: Any = tuple(range(input.ndim)) if dim is None else dim
    return input.amin(dims, keepdim), input.amax(dims, keepdim)


@composed("bilinear")
def _bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    made = (input1.unsqueeze(-2).unsqueeze(-3) @ weight).squeeze(-2) * input2.unsqueeze(-2)
    return made.sum(-1) if bias is None else made.sum(-1) + bias


@composed("mse_loss")
def _mse_loss(
    input: Tensor, target: Tensor, *_: Any, reduction: str = "mean", weight: Any = None, **old: Any
) -> Tensor:
    _no_weight(weight)
    return _reduced((input - target) ** 2, reduction)


@composed("l1_loss")
def _l1_loss(input: Tensor, target: Tensor, *_: Any, reduction: str = "mean", weight: Any = None, **old: Any) -> Tensor:
    _no_weight(weight)
    return _reduced((input - target).abs(), reduction)


@composed("huber_loss")
def _huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0, weight: Any = None
) -> Tensor:
    _no_weight(weight)
    off = (input - target).abs()
    near = off.clamp(max=delta)
    return _reduced(near * (off - near * 0.5), reduction)


@composed("binary_cross_entropy_with_logits")
def _with_logits(
    input: Tensor,
    target: Tensor,
    weight: Any = None,
    *_: Any,
    reduction: str = "mean",
    pos_weight: Any = None,
    **old: Any,
) -> Tensor:
    _no_weight(pos_weight)
    loss = input.relu() - input * target + F.softplus(-input.abs())
    return _reduced(loss if weight is None else loss * weight, reduction)


@composed("nll_loss")
def _nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Any = None,
    *_: Any,
    ignore_index: int = -100,
    reduction: str = "mean",
    **old: Any,
) -> Tensor:
    _no_weight(weight)
    kept = target.ne(ignore_index)
    rows = input if input.ndim > 1 else input.unsqueeze(0)
    places = target.masked_fill(~kept, 0)
    loss = -rows.gather(1, (places if input.ndim > 1 else places.unsqueeze(0)).unsqueeze(1)).squeeze(1)
    loss = (loss if input.ndim > 1 else loss.squeeze(0)) * kept
    return loss.sum() / kept.to(input.dtype).sum() if reduction == "mean" else _reduced(loss, reduction)


@composed("cross_entropy")
def _cross_entropy(
    input: Tensor, target: Tensor, weight: Any = None, *_: Any, label_smoothing: float = 0.0, **options: Any
) -> Tensor:
    if label_smoothing:
        raise Unsupported("label_smoothing")
    if target.is_floating_point():
        raise Unsupported("probabilities as target")
    return _nll_loss(F.log_softmax(input, min(input.ndim - 1, 1)), target, weight, **options)


@composed("hstack")
def _hstack(tensors: Sequence[Tensor]) -> Tensor:
    parts = [t if t.ndim else t.unsqueeze(0) for t in tensors]
    return _torch().cat(parts, 0 if parts[0].ndim == 1 else 1)


@composed("vstack", "row_stack")
def _vstack(tensors: Sequence[Tensor]) -> Tensor:
    return _torch().cat([t if t.ndim > 1 else t.unsqueeze(0) for t in tensors], 0)


__all__ = ["COMPOSED"]
