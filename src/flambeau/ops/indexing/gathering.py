"""Reading and writing at tensors of indices: gather, scatter, the index_* family, take and put."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...core.array import dtypes
from ...core.context.grad_mode import state as grad_state
from ...core.dispatch.at_once import gathered, slices, taken_along
from ...core.dispatch.errors import broadcast_clash
from ...core.dispatch.messages import message
from ...core.dispatch.operator import Array, Arrays, Scalar, _attach, _publish, composite, inplace_form, operator
from ...core.dispatch.overloads import shown_to_modes
from ...core.dispatch.promotion import convert, in_c
from ...core.tensor.tensor import Tensor
from ...native.moving import rows_at
from ..support.checks import BOOL, COMPLEX, all_inside, category, normalized_dim, refuse, type_name
from .by_numpy import PUT, subscript
from .indexed import indexed
from .subscripts import _put_index, fitting, refuse_bytes, spread

_INTEGERS = (np.dtype(np.int32), np.dtype(np.int64))
# what is out of bounds is refused
_AT: dict[str, Any] = {"mode": "promise_in_bounds", "wrap_negative_indices": False}


# --- gather and scatter: an index for every element -------------------------------------------------------------------


def _integers(name: str, index: jax.Array) -> None:
    if index.dtype not in _INTEGERS:
        raise RuntimeError(f"{name}(): Expected dtype int32/int64 for index")


def _raised(array: jax.Array) -> jax.Array:
    return array.reshape(1) if array.ndim == 0 else array


def _places(index: jax.Array, dim: int) -> tuple[jax.Array, ...]:
    """The index of every element of `index` in a tensor of the same rank: its own but for `dim`."""
    return tuple(
        index if axis == dim else jax.lax.broadcasted_iota(index.dtype, index.shape, axis) for axis in range(index.ndim)
    )


@indexed(inplace=False, at_once=gathered)
def gather(input: Array, dim: int, index: Array, *, sparse_grad: bool = False) -> Array:
    """`out[i][j][k] = input[index[i][j][k]][j][k]` for `dim=0`, and so on; the result has the index's shape.

    Raises RuntimeError for an index out of range, of another rank or larger than the input in another dimension.
    """
    axis = normalized_dim(dim, input.ndim)
    shape = index.shape
    if index.size == 0:
        return jnp.zeros(shape, input.dtype)
    _integers("gather", index)
    input, index = _raised(input), _raised(index)
    if input.ndim != index.ndim:
        raise _other_rank(index, input, "input")
    for i, (n, limit) in enumerate(zip(index.shape, input.shape, strict=True)):
        if i != axis and n > limit:
            raise RuntimeError(
                f"Size does not match at dimension {i} expected index {list(index.shape)} to be no larger than self "
                f"{list(input.shape)} apart from dimension {axis}"
            )
    kept = tuple(slice(None) if i == axis else slice(0, n) for i, n in enumerate(index.shape))
    return jnp.take_along_axis(input[kept], index, axis, mode="promise_in_bounds").reshape(shape)


def _other_rank(index: jax.Array, other: jax.Array, whose: str) -> RuntimeError:
    return RuntimeError(
        f"Index tensor must have the same number of dimensions as {whose} tensor, "
        f"but has {index.ndim} and not {other.ndim}"
    )


def _scatter_places(
    name: str, input: jax.Array, dim: int, index: jax.Array, src: jax.Array | None
) -> tuple[jax.Array, tuple[jax.Array, ...], jax.Array | None]:
    """The input with at least one dimension, where to write, and what (None if nothing is to be read from `src`)."""
    axis = normalized_dim(dim, input.ndim)
    _integers("scatter", index)
    if src is not None and src.dtype != input.dtype:
        raise RuntimeError(
            f"scatter(): Expected self.dtype to be equal to src.dtype, not {type_name(input)} and {type_name(src)}"
        )
    input, index = _raised(input), _raised(index)
    if index.size == 0:
        index = index[tuple(slice(0, 0) for _ in index.shape)].reshape((0,) * input.ndim)
    if index.ndim != input.ndim:
        raise _other_rank(index, input, "self")
    tail = ""
    fits = all(n <= limit for i, (n, limit) in enumerate(zip(index.shape, input.shape, strict=True)) if i != axis)
    if src is not None:
        if max(src.ndim, 1) != index.ndim:
            raise _other_rank(index, src, "src")
        src = _raised(src)
        tail = f" and to be no larger size than src {list(src.shape)}"
        fits = fits and all(n <= limit for n, limit in zip(index.shape, src.shape, strict=True))
    if not fits:
        raise RuntimeError(
            f"Expected index {list(index.shape)} to be no larger than self {list(input.shape)} apart from dimension "
            f"{axis}{tail}"
        )
    if src is not None:
        src = src[tuple(slice(0, n) for n in index.shape)]
    return input, _places(index, axis), src


def _number_for(input: jax.Array, value: Any) -> Any:
    if value.ndim:
        raise TypeError(f"expected a number for value, got a tensor of shape {list(value.shape)}")
    if category(value) == COMPLEX > category(input):
        raise RuntimeError(f"value cannot be converted to type {in_c(input.dtype)} without overflow")
    return convert(value, input.dtype)


def _scattered(
    input: jax.Array, dim: int, index: jax.Array, src: jax.Array | None, number: Any, reduce: str | None
) -> jax.Array:
    shape = input.shape
    if reduce not in (None, "add", "multiply"):
        raise RuntimeError("reduce argument must be either add or multiply.")
    value = _number_for(input, number) if src is None else src
    input, where, picked = _scatter_places("scatter", input, dim, index, src)
    value = value if picked is None else picked
    if reduce == "add":
        made = _add_at(input, where, value, **_AT)
    elif reduce == "multiply":
        made = _reduce_at(input, jnp.broadcast_to(value, where[0].shape), where, "prod", True)
    else:
        # of equal places, the last one wins; the gradient goes to all of them, as in PyTorch
        made = input.at[where].set(value, **_AT, unique_indices=True)
    return made.reshape(shape)


@indexed(
    grad=lambda arrays, statics: "ScatterBackward1" if "src" in statics else "ScatterBackward0",
    or_number={"src": "value"},
)
def scatter(
    input: Array,
    dim: int,
    index: Array,
    src: Array | None = None,
    *,
    value: Scalar | None = None,
    reduce: str | None = None,
) -> Array:
    """`input` with `out[index[i][j]][j] = src[i][j]` for `dim=0`, and so on. A number `value` may stand in `src`'s place.

    `reduce="add"` or `"multiply"` combines with what is there. Raises RuntimeError as `gather` does.
    """
    if src is None and value is None:
        raise TypeError("scatter(): missing argument 'src' or 'value'")
    return _scattered(input, dim, index, src, value, reduce)


@indexed(autocast={"cuda": "widest"})
def scatter_add(input: Array, dim: int, index: Array, src: Array) -> Array:
    """`input` with `out[index[i][j]][j] += src[i][j]` for `dim=0`, and so on."""
    if src.aval.weak_type:
        raise TypeError("scatter_add(): argument 'src' (position 4) must be Tensor, not a number")
    made, where, values = _scatter_places("scatter_add", input, dim, index, src)
    return _add_at(made, where, values, **_AT).reshape(input.shape)


_WITHOUT = {"amax": (COMPLEX,), "amin": (COMPLEX,), "mean": (BOOL,)}  # kinds of numbers that have none


@indexed()
def scatter_reduce(
    input: Array, dim: int, index: Array, src: Array, reduce: str, *, include_self: bool = True
) -> Array:
    """`input` with the `reduce` (sum, prod, mean, amax, amin) of all `src[i][j]` at `out[index[i][j]][j]`.

    What was there takes part unless `include_self` is false.
    """
    reduce = {"max": "amax", "min": "amin"}.get(reduce, reduce)
    if reduce not in ("sum", "prod", "mean", "amax", "amin"):
        raise RuntimeError(f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}.")
    if reduce != "sum":
        refuse(f"scatter_gather_tensor_cpu_reduce_{reduce}", input, *_WITHOUT.get(reduce, ()))
    made, where, values = _scatter_places("scatter_reduce", input, dim, index, src)
    return _reduce_at(made, values, where, reduce, include_self).reshape(input.shape)  # type: ignore[arg-type]


def _add_at(input: jax.Array, where: Any, values: Any, **how: Any) -> jax.Array:
    target = input.at[where]
    return target.max(values, **how) if input.dtype == np.bool_ else target.add(values, **how)


def _neutral(reduce: str, dtype: Any) -> Any:
    if reduce in ("sum", "mean"):
        return 0
    if reduce == "prod":
        return 1
    kind = dtypes.from_numpy(dtype)
    if kind.category == dtypes.BOOL:
        return reduce == "amin"
    if kind.category == dtypes.INTEGER:
        return getattr(np.iinfo(dtype), "min" if reduce == "amax" else "max")
    return -np.inf if reduce == "amax" else np.inf


def _reduce_at(input: jax.Array, values: jax.Array, where: Any, reduce: str, include_self: bool) -> jax.Array:
    if not include_self:
        neutral = jnp.asarray(_neutral(reduce, input.dtype), input.dtype)
        input = input.at[where].set(neutral, **_AT, unique_indices=True)
    if reduce == "sum":
        return _add_at(input, where, values, **_AT)
    if reduce == "mean":
        ones = jnp.full(input.shape, int(include_self), np.int64)
        count = jnp.maximum(ones.at[where].add(1, **_AT), 1)
        total = input.at[where].add(values, **_AT)
        return (
            total / count.astype(total.dtype) if category(input) >= dtypes.FLOAT else total // count.astype(total.dtype)
        )
    return _extreme_or_product(input, values, where, reduce)


@functools.partial(jax.custom_jvp, nondiff_argnums=(3,))
def _extreme_or_product(input: jax.Array, values: jax.Array, where: Any, reduce: str) -> jax.Array:
    target = input.at[where]
    if reduce == "prod" and input.dtype != np.bool_:
        return target.multiply(values, **_AT)
    return target.max(values, **_AT) if reduce == "amax" else target.min(values, **_AT)


@_extreme_or_product.defjvp
def _(reduce: str, primals: Any, tangents: Any) -> Any:
    input, values, where = primals
    d_input, d_values, _ = tangents
    out = _extreme_or_product(input, values, where, reduce)
    if reduce == "prod":
        # a factor's derivative is the product of the others: nothing if another one is zero
        rest = _extreme_or_product(jnp.where(input == 0, 1, input), jnp.where(values == 0, 1, values), where, reduce)
        zeros = (input == 0).astype(np.int64).at[where].add((values == 0).astype(np.int64), **_AT)

        def factor(x: jax.Array, rest: jax.Array, zeros: jax.Array) -> jax.Array:
            others = rest / jnp.where(x == 0, 1, x)
            return jnp.where(zeros == (x == 0), others, 0)

        d_out = factor(input, rest, zeros) * d_input
        scale = factor(values, rest.at[where].get(**_AT), zeros.at[where].get(**_AT))
        return out, d_out.at[where].add(scale * d_values, **_AT)
    # all that reach the extreme share its gradient equally
    mine = (input == out).astype(input.dtype)
    theirs = (values == out.at[where].get(**_AT)).astype(input.dtype)
    count = mine.at[where].add(theirs, **_AT)
    d_out = (mine * d_input).at[where].add(theirs * d_values, **_AT)
    return out, d_out / jnp.where(count == 0, 1, count)


def _along(dim: int, index: jax.Array) -> tuple[Any, ...]:
    return (slice(None),) * dim + (index.reshape(-1),)


_IN_SELF = ("index out of range in self", IndexError)


@indexed(
    *_IN_SELF,
    inplace=False,
    narrow=True,
    at_once=lambda input, dim, index: (
        slices(input, dim, index) if isinstance(index, Tensor) and index.ndim == 1 else None
    ),
    unless=lambda dim, ndim: (
        ("INDICES element is out of DATA bounds, id={} axis_dim={size}", RuntimeError) if dim else None
    ),
)
def index_select(input: Array, dim: int, index: Array) -> Array:
    """The slices of `input` along `dim` that the vector `index` names.

    Raises IndexError for one that is not there, or RuntimeError if `dim` is not the first.
    """
    axis = normalized_dim(dim, input.ndim)
    if index.ndim > 1:
        raise IndexError("index_select(): Index is supposed to be a vector")
    if index.dtype not in _INTEGERS:
        raise RuntimeError("index_select(): Expected dtype int32 or int64 for index")
    if input.ndim == 0 and index.size != 1:
        raise RuntimeError(f"index_select(): Index to scalar can have only 1 value, got {index.size} value(s)")
    if input.ndim == 0:
        return input
    if index.size == 0:
        return jnp.zeros((*input.shape[:axis], 0, *input.shape[axis + 1 :]), input.dtype)
    if input.ndim > 1 and not input.shape[axis]:
        raise RuntimeError("index_select(): self indexing axis dim should be positive")
    return input.at[_along(axis, index)].get(**_AT) if axis else rows_at(input, index.reshape(-1))


def _slices(name: str, input: jax.Array, dim: int, index: jax.Array, source: jax.Array) -> tuple[int, jax.Array]:
    """The axis, and the source with at least one dimension, after the checks that index_add and index_reduce share."""
    axis = normalized_dim(dim, input.ndim)
    if index.ndim > 1:
        raise IndexError(
            f"{name}_(): Index is supposed to be a vector, but got dim: {index.ndim} with type: {type_name(index)} and "
            f"size: {list(index.shape)}"
        )
    if index.dtype not in _INTEGERS:
        raise RuntimeError(f"{name}_(): Expected dtype int32/int64 for index but got: {type_name(index)}")
    if source.dtype != input.dtype:
        raise RuntimeError(
            f"{name}_(): self ({type_name(input)}) and source ({type_name(source)}) must have the same scalar type"
        )
    count = source.shape[axis] if axis < source.ndim else source.size
    if count != index.size and axis < max(source.ndim, 1):
        raise RuntimeError(
            f"{name}_(): Number of indices ({index.size}) should be equal to source.size(dim): ({count}), "
            f"for dim: {axis}"
        )
    others = [s[:axis] + s[axis + 1 :] for s in (input.shape, source.shape)]
    if source.ndim != input.ndim or others[0] != others[1]:
        raise RuntimeError(
            "source tensor shape must match self tensor shape, excluding the specified dimension. "
            f"Got self.shape = {list(input.shape)} source.shape = {list(source.shape)}"
        )
    return axis, _raised(source)


@indexed(unless=lambda dim, ndim: _IN_SELF if ndim < 2 else None, room={"alpha": "own"})
def index_add(input: Array, dim: int, index: Array, source: Array, *, alpha: Scalar = 1) -> Array:
    """`input` with `alpha * source`'s slices added to the slices along `dim` that `index` names (repeats add up)."""
    axis, source = _slices("index_add", input, dim, index, source)
    if not (isinstance(alpha, int) and alpha == 1):
        source = source * jnp.asarray(alpha).astype(source.dtype)
    made = _add_at(_raised(input), _along(axis, index), source, **_AT)
    return made.reshape(input.shape)


