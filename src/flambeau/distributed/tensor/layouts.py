"""Tensors on several devices of one process: how they are cut, put together again, and laid otherwise.

Such a tensor is a `Tensor` like any other: its storage's `jax.Array` has a `NamedSharding`. Operators, the tape and compiled
functions compute with it as with all others, and XLA places the collectives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
from jax._src.array import ArrayImpl

from ...core.array import devices
from ...core.array.meta import MetaArray
from ...core.context.grad_mode import state as grad_state
from ...core.context.tracing import Untraceable
from ...core.dispatch.operator import Array, Static, operator
from ...core.tensor.storage import LaidStorage, Storage, laid
from ...core.tensor.tensor import Tensor, blank
from ..device_mesh import DeviceMesh
from . import processes
from .placement_types import Partial, Placement, Replicate, Shard

NamedSharding = jax.sharding.NamedSharding


def grid_of(mesh: DeviceMesh) -> jax.sharding.Mesh:
    """JAX's mesh of a mesh."""
    if not isinstance(mesh, DeviceMesh):
        raise TypeError(f"expected a DeviceMesh, got {type(mesh).__name__}")
    return mesh.grid


def known_sharding_of(tensor: Tensor) -> NamedSharding | None:
    """How a tensor lies on a mesh; None for all others, and for values that are only being traced."""
    storage = tensor._storage
    if type(storage) is not Storage and type(storage) is not LaidStorage:
        return None
    value = tensor._array
    if type(value) is MetaArray and type(storage) is LaidStorage:
        found: Any = storage.host
        return found
    if isinstance(value, jax.core.Tracer):
        value = storage.value if tensor._view is None else None  # what a traced function finds outside of it has values
    return value.sharding if isinstance(value, ArrayImpl) and isinstance(value.sharding, NamedSharding) else None


def sharding_of(tensor: Tensor) -> NamedSharding | None:
    """The same, for who must know: what is computed inside a compiled function has not been laid yet, and makes it run
    uncompiled."""
    found = known_sharding_of(tensor)
    if found is None and grad_state.trace is not None and isinstance(tensor._array, jax.core.Tracer):
        raise Untraceable(
            "it asks how a tensor lies on a mesh, which is not known while a function is being compiled: ask outside, or of a "
            "module's parameters"
        )
    return found


def _entries(sharding: NamedSharding, ndim: int) -> list[tuple[str, ...]]:
    """The sides of the mesh along which each dimension of the tensor is cut."""
    spec = (*sharding.spec, *[None] * (ndim - len(sharding.spec)))
    return [() if e is None else (e,) if isinstance(e, str) else tuple(e) for e in spec]


def placements_of(sharding: NamedSharding, ndim: int, mesh: DeviceMesh) -> tuple[Placement, ...]:
    """The same in PyTorch's words: for each side of the mesh, how the tensor lies along it."""
    entries = _entries(sharding, ndim)
    cut = {side: dim for dim, sides in enumerate(entries) for side in sides}
    return tuple(Shard(cut[side]) if side in cut else Replicate() for side in mesh.sides)


def checked(mesh: DeviceMesh, placements: Sequence[Placement] | None, ndim: int) -> tuple[Placement, ...]:
    """The placements, with dimensions from the front. ValueError, IndexError or NotImplementedError for those that can't be."""
    given = tuple(placements) if placements is not None else (Replicate(),) * mesh.ndim
    if len(given) != mesh.ndim:
        raise ValueError(
            f"`placements` must have the same length as `device_mesh.ndim`! Found placements length: {len(given)}, and "
            f"device_mesh.ndim: {mesh.ndim}."
        )
    made: list[Placement] = []
    for placement in given:
        if isinstance(placement, Partial):
            raise NotImplementedError(
                f"{placement!r}: sums that are still to be made are XLA's own here, and no tensor holds one: use Replicate() or Shard()"
            )
        if type(placement) is Shard:
            if not -ndim <= placement.dim < ndim:
                raise IndexError(
                    f"Dimension out of range (expected to be in range of [{-ndim}, {ndim - 1}], but got {placement.dim})"
                )
            placement = Shard(placement.dim % ndim)
        elif type(placement) is not Replicate:
            raise NotImplementedError(f"the placement {placement!r}: there are Shard(dim) and Replicate()")
        made.append(placement)
    return tuple(made)


def sharding_for(
    mesh: DeviceMesh, placements: Sequence[Placement] | None, shape: Sequence[int], before: NamedSharding | None = None
) -> NamedSharding:
    """JAX's words for placements; along sides that the mesh does not have, `before` stays. NotImplementedError if a dimension
    can't be cut into equal parts."""
    grid = grid_of(mesh)
    entries: list[tuple[str, ...]] = [()] * len(shape)
    if before is not None and before.mesh == grid:
        entries = [tuple(s for s in sides if s not in mesh.sides) for sides in _entries(before, len(shape))]
    for side, placement in zip(mesh.sides, checked(mesh, placements, len(shape)), strict=True):
        if isinstance(placement, Shard):
            entries[placement.dim] += (side,)
    order = {side: i for i, side in enumerate(grid.axis_names)}
    entries = [tuple(sorted(sides, key=order.__getitem__)) for sides in entries]
    for dim, sides in enumerate(entries):
        count = 1
        for side in sides:
            count *= grid.shape[side]
        if shape[dim] % count:
            raise NotImplementedError(
                f"dimension {dim} of a tensor of shape {list(shape)} can't be cut into {count} equal parts, and unequal ones are "
                "not there: cut another dimension, pad it, or use Replicate()"
            )
    return NamedSharding(grid, jax.sharding.PartitionSpec(*[s[0] if len(s) == 1 else s or None for s in entries]))


@operator(methods=False, public=(), narrow=True, grad="Redistribute")
def _relaid(tensor: Array, *, sharding: Static) -> Array:
    return jax.lax.with_sharding_constraint(tensor, sharding)


def relaid(tensor: Tensor, sharding: NamedSharding) -> Tensor:
    """The same values, laid otherwise; gradients go through."""
    return _relaid(tensor, sharding=sharding)


def whole_of(tensor: Tensor) -> Tensor:
    """The same values on one device; gradients go through. Inside a compiled function, they are on all devices."""
    sharding = sharding_of(tensor)
    if sharding is None:
        return tensor
    if devices.is_far(sharding):
        return processes.Whole.apply(tensor, sharding)
    made = relaid(tensor, NamedSharding(sharding.mesh, jax.sharding.PartitionSpec()))
    value = made._storage.value
    if not isinstance(value, jax.core.Tracer):
        first = value.addressable_shards[0].data
        where = next(iter(first.devices()))
        made._storage.value = devices.unbound(first, where) if devices.is_free(where) else first
    return made


def pin(tensor: Tensor, sharding: NamedSharding) -> None:
    """Lay a leaf's values in place: the tensor stays the same object, and whatever is written to it is laid so."""
    made = blank(Tensor, laid(tensor._array, sharding))
    tensor._repoint(made)


def pinned(tensor: Tensor, sharding: NamedSharding) -> Tensor:
    """A new leaf with these values, laid so."""
    made: Any = blank(type(tensor), laid(tensor._array, sharding))
    if tensor.requires_grad:
        made.requires_grad_()
    return made


def bytes_per_device(tensor: Tensor) -> int:
    """How many bytes of a tensor's storage the device that holds most of it has."""
    value = tensor._storage.value
    if type(value) is MetaArray:
        return 0
    held: dict[Any, int] = {}
    for shard in value.addressable_shards:
        held[shard.device] = held.get(shard.device, 0) + shard.data.nbytes
    return max(held.values(), default=0)
