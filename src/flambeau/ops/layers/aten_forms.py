"""What PyTorch's layers are made of, by the names that it gives to these pieces: `torch.ops.aten`, and some private ones of `torch`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...core.array.dtypes import BOOL, INTEGER, as_dtype, float16, uint8
from ...core.dispatch.operator import composite, namespaces
from ...core.tensor.tensor import Tensor
from ..shape.joining import cat
from . import resampling
from .activation import _elu_of_scales as cut_at_zero
from .activation import _softmax as softmax
from .native_forms import native_batch_norm
from .padding import constant_pad_nd


def _torch(name: str) -> Callable[..., Any]:
    return namespaces["torch"][name]  # type: ignore[no-any-return]


# --- normalization, dropout, softmax ---------------------------------------------------------------------------------


@composite(methods=False)
def _native_batch_norm_legit(input: Tensor, weight: Tensor | None, bias: Tensor | None, *rest: Any) -> Any:
    """`native_batch_norm`; the running statistics (before `training, momentum, eps`) may be left out."""
    running, options = rest[:-3] or (None, None), rest[-3:]
    return native_batch_norm(input, weight, bias, *running, *options)


def batch_norm_with_update(
    input: Tensor, weight: Any, bias: Any, running_mean: Tensor, running_var: Tensor, momentum: float, eps: float
) -> tuple[Tensor, ...]:
    """`native_batch_norm` in training, and the (empty) bytes that a kernel keeps for its backward."""
    made = native_batch_norm(input, weight, bias, running_mean, running_var, True, momentum, eps)
    return *made, input.new_zeros((0,), dtype=uint8)  # type: ignore[attr-defined]


def native_dropout_backward(grad_output: Tensor, mask: Tensor, scale: float) -> Tensor:
    """The gradient where elements were kept, scaled."""
    return grad_output * mask * scale  # type: ignore[operator, no-any-return]


def _in_dtype(made: Tensor, input_dtype: Any) -> Tensor:
    return made.to(as_dtype(input_dtype))  # type: ignore[attr-defined, no-any-return]


def _check_backward(kernel: str, grad_output: Tensor, output: Tensor, input_dtype: Any) -> None:
    """PyTorch's CPU has one dtype for all; `input_dtype` may be another for halves, which raises there."""
    given, wanted = grad_output.dtype, as_dtype(input_dtype)
    if not given.is_floating_point:
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{given.abbr}'")
    for other in (output.dtype, wanted if wanted is float16 else given):
        if other is not given:
            raise RuntimeError(f"expected scalar type {given.abbr} but found {other.abbr}")


@composite(methods=False)
def _softmax_backward_data(grad_output: Tensor, output: Tensor, dim: int, input_dtype: Any) -> Tensor:
    """The gradient of `softmax` by its input, from its output."""
    _check_backward("softmax_backward_lastdim_kernel_impl", grad_output, output, input_dtype)
    share = grad_output * output
    return share - output * share.sum(dim, keepdim=True)  # type: ignore[no-any-return, attr-defined, operator]


@composite(methods=False)
def _log_softmax_backward_data(grad_output: Tensor, output: Tensor, dim: int, input_dtype: Any) -> Tensor:
    """The gradient of `log_softmax` by its input, from its output."""
    return _in_dtype(grad_output - output.exp() * grad_output.sum(dim, keepdim=True), input_dtype)


def safe_softmax(self: Tensor, dim: int, dtype: Any = None) -> Tensor:
    """`softmax`, 0 where all is -inf."""
    nowhere = (self == -np.inf).all(dim, keepdim=True)  # type: ignore[attr-defined]
    made = softmax(self.masked_fill(nowhere, 0), dim, dtype=dtype)  # type: ignore[attr-defined]
    return made.masked_fill(nowhere, 0)  # type: ignore[no-any-return, attr-defined]


# --- pooling and resampling ------------------------------------------------------------------------------------------


def max_pool2d_with_indices_backward(
    grad_output: Tensor, self: Tensor, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool,
    indices: Tensor,
) -> Tensor:  # fmt: skip
    """Each gradient at the place of its maximum; of places that are several maxima, the sum."""
    if self.dtype.category in (BOOL, INTEGER):
        raise NotImplementedError(f"\"max_pool2d_backward\" not implemented for '{self.dtype.abbr}'")
    flat = grad_output.new_zeros((*self.shape[:-2], self.shape[-2] * self.shape[-1]))  # type: ignore[attr-defined]
    return flat.scatter_add(-1, indices.flatten(-2), grad_output.flatten(-2)).view(self.shape)  # type: ignore[no-any-return, attr-defined]


