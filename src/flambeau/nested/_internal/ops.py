"""What functions do with nested tensors: elementwise on the values, by dimension on the values or the parts, or refused."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from ...core.array import formats
from ...core.context.overrides import no_subclasses
from ...core.tensor.tensor import Tensor
from .attention import attention, multihead
from .nested_tensor import (
    NestedTensor,
    _dim,
    _torch,
    jagged,
    joined,
    like,
    rebuilt,
    strided,
    unbound,
    values_of,
)

_POINTWISE = frozenset(
    """abs absolute acos acosh add addcdiv addcmul angle asin asinh atan atan2 atanh bitwise_and bitwise_not bitwise_or
    bitwise_xor bernoulli ceil celu clamp clamp_max clamp_min clip copysign cos cosh deg2rad digamma div divide dropout elu eq erf erfc
    erfinv exp exp2 expm1 fill fix float_power floor floor_divide fmax fmin fmod frac ge gelu greater greater_equal gt hardshrink
    hardsigmoid hardswish hardtanh heaviside hypot isclose isfinite isinf isnan isneginf isposinf isreal ldexp le leaky_relu lerp less
    less_equal lgamma log log10 log1p log2 logaddexp logaddexp2 logical_and logical_not logical_or logical_xor logit logsigmoid lt
    masked_fill maximum minimum mish mul multiply nan_to_num ne neg negative normal not_equal polygamma positive pow rad2deg random
    reciprocal relu relu6 remainder round rsqrt rsub selu sgn sigmoid sign signbit silu sin sinc sinh softplus softshrink softsign
    sqrt square sub subtract tan tanh tanhshrink threshold true_divide trunc uniform where xlogy zero copy
    zeros_like ones_like empty_like full_like rand_like randn_like clone detach contiguous to float double half bfloat16 int long short
    bool cpu cuda type requires_grad real imag alpha_dropout feature_alpha_dropout type_as
    __add__ __radd__ __iadd__ __sub__ __rsub__ __isub__ __mul__ __rmul__ __imul__ __truediv__ __rtruediv__ __itruediv__ __pow__
    __rpow__ __neg__ __abs__ __mod__ __floordiv__ __eq__ __ne__ __lt__ __le__ __gt__ __ge__ __and__ __or__ __xor__ __invert__""".split()
)
# Asked of the dense tensor that holds the parts.
_OF_THE_VALUES = frozenset(
    """__get__ __set__ __delete__ backward element_size data_ptr is_floating_point is_complex retain_grad register_hook get_device
    storage_offset __hash__ untyped_storage is_pinned is_shared has_names register_post_accumulate_grad_hook is_inference is_signed""".split()
)
_REDUCTIONS = frozenset("sum mean prod amax amin max min any all argmax argmin".split())
_NAMES = {"scaled_dot_product_attention": "attention", "__matmul__": "matmul", "__getitem__": "getitem"}


def refuse(name: str, tensor: NestedTensor) -> NoReturn:
    """Raise what PyTorch does for a function that knows nothing of nested tensors."""
    what = (
        f"Could not run 'aten::{name}' with arguments from the 'NestedTensorCPU' backend."
        if tensor._ragged is None
        else ""
    )
    raise NotImplementedError(
        f"{what or f'aten.{name}.default'}: there is no form of {name} for nested tensors; compute with unbind() or to_padded_tensor()"
    )


def computed(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """The result of a public function with nested tensors among its arguments."""
    name = getattr(func, "__name__", "")
    first = _first(args, kwargs)
    form = _FORMS.get(_NAMES.get(name, name))
    if form is not None:
        return form(func, *args, **kwargs)
    if name in _OF_THE_VALUES:
        return Tensor.__torch_function__.__func__(NestedTensor, func, (), args, kwargs)  # type: ignore[attr-defined]
    plain = name if name.startswith("__") else name.removesuffix("_")
    if plain in _POINTWISE:
        return _pointwise(func, name, first, args, kwargs)
    if name in _REDUCTIONS:
        return _reduced(func, name, *args, **kwargs)
    refuse(name, first)


def _first(args: Any, kwargs: dict[str, Any]) -> NestedTensor:
    for value in (*args, *kwargs.values()):
        if isinstance(value, NestedTensor):
            return value
        if isinstance(value, (tuple, list)):
            for inner in value:
                if isinstance(inner, NestedTensor):
                    return inner
    raise TypeError("no nested tensor among the arguments")


# --- elementwise -----------------------------------------------------------------------------------------------------


def _pointwise(func: Any, name: str, first: NestedTensor, args: Any, kwargs: dict[str, Any]) -> Any:
    if name in ("dropout_", "dropout", "alpha_dropout", "feature_alpha_dropout"):
        kwargs = {k: v for k, v in kwargs.items() if k != "_stacklevel"}
    given = [_fitting(value, first, name) for value in args]
    named = {key: _fitting(value, first, name) for key, value in kwargs.items()}
    made = func(*given, **named)
    if not isinstance(made, Tensor):
        return made
    in_place = (name.endswith("_") and (not name.startswith("__"))) or (name.startswith("__i") and name != "__invert__")
    if in_place and args and args[0] is first:
        if name == "requires_grad_":
            return Tensor.__torch_function__.__func__(NestedTensor, func, (), args, kwargs)  # type: ignore[attr-defined]
        return first
    if made is given[0] and args[0] is first:
        return first
    return like(first, made)


def _fitting(value: Any, first: NestedTensor, name: str) -> Any:
    """What of an argument stands beside the values of the first nested one."""
    if isinstance(value, NestedTensor):
        same = value._shapes == first._shapes if first._ragged is None else _same_rows(value, first)
        if not same and first._ragged is not None and value._ragged is not None:
            return _spread(value, first, name)
        if not same:
            raise RuntimeError(f"{name}: the nested tensors differ in their sizes: {_sizes(first)} and {_sizes(value)}")
        return value._values
    if not isinstance(value, Tensor) or value.ndim == 0:
        return value
    if first._ragged is None:
        if value.numel() == 1:
            return value.reshape(())
        raise RuntimeError("Expected both self and other to be nested, but got a nested self and non-nested other")
    return _beside(value, first, name)


def _same_rows(a: NestedTensor, b: NestedTensor) -> bool:
    return (
        a._ragged is not None
        and b._ragged is not None
        and a._ragged.size == b._ragged.size
        and a._ragged_idx == b._ragged_idx
    )


def _sizes(value: Any) -> Any:
    if isinstance(value, NestedTensor) and value._ragged is None:
        return [list(shape) for shape in value._shapes or ()]
    return f"({', '.join(map(str, value.shape))})" if isinstance(value, NestedTensor) else value.shape


def _spread(value: NestedTensor, first: NestedTensor, name: str) -> NoReturn:
    label = name.strip("_")
    raise RuntimeError(
        f"cannot call binary pointwise function {label}.Tensor with inputs of shapes {_sizes(first)} and {_sizes(value)}: "
        "their ragged sizes are not the same one; make the second with nested_tensor_from_jagged(values, first.offsets())"
    )


def _beside(value: Tensor, first: NestedTensor, name: str) -> Tensor:
    """A dense tensor, broadcast over the parts of a jagged one."""
    at, rows = first._ragged_idx, first._ragged
    assert rows is not None
    shape = (1,) * (first.dim() - value.ndim) + tuple(value.shape)
    if len(shape) != first.dim() or shape[at] != 1 or shape[0] not in (1, len(rows.sizes)):
        label = name.strip("_")
        raise RuntimeError(
            f"cannot call binary pointwise function {label}.Tensor with inputs of shapes torch.Size([{_sizes(first)[1:-1]}]) "
            f"and {value.shape}"
        )
    value = value.reshape(shape)
    if shape[0] == 1:
        return value[0]
    if rows.lengths is not None:
        raise NotImplementedError(
            f"{name}: a batch of values beside a nested tensor with gaps is not supported: call contiguous()"
        )
    owner = _torch["repeat_interleave"](_torch["tensor"](rows.sizes, device=value.device))
    return value.squeeze(at).index_select(0, owner).movedim(0, at - 1)


# --- reductions ------------------------------------------------------------------------------------------------------


def _reduced(func: Any, name: str, input: NestedTensor, dim: Any = None, keepdim: bool = False, **kwargs: Any) -> Any:
    if input._ragged is None:
        return _reduced_strided(func, name, input, dim, keepdim, kwargs)
    if dim is None:
        return func(_packed(input), **kwargs)
    at = input._ragged_idx
    dims = sorted({_dim(input, d) for d in (dim if isinstance(dim, (tuple, list)) else (dim,))})
    if at in dims and 0 in dims:
        inner = [d - 1 for d in dims if d]
        made = func(_packed(input), inner if len(inner) > 1 else inner[0], keepdim, **kwargs)
        return made.unsqueeze(0) if keepdim else made
    if 0 in dims:
        raise RuntimeError(
            f"{name}(): reducing along the batch dimension but not the ragged dimension is not supported for nested tensors"
        )
    if at in dims and len(dims) > 1:
        raise RuntimeError(
            f"{name}(): reducing along a ragged and non-batch dimension is not supported for nested tensors"
        )
    if at in dims:
        return _torch["stack"]([func(part, at - 1, keepdim, **kwargs) for part in unbound(input)])
    inner = [d - 1 for d in dims]
    made = func(input._values, inner if len(inner) > 1 else inner[0], keepdim, **kwargs)
    left = at - (0 if keepdim else sum(d < at for d in dims))
    if isinstance(made, tuple):
        return type(made)(jagged(part, input._ragged, left) for part in made)
    return jagged(made, input._ragged, left)


def _packed(input: NestedTensor) -> Tensor:
    """The values, without gaps."""
    if input._ragged is None or input._ragged.lengths is None:
        return input._values
    return _torch["cat"](list(unbound(input)), input._ragged_idx - 1)  # type: ignore[no-any-return]


def _reduced_strided(func: Any, name: str, input: NestedTensor, dim: Any, keepdim: bool, kwargs: dict[str, Any]) -> Any:
    if name != "sum" or dim is None:
        refuse(name, input)
    dims = dim if isinstance(dim, (tuple, list)) else (dim,)
    if len(dims) != 1:
        raise RuntimeError("NestedTensor only allows reduction of a single dimension for now.")
    at = _dim(input, dims[0])
    if at != input.dim() - 1:
        raise RuntimeError(
            f"NestedTensor can only be reduced across the last dimension for now got dimension {at} instead."
        )
    if not keepdim:
        raise RuntimeError("NestedTensor always requires keepdim=True for now.")
    return rebuilt(input, lambda part: func(part, -1, True, **kwargs))


# --- by dimension ----------------------------------------------------------------------------------------------------


def _mapped(input: NestedTensor, make: Callable[[Tensor], Tensor], at: int | None = None) -> NestedTensor:
    """`make` of the values of a jagged tensor, whose ragged dimension then is `at`, or of each part of a strided one."""
    if input._ragged is None:
        return rebuilt(input, make)
    return jagged(make(input._values), input._ragged, input._ragged_idx if at is None else at)


def _along(func: Any, input: NestedTensor, dim: Any = None, *args: Any, **kwargs: Any) -> Any:
    """softmax and the like: along the parts' dimensions."""
    kwargs.pop("_stacklevel", None)
    name = func.__name__
    if dim is None:
        dim = -1
    at = _dim(input, dim)
    if at == 0:
        if input._ragged is None:
            raise RuntimeError("Cannot apply softmax across nested dimension 0")
        raise RuntimeError(f"{name}(): not supported when reducing across the batch dimension for NestedTensor")
    if name != "softmax" and input._ragged is None:
        refuse(name, input)
    if at == input._ragged_idx:
        return rebuilt(input, lambda part: func(part, at - 1, *args, **kwargs))
    return _mapped(input, lambda part: func(part, at - 1, *args, **kwargs))


