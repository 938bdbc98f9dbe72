"""Views: functions from a geometry to a geometry. They share the memory of their tensor."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...core.array import dtypes, geometry
from ...core.array.geometry import Geometry
from ...core.array.size import dimension, infer_size, is_open, normalized_dim
from ...core.autograd.engine import _identity
from ...core.context.grad_mode import state as grad_state
from ...core.context.warned import warn_once
from ...core.dispatch.errors import OfKind
from ...core.dispatch.host_numbers import HostInt, as_int
from ...core.dispatch.operator import composite
from ...core.dispatch.view import view
from ...core.tensor.storage import ByteStorage
from ...core.tensor.tensor import Tensor


def _ints(given: tuple[Any, ...], name: str) -> tuple[int, ...]:
    """Varargs of ints, or one sequence of them."""
    if len(given) == 1 and isinstance(given[0], (tuple, list)):
        given = tuple(given[0])
    found = []
    for d in given:
        try:
            found.append(dimension(d))
        except TypeError:
            what = f"a tensor of {d.dtype} {list(d.shape)}" if isinstance(d, Tensor) else type(d).__name__
            raise TypeError(f"{name}(): expected ints, got {what}") from None
    return tuple(found)


def _permuted(g: Geometry, order: Any) -> Geometry:
    return g._replace(shape=tuple(g.shape[i] for i in order), strides=tuple(g.strides[i] for i in order))


def _restrided(g: Geometry, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """Strides under which the same elements have another shape, or None if that takes a copy.

    Runs of dimensions that lie in memory without gaps are merged, and the new shape must split within them.
    """
    if is_open(g.shape) or is_open(shape):
        if is_open(g.shape) and g.numel != 0 and g.contiguous:
            return geometry.contiguous_strides(shape)
        return _regrouped.__wrapped__(g, shape)
    return _regrouped(g._replace(offset=0, bits=None), shape)


@functools.lru_cache(1024)
def _regrouped(g: Geometry, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    if g.numel == 0:
        return g.strides if g.shape == shape else geometry.contiguous_strides(shape)
    runs: list[tuple[int, int]] = []  # (elements, innermost stride), from the front
    last = len(g.shape) - 1
    for dim, (size, stride) in enumerate(zip(g.shape, g.strides, strict=True)):
        if size == 1 and dim != last:  # the last dimension's stride lives on, even where nothing steps by it
            continue
        if runs and runs[-1][1] == size * stride and not is_open((runs[-1][0], size)):
            runs[-1] = (runs[-1][0] * size, stride)
        else:
            runs.append((size, stride))
    strides: list[int] = []
    position = len(shape) - 1
    for count, stride in reversed(runs):
        taken = 1
        while position >= 0 and (_is_short(taken, count) or shape[position] == 1):
            strides.append(stride * taken)
            taken *= shape[position]
            position -= 1
        if taken != count:
            return None
    while position >= 0:
        if shape[position] != 1:
            return None
        strides.append(strides[-1] * shape[position + 1] if strides else 1)
        position -= 1
    return tuple(reversed(strides))


def _is_short(taken: Any, count: Any) -> bool:
    # of sizes that are left open, only equality can be told
    return taken != count if is_open((taken, count)) else taken < count


@view(public=(), methods=(), grad="ViewBackward0")
def _view_shape(g: Geometry, *shape: int) -> Geometry:
    size = infer_size(_ints(shape, "view"), g.numel)
    strides = _restrided(g, size)
    if strides is None:
        raise RuntimeError(
            "view size is not compatible with input tensor's size and stride (at least one dimension spans across two "
            "contiguous subspaces). Use .reshape(...) instead."
        )
    return g._replace(shape=size, strides=strides)


@view(public=(), methods=(), grad="UnsafeViewBackward0")
def _unsafe_view(g: Geometry, shape: tuple[int, ...]) -> Geometry:
    """The shape of a fresh copy."""
    return geometry.whole(shape)


@view(public=(), methods=(), grad="ViewBackward0")
def _view_dtype(g: Geometry, held: np.dtype, target: np.dtype) -> Geometry:
    old, new = held.itemsize, target.itemsize
    if old == new:
        return g._replace(bits=target)
    turned = f"view {dtypes.from_numpy(held).abbr} as {dtypes.from_numpy(target).abbr} (different element sizes)"
    if not g.shape:
        raise RuntimeError(f"self.dim() cannot be 0 to {turned}")
    if g.strides[-1] != 1:
        raise RuntimeError(f"self.stride(-1) must be 1 to {turned}, but got {g.strides[-1]}")
    if old > new:
        ratio = old // new
        shape = (*g.shape[:-1], g.shape[-1] * ratio)
        return Geometry(shape, (*(s * ratio for s in g.strides[:-1]), 1), g.offset * ratio, target)
    ratio = new // old
    parts = {"size(-1)": g.shape[-1], "storage_offset()": g.offset}
    parts |= {f"stride({d})": step for d, step in enumerate(g.strides[:-1])}
    for what, number in parts.items():
        if number % ratio:
            raise RuntimeError(f"self.{what} must be divisible by {ratio} to {turned}, but got {number}")
    shape = (*g.shape[:-1], g.shape[-1] // ratio)
    return Geometry(shape, (*(s // ratio for s in g.strides[:-1]), 1), g.offset // ratio, target)


_same_memory = Tensor.detach  # before dispatch modes see it


def _view(self: Tensor, *shape: Any, dtype: Any = None, size: Sequence[int] | None = None) -> Tensor:
    """The same elements with another shape, or with their bits read as another dtype."""
    if size is not None:
        if shape or dtype is not None or not isinstance(size, (tuple, list)):
            raise TypeError("view(): argument 'size' must be a tuple of ints, and the only one")
        shape = (size,)
    if dtype is None and len(shape) == 1 and isinstance(shape[0], dtypes.dtype):
        dtype = shape[0]
    if dtype is not None:
        if isinstance(self._storage, ByteStorage):
            self._storage.take_dtype(dtype.numpy)
        # PyTorch doesn't record it, nor call it a view
        return _same_memory(_view_dtype(self, self._np_dtype, dtype.numpy))
    if grad_state.trace is not None:
        grad_state.trace.look_at_strides(self)  # they decide whether there is such a view
    return _view_shape(self, *shape)


Tensor.view = _view  # type: ignore[attr-defined]


@view(methods=False, public=(), grad="ViewAsRealBackward0")
def _as_real(g: Geometry, part: np.dtype) -> Geometry:
    return Geometry((*g.shape, 2), (*(s * 2 for s in g.strides), 1), g.offset * 2, part)


@view(methods=False, public=(), grad="ViewAsComplexBackward0")
def _as_complex(g: Geometry, whole: np.dtype) -> Geometry:
    if not g.shape or g.shape[-1] != 2:
        raise RuntimeError(f"Tensor must have a last dimension of size 2 (real, imaginary), got shape {list(g.shape)}")
    if g.strides[-1] != 1:
        raise RuntimeError(f"Tensor must have a last dimension with stride 1, got {g.strides[-1]}")
    if g.offset % 2:
        raise RuntimeError("Tensor must have a storage_offset divisible by 2")
    if any(s % 2 for n, s in zip(g.shape[:-1], g.strides[:-1], strict=True) if n != 1):
        raise RuntimeError(f"Tensor must have a stride divisible by 2 for all but last dimension: {g.strides}")
    return Geometry(g.shape[:-1], tuple(s // 2 for s in g.strides[:-1]), g.offset // 2, whole)


@composite()
def view_as_real(input: Tensor) -> Tensor:
    """A complex tensor as a real one with a last dimension of (real, imaginary)."""
    if not input.dtype.is_complex:
        raise RuntimeError("view_as_real is only supported for complex tensors")
    return _as_real(input, input.dtype.to_real().numpy)


@composite(autocast={"cpu": "float32"})
def view_as_complex(input: Tensor) -> Tensor:
    """A real tensor whose last dimension is (real, imaginary) as a complex one."""
    if input.dtype not in (dtypes.float32, dtypes.float64):
        raise RuntimeError(
            "view_as_complex is only supported for half, float and double tensors, but got a tensor of scalar type: "
            f"{input.dtype.abbr}"
        )
    return _as_complex(input, input.dtype.to_complex().numpy)


@composite(methods=False)
def real(input: Tensor) -> Tensor:
    """The real parts, as a view; a real tensor is returned as it is."""
    return select(view_as_real(input), -1, 0) if input.dtype.is_complex else input


@composite(methods=False)
def imag(input: Tensor) -> Tensor:
    """The imaginary parts, as a view. Raises RuntimeError for a real tensor."""
    if not input.dtype.is_complex:
        raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")
    return select(view_as_real(input), -1, 1)


Tensor.real = property(real)  # type: ignore[attr-defined]
Tensor.imag = property(imag)  # type: ignore[attr-defined]


@view(inplace="TransposeBackward1")
def transpose(g: Geometry, dim0: int, dim1: int) -> Geometry:
    """The tensor with two dimensions exchanged."""
    order = list(range(len(g.shape)))
    a, b = normalized_dim(dim0, len(order)), normalized_dim(dim1, len(order))
    if order:
        order[a], order[b] = order[b], order[a]
    return _permuted(g, order)


@view(inplace="TransposeBackward1", grad="TransposeBackward0")
def swapaxes(g: Geometry, axis0: int, axis1: int) -> Geometry:
    """Same as `transpose`."""
    return transpose.__wrapped__(g, axis0, axis1)  # type: ignore[attr-defined]


@view(inplace="TransposeBackward1", grad="TransposeBackward0")
def swapdims(g: Geometry, dim0: int, dim1: int) -> Geometry:
    """Same as `transpose`."""
    return transpose.__wrapped__(g, dim0, dim1)  # type: ignore[attr-defined]


@view(inplace="TBackward1")
def t(g: Geometry) -> Geometry:
    """The transpose of a matrix; vectors and 0-dim tensors as they are. Raises RuntimeError beyond two dimensions."""
    if len(g.shape) > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {len(g.shape)}D")
    return _permuted(g, range(len(g.shape))[::-1])


@view(methods=False, public=(), grad="PermuteBackward0")
def _reversed(g: Geometry) -> Geometry:
    return _permuted(g, range(len(g.shape))[::-1])


@view(methods=False, public=(), grad="TransposeBackward0")
def _matrix_transpose(g: Geometry) -> Geometry:
    if len(g.shape) < 2:
        raise RuntimeError(
            f"tensor.mT is only supported on matrices or batches of matrices. Got {len(g.shape)}-D tensor."
        )
    return transpose.__wrapped__(g, -2, -1)  # type: ignore[attr-defined]


def _all_reversed(input: Tensor) -> Tensor:
    """The tensor with its dimensions in reverse order; only of a matrix it is not deprecated."""
    if input.ndim == 0:
        warn_once("Tensor.T is deprecated on 0-D tensors. This function is the identity in these cases.")
    elif input.ndim != 2:
        warn_once(
            "The use of `x.T` on tensors of dimension other than 2 to reverse their shape is deprecated and it will throw "
            "an error in a future release. Write `x.mT` for batches of matrices, `x.permute(...)` for all dimensions."
        )
    return _reversed(input)


def _swapped(input: Tensor, name: str, conjugate: bool = True) -> Tensor:
    """Matrices with their dimensions exchanged, by one of four names; a number is itself, which is deprecated."""
    if input.ndim == 1:
        raise RuntimeError(f"tensor.{name} is only supported on matrices or batches of matrices. Got 1-D tensor.")
    if input.ndim:
        seen = _matrix_transpose(input)
    else:
        advice = "Consider using x.conj()." if conjugate else "This function is the identity in these cases."
        warn_once(f"{name if name.endswith(')') else 'Tensor.' + name} is deprecated on 0-D tensors. {advice}")
        seen = input
    return seen.conj() if conjugate and input.dtype.is_complex else seen


def _transposed(input: Tensor) -> Tensor:
    """The matrices with their last two dimensions exchanged."""
    return _swapped(input, "mT", conjugate=False)


def _conjugated(input: Tensor) -> Tensor:
    """The conjugate of the matrices with their last two dimensions exchanged."""
    return _swapped(input, "mH")


@composite()
def adjoint(input: Tensor) -> Tensor:
    """The conjugate of the matrices with their last two dimensions exchanged."""
    return _swapped(input, "adjoint()")


def _matrix_adjoint(input: Tensor) -> Tensor:
    """The conjugate of a matrix with its dimensions exchanged; a number stays."""
    if input.ndim not in (0, 2):
        batches = " For batches of matrices, consider using tensor.mH" if input.ndim > 2 else ""
        raise RuntimeError(f"tensor.H is only supported on matrices (2-D tensors). Got {input.ndim}-D tensor.{batches}")
    return _swapped(input, "H")


Tensor.T = property(_all_reversed)  # type: ignore[attr-defined]
Tensor.mT = property(_transposed)  # type: ignore[attr-defined]
Tensor.mH = property(_conjugated)  # type: ignore[attr-defined]
Tensor.H = property(_matrix_adjoint)  # type: ignore[attr-defined]


@view()
def permute(g: Geometry, *dims: int) -> Geometry:
    """The dimensions in another order."""
    given = _ints(dims, "permute")
    if len(given) != len(g.shape):
        raise RuntimeError(
            f"permute(sparse_coo): number of dimensions in the tensor input does not match the length of the desired "
            f"ordering of dimensions i.e. input.dim() = {len(g.shape)} is not equal to len(dims) = {len(given)}"
        )
    order = [normalized_dim(d, len(g.shape)) for d in given]
    if len(set(order)) != len(order):
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    return _permuted(g, order)


def _moved(g: Geometry, source: Any, destination: Any) -> Geometry:
    ndim = len(g.shape)
    given = [list(_ints((dims,), "movedim")) for dims in (source, destination)]
    if len(given[0]) != len(given[1]):
        raise RuntimeError(
            f"movedim: Invalid source or destination dims: source ({given[0]} dims) should contain the same number of "
            f"dims as destination ({given[1]} dims)"
        )
    sources, targets = ([normalized_dim(d, ndim) for d in dims] for dims in given)
    for which, dims, normal in (("source", given[0], sources), ("destination", given[1], targets)):
        if len(set(normal)) != len(normal):
            raise RuntimeError(f"movedim: repeated dim in `{which}` ({dims})")
    order = [d for d in range(ndim) if d not in sources]
    for target, source_dim in sorted(zip(targets, sources, strict=True)):
        order.insert(target, source_dim)
    return _permuted(g, order)


@view(grad="PermuteBackward0")
def movedim(g: Geometry, source: Any, destination: Any) -> Geometry:
    """Move dimensions to new places; the others keep their order."""
    return _moved(g, source, destination)


@view(grad="PermuteBackward0")
def moveaxis(g: Geometry, source: Any, destination: Any) -> Geometry:
    """Same as `movedim`."""
    return _moved(g, source, destination)


@view()
def expand(g: Geometry, *size: int, implicit: bool = False) -> Geometry:
    """Dimensions of size 1 (and new ones in front) repeated to `size` without copying; -1 keeps a dimension."""
    sizes = _ints(size, "expand")
    new = len(sizes) - len(g.shape)
    if new < 0:
        raise OfKind(
            f"expand({{kind}}{{{list(g.shape)}}}, size={list(sizes)}): the number of sizes provided "
            f"({len(sizes)}) must be greater or equal to the number of dimensions in the tensor ({len(g.shape)})"
        )
    shape, strides = [], []
    for i, n in reversed([*enumerate(sizes)]):
        if i < new:
            if n < 0:
                raise RuntimeError(
                    f"The expanded size of the tensor ({n}) isn't allowed in a leading, non-existing dimension {i}"
                )
            shape.append(n)
            strides.append(0 if n != 1 else 1)
            continue
        have, stride = g.shape[i - new], g.strides[i - new]
        if n in (-1, have):
            shape.append(have)
            strides.append(stride)
        elif have == 1:
            shape.append(n)
            strides.append(0)
        else:
            raise RuntimeError(
                f"The expanded size of the tensor ({n}) must match the existing size ({have}) at non-singleton dimension "
                f"{i}.  Target sizes: {list(sizes)}.  Tensor sizes: {list(g.shape)}"
            )
    return g._replace(shape=tuple(shape[::-1]), strides=tuple(strides[::-1]))


@composite()
def expand_as(input: Tensor, other: Tensor) -> Tensor:
    """Expand to another tensor's shape."""
    return expand(input, *other.shape)


