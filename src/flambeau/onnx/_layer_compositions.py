"""Layers, losses and rearrangements that ONNX has no operator for, written with functions that have a form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..core.array.dtypes import int64
from ..core.tensor.tensor import Tensor
from ..nn import functional as F
from ._compositions import _reduced, _torch, composed
from ._graph import Unsupported
from ._value_compositions import counted

# --- rearranged ------------------------------------------------------------------------------------------------------


def _part(input: Tensor, dim: int, start: int | None, stop: int | None, step: int = 1) -> Tensor:
    return input[(*(slice(None),) * (dim % input.ndim), slice(start, stop, step))]


@composed("roll")
def _roll(input: Tensor, shifts: Any, dims: Any = None) -> Tensor:
    """By places that are counted, so that it holds for dimensions of other sizes, shorter than the shift among them."""
    if dims is None or dims in ((), []):
        return _roll(input.reshape(-1), shifts, 0).view_as(input)
    if not input.numel():
        raise Unsupported("no elements")
    several = isinstance(shifts, (list, tuple))
    for shift, dim in zip(
        shifts if several else [shifts], dims if isinstance(dims, (list, tuple)) else [dims], strict=True
    ):
        line = input
        for d in reversed(range(input.ndim)):
            line = line if d == dim % input.ndim else line.select(d, 0)
        places = counted(line, 0)
        input = input.index_select(dim, (places - shift).remainder(places.max() + 1))
    return input


@composed("fliplr")
def _fliplr(input: Tensor) -> Tensor:
    return input.flip(1)


@composed("flipud")
def _flipud(input: Tensor) -> Tensor:
    return input.flip(0)


@composed("rot90")
def _rot90(input: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    first, second = dims
    if k % 4 == 0:
        return input.clone()
    if k % 4 == 2:
        return input.flip(first, second)
    return (input.flip(second) if k % 4 == 1 else input.flip(first)).transpose(first, second)


@composed("ravel")
def _ravel(input: Tensor) -> Tensor:
    return input.reshape(-1)


@composed("diff")
def _diff(input: Tensor, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None) -> Tensor:
    parts = [part for part in (prepend, input, append) if part is not None]
    made = _torch().cat(parts, dim) if len(parts) > 1 else input
    for _ in range(n):
        made = _part(made, dim, 1, None) - _part(made, dim, None, -1)
    return made


@composed("diag_embed")
def _diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    if (dim1 % (input.ndim + 1), dim2 % (input.ndim + 1)) != (input.ndim - 1, input.ndim):
        raise Unsupported("other dimensions than the last two")
    wide = F.pad(input, (offset, 0) if offset > 0 else (0, -offset)) if offset else input
    places = counted(wide, -1)
    return wide.unsqueeze(-2).masked_fill(places.unsqueeze(-2).ne(places.unsqueeze(-1) + offset), 0)


@composed("diagonal")
def _diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The one that begins in the first row and ends in the last column or row."""
    rows, columns = input.shape[dim1], input.shape[dim2]
    count = max(min(rows + min(offset, 0), columns - max(offset, 0)), 0)
    turned = input.movedim((dim1, dim2), (-2, -1))
    turned = turned.unflatten(-2, (rows,)).unflatten(-1, (columns,)).flatten(-2)  # so that other sizes are refused
    places = [(i + max(-offset, 0)) * columns + i + max(offset, 0) for i in range(count)]
    return turned.index_select(-1, _torch().tensor(places, dtype=int64))


@composed("diag")
def _diag(input: Tensor, diagonal: int = 0) -> Tensor:
    return _diag_embed(input, diagonal) if input.ndim == 1 else _diagonal(input, diagonal)


@composed("broadcast_tensors")
def _broadcast_tensors(*tensors: Any) -> tuple[Tensor, ...]:
    parts = tuple(tensors[0]) if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors
    whole = sum(
        (_torch().zeros_like(part, dtype=int64) for part in parts[1:]), _torch().zeros_like(parts[0], dtype=int64)
    )
    return tuple(part.expand_as(whole) for part in parts)