def _per_row(func: Any, input: Any, *args: Any, **kwargs: Any) -> Any:
    """linear, layer_norm and the like: each row of the last dimension by itself, with dense parameters."""
    if not isinstance(input, NestedTensor):
        refuse(func.__name__, _first((input, *args), kwargs))
    if input._ragged is not None and input._ragged_idx == input.dim() - 1 and func.__name__ != "embedding":
        raise RuntimeError(f"{func.__name__}(): not supported for NestedTensor on ragged dim")
    lasts = {shape[-1] for shape in input._shapes or () if shape}
    if input._shapes and len(lasts) == 1 and all(input._shapes):  # all rows at once
        made = func(input._values.view(-1, lasts.pop()), *args, **kwargs)
        return strided(made.reshape(-1), [(*shape[:-1], made.shape[-1]) for shape in input._shapes])
    return _mapped(input, lambda part: func(part, *args, **kwargs))


def _embedding(func: Any, input: Any, weight: Any, *args: Any, **kwargs: Any) -> Any:
    if input._ragged is not None:
        return jagged(func(input._values, weight, *args, **kwargs), input._ragged, input._ragged_idx)
    return rebuilt(input, lambda part: func(part, weight, *args, **kwargs))


def _unbind(func: Any, input: NestedTensor, dim: int = 0) -> tuple[Tensor, ...]:
    at = _dim(input, dim)
    if at and input._ragged is None:
        raise RuntimeError(f"NestedTensor can only be unbound along dimension 0 got dimension {at} instead.")
    if at:
        raise RuntimeError("unbind(): only supported for NestedTensor on dim=0")
    return unbound(input)


