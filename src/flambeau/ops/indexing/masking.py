"""Copies, choices by mask, and writing over a tensor: clone, copy_, fill_, where, nonzero, masked_*."""

from __future__ import annotations

import math
import numbers
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax._src.array import ArrayImpl

from ...core.array import devices
from ...core.array.dtypes import bool as bool_
from ...core.array.dtypes import get_default_dtype, int64, promote, uint8
from ...core.array.formats import contiguous_format
from ...core.array.geometry import Geometry, overlaps
from ...core.array.meta import MetaArray, is_meta
from ...core.context.generator import empty_on_host
from ...core.context.grad_mode import is_grad_enabled
from ...core.context.grad_mode import state as grad_state
from ...core.context.tracing import Untraceable
from ...core.context.warned import warn_once
from ...core.dispatch.errors import broadcast_clash as _broadcast_clash
from ...core.dispatch.host_numbers import HostNumber, plain, takes_numbers
from ...core.dispatch.limits import cast_number, fitting_number, looks_large, overflow, refuse_unfit
from ...core.dispatch.operator import Array, _attach, _publish, composite, inplace_form, operator
from ...core.dispatch.overloads import shown_to_modes
from ...core.dispatch.promotion import convert, result_type
from ...core.dispatch.promotion import rank as _rank
from ...core.dispatch.signature import not_a_tensor
from ...core.dispatch.sparse_forms import instead
from ...core.tensor.sparse import SparseOperand
from ...core.tensor.storage import HostStorage, Storage, cut_over
from ...core.tensor.tensor import Tensor, wrap
from ..making.constants import laid_out
from ..making.creation import empty, memory_order
from ..shape.complex_parts import real
from ..shape.joining import cat
from ..support.checks import FLOAT, demand, on_host, refuse_part, scalar_name, type_name, without_values
from .by_numpy import SELECTED


def host_values(name: str, tensor: Tensor) -> np.ndarray:
    """The values as NumPy has them, for results whose shape depends on them. RuntimeError while being compiled."""
    array = tensor._array
    if isinstance(array, jax.core.Tracer):
        error = RuntimeError if grad_state.trace is None else Untraceable
        raise error(
            f"{name}: the shape of the result depends on the values of a tensor, which are not known while a "
            "function is being compiled. Use a form with a fixed shape (torch.where, a product with the mask), or "
            "call this outside of it."
        )
    if is_meta(array):
        raise without_values(name)
    refuse_part(name, tensor)
    return np.asarray(array)


def like_on_device(values: np.ndarray, tensor: Tensor) -> Tensor:
    """A tensor of host values where `tensor` lives; whole on each device where that is cut, as they are in another shape."""
    array = tensor._array
    where = None if isinstance(array, jax.core.Tracer) else array.sharding
    if isinstance(where, jax.sharding.NamedSharding) and where.num_devices > 1:
        return wrap(devices.spread(values, jax.sharding.NamedSharding(where.mesh, jax.sharding.PartitionSpec())))
    return wrap(devices.put(values, where))


