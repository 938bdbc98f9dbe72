"""`NestedTensor`: tensors that differ in some of their sizes, held as one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from ... import ops  # noqa: F401
from ...core.array import formats
from ...core.array.size import Size, normalized_dim
from ...core.context.grad_mode import no_grad
from ...core.dispatch.operator import namespaces
from ...core.tensor.tensor import Tensor
from ...ops.making.creation import tensor as _tensor
from ...ops.shape.joining import cat
from .nested_int import Ragged, ragged

_torch = namespaces["torch"]
_NO = "Internal error: NestedTensorImpl doesn't support {}. Please file an issue."


class NestedTensor(Tensor):
    """Parts of one dtype and number of dimensions, in one dense tensor that this one shares memory and tape with.

    Jagged: the parts differ in one dimension (`_ragged_idx`, counted with the batch), along which they are joined. Strided:
    all sizes may differ, and the parts lie in a row, flattened. What is known of functions of nested tensors is in
    `ops.py`; anything else raises NotImplementedError.
    """

    _ragged: Ragged | None
    _ragged_idx: int
    _shapes: tuple[tuple[int, ...], ...] | None

    # --- what it is --------------------------------------------------------------------------------------------------

    @property
    def is_nested(self) -> bool:  # type: ignore[override]
        """Always."""
        return True

    @property
    def layout(self) -> formats.layout:  # type: ignore[override]
        """`torch.jagged` or `torch.strided`."""
        return formats.strided if self._ragged is None else formats.jagged

    @property
    def shape(self) -> Size:  # type: ignore[override]
        """The sizes, of which the ragged one is no number. RuntimeError for the strided layout, which has none."""
        return self._all_sizes()

    def _all_sizes(self) -> Size:
        if self._ragged is None:
            raise RuntimeError(_NO.format("sizes"))
        sizes: list[Any] = list(self._values.shape)
        sizes[self._ragged_idx - 1] = self._ragged.size
        return tuple.__new__(Size, (len(self._ragged.sizes), *sizes))

    def size(self, dim: int | None = None) -> Any:  # type: ignore[override]
        """All sizes, or that of one dimension. RuntimeError if the parts differ in it and the layout is strided."""
        if self._ragged is not None or dim is None:
            sizes = self._all_sizes()
            return sizes if dim is None else sizes[dim]
        at = _dim(self, dim)
        if at == 0:
            return len(self._shapes or ())
        found = {shape[at - 1] for shape in self._shapes or ()}
        if len(found) != 1:
            raise RuntimeError(f"Given dimension {at} is irregular and does not have a size.")
        return found.pop()

    def dim(self) -> int:  # type: ignore[override]
        """How many dimensions it has, the one of the parts among them."""
        if self._ragged is not None:
            return self._values.ndim + 1
        return len(self._shapes[0]) + 1 if self._shapes else 1

    ndim: Any = property(dim)  # type: ignore[assignment]
    ndimension = dim  # type: ignore[assignment]

    def numel(self) -> int:  # type: ignore[override]
        """How many elements the parts have together."""
        return sum(math.prod(shape) for shape in shapes_of(self))

    nelement = numel  # type: ignore[assignment]

    @property
    def nbytes(self) -> int:  # type: ignore[override]
        """The memory that the elements take."""
        return self.numel() * self.element_size()

    def __len__(self) -> int:
        return int(self._all_sizes()[0])

    def __iter__(self) -> Any:
        return iter(unbound(self))

    def stride(self, dim: int | None = None) -> Any:  # type: ignore[override]
        """The strides, in which the ragged size may occur. RuntimeError for the strided layout."""
        if self._ragged is None:
            raise RuntimeError(_NO.format("strides"))
        inner = list(self._values.stride())
        strides = (inner[self._ragged_idx - 1] * self._ragged.size, *inner)
        return strides if dim is None else strides[dim]

    def is_contiguous(self, *, memory_format: Any = None) -> bool:  # type: ignore[override]
        """Whether the parts lie in memory one after the other."""
        return (self._ragged is None or self._ragged.lengths is None) and self._values.is_contiguous()

    @property
    def grad(self) -> Any:  # type: ignore[override]
        """The gradient, nested as this tensor is."""
        found = Tensor.grad.__get__(self)  # type: ignore[attr-defined]
        return found if found is None or isinstance(found, NestedTensor) else like(self, found.detach())

    @grad.setter
    def grad(self, value: Any) -> None:
        Tensor.grad.__set__(self, value if value is None else values_of(value).detach())  # type: ignore[attr-defined]

    T = property(
        lambda self: self.permute(*reversed(range(self.dim()))), doc="With its dimensions the other way round."
    )  # type: ignore[assignment]
    mT: Any = property(lambda self: self.transpose(-2, -1), doc="With its last two dimensions exchanged.")  # type: ignore[assignment]
    data = property(lambda self: self.detach(), doc="The same values, off the tape.")  # type: ignore[assignment]

    # --- what it holds -----------------------------------------------------------------------------------------------

    @property
    def _values(self) -> Tensor:
        return Tensor.as_subclass(self, Tensor)  # type: ignore[no-any-return]

    def values(self) -> Tensor:
        """The dense tensor that holds the parts."""
        return self._values

    def offsets(self) -> Tensor:
        """Where each part begins in `values()`, and where the last one ends. AttributeError for the strided layout."""
        return self._rows("offsets").offsets

    def lengths(self) -> Tensor | None:
        """How long the parts are, if there are gaps between them."""
        return self._rows("lengths").lengths

    def _rows(self, name: str) -> Ragged:
        if self._ragged is None:
            raise AttributeError(f"'Tensor' object has no attribute '{name}'")
        return self._ragged

    @property
    def _min_seqlen(self) -> int:
        return min(self._rows("_min_seqlen").sizes, default=0)

    @property
    def _max_seqlen(self) -> int:
        return max(self._rows("_max_seqlen").sizes, default=0)

    def _nested_tensor_size(self) -> Tensor:
        """The parts' sizes, a row for each."""
        return _tensor([list(shape) for shape in self._flat_shapes()], dtype=_torch_int64())

    def _nested_tensor_strides(self) -> Tensor:
        """The parts' strides, a row for each."""
        rows = [[math.prod(shape[k + 1 :]) for k in range(len(shape))] for shape in self._flat_shapes()]
        return _tensor(rows, dtype=_torch_int64())

    def _nested_tensor_storage_offsets(self) -> Tensor:
        """Where each part begins in the flat values."""
        return _tensor(starts(self._flat_shapes()), dtype=_torch_int64())

    def _flat_shapes(self) -> Sequence[tuple[int, ...]]:
        if self._shapes is None:
            raise NotImplementedError("aten._nested_tensor_size.default")
        return self._shapes

    # --- Python ------------------------------------------------------------------------------------------------------

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return text(self)

    def __reduce_ex__(self, protocol: int) -> Any:  # type: ignore[override]
        rows = self._ragged
        held = (rows.offsets, rows.lengths, self._ragged_idx) if rows is not None else self._shapes
        return _restored, (self._values.detach(), held, self.requires_grad and self.is_leaf)

    def __deepcopy__(self, memo: Any) -> NestedTensor:
        if not self.is_leaf:
            raise RuntimeError(
                "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the moment."
            )
        with no_grad():
            made = memo[id(self)] = like(self, self._values.clone())
        made.requires_grad_(self.requires_grad)
        return made

    def data_ptr(self) -> int:  # type: ignore[override]
        """Where the values lie."""
        return self._values.data_ptr()

    def tolist(self) -> Any:
        if self._ragged is None:
            raise RuntimeError(_NO.format("strides"))
        raise RuntimeError(f".tolist() is not supported for tensor subclasses, got {type(self).__name__}")

    def numpy(self, *, force: bool = False) -> Any:
        if self._ragged is None:
            raise RuntimeError(_NO.format("sizes"))
        raise RuntimeError(".numpy() is not supported for tensor subclasses.")

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        from .ops import computed

        return computed(func, args, kwargs or {})