def _padded(func: Any, input: NestedTensor, padding: float, output_size: Sequence[int] | None = None) -> Tensor:
    parts = unbound(input)
    most = [max((p.shape[k] for p in parts), default=0) for k in range(input.dim() - 1)]
    size = [len(parts), *most] if output_size is None else [int(n) for n in output_size]
    if len(size) != len(most) + 1:
        raise RuntimeError(f"output_size must have as many sizes as the nested tensor has dimensions, got {size}")
    if input._ragged is not None:  # only the ragged size is looked at
        size = [len(parts), *most[: input._ragged_idx - 1], size[input._ragged_idx], *most[input._ragged_idx :]]
    if input._ragged is None and (size[0] < len(parts) or any(a < b for a, b in zip(size[1:], most, strict=True))):
        raise RuntimeError("Value in output_size is less than NestedTensor padded size. Truncation is not supported.")
    rows = []
    for part in parts:
        for k, n in enumerate(size[1:]):
            part = part.narrow(k, 0, min(n, part.shape[k]))
        pads = [side for k in reversed(range(part.ndim)) for side in (0, size[k + 1] - part.shape[k])]
        rows.append(_torch["constant_pad_nd"](part, pads, padding))
    extra = size[0] - len(parts)
    if extra > 0 and input._ragged is None:
        rows += [_torch["full"](size[1:], padding, dtype=input.dtype, device=input.device)] * extra
    return _torch["stack"](rows) if rows else _torch["empty"](size, dtype=input.dtype, device=input.device)


