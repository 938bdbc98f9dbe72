"""Gradients of layers, losses and views as dispatch modes see them (see `taken_back.py`)."""

from __future__ import annotations

import math
from typing import Any

from ..core.array import geometry
from ..core.autograd.seen import Call, forms, quietly, see, view_forms
from ..core.context.overrides import PASS
from ..core.tensor.tensor import Tensor
from .overloads import aten
from .taken_apart import _REDUCTIONS as REDUCTIONS
from .taken_apart import _spread
from .taken_back import Gradients, form, operands, real

# --- layers ----------------------------------------------------------------------------------------------------------


def _convolution(n: int, turned: bool) -> Any:
    def form(g: Tensor, call: Call) -> Gradients:
        if isinstance(call.padding, str) or call.input.ndim != n + 2:
            return PASS
        sizes = [_spread(v, n) for v in (call.stride, call.padding, call.dilation)]
        out = _spread(call.output_padding, n) if turned else [0] * n
        names = ("input", "weight", "bias")
        wanted = [call.needs(name) for name in names]
        bias = [0] if call.bias is None else [len(call.bias)]
        made = see(
            "convolution_backward", g, call.input, call.weight, bias, *sizes, turned, out, call.groups, wanted
        )  # fmt: skip
        return {name: value for name, value in zip(names, made, strict=True) if call.needs(name)}

    return form


for _n in (1, 2, 3):
    forms[f"conv{_n}d"] = _convolution(_n, False)
    forms[f"conv_transpose{_n}d"] = _convolution(_n, True)


@form("layer_norm")
def _layer_norm(g: Tensor, call: Call) -> Gradients:
    x, names = call.input, ("input", "weight", "bias")
    dims = list(range(x.ndim - len(call.normalized_shape), x.ndim))
    mean, rstd = call.beside(lambda: (x.mean(dims, True), (x.var(dims, correction=0, keepdim=True) + call.eps).rsqrt()))
    wanted = [call.needs(name) for name in names]
    made = see(
        "native_layer_norm_backward", g, x, list(call.normalized_shape), mean, rstd, call.weight, call.bias, wanted
    )
    return {name: value for name, value in zip(names, made, strict=True) if call.needs(name)}


@form("batch_norm")
def _batch_norm(g: Tensor, call: Call) -> Gradients:
    x, names = call.input, ("input", "weight", "bias")
    dims = [0, *range(2, x.ndim)]

    def statistics() -> tuple[Tensor, ...]:
        found = (
            (x.mean(dims), (x.var(dims, correction=0) + call.eps).rsqrt()) if call.training else (x.new_empty([0]),) * 2
        )
        return (*found, *(call.kept[2:] if call.kept else (call.running_mean, call.running_var)))

    wanted = [call.needs(name) for name in names]
    mean, scale, running_mean, running_var = call.beside(statistics)
    made = see(
        "native_batch_norm_backward",
        g,
        x,
        call.weight,
        running_mean,
        running_var,
        mean,
        scale,
        call.training,
        call.eps,
        wanted,
    )
    return {name: value for name, value in zip(names, made, strict=True) if call.needs(name)}


@form("group_norm")
def _group_norm(g: Tensor, call: Call) -> Gradients:
    x, names, groups = call.input, ("input", "weight", "bias"), call.num_groups
    n, c = x.shape[:2]

    def statistics() -> tuple[Tensor, Tensor]:
        rows = x.reshape([n, groups, -1])
        return rows.mean(2), (rows.var(2, correction=0) + call.eps).rsqrt()

    mean, rstd = (see("detach", s) for s in call.beside(statistics))
    size, wanted = math.prod(x.shape[2:]), [call.needs(name) for name in names]
    made = see("native_group_norm_backward", g, x, mean, rstd, call.weight, n, c, size, groups, wanted)
    return {name: value for name, value in zip(names, made, strict=True) if call.needs(name)}


@form("max_pool2d")
def _max_pool2d(g: Tensor, call: Call) -> Gradients:
    x = call.input
    if x.ndim != 4:
        return PASS
    kernel, low, wide = (_spread(v, 2) for v in (call.kernel_size, call.padding, call.dilation))
    step = [] if call.stride is None else _spread(call.stride, 2)
    rest = (kernel, step or kernel, low, wide, call.ceil_mode)
    (places,) = call.beside(lambda: (aten.max_pool2d_with_indices.default(x, *rest)[1],))
    return see("max_pool2d_with_indices_backward", g, x, kernel, step, low, wide, call.ceil_mode, places)


