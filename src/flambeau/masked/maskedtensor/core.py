"""`MaskedTensor`: a tensor that carries along which of its elements count."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

from ... import ops  # noqa: F401
from ...core.array import dtypes
from ...core.dispatch.operator import namespaces
from ...core.tensor.tensor import Tensor
from ...ops.indexing.masking import where
from ...ops.making.constants import ones_like

__all__ = ["MaskedTensor", "is_masked_tensor"]


_torch = namespaces["torch"]
_ISSUE = "an issue on Github"

_UNARY = frozenset(
    """abs absolute acos arccos acosh arccosh angle asin arcsin asinh arcsinh atan arctan atanh arctanh bitwise_not ceil clamp
    clip conj_physical cos cosh deg2rad digamma erf erfc erfinv exp exp2 expm1 fix floor frac i0 isfinite isinf isnan isneginf
    isposinf isreal lgamma log log10 log1p log2 logical_not logit mvlgamma nan_to_num neg negative polygamma positive pow rad2deg
    reciprocal round rsqrt sigmoid sign sgn signbit sin sinc sinh sqrt square tan tanh trunc""".split()
)
_BINARY = frozenset(
    """add arctan2 atan2 bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor div divide eq floor_divide fmax
    fmin fmod ge greater greater_equal gt le less less_equal logaddexp logaddexp2 lt maximum minimum mul multiply ne nextafter
    not_equal remainder rsub sub subtract true_divide pow""".split()
)
_SIGNS = {
    "__add__": "add", "__radd__": "add", "__sub__": "sub", "__mul__": "mul", "__rmul__": "mul", "__truediv__": "div",
    "__pow__": "pow", "__eq__": "eq", "__ne__": "ne", "__lt__": "lt", "__le__": "le", "__gt__": "gt", "__ge__": "ge",
    "__neg__": "neg", "__abs__": "abs", "__mod__": "remainder", "__floordiv__": "floor_divide", "__rsub__": "rsub",
}  # fmt: skip
_REDUCTIONS = frozenset("sum mean prod amax amin argmax argmin std var norm".split())
_NORMALIZATIONS = frozenset(("softmax", "log_softmax"))
# what arranges elements, and does the same with the mask
_MOVES = frozenset(
    """__getitem__ view reshape view_as reshape_as t transpose permute movedim unsqueeze squeeze expand expand_as flatten unflatten
    contiguous chunk split unbind unfold select narrow index_select swapaxes swapdims flip roll repeat broadcast_to T mT""".split()
)
_TYPES = frozenset("to float double half bfloat16 int long clone detach cpu to_dense".split())
_JOINS = frozenset("cat stack concat hstack vstack".split())


class MaskedTensor(Tensor):
    """Data with a mask of the same shape, True where an element counts.

    Elementwise functions keep the mask (two masked arguments must have the same one), reductions leave out what does not
    count, and views look at the data and the mask alike. A function that is none of these raises TypeError.
    """

    def __new__(cls, data: Any, mask: Any, requires_grad: bool = False) -> MaskedTensor:
        if is_masked_tensor(data) or not isinstance(data, Tensor):
            raise TypeError("data must be a Tensor" if not isinstance(data, Tensor) else "data must be no MaskedTensor")
        if is_masked_tensor(mask) or not isinstance(mask, Tensor):
            raise TypeError("mask must be a Tensor")
        made = data.as_subclass(cls)
        made._masked_mask = mask
        if requires_grad:
            made.requires_grad_()
        return made

    def __init__(self, data: Any, mask: Any, requires_grad: bool = False) -> None:
        if mask.dtype is not dtypes.bool:
            raise TypeError("mask must have dtype bool.")
        if data.ndim != mask.ndim:
            raise ValueError("data.dim() must equal mask.dim()")
        if data.shape != mask.shape:
            raise ValueError("data.size() must equal mask.size()")

    def get_data(self) -> Tensor:
        """The values, those that do not count, too."""
        return Tensor.as_subclass(self, Tensor)

    @property
    def _masked_data(self) -> Tensor:  # packages read it, and write into it
        return self.get_data().detach()

    @_masked_data.setter
    def _masked_data(self, data: Tensor) -> None:
        self._repoint(data)

    def get_mask(self) -> Tensor:
        """True where an element counts."""
        return self._masked_mask  # type: ignore[no-any-return]

    def to_tensor(self, value: Any) -> Tensor:
        """The data, with `value` where an element does not count."""
        return self.get_data().masked_fill(~self.get_mask(), value)

    @property
    def is_sparse(self) -> bool:  # type: ignore[override]
        """Whether the data is sparse: never here."""
        return False

    def is_sparse_coo(self) -> bool:
        """Whether the data is sparse, by coordinates: never here."""
        return False

    def is_sparse_csr(self) -> bool:  # type: ignore[override]
        """Whether the data is sparse, by rows: never here."""
        return False

    def numpy(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(".numpy() is not supported for tensor subclasses.")

    def tolist(self) -> Any:
        raise RuntimeError(f".tolist() is not supported for tensor subclasses, got {type(self).__name__}")

    def __repr__(self, **_: Any) -> str:
        return f"MaskedTensor({_text(self)})"

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name == "__get__":
            return super().__torch_function__(func, types, args, kwargs)
        in_place = name.endswith("_") and not name.endswith("__")
        plain = _SIGNS.get(name, name[:-1] if in_place else name)
        if plain in _REDUCTIONS | _NORMALIZATIONS:
            return _reduced(plain, args, {k: v for k, v in kwargs.items() if k != "_stacklevel"})
        if plain in ("all", "any"):
            return _logical(plain, *args, **kwargs)
        if plain == "where":
            return _where(*args, **kwargs)
        if name in _JOINS:
            return _joined(func, *args, **kwargs)
        if name in _MOVES:
            return _moved(func, *args, **kwargs)
        if name in _ALLOWED:
            return super().__torch_function__(func, types, args, kwargs)
        if plain in _UNARY | _BINARY | _TYPES | {"ones_like", "full_like"}:
            return _elementwise(func, in_place, args, kwargs)
        raise TypeError(
            f"Multiple dispatch failed for '{name}': there is no masked form of it. Call get_data() or to_tensor(value) first."
        )


_ALLOWED = frozenset(
    """size dim numel stride backward as_subclass element_size is_contiguous data_ptr __len__ __hash__ is_floating_point is_complex
    ndimension nelement retain_grad requires_grad_ register_hook __deepcopy__ item __bool__ __float__ __int__ get_device is_same_size storage_offset
    type untyped_storage __format__ __reduce_ex__ has_names""".split()
)


def _values(value: Any) -> Any:
    return value.get_data() if is_masked_tensor(value) else value


def _elementwise(func: Any, in_place: bool, args: Any, kwargs: dict[str, Any]) -> Any:
    masked = [a for a in (*args, *kwargs.values()) if is_masked_tensor(a)]
    mask = masked[0].get_mask()
    for other in masked[1:]:
        if other.get_mask().shape != mask.shape or not bool((other.get_mask() == mask).all()):
            raise ValueError(f"Input masks must match. If you need support for this, please open {_ISSUE}.")
    made = func(*map(_values, args), **{k: _values(v) for k, v in kwargs.items()})
    if in_place:
        return args[0]
    return MaskedTensor(made, mask if made.shape == mask.shape else mask.expand(made.shape))


def _moved(func: Any, input: Any, *args: Any, **kwargs: Any) -> Any:
    args = tuple(map(_values, args))
    data, mask = (func(part, *args, **kwargs) for part in (input.get_data(), input.get_mask()))
    if isinstance(data, (tuple, list)):
        return type(data)(MaskedTensor(d, m) for d, m in zip(data, mask, strict=True))
    return MaskedTensor(data, mask)


def _joined(func: Any, tensors: Any, *args: Any, **kwargs: Any) -> Any:
    masks = [t.get_mask() if is_masked_tensor(t) else ones_like(t, dtype=dtypes.bool) for t in tensors]
    return MaskedTensor(func(list(map(_values, tensors)), *args, **kwargs), func(masks, *args, **kwargs))


def _reduced(name: str, args: Any, kwargs: dict[str, Any]) -> Any:
    """`torch.masked`'s function of that name, and the mask of what its results were computed of."""
    function = getattr(importlib.import_module(".._ops", __package__), name)
    given = inspect.signature(function).bind(*args, **kwargs).arguments
    made, mask = function(*args, **kwargs), args[0].get_mask()
    if name in _NORMALIZATIONS:
        return MaskedTensor(made, mask)
    dim, keepdim = given.get("dim"), bool(given.get("keepdim"))
    every = dim is None or dim == ()
    axes = range(mask.ndim) if every else {d % max(mask.ndim, 1) for d in ((dim,) if isinstance(dim, int) else dim)}  # type: ignore[union-attr]
    for axis in sorted(axes, reverse=True):
        mask = mask.any(axis, keepdim=keepdim)
    return MaskedTensor(made, mask)