def _transpose(func: Any, input: NestedTensor, dim0: int, dim1: int) -> NestedTensor:
    a, b = _dim(input, dim0), _dim(input, dim1)
    if 0 in (a, b) and a != b:
        if input._ragged is None:
            raise RuntimeError("Nested tensor dimension 0 cannot be transposed")
        raise ValueError("Transpose is not supported on the batch dimension for jagged NT")
    if a == b:
        return input
    at = {a: b, b: a}.get(input._ragged_idx, input._ragged_idx)
    return _mapped(input, lambda part: part.transpose(a - 1, b - 1), at)


def _permute(func: Any, input: NestedTensor, *dims: Any) -> NestedTensor:
    if input._ragged is None:
        refuse("permute", input)
    order = [_dim(input, d) for d in (dims[0] if len(dims) == 1 and not isinstance(dims[0], int) else dims)]
    if order[0] != 0:
        raise ValueError("Permute is not supported on the batch dimension for jagged NT")
    return _mapped(input, lambda part: part.permute([d - 1 for d in order[1:]]), order.index(input._ragged_idx))


def _unsqueeze(func: Any, input: NestedTensor, dim: int) -> NestedTensor:
    at = dim % (input.dim() + 1)
    if at == 0:
        if input._ragged is None:
            raise RuntimeError(
                "unsqueeze(): For nested tensors, unsqueezing dimension 0 is not supported at the moment"
            )
        raise RuntimeError("unsqueeze(): not supported for NestedTensor on dim=0")
    return _mapped(input, lambda part: part.unsqueeze(at - 1), input._ragged_idx + (at <= input._ragged_idx))