@indexed(*_IN_SELF)
def index_reduce(
    input: Array, dim: int, index: Array, source: Array, reduce: str, *, include_self: bool = True
) -> Array:
    """`input` with the `reduce` (prod, mean, amax, amin) of `source`'s slices in the slices that `index` names.

    What was there takes part unless `include_self` is false.
    """
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise RuntimeError(f"index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got {reduce}.")
    axis, source = _slices("index_reduce", input, dim, index, source)
    refuse("index_func_", input, BOOL, COMPLEX)
    whole = index.reshape([-1 if i == axis else 1 for i in range(source.ndim)])
    where = _places(jnp.broadcast_to(whole, source.shape), axis)
    return _reduce_at(_raised(input), source, where, reduce, include_self).reshape(input.shape)


@indexed("index_copy_(): index {} is out of bounds for dimension {dim} with size {size}", IndexError, autocast="widest")
def index_copy(input: Array, dim: int, index: Array, source: Array) -> Array:
    """`input` with `source`'s slices in place of the slices along `dim` that `index` names."""
    axis = normalized_dim(dim, input.ndim)
    if index.ndim > 1:
        raise IndexError(f"index_copy_(): Index should have dimension 1 or 0 (got {index.ndim})")
    if input.ndim and source.ndim and input.ndim != source.ndim:
        raise IndexError(
            "index_copy_(): When source and destination are not scalars, their dimensionality must match. "
            f"Source dimensionality ({source.ndim}), destination dimensionality ({input.ndim})"
        )
    if index.dtype != np.int64:
        raise RuntimeError(f"index_copy_(): Expected a long tensor for index, but got {type_name(index)}")
    if source.dtype != input.dtype:
        raise RuntimeError(
            "index_copy_(): self and source expected to have the same dtype, "
            f"but got (self) {type_name(input)} and (source) {type_name(source)}"
        )
    shape = input.shape
    input, source = _raised(input), _raised(source)
    if source.ndim < input.ndim:
        source = source.reshape((1,) * input.ndim)
    if index.size != source.shape[axis]:
        raise IndexError(
            f"index_copy_(): Number of indices ({index.size}) should be equal to source.size(dim) "
            f"({source.shape[axis]})"
        )
    slices = [s[:axis] + s[axis + 1 :] for s in (input.shape, source.shape)]
    if slices[0] != slices[1]:
        raise RuntimeError(
            "index_copy_(): Source/destination tensor must have same slice shapes. "
            f"Destination slice shape: {' '.join(map(str, slices[0]))} at dimension {axis} "
            f"and source slice shape: {' '.join(map(str, slices[1]))} at dimension 0."
        )
    return input.at[_along(axis, index)].set(source, **_AT, unique_indices=True).reshape(shape)


