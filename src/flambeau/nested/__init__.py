"""`torch.nested`: tensors whose parts differ in their sizes, in the layouts `torch.strided` and `torch.jagged`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import ops
from ..core.array import dtypes, formats, geometry
from ..core.dispatch.help import explain_namespace as _explain
from ..core.dispatch.operator import namespaces
from ..core.tensor.tensor import Tensor
from ..ops.layers.padding import constant_pad_nd
from ..ops.making.constants import empty
from ..ops.making.constants import full as _full
from ..ops.making.creation import as_tensor
from ..ops.making.ranges import arange
from ..ops.shape.joining import cat
from . import _internal
from ._internal.nested_int import ragged
from ._internal.nested_tensor import NestedTensor, jagged, joined, strided

__all__ = [
    "as_nested_tensor", "masked_select", "narrow", "nested_tensor", "nested_tensor_from_jagged", "to_padded_tensor",
]  # fmt: skip

_torch = namespaces["torch"]


def to_padded_tensor(input: Any, padding: float, output_size: Sequence[int] | None = None, out: Any = None) -> Tensor:
    """A dense tensor with the parts at its beginning and `padding` elsewhere, as large as the parts need or as `output_size`."""
    if out is not None:
        raise NotImplementedError("to_padded_tensor: out= is not supported: assign the result")
    if not isinstance(input, NestedTensor):
        raise RuntimeError("to_padded_tensor: expected a nested tensor, got a dense one")
    return input.to_padded_tensor(padding, output_size)  # type: ignore[no-any-return]


def _layout(layout: Any) -> formats.layout:
    layout = formats.strided if layout is None else layout
    if layout not in (formats.strided, formats.jagged):
        raise RuntimeError(f"Specified layout is unsupported for nested tensors: {layout}")
    return layout  # type: ignore[no-any-return]


def as_nested_tensor(ts: Any, dtype: Any = None, device: Any = None, layout: Any = None) -> NestedTensor:
    """A nested tensor of a list of tensors, or of the parts of a dense one, which gradients go back to.

    Raises TypeError for anything but tensors, RuntimeError for parts that can't stand in one.
    """
    layout = _layout(layout)
    if isinstance(ts, NestedTensor) and ts.layout is layout:
        return ts if dtype is None and device is None else ts.to(device=device, dtype=dtype)  # type: ignore[return-value]
    if not isinstance(ts, (Tensor, list, tuple)) or not all(isinstance(t, Tensor) for t in ts):
        raise TypeError("as_nested_tensor(): Expected first argument to be a tensor or a list / tuple of tensors ")
    if isinstance(ts, NestedTensor):
        raise RuntimeError("as_nested_tensor(): Converting between nested tensor layouts is not supported")
    if isinstance(ts, Tensor) and ts.ndim < 2:
        raise RuntimeError("as_nested_tensor(): Expected tensor argument to have dim() > 1")
    parts = list(ts.unbind()) if isinstance(ts, Tensor) else list(ts)
    return _nested(parts, layout, dtype, device)


def _nested(parts: list[Tensor], layout: formats.layout, dtype: Any, device: Any) -> NestedTensor:
    if not parts:
        if layout is formats.jagged:
            raise RuntimeError("Cannot construct a nested tensor from an empty tensor list")
        return strided(empty(0, dtype=dtype, device=device), ())
    _check_parts(parts, layout)
    kind, place = dtype or parts[0].dtype, device or parts[0].device
    return joined([part.to(device=place, dtype=kind) for part in parts], layout)


def _check_parts(parts: list[Tensor], layout: formats.layout) -> None:
    first = parts[0].ndim
    if layout is formats.strided:
        for k, part in enumerate(parts):
            if part.ndim != first:
                raise RuntimeError(
                    f"All Tensors given to nested_tensor must have the same dimension. Found dimension {part.ndim} for Tensor "
                    f"at index {k} and dimension {first} for Tensor at index 0."
                )
        return
    for what in ("dtype", "device", "dim"):
        found = {part.ndim if what == "dim" else str(getattr(part, what)) for part in parts}
        if len(found) > 1:
            raise RuntimeError(f"When constructing a nested tensor, all tensors in list must have the same {what}")
    if first == 0:
        raise RuntimeError("Cannot construct a nested tensor from a list of zero-dim tensors")


def nested_tensor(
    tensor_list: Any,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> NestedTensor:
    """A nested tensor with copies of the parts (tensors, or lists of numbers), a leaf of the tape.

    Raises TypeError (strided) for anything but a list, RuntimeError for parts that can't stand in one.
    """
    layout = _layout(layout)
    if layout is formats.strided and not isinstance(tensor_list, (list, tuple)):
        raise TypeError("Only lists (List[Tensor] and List[List...[Scalar]]) are accepted in nested_tensor")
    parts = [part.detach() if isinstance(part, Tensor) else as_tensor(part, dtype=dtype) for part in tensor_list]
    made = _nested(parts, layout, dtype, device)
    if requires_grad:
        made.requires_grad_()
    return made


def nested_tensor_from_jagged(
    values: Tensor,
    offsets: Tensor | None = None,
    lengths: Tensor | None = None,
    jagged_dim: int | None = None,
    min_seqlen: int | None = None,
    max_seqlen: int | None = None,
) -> NestedTensor:
    """The jagged tensor whose parts lie in `values` from each offset to the next, or as far as `lengths` say.

    It shares memory and tape with `values`. `jagged_dim` counts the batch: 1 if the parts follow each other along the
    first dimension of `values`. The lengths' bounds are read off them, so that `min_seqlen` and `max_seqlen` say nothing new.
    """
    if offsets is None and lengths is None:
        raise RuntimeError("nested_tensor_from_jagged(): At least one of offsets or lengths is required.")
    if not isinstance(values, Tensor):
        raise TypeError(
            f"_nested_view_from_jagged(): argument 'input' (position 1) must be Tensor, not {type(values).__name__}"
        )
    if offsets is None:
        assert lengths is not None
        offsets, lengths = constant_pad_nd(lengths.cumsum(0), (1, 0), 0), None
    if lengths is not None and len(lengths) not in (len(offsets), len(offsets) - 1):
        raise AssertionError(
            f"offsets and lengths batch sizes must match: offsets.shape[0] - 1 = {len(offsets) - 1}, lengths.shape[0] = {len(lengths)}"
        )
    return _seen(values, offsets, lengths, 1 if jagged_dim is None else jagged_dim)


def _seen(values: Tensor, offsets: Tensor, lengths: Tensor | None, at: int = 1) -> NestedTensor:
    """A jagged look into a tensor that others hold."""
    whole = geometry.whole(tuple(values.shape))
    look = values._look(values._geometry, "NestedViewFromJaggedBackward0", whole)
    look._view = values._view
    return jagged(look, ragged(offsets, lengths), at)


def narrow(tensor: Tensor, dim: int, start: Any, length: Any, layout: Any = formats.strided) -> NestedTensor:
    """Of each part of a dense tensor the elements from `start` on, `length` of them; jagged: with one start and length each.

    A jagged result looks into the memory of `tensor`. RuntimeError for another dimension than 1 there.
    """
    layout = _layout(layout)
    if layout is formats.strided:
        if isinstance(start, Tensor) or isinstance(length, Tensor):
            raise RuntimeError("start and length must be integers for the strided layout NT impl")
        return as_nested_tensor(tensor).narrow(dim, start, length)  # type: ignore[return-value]
    if dim != 1:
        raise RuntimeError("jagged layout only supports dim=1")
    count, size = tensor.shape[:2]
    if not isinstance(start, Tensor):
        start = _full((count,), start, dtype=dtypes.int64, device=tensor.device)
    if not isinstance(length, Tensor):
        length = _full((count,), length, dtype=dtypes.int64, device=tensor.device)
    begins = start + arange(count, device=tensor.device) * size
    offsets = cat([begins, (begins[-1] + length[-1]).unsqueeze(0)])
    return _seen(tensor.flatten(0, 1), offsets, length)


def masked_select(tensor: Tensor, mask: Tensor) -> NestedTensor:
    """The elements of a dense tensor where the mask is true, a part for each row of its last dimension."""
    if tensor.layout is not formats.strided:
        raise RuntimeError("torch.nested.masked_select requires a strided tensor")
    if mask.layout is not formats.strided:
        raise RuntimeError(f"torch.nested.masked_select requires a strided mask, got {mask.layout}")
    full = mask.expand(tensor.shape) if mask.ndim <= tensor.ndim else mask
    lengths = full.sum(-1).reshape(-1)
    values = tensor.masked_select(full)
    return nested_tensor_from_jagged(values, constant_pad_nd(lengths.cumsum(0), (1, 0), 0))


def _nested_view_from_buffer(buffer: Tensor, sizes: Tensor, strides: Tensor, offsets: Tensor) -> NestedTensor:
    """The strided nested tensor of parts that lie one after the other in a flat tensor (`torch._nested_view_from_buffer`)."""
    made = strided(buffer.view(-1), [tuple(row) for row in sizes.tolist()])
    if strides.tolist() != made._nested_tensor_strides().tolist() or offsets.tolist() != (
        made._nested_tensor_storage_offsets().tolist()
    ):
        raise NotImplementedError(
            "_nested_view_from_buffer: only parts that lie one after the other are supported here"
        )
    return made


def _nested_compute_contiguous_strides_offsets(nested_size: Tensor) -> tuple[Tensor, Tensor]:
    """The strides of parts of these sizes (a row for each), and where each begins, if they lie one after the other."""
    shapes = [tuple(row) for row in nested_size.tolist()]
    made = strided(empty(0), shapes)
    return made._nested_tensor_strides(), made._nested_tensor_storage_offsets()


_explain(globals(), "torch.nested")
