"""Packed sequences: rows of all sequences, step by step, with the number of sequences that have each step."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...core.dispatch.operator import Array, composite, operator
from ...core.tensor.tensor import Tensor, from_host
from ..support.checks import on_host, type_name


def _places(sizes: jax.Array, steps: int, batch: int, count: int) -> tuple[jax.Array, jax.Array]:
    """Where in the packed rows each step of each sequence is (behind the end if it has no such step); which there are."""
    sizes = jnp.concatenate([sizes, jnp.zeros(steps - sizes.shape[0], sizes.dtype)])
    rank = jnp.arange(batch, dtype=sizes.dtype)
    mask = rank < sizes[:, None]
    return jnp.where(mask, (jnp.cumsum(sizes) - sizes)[:, None] + rank, count), mask


@operator(methods=False, public=(), grad="CopySlices")
def padded(data: Array, sizes: Array, *, steps: int, batch: int, value: float = 0.0) -> Any:
    """Packed rows as `(steps, batch, *)`, filled up with `value`; and which elements of that are there."""
    places, mask = _places(sizes, steps, batch, data.shape[0])
    there = mask.reshape(mask.shape + (1,) * (data.ndim - 1))
    return jnp.where(there, data[places], jnp.asarray(value).astype(data.dtype)), mask


def _packed_label(arrays: Any, statics: dict[str, Any]) -> str:
    return "CatBackward0" if statics["computed"] else "PackPaddedSequenceBackward0"


@operator(methods=False, public=(), grad=_packed_label)
def packed(input: Array, sizes: Array, *, count: int, computed: bool = False) -> Array:
    """The rows of `(T, B, *)` that are there, step by step: `(count, *)`. `computed`: they are a layer's outputs."""
    step = jnp.repeat(jnp.arange(sizes.shape[0]), sizes, total_repeat_length=count)
    rank = jnp.arange(count) - (jnp.cumsum(sizes) - sizes)[step]
    return input[step, rank]


def rounded_steps(steps: int) -> int:
    """The steps that a loop over packed sequences makes for these: up to an eighth more, so that few programs do for all."""
    grain = 1 << max(steps.bit_length() - 4, 0)
    return -(-steps // grain) * grain


def check_sizes(data: Any, sizes: Any) -> None:
    """RuntimeError if batch sizes can't be those of these packed rows."""
    if sizes.ndim != 1 or type_name(sizes._array) != "Long":
        raise RuntimeError(f"batch_sizes should be a 1D int64 tensor, but got {list(sizes.shape)} of {sizes.dtype}")
    if len(sizes) == 0:
        raise RuntimeError("batch_sizes can not be empty")
    values = on_host(sizes)
    if values is not None and int(values.sum()) != len(data):
        raise RuntimeError(f"batch_sizes are of {int(values.sum())} rows, but the packed data has {len(data)}")
    if values is not None and (values[1:] > values[:-1]).any():
        raise RuntimeError(f"batch_sizes must not increase, but they are {values.tolist()}")


# --- on the way to and from `nn.utils.rnn` -----------------------------------------------------------------------------------


def _on_host(numbers: Tensor) -> np.ndarray:
    """Lengths or batch sizes as NumPy's, since the sizes of results follow from them."""
    if numbers.ndim != 1 or type_name(numbers._array) != "Long":
        raise RuntimeError(
            f"'lengths' argument should be a 1D CPU int64 tensor, but got {numbers.ndim}D {numbers.device.type} "
            f"{type_name(numbers._array)} tensor"
        )
    return np.asarray(numbers.tolist(), np.int64)


@composite(methods=False)
def _pack_padded_sequence(input: Any, lengths: Any, batch_first: bool) -> tuple[Any, Any]:
    """The rows of `(T, B, *)` (or `(B, T, *)`) that sequences of these decreasing lengths have, and the batch sizes."""
    if input.numel() == 0:
        raise RuntimeError("Cannot pack empty tensors.")
    rows = input.transpose(0, 1) if batch_first else input
    batch = rows.size(1)  # IndexError if there is no such dimension
    counts = _on_host(lengths)
    if len(counts) != batch:
        raise RuntimeError(
            f"Expected `len(lengths)` to be equal to batch_size, but got {len(counts)} (batch_size={batch})"
        )
    if counts[-1] <= 0:  # of those in order, the least
        raise RuntimeError(
            "Length of all samples has to be greater than 0, but found an element in 'lengths' that is <= 0"
        )
    if (counts[1:] > counts[:-1]).any():
        raise RuntimeError(
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You can pass "
            "`enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to sidestep this requirement "
            "if you do not need ONNX exportability."
        )
    if counts[0] > len(rows):
        raise RuntimeError(f"a sequence of length {counts[0]} can't lie in an input with {len(rows)} steps")
    sizes = from_host((np.arange(counts[0])[:, None] < counts).sum(1), "cpu")
    return packed(rows, sizes, count=int(counts.sum())), sizes


@composite(methods=False)
def _pad_packed_sequence(
    data: Any, batch_sizes: Any, batch_first: bool, padding_value: float, total_length: int
) -> tuple[Any, Any]:
    """Packed rows as `(T, B, *)` (or `(B, T, *)`), and the lengths; a `total_length` > 0 fills up to so many steps."""
    check_sizes(data, batch_sizes)
    sizes = _on_host(batch_sizes)
    steps = len(sizes)
    if total_length > 0:
        if total_length < steps:
            raise ValueError(
                "Expected total_length to be at least the length of the longest sequence in input, but got "
                f"total_length={total_length} and max sequence length being {steps}"
            )
        steps = total_length
    rows, _ = padded(data, batch_sizes, steps=steps, batch=int(sizes[0]), value=padding_value)
    lengths = from_host((sizes[:, None] > np.arange(sizes[0])).sum(0), "cpu")
    return rows.transpose(0, 1) if batch_first else rows, lengths