@composite(methods=False)
def broadcast_to(input: Tensor, size: Any) -> Tensor:
    """Expand to a shape."""
    return expand(input, size)


@composite(methods=("broadcast_to",), public=(), name="broadcast_to")
def _broadcast_to_method(input: Tensor, *sizes: Any, size: Any = None) -> Tensor:
    """Expand to a shape, given as one or as its numbers."""
    if size is None and not sizes:
        raise TypeError('broadcast_to() missing 1 required positional arguments: "size"')
    return expand(input, *(sizes if size is None else (size,)))


def _squeeze_name(dim: Any = None) -> str:
    return f"SqueezeBackward{0 if dim is None else 2 if isinstance(dim, (tuple, list)) else 1}"


@view(inplace="SqueezeBackward4", grad=_squeeze_name)
def squeeze(g: Geometry, dim: Any = None) -> Geometry:
    """Without the dimensions of size 1: all of them, or those named."""
    if dim is None:
        gone = [i for i, n in enumerate(g.shape) if n == 1]
    else:
        named = [normalized_dim(d, len(g.shape)) for d in _ints((dim,), "squeeze")]
        if len(set(named)) != len(named):
            raise RuntimeError(f"dim appears multiple times in the list of dims: {list(named)}")
        gone = [d for d in named if g.shape and g.shape[d] == 1]
    return _permuted(g, [i for i in range(len(g.shape)) if i not in gone])


