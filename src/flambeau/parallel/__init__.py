"""A model on several devices of one process in one line: `shard(model, "fsdp")`; `explain(model)` says what lies where."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..distributed.device_mesh import DeviceMesh, side_of
from ..distributed.fsdp.sharding import all_devices, cut, cut_inputs, fully_shard
from ..distributed.tensor import layouts
from ..distributed.tensor.dtensor import distribute_parameter
from ..distributed.tensor.parallel.styles import ColwiseParallel, RowwiseParallel
from ..distributed.tensor.placement_types import Replicate
from ..nn.modules.linear import Linear
from ..nn.modules.module import Module
from ..nn.modules.sparse import Embedding
from .sent import of_step
from .within import in_process

__all__ = ["explain", "in_process", "shard"]

_WAYS = ("data", "fsdp", "tensor")


def shard(model: Module, how: str, mesh: DeviceMesh | None = None) -> Module:
    """Lay a model over a mesh of devices; the numbers stay those of one device.

    `how` says it for each side of the mesh, from its first: "data" (whole parameters, cut batches), "fsdp" (parameters cut as by
    `fully_shard`, cut batches), "tensor" (each Linear cut along the longer of its sides, each Embedding along its features); so
    "data,tensor" is for a mesh of two sides. Without a mesh, all devices of this process are one side. ValueError for other words.
    """
    mesh = all_devices() if mesh is None else mesh
    layouts.grid_of(mesh)
    ways = [way.strip() for way in how.split(",")]
    if len(ways) != mesh.ndim or not set(ways) <= set(_WAYS) or len(set(ways)) != len(ways):
        raise ValueError(
            f"how={how!r}: one of {_WAYS} for each of the {mesh.ndim} sides of {mesh}, separated by commas"
        )
    sides = {way: mesh if mesh.ndim == 1 else side_of(mesh, (mesh.sides[i],), [i]) for i, way in enumerate(ways)}
    if "tensor" in sides:
        _cut_layers(model, sides["tensor"])
    batch = [side for way, side in sides.items() if way != "tensor"]
    if "fsdp" in sides:
        for parameter in model.parameters():
            cut(parameter, sides["fsdp"])
    for part in model.modules():
        for name, tensor in (*part._parameters.items(), *part._buffers.items()):
            if tensor is not None and layouts.sharding_of(tensor) is None:
                distribute_parameter(part, name, mesh, [Replicate()] * mesh.ndim)
    if batch:
        both = mesh if len(batch) == mesh.ndim else batch[0]
        cut_inputs(model, both)
    return model


def _cut_layers(model: Module, mesh: DeviceMesh) -> None:
    """Cut the layers that can be cut into equal parts. A weight that several layers have is cut once."""
    seen: set[int] = set()
    for part in model.modules():
        if not isinstance(part, (Linear, Embedding)) or id(part.weight) in seen:
            continue
        seen.add(id(part.weight))
        rows, columns = part.weight.shape
        by_rows = isinstance(part, Linear) and columns > rows
        length = columns if by_rows or isinstance(part, Embedding) else rows
        if length % mesh.size() == 0:
            (RowwiseParallel() if by_rows else ColwiseParallel(output_layouts=None))._apply(part, mesh)


def explain(model: Module, optimizer: Any = None, step: Callable[[], Any] | None = None) -> str:
    """What of a model lies where: for each parameter and buffer its shape, how it lies on its mesh, and the bytes of it that one
    device has; the sums, also those of an optimizer's state. `print(explain(model))`.

    With `step`, a function that is run for it, also what a step sends: its collectives, how often each, and the bytes that a process
    (or device) gives, or gets where that is more. In several processes these are the collectives of DistributedDataParallel,
    `fully_shard` and one's own (what XLA sends for tensors that are cut over processes is not seen); on several devices of one
    process, those in the step's program, and ValueError for a step that is no function from `flambeau.compile`, or was called before.
    """
    sent = None if step is None else of_step(step)
    rows: list[tuple[str, str, str, int, int]] = []
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        rows.append((name, *_row(tensor)))
    if optimizer is not None:
        names = {id(p): n for n, p in model.named_parameters()}
        for parameter, state in optimizer.state.items():
            for key, tensor in state.items():
                if hasattr(tensor, "_storage"):
                    rows.append((f"{names.get(id(parameter), '?')} ({key})", *_row(tensor)))
    whole, most = sum(row[3] for row in rows), sum(row[4] for row in rows)
    table = [("name", "shape", "placements", "bytes", "bytes per device")]
    table += [(name, shape, laid, f"{a:,}", f"{b:,}") for name, shape, laid, a, b in rows]
    table.append(("sum", "", f"{most / max(whole, 1):.3f} of the whole on each device", f"{whole:,}", f"{most:,}"))
    text = _shown(table, 3)
    if sent is None:
        return text
    rows_sent = [(name, f"{calls:,}", f"{size:,}") for name, (calls, size) in sorted(sent.items())]
    total = (sum(calls for calls, _ in sent.values()), sum(size for _, size in sent.values()))
    return f"{text}\n\n" + _shown(
        [("collectives of a step", "calls", "bytes"), *rows_sent, ("sum", f"{total[0]:,}", f"{total[1]:,}")], 1
    )


def _shown(table: list[Any], texts: int) -> str:
    """A table, its first columns to the left, its numbers to the right."""
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    return "\n".join(
        "  ".join(
            c.ljust(w) if i < texts else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    )


def _row(tensor: Any) -> tuple[str, str, int, int]:
    """A tensor's shape, placements, bytes, and bytes on the device that has most of it."""
    sharding = layouts.sharding_of(tensor)
    laid = "one device" if sharding is None else ", ".join(map(str, tensor.placements))
    return str(list(tensor.shape)), laid, tensor.nbytes, layouts.bytes_per_device(tensor)
