"""Tensors of given sizes: constants, their `_like` and `new_` forms, and what all creation shares.

Values are made with NumPy on the host and then put on their device: making a tensor compiles nothing.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...core.array import devices, dtypes
from ...core.array.dtypes import as_dtype, get_default_dtype
from ...core.array.formats import sparse_coo, strided
from ...core.array.geometry import contiguous_strides
from ...core.array.meta import NOWHERE, MetaArray
from ...core.array.size import is_open
from ...core.context.grad_mode import no_grad
from ...core.dispatch.call import refuse_recorded_out, store
from ...core.dispatch.host_numbers import HostNumber
from ...core.dispatch.limits import fitting_number
from ...core.dispatch.misfits import refuse_recorded
from ...core.dispatch.operator import _attach, composite
from ...core.dispatch.overloads import shown_to_modes
from ...core.tensor import sparse
from ...core.tensor.looks import from_storage
from ...core.tensor.storage import PartsStorage, Storage, cut_over, laid, laid_beside
from ...core.tensor.tensor import Tensor, blank, from_host
from ..support.checks import whole_numbers

# --- helpers that all creation shares --------------------------------------------------------------------------------


def place(
    values: np.ndarray | MetaArray,
    device: Any = None,
    requires_grad: bool = False,
    order: tuple[int, ...] | None = None,
) -> Tensor:
    """A tensor of NumPy values that nobody else holds: JAX may keep the very buffer.

    `order` names the dimensions from the one with the largest stride to the one with the smallest; `values` are then
    given with their dimensions in that order.
    """
    if requires_grad is not None and (given := type(requires_grad)) is not bool:
        raise TypeError(f"argument 'requires_grad' must be bool, not {given.__name__}")
    if requires_grad and not dtypes.from_numpy(values.dtype).category >= dtypes.FLOAT:
        raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
    made = from_host(values, device)  # type: ignore[arg-type]
    if order is not None:
        shape, strides = [0] * len(order), [0] * len(order)
        for dim, n, step in zip(order, values.shape, contiguous_strides(values.shape), strict=True):
            shape[dim], strides[dim] = n, step
        made = from_storage(made._storage, tuple(shape), tuple(strides))
    return made.requires_grad_() if requires_grad else made


def size_of(name: str, dims: tuple[Any, ...], size: Any = None) -> tuple[int, ...]:
    """The shape meant by `f(2, 3)`, `f((2, 3))` or `f(size=(2, 3))`. Raises TypeError or RuntimeError if it is none."""
    if size is None:
        if not dims:
            raise TypeError(f'{name}() missing 1 required positional arguments: "size"')
        size = dims[0] if len(dims) == 1 and isinstance(dims[0], (tuple, list)) else dims
    elif dims:
        raise TypeError(f"{name}() got the size twice: {dims} and size={size}")
    alone = not isinstance(size, (tuple, list)) or (size is dims and len(dims) == 1)
    made = whole_numbers(name, "size", 1, size, alone)
    if any(n < 0 for n in made):
        bad = next(n for n in made if n < 0)
        said = f"Trying to create tensor with negative dimension {bad}: {made}"
        raise RuntimeError(f"zeros: Dimension size must be non-negative. {said}" if name == "zeros" else said)
    return tuple(made)


def check_options(name: str, layout: Any, pin_memory: bool = False) -> None:
    """Raises for what a factory can't make: values in a sparse layout, memory that is pinned for an accelerator that is not here."""
    if layout is not None and layout is not strided:
        raise NotImplementedError(
            f"Could not run 'aten::{name}' with layout={layout}: make it dense, and turn it with to_sparse()"
        )
    if pin_memory and not devices.jax_devices("cuda"):
        raise RuntimeError(
            "pin_memory=True requires a CUDA or other accelerator backend; no pinned memory allocator is available on this system."
        )