@indexed(
    error=IndexError,
    negative=True,
    grad=lambda arrays: "IndexFillBackward1" if hasattr(arrays[2], "dtype") else "IndexFillBackward0",
)
def index_fill(input: Array, dim: int, index: Array, value: Array) -> Array:
    """`input` with `value`, a number or 0-dim tensor, in the slices along `dim` that `index` names."""
    axis = normalized_dim(dim, input.ndim)
    if category(value) == COMPLEX > category(input):
        raise RuntimeError("index_fill_(): Converting complex Scalar to non-complex type is not supported")
    if index.dtype != np.int64:
        raise IndexError("index_fill_(): Expected dtype int64 for index.")
    if index.ndim > 1:
        raise RuntimeError("Index has to be a vector/scalar")
    if value.ndim:
        raise RuntimeError(
            f"index_fill_ only supports a 0-dimensional value tensor, but got tensor with {value.ndim} dimension(s)."
        )
    made = _raised(input)
    chosen = jnp.zeros(made.shape[axis], np.bool_).at[index.reshape(-1)].set(True)
    chosen = chosen.reshape([-1 if i == axis else 1 for i in range(made.ndim)])
    return jnp.where(chosen, convert(value, input.dtype), made).reshape(input.shape)


# --- index_put, take, put ---------------------------------------------------------------------------------------------


