"""What dispatch modes see of functions that PyTorch takes apart above ATen: `x @ y` as `aten.mm`, `x[0]` as `aten.select`.

Each form computes a call of one of our operators by operators that are one in ATen, too. Only calls under a dispatch mode come here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..core.array import dtypes
from ..core.autograd.seen import note_beside
from ..core.autograd.seen import see as _see
from ..core.context.grad_mode import state as grad_state
from ..core.context.overrides import PASS
from ..core.dispatch.classes import CLASSES
from ..core.dispatch.overloads import taken_apart
from ..core.tensor.tensor import Tensor, from_host, wrap
from .indexing import keys
from .making.creation import tensor as tensor_of
from .support.losses import REDUCTIONS

END = 2**63 - 1  # of a slice that goes to the end
_REDUCTIONS = {name: number for number, name in enumerate(REDUCTIONS)}


def _form(*names: str) -> Callable[[Any], Any]:
    def note(form: Any) -> Any:
        taken_apart.update(dict.fromkeys(names, form))
        return form

    return note


# --- products --------------------------------------------------------------------------------------------------------


@_form("matmul")
def _matmul(input: Any, other: Any) -> Any:
    if not (isinstance(input, Tensor) and isinstance(other, Tensor)):
        return PASS
    a, b = input.ndim, other.ndim
    if (a, b) == (1, 1):
        return input.dot(other) if input.shape == other.shape else PASS
    if 0 in (a, b) or input.shape[-1] != other.shape[max(b - 2, 0)] or input.dtype is not other.dtype:
        return PASS
    if (a, b) in ((2, 1), (2, 2)):
        return input.mv(other) if b == 1 else input.mm(other)
    if (a, b) == (1, 2):
        return _see("squeeze_.dim", input.unsqueeze(0).mm(other), 0)
    if b < 3:
        rows = input.reshape([math.prod(input.shape[:-1]), input.shape[-1]])
        made = rows.mv(other) if b == 1 else rows.mm(other)
        return _see("_unsafe_view", made, [*input.shape[:-1], *other.shape[1:]])
    return _batched(input, other)


def _batched(input: Any, other: Any) -> Any:
    left = input.unsqueeze(0) if input.ndim == 1 else input
    right = other.unsqueeze(1) if other.ndim == 1 else other
    batch = _broadcast(left.shape[:-2], right.shape[:-2])
    if batch is None:
        return PASS
    n = math.prod(batch)
    left, right = (x.expand([*batch, *x.shape[-2:]]).reshape([n, *x.shape[-2:]]) for x in (left, right))
    shape = [*batch, *(() if input.ndim == 1 else left.shape[1:2]), *(() if other.ndim == 1 else right.shape[2:])]
    return _see("_unsafe_view", left.bmm(right), shape)


def _broadcast(a: Any, b: Any) -> list[int] | None:
    try:
        return list(np.broadcast_shapes(tuple(a), tuple(b)))
    except ValueError:
        return None


@_form("linear")
def _linear(input: Any, weight: Any, bias: Any = None) -> Any:
    if weight.ndim != 2 or not input.ndim or input.shape[-1] != weight.shape[1] or input.dtype is not weight.dtype:
        return PASS
    if input.ndim == 2:
        return input.mm(weight.t()) if bias is None else _see("addmm", bias, input, weight.t())
    if bias is None:
        return _matmul(input, weight.t())
    rows = input.reshape([math.prod(input.shape[:-1]), input.shape[-1]])
    return _see("addmm", bias, rows, weight.t()).view([*input.shape[:-1], weight.shape[0]])


# --- layers ----------------------------------------------------------------------------------------------------------


def _spread(value: Any, n: int) -> list[int]:
    return list(value) * (n if len(value) == 1 else 1) if isinstance(value, (tuple, list)) else [value] * n


def _convolution(turned: bool) -> Any:
    def form(
        input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, *rest: Any, **named: Any
    ) -> Any:
        names = ("output_padding", "groups", "dilation") if turned else ("dilation", "groups")
        more = {**dict(zip(names, rest, strict=False)), **named}
        n = weight.ndim - 2
        if isinstance(padding, str) or input.ndim != weight.ndim:
            return PASS
        sizes = [_spread(v, n) for v in (stride, padding, more.get("dilation", 1))]
        out = _spread(more.get("output_padding", 0), n)
        return _see("convolution", input, weight, bias, *sizes, turned, out, more.get("groups", 1))

    return form


taken_apart.update({f"conv{n}d": _convolution(False) for n in (1, 2, 3)})
taken_apart.update({f"conv_transpose{n}d": _convolution(True) for n in (1, 2, 3)})


@_form("softmax")
def _softmax(input: Any, dim: Any = None, *rest: Any, **named: Any) -> Any:
    return PASS if dim is None else _see("_softmax", input, dim, False)


@_form("log_softmax")
def _log_softmax(input: Any, dim: Any = None, *rest: Any, **named: Any) -> Any:
    return PASS if dim is None else _see("_log_softmax", input, dim, False)


@_form("nll_loss")
def _nll_loss(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean") -> Any:
    if input.ndim not in (1, 2) or target.ndim != input.ndim - 1 or reduction not in _REDUCTIONS:
        return PASS
    return note_beside(_see("nll_loss_forward", input, target, weight, _REDUCTIONS[reduction], ignore_index))


@_form("cross_entropy_loss")
def _cross_entropy(
    input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean", smooth: float = 0.0
) -> Any:
    if input.ndim not in (1, 2) or target.ndim != input.ndim - 1 or smooth:
        return PASS
    return _nll_loss(_log_softmax(input, input.ndim - 1), target, weight, ignore_index, reduction)


@_form("l1_loss")
def _l1_loss(input: Any, target: Any, reduction: str = "mean", weight: Any = None) -> Any:
    if input.shape != target.shape or weight is not None:
        return PASS
    off = (input - target).abs()
    return off if reduction == "none" else off.mean() if reduction == "mean" else off.sum()


@_form("layer_norm")
def _layer_norm(input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    return note_beside(_see("native_layer_norm", input, list(normalized_shape), weight, bias, eps))


@_form("batch_norm")
def _batch_norm(input: Any, mean: Any, var: Any, weight: Any = None, bias: Any = None, *rest: Any, **named: Any) -> Any:
    more = [named.get(k) for k in ("momentum", "training", "eps")[len(rest) :]]
    momentum, training, eps = [*rest, *more]  # type: ignore[misc]
    if momentum is None or training is None:
        return PASS
    made = _see("native_batch_norm", input, weight, bias, mean, var, training, momentum, 1e-5 if eps is None else eps)
    return note_beside((*made, mean, var))


@_form("group_norm")
def _group_norm(input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    if input.ndim < 2 or not input.numel() or input.shape[1] % num_groups:
        return PASS
    n, c = input.shape[:2]
    return note_beside(
        _see("native_group_norm", input, weight, bias, n, c, math.prod(input.shape[2:]), num_groups, eps)
    )


@_form("adaptive_avg_pool2d")
def _adaptive_avg_pool2d(input: Any, output_size: Any) -> Any:
    return input.mean([-1, -2], True) if output_size in (1, (1, 1), [1, 1]) else PASS


@_form("max_pool2d")
def _max_pool2d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:  # fmt: skip
    if input.ndim != 4:
        return PASS
    kernel, step, low, spread = (
        [n, n] if isinstance(n, int) else list(n or ()) for n in (kernel_size, stride, padding, dilation)
    )
    rest: list[Any] = [step, low, spread, ceil_mode]
    for usual in (False, [1, 1], [0, 0], []):
        if rest[-1] != usual:
            break
        rest.pop()
    made = _see("max_pool2d_with_indices", input, kernel, *rest)
    first = note_beside(made)
    return made if return_indices else first


@_form("relu6")
def _relu6(input: Any) -> Any:
    return _see("hardtanh", input, 0, 6)


# --- for classes of tensors that compute for themselves, which modes see as one operator -----------------------------


def _for_classes(*names: str) -> Callable[[Any], Any]:
    def note(form: Any) -> Any:
        def only(*args: Any, **kwargs: Any) -> Any:
            return form(*args, **kwargs) if grad_state.dispatch_modes[-1] is CLASSES else PASS

        taken_apart.update(dict.fromkeys(names, only))
        return form

    return note


@_for_classes("dropout")
def _dropout(input: Any, keep: Any, scale: Any) -> Any:
    return _see("mul.Tensor", input, wrap(np.asarray(keep) * np.asarray(scale, input._np_dtype)))


@_for_classes("equal")
def _equal(input: Any, other: Any) -> Any:
    return _see("equal", input, other)


@_for_classes("to")
def _to(self: Tensor, where: Any, target: Any, copy: bool, memory_format: Any) -> Any:
    options = {} if target is None or target is self.dtype else {"dtype": target}
    options |= {} if where is None or where == self.device else {"device": where}
    if memory_format is not None and not self.is_contiguous(memory_format=memory_format):
        options["memory_format"] = memory_format
    return _see("_to_copy", self, **options) if options or copy else self


@_for_classes("new_tensor")
def _new_tensor(self: Any, data: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Any:
    made = tensor_of(data, dtype=dtype or self.dtype, device=device or self.device)
    return made.requires_grad_() if requires_grad else made


@_for_classes("einsum")
def _einsum(operands: Any, inputs: Any, output: Any) -> Any:
    """Operands one after the other: brought to one order of labels, multiplied (as matrices where sums allow), and summed."""
    labels = [*dict.fromkeys(label for own in inputs for label in own)]
    if any(len(set(own)) != len(own) for own in inputs) or len(operands) > 2:
        return PASS
    left = [*inputs[0]]
    if len(operands) == 1:
        gone = [left.index(label) for label in left if label not in output]
        kept = [label for label in left if label in output]
        made = operands[0].sum(gone) if gone else operands[0]
        return made.permute([kept.index(label) for label in output])
    (x, y), right = operands, [*inputs[1]]
    both = [label for label in left if label in right and label in output]
    summed = [label for label in left if label in right and label not in output]
    rows, columns = ([label for label in own if label not in other] for own, other in ((left, right), (right, left)))
    if any(label not in output for label in (*rows, *columns)):
        return PASS
    size = {label: max(n, m) for label in labels for n, m in [(_size(x, left, label), _size(y, right, label))]}
    if any(_size(t, own, label) not in (size[label],) for t, own in ((x, left), (y, right)) for label in own):
        return PASS
    counts = [math.prod(size[label] for label in part) for part in (both, rows, summed, columns)]
    x = x.permute([left.index(label) for label in (*both, *rows, *summed)]).reshape([counts[0], counts[1], counts[2]])
    y = y.permute([right.index(label) for label in (*both, *summed, *columns)]).reshape([counts[0], *counts[2:]])
    made = x.bmm(y).view([size[label] for label in (*both, *rows, *columns)])
    return made.permute([[*both, *rows, *columns].index(label) for label in output])


def _size(tensor: Tensor, own: list[Any], label: Any) -> int:
    return tensor.shape[own.index(label)] if label in own else 1


@_for_classes("older_norm")
def _older_norm(input: Any, p: Any = "fro", dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
    if p not in (None, "fro") and not isinstance(p, (int, float)):
        return PASS
    dim = [dim] if isinstance(dim, int) else dim
    options = {} if dtype is None else {"dtype": dtype}
    order = 2 if p in (None, "fro") else p
    return _see("linalg_vector_norm", input, order, None if dim is None else list(dim), keepdim, **options)


# --- other names for other forms of an operator ---------------------------------------------------------------------


@_form("square")
def _square(input: Any) -> Any:
    return _see("pow.Tensor_Scalar", input, 2)


@_form("pow_plain")
def _pow_plain(input: Any, exponent: Any, dtype: Any) -> Any:
    return _see("pow.Tensor_Scalar", input, exponent)


@_form("pow_tensor")
def _pow(input: Any, exponent: Any) -> Any:
    return PASS if isinstance(input, Tensor) else _see("pow.Scalar", input, exponent)


@_form("rtrue_divide")
def _reciprocal(input: Any, other: Any) -> Any:
    return PASS if isinstance(other, Tensor) else input.reciprocal() * other


@_form("div_rounded")
def _floor_divide(input: Any, other: Any, *, rounding_mode: Any = None) -> Any:
    return _see("floor_divide", input, other) if rounding_mode == "floor" else PASS


@_form("_to_copy")
def _cast(input: Any, dtype: Any) -> Any:
    return _see("_to_copy", input, dtype=dtypes.from_numpy(dtype))


def _deviation(name: str) -> Any:
    def form(input: Any, dim: Any = None, correction: Any = 1, keepdim: bool = False, **named: Any) -> Any:
        if named or isinstance(correction, Tensor):
            return PASS
        whole = dim is None or len(dim) == input.ndim
        options = {} if whole and correction == 1 else {"correction": correction}
        options |= {"keepdim": True} if keepdim else {}
        return _see(f"{name}.correction", input, *(() if whole and not keepdim else (list(dim),)), **options)

    return form


taken_apart.update(var=_deviation("var"), std=_deviation("std"))


@_form("split")
def _split(input: Any, split_size_or_sections: Any = None, dim: int = 0, **named: Any) -> Any:
    sizes = named.get("split_size", split_size_or_sections)
    return tuple(_see("split_with_sizes", input, list(sizes), dim)) if isinstance(sizes, (list, tuple)) else PASS


@_form("chunk")
def _chunk(input: Any, chunks: int, dim: int = 0) -> Any:
    size = input.shape[dim]
    return input.split(-(-size // chunks), dim) if size and chunks > 0 else PASS


@_form("narrow")
def _narrow(input: Any, dim: int, start: Any, length: int) -> Any:
    if isinstance(start, Tensor) or not 0 <= start <= start + length <= input.shape[dim]:
        return PASS
    return _see("slice.Tensor", input, dim, start, start + length)


@_form("permute")
def _transposed(input: Any, *dims: Any) -> Any:
    return PASS if dims else _see("permute", input, list(range(input.ndim))[::-1])  # `.T`


@_form("movedim")
def _movedim(input: Any, source: Any, destination: Any) -> Any:
    source, destination = ([d] if isinstance(d, int) else list(d) for d in (source, destination))
    n = input.ndim
    if len(source) != len(destination) or not all(-n <= d < n for d in (*source, *destination)):
        return PASS
    where = dict(zip((d % n for d in destination), (d % n for d in source), strict=True))
    left = iter([d for d in range(n) if d not in where.values()])
    if not len(where) == len(set(where.values())) == len(source):
        return PASS
    return _see("permute", input, [where[d] if d in where else next(left) for d in range(n)])


@_form("_matrix_transpose")
def _matrix_transpose(input: Any) -> Any:
    return input.transpose(-2, -1)


@_form("unfold_dimension")
def _unfold(input: Any, dimension: int, size: int, step: int) -> Any:
    return _see("unfold", input, dimension, size, step)


@_form("constant_pad")
def _pad(input: Any, pad: Any, value: Any = 0) -> Any:
    return _see("constant_pad_nd", input, list(pad), value)


@_form("im2col")
def _columns(input: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    return _see("im2col", input, *(_spread(v, 2) for v in (kernel_size, dilation, padding, stride)))


@_form("col2im")
def _from_columns(
    input: Any, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Any:
    return _see("col2im", input, *(_spread(v, 2) for v in (output_size, kernel_size, dilation, padding, stride)))


def _median(name: str) -> Any:
    def form(input: Any, dim: Any, keepdim: bool) -> Any:
        return _see(name, input) if dim is None else _see(f"{name}.dim", input, dim, keepdim)

    return form


taken_apart.update({name: _median(name) for name in ("median", "nanmedian")})


@_form("identity")
def _identity(input: Any) -> Any:
    return input.clone()


@_form("embedding")
def _embedding(weight: Any, indices: Any, padding_idx: Any = None, scale_grad_by_freq: bool = False) -> Any:
    place = -1 if padding_idx is None else padding_idx
    more = (place, True) if scale_grad_by_freq else (place,) if place != -1 else ()
    return _see("embedding", weight, indices, *more)


# --- indexing --------------------------------------------------------------------------------------------------------


def _basic(x: Tensor, key: Any) -> tuple[Tensor, list[Any]] | None:
    """The view of a key's numbers, slices and None, and what indexes the dimensions of it; None for other keys."""
    items, kinds, taken = keys.items_of(x._geometry, key)
    rest, dim = taken, 0
    tensors: list[Any] = []
    if len(items) == 1 and items[0] is ...:
        return _see("alias", x), []
    for item, kind in zip(items, kinds, strict=True):
        if item is ...:
            dim += x.ndim - dim - rest
            continue
        takes = item.ndim if kind == keys.MASK else int(kind > keys.FLAG)
        rest -= takes
        if item is None:
            x, dim = x.unsqueeze(dim), dim + 1
        elif isinstance(item, slice):
            start, stop, step = keys.bounds(item)
            ends = (0 if start is None else start, END if stop is None else stop, *((step,) if step != 1 else ()))
            whole = start in (None, 0) and step == 1 and (stop is None or stop >= x.shape[dim])
            x, dim = x if whole and len(items) > 1 else _see("slice.Tensor", x, dim, *ends), dim + 1
        elif kind == keys.FLAG:
            return None
        elif kind in (keys.MASK, keys.INDEX):
            tensors += [None] * (dim - len(tensors)) + [item] + [None] * (takes - 1)
            dim += takes
        else:
            size = x.shape[dim]
            if isinstance(item, Tensor) and getattr(grad_state.dispatch_modes[-1], "of_samples", False):
                tensors, dim = [*tensors, *[None] * (dim - len(tensors)), item], dim + 1
                continue
            at = item.item() if isinstance(item, Tensor) else item
            if not hasattr(at, "__index__") or not -size <= at < size:
                return None
            x = x.select(dim, int(at))
    return x, tensors


