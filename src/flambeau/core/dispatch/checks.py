"""Checks that operators make on values: an index that is not there, a singular matrix, integers divided by zero.

XLA clamps, drops or computes what means nothing where PyTorch raises. So an operator says what it refuses (`demand`), and
that is looked at where the values are: on the host before the operator runs, or, for values that are being traced, in the
program itself. A program folds all its demands into one small result, its error word, and whoever runs it looks at that
before anything else (`failure`).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ...native import reading
from ..array import devices
from ..array.owned import OwnedArray
from ..context.grad_mode import no_grad, state
from ..context.tracing import Demand, Refusal
from ..tensor.tensor import Tensor, wrap

# What an operator looks for: from its arrays (NumPy's or traced ones), where a bad value is, and what to say of it there.
Look = Callable[..., tuple[Any, Any]]
# Of whole numbers: the lowest, the one behind the highest, and one that may be there besides.
Range = tuple[int, int, int | None]


def on_host(tensor: Any) -> np.ndarray | None:
    """The values as a NumPy array if they are at hand (on the CPU of this process and not being traced), else None."""
    if not isinstance(tensor, Tensor):
        return None  # the operator itself refuses it
    array = tensor._array
    if isinstance(array, np.ndarray):  # in a forked process
        return array
    if isinstance(array, (jax.core.Tracer, OwnedArray)) or array.is_deleted():
        return None
    device = getattr(array.sharding, "_device", None)  # a tenth of what `devices()` costs
    if device is None:
        if devices.is_cut_far(array):
            return None
        device = next(iter(array.devices()))
    return np.asarray(array) if device.platform == "cpu" else None


def demand(
    look: Look,
    error: Callable[[int], Exception],
    *tensors: Tensor,
    among: Callable[[int, int], Exception] | None = None,
    within: Range | None = None,
) -> None:
    """Raise `error(value)` if `look` finds something bad among the values of these tensors; in a program, at each call.

    `look(*arrays)` gives bools and integers of one shape: where something is bad, and a number that tells about it (an
    index, the place of a matrix). The first one counts. It has to work on NumPy's arrays and on traced ones. Values that
    are on another device than the CPU, or in a trace that is not a compiled function's, are not looked at. Of those that are
    cut over processes each looks at its own, and all raise the same. `among(place, value)` is the error where samples are mapped:
    with the place among those of all. `within` tells the same as a `look` at a range of whole numbers.
    """
    if not all(isinstance(tensor, Tensor) for tensor in tensors):
        return  # the operator itself refuses it
    arrays = [tensor._array for tensor in tensors]
    if any(isinstance(array, jax.core.Tracer) for array in arrays):
        bad, value = _outside(*look(*arrays))
        if among is not None and not isinstance(bad, jax.core.Tracer) and np.ndim(bad) and bad.any():
            raise among(int(np.flatnonzero(bad)[0]), int(np.broadcast_to(value, np.shape(bad))[bad].flat[0]))
        if isinstance(bad, jax.core.Tracer):
            if state.trace is not None and bad._trace is state.trace.level and bad.size:
                if within is None or not state.trace.demands.add_ahead(arrays[0], look, within, error):
                    state.trace.demands.add(*first(bad, value), error)
            elif state.transforms and bad.size:
                state.transforms.unchecked()
            return
    elif any(map(devices.is_cut_far, arrays)):
        together = devices.brought_together(arrays)
        if together is not None and not all(map(devices.is_cut_far, arrays)):
            arrays = together
        bad, value = first(*look(*arrays))
        bad, value = np.asarray(bad), np.asarray(value)
    else:
        values = [on_host(tensor) for tensor in tensors]
        if any(v is None for v in values):
            return
        bad, value = look(*values)
    if bad.any():
        raise error(int(np.broadcast_to(value, np.shape(bad))[bad].flat[0]))


def all_inside(index: Tensor, size: int, negative: bool = False) -> bool:
    """Whether it is plain, and cheap to say, that all indices are in range; else `refuse_outside` looks at them."""
    return bool(reading.functions.all_inside(index._array, -size if negative else 0, size))


def refuse_outside(
    index: Tensor,
    size: int,
    text: str | Callable[[], str],
    error: type[Exception],
    negative: bool = False,
    ignored: int | None = None,
) -> None:
    """Demand indices in `[0, size)` (with `negative`: `[-size, size)`), or `ignored`. `{}` in the text is the bad one."""
    low = -size if negative else 0
    also = low if ignored is None else ignored
    if not isinstance(index, Tensor) or reading.functions.all_inside(index._array, low, size, also):
        return
    if (dtype := index._np_dtype).kind not in "iu":
        return
    values = on_host(index) if dtype == np.int64 else None
    if values is not None:
        # one look at each: what is too small is very large there
        if not np.count_nonzero(values.view(np.uint64) >= size):
            return
        if low and not np.count_nonzero((values - low).view(np.uint64) >= size - low):
            return

    def look(x: Any) -> tuple[Any, Any]:
        x = x if x.dtype.itemsize >= 4 else x.astype(np.int64)  # where both limits have a place
        bad = (x < low) | (x >= size)
        return bad if ignored is None else bad & (x != ignored), x

    def refuse(value: int) -> Exception:
        return error((text if isinstance(text, str) else text()).format(value))

    demand(look, refuse, index, within=(low, size, ignored))


def shapes_first(index: Tensor, compute: Callable[[Tensor], Any]) -> None:
    """For a call whose indices were refused: raise what else is wrong with it, by computing with zeros in their place.

    PyTorch looks at the kinds and shapes of all arguments before it looks at values.
    """
    with no_grad():
        compute(wrap(jnp.zeros(index.shape, index._np_dtype)))


def _outside(bad: Any, value: Any) -> tuple[Any, Any]:
    """Both without the transforms of functions (`vmap`, `jvp`) that they are in: of all samples together, no derivative."""
    if not state.transforms or not isinstance(bad, jax.core.Tracer):
        return bad, value
    both: Any = jnp.stack([bad.astype(np.int64), jnp.broadcast_to(value, bad.shape).astype(np.int64)])
    axis = 0  # of the two
    while True:
        if hasattr(both, "batch_dim"):
            if both.batch_dim is None:
                both = both.val
            else:
                both, axis = jnp.moveaxis(both.val, both.batch_dim, 0), axis + 1
        elif hasattr(both, "primal"):
            both = both.primal
        else:
            both = jnp.moveaxis(both, axis, 0)
            return both[0] != 0, both[1]


# --- in a program -----------------------------------------------------------------------------------------------------


def first(bad: Any, value: Any) -> tuple[Any, Any]:
    """Whether there is anything bad, and the first value that is: two scalars."""
    value = lax.reshape(jnp.broadcast_to(value, bad.shape).astype(np.int64), (bad.size,))
    bad = lax.reshape(bad, (bad.size,))
    place = _first_place(bad)
    return place < bad.shape[0], lax.dynamic_index_in_dim(value, place, keepdims=False)


def _first_place(bad: Any) -> Any:
    """Where the first of a vector of bools is that is true; their number, or more, if none is."""
    size = bad.shape[0]
    if size == 1:
        return jnp.where(bad[0], 0, 1)
    if size <= 4 * _ROW:
        return jnp.min(jnp.where(bad, lax.iota(np.int32, size), np.int32(size)))
    # rows first, as bytes: XLA makes better code of it, and the rest is small
    rows, rest = divmod(size, _ROW)
    table = bad[: size - rest].reshape(rows, _ROW)
    row = _first_place(jnp.max(table.astype(np.int8), 1) > 0).astype(np.int64)
    place = row * _ROW + _first_place(lax.dynamic_slice(bad, (row * _ROW,), (_ROW,))) % _ROW
    if not rest:
        return place
    return jnp.where(row < rows, place, size - rest + _first_place(bad[size - rest :]))


def _value_bits(count: int) -> int:
    """How many of the word's bits are for the value, beside those for the numbers of `count` demands."""
    return 63 - count.bit_length()


def word(demands: list[Demand]) -> Any:
    """The error word of a program, an int64: the first demand, from 1, that was not met, and its value; 0 if all were."""
    bits = _value_bits(len(demands))
    word = jnp.zeros((), np.int64)
    for i, one in reversed(list(enumerate(demands, 1))):
        word = jnp.where(one.bad, np.int64(i << bits) | (one.value & np.int64((1 << bits) - 1)), word)
    return word


_ROW = 1024
# the word of a program, at its address on the CPU: NumPy's view of it takes four times as long
number_at: Callable[..., Any] = ctypes.c_int64.from_address


def failure(word: jax.Array, refusals: list[Refusal]) -> tuple[Exception, int] | None:
    """The error that a program's word tells of, and the number of its check; or None."""
    found = int(word)
    if not found:
        return None
    bits = _value_bits(len(refusals))
    number, value = found >> bits, found & ((1 << bits) - 1)
    value -= (value >> (bits - 1)) << bits  # the sign
    return refusals[number - 1].error_of(value), number - 1