def _squeeze(func: Any, input: NestedTensor, dim: Any = None) -> NestedTensor:
    if dim is None:
        refuse("squeeze", input)
    at = _dim(input, dim)
    if at == 0 or at == input._ragged_idx:
        raise RuntimeError(f"squeeze(): For nested tensors, squeezing dimension {at} is not supported at the moment")
    if input.size(at) != 1:
        return input
    return _mapped(input, lambda part: part.squeeze(at - 1), input._ragged_idx - (at < input._ragged_idx))


def _unflatten(func: Any, input: NestedTensor, dim: int, sizes: Any) -> NestedTensor:
    at = _dim(input, dim)
    if input._ragged is None:
        raise RuntimeError("Internal error: NestedTensorImpl doesn't support sizes. Please file an issue.")
    if at == input._ragged_idx or at == 0:
        raise RuntimeError("unflatten(): not supported for NestedTensor on ragged dim or dim=0")
    more = len(sizes) - 1 if at < input._ragged_idx else 0
    return _mapped(input, lambda part: part.unflatten(at - 1, sizes), input._ragged_idx + more)


def _flatten(func: Any, input: NestedTensor, start_dim: int = 0, end_dim: int = -1) -> NestedTensor:
    a, b = _dim(input, start_dim), _dim(input, end_dim)
    if input._ragged is None:
        raise RuntimeError("Internal error: NestedTensorImpl doesn't support sizes. Please file an issue.")
    if a <= input._ragged_idx <= b or a == 0:
        raise RuntimeError("flatten(): not supported for NestedTensor on ragged dim")
    return _mapped(
        input, lambda part: part.flatten(a - 1, b - 1), input._ragged_idx - (b - a if b < input._ragged_idx else 0)
    )


def _view(func: Any, input: NestedTensor, *shape: Any) -> NestedTensor:
    sizes: Any = list(shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape)
    if input._ragged is None:
        if -1 in sizes:  # stands for the size that the parts differ in
            return rebuilt(
                input, lambda part: part.reshape([part.shape[k] if n == -1 else n for k, n in enumerate(sizes[1:])])
            )
        return rebuilt(input, lambda part: part.reshape(sizes[1:]))
    at = next((k for k, n in enumerate(sizes) if n == input._ragged.size or n == -1), None)
    if at is None or sizes[0] != len(input._ragged.sizes):
        raise RuntimeError(f"view(): cannot view shape {_sizes(input)} as {sizes}")
    rows = input._values.shape[input._ragged_idx - 1]
    if at != input._ragged_idx:
        before = math.prod(input._values.shape[: input._ragged_idx - 1])
        if math.prod(n for n in sizes[1:at]) != before:
            raise RuntimeError(f"view(): cannot view shape {_sizes(input)} as {sizes}")
    return _mapped(input, lambda part: part.reshape([*sizes[1:at], rows, *sizes[at + 1 :]]), at)


def _same_view(func: Any, input: NestedTensor, other: NestedTensor) -> NestedTensor:
    return _view(func, input, *other.shape)


def _expand(func: Any, input: NestedTensor, *shape: Any) -> NestedTensor:
    if input._ragged is None:
        refuse("expand", input)
    sizes: Any = list(shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape)
    at, rows = input._ragged_idx, input._ragged
    if (
        len(sizes) != input.dim()
        or sizes[0] not in (-1, len(rows.sizes))
        or not (sizes[at] == rows.size or sizes[at] == -1)
    ):
        raise RuntimeError(f"expand(): cannot expand shape {_sizes(input)} -> {sizes}")
    sizes[at] = -1
    return _mapped(input, lambda part: part.expand(sizes[1:]))