def _getitem(self: Tensor, key: Any) -> Any:
    found = _basic(self, key)
    if found is None:
        return PASS
    x, tensors = found
    return _see("index.Tensor", x, _for_dims(tensors)) if tensors else x


def _for_dims(tensors: list[Any]) -> list[Any]:
    """An index for each dimension: a mask of several dimensions stands for all of them."""
    made, skip = [], 0
    for tensor in tensors:
        if skip:
            skip -= 1
            continue
        made.append(tensor)
        skip = tensor.ndim - 1 if tensor is not None and keys.kind_of_item(tensor) == keys.MASK else 0
    return made


def _setitem(self: Tensor, key: Any, value: Any) -> Any:
    given = value if isinstance(value, Tensor) else _see("lift_fresh", from_host(np.asarray(value, self._np_dtype)))
    found = _basic(self, key)
    if found is None:
        return PASS
    x, tensors = found
    if tensors:
        return _see("index_put_", x, _for_dims(tensors), given)
    if not isinstance(value, Tensor) and x.ndim:
        return _see("fill_.Tensor", x, given)
    value = given
    while value.ndim > x.ndim and value.shape[0] == 1:
        value = value[0]
    return _see("copy_", x, value)


taken_apart.update(getitem=_getitem, setitem=_setitem)
taken_apart["numel"] = lambda input: math.prod(input.shape)
taken_apart.update(detach=lambda self: _see("detach", self), item=lambda self: _see("_local_scalar_dense", self))