def deliver(
    fill: Callable[[np.dtype], np.ndarray],
    default: dtypes.dtype | None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    out: Tensor | None = None,
    order: tuple[int, ...] | None = None,
    shape: tuple[int, ...] | None = None,
) -> Tensor:
    """What all factories end with: choose the dtype, have the values made, put them where they belong.

    On the meta device no values of a known `shape` are made, and nothing is drawn.
    """
    target = as_dtype(dtype)
    nowhere = shape is not None and resolved(out, device) is NOWHERE
    if out is None:
        target = target or default or get_default_dtype()
        values = MetaArray(shape, target.numpy) if nowhere else fill(target.numpy)  # type: ignore[arg-type]
        return place(values, device, requires_grad, order)
    if target not in (None, out.dtype):
        raise RuntimeError(f"dtype {target.abbr} does not match dtype of out parameter ({out.dtype.abbr})")
    if device is not None and devices.resolve(device) != resolved(out, None):
        kind = devices.device(device).type
        raise RuntimeError(f"device type {kind} does not match device type of out parameter ({out.device.type})")
    refuse_recorded_out(out)
    values = MetaArray(shape, out.dtype.numpy) if nowhere else fill(out.dtype.numpy)  # type: ignore[arg-type]
    store(out, place(values, out.device))
    return out.requires_grad_() if requires_grad else out


def resolved(out: Tensor | None, device: Any) -> Any:
    return devices.resolve(device if out is None else out.device)


def filled(shape: tuple[int, ...], value: Any) -> Callable[[np.dtype], np.ndarray]:
    """A maker of arrays that hold one value, once: the memory is taken when they go to a device."""

    def fill(dtype: np.dtype) -> np.ndarray:
        one = fitting_number(value, dtype) if value else np.zeros((), dtype)
        if is_open(shape):
            return jnp.broadcast_to(one, shape)  # type: ignore[return-value]
        if dtype.isbuiltin != 1:
            return np.broadcast_to(one, shape)
        made = np.ndarray(
            shape, dtype, np.asarray(one), strides=(0,) * len(shape)
        )  # a fifth of the time of `np.broadcast_to`
        made.flags.writeable = False
        return made

    return fill


def memory_order(input: Tensor, memory_format: Any = None) -> tuple[int, ...] | None:
    """The dimensions by falling stride, if a tensor made in `input`'s likeness keeps them; None for row-major."""
    if getattr(memory_format, "order", None) is not None:
        return memory_format.order_of(input.ndim)
    if memory_format is not None and "preserve" not in str(memory_format):
        return None
    if input._view is None or input._view.contiguous:
        return None
    shape, strides = input._view.shape, input._view.strides
    order = list(reversed(range(len(shape))))  # by rising stride, in the end
    for i in range(1, len(order)):
        here = i
        for before in reversed(range(i)):
            low, high = order[before], order[here]
            if 0 in (strides[low], strides[high]):
                continue  # an expanded dimension decides nothing, and is passed over, as in PyTorch
            if (strides[low], shape[low]) <= (strides[high], shape[high]):
                break
            order[before], order[here] = high, low
            here = before
    return tuple(reversed(order))


def laid_out(fresh: Tensor, order: tuple[int, ...]) -> Tensor:
    """A tensor that nobody else holds, with its dimensions in this order in memory."""
    turned = fresh._array.transpose(order)
    steps = dict(zip(order, contiguous_strides(turned.shape), strict=True))
    made = from_storage(Storage(turned), tuple(fresh.shape), tuple(steps[d] for d in range(len(order))))
    made._edge = fresh._edge
    return made