def _torch_int64() -> Any:
    from ...core.array import dtypes

    return dtypes.int64


def _dim(tensor: NestedTensor, dim: int) -> int:
    return normalized_dim(dim, tensor.dim())


# --- making and taking apart ----------------------------------------------------------------------------------------


def jagged(values: Tensor, rows: Ragged, at: int = 1) -> NestedTensor:
    """The nested tensor whose parts follow each other in `values`, along its dimension `at - 1`. `values` turns into it."""
    return _made(values, rows, at, None)


def strided(flat: Tensor, shapes: Sequence[tuple[int, ...]]) -> NestedTensor:
    """The nested tensor whose parts of these shapes lie in `flat` one after the other. `flat` turns into it."""
    return _made(flat, None, 0, tuple(tuple(shape) for shape in shapes))


def _made(values: Tensor, rows: Ragged | None, at: int, shapes: Any) -> NestedTensor:
    """`values` itself, which nobody else holds, turned into a nested tensor: so its node on the tape keeps its name."""
    values.__class__ = NestedTensor
    made: Any = values
    made._ragged, made._ragged_idx, made._shapes = rows, at, shapes
    return made  # type: ignore[no-any-return]


def like(tensor: NestedTensor, values: Tensor) -> NestedTensor:
    """A nested tensor with parts as in `tensor`, of other values."""
    if tensor._ragged is None:
        return strided(values, tensor._shapes or ())
    return jagged(values, tensor._ragged, tensor._ragged_idx)


