"""What array functions ask about their arguments: kinds of dtype, dimensions, and the errors when they do not fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...core.array import devices
from ...core.array.dtypes import BOOL as BOOL
from ...core.array.dtypes import COMPLEX as COMPLEX
from ...core.array.dtypes import FLOAT as FLOAT
from ...core.array.dtypes import INTEGER as INTEGER
from ...core.array.dtypes import cpp_name, from_numpy, get_default_dtype
from ...core.array.meta import NoData, is_meta
from ...core.array.size import dimension
from ...core.array.size import normalized_dim as normalized_dim
from ...core.context.grad_mode import state as grad_state
from ...core.context.tracing import Untraceable
from ...core.context.warned import warn_once
from ...core.dispatch.checks import all_inside as all_inside
from ...core.dispatch.checks import demand as demand
from ...core.dispatch.checks import on_host as on_host
from ...core.dispatch.checks import refuse_outside as refuse_outside
from ...core.dispatch.checks import shapes_first as shapes_first
from ...core.dispatch.messages import message
from ...core.dispatch.promotion import convert
from ...core.tensor.tensor import Tensor

_NEGATED_MASK = "If you are trying to invert a mask, use the `~` or `logical_not()` operator instead."
HALVES = (np.dtype(np.float16), np.dtype(jnp.bfloat16))


def is_floating(array: jax.Array) -> bool:
    """Whether the elements are real or complex floating point numbers."""
    return from_numpy(array.dtype).category >= FLOAT


def type_name(array: jax.Array) -> str:
    """The dtype's name as PyTorch's kernels print it ('Long', 'Half', ...)."""
    return from_numpy(array.dtype).abbr


def scalar_name(array: jax.Array) -> str:
    """The dtype's name as PyTorch's C++ prints it ('float', 'double', 'c10::Half', ...)."""
    return cpp_name(from_numpy(array.dtype))


def require_floating(what: str, *arrays: jax.Array | None, most: int = FLOAT, halves: bool = True) -> None:
    """Raise NotImplementedError, as PyTorch's kernels do, for an array that is not real floating (`most=COMPLEX`: nor complex)
    or, unless there are `halves`, of half precision.
    """
    for array in arrays:
        if array is not None and not (FLOAT <= category(array) <= most and (halves or array.dtype not in HALVES)):
            raise NotImplementedError(
                f"\"{what}\" not implemented for '{type_name(array)}' (cast the input to a floating point dtype first)"
            )


def wide(array: jax.Array) -> jax.Array:
    """Half precision becomes float32, so that sums keep their digits; everything else stays."""
    return array.astype(jnp.float32) if array.dtype in HALVES else array


def whole_numbers(name: str, argument: str, place: int, size: Any, alone: bool = False) -> list[int]:
    """The ints of a list or of a number that stands `alone`. TypeError for others; a bool is none where it comes first."""
    if not isinstance(size, (tuple, list)):
        size = (size,)
    made = []
    for position, n in enumerate(size):
        try:
            if isinstance(n, bool) and not position:  # PyTorch looks at the first one only
                raise TypeError
            made.append(dimension(n))
        except TypeError:
            kind, what = type(n).__name__, f"{name}(): argument '{argument}'"
            if position:
                text = f'{what} failed to unpack the object at pos {position + 1} with error "type must be tuple of ints,but got {kind}"'
            elif alone:
                text = f"{what} (position {place}) must be tuple of ints, not {kind}"
            else:
                text = f"{what} (position {place}) must be tuple of ints, but found element of type {kind} at pos 0"
            raise TypeError(text) from None
    return made


def per_dim(value: int | Sequence[int], n: int, function: str, name: str, place: int) -> tuple[int, ...]:
    """One number for each of `n` spatial dimensions, from a single number or a sequence of one or `n`.

    `place` is that of the argument `name` among those of `function`, for errors.
    """
    values = tuple(whole_numbers(function, name, place, value, not isinstance(value, (tuple, list))))
    if len(values) == 1:
        values *= n
    if len(values) != n:
        raise RuntimeError(
            f"expected {name} to be a single integer value or a list of {n} values to match the "
            f"convolution dimensions, but got {name}={list(values)}"
        )
    return values


def category(x: jax.Array) -> int:
    """BOOL, INTEGER, FLOAT or COMPLEX."""
    return from_numpy(x.dtype).category


def refuse(kernel: str, x: jax.Array, *categories: int) -> None:
    """Raise NotImplementedError if the element type of `x` is of one of these categories."""
    if category(x) in categories:
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{type_name(x)}'")


def refuse_masks(input: Any, other: Any, *others: Any) -> None:
    """Raise RuntimeError for the difference of the first two with bools in it."""
    masks = [x for x in (input, other) if isinstance(x, bool) or getattr(x, "dtype", None) == jnp.bool_]
    if len(masks) == 2:
        raise RuntimeError(message("bools_subtracted"))
    if masks:
        raise RuntimeError(f"Subtraction, the `-` operator, with a bool tensor is not supported. {_NEGATED_MASK}")


def refuse_no_tensor(name: str, argument: str, value: Any) -> None:
    """Raise TypeError for what is given in the place of a method's one tensor."""
    if not isinstance(value, Tensor):
        kind = type(value).__name__
        raise TypeError(f"{name}(): argument '{argument}' (position 1) must be Tensor, not {kind}")