def _resampling(operation: Any, smooth: bool) -> Callable[..., Tensor]:
    """A kernel of resampling: sizes, whether corners are aligned (but for the nearest), then a factor for each dimension.

    The form with a list takes it in the place of the sizes, as `interpolate` does.
    """

    def form(input: Tensor, output_size: Sequence[int] | None, *rest: Any) -> Tensor:
        align_corners, factors = (rest[0], rest[1:]) if smooth else (False, rest)
        if len(factors) == 1 and isinstance(factors[0], (list, tuple)):
            factors = tuple(factors[0])
        spatial = tuple(input.shape[2:])
        if output_size is None:
            sizes, used = resampling._wanted_sizes(spatial, None, factors, None)
        else:
            sizes, used = tuple(output_size), tuple(factors) + (None,) * (len(spatial) - len(factors))
            used = tuple(f if f is None else float(f) for f in used) if None not in factors else (None,) * len(spatial)
        return operation(input, sizes, used, bool(align_corners))  # type: ignore[no-any-return]

    return form


RESAMPLING = {
    **{
        f"{name}{n}d": _resampling(resampling._NEAREST[mode], False)
        for name, mode in (("upsample_nearest", "nearest"), ("_upsample_nearest_exact", "nearest-exact"))
        for n in (1, 2, 3)
    },
    **{f"upsample_{mode}{n}d": _resampling(operation, True) for (mode, n), operation in resampling._SMOOTH.items()},
    **{f"_upsample_{mode}2d_aa": _resampling(operation, True) for mode, operation in resampling._ANTIALIASED.items()},
}


# --- parts of tensors ------------------------------------------------------------------------------------------------


@composite(methods=False)
def _chunk_cat(tensors: Sequence[Tensor], dim: int, num_chunks: int, *, out: Tensor | None = None) -> Tensor:
    """Each tensor in `num_chunks` pieces of a dimension (zeros fill the last), flat; the pieces of all, one after the other."""
    expects = "_chunk_cat expects"
    if num_chunks < 1:
        raise RuntimeError(f"{expects} positive num_chunks")
    if not tensors:
        raise RuntimeError(f"{expects} a non-empty input tensor list")
    first = tensors[0]
    if dim < 0 and any(t.ndim != first.ndim for t in tensors):
        raise RuntimeError(f"{expects} non-negative dim when input tensors have different ndims")
    flat = []
    for tensor in tensors:
        at = dim + tensor.ndim if dim < 0 else dim
        if not 0 <= at < tensor.ndim:
            raise RuntimeError(f"{expects} dim < ndim for all input tensors")
        if not tensor.numel():
            raise RuntimeError(f"{expects} non-empty tensor")
        if tensor.shape[:at] != first.shape[:at]:
            raise RuntimeError(f"{expects} same sizes of 0,...,dim-1 dimensions for all tensors")
        if tensor.dtype is not first.dtype:
            raise RuntimeError(f"{expects} all input tensors with the same dtype")
        missing = -tensor.shape[at] % num_chunks
        widths = [0, 0] * (tensor.ndim - 1 - at) + [0, missing]
        whole = constant_pad_nd(tensor, widths) if missing else tensor
        flat.append(whole.reshape(*tensor.shape[:at], num_chunks, -1))
    return cat(flat, -1, out=out) if out is not None else cat(flat, -1)  # type: ignore[no-any-return]


def _inside(self: Tensor, indices: Sequence[Tensor | None]) -> tuple[Any, ...]:
    sizes = zip(indices, self.shape, strict=False)
    return tuple(slice(None) if i is None else i.clamp(-n, n - 1) for i, n in sizes)  # type: ignore[attr-defined]


@composite(methods=False)
def _unsafe_masked_index(self: Tensor, mask: Tensor, indices: Sequence[Tensor | None], fill: Any) -> Tensor:
    """`self[indices]` where the mask is set, elsewhere `fill`: there the indices may be any."""
    return self[_inside(self, indices)].masked_fill(~mask, fill)  # type: ignore[no-any-return, index]


@composite(methods=False)
def _unsafe_masked_index_put_accumulate(
    self: Tensor, mask: Tensor, indices: Sequence[Tensor | None], values: Tensor
) -> Tensor:
    """`values` added at `indices` where the mask is set."""
    given = values.masked_fill(~mask, 0)  # type: ignore[attr-defined, operator]
    return self.index_put(_inside(self, indices), given, accumulate=True)  # type: ignore[attr-defined, no-any-return]


def elu(input: Tensor, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> Tensor:
    """`scale * x` above 0, `scale * alpha * (exp(input_scale * x) - 1)` below."""
    return cut_at_zero(input, alpha, input_scale, scale)


def rsub(input: Tensor, other: Any, alpha: Any = 1) -> Tensor:
    """`other - alpha * input`, with `alpha` by its place, too."""
    return _torch("rsub")(input, other, alpha=alpha)  # type: ignore[no-any-return]


FORMS = {
    "elu": elu, "rsub": rsub,
    "_batch_norm_with_update": batch_norm_with_update, "native_dropout_backward": native_dropout_backward,
    "_safe_softmax": safe_softmax, "max_pool2d_with_indices_backward": max_pool2d_with_indices_backward, **RESAMPLING,
}  # fmt: skip