@operator(methods=False, public=(), grad="IndexPutBackward0", narrow=True, by_numpy=PUT)
def _index_put(input: Array, values: Array, indices: Arrays, dims: tuple[bool, ...], accumulate: bool) -> Array:
    fitting(input.shape, values.shape, [i.shape for i in indices], dims, not accumulate)
    if values.dtype != input.dtype:
        raise RuntimeError(
            "Index put requires the source and destination dtypes match, "
            f"got {type_name(input)} for the destination and {type_name(values)} for the source."
        )
    return _add_at(input, subscript(indices, dims), values) if accumulate else _put_index(input, values, indices, dims)


_index_put_inplace = inplace_form(_index_put.operator, "index_put_")  # type: ignore[attr-defined]


def _parted(
    input: Tensor, indices: Sequence[Tensor | None], values: Any, accumulate: bool, gaps: bool = False
) -> tuple[list[Tensor], tuple[bool, ...]]:
    """The index tensors, with masks turned into indices, and which dimensions they are for. With `gaps`, None stands for all of one."""
    if isinstance(indices, Tensor):
        raise TypeError("index_put(): argument 'indices' (position 2) must be tuple of Tensors, not Tensor")
    if not indices:
        raise RuntimeError("index_put(): expected at least one index tensor")
    dim = 0
    places = []
    for position, item in enumerate(indices):
        if item is None and gaps:
            dim += 1
            continue
        if not isinstance(item, Tensor):
            raise TypeError(f"expected Tensor as element {position} in argument 1, but got {type(item).__name__}")
        if item.dtype not in (dtypes.int64, dtypes.int32, dtypes.uint8, dtypes.bool):
            raise IndexError(
                f"tensors used as indices must be long, int, byte or bool tensors (index {position} of index_put is {item.dtype})"
            )
        places.append((dim, item))
        dim += item.ndim if item.dtype in (dtypes.bool, dtypes.uint8) else 1
    if dim > input.ndim:
        raise IndexError(f"too many indices for tensor of dimension {input.ndim} (got {dim})")
    if not accumulate and isinstance(values, Tensor):
        refuse_bytes(input, places, values.numel())
    return spread(input, places, values)


