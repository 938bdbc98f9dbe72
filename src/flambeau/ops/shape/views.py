"""Views: functions from a geometry to a geometry. They share the memory of their tensor."""

from __future__ import annotations

import functools
import math
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
from ...core.dispatch.messages import message
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
        warn_once(message("reversed_dimensions"))
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
