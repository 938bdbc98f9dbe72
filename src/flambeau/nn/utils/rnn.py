"""Sequences of different lengths in one tensor, padded or packed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, Self

import numpy as np

from ...core.array import dtypes
from ...core.dispatch.help import explain_namespace as _explain
from ...core.dispatch.messages import message
from ...core.tensor.tensor import Tensor, from_host
from ...ops.layers.packing import _pack_padded_sequence, _pad_packed_sequence
from ...ops.layers.padding import pad
from ...ops.making.creation import as_tensor
from ...ops.shape.joining import stack
from ...ops.support.checks import on_host

__all__ = [
    "PackedSequence",
    "invert_permutation",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]


class PackedSequence_(NamedTuple):
    """The fields of a `PackedSequence`."""

    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None
    unsorted_indices: Tensor | None


def _fields(data: Any, batch_sizes: Any, sorted_indices: Any, unsorted_indices: Any) -> tuple[Any, ...]:
    if unsorted_indices is None:
        unsorted_indices = invert_permutation(sorted_indices)
    if batch_sizes is None:
        if not isinstance(data, (list, tuple)) or len(data) != 2:
            raise AssertionError(message("sequence_data_length"))
        data, batch_sizes = data
    elif batch_sizes.device.type != "cpu":
        raise ValueError(
            "batch_sizes should always be on CPU. Instances of PackedSequence should never be created manually. They "
            f"should be instantiated by functions like pack_sequence and pack_padded_sequence (in {__name__})"
        )
    return data, batch_sizes, sorted_indices, unsorted_indices


class PackedSequence(PackedSequence_):
    """The rows of all sequences step by step (`data`), and how many sequences have each step (`batch_sizes`, on the CPU).

    The sequences are ordered by length, the longest first; `sorted_indices` says how they were put in that order and
    `unsorted_indices` how they come back, both None if they were in order. Made by `pack_padded_sequence` and
    `pack_sequence`; recurrent layers take it and return one.
    """

    def __new__(
        cls, data: Any, batch_sizes: Any = None, sorted_indices: Any = None, unsorted_indices: Any = None
    ) -> Self:
        return super().__new__(cls, *_fields(data, batch_sizes, sorted_indices, unsorted_indices))

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """`Tensor.to` of the data; the indices go along to another device. RuntimeError for `copy`.

        Returns the sequence itself if there is nothing to do.
        """
        if "copy" in kwargs or len(args) > 3 or (len(args) == 3 and isinstance(args[2], bool)):
            raise RuntimeError(".to() does not accept copy argument")
        data = self.data.to(*args, **kwargs)  # type: ignore[attr-defined]
        if data is self.data:
            return self
        indices = [None if i is None else i.to(data.device) for i in (self.sorted_indices, self.unsorted_indices)]  # type: ignore[attr-defined]
        return type(self)(data, self.batch_sizes, *indices)

    def pin_memory(self) -> Self:
        """The same with its tensors in pinned memory."""
        tensors = [None if t is None else t.pin_memory() for t in (self.data, *self[2:])]  # type: ignore[attr-defined]
        return type(self)(tensors[0], self.batch_sizes, *tensors[1:])

    def is_pinned(self) -> bool:
        """Whether the data lies in pinned memory."""
        return self.data.is_pinned()  # type: ignore[attr-defined]

    def cuda(self, *args: Any, **kwargs: Any) -> Self:
        """The same on a GPU."""
        return self._at("cuda", args, kwargs)

    def cpu(self, *args: Any, **kwargs: Any) -> Self:
        """The same on the CPU."""
        return self._at("cpu", args, kwargs)

    def double(self) -> Self:
        """The same with data of dtype float64."""
        return self.to(dtypes.float64)

    def float(self) -> Self:
        """The same with data of dtype float32."""
        return self.to(dtypes.float32)

    def half(self) -> Self:
        """The same with data of dtype float16."""
        return self.to(dtypes.float16)

    def long(self) -> Self:
        """The same with data of dtype int64."""
        return self.to(dtypes.int64)

    def int(self) -> Self:
        """The same with data of dtype int32."""
        return self.to(dtypes.int32)

    def short(self) -> Self:
        """The same with data of dtype int16."""
        return self.to(dtypes.int16)

    def char(self) -> Self:
        """The same with data of dtype int8."""
        return self.to(dtypes.int8)

    def byte(self) -> Self:
        """The same with data of dtype uint8."""
        return self.to(dtypes.uint8)

    def _at(self, kind: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Self:
        there = self.data.new_empty(0).to(*args, **kwargs)  # type: ignore[attr-defined]
        return self.to(*args, **kwargs) if there.device.type == kind else self.to(*args, device=kind, **kwargs)

    @property
    def is_cuda(self) -> bool:
        """Whether the data lies on a GPU."""
        return self.data.is_cuda  # type: ignore[attr-defined]


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The permutation that undoes this one; None of None."""
    if permutation is None:
        return None
    if not isinstance(permutation, Tensor):
        kind = type(permutation).__name__
        raise TypeError(f"empty_like(): argument 'input' (position 1) must be Tensor, not {kind} (invert_permutation)")
    if permutation.dtype.name != "int64":
        same = "to be equal to"
        raise RuntimeError(f"scatter(): Expected self.dtype {same} src.dtype: int64, got {permutation.dtype}")
    return permutation.argsort()  # type: ignore[attr-defined]