@composite(autocast={"cuda": "widest"})
def index_put(input: Tensor, indices: Sequence[Tensor], values: Tensor, accumulate: bool = False) -> Tensor:
    """`input` with `out[indices] = values`; with `accumulate`, `out[indices] += values`, where repeats add up."""
    return (_seen_put if grad_state.dispatch_modes else _put)(input, indices, values, accumulate)


def _put(input: Tensor, indices: Sequence[Tensor], values: Tensor, accumulate: bool = False) -> Tensor:
    return _index_put(input, values, *_parted(input, indices, values, accumulate), accumulate)


_put.__name__ = "index_put"  # as modes name it
_seen_put = shown_to_modes(_put)


def index_put_(self: Tensor, indices: Sequence[Tensor], values: Tensor, accumulate: bool = False) -> Tensor:
    """In-place form of `index_put`."""
    return _index_put_inplace(self, values, *_parted(self, indices, values, accumulate), accumulate)


def put_with_gaps(self: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Tensor:
    """`index_put` as ATen has it, where None stands for a whole dimension."""
    return _index_put(self, values, *_parted(self, indices, values, accumulate, True), accumulate)


def put_with_gaps_(self: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Tensor:
    """In-place form of `put_with_gaps`."""
    return _index_put_inplace(self, values, *_parted(self, indices, values, accumulate, True), accumulate)


_seen_put_ = shown_to_modes(index_put_)
_attach(_seen_put_, ("index_put_",))
_publish("index_put_", _seen_put_, ("torch",))


@indexed("out of range: tried to access index {} on a tensor of {size} elements.", IndexError, negative=True, flat=True,
         inplace=False)  # fmt: skip
def take(input: Array, index: Array) -> Array:
    """`input`'s elements, counted in row-major order, at `index`, in the index's shape."""
    if index.dtype != np.int64:
        raise RuntimeError(f"take(): Expected a long tensor for index, but got {type_name(index)}")
    if input.size == 0 and index.size:
        raise IndexError("take(): tried to take from an empty tensor")
    if index.size == 0:
        return jnp.zeros(index.shape, input.dtype)
    return input.reshape(-1).at[index].get(mode="promise_in_bounds")


@indexed("out of range: tried to access index {} on a tensor of {size} elements.", IndexError, negative=True, flat=True)
def put(input: Array, index: Array, source: Array, accumulate: bool = False) -> Array:
    """`input` with `source`'s elements (added, with `accumulate`) at `index`, both counted in row-major order."""
    if index.dtype != np.int64:
        raise RuntimeError(f"put_(): Expected a long tensor for index, but got {type_name(index)}")
    if source.dtype != input.dtype:
        raise RuntimeError(
            "put_(): self and source expected to have the same dtype, "
            f"but got self.dtype = {type_name(input)} and source.dtype = {type_name(source)}"
        )
    if source.size != index.size:
        raise IndexError(
            "put_(): Expected source and index to have the same number of elements, "
            f"but got source.numel() = {source.size}, index.numel() = {index.size}"
        )
    if input.size == 0 and index.size:
        raise IndexError("put_(): tried to put elements into an empty tensor")
    flat, where, values = input.reshape(-1), index.reshape(-1), source.reshape(-1)
    made = _add_at(flat, where, values) if accumulate else flat.at[where].set(values, unique_indices=True)
    return made.reshape(input.shape)


@operator(methods=False, public=())
def _wrapped(index: Array, size: int) -> Array:
    return jnp.remainder(index, jnp.asarray(max(size, 1), index.dtype))


@composite()
def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """`gather` with `input` and `indices` broadcast to each other outside `dim`; without `dim`, on flat tensors.

    Indices count modulo the size along `dim`.
    """
    if dim is not None and (made := taken_along(input, dim, indices)) is not None:
        return made
    if indices.dtype is not dtypes.int64:
        raise RuntimeError(f"torch.take_along_dim(): dtype of indices should be Long but got {indices.dtype.abbr}")
    if dim is None:
        return gather(input.reshape(-1), 0, indices.reshape(-1))
    if input.ndim != indices.ndim:
        raise RuntimeError(
            "torch.take_along_dim(): input and indices should have the same number of dimensions, "
            f"but got {input.ndim} dimensions for input, and {indices.ndim} dimensions for indices"
        )
    axis = normalized_dim(dim, input.ndim)
    if not input.ndim:
        return gather(input, dim, _wrapped(indices, 1))
    sizes = [(*t.shape[:axis], 1, *t.shape[axis + 1 :]) for t in (input, indices)]
    if clash := broadcast_clash(sizes):
        raise RuntimeError(clash)
    common = np.broadcast_shapes(*sizes)
    wide = [(*common[:axis], t.shape[axis], *common[axis + 1 :]) for t in (input, indices)]
    spread = [
        t if tuple(t.shape) == shape else t.expand(shape) for t, shape in zip((input, indices), wide, strict=True)
    ]
    index = spread[1] if all_inside(spread[1], input.shape[axis]) else _wrapped(spread[1], input.shape[axis])
    return gather(spread[0], axis, index)


@operator(methods=False, public=())
def _unraveled(indices: Array, shape: tuple[int, ...]) -> tuple[Array, ...]:
    steps = [math.prod(shape[i + 1 :]) for i in range(len(shape))]
    wide = indices.astype(np.int64)
    return tuple((wide // step % size).astype(indices.dtype) for step, size in zip(steps, shape, strict=True))


@composite(methods=False)
def unravel_index(indices: Tensor, shape: int | Sequence[int]) -> tuple[Tensor, ...]:
    """The coordinates, one tensor for each dimension of `shape`, of indices counted in row-major order.

    An index beyond the last element, or before the first, is counted on from there, as if the array were repeated.
    """
    if indices.dtype.category != dtypes.INTEGER:
        raise TypeError(message("unravel_index_dtype", dtype=indices.dtype))
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    if any(n < 0 for n in shape):
        raise ValueError(f"'shape' cannot have negative values, but got {shape}")
    if 0 in shape and indices.numel():
        raise RuntimeError("ZeroDivisionError")
    return _unraveled(indices, shape)