@view(inplace="UnsqueezeBackward1")
def unsqueeze(g: Geometry, dim: int) -> Geometry:
    """With a new dimension of size 1 in front of `dim`."""
    at = normalized_dim(dim, len(g.shape) + 1)
    stride = g.shape[at] * g.strides[at] if at < len(g.shape) else 1
    return g._replace(shape=(*g.shape[:at], 1, *g.shape[at:]), strides=(*g.strides[:at], stride, *g.strides[at:]))


@view(number="index")
def select(g: Geometry, dim: int, index: int) -> Geometry:
    """One index of a dimension, which is dropped."""
    if not g.shape:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    at, i = normalized_dim(dim, len(g.shape)), as_int(index)
    n = g.shape[at]
    if not -n <= i < n:
        raise IndexError(f"select(): index {i} out of range for tensor of size {list(g.shape)} at dimension {at}")
    i = i + n if i < 0 else i
    return g._replace(
        shape=g.shape[:at] + g.shape[at + 1 :],
        strides=g.strides[:at] + g.strides[at + 1 :],
        offset=g.offset + i * g.strides[at],
    )


def _clipped(bound: Any, absent: int, size: int) -> Any:
    """A slice's bound, as Python clips it, by comparisons alone."""
    if bound is None:
        return absent
    bound = bound + size if bound < 0 else bound
    return 0 if bound < 0 else size if bound > size else bound


