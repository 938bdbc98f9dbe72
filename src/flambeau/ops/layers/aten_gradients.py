"""The gradients that PyTorch has as operators: `torch.ops.aten.gelu_backward` and the like.

Each is the gradient of the public function, by autograd, so that it has gradients itself; only what that function can't tell
(a result in the place of an input, means that are handed over) has a formula here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ...core.autograd.engine import grad
from ...core.autograd.seen import quietly
from ...core.context.grad_mode import set_grad_enabled
from ...core.context.grad_mode import state as grad_state
from ...core.dispatch.operator import namespaces
from ...core.tensor.tensor import Tensor
from ..support.losses import REDUCTIONS


def _functional(name: str) -> Callable[..., Any]:
    return namespaces["nn.functional"].get(name) or namespaces["torch"][name]  # type: ignore[no-any-return]


def _where(condition: Any, input: Any, other: Any) -> Tensor:
    return _functional("where")(condition, input, other)  # type: ignore[no-any-return]


def gradients(function: Callable[..., Tensor], inputs: Sequence[Tensor], gradient: Tensor) -> tuple[Tensor, ...]:
    """The gradients of `function(*inputs)` by these, weighted with `gradient`; recorded where gradients are."""
    taped = grad_state.grad
    with quietly(), set_grad_enabled(True):  # it is one operator
        leaves = [x if taped and x.requires_grad else x.detach().requires_grad_() for x in inputs]  # type: ignore[attr-defined]
        made = function(*leaves)
        return grad(made, leaves, gradient, create_graph=taped, materialize_grads=True)  # type: ignore[no-any-return]


def _of(name: str, *options: str) -> Callable[..., Tensor]:
    """The gradient by its input of a function whose further arguments have these names."""

    def backward(grad_output: Tensor, self: Tensor, *given: Any, **named: Any) -> Tensor:
        rest = dict(zip(options, given, strict=False), **named)
        return gradients(lambda x: _functional(name)(x, **rest), [self], grad_output)[0]

    return backward


def _of_pair(name: str, *options: str) -> Callable[..., Tensor]:
    """The gradient of a loss by its input: `target`, how it is reduced, and options."""

    def backward(grad_output: Tensor, self: Tensor, target: Tensor, reduction: int = 1, *given: Any) -> Tensor:
        rest = dict(zip(options, given, strict=False))
        loss, how = _functional(name), REDUCTIONS[reduction]
        return gradients(lambda x: loss(x, target, reduction=how, **rest), [self], grad_output)[0]

    return backward


# --- activations -----------------------------------------------------------------------------------------------------


def tanh_backward(grad_output: Tensor, output: Tensor) -> Tensor:
    """From the result."""
    return grad_output * (1 - output * output).conj()  # type: ignore[attr-defined, no-any-return]


def sigmoid_backward(grad_output: Tensor, output: Tensor) -> Tensor:
    """From the result."""
    return grad_output * ((1 - output) * output).conj()  # type: ignore[attr-defined, no-any-return]


def leaky_relu_backward(grad_output: Tensor, self: Tensor, negative_slope: float, self_is_result: bool) -> Tensor:
    """From the input or, with a slope that is not negative, from the result."""
    return _where(self > 0, grad_output, grad_output * negative_slope)


def elu_backward(
    grad_output: Tensor, alpha: float, scale: float, input_scale: float, is_result: bool, self_or_result: Tensor
) -> Tensor:
    """From the input or, with an `alpha` that is not negative, from the result."""
    x: Any = self_or_result
    below = (x + scale * alpha) * input_scale if is_result else scale * alpha * input_scale * (x * input_scale).exp()
    return _where(x > 0, grad_output * scale, grad_output * below)


def hardtanh_backward(grad_output: Tensor, self: Tensor, min_val: float, max_val: float) -> Tensor:
    """What came strictly between the bounds."""
    inside: Any = (self > min_val) & (self < max_val)  # type: ignore[operator]
    return _where(inside, grad_output, 0)


def log_sigmoid_backward(grad_output: Tensor, self: Tensor, buffer: Tensor) -> Tensor:
    """From the input; the buffer is not needed."""
    return gradients(_functional("logsigmoid"), [self], grad_output)[0]


def prelu_kernel_backward(grad_output: Tensor, self: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """By the input, and by a weight that has the input's dimensions (before it is summed up)."""
    x: Any = self
    return _where(x > 0, grad_output, weight * grad_output), _where(x > 0, 0, x * grad_output)