def values_of(value: Any) -> Any:
    """The dense tensor of a nested one; anything else itself."""
    return value._values if isinstance(value, NestedTensor) else value


def shapes_of(tensor: NestedTensor) -> list[tuple[int, ...]]:
    """The parts' shapes."""
    rows = tensor._ragged
    if rows is None:
        return list(tensor._shapes or ())
    shape, at = tuple(tensor._values.shape), tensor._ragged_idx - 1
    return [(*shape[:at], size, *shape[at + 1 :]) for size in rows.sizes]


def starts(shapes: Sequence[tuple[int, ...]]) -> list[int]:
    """Where parts of these shapes begin, one after the other."""
    places, at = [], 0
    for shape in shapes:
        places.append(at)
        at += math.prod(shape)
    return places


def unbound(tensor: NestedTensor) -> tuple[Tensor, ...]:
    """The parts, as views."""
    values, rows = tensor._values, tensor._ragged
    if rows is not None:
        at = tensor._ragged_idx - 1
        return tuple(values.narrow(at, a, n) for a, n in zip(rows.starts, rows.sizes, strict=True))
    shapes = shapes_of(tensor)
    return tuple(
        values.narrow(0, a, math.prod(shape)).view(shape) for a, shape in zip(starts(shapes), shapes, strict=True)
    )


def joined(
    parts: Sequence[Tensor], layout: formats.layout, rows: Ragged | None = None, at: int | None = None
) -> NestedTensor:
    """A nested tensor of parts, on their tape. `rows` are known ones that the parts fit; `at` is the ragged dimension."""
    if layout is formats.strided:
        shapes = [tuple(part.shape) for part in parts]
        return strided(cat([part.reshape(-1) for part in parts]), shapes)
    at = _ragged_dimension([tuple(part.shape) for part in parts]) if at is None else at
    values = cat(list(parts), at - 1)
    if rows is not None and rows.lengths is None:
        return jagged(values, rows, at)
    bounds = [0]
    for part in parts:
        bounds.append(bounds[-1] + part.shape[at - 1])
    return jagged(values, ragged(_tensor(bounds, dtype=_torch_int64(), device=values.device)), at)


def _ragged_dimension(shapes: list[tuple[int, ...]]) -> int:
    differ = [k for k in range(len(shapes[0])) if len({shape[k] for shape in shapes}) > 1]
    if len(differ) > 1:
        raise RuntimeError(
            "Cannot represent given tensor list as a nested tensor with the jagged layout. Note that the jagged layout only "
            "allows for a single ragged dimension. For example: (B, *, D_0, D_1, ..., D_N), with ragged * dim."
        )
    return (differ[0] if differ else 0) + 1


def rebuilt(tensor: NestedTensor, make: Callable[[Tensor], Tensor]) -> NestedTensor:
    """`make` of each part, in the layout of `tensor`."""
    return joined([make(part) for part in unbound(tensor)], tensor.layout, tensor._ragged, tensor._ragged_idx or None)


def _restored(values: Tensor, held: Any, requires_grad: bool) -> NestedTensor:
    """What a pickle of a nested tensor calls."""
    if held and isinstance(held[0], Tensor):
        offsets, lengths, at = held
        made = jagged(values, ragged(offsets, lengths), at)
    else:
        made = strided(values, held)
    if requires_grad:
        made.requires_grad_()
    return made


# --- printing --------------------------------------------------------------------------------------------------------


def text(tensor: NestedTensor) -> str:
    """The printed form."""
    node = tensor.grad_fn
    if tensor._ragged is not None:
        how = f", grad_fn={node!r}" if node is not None else ", requires_grad=True" if tensor.requires_grad else ""
        sizes = f"({', '.join(map(str, tensor._all_sizes()))})"
        return f"NestedTensor(size={sizes}, offsets={tensor.offsets()}{how}, contiguous={tensor.is_contiguous()})"
    how = f", grad_fn=<{node.name()}>" if node is not None else ", requires_grad=True" if tensor.requires_grad else ""
    with no_grad():
        parts = [part.detach() for part in unbound(tensor)]
    shown = [repr(part.requires_grad_() if how else part) for part in parts]
    lines = ",\n".join("\n".join(f"  {line}" for line in part.split("\n")) for part in shown)
    return f"nested_tensor([\n{lines}\n]{how})"