def refuse_negated_mask(x: Any) -> None:
    """Raise RuntimeError for a bool of which the negative is asked for."""
    if x.dtype == jnp.bool_:
        raise RuntimeError(f"Negation, the `-` operator, on a bool tensor is not supported. {_NEGATED_MASK}")


def refuse_unordered(*arrays: jax.Array) -> None:
    """Raise NotImplementedError for complex numbers where the smaller of two is asked for."""
    for array in arrays:
        if category(array) == COMPLEX:
            raise NotImplementedError("clamp is not supported for complex types")


def refuse_uncommon_integers(kernel: str, x: jax.Array) -> None:
    """Raise NotImplementedError for bools and for integers other than int64, which kernels of pools and convolutions lack."""
    if category(x) == BOOL or (category(x) == INTEGER and x.dtype != jnp.int64):
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{type_name(x)}'")


def inexact(x: jax.Array) -> jax.Array:
    """`x` itself if floating or complex, else in the default dtype."""
    return x if category(x) >= FLOAT else x.astype(get_default_dtype().numpy)


def summed_dtype(x: jax.Array, dtype: Any = None) -> Any:
    """The dtype in which sums and products are given: integers and bools become int64 unless told otherwise."""
    if dtype is not None:
        return dtype
    return x.dtype if category(x) >= FLOAT else jnp.dtype("int64")


def in_dtype(x: jax.Array, dtype: Any) -> jax.Array:
    """The values in the dtype in which they are added up; of complex numbers in a real one the real parts, with a warning."""
    if category(x) == COMPLEX and not jnp.issubdtype(dtype, jnp.complexfloating):
        warn_once("Casting complex values to real discards the imaginary part")
        x = x.real
    return convert(x, jnp.dtype(dtype))


def axes_of(dim: int | tuple[int, ...] | None, ndim: int) -> tuple[int, ...]:
    """The axes to reduce: `None` and an empty tuple mean all of them."""
    if dim is None or dim == ():
        return tuple(range(ndim))
    found: list[int] = []
    for d in (dim,) if isinstance(dim, int) else dim:
        axis = normalized_dim(d, ndim)
        if axis in found:
            raise RuntimeError(f"dim {axis} appears multiple times in the list of dims")
        found.append(axis)
    return tuple(found) if ndim else ()


def need_elements(name: str, x: jax.Array, axes: tuple[int, ...]) -> None:
    """Raise IndexError, with `name` before its text, where a reduction without an identity meets an axis of size 0."""
    for axis in axes:
        if x.ndim and x.shape[axis] == 0:
            raise IndexError(f"{name}: Expected reduction dim {axis} to have non-zero size.")


def host_values(
    x: Tensor, name: str, what: str = "the size of the result depends", gathers: bool = False
) -> np.ndarray:
    """The values, for an operator of which something depends on them; RuntimeError inside a compiled function. Those that are cut
    over processes are refused, or all of them gather the whole."""
    if isinstance(x._array, jax.core.Tracer):
        error = RuntimeError if grad_state.trace is None else Untraceable
        raise error(
            f"{name}: {what} on the data, which is not known inside a compiled function. Call {name} outside of it."
        )
    if is_meta(x._array):
        raise without_values(name)
    if not gathers:
        refuse_part(name, x)
    return whole_values(x)


def whole_values(x: Tensor) -> np.ndarray:
    """All values, on the host. Where they are cut over processes, all of these call it."""
    array = x._array
    if devices.is_cut_far(array):
        everywhere = jax.sharding.NamedSharding(array.sharding.mesh, jax.sharding.PartitionSpec())
        array = devices.spread(array, everywhere)
    return np.asarray(array)


def refuse_part(name: str, x: Tensor) -> None:
    """Raise RuntimeError for a tensor of which other processes have values that this one has not."""
    if devices.is_cut_far(x._array):
        raise RuntimeError(
            f"Sharding propagation failed for {name}: it reads values that are cut over processes; full_tensor() gives the "
            "whole in each process, to_local() its part"
        )


def without_values(name: str) -> NoData:
    """The error of an operator whose result depends on values in more than its own, for a tensor on the meta device."""
    if name in ("nonzero", "index", "where"):
        return NoData(
            f"The register_meta function for torch.nonzero() raises unimplemented by default, as a correct data-independent "
            f"implementation does not exist. ({name}: the shape of the result depends on values, which tensors on the meta "
            "device do not have)"
        )
    return NoData(
        f"aten::{name}: attempted to run this operator with Meta tensors, but there was no fake impl or Meta kernel "
        f"registered. ({name}: the result depends on values in a way that tensors on the meta device can't follow)"
    )