# --- losses ----------------------------------------------------------------------------------------------------------


def nll_loss_backward(
    grad_output: Tensor, self: Tensor, target: Tensor, weight: Tensor | None, reduction: int, ignore_index: int,
    total_weight: Tensor,
) -> Tensor:  # fmt: skip
    """By the log-probabilities."""
    how = REDUCTIONS[reduction]
    loss = _functional("nll_loss")
    return gradients(lambda x: loss(x, target, weight, ignore_index=ignore_index, reduction=how), [self], grad_output)[
        0
    ]


def binary_cross_entropy_backward(
    grad_output: Tensor, self: Tensor, target: Tensor, weight: Tensor | None = None, reduction: int = 1
) -> Tensor:
    """By the probabilities."""
    loss, how = _functional("binary_cross_entropy"), REDUCTIONS[reduction]
    return gradients(lambda x: loss(x, target, weight, reduction=how), [self], grad_output)[0]


# --- convolution, normalization --------------------------------------------------------------------------------------


def _chosen(
    function: Callable[..., Tensor], inputs: Sequence[Tensor | None], mask: Sequence[bool], gradient: Tensor
) -> tuple[Tensor | None, ...]:
    """The gradients of those inputs that are asked for and there; None for the others."""
    places = [i for i, (x, wanted) in enumerate(zip(inputs, mask, strict=True)) if wanted and x is not None]

    def of(*values: Tensor) -> Tensor:
        given = list(inputs)
        for place, value in zip(places, values, strict=True):
            given[place] = value
        return function(*given)

    found = gradients(of, [inputs[p] for p in places], gradient) if places else ()  # type: ignore[misc]
    made: list[Tensor | None] = [None] * len(inputs)
    for place, value in zip(places, found, strict=True):
        made[place] = value
    return tuple(made)


def convolution_backward(
    grad_output: Tensor, input: Tensor, weight: Tensor, bias_sizes: Any, stride: Any, padding: Any, dilation: Any,
    transposed: bool, output_padding: Any, groups: int, output_mask: Sequence[bool],
) -> Any:  # fmt: skip
    """By input, weight and bias; None where the mask says so."""
    n = weight.ndim - 2
    call = _functional(f"conv{'_transpose' if transposed else ''}{n}d")
    sizes = [tuple(v) * (n if len(v) == 1 else 1) for v in (stride, padding, dilation, output_padding)]
    rest = (sizes[0], sizes[1], sizes[3], groups, sizes[2]) if transposed else (*sizes[:3], groups)
    made = _chosen(
        lambda x, w: call(x, w, None, *rest), [input, weight], output_mask[:2], grad_output
    )  # fmt: skip
    dims = [0, *range(2, grad_output.ndim)]
    return (*made, grad_output.sum(dims) if output_mask[2] else None)  # type: ignore[attr-defined]


def native_layer_norm_backward(
    grad_out: Tensor, input: Tensor, normalized_shape: Any, mean: Tensor, rstd: Tensor, weight: Tensor | None,
    bias: Tensor | None, output_mask: Sequence[bool],
) -> Any:  # fmt: skip
    """By input, weight and bias, from the mean and the reciprocal deviation of each row."""
    shape, g, lead = tuple(normalized_shape), grad_out, input.ndim - len(normalized_shape)
    inner, outer = tuple(range(lead, input.ndim)), tuple(range(lead))
    x: Any = (input - mean) * rstd
    scaled: Any = g if weight is None else g * weight
    by_input = (
        rstd * (scaled - scaled.mean(inner, True) - x * (scaled * x).mean(inner, True)) if output_mask[0] else None
    )
    by_weight = (g * x).sum(outer).reshape(shape) if output_mask[1] and outer else g * x if output_mask[1] else None
    by_bias: Any = g.sum(outer).reshape(shape) if output_mask[2] and outer else g if output_mask[2] else None  # type: ignore[attr-defined]
    return by_input, by_weight, by_bias