def _together(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape to which all broadcast; RuntimeError if they do not."""
    clash = _broadcast_clash(list(shapes))
    if clash:
        raise RuntimeError(clash)
    return jnp.broadcast_shapes(*shapes)


def taped(*values: Any) -> bool:
    return is_grad_enabled() and any(isinstance(v, Tensor) and v.requires_grad for v in values)


# --- copies -----------------------------------------------------------------------------------------------------------


@operator(methods=False, public=(), grad="CloneBackward0", narrow=True)
def _clone(input: Array) -> Array:
    return input


@composite()
def clone(input: Tensor, *, memory_format: Any = None) -> Tensor:
    """A tensor of its own with the same values, on the tape: gradients flow through it to `input`."""
    by_operator = taped(input) or grad_state.by_parts is not None  # of parts a process has its own
    fresh = _clone(input) if by_operator else wrap(input._array)
    order, view = memory_order(input, memory_format), input._view
    if order is None:
        kept = memory_format is None or "preserve" in str(memory_format)
        if view is not None and kept and view.contiguous and fresh.numel():  # strides of dimensions of size 1 live on
            fresh._view = Geometry(view.shape, view.strides)
        return fresh
    made = laid_out(fresh, order)
    if view is not None and all(
        a == b or n == 1 for n, a, b in zip(view.shape, view.strides, made.stride(), strict=True)
    ):
        made._view = Geometry(view.shape, view.strides)
    return made


def contiguous(self: Tensor, *, memory_format: Any = None) -> Tensor:
    """The tensor itself if its elements lie in order (that of `memory_format`), else a copy whose elements do."""
    if self.is_contiguous(memory_format=memory_format):
        return self
    return clone(self, memory_format=contiguous_format if memory_format is None else memory_format)


_attach(contiguous, ("contiguous",))


@operator(methods=False, public=(), grad="CopyBackwards", narrow=True)
def _overwrite(input: Array, src: Array) -> Array:
    shape = _together(input.shape, src.shape)
    if shape != input.shape:
        raise RuntimeError(f"output with shape {list(input.shape)} doesn't match the broadcast shape {list(shape)}")
    return convert(jnp.broadcast_to(src, shape), input.dtype)


_overwrite_taped = inplace_form(_overwrite.operator, "copy_")  # type: ignore[attr-defined]


def copy_(self: Tensor, src: Tensor, non_blocking: bool = False) -> Tensor:
    """Overwrite the tensor with `src`'s values, broadcast to its shape and cast to its dtype. Returns the tensor.

    Under autograd, the gradient goes to `src`. Raises RuntimeError if the shapes do not fit.
    """
    if not isinstance(src, Tensor):
        src = like_on_device(np.asarray(src), self)
    try:
        there, here = src._array, self._array
    except SparseOperand as error:
        return instead("copy_", error, (self, src), {})
    tracing = isinstance(there, jax.core.Tracer) or isinstance(here, jax.core.Tracer)
    if not tracing and there.devices() != here.devices():
        src = src.to(self.device)
        there = src._array
    if taped(self, src):
        return _overwrite_taped(self, src)
    self._check_inplace()
    same = there.dtype == here.dtype and there.shape == here.shape
    # the values are immutable: to have the same ones is to have a copy
    made = there if same else _overwrite(wrap(here), wrap(there))._array
    lies = cut_over(self._storage) if self._view is None and not tracing else None
    if lies is not None and devices.is_far(lies):  # over several processes: what is written to stays as it lay
        made = devices.spread(made, lies)
    self._assign(made, None)
    return self


_attach(shown_to_modes(copy_), ("copy_",))


# --- one value --------------------------------------------------------------------------------------------------------


def _number(value: Any, input: Tensor) -> Any:
    """A Python number as an element of `input`; RuntimeError if it does not fit. Tensors stay."""
    if isinstance(value, Tensor):
        if value.dtype.is_complex and not input.dtype.is_complex:
            raise overflow(f"a tensor of dtype {value.dtype}", input._np_dtype)
        return value
    if isinstance(value, HostNumber):
        fitting = input.dtype.category >= FLOAT or (input._np_dtype.kind == "i" and value.whole)
        if fitting and value.looked_at(lambda number: _fits(number, input._np_dtype)):
            return value
        value = value.settle()
    cast = fitting_number(value, input._np_dtype)
    return cast.item() if input._np_dtype.kind in "iub" else value


def element(value: Any, input: Tensor) -> Any:
    """The same, where a 0-dim tensor of another dtype is read as the number that it holds, which has to fit, too."""
    if not isinstance(value, Tensor) or value.ndim:
        return _number(value, input)
    refuse_unfit(value, input._np_dtype)
    is_read = value.dtype.is_complex and not input.dtype.is_complex and on_host(value) is not None
    return real(value) if is_read else _number(value, input)


def _fits(number: Any, dtype: np.dtype) -> bool:
    try:
        fitting_number(number, dtype)
    except RuntimeError:
        return False
    return True


@operator(methods=False, public=(), grad="FillBackward0", narrow=True)
def _fill(input: Array, value: Array) -> Array:
    if value.ndim:
        raise RuntimeError(f"fill_ only supports 0-dimension value tensor but got tensor with {value.ndim} dimensions.")
    return jnp.broadcast_to(convert(value, input.dtype), input.shape)


_fill_taped = inplace_form(_fill.operator, "fill_")  # type: ignore[attr-defined]


@composite(methods=False, numbers=("value",))
def fill(input: Tensor, value: Any) -> Tensor:
    """A tensor like `input` full of `value`, a number or a 0-dim tensor."""
    return _fill(input, _number(value, input))


@takes_numbers(1, "value")
def fill_(self: Tensor, value: Any) -> Tensor:
    """Overwrite every element with `value`, a number or a 0-dim tensor (to which the gradient goes)."""
    if not isinstance(value, (Tensor, HostNumber, numbers.Number, np.generic)):
        raise TypeError(
            f"fill_() received an invalid combination of arguments - got ({type(value).__name__}), but expected one of: "
            "(Tensor value), (Number value)"
        )
    value = _number(value, self)
    if self._view is not None and 0 in self._view.strides and overlaps(self._view):
        strides = self._view.strides  # of an expanded dimension, the one place that there is
        fill_(
            self.as_strided([1 if step == 0 else n for n, step in zip(self.shape, strides, strict=True)], strides),
            value,
        )
        return self
    if not isinstance(value, Tensor) and not taped(self) and _is_plain(self):
        self._check_inplace()
        dtype = self._np_dtype
        one = np.empty((), dtype)
        one.fill(_number_for(value, dtype))
        self._storage.set_host(np.broadcast_to(one, self._storage.shape))  # the memory is taken when it is read
        if grad_state.grad:
            self._set_edge(None)
        else:
            self._edge_version += 1
        return self
    try:
        array = self._array
    except SparseOperand as error:
        return instead("fill_", error, (self, value), {})
    if isinstance(value, Tensor) or isinstance(array, jax.core.Tracer) or taped(self):
        return _fill_taped(self, value)
    self._check_inplace()
    if type(array) is MetaArray:
        self._assign(array, None)
        return self
    full = empty_on_host(array.shape, array.dtype)  # which JAX keeps without a copy
    full.fill(_number_for(value, array.dtype))
    self._assign(devices.from_numpy(full, array.sharding), None)
    return self


def _is_plain(self: Tensor) -> bool:
    """Whether a tensor is all of a memory on the one CPU, which no trace follows."""
    if self._view is not None or grad_state.trace is not None or grad_state.transforms:
        return False
    storage = self._storage
    if type(storage) is Storage:
        value = storage.value
        return type(value) is ArrayImpl and devices.is_on_the_cpu(value)
    return type(storage) is HostStorage


def _number_for(value: Any, dtype: np.dtype) -> Any:
    if dtype.kind == "V" or dtype.itemsize == 1:
        return cast_number(value, dtype)
    return value.real if isinstance(value, complex) and dtype.kind != "c" else value


def zero_(self: Tensor) -> Tensor:
    """Overwrite every element with zero."""
    try:
        return fill_(self, 0)
    except SparseOperand as error:
        return instead("zero_", error, (self,), {})


def fill_diagonal_(self: Tensor, fill_value: Any, wrap: bool = False) -> Tensor:
    """Overwrite the main diagonal. With `wrap`, a tall matrix gets one in each square below, a row apart."""
    if self.ndim < 2:
        raise RuntimeError("dimensions must larger than 1")
    if self.ndim > 2:
        if len(set(self.shape)) > 1:
            raise RuntimeError("all dimensions of input must be of equal length")
        own = self.as_strided((self.shape[0],), (sum(self.stride()),))
        own.fill_(fill_value)
        return self
    rows, columns = self.shape
    for start in range(0, rows if wrap else min(rows, 1), columns + 1):
        self[start:].diagonal().fill_(fill_value)
    return self


_attach(shown_to_modes(fill_), ("fill_",))
_attach(fill_diagonal_, ("fill_diagonal_",))
_publish("fill_diagonal_", fill_diagonal_, ("torch",))
_attach(shown_to_modes(zero_), ("zero_",))
_publish("fill_", fill_, ("torch",))
_publish("zero_", zero_, ("torch",))


# --- by mask ----------------------------------------------------------------------------------------------------------


@operator(methods=False, public=(), grad="WhereBackward0", narrow=True)
def _where(condition: Array, input: Array, other: Array) -> Array:
    if condition.dtype not in (np.bool_, np.uint8):
        raise RuntimeError(
            f"where expected condition to be a boolean tensor, but got a tensor with dtype {type_name(condition)}"
        )
    _together(condition.shape, input.shape, other.shape)
    common = promote([_rank(input), _rank(other)]).numpy
    return jnp.where(condition.astype(np.bool_), convert(input, common), convert(other, common))


@composite(methods=False, numbers=("input", "other"))
def where(condition: Tensor, input: Any = None, other: Any = None) -> Any:
    """`input` where `condition` holds, else `other`, elementwise with broadcasting, in their common dtype.

    Without `input` and `other`: the indices where it holds, as `nonzero(condition, as_tuple=True)`.
    """
    if input is None and other is None:
        return nonzero(condition, as_tuple=True)
    if input is None or other is None:
        raise TypeError("where() takes a condition and either both or none of input and other")
    if isinstance(condition, Tensor) and condition.dtype is uint8:
        warn_once(
            "where received a uint8 condition tensor. This behavior is deprecated and will be removed in a future version of PyTorch. "
            "Give bools."
        )
    _check_numbers(input, other)
    return _where(condition, input, other)


@takes_numbers(2, "other")
def _where_method(self: Tensor, condition: Tensor, other: Any) -> Tensor:
    """The tensor's own elements where `condition` holds, else those of `other`."""
    if not isinstance(condition, Tensor):
        raise not_a_tensor("where", "condition", 1, condition)
    _check_numbers(self, other)
    return _where(condition, self, other)


def _check_numbers(input: Any, other: Any) -> None:
    """Raises RuntimeError for a Python number that does not fit the dtype of what is chosen from."""
    for value, beside in ((input, other), (other, input)):
        if isinstance(value, (int, float)) and isinstance(beside, Tensor):
            if isinstance(value, HostNumber):
                whole = beside.dtype is int64 and value.whole
                value = plain(value) if beside.dtype.is_floating_point or whole else value.settle()
            _refuse_beyond(value, result_type(beside, value).numpy)
    if isinstance(input, float) and isinstance(other, float):
        for value in (input, other):
            _refuse_beyond(value, get_default_dtype().numpy)


def _refuse_beyond(value: Any, dtype: np.dtype) -> None:
    if looks_large(value) and (dtype.kind in "iu" or dtype.itemsize > 2):  # halves take what becomes infinite
        fitting_number(value, dtype)


_where_method.__name__ = "where"
_attach(_where_method, ("where",))


@composite()
def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """The indices of the elements that are not zero: a row each, or with `as_tuple` a vector per dimension."""
    values = host_values("nonzero", input)
    if as_tuple:
        return tuple(like_on_device(i, input) for i in np.nonzero(np.atleast_1d(values)))
    return like_on_device(np.argwhere(values).astype(np.int64), input)


@composite()
def nonzero_static(input: Tensor, *, size: int, fill_value: int = -1) -> Tensor:
    """`nonzero` cut or filled up with `fill_value` to `size` rows."""
    if input.is_meta:  # type: ignore[attr-defined]
        return empty((size, input.ndim), dtype=int64, device=input.device)
    found = nonzero(input)[:size]
    return cat([found, found.new_full((size - len(found), input.ndim), fill_value)])


@composite()
def argwhere(input: Tensor) -> Tensor:
    """The indices of the elements that are not zero, one row each."""
    return nonzero(input)


@operator(methods=False, public=())
def _masked_fill(input: Array, mask: Array, value: Array) -> Array:
    if mask.dtype != np.bool_:
        raise RuntimeError(f"masked_fill_ only supports boolean masks, but got mask with dtype {scalar_name(mask)}")
    if value.ndim:
        raise RuntimeError(
            f"masked_fill_ only supports a 0-dimensional value tensor, but got tensor with {value.ndim} dimension(s)."
        )
    _together(mask.shape, input.shape)
    return jnp.where(mask, convert(value, input.dtype), input)


_masked_fill_taped = inplace_form(_masked_fill.operator, "masked_fill_")  # type: ignore[attr-defined]


@composite(numbers=("value",))
def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """`input` with `value`, a number or 0-dim tensor, where the bool tensor `mask` holds; they broadcast."""
    return _masked_fill(input, mask, element(value, input))


@takes_numbers(2, "value")
def masked_fill_(self: Tensor, mask: Tensor, value: Any) -> Tensor:
    """In-place form of `masked_fill`; the mask must broadcast to the tensor's shape."""
    return _masked_fill_taped(self, mask, element(value, self))


_attach(masked_fill_, ("masked_fill_",))


@operator(methods=False, public=(), narrow=True, by_numpy=SELECTED)
def _masked_select(input: Array, places: Array, shape: tuple[int, ...]) -> Array:
    return jnp.broadcast_to(input, shape).reshape(-1).at[places].get(mode="promise_in_bounds", unique_indices=True)


@composite()
def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where the bool tensor `mask` holds, as a vector; they broadcast."""
    return _select(input, mask) if grad_state.dispatch_modes else _selected(input, mask)


def _selected(input: Tensor, mask: Tensor) -> Tensor:
    if mask.dtype is not bool_:
        raise RuntimeError("masked_select: expected BoolTensor for mask")
    chosen = host_values("masked_select", mask)
    shape = _together(chosen.shape, tuple(input.shape))
    places = np.flatnonzero(np.broadcast_to(chosen, shape))
    values = None if taped(input) else on_host(input)
    if values is not None:
        return like_on_device(np.broadcast_to(values, shape).reshape(-1)[places], input)
    return _masked_select(input, like_on_device(places, input), shape)


_selected.__name__ = "masked_select"  # as modes name it
_select = shown_to_modes(_selected)


@operator(methods=False, public=())
def _masked_scatter(input: Array, mask: Array, source: Array) -> Array:
    if mask.dtype != np.bool_:
        raise RuntimeError(f"masked_scatter_ only supports boolean masks, but got mask with dtype {type_name(mask)}")
    if source.dtype != input.dtype:
        raise RuntimeError(
            "masked_scatter: expected self and source to have same dtypes but got "
            f"{type_name(input)} and {type_name(source)}"
        )
    shape = _together(input.shape, mask.shape)
    mask = jnp.broadcast_to(mask, shape)
    if source.size == 0:
        return jnp.broadcast_to(input, shape)
    places = jnp.cumsum(mask.reshape(-1), dtype=np.int64) - 1
    values = source.reshape(-1).at[jnp.maximum(places, 0)].get(mode="clip")
    return jnp.where(mask, values.reshape(shape), input)


@composite(inplace=True)
def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """`input` with the elements of `source`, in order, where the bool tensor `mask` holds; they broadcast.

    Raises RuntimeError if `source` has too few elements.
    """
    if isinstance(mask, Tensor) and mask._np_dtype == np.bool_:
        shape = _together(tuple(mask.shape), tuple(input.shape))
        times = math.prod(shape) // max(mask.numel(), 1)  # how often a place of the mask is used
        text = "Number of elements of source < number of ones in mask"
        demand(lambda chosen: (chosen.sum() * times > source.numel(), 0), lambda _: RuntimeError(text), mask)
    return _masked_scatter(input, mask, source)