def like(
    input: Tensor,
    fill: Callable[[tuple[int, ...]], Callable[[np.dtype], np.ndarray]],
    dtype: Any,
    device: Any,
    requires_grad: bool,
    memory_format: Any = None,
) -> Tensor:
    """A tensor with `input`'s shape and, unless told otherwise, its dtype, device and order in memory."""
    if not isinstance(input, Tensor):
        raise TypeError(f"argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    order = memory_order(input, memory_format)
    shape = tuple(input.shape) if order is None else tuple(input.shape[d] for d in order)
    where = device_like(input, device)
    return beside(deliver(fill(shape), input.dtype, dtype, where, requires_grad, order=order, shape=shape), input)


def beside(made: Tensor, *inputs: Tensor, rows: bool = False) -> Tensor:
    """A new tensor that is made of one that is cut over several processes is, too: cut likewise if it has the same shape (with `rows`,
    a shape with another last dimension, if that is not cut), else whole in each."""
    input = next((one for one in inputs if one.shape == made.shape), inputs[0])
    cut = cut_over(input._storage)
    if cut is None or not devices.is_far(cut) or made.device != input.device:
        return made
    last = input.ndim - 1
    alike = (last > 0 and _is_whole_along(input._storage, last)) if rows else made.shape == input.shape
    held = laid_beside(input._storage, made._array) if input._view is None and alike else None
    if held is None:
        held = laid(made._array, jax.sharding.NamedSharding(cut.mesh, jax.sharding.PartitionSpec()))
    found = blank(Tensor, held)
    return found.requires_grad_() if made.requires_grad else found


def _is_whole_along(storage: Storage, dim: int) -> bool:
    """Whether no device lacks values along a dimension."""
    if type(storage) is PartsStorage:
        return all(getattr(placement, "dim", None) != dim for placement in storage.host.placements)
    cut = cut_over(storage)
    return cut is None or not any(cut.spec[dim : dim + 1])


def device_like(input: Tensor, device: Any) -> Any:
    return input.device if device is None else device


def number_of(name: str, argument: str, value: Any) -> Any:
    """The Python number that an argument gives. Raises TypeError if it is none."""
    if isinstance(value, Tensor) and value.ndim == 0:
        refuse_recorded(name, argument, None, value)
        return value._array.item()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (bool, int, float, complex)):
        return value
    raise TypeError(f"{name}(): argument '{argument}' must be Number, not {type(value).__name__}")


def extent_of(function: str, name: str, value: Any) -> int:
    """The int that an argument gives, also as a tensor of one integer. Raises TypeError if it is none."""
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{function}(): argument '{name}' must be int, not {type(value).__name__}") from None


def number_dtype(value: Any) -> dtypes.dtype:
    """The dtype that a Python number becomes."""
    if isinstance(value, bool):
        return dtypes.bool
    if isinstance(value, int):
        return dtypes.int64
    return get_default_dtype() if isinstance(value, float) else dtypes.default_complex()


# --- constant values -------------------------------------------------------------------------------------------------


def _without_values(
    name: str, value: Any, shape: tuple[int, ...], layout: Any, dtype: Any, device: Any, requires_grad: bool
) -> Tensor:
    """A sparse tensor that stores nothing."""
    blocks = layout.name in ("sparse_bsr", "sparse_bsc")
    if value or (layout is not sparse_coo and not layout.name.startswith("sparse")):
        raise NotImplementedError(
            f"Could not run 'aten::{name}' with layout={layout}: only zeros and empty ones, of sparse layouts, are there"
        )
    if blocks:
        shown = "SparseBsr" if layout.name == "sparse_bsr" else "SparseBsc"
        raise RuntimeError(
            f"{name}_sparse_compressed expected sparse compressed (non-block) tensor layout but got {shown}"
        )
    numbers = as_dtype(dtype or get_default_dtype()).numpy  # type: ignore[union-attr]
    if layout is sparse_coo:
        made = sparse.empty(shape, numbers, device)
    elif len(shape) < 2:
        raise RuntimeError(
            f"torch.{name}: Only batched sparse compressed (non-block) tensors are supported, but got size {list(shape)}"
        )
    else:
        made = sparse.empty_compressed(shape, numbers, device, layout.name, len(shape) - 2)
    return made.requires_grad_() if requires_grad else made


