"""Layers under the names of one library's kernels (`cudnn_*`, `mkldnn_*`, `fbgemm_*`), and the pieces of `SyncBatchNorm`.

A name that PyTorch refuses for tensors on the CPU is refused here in the same way; on a GPU it computes where there is a form.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from ...core.array import dtypes
from ...core.context.grad_mode import no_grad
from ...core.dispatch.operator import Array, Static, composite, namespaces, operator
from ...core.tensor.tensor import Tensor
from ..linalg.names import norm
from ..making.constants import full
from ..making.creation import from_numpy
from ..support.checks import wide
from . import normalization
from .linear import linear
from .native_forms import _seen, convolution, native_batch_norm
from .recurrent import lstm
from .sampling import affine_grid_generator, grid_sampler


def _torch(name: str) -> Callable[..., Any]:
    return namespaces["torch"][name]  # type: ignore[no-any-return]


def _refuse(name: str, *given: Any) -> None:
    device = next((t.device.type for t in given if isinstance(t, Tensor)), "cpu").upper()
    raise NotImplementedError(
        f"Could not run 'aten::{name}' with arguments from the '{device}' backend. It is a kernel of one library; the public "
        "function for it computes on every device"
    )


# --- the pieces of SyncBatchNorm: statistics of each process, joined by all ------------------------------------------


@composite(methods=False)
def batch_norm_stats(input: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Each channel's mean, and 1 over its standard deviation, over all dimensions but 1. Without gradients."""
    return _seen(input, (0, *range(2, input.ndim)), eps)[:2]


@operator(methods=False)
def batch_norm_elemt(
    input: Array, weight: Array | None, bias: Array | None, mean: Array, invstd: Array, eps: float
) -> Array:
    """Normalize each channel by given statistics: `(input - mean) * invstd * weight + bias`. `eps` is in `invstd` already."""
    x = wide(input)
    rest = [None if p is None else normalization._per_channel(wide(p), x.ndim) for p in (weight, bias)]
    m, s = (normalization._per_channel(wide(p), x.ndim) for p in (mean, invstd))
    return normalization._affine((x - m) * s, *rest).astype(input.dtype)


@operator(methods=False, public=())
def _joined_statistics(mean: Array, invstd: Array, counts: Array, eps: Static[float]) -> Any:
    m, n = wide(mean), counts.astype(wide(mean).dtype)[:, None]
    variance = 1 / jnp.square(wide(invstd)) - eps
    total = jnp.sum(n)
    joined = jnp.sum(n * m, 0) / total
    squares = jnp.sum(n * (variance + jnp.square(m - joined)), 0)  # Chan, Golub and LeVeque, 1983
    return joined, lax.rsqrt(squares / total + eps), squares / (total - 1)