@composed("column_stack")
def _column_stack(tensors: Sequence[Tensor]) -> Tensor:
    return _torch().cat([t if t.ndim > 1 else t.reshape(-1, 1) for t in tensors], 1)


@composed("dstack")
def _dstack(tensors: Sequence[Tensor]) -> Tensor:
    deep = [t if t.ndim > 2 else t.unsqueeze(-1) if t.ndim == 2 else t.reshape(1, -1, 1) for t in tensors]
    return _torch().cat(deep, 2)


@composed("hsplit")
def _hsplit(input: Tensor, sizes: Any) -> Any:
    return input.tensor_split(sizes, 0 if input.ndim == 1 else 1)


@composed("vsplit")
def _vsplit(input: Tensor, sizes: Any) -> Any:
    return input.tensor_split(sizes, 0)


@composed("dsplit")
def _dsplit(input: Tensor, sizes: Any) -> Any:
    return input.tensor_split(sizes, 2)


@composed("select_scatter")
def _select_scatter(input: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    made = input.clone()
    made[(*(slice(None),) * (dim % input.ndim), index)] = src
    return made


@composed("slice_scatter")
def _slice_scatter(
    input: Tensor, src: Tensor, dim: int = 0, start: Any = None, end: Any = None, step: int = 1
) -> Tensor:
    made = input.clone()
    made[(*(slice(None),) * (dim % input.ndim), slice(start, end, step))] = src
    return made


@composed("take_along_dim")
def _take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    if dim is None:
        return input.reshape(-1).gather(0, indices.reshape(-1))
    sizes = [[n for d, n in enumerate(t.shape) if d != dim % input.ndim] for t in (input, indices)]
    if sizes[0] != sizes[1]:
        raise Unsupported("dimensions that have to be broadcast")
    return input.gather(dim, indices)


@composed("fill")
def _fill(input: Tensor, value: Any) -> Tensor:
    return _torch().full_like(input, value) if not isinstance(value, Tensor) else value.to(input.dtype).expand_as(input)


# --- windows ---------------------------------------------------------------------------------------------------------


def _window(input: Tensor, dim: int, at: int, length: int, spread: int, step: int) -> Tensor:
    """What the place `at` of each window sees along a dimension."""
    behind = (length - 1 - at) * spread
    return _part(input, dim, at * spread, -behind if behind else None, step)


@composed("unfold")
def _unfold(input: Tensor, *sizes: Any, **named: Any) -> Tensor:
    """Images' patches as columns (`nn.functional.unfold`), or windows along a dimension (`Tensor.unfold`)."""
    if "dimension" in named or (len(sizes) == 3 and all(type(n) is int for n in sizes) and not named):
        dim, size, step = sizes or (named["dimension"], named["size"], named["step"])
        if not input.ndim:
            raise Unsupported("a tensor without dimensions")
        return _torch().stack([_window(input, dim, at, size, 1, step) for at in range(size)], -1)
    return _patches(input, *sizes, **named)


def _patches(input: Tensor, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Tensor:
    kernel, spread, pad, step = (
        (v, v) if isinstance(v, int) else tuple(v) for v in (kernel_size, dilation, padding, stride)
    )
    images = input if input.ndim == 4 else input.unsqueeze(0)
    images = F.pad(images, (pad[1], pad[1], pad[0], pad[0])) if any(pad) else images
    rows = [_window(images, 2, i, kernel[0], spread[0], step[0]) for i in range(kernel[0])]
    seen = [_window(row, 3, j, kernel[1], spread[1], step[1]) for row in rows for j in range(kernel[1])]
    made = _torch().stack(seen, 2).flatten(1, 2).flatten(2)
    return made if input.ndim == 4 else made.squeeze(0)


def _lp_pool(pool: Any, window: int, input: Tensor, p: float, kernel: Any, stride: Any, ceil_mode: bool) -> Tensor:
    means = pool(input.abs().pow(p) if p % 2 else input.pow(p), kernel, stride, 0, ceil_mode, not ceil_mode)
    return (means * window).pow(1 / p)


def _lp(n: int) -> None:
    @composed(f"lp_pool{n}d")
    def lp_pool(
        input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
    ) -> Tensor:
        if norm_type % 2:
            raise Unsupported("an odd norm_type")
        window = 1
        for size in [kernel_size] * n if isinstance(kernel_size, int) else kernel_size:
            window *= size
        return _lp_pool(getattr(F, f"avg_pool{n}d"), window, input, norm_type, kernel_size, stride, ceil_mode)


for _n in (1, 2, 3):
    _lp(_n)


@composed("embedding_bag")
def _embedding_bag(
    input: Tensor, weight: Tensor, offsets: Any = None, max_norm: Any = None, norm_type: float = 2, scale_grad_by_freq: bool = False,
    mode: str = "mean", sparse: bool = False, per_sample_weights: Any = None, include_last_offset: bool = False, padding_idx: Any = None,
) -> Tensor:  # fmt: skip
    if max_norm is not None:
        raise Unsupported("max_norm")
    rows = F.embedding(input, weight)
    kept = _torch().ones_like(input, dtype=weight.dtype)
    if padding_idx is not None:
        kept = input.ne(padding_idx % weight.shape[0]).to(weight.dtype)
    if input.ndim == 2:
        member = kept
        spread = rows
    else:
        starts = offsets.unsqueeze(1) <= counted(input, 0).unsqueeze(0)
        if include_last_offset:
            first, later = starts[:-1], starts[1:]
        else:
            first = starts
            later = _torch().cat([starts[1:], _torch().zeros_like(starts[:1])], 0)
        member = (first & ~later).to(weight.dtype) * kept
        spread = rows.unsqueeze(0)
    if mode == "max":
        made = spread.masked_fill(member.eq(0).unsqueeze(-1), -float("inf")).amax(1)
        return made.masked_fill(made.eq(-float("inf")), 0.0)
    by = member if per_sample_weights is None else member * per_sample_weights
    total = (spread * by.unsqueeze(-1)).sum(1)
    return total / member.sum(1, True).clamp(min=1) if mode == "mean" else total


@composed("upsample_bilinear")
def _upsample_bilinear(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    return F.interpolate(input, size, scale_factor, "bilinear", True)


@composed("upsample_nearest")
def _upsample_nearest(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    return F.interpolate(input, size, scale_factor, "nearest")


@composed("constant_pad_nd")
def _constant_pad_nd(input: Tensor, pad: Any, value: Any = 0) -> Tensor:
    return F.pad(input, pad, "constant", value)


@composed("rrelu")
def _rrelu(
    input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, inplace: bool = False
) -> Tensor:
    if training:
        raise Unsupported("in training mode: call model.eval() first")
    return F.leaky_relu(input, (lower + upper) / 2)


# --- losses ----------------------------------------------------------------------------------------------------------


@composed("soft_margin_loss")
def _soft_margin_loss(input: Tensor, target: Tensor, *_: Any, reduction: str = "mean", **old: Any) -> Tensor:
    return _reduced(F.softplus(-target * input), reduction)


@composed("margin_ranking_loss")
def _margin_ranking_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0, *_: Any, reduction: str = "mean", **old: Any
) -> Tensor:
    return _reduced((margin - target * (input1 - input2)).relu(), reduction)


@composed("multilabel_soft_margin_loss")
def _multilabel_soft_margin_loss(
    input: Tensor, target: Tensor, weight: Any = None, *_: Any, reduction: str = "mean", **old: Any
) -> Tensor:
    loss = -(target * F.logsigmoid(input) + (1 - target) * F.logsigmoid(-input))
    return _reduced((loss if weight is None else loss * weight).mean(-1), reduction)


@composed("triplet_margin_loss")
def _triplet_margin_loss(
    anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0, p: float = 2, eps: float = 1e-6, swap: bool = False,
    *_: Any, reduction: str = "mean", **old: Any,
) -> Tensor:  # fmt: skip
    near, far = (F.pairwise_distance(anchor, other, p, eps) for other in (positive, negative))
    if swap:
        far = far.minimum(F.pairwise_distance(positive, negative, p, eps))
    return _reduced((margin + near - far).relu(), reduction)
