"""Which part of a tensor a process has."""

from __future__ import annotations

from collections.abc import Sequence

from ..device_mesh import DeviceMesh
from .placement_types import Placement, Shard


def compute_local_shape_and_global_offset(
    global_shape: Sequence[int], mesh: DeviceMesh, placements: Sequence[Placement]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The lengths of this process's part of a tensor, and where it begins."""
    lengths, starts = list(global_shape), [0] * len(global_shape)
    for side, (placement, place) in enumerate(zip(placements, mesh.get_coordinate() or [], strict=True)):
        if isinstance(placement, Shard):
            dim = placement.dim % len(lengths)
            size, start = Shard.local_shard_size_and_offset(lengths[dim], mesh.size(side), place)
            lengths[dim], starts[dim] = size, starts[dim] + start
    return tuple(lengths), tuple(starts)