def pack_padded_sequence(
    input: Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Pack padded sequences `(T, B, *)`, or `(B, T, *)` with `batch_first`, of these `lengths` (a list or a CPU tensor).

    With `enforce_sorted` they have to be in order, the longest first; otherwise they are put in order. RuntimeError for
    lengths that are not in order, not positive, longer than the input, or not as many as there are sequences.
    """
    if isinstance(lengths, (list, tuple)):
        lengths = [int(length) for length in lengths]
    lengths = as_tensor(lengths).long().to("cpu")
    order = None
    if not enforce_sorted:
        lengths, order = lengths.sort(descending=True, stable=True)
        order = order.to(input.device)  # type: ignore[attr-defined]
        input = input.index_select(0 if batch_first else 1, order)  # type: ignore[attr-defined]
    data, batch_sizes = _pack_padded_sequence(input, lengths, batch_first)
    return PackedSequence(data, batch_sizes, order, None)


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """The padded sequences `(T, B, *)`, or `(B, T, *)` with `batch_first`, in the order before packing; their lengths.

    T is the longest length, or `total_length`; ValueError if that is less.
    """
    steps = len(sequence.batch_sizes)
    if total_length is not None and total_length < steps:
        raise ValueError(
            "Expected total_length to be at least the length of the longest sequence in input, but got "
            f"total_length={total_length} and max sequence length being {steps}"
        )
    padded, lengths = _pad_packed_sequence(
        sequence.data, sequence.batch_sizes, batch_first, padding_value, total_length or -1
    )
    order = sequence.unsorted_indices
    if order is None:
        return padded, lengths
    return padded.index_select(0 if batch_first else 1, order), lengths[order.cpu()]  # type: ignore[attr-defined]


def _checked(sequences: Any) -> list[Tensor]:
    if not isinstance(sequences, (Iterable, Tensor)):
        wanted = "iterable for input sequences"
        raise RuntimeError(f"pad_sequence: Expected {wanted}, but got arg of type: {type(sequences)}")
    rows = list(sequences.unbind(0)) if isinstance(sequences, Tensor) else list(sequences)  # type: ignore[attr-defined]
    for place, row in enumerate(rows):
        if not isinstance(row, Tensor):
            raise TypeError(f"expected Tensor as element {place} in argument 0, but got {type(row).__name__}")
    if not rows:
        raise RuntimeError("received an empty list of sequences")
    first = rows[0]
    for row in rows:
        if not row.ndim:
            raise RuntimeError("pad_sequence: a sequence needs at least one dimension, but one has none")
        for dim, (a, b) in enumerate(zip(first.shape[1:], row.shape[1:], strict=False), 1):
            if a != b and b != 1:
                raise RuntimeError(
                    f"The size of tensor a ({a}) must match the size of tensor b ({b}) at non-singleton dimension {dim}"
                )
        if row.ndim != first.ndim:
            raise RuntimeError(f"pad_sequence: sequences of shapes {list(first.shape)} and {list(row.shape)}")
    return rows


def pad_sequence(
    sequences: Any, batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Tensor:
    """Tensors `(L_i, *)` as one `(L, B, *)`, or `(B, L, *)` with `batch_first`, filled up to the longest.

    The result has the first one's dtype. RuntimeError if there are none, if their other dimensions differ, or for a
    `padding_side` but 'left' and 'right'.
    """
    if padding_side not in ("left", "right"):
        sides = "one of left or right"
        raise RuntimeError(f"Expected padding_side to be {sides}, but got {padding_side}.")
    rows = _checked(sequences)
    first = rows[0]
    longest = max(len(row) for row in rows)
    left = padding_side == "left"
    values = [None if row._tape_edge() is not None else on_host(row) for row in rows]
    if all(value is not None for value in values):  # batches of data: one copy, and no program for each length
        filled = np.full((longest, len(rows), *first.shape[1:]), padding_value).astype(first._np_dtype)
        for place, value in enumerate(values):
            filled[longest - len(rows[place]) if left else 0 :, place][: len(rows[place])] = value
        return from_host(np.ascontiguousarray(filled.swapaxes(0, 1)) if batch_first else filled, first.device)

    def filled_up(row: Tensor) -> Tensor:
        missing = longest - len(row)
        row = row.to(first.dtype).expand(-1, *first.shape[1:])  # type: ignore[attr-defined]
        ends = (missing, 0) if left else (0, missing)
        return pad(row, (0, 0) * (row.ndim - 1) + ends, value=padding_value) if missing else row

    return stack([filled_up(row) for row in rows], 0 if batch_first else 1)


def unpad_sequence(padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False) -> list[Tensor]:
    """The sequences that `pad_sequence` (to the right) put together; `lengths` says where each ends."""
    rows = padded_sequences if batch_first else padded_sequences.transpose(0, 1)  # type: ignore[attr-defined]
    return [row[: int(length)] for row, length in zip(rows, lengths, strict=True)]  # type: ignore[call-overload]


def pack_sequence(sequences: list[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Pack tensors `(L_i, *)`, which have to be in order, the longest first, unless `enforce_sorted` is False."""
    lengths = [len(sequence) for sequence in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The sequences that `pack_sequence` put together."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)


_explain(globals(), "torch.nn.utils.rnn")
