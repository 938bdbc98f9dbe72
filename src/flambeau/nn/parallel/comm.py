"""Tensors to several devices and back, on the device of each in turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...core.dispatch.messages import message
from ...core.tensor.tensor import Tensor
from .scatter_gather import gather as _gather

__all__ = ["broadcast", "broadcast_coalesced", "gather", "reduce_add", "reduce_add_coalesced", "scatter"]


def _targets(devices: Any, out: Any) -> None:
    if (devices is None) == (out is None):
        raise RuntimeError(message("devices_or_out", devices=devices, out=out))


def broadcast(tensor: Tensor, devices: Any = None, *, out: Sequence[Tensor] | None = None) -> tuple[Tensor, ...]:
    """A copy on each of the devices, or in each tensor of `out`."""
    _targets(devices, out)
    if out is not None:
        return tuple(target.copy_(tensor) for target in out)
    return tuple(tensor.to(device) for device in devices)


def broadcast_coalesced(tensors: Sequence[Tensor], devices: Any, buffer_size: int = 10485760) -> list[list[Tensor]]:
    """Copies of several tensors, a list for each device. `buffer_size` is of no concern here."""
    return [[tensor.to(device) for tensor in tensors] for device in devices]


def reduce_add(inputs: Sequence[Tensor], destination: Any = None) -> Tensor:
    """The sum of tensors that lie on GPUs, on the first one's or on `destination`."""
    for i, tensor in enumerate(inputs):
        if tensor.device.type == "cpu":
            raise AssertionError(message("reduce_add_on_cpu", i=i))
        if tensor.shape != inputs[0].shape:
            raise ValueError(
                f"input {i} has invalid size: got {tuple(tensor.shape)}, but expected {tuple(inputs[0].shape)}"
            )
    target = inputs[0].device if destination is None else destination
    total = inputs[0].to(target)
    for tensor in inputs[1:]:
        total = total + tensor.to(target)
    return total


def reduce_add_coalesced(
    inputs: Sequence[Sequence[Tensor]], destination: Any = None, buffer_size: int = 10485760
) -> tuple[Tensor, ...]:
    """`reduce_add` of the first tensors of all lists, of the second ones, and so on."""
    return tuple(reduce_add(parts, destination) for parts in zip(*inputs, strict=True))


def scatter(
    tensor: Tensor, devices: Any = None, chunk_sizes: Sequence[int] | None = None, dim: int = 0, streams: Any = None, *,
    out: Sequence[Tensor] | None = None,
) -> tuple[Tensor, ...]:  # fmt: skip
    """Parts of a tensor along `dim`, one on each of the devices, or in each tensor of `out`. Streams are of no concern here."""
    _targets(devices, out)
    if out is not None:
        sizes = [target.shape[dim] for target in out]
        return tuple(target.copy_(part) for target, part in zip(out, tensor.split(sizes, dim), strict=True))
    parts = tensor.chunk(len(devices), dim) if chunk_sizes is None else tensor.split(list(chunk_sizes), dim)
    return tuple(part.to(device) for part, device in zip(parts, devices, strict=False))


def gather(tensors: Sequence[Tensor], dim: int = 0, destination: Any = None, *, out: Tensor | None = None) -> Tensor:
    """The tensors one behind the other along `dim`, on `destination` (default: the first one's device) or in `out`."""
    if out is not None:
        if destination is not None:
            raise RuntimeError(message("destination_beside_out", destination=destination))
        return out.copy_(_gather(tensors, out.device, dim))
    return _gather(tensors, tensors[0].device if destination is None else destination, dim)