def native_group_norm_backward(
    grad_out: Tensor, input: Tensor, mean: Tensor, rstd: Tensor, weight: Tensor | None, N: int, C: int, HxW: int,
    group: int, output_mask: Sequence[bool],
) -> Any:  # fmt: skip
    """By input, weight and bias, from the mean and the reciprocal deviation of each group."""
    x: Any = ((input.reshape(N, group, -1) - mean[..., None]) * rstd[..., None]).reshape(N, C, -1)  # type: ignore[attr-defined]
    g: Any = grad_out.reshape(N, C, -1)  # type: ignore[attr-defined]
    scaled = (g if weight is None else g * weight[:, None]).reshape(N, group, -1)
    rows = x.reshape(N, group, -1)
    inner = scaled - scaled.mean(-1, True) - rows * (scaled * rows).mean(-1, True)
    by_input = (rstd[..., None] * inner).reshape(input.shape) if output_mask[0] else None
    return by_input, (g * x).sum((0, 2)) if output_mask[1] else None, g.sum((0, 2)) if output_mask[2] else None


def native_batch_norm_backward(
    grad_out: Tensor, input: Tensor, weight: Tensor | None, running_mean: Tensor | None, running_var: Tensor | None,
    save_mean: Tensor | None, save_invstd: Tensor | None, train: bool, eps: float, output_mask: Sequence[bool],
) -> Any:  # fmt: skip
    """By input, weight and bias, from each channel's mean and reciprocal deviation (the running ones if not in training)."""
    dims, column = [0, *range(2, input.ndim)], (1, -1, *[1] * (input.ndim - 2))
    mean: Any = save_mean if train else running_mean
    scale: Any = save_invstd if train else (running_var + eps).rsqrt()  # type: ignore[operator, union-attr]
    g: Any = grad_out
    x = (input - mean.view(column)) * scale.view(column)
    by_bias, by_weight = g.sum(dims), (g * x).sum(dims)
    factor = (scale if weight is None else scale * weight).view(column)
    inner = g
    if train:
        count = input.numel() // max(len(by_bias), 1)
        inner = g - by_bias.view(column) / count - x * by_weight.view(column) / count
    return (
        inner * factor if output_mask[0] else None,
        by_weight if output_mask[1] else None,
        by_bias if output_mask[2] else None,
    )


# --- places ----------------------------------------------------------------------------------------------------------


def _into(gradient: Tensor, sizes: Sequence[int], view: Callable[[Tensor], Tensor]) -> Tensor:
    """The gradient in its places of zeros of this size."""
    zeros = gradient.new_zeros(tuple(sizes))  # type: ignore[attr-defined]
    return gradients(lambda x: view(x), [zeros], gradient)[0]


def select_backward(grad_output: Tensor, input_sizes: Any, dim: int, index: int) -> Tensor:
    """Zeros, but for the place that was selected."""
    return _into(grad_output, input_sizes, lambda x: x.select(dim, index))  # type: ignore[attr-defined, no-any-return]


def slice_backward(grad_output: Tensor, input_sizes: Any, dim: int, start: int, end: int, step: int) -> Tensor:
    """Zeros, but for the places of the slice."""
    key = (slice(None),) * (dim % len(input_sizes)) + (slice(start, end, step),)
    return _into(grad_output, input_sizes, lambda x: x[key])


def diagonal_backward(grad_output: Tensor, input_sizes: Any, offset: int, dim1: int, dim2: int) -> Tensor:
    """Zeros, but for the diagonal."""
    return _into(grad_output, input_sizes, lambda x: x.diagonal(offset, dim1, dim2))  # type: ignore[attr-defined, no-any-return]


def unfold_backward(grad_in: Tensor, input_sizes: Any, dim: int, size: int, step: int) -> Tensor:
    """The sum of what the windows say of each place."""
    return _into(grad_in, input_sizes, lambda x: x.unfold(dim, size, step))  # type: ignore[attr-defined, no-any-return]


def trace_backward(grad: Tensor, sizes: Any) -> Tensor:
    """The gradient on the diagonal of zeros."""
    return _into(grad, sizes, _functional("trace"))