def _name(function: Any, name: str, doc: str) -> None:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc


def _constant(name: str, value: int, doc: str) -> tuple[Any, Any, Any]:
    """The factory of a constant, its `_like` form and its `new_` method."""

    def make(
        *dims: Any, size: Any = None, out: Tensor | None = None, dtype: Any = None, layout: Any = None,
        device: Any = None, requires_grad: bool = False, pin_memory: bool = False, memory_format: Any = None,
    ) -> Tensor:  # fmt: skip
        check_options(name, None, pin_memory)
        shape = size_of(name, dims, size)
        if layout is not None and layout is not strided:
            return _without_values(name, value, shape, layout, dtype, device, requires_grad)
        order = None if memory_format is None else memory_format.order_of(len(shape))
        laid = shape if order is None else tuple(shape[d] for d in order)
        return deliver(filled(laid, value), None, dtype, device, requires_grad, out, order)

    def make_like(
        input: Tensor, *, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False,
        memory_format: Any = None, pin_memory: bool = False,
    ) -> Tensor:  # fmt: skip
        check_options(name, None, pin_memory)
        if layout is not None and layout is not strided:
            if (
                sparse.is_sparse(input)
                and layout.name in ("sparse_bsr", "sparse_bsc")
                and sparse.layout_of(input) != "sparse_coo"
            ):
                raise sparse.SparseOperand(sparse.layout_of(input))  # it has blocks
            where = device_like(input, device)
            return _without_values(name, value, tuple(input.shape), layout, dtype or input.dtype, where, requires_grad)
        return like(input, lambda shape: filled(shape, value), dtype, device, requires_grad, memory_format)

    def make_new(
        self: Tensor, *dims: Any, size: Any = None, dtype: Any = None, device: Any = None, requires_grad: bool = False,
        layout: Any = None, pin_memory: bool = False,
    ) -> Tensor:  # fmt: skip
        check_options(name, None, pin_memory)
        shape = size_of("new_" + name, dims, size)
        if layout is not None and layout is not strided:
            return _without_values(
                name, value, shape, layout, dtype or self.dtype, device_like(self, device), requires_grad
            )
        made = deliver(filled(shape, value), self.dtype, dtype, device_like(self, device), requires_grad)
        return beside(made, self)

    _name(make, name, f"A tensor {doc}, of the given shape.")
    _name(make_like, name + "_like", f"A tensor {doc}, with `input`'s shape, dtype, device and order in memory.")
    _name(make_new, "new_" + name, f"A tensor {doc}, with this one's dtype and device.")
    shown_new = shown_to_modes(make_new)
    _attach(shown_new, (make_new.__name__,))
    return composite(methods=False)(make), composite(methods=False)(make_like), shown_new


zeros: Any
zeros_like: Any
new_zeros: Any
zeros, zeros_like, new_zeros = _constant("zeros", 0, "of zeros")
ones: Any
ones_like: Any
new_ones: Any
ones, ones_like, new_ones = _constant("ones", 1, "of ones")
empty: Any
empty_like: Any
new_empty: Any
empty, empty_like, new_empty = _constant("empty", 0, "whose values do not matter (here zeros)")


def of_input(make: Callable[[Any], Tensor], number: HostNumber) -> Tensor:
    """What `make(number)` gives, for a number that a compiled program takes as an input."""
    made = make(type(number.plain)(0))
    with no_grad():
        return made.fill_(number)  # type: ignore[attr-defined]