@form("avg_pool2d")
def _avg_pool2d(g: Tensor, call: Call) -> Gradients:
    kernel, low = _spread(call.kernel_size, 2), _spread(call.padding, 2)
    step = [] if call.stride is None else _spread(call.stride, 2)
    rest = (call.ceil_mode, call.count_include_pad, call.divisor_override)
    return see("avg_pool2d_backward", g, call.input, kernel, step, low, *rest)


@form("adaptive_avg_pool2d")
def _adaptive_avg_pool2d(g: Tensor, call: Call) -> Gradients:
    if tuple(g.shape[-2:]) == (1, 1):
        return see("div.Scalar", g.expand(list(call.input.shape)), math.prod(call.input.shape[-2:]))
    return see("_adaptive_avg_pool2d_backward", g, call.input)


# --- losses ----------------------------------------------------------------------------------------------------------


@form("nll_loss")
def _nll_loss(g: Tensor, call: Call) -> Gradients:
    if call.input.ndim not in (1, 2) or call.reduction not in REDUCTIONS:
        return PASS
    return {"input": _of_nll(g, call, call.input)}


def _of_nll(g: Tensor, call: Call, x: Tensor) -> Tensor:
    how, place = REDUCTIONS[call.reduction], call.ignore_index
    (total,) = call.beside(lambda: aten.nll_loss_forward.default(x, call.target, call.weight, how, place)[1:])
    return see("nll_loss_backward", g, x, call.target, call.weight, how, place, total)


@form("cross_entropy")
def _cross_entropy(g: Tensor, call: Call) -> Gradients:
    x, target = call.input, call.target
    if (
        call.taped
        or x.ndim not in (1, 2)
        or target.ndim != x.ndim - 1
        or call.smoothing
        or call.reduction not in REDUCTIONS
    ):
        return PASS
    with quietly():
        chances = aten._log_softmax.default(x, x.ndim - 1, False)
    by_chances = _of_nll(g, call, chances)
    return {"input": see("_log_softmax_backward_data", by_chances, see("detach", chances), x.ndim - 1, x.dtype)}


@form("mse_loss")
def _mse_loss(g: Tensor, call: Call) -> Gradients:
    return _of_pair(g, call, "mse_loss_backward")


@form("smooth_l1_loss")
def _smooth_l1_loss(g: Tensor, call: Call) -> Gradients:
    return _of_pair(g, call, "smooth_l1_loss_backward", call.beta)


@form("huber_loss")
def _huber_loss(g: Tensor, call: Call) -> Gradients:
    return _of_pair(g, call, "huber_loss_backward", call.delta)


def _of_pair(g: Tensor, call: Call, name: str, *options: Any) -> Gradients:
    x, y = call.input, call.target
    usual = getattr(call, "size_average", None) is None and getattr(call, "reduce", None) is None
    if x.shape != y.shape or x.dtype is not y.dtype or not usual or getattr(call, "weight", None) is not None:
        return PASS
    how = REDUCTIONS[call.reduction]
    return operands(
        call, input=lambda: see(name, g, x, y, how, *options), target=lambda: see(name, g, y, x, how, *options)
    )


@form("binary_cross_entropy")
def _binary_cross_entropy(g: Tensor, call: Call) -> Gradients:
    if call.needs("target") or call.needs("weight") or call.input.shape != call.target.shape:
        return PASS
    how = REDUCTIONS[call.reduction]
    return {"input": see("binary_cross_entropy_backward", g, call.input, call.target, call.weight, how)}


@form("binary_cross_entropy_with_logits")
def _with_logits(g: Tensor, call: Call) -> Gradients:
    x, y = call.input, call.target
    usual = call.size_average is None and call.reduce is None and call.weight is None and call.pos_weight is None
    if call.needs("target") or not usual or x.shape != y.shape or x.dtype is not y.dtype:
        return PASS
    made = (x.sigmoid() - y) * g
    return {"input": see("div_.Scalar", made, x.numel()) if call.reduction == "mean" else made}


