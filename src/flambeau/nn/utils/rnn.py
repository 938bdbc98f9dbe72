"""Sequences of different lengths in one tensor."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...core.dispatch.operator import namespaces
from ...core.tensor.tensor import Tensor

__all__ = ["pad_sequence", "unpad_sequence"]


def pad_sequence(
    sequences: Any, batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Tensor:
    """Tensors `(L_i, *)` as one `(L, B, *)`, or `(B, L, *)` with `batch_first`, filled up to the longest.

    RuntimeError if there are none, if their other dimensions differ, or for a `padding_side` but 'left' and 'right'.
    """
    if not isinstance(sequences, (Iterable, Tensor)):
        raise RuntimeError(f"pad_sequence expects an iterable of sequences, but got {type(sequences).__name__}")
    rows = sequences.unbind(0) if isinstance(sequences, Tensor) else list(sequences)
    for row in rows:
        if not isinstance(row, Tensor):
            raise TypeError(f"pad_sequence(): argument 'sequences' must be tuple of Tensors, not {type(row).__name__}")
    if not rows:
        raise RuntimeError("pad_sequence: received an empty list of sequences")
    if padding_side not in ("left", "right"):
        raise RuntimeError(f"pad_sequence: padding_side is 'left' or 'right', not {padding_side!r}")
    tail = rows[0].shape[1:]
    for row in rows:
        if row.shape[1:] != tail:
            raise RuntimeError(
                f"pad_sequence: all sequences need the same sizes after the first, got {list(row.shape)} "
                f"beside {list(rows[0].shape)}"
            )
    longest = max(len(row) for row in rows)
    pad = namespaces["nn.functional"]["pad"]

    def filled(row: Tensor) -> Tensor:
        missing = longest - len(row)
        ends = (missing, 0) if padding_side == "left" else (0, missing)
        return pad(row, (0, 0) * len(tail) + ends, value=padding_value) if missing else row

    return namespaces["torch"]["stack"]([filled(row) for row in rows], 0 if batch_first else 1)


def unpad_sequence(padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False) -> list[Tensor]:
    """The sequences that `pad_sequence` (to the right) put together; `lengths` says where each ends."""
    rows = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    return [row[: int(length)] for row, length in zip(rows, lengths, strict=True)]