@composite(methods=False, numbers=("fill_value",))
def full(
    size: Any, fill_value: Any, *, out: Tensor | None = None, dtype: Any = None, layout: Any = None,
    device: Any = None, requires_grad: bool = False, pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """A tensor of one value; the dtype is the one that the value has as a Python number."""
    check_options("full", layout, pin_memory)
    if not isinstance(size, (tuple, list)):
        raise TypeError(f"full(): argument 'size' (position 1) must be tuple of ints, not {type(size).__name__}")
    if isinstance(fill_value, HostNumber):
        options: Any = {"out": out, "dtype": dtype, "device": device, "requires_grad": requires_grad}
        return of_input(lambda number: full(size, number, **options), fill_value)
    value = number_of("full", "fill_value", fill_value)
    found = fill_value.dtype if isinstance(fill_value, Tensor) else number_dtype(value)
    return deliver(filled(size_of("full", (size,)), value), found, dtype, device, requires_grad, out)


@composite(methods=False, numbers=("fill_value",))
def full_like(
    input: Tensor, fill_value: Any, *, dtype: Any = None, layout: Any = None, device: Any = None,
    requires_grad: bool = False, memory_format: Any = None, pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """A tensor of one value, with `input`'s shape, dtype, device and order in memory."""
    check_options("full_like", layout, pin_memory)
    if isinstance(fill_value, HostNumber):
        options: Any = {
            "dtype": dtype,
            "device": device,
            "requires_grad": requires_grad,
            "memory_format": memory_format,
        }
        return of_input(lambda number: full_like(input, number, **options), fill_value)
    value = number_of("full_like", "fill_value", fill_value)
    return like(input, lambda shape: filled(shape, value), dtype, device, requires_grad, memory_format)


@composite(methods=True, public=(), numbers=("fill_value",))
def new_full(
    self: Tensor, size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False,
    layout: Any = None, pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """A tensor of one value, with this one's dtype and device."""
    check_options("new_full", layout, pin_memory)
    if isinstance(fill_value, HostNumber):
        options: Any = {"dtype": dtype, "device": device, "requires_grad": requires_grad}
        return of_input(lambda number: new_full(self, size, number, **options), fill_value)
    value = number_of("new_full", "fill_value", fill_value)
    fill = filled(size_of("new_full", (size,)), value)
    return beside(deliver(fill, self.dtype, dtype, device_like(self, device), requires_grad), self)


@composite(methods=False, numbers=("s",))
def scalar_tensor(
    s: Any, *, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """A 0-dim tensor; in the default dtype unless told otherwise."""
    check_options("scalar_tensor", None, pin_memory)  # PyTorch does not look at the layout
    if isinstance(s, Tensor) and s.ndim:
        raise TypeError("scalar_tensor(): argument 's' (position 1) must be Number, not Tensor")
    if isinstance(s, HostNumber):
        options: Any = {"dtype": dtype, "device": device, "requires_grad": requires_grad}
        return of_input(lambda number: scalar_tensor(number, **options), s)
    return deliver(filled((), number_of("scalar_tensor", "s", s)), None, dtype, device, requires_grad)


@composite(methods=False)
def empty_strided(
    size: Any,
    stride: Any,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A tensor with the given shape and strides (in elements), whose values do not matter (here zeros)."""
    check_options("empty_strided", layout, pin_memory)
    shape, strides = size_of("empty_strided", (size,)), tuple(int(s) for s in stride)
    if len(shape) != len(strides):
        raise RuntimeError(
            f"dimensionality of sizes ({len(shape)}) must match dimensionality of strides ({len(strides)})"
        )
    if any(s < 0 for s in strides):
        raise RuntimeError(f"strides must not be negative, got sizes={list(shape)} and strides={list(strides)}")
    extent = 0 if 0 in shape else sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) + 1
    made = from_storage(deliver(filled((extent,), 0), None, dtype, device)._storage, shape, strides)
    return made.requires_grad_() if requires_grad else made


@composite(methods=True, public=())
def new_empty_strided(
    self: Tensor, size: Any, stride: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False,
    layout: Any = None, pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """`torch.empty_strided` with this tensor's dtype and device."""
    return empty_strided(
        size,
        stride,
        dtype=dtype or self.dtype,
        layout=layout,
        device=device_like(self, device),
        requires_grad=requires_grad,
        pin_memory=pin_memory,
    )