@form("l1_loss")
@real
def _l1_loss(g: Tensor, call: Call) -> Gradients:
    x, y = call.input, call.target
    if x.shape != y.shape or x.dtype is not y.dtype or call.weight is not None or call.reduction not in REDUCTIONS:
        return PASS
    with quietly():
        off = x - y
    if call.reduction != "none":
        g = g.expand(list(x.shape))
    if call.reduction == "mean":
        g = see("div.Scalar", g, x.numel())
    g = g * off.sgn()
    return operands(call, input=lambda: g, target=lambda: see("neg", g))


# --- views -----------------------------------------------------------------------------------------------------------


def _viewed(*names: str) -> Any:
    def note(form: Any) -> Any:
        view_forms.update({f"{name}Backward{n}": form for name in names for n in range(5)})
        return form

    return note


@_viewed("View", "UnsafeView", "Alias", "ReshapeAlias")
def _view(g: Tensor, node: Any) -> Gradients:
    whole = node.g.contiguous and not node.g.offset and math.prod(node.shape) == g.numel()
    return g.reshape(list(node.shape)) if whole else PASS


@_viewed("Unsqueeze")
def _unsqueeze(g: Tensor, node: Any) -> Gradients:
    for d in range(g.ndim):
        if g.shape[d] == 1 and (*g.shape[:d], *g.shape[d + 1 :]) == tuple(node.shape):
            return see("squeeze.dim", g, d)
    return PASS


@_viewed("Squeeze")
def _squeeze(g: Tensor, node: Any) -> Gradients:
    for d, n in enumerate(node.shape):
        if n == 1 and (g.ndim <= d or g.shape[d] != 1):
            g = g.unsqueeze(d)
    return g if g.shape == node.shape else PASS


@_viewed("T")
def _t(g: Tensor, node: Any) -> Gradients:
    return see("t", g) if g.ndim <= 2 else PASS


@_viewed("Transpose", "Permute", "NumpyT", "MT")
def _permute(g: Tensor, node: Any) -> Gradients:
    own, left = geometry.contiguous_strides(node.shape), list(range(len(node.shape)))
    order: list[int] = []
    if g.ndim != len(node.shape) or node.g.offset:
        return PASS
    for size, stride in zip(node.g.shape, node.g.strides, strict=True):
        found = next((d for d in left if node.shape[d] == size and (own[d] == stride or size == 1)), None)
        if found is None:
            return PASS
        left.remove(found)
        order.append(found)
    moved = [d for d, p in enumerate(order) if d != p]
    if len(moved) == 2 and not node.label.startswith("Permute"):
        return see("transpose.int", g, *moved)
    return see("permute", g, [order.index(d) for d in range(g.ndim)])


@_viewed("Expand")
def _expand(g: Tensor, node: Any) -> Gradients:
    more = g.ndim - len(node.shape)
    dims = [d for d in range(g.ndim) if d < more or (node.shape[d - more] == 1 and g.shape[d] != 1)]
    if not dims:
        return g
    g = see("sum.dim_IntList", g, dims, True)
    return g.view(list(node.shape)) if more else g


@_viewed("Select", "Unbind")
def _select(g: Tensor, node: Any) -> Gradients:
    own = geometry.contiguous_strides(node.shape)
    for d in range(len(node.shape)):
        rest = tuple(node.shape[:d]) + tuple(node.shape[d + 1 :])
        if rest == tuple(g.shape) and (*own[:d], *own[d + 1 :]) == tuple(node.g.strides) and own[d]:
            index, over = divmod(node.g.offset, own[d])
            if not over and index < node.shape[d]:
                return see("select_backward", g, list(node.shape), d, index)
    return PASS


@_viewed("Slice", "Split", "Narrow", "Chunk", "SplitWithSizes")
def _slice(g: Tensor, node: Any) -> Gradients:
    own = geometry.contiguous_strides(node.shape)
    if g.ndim != len(node.shape):
        return PASS
    cut = [d for d in range(g.ndim) if (g.shape[d], node.g.strides[d]) != (node.shape[d], own[d])]
    if not cut:
        return see("slice_backward", g, list(node.shape), 0, 0, node.shape[0], 1)
    if len(cut) > 1 or not own[cut[0]]:
        return PASS
    (d,) = cut
    start, over = divmod(node.g.offset, own[d])
    step, uneven = divmod(node.g.strides[d], own[d])
    if over or uneven or step < 1:
        return PASS
    return see("slice_backward", g, list(node.shape), d, start, start + (g.shape[d] - 1) * step + 1, step)