def _split(func: Any, input: NestedTensor, sizes: Any, dim: int = 0) -> Any:
    name, at = func.__name__, _dim(input, dim)
    if input._ragged is None:
        if name != "chunk":
            refuse(name, input)
        if at != input.dim() - 1:
            raise RuntimeError("Chunk for nested tensors is currently only supported for the last dimension.")
        pieces = zip(*(func(part, sizes, at - 1) for part in unbound(input)), strict=True)
        return tuple(joined(piece, formats.strided) for piece in pieces)
    if at == input._ragged_idx:
        raise RuntimeError(f"{name}(): not supported for NestedTensor on ragged dim")
    if at == 0:
        if name != "chunk":
            raise RuntimeError(f"{name}(): not supported for NestedTensor on dim=0")
        parts = unbound(input)
        step = -(-len(parts) // sizes)
        groups = [parts[k : k + step] for k in range(0, len(parts), step)]
        return tuple(joined(group, formats.jagged, None, input._ragged_idx) for group in groups)
    rows, place = input._ragged, input._ragged_idx
    return tuple(jagged(piece, rows, place) for piece in func(input._values, sizes, at - 1))


def _select(func: Any, input: NestedTensor, dim: int, index: int) -> Any:
    at = _dim(input, dim)
    if at == 0:
        return unbound(input)[index]
    if at == input._ragged_idx:
        raise RuntimeError("select(): not supported for NestedTensor on ragged dim")
    return _mapped(input, lambda part: part.select(at - 1, index), input._ragged_idx - (at < input._ragged_idx))


def _narrow(func: Any, input: NestedTensor, dim: int, start: int, length: int) -> NestedTensor:
    at = _dim(input, dim)
    if input._ragged is None:
        if at:
            raise RuntimeError(f"narrow(): only dim=0 supported for nested tensors, but got: {at}")
        return joined(unbound(input)[start : start + length], formats.strided)
    if at in (0, input._ragged_idx):
        raise RuntimeError("narrow(): not supported for NestedTensor on ragged dim")
    return _mapped(input, lambda part: part.narrow(at - 1, start, length))


def _getitem(func: Any, input: NestedTensor, index: Any) -> Any:
    indices = list(index) if isinstance(index, tuple) else [index]
    skipped = bool(indices) and indices[0] is ...  # PyTorch takes no slice of the parts, not even all of them
    if ... in [i for i in indices if not isinstance(i, Tensor)]:
        place = next(k for k, i in enumerate(indices) if i is ...)
        spent = sum(i is not None and i is not ... for i in indices)
        indices[place : place + 1] = [slice(None)] * (input.dim() - spent)
    if skipped and (not indices or (isinstance(indices[0], slice) and indices[0] == slice(None))):
        rest = tuple(indices[1:])
        at = input._ragged_idx
        if input._ragged is None:
            if any(isinstance(i, slice) and i != slice(None) for i in rest):
                refuse("slice.Tensor", input)
            return rebuilt(input, lambda part: part[rest])
        if any(i is None or not isinstance(i, (int, slice)) for i in rest):
            refuse("index", input)
        if len(rest) >= at and rest[at - 1] != slice(None):
            raise RuntimeError("slice(): not supported for NestedTensor on ragged dim")
        left = at - sum(isinstance(i, int) for i in rest[: at - 1])
        return _mapped(input, lambda part: part[rest], left)
    if isinstance(indices[0], int):
        part = unbound(input)[indices[0]]
        return part[tuple(indices[1:])] if indices[1:] else part
    if isinstance(indices[0], slice):
        if input._ragged is None:
            refuse("slice.Tensor", input)
        raise RuntimeError("slice(): not supported for NestedTensor on dim=0")
    refuse("index", input)


def _cat(func: Any, tensors: Any, dim: int = 0) -> NestedTensor:
    first = _first(tensors, {})
    if not all(isinstance(t, NestedTensor) for t in tensors):
        raise RuntimeError("cat(): expected each tensor in given list to be nested")
    at = _dim(first, dim)
    if first._ragged is None:
        if at == 0:
            return joined([part for t in tensors for part in unbound(t)], formats.strided)
        return joined(
            [_torch["cat"](group, at - 1) for group in zip(*map(unbound, tensors), strict=True)], formats.strided
        )
    if at in (0, first._ragged_idx):
        raise RuntimeError(f"cat(): not supported for NestedTensor on {'dim=0' if at == 0 else 'ragged dim'}")
    return like(first, _torch["cat"]([_fitting(t, first, "cat") for t in tensors], at - 1))


def _stack(func: Any, tensors: Any, dim: int = 0) -> NestedTensor:
    first = _first(tensors, {})
    if first._ragged is None:
        refuse("stack", first)
    at = dim % (first.dim() + 1)
    if at == 0:
        raise RuntimeError("stack(): not supported for NestedTensor on dim=0")
    values = _torch["stack"]([_fitting(t, first, "stack") for t in tensors], at - 1)
    return jagged(values, first._ragged, first._ragged_idx + (at <= first._ragged_idx))


# --- products --------------------------------------------------------------------------------------------------------


def _matmul(func: Any, input: Any, other: Any) -> Any:
    nested = isinstance(input, NestedTensor), isinstance(other, NestedTensor)
    first = input if nested[0] else other
    if first._ragged is None:
        if not all(nested) and func.__name__ != "bmm":
            words = ["nested" if n else "non-nested" for n in nested]
            raise RuntimeError(f"Expected both to be nested, but got a {words[0]} self and {words[1]} other")
        pairs = zip(_parts(input), _parts(other), strict=True)
        return joined([_torch["matmul"](a, b) for a, b in pairs], formats.strided)
    at, last = first._ragged_idx, first.dim() - 1
    if nested == (True, False) and at < last and other.ndim <= 2:
        return like(input, _torch["matmul"](input._values, other))
    if nested == (True, False) and at == last - 1 and other.ndim == input.dim():
        rest = iter(other.unbind())
        return rebuilt(input, lambda part: _torch["matmul"](part, next(rest)))
    if all(nested) and at == last and other._ragged_idx == other.dim() - 2 and input._ragged.size == other._ragged.size:
        return _torch["stack"]([_torch["matmul"](a, b) for a, b in zip(unbound(input), unbound(other), strict=True)])
    raise RuntimeError(f"matmul(): not supported between inputs of shapes {_sizes(input)} and {_sizes(other)}")


def _parts(value: Any) -> Sequence[Tensor]:
    return unbound(value) if isinstance(value, NestedTensor) else value.unbind()


def _dense(func: Any, input: NestedTensor, *args: Any, **kwargs: Any) -> Any:
    if input._ragged is not None:
        raise RuntimeError("to_dense does not support layout Jagged")
    return input


def _item(func: Any, input: NestedTensor) -> Any:
    if input.numel() != 1:
        raise RuntimeError(f"a Tensor with {input.numel()} elements cannot be converted to Scalar")
    return _packed(input).item()


def _gradients(func: Any, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
    inputs = kwargs["inputs"] if "inputs" in kwargs else args[1]
    inputs = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
    with no_subclasses():
        made = func(*args, **kwargs)
    pairs = zip(made, inputs, strict=True)
    return tuple(
        like(t, g.as_subclass(Tensor)) if isinstance(t, NestedTensor) and g is not None else g for g, t in pairs
    )


def _grad_of(func: Any, *args: Any, **kwargs: Any) -> Any:
    first = _first(args, kwargs)
    seed = [values_of(a) for a in args[1:]]
    return func(first._values, *seed, **{k: values_of(v) for k, v in kwargs.items()})


_FORMS: dict[str, Callable[..., Any]] = {
    "attention": attention, "backward": _grad_of, "bmm": _matmul, "cat": _cat, "concat": _cat, "chunk": _split,
    "embedding": _embedding, "expand": _expand, "expand_as": lambda f, a, b: _expand(f, a, *b.shape), "flatten": _flatten,
    "getitem": _getitem, "grad": _gradients, "item": _item, "layer_norm": _per_row, "linear": _per_row, "log_softmax": _along, "matmul": _matmul,
    "multi_head_attention_forward": multihead,
    "narrow": _narrow, "permute": _permute, "reshape": _view, "reshape_as": _same_view, "rms_norm": _per_row, "select": _select,
    "softmax": _along, "split": _split, "squeeze": _squeeze, "stack": _stack, "to_dense": _dense, "to_padded_tensor": _padded,
    "transpose": _transpose, "swapaxes": _transpose, "swapdims": _transpose, "unbind": _unbind, "unflatten": _unflatten,
    "unsqueeze": _unsqueeze, "view": _view, "view_as": _same_view,
}  # fmt: skip
__all__ = ["computed"]