@composite(methods=False)
def batch_norm_gather_stats_with_counts(
    input: Tensor, mean: Tensor, invstd: Tensor, running_mean: Tensor | None, running_var: Tensor | None,
    momentum: float, eps: float, counts: Tensor,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The statistics of several batches together; the running ones are moved towards them by `momentum`.

    Shapes: `mean` and `invstd` are `(batches, C)`, `counts` (how many values each channel has) is `(batches,)`.
    """
    with no_grad():
        joined, inverse, variance = _joined_statistics(mean, invstd, counts.reshape(-1), float(eps))
        for old, new in ((running_mean, joined), (running_var, variance)):
            if old is not None:
                old.copy_(old * (1 - momentum) + new.to(old.dtype) * momentum)
    return joined, inverse


@composite(methods=False)
def batch_norm_gather_stats(
    input: Tensor, mean: Tensor, invstd: Tensor, running_mean: Tensor | None, running_var: Tensor | None,
    momentum: float, eps: float, count: int,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """`batch_norm_gather_stats_with_counts` of batches that all have `count` values for each channel."""
    counts = full((mean.shape[0],), float(count), dtype=dtypes.float32, device=mean.device)
    return batch_norm_gather_stats_with_counts(  # type: ignore[no-any-return]
        input, mean, invstd, running_mean, running_var, momentum, eps, counts
    )


def _shaped(values: Any, ndim: int) -> Any:
    """One value per channel, as it is multiplied with an input of so many dimensions."""
    return values.reshape((1, -1) + (1,) * (ndim - 2))


@composite(methods=False)
def batch_norm_backward_reduce(
    grad_out: Tensor,
    input: Tensor,
    mean: Tensor,
    invstd: Tensor,
    weight: Tensor | None,
    input_g: bool,
    weight_g: bool,
    bias_g: bool,
) -> tuple[Tensor | None, ...]:
    """Each channel's sum of gradients, their sum times what the input is off the mean, the weight's gradient, the bias's.

    What isn't asked for is None.
    """
    axes = (0, *range(2, input.ndim))
    kind = mean.dtype
    off = input.to(kind) - _shaped(mean, input.ndim)
    total, product = grad_out.to(kind).sum(axes), (grad_out.to(kind) * off).sum(axes)
    result = kind if weight is None else weight.dtype
    return (
        total if input_g else None,
        product if input_g else None,
        (product * invstd).to(result) if weight_g else None,
        total.to(result) if bias_g else None,
    )


@composite(methods=False)
def batch_norm_backward_elemt(
    grad_out: Tensor,
    input: Tensor,
    mean: Tensor,
    invstd: Tensor,
    weight: Tensor | None,
    sum_dy: Tensor,
    sum_dy_xmu: Tensor,
    count: Tensor,
) -> Tensor:
    """The gradient by the input, from the sums of all batches and how many values each of them has for a channel."""
    kind, n = mean.dtype, count.sum()
    shaped = [_shaped(v.to(kind), input.ndim) for v in (mean, invstd, sum_dy / n, sum_dy_xmu / n)]
    middle, inverse, share, slope = shaped
    made = (grad_out.to(kind) - share - (input.to(kind) - middle) * inverse.square() * slope) * inverse
    if weight is not None:
        made = made * _shaped(weight.to(kind), input.ndim)
    return made.to(input.dtype)  # type: ignore[no-any-return]


# --- oneDNN, as PyTorch has it for ordinary tensors on the CPU --------------------------------------------------------


@composite(methods=False)
def mkldnn_convolution(
    self: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    padding: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> Tensor:
    """`convolution`, not transposed."""
    return convolution(self, weight, bias, stride, padding, dilation, False, (0,), groups)  # type: ignore[no-any-return]


@composite(methods=False)
def mkldnn_rnn_layer(
    input: Tensor,
    weight0: Tensor,
    weight1: Tensor,
    weight2: Tensor,
    weight3: Tensor,
    hx_: Tensor,
    cx_: Tensor,
    reverse: bool,
    batch_sizes: Sequence[int],
    mode: int,
    hidden_size: int,
    num_layers: int,
    has_biases: bool,
    bidirectional: bool,
    batch_first: bool,
    train: bool,
) -> tuple[Tensor, ...]:
    """One layer and direction of an LSTM (`mode` 2), its last states, and the (empty) bytes of the kernel.

    `reverse` goes from the last step to the first. NotImplementedError for other modes, `batch_sizes` and several layers.
    """
    if mode != 2 or batch_sizes or num_layers != 1 or bidirectional:
        raise NotImplementedError(
            "mkldnn_rnn_layer: one layer and direction of an LSTM (mode 2) of a padded batch; torch.lstm, gru and rnn_tanh have the rest"
        )
    weights = [weight0, weight1, *((weight2, weight3) if has_biases else ())]
    steps = input.flip(0) if reverse else input
    out, h, c = lstm(steps, (hx_, cx_), weights, has_biases, 1, 0.0, train, False, False)
    return out.flip(0) if reverse else out, h, c, input.new_zeros((0,), dtype=dtypes.uint8)


# --- FBGEMM: products with a weight of half precision, or of 8 bits ---------------------------------------------------


def _scale_and_zero(low: Any, high: Any, first: int, last: int) -> tuple[Any, Any]:
    """How numbers between `low` and `high`, and 0, are laid on the whole numbers from `first` to `last`."""
    low, high = np.minimum(np.float32(low), 0), np.maximum(np.float32(high), 0)
    scale = float((np.float64(high) - np.float64(low)) / (last - first)) or 0.1
    scale = float(np.float32(scale))
    at_low, at_high = first - low / np.float64(scale), last - high / np.float64(scale)
    nearer_low = abs(first) + abs(low / np.float64(scale)) < abs(last) + abs(high / np.float64(scale))
    zero = int(np.clip(np.rint(at_low if nearer_low else at_high), first, last))
    return scale, zero


def _quantized(values: np.ndarray, scale: float, zero: int, kind: Any) -> np.ndarray:
    limits = np.iinfo(kind)
    moved = np.float32(zero) + values.astype(np.float32) * (np.float32(1) / np.float32(scale))
    return np.clip(np.rint(moved), limits.min, limits.max).astype(kind)


def _host(tensor: Tensor) -> np.ndarray:
    return np.asarray(tensor.detach().cpu().numpy())


@composite(methods=False)
def fbgemm_linear_quantize_weight(input: Tensor) -> tuple[Tensor, Tensor, float, int]:
    """A weight in 8 bits: `input` is about `(quantized - zero) * scale`. Then each row's sum less its zeros, scale and zero."""
    values = _host(input.float())
    low, high = (values.min(), values.max()) if values.size else (0, 0)
    scale, zero = _scale_and_zero(low, high, -128, 127)
    made = _quantized(values, scale, zero, np.int8)
    offsets = made.astype(np.int32).sum(1) - zero * made.shape[1]
    return from_numpy(made), from_numpy(offsets.astype(np.int32)), scale, zero


@composite(methods=False)
def fbgemm_pack_quantized_matrix(input: Tensor, K: int | None = None, N: int | None = None) -> Tensor:
    """A weight of 8 bits as bytes that `fbgemm_linear_int8_weight` takes; PyTorch's own hold addresses."""
    return input.contiguous().view(dtypes.uint8).reshape(-1)  # type: ignore[no-any-return]


@composite(methods=False)
def fbgemm_linear_int8_weight_fp32_activation(
    input: Tensor, weight: Tensor, packed: Tensor, col_offsets: Tensor, weight_scale: float, weight_zero_point: int,
    bias: Tensor,
) -> Tensor:  # fmt: skip
    """`linear` with a weight of 8 bits: the input is laid on 8 bits, too, and products are of whole numbers. No gradients."""
    values = _host(input.float())
    low, high = (values.min(), values.max()) if values.size else (0, 0)
    scale, zero = _scale_and_zero(low, high, 0, 255)
    x = _quantized(values, scale, zero, np.uint8).astype(np.float64) - zero
    w = _host(packed).view(np.int8).reshape(tuple(weight.shape)).astype(np.float64) - int(weight_zero_point)
    product = (x @ w.T).astype(np.float32) * (np.float32(scale) * np.float32(weight_scale))
    return from_numpy(product + _host(bias))  # type: ignore[no-any-return]


@composite(methods=False)
def fbgemm_linear_int8_weight(
    input: Tensor, weight: Tensor, packed: Tensor, col_offsets: Tensor, weight_scale: float, weight_zero_point: int,
    bias: Tensor,
) -> Tensor:  # fmt: skip
    """The older name of `fbgemm_linear_int8_weight_fp32_activation`."""
    return fbgemm_linear_int8_weight_fp32_activation(  # type: ignore[no-any-return]
        input, weight, packed, col_offsets, weight_scale, weight_zero_point, bias
    )


@composite(methods=False)
def fbgemm_pack_gemm_matrix_fp16(input: Tensor) -> Tensor:
    """A weight in half precision as bytes that `fbgemm_linear_fp16_weight` takes; PyTorch's own hold addresses."""
    largest = float(np.finfo(np.float16).max)
    return input.detach().float().clamp(-largest, largest).half().contiguous().view(dtypes.uint8).reshape(-1)  # type: ignore[no-any-return]


@composite(methods=False)
def fbgemm_linear_fp16_weight_fp32_activation(input: Tensor, packed_weight: Tensor, bias: Tensor | None) -> Tensor:
    """`linear` with a weight in half precision; products are of float32."""
    weight = packed_weight.view(dtypes.float16).reshape(-1, input.shape[-1]).float()
    return linear(input, weight, bias)  # type: ignore[no-any-return]


@composite(methods=False)
def fbgemm_linear_fp16_weight(input: Tensor, packed_weight: Tensor, bias: Tensor) -> Tensor:
    """The older name of `fbgemm_linear_fp16_weight_fp32_activation`."""
    return fbgemm_linear_fp16_weight_fp32_activation(input, packed_weight, bias)  # type: ignore[no-any-return]


# --- cuDNN: XLA has its kernels, and chooses between them -------------------------------------------------------------


def _on_a_gpu(form: Callable[..., Any]) -> Any:
    """The form, refused for tensors that are on no GPU."""

    def asked(self: Tensor, *args: Any, **kwargs: Any) -> Any:
        if not (isinstance(self, Tensor) and self.is_cuda):
            _refuse(form.__name__, self)
        return form(self, *args, **kwargs)

    asked.__name__ = asked.__qualname__ = form.__name__
    asked.__doc__ = form.__doc__
    return composite(methods=False)(asked)


@_on_a_gpu
def cudnn_convolution(
    self: Tensor, weight: Tensor, padding: Any, stride: Any, dilation: Any, groups: int, *settings: bool
) -> Tensor:
    """`convolution` without a bias, on a GPU. The settings of cuDNN are XLA's."""
    return convolution(self, weight, None, stride, padding, dilation, False, (0,), groups)  # type: ignore[no-any-return]


@_on_a_gpu
def cudnn_convolution_transpose(
    self: Tensor,
    weight: Tensor,
    padding: Any,
    output_padding: Any,
    stride: Any,
    dilation: Any,
    groups: int,
    *settings: bool,
) -> Tensor:
    """The transposed `convolution` without a bias, on a GPU."""
    return convolution(self, weight, None, stride, padding, dilation, True, output_padding, groups)  # type: ignore[no-any-return]


@_on_a_gpu
def cudnn_convolution_relu(
    self: Tensor, weight: Tensor, bias: Tensor | None, stride: Any, padding: Any, dilation: Any, groups: int
) -> Tensor:
    """`convolution`, then `relu`, on a GPU."""
    return convolution(self, weight, bias, stride, padding, dilation, False, (0,), groups).relu()  # type: ignore[no-any-return]


@_on_a_gpu
def cudnn_convolution_add_relu(
    self: Tensor,
    weight: Tensor,
    z: Tensor,
    alpha: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
) -> Tensor:
    """`convolution` plus `alpha * z`, then `relu`, on a GPU."""
    made = convolution(self, weight, bias, stride, padding, dilation, False, (0,), groups)
    return (made + (1 if alpha is None else alpha) * z).relu()  # type: ignore[no-any-return]


@_on_a_gpu
def cudnn_grid_sampler(self: Tensor, grid: Tensor) -> Tensor:
    """`grid_sampler`: linear, zeros outside, corners aligned; on a GPU."""
    return grid_sampler(self, grid, 0, 0, True)  # type: ignore[no-any-return]


@_on_a_gpu
def cudnn_affine_grid_generator(theta: Tensor, N: int, C: int, H: int, W: int) -> Tensor:
    """`affine_grid` with corners aligned, on a GPU."""
    return affine_grid_generator(theta, (N, C, H, W), True)  # type: ignore[no-any-return]


@_on_a_gpu
def cudnn_batch_norm(
    input: Tensor,
    weight: Tensor,
    bias: Any,
    running_mean: Any,
    running_var: Any,
    training: bool,
    momentum: float,
    epsilon: float,
) -> tuple[Tensor, ...]:
    """`native_batch_norm`, and the (empty) bytes that cuDNN would keep; on a GPU."""
    made = native_batch_norm(input, weight, bias, running_mean, running_var, training, momentum, epsilon)
    return *made, input.new_zeros((0,), dtype=dtypes.uint8)


@composite(methods=False)
def cudnn_is_acceptable(self: Tensor) -> bool:
    """Whether cuDNN takes a tensor: where it lies on a GPU and has elements of 16, 32 or 64 bits."""
    kinds = (dtypes.float16, dtypes.bfloat16, dtypes.float32, dtypes.float64)
    return self.is_cuda and self.numel() > 0 and self.dtype in kinds


# --- what no device here has ------------------------------------------------------------------------------------------


def _refused(name: str) -> None:
    def form(*args: Any, **kwargs: Any) -> Any:
        _refuse(name, *args, *kwargs.values())

    form.__name__ = form.__qualname__ = name
    form.__doc__ = "Refused, as PyTorch does for tensors of this device."
    globals()[name] = composite(methods=False)(form)


for _name in """miopen_batch_norm miopen_convolution miopen_convolution_add_relu miopen_convolution_relu miopen_convolution_transpose
miopen_ctc_loss miopen_depthwise_convolution miopen_rnn mkldnn_adaptive_avg_pool2d mkldnn_linear_backward_weights mkldnn_max_pool2d
mkldnn_max_pool3d""".split():
    _refused(_name)


@composite(methods=False)
def native_norm(self: Tensor, p: Any = 2, dim: Any = (), keepdim: bool = False, dtype: Any = None) -> Tensor:
    """`norm` of a sparse tensor's values; other tensors are refused, as PyTorch does."""
    if not self.is_sparse:
        _refuse("native_norm", self)
    return norm(self, p, dim or None, keepdim, dtype=dtype)  # type: ignore[no-any-return]