def index_select_backward(grad: Tensor, self_sizes: Any, dim: int, index: Tensor) -> Tensor:
    """Added up in the places that were selected."""
    return _into(grad, self_sizes, lambda x: x.index_select(dim, index))  # type: ignore[attr-defined, no-any-return]


def embedding_dense_backward(
    grad_output: Tensor, indices: Tensor, num_weights: int, padding_idx: int, scale_grad_by_freq: bool
) -> Tensor:
    """Added up in the rows that were looked up; that of `padding_idx` stays zero."""
    table = grad_output.new_zeros((num_weights, grad_output.shape[-1]))  # type: ignore[attr-defined]
    place = padding_idx if padding_idx >= 0 else None
    look_up = _functional("embedding")
    return gradients(
        lambda w: look_up(indices, w, padding_idx=place, scale_grad_by_freq=scale_grad_by_freq), [table], grad_output
    )[0]


def adaptive_avg_pool_backward(name: str) -> Callable[..., Tensor]:
    """The gradient of adaptive pools, whose sizes the gradient tells."""

    def backward(grad_output: Tensor, self: Tensor) -> Tensor:
        sizes = tuple(grad_output.shape[-int(name[-2]) :])
        return gradients(lambda x: _functional(name)(x, sizes), [self], grad_output)[0]

    return backward


def _pool(name: str) -> Callable[..., Tensor]:
    def backward(grad_output: Tensor, self: Tensor, kernel_size: Any, stride: Any, padding: Any, *rest: Any) -> Tensor:
        step = tuple(stride) or None
        pool = _functional(name)
        return gradients(
            lambda x: pool(x, tuple(kernel_size), step, tuple(padding), *rest), [self], grad_output
        )[0]  # fmt: skip

    return backward


def _padding(mode: str) -> Callable[..., Tensor]:
    def backward(grad_output: Tensor, self: Tensor, padding: Any) -> Tensor:
        return gradients(lambda x: _functional("pad")(x, list(padding), mode=mode), [self], grad_output)[0]

    return backward


GRADIENTS: dict[str, Callable[..., Any]] = {
    "gelu_backward": _of("gelu", "approximate"), "silu_backward": _of("silu"), "mish_backward": _of("mish"),
    "hardswish_backward": _of("hardswish"), "hardsigmoid_backward": _of("hardsigmoid"),
    "softplus_backward": _of("softplus", "beta", "threshold"), "softshrink_backward": _of("softshrink", "lambd"),
    "hardshrink_backward": _of("hardshrink", "lambd"), "glu_backward": _of("glu", "dim"), "logit_backward": _of("logit", "eps"),
    "mse_loss_backward": _of_pair("mse_loss"), "smooth_l1_loss_backward": _of_pair("smooth_l1_loss", "beta"),
    "huber_loss_backward": _of_pair("huber_loss", "delta"), "soft_margin_loss_backward": _of_pair("soft_margin_loss"),
    "nll_loss2d_backward": nll_loss_backward, "_prelu_kernel_backward": prelu_kernel_backward,
    "_adaptive_avg_pool2d_backward": adaptive_avg_pool_backward("adaptive_avg_pool2d"),
    "_adaptive_avg_pool3d_backward": adaptive_avg_pool_backward("adaptive_avg_pool3d"),
    "avg_pool2d_backward": _pool("avg_pool2d"), "avg_pool3d_backward": _pool("avg_pool3d"),
    **{f"reflection_pad{n}d_backward": _padding("reflect") for n in (1, 2, 3)},
    **{f"replication_pad{n}d_backward": _padding("replicate") for n in (1, 2, 3)},
    **{f.__name__: f for f in (
        tanh_backward, sigmoid_backward, leaky_relu_backward, elu_backward, hardtanh_backward, log_sigmoid_backward,
        nll_loss_backward, binary_cross_entropy_backward, convolution_backward, native_layer_norm_backward,
        native_group_norm_backward, native_batch_norm_backward, select_backward, slice_backward, diagonal_backward,
        unfold_backward, trace_backward, index_select_backward, embedding_dense_backward)},
}  # fmt: skip