def _where(condition: Any, input: Any, other: Any) -> Any:
    if not (is_masked_tensor(input) and is_masked_tensor(other)):
        raise ValueError("masked where expects both of its tensors to be MaskedTensors")
    made = where(condition, input.get_data(), other.get_data())
    return MaskedTensor(made, where(condition, input.get_mask(), other.get_mask()))


def _logical(name: str, input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    kept = input.to_tensor(name == "all")
    options = () if dim is None else (dim, keepdim)
    return MaskedTensor(getattr(kept, name)(*options), input.get_mask().any(*options))


def masked_tensor(data: Any, mask: Any, requires_grad: bool = False) -> MaskedTensor:
    """A MaskedTensor with copies of `data` and `mask`, a leaf of the tape if `requires_grad`."""
    return MaskedTensor(data.detach().clone(), mask.clone(), requires_grad)


def as_masked_tensor(data: Any, mask: Any) -> MaskedTensor:
    """A MaskedTensor of these two, which it shares memory and tape with."""
    return MaskedTensor(data, mask)


def is_masked_tensor(obj: Any, /) -> bool:
    """Whether an object is a MaskedTensor."""
    return isinstance(obj, MaskedTensor)


# --- printing --------------------------------------------------------------------------------------------------------


def _text(tensor: MaskedTensor) -> str:
    data, mask = tensor.get_data().detach(), tensor.get_mask()
    form = "{:8.4f}".format if data.dtype.is_floating_point else str
    if data.ndim == 0:
        return f"{form(data.item())}, True" if bool(mask) else "--, False"

    def rows(values: Any, kept: Any, level: int) -> str:
        space = "  " * level
        if not isinstance(values[0] if values else None, list):
            return (
                space + "[" + ", ".join(form(v) if k else "      --" for v, k in zip(values, kept, strict=True)) + "]"
            )
        inner = ",\n".join(rows(v, k, level + 1) for v, k in zip(values, kept, strict=True))
        return f"{space}[\n{inner}\n{space}]"

    return "\n" + rows(data.tolist(), mask.tolist(), 1) + "\n"