def sliced(g: Geometry, dim: int, start: Any, end: Any, step: int = 1) -> Geometry:
    """The geometry of `start:end:step` in one dimension, clipped as Python slices are."""
    if start is None and end is None and step in (1, None):
        return g
    if isinstance(start, HostInt) or isinstance(end, HostInt):
        first, last = _clipped(start, 0, g.shape[dim]), _clipped(end, g.shape[dim], g.shape[dim])
    else:
        first, last, step = slice(start, end, step).indices(g.shape[dim])
    count = max(0, -(-(last - first) // step))
    if isinstance(count, HostInt):
        count = count.settle()  # a program holds for one length, wherever it begins
    shape = (*g.shape[:dim], count, *g.shape[dim + 1 :])
    strides = (*g.strides[:dim], g.strides[dim] * step, *g.strides[dim + 1 :])
    return g._replace(shape=shape, strides=strides, offset=g.offset + first * g.strides[dim])


@view(methods=False, public=(), grad="SliceBackward0")
def slice_view(g: Geometry, dim: int, start: Any, end: Any, step: int = 1) -> Geometry:
    """One dimension's `start:end:step`."""
    return sliced(g, normalized_dim(dim, len(g.shape)), start, end, step)


@view(grad="SliceBackward0", number="start")
def narrow(g: Geometry, dim: int, start: int, length: int) -> Geometry:
    """`length` indices of a dimension from `start` on."""
    if not g.shape:
        raise RuntimeError("there is no dimension, and narrow() cannot be applied to a 0-dim tensor.")
    if isinstance(start, Tensor) and (start.ndim or start.dtype.category != dtypes.INTEGER):
        raise RuntimeError(f"start must be an 0-dim integral Tensor. (got {start.dtype} {list(start.shape)})")
    at, first, length = normalized_dim(dim, len(g.shape)), as_int(start), operator.index(length)
    n = g.shape[at]
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    if not -n <= first <= n:
        raise IndexError(f"start out of range (expected to be in range of [{-n}, {n}], but got {first})")
    first = first + n if first < 0 else first
    if first + length > n:
        raise RuntimeError(f"start ({first}) + length ({length}) exceeds dimension size ({n}).")
    return sliced(g, at, first, first + length)


@composite()
def narrow_copy(input: Tensor, dim: int, start: int, length: int) -> Tensor:
    """`narrow` with memory of its own."""
    if 0 < input.ndim <= dim:  # the one place where this is no IndexError
        raise RuntimeError(
            f"Expected dim < static_cast<int64_t>(self_sizes.size()) to be true, but got false. (dim is {dim}.)"
        )
    found = narrow(input, dim, start, max(length, 0))
    if length < 0:
        size = input.shape[dim]
        start = start + size if start < 0 else start
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({size}).")
    return found.clone()


@view()
def diagonal(g: Geometry, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Geometry:
    """The diagonal of two dimensions, as the last dimension of the result."""
    a, b = normalized_dim(dim1, len(g.shape)), normalized_dim(dim2, len(g.shape))
    if a == b:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    rows, columns = g.shape[a], g.shape[b]
    count = max(0, min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns))
    start = (offset * g.strides[b] if offset >= 0 else -offset * g.strides[a]) if count else 0
    rest = _permuted(g, [i for i in range(len(g.shape)) if i not in (a, b)])
    return Geometry((*rest.shape, count), (*rest.strides, g.strides[a] + g.strides[b]), g.offset + start, g.bits)


@view(methods=("unfold",), public=(), grad="UnfoldBackward0")
def unfold_dimension(g: Geometry, dimension: int, size: int, step: int) -> Geometry:
    """All windows of `size` in a dimension, `step` apart, as a new last dimension."""
    at, (size, step) = normalized_dim(dimension, len(g.shape)), _ints((size, step), "unfold")
    n = g.shape[at] if g.shape else 1
    if size < 0:
        raise RuntimeError(f"size is {size} but must be >= 0")
    if size > n:
        raise RuntimeError(f"maximum size for tensor at dimension {at} is {n} but size is {size}")
    if step <= 0:
        raise RuntimeError(f"step is {step} but must be > 0")
    if not g.shape:
        return g._replace(shape=(size,), strides=(1,))
    shape = (*g.shape[:at], (n - size) // step + 1, *g.shape[at + 1 :], size)
    strides = (*g.strides[:at], g.strides[at] * step, *g.strides[at + 1 :], g.strides[at])
    return g._replace(shape=shape, strides=strides)


@view(inplace="AsStridedBackward1", public_inplace=True, absolute=True)
def as_strided(g: Geometry, size: Any, stride: Any, storage_offset: int | None = None) -> Geometry:
    """A view of the storage with any shape, strides and offset."""
    size, stride = _ints((size,), "as_strided"), _ints((stride,), "as_strided")
    if len(size) != len(stride):
        raise RuntimeError("mismatch in length of strides and shape")
    if any(s < 0 for s in stride):
        raise RuntimeError(f"as_strided: Negative strides are not supported at the moment, got strides: {list(stride)}")
    offset = g.offset if storage_offset is None else storage_offset
    return Geometry(size, stride, offset, g.bits)


def _flattened(shape: Any, start_dim: int, end_dim: int) -> tuple[int, ...]:
    if not shape:
        normalized_dim(start_dim, 0), normalized_dim(end_dim, 0)
        return (1,)
    a, b = normalized_dim(start_dim, len(shape)), normalized_dim(end_dim, len(shape))
    if a > b:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    return (*shape[:a], math.prod(shape[a : b + 1]), *shape[b + 1 :])


@composite()
def reshape(input: Tensor, *shape: Any) -> Tensor:
    """The same elements with another shape: a view where the strides allow it, else a copy."""
    if input._view is None:  # contiguous
        return _view_shape(input, *shape)
    size = infer_size(_ints(shape, "reshape"), input._geometry.numel)
    if _restrided(input._geometry, size) is not None:
        return _view_shape(input, *shape)
    made = _unsafe_view(_identity(input), size)
    made._base = made._refusal = None  # nobody else has the copy
    return made


@composite()
def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Dimensions `start_dim` to `end_dim` merged into one."""
    shape = tuple(input._geometry.shape)
    size = _flattened(shape, start_dim, end_dim)
    return input if size == shape else reshape(input, size)


@composite()
def unflatten(input: Tensor, dim: int, sizes: Any) -> Tensor:
    """One dimension split into several."""
    at = normalized_dim(dim, input.ndim)
    sizes = _ints((sizes,), "unflatten")
    if not sizes:
        raise RuntimeError("unflatten: sizes must be non-empty")
    try:
        sizes = infer_size(sizes, input.shape[at])
    except RuntimeError:
        raise RuntimeError(
            f"unflatten: Provided sizes {list(sizes)} don't multiply up to the size of dim {at} ({input.shape[at]}) in the "
            "input tensor"
        ) from None
    return _view_shape(input, *input.shape[:at], *sizes, *input.shape[at + 1 :])


@composite()
def ravel(input: Tensor) -> Tensor:
    """All elements in one dimension."""
    return reshape(input, -1)


@composite(public=())
def view_as(self: Tensor, other: Tensor) -> Tensor:
    """A view with another tensor's shape."""
    return _view_shape(self, *other.shape)


@composite(public=())
def reshape_as(self: Tensor, other: Tensor) -> Tensor:
    """`reshape` to another tensor's shape."""
    return reshape(self, *other.shape)
