"""Functions that rearrange, select and convert, in ONNX's operators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ._graph import Builder, Size, Unsupported, Value
from ._pointwise import HANDLERS, handles


@handles("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout", "feature_dropout")
def dropout(b: Builder, out: Any, input: Value, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    if training and p:
        raise Unsupported("in training mode: call model.eval() first")
    return input.name


@handles("contiguous", "clone", "detach", "identity", "alias", "data", "requires_grad_")
def same(b: Builder, out: Any, input: Value, *, memory_format: Any = None) -> Any:
    return input.name


@handles(
    "to",
    "type_as",
    "float",
    "double",
    "half",
    "bfloat16",
    "int",
    "long",
    "bool",
    "type",
    "cpu",
    "cuda",
    "short",
    "char",
)
def to(b: Builder, out: Any, input: Value, *args: Any, **kwargs: Any) -> Any:  # the example says to which dtype
    return b.cast(input, out.dtype)


@handles("view", "reshape", "_unsafe_view")
def view(b: Builder, out: Any, input: Value, *shape: Any) -> Any:
    sizes = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
    if not all(isinstance(s, (int, Size)) for s in sizes):
        raise Unsupported("a view as another dtype")
    return b.reshape(input.name, sizes)


@handles("view_as", "reshape_as")
def view_as(b: Builder, out: Any, input: Value, other: Value) -> Any:
    return b.node("Reshape", [input.name, b.node("Shape", [other.name])])


@handles("flatten")
def flatten(b: Builder, out: Any, input: Value, start_dim: int = 0, end_dim: int = -1) -> Any:
    if input.ndim == 0:
        return b.reshape(input.name, [1])
    start, end = start_dim % input.ndim, end_dim % input.ndim
    before = [0] * start
    after = [b.size_of(input, d) for d in range(end + 1, input.ndim)]
    return b.reshape(input.name, [*before, -1, *after])


@handles("unflatten")
def unflatten(b: Builder, out: Any, input: Value, dim: int, sizes: Sequence[Any]) -> Any:
    dim %= input.ndim
    return b.reshape(input.name, [*[0] * dim, *sizes, *(b.size_of(input, d) for d in range(dim + 1, input.ndim))])


@handles("transpose", "swapaxes", "swapdims")
def transpose(b: Builder, out: Any, input: Value, dim0: int, dim1: int) -> Any:
    order = list(range(input.ndim))
    if order:
        order[dim0], order[dim1] = order[dim1], order[dim0]
    return b.transpose(input.name, order)


@handles("permute")
def permute(b: Builder, out: Any, input: Value, *dims: Any) -> Any:
    order = dims[0] if len(dims) == 1 and isinstance(dims[0], (tuple, list)) else dims
    return b.transpose(input.name, [d % input.ndim for d in order])


@handles("mT")
def mT(b: Builder, out: Any, input: Value) -> Any:
    return transpose(b, out, input, -2, -1)


@handles("t", "T")
def t(b: Builder, out: Any, input: Value) -> Any:
    if input.ndim > 2:
        raise Unsupported(f"{input.ndim} dimensions")
    return b.transpose(input.name, list(range(input.ndim))[::-1])


@handles("squeeze")
def squeeze(b: Builder, out: Any, input: Value, dim: Any = None) -> Any:
    dims = range(input.ndim) if dim is None else [d % input.ndim for d in ((dim,) if isinstance(dim, int) else dim)]
    gone = [d for d in dims if input.shape[d] == 1]
    if any((input.name, d) in b.moving for d in dims):
        raise Unsupported("a dimension whose size may change")
    return b.node("Squeeze", [input.name, b.constant(gone)]) if gone else input.name


@handles("unsqueeze")
def unsqueeze(b: Builder, out: Any, input: Value, dim: int) -> Any:
    return b.node("Unsqueeze", [input.name, b.constant([dim % (input.ndim + 1)])])


@handles("expand", "broadcast_to")
def expand(b: Builder, out: Any, input: Value, *sizes: Any) -> Any:
    wanted = sizes[0] if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)) else sizes
    return b.node("Expand", [input.name, b.shape([1 if s == -1 else s for s in wanted])])


@handles("expand_as")
def expand_as(b: Builder, out: Any, input: Value, other: Value) -> Any:
    return b.node("Expand", [input.name, b.node("Shape", [other.name])])


@handles("repeat", "tile")
def repeat(b: Builder, out: Any, input: Value, *sizes: Any) -> Any:
    times = list(sizes[0] if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)) else sizes)
    name = input.name
    if len(times) < input.ndim:
        times = [1] * (input.ndim - len(times)) + times
    if len(times) > input.ndim:
        name = b.node("Unsqueeze", [name, b.constant(list(range(len(times) - input.ndim)))])
    return b.node("Tile", [name, b.shape(times)])


@handles("cat", "concat", "concatenate")
def cat(b: Builder, out: Any, tensors: Sequence[Value], dim: int = 0) -> Any:
    return b.node("Concat", [b.cast(v, out.dtype) for v in tensors if v.shape != (0,)], axis=dim)


@handles("stack")
def stack(b: Builder, out: Any, tensors: Sequence[Value], dim: int = 0) -> Any:
    at = b.constant([dim % out.ndim])
    return b.node("Concat", [b.node("Unsqueeze", [b.cast(v, out.dtype), at]) for v in tensors], axis=dim % out.ndim)


@handles("split", "split_with_sizes")
def split(b: Builder, out: Any, tensor: Value, split_size: Any, dim: int = 0) -> Any:
    return _parts(b, out, tensor, dim)


@handles("chunk", "tensor_split")
def chunk(b: Builder, out: Any, input: Value, chunks: Any, dim: int = 0) -> Any:
    return _parts(b, out, input, dim)


def _parts(b: Builder, out: Any, tensor: Value, dim: int) -> Any:
    if (tensor.name, dim % tensor.ndim) in b.moving:
        raise Unsupported("parts of a dimension whose size may change")
    sizes = [part.shape[dim] for part in out]
    made = b.node("Split", [tensor.name, b.constant(sizes)], len(sizes), axis=dim)
    return [made] if isinstance(made, str) else made


@handles("unbind")
def unbind(b: Builder, out: Any, input: Value, dim: int = 0) -> Any:
    if (input.name, dim % input.ndim) in b.moving:
        raise Unsupported("parts of a dimension whose size may change")
    return [b.node("Gather", [input.name, b.constant(i)], axis=dim) for i in range(len(out))]


@handles("select")
def select(b: Builder, out: Any, input: Value, dim: int, index: int) -> Any:
    return b.node("Gather", [input.name, b.constant(index)], axis=dim)


@handles("narrow")
def narrow(b: Builder, out: Any, input: Value, dim: int, start: Any, length: Any) -> Any:
    end = b.node("Add", [b.size(start), b.size(length)])
    return b.node("Slice", [input.name, b.size(start), end, b.constant([dim])])


@handles("index_select")
def index_select(b: Builder, out: Any, input: Value, dim: int, index: Value) -> Any:
    if not input.ndim:
        raise Unsupported("a tensor without dimensions")
    return b.node("Gather", [input.name, index.name], axis=dim)


@handles("gather")
def gather(b: Builder, out: Any, input: Value, dim: int, index: Value, *, sparse_grad: bool = False) -> Any:
    return b.node("GatherElements", [input.name, index.name], axis=dim)


@handles("flip")
def flip(b: Builder, out: Any, input: Value, *places: Any, dims: Any = ()) -> Any:
    axes = list(dims or places[0] if len(places) == 1 and isinstance(places[0], (tuple, list)) else places)
    if dims:
        axes = [dims] if isinstance(dims, int) else list(dims)
    if not input.ndim or not axes:
        return input.name
    low = np.iinfo(np.int64).min
    ends = [b.constant([v] * len(axes)) for v in (-1, low, -1)]
    return b.node("Slice", [input.name, ends[0], ends[1], b.constant([d % input.ndim for d in axes]), ends[2]])


@handles("pad")
def pad(b: Builder, out: Any, input: Value, pad: Sequence[Any], mode: str = "constant", value: Any = None) -> Any:
    modes = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
    if mode not in modes:
        raise Unsupported(f"mode={mode!r}")
    before, after = [0] * input.ndim, [0] * input.ndim
    for k in range(len(pad) // 2):
        before[-1 - k], after[-1 - k] = pad[2 * k], pad[2 * k + 1]
    if mode == "circular":
        return _wrapped(b, input, before, after)
    if mode != "constant" and all(type(p) is int for p in pad) and min(pad) < 0:
        raise Unsupported(f"negative padding with mode={mode!r}")
    filling = b.scalar(value or 0, input.dtype) if mode == "constant" else None
    return b.node("Pad", [input.name, b.shape([*before, *after]), filling], mode=modes[mode])


def _wrapped(b: Builder, input: Value, before: list[Any], after: list[Any]) -> Any:
    """Each dimension between its own end and its own beginning."""
    if not all(type(n) is int and n >= 0 for n in (*before, *after)):
        raise Unsupported("circular padding by a negative number or a size")
    name, far = input.name, np.iinfo(np.int64).max
    for d, (n, m) in enumerate(zip(before, after, strict=True)):
        bounds = ((-n, far) if n else None, (0, m) if m else None)
        ends = [
            bound and b.node("Slice", [name, b.constant([bound[0]]), b.constant([bound[1]]), b.constant([d])])
            for bound in bounds
        ]
        if any(ends):
            name = b.node("Concat", [part for part in (ends[0], name, ends[1]) if part], axis=d)
    return name


def _triangle(upper: int) -> Any:
    def handler(b: Builder, out: Any, input: Value, diagonal: int = 0) -> Any:
        return b.node("Trilu", [input.name, b.constant(diagonal)], upper=upper)

    return handler


handles("tril")(_triangle(0))
handles("triu")(_triangle(1))


@handles("arange")
def arange(
    b: Builder, out: Any, *bounds: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Any:
    start, end, step = (0, bounds[0], 1) if len(bounds) == 1 else (*bounds, 1)[:3]
    return b.node("Range", [b.operand(v, out.dtype) for v in (start, end, step)])


def _filled(value: float) -> Any:
    def handler(
        b: Builder, out: Any, *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False
    ) -> Any:
        sizes = size[0] if len(size) == 1 and isinstance(size[0], (tuple, list)) else size
        return b.node("Expand", [b.scalar(value, out.dtype), b.shape(sizes)])

    return handler


handles("zeros")(_filled(0))
handles("ones")(_filled(1))


def _new(value: float) -> Any:
    def handler(b: Builder, out: Any, input: Value, *size: Any, **options: Any) -> Any:
        return _filled(value)(b, out, *size, **options)

    return handler


handles("new_zeros", "new_empty")(_new(0))
handles("new_ones")(_new(1))


@handles("new_full")
def new_full(b: Builder, out: Any, input: Value, size: Any, fill_value: Any, **options: Any) -> Any:
    return full(b, out, size, fill_value, **options)


@handles("copy_")
def copy_(b: Builder, out: Any, input: Value, src: Value, non_blocking: bool = False) -> Any:
    return b.node("Expand", [b.operand(src, out.dtype), b.node("Shape", [input.name])])


@handles("full")
def full(b: Builder, out: Any, size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Any:
    return b.node("Expand", [b.operand(fill_value, out.dtype), b.shape(size)])


def _like(value: float) -> Any:
    def handler(
        b: Builder, out: Any, input: Value, *, dtype: Any = None, device: Any = None, memory_format: Any = None
    ) -> Any:
        return b.node("Expand", [b.scalar(value, out.dtype), b.node("Shape", [input.name])])

    return handler


@handles("full_like", "fill_")
def full_like(
    b: Builder,
    out: Any,
    input: Value,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    memory_format: Any = None,
) -> Any:
    return b.node("Expand", [b.operand(fill_value, out.dtype), b.node("Shape", [input.name])])


@handles("pixel_unshuffle")
def pixel_unshuffle(b: Builder, out: Any, input: Value, downscale_factor: int) -> Any:
    if input.ndim != 4 or any((input.name, d) in b.moving for d in (1, 2, 3)):
        raise Unsupported("other than a batch of images of one size")
    _, channels, height, width = input.shape
    r = downscale_factor
    blocks = b.reshape(input.name, [-1, channels, height // r, r, width // r, r])
    return b.reshape(b.transpose(blocks, [0, 1, 3, 5, 2, 4]), [-1, channels * r * r, height // r, width // r])


@handles("grid_sample")
def grid_sample(
    b: Builder,
    out: Any,
    input: Value,
    grid: Value,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Any:
    if input.ndim != 4 and b.opset < 20:
        raise Unsupported(f"{input.ndim} dimensions below opset 20")
    kinds = {"bilinear": "linear", "bicubic": "cubic"} if b.opset >= 20 else {}
    options: dict[str, Any] = {
        "mode": kinds.get(mode, mode),
        "padding_mode": padding_mode,
        "align_corners": int(bool(align_corners)),
    }
    return b.node("GridSample", [input.name, b.cast(grid, input.dtype)], **options)


handles("zeros_like", "zero_", "empty_like")(_like(0))
handles("ones_like")(_like(1))


@handles("one_hot")
def one_hot(b: Builder, out: Any, input: Value, num_classes: int = -1) -> Any:
    if num_classes < 0:
        raise Unsupported("num_classes=-1")
    return b.node("OneHot", [input.name, b.constant(num_classes), b.constant([0, 1])])


@handles("pixel_shuffle")
def pixel_shuffle(b: Builder, out: Any, input: Value, upscale_factor: int) -> Any:
    if input.ndim != 4:
        raise Unsupported(f"{input.ndim} dimensions")
    return b.node("DepthToSpace", [input.name], blocksize=upscale_factor, mode="CRD")


@handles("interpolate")
def interpolate(
    b: Builder, out: Any, input: Value, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
    align_corners: bool | None = None, recompute_scale_factor: bool | None = None, antialias: bool = False,
) -> Any:  # fmt: skip
    modes = {"nearest": "nearest", "linear": "linear", "bilinear": "linear", "trilinear": "linear", "bicubic": "cubic"}
    modes["nearest-exact"] = "nearest"
    if mode == "area":
        return HANDLERS[f"adaptive_avg_pool{input.ndim - 2}d"](b, out, input, out.shape[2:])
    if mode not in modes or antialias or recompute_scale_factor:
        raise Unsupported(f"mode={mode!r}" if mode not in modes else "antialias or recompute_scale_factor")
    where = "asymmetric" if mode == "nearest" else "align_corners" if align_corners else "half_pixel"
    how: dict[str, Any] = {"mode": modes[mode], "coordinate_transformation_mode": where, "cubic_coeff_a": -0.75}
    if mode == "nearest":
        how["nearest_mode"] = "floor"
    if mode == "nearest-exact":
        how["nearest_mode"] = "round_prefer_ceil"
    if scale_factor is not None:
        scales = scale_factor if isinstance(scale_factor, (tuple, list)) else [scale_factor] * (input.ndim - 2)
        return b.node("Resize", [input.name, None, b.constant([1.0, 1.0, *scales], np.float32)], **how)
    sizes = size if isinstance(size, (tuple, list)) else [size] * (input.ndim - 2)
    lead = [b.size_of(input, d) for d in range(2)]
    return b.node("Resize", [input.name, None, None, b.shape([*lead, *sizes])], **how)


@handles("embedding")
def embedding(
    b: Builder, out: Any, input: Value, weight: Value, padding_idx: int | None = None, max_norm: float | None = None,
    norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False,
) -> Any:  # fmt: skip
    if max_norm is not None:
        raise Unsupported("max_norm")
    return b.node("Gather", [weight.name, input.name], axis=0)


# --- sizes -----------------------------------------------------------------------------------------------------------


@handles("size")
def size(b: Builder, out: Any, input: Value, dim: int) -> Any:
    return b.size_of(input, dim)


def arithmetic(b: Builder, kind: str, left: Any, right: Any) -> Size:
    """A sum, product or quotient of sizes."""
    return Size(b.node({"add": "Add", "mul": "Mul", "floordiv": "Div"}[kind], [b.size(left), b.size(right)]))
