"""Tensors that lie on a mesh of devices of one process: their class, how they may lie, and how they are made."""

from ..device_mesh import DeviceMesh, init_device_mesh
from .dtensor import (
    DTensor,
    distribute_module,
    distribute_tensor,
    empty,
    full,
    ones,
    rand,
    randn,
    zeros,
)
from .placement_types import Partial, Placement, Replicate, Shard

__all__ = [
    "DTensor", "Partial", "Placement", "Replicate", "Shard", "distribute_module", "distribute_tensor", "empty", "full", "ones",
    "rand", "randn", "zeros",
]  # fmt: skip
