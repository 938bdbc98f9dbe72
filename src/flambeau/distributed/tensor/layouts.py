"""Tensors on several devices of one process: how they are cut, put together again, and laid otherwise.

Such a tensor is a `Tensor` like any other: its storage's `jax.Array` has a `NamedSharding`. Operators, the tape and compiled
functions compute with it as with all others, and XLA places the collectives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
from jax._src.array import ArrayImpl

from ...core.array import devices
from ...core.array.meta import MetaArray
from ...core.context.grad_mode import state as grad_state
from ...core.context.tracing import Untraceable
from ...core.dispatch.messages import message
from ...core.dispatch.operator import Array, Static, operator
from ...core.tensor.storage import LaidStorage, PartsStorage, Storage, laid
from ...core.tensor.tensor import Tensor, blank
from ..device_mesh import DeviceMesh, mesh_of
from . import along, crossing, parts, tracked
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
    if type(storage) is PartsStorage:
        held: Any = storage.host.sharding if tensor._view is None or not storage.host.even else tensor._array.sharding
        return held
    if type(storage) is not Storage and type(storage) is not LaidStorage:
        return None
    value = tensor._array if tensor._view is None or grad_state.trace is not None else along.seen(tensor)
    if type(value) is MetaArray and type(storage) is LaidStorage:
        found: Any = storage.host
        return found
    if isinstance(value, jax.core.Tracer):
        if (found := tracked.sharding_of(tensor)) is not None:
            return found
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


def lies_on_a_mesh(tensor: Tensor) -> bool:
    """Whether a tensor lies on a mesh. While a function is traced, of what is not known to do so it is taken that it does not: a
    program that was made so and for which this is not true is refused when it is built.
    """
    if grad_state.trace is not None and tracked.mesh_for(tensor) is not None:
        return True
    return known_sharding_of(tensor) is not None


def is_between_processes(tensor: Tensor, sharding: NamedSharding) -> bool:
    """Whether a tensor that lies so is one of several processes, or of a side of one of their mesh in a program of them."""
    return devices.is_far(sharding) or (crossing.is_traced(tensor) and tracked.mesh_for(tensor) is not None)


def _entries(sharding: NamedSharding, ndim: int) -> list[tuple[str, ...]]:
    """The sides of the mesh along which each dimension of the tensor is cut."""
    spec = (*sharding.spec, *[None] * (ndim - len(sharding.spec)))
    return [() if e is None else (e,) if isinstance(e, str) else tuple(e) for e in spec]


def placements_along(tensor: Tensor) -> tuple[Placement, ...]:
    """How a tensor on a mesh lies along each side of it."""
    held = parts.of(tensor)
    if held is not None:
        return held.placements
    sharding: Any = known_sharding_of(tensor)
    return placements_of(sharding, tensor.ndim, mesh_of(sharding.mesh))


def placements_of(sharding: NamedSharding, ndim: int, mesh: DeviceMesh) -> tuple[Placement, ...]:
    """The same in PyTorch's words: for each side of the mesh, how the tensor lies along it."""
    entries = _entries(sharding, ndim)
    cut = {side: dim for dim, sides in enumerate(entries) for side in sides}
    return tuple(Shard(cut[side]) if side in cut else Replicate() for side in mesh.sides)


def checked(
    mesh: DeviceMesh, placements: Sequence[Placement] | None, ndim: int, sums: bool = False
) -> tuple[Placement, ...]:
    """The placements, with dimensions from the front. ValueError, IndexError, RuntimeError or NotImplementedError for those that
    can't be, which `Partial` can with `sums`."""
    given = tuple(placements) if placements is not None else (Replicate(),) * mesh.ndim
    if len(given) != mesh.ndim:
        raise ValueError(
            f"`placements` must have the same length as `device_mesh.ndim`! Found placements length: {len(given)}, and "
            f"device_mesh.ndim: {mesh.ndim}."
        )
    made: list[Placement] = []
    for placement in given:
        if isinstance(placement, Partial):
            if not sums:
                raise NotImplementedError(
                    f"{placement!r}: in one process, and for values that are whole, there are no sums still to be made: use "
                    "Replicate() or Shard(), or DTensor.from_local in several processes"
                )
        elif type(placement) is Shard:
            if not -ndim <= placement.dim < ndim:
                raise AssertionError(f"Sharding dim {placement.dim} greater than tensor ndim {ndim}")
            placement = Shard(placement.dim % ndim)
        elif type(placement) is not Replicate:
            raise RuntimeError(
                f"Trying to distribute tensor with unsupported placements {placement} on device mesh dimension {len(made)}! "
                "There are Shard(dim), Replicate() and Partial()"
            )
        made.append(placement)
    kinds = {placement.reduce_op for placement in made if isinstance(placement, Partial)}
    if len(kinds) > 1 and kinds != {"sum", "avg"}:
        raise ValueError(message("mixed_partial_kinds", kinds=kinds))
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
                f"dimension {dim} of a tensor of shape {list(shape)} can't be cut into {count} equal parts: cut another dimension, "
                "pad it, or use Replicate()"
            )
    return NamedSharding(grid, jax.sharding.PartitionSpec(*[s[0] if len(s) == 1 else s or None for s in entries]))


class Unequal(NamedTuple):
    """How a tensor lies that can't be cut into equal parts: on all sides of a mesh."""

    mesh: DeviceMesh
    placements: tuple[Placement, ...]


Layout = NamedSharding | Unequal


def layout_for(
    mesh: DeviceMesh, placements: Sequence[Placement] | None, shape: Sequence[int], before: NamedSharding | None = None
) -> Layout:
    """`sharding_for`, or in its place what says of unequal parts how they lie."""
    given = checked(mesh, placements, len(shape))
    root = mesh if mesh.several else mesh_of(grid_of(mesh))
    along = dict(zip(mesh.sides, given, strict=True))
    if before is not None and before.mesh == grid_of(mesh):
        others = placements_of(before, len(shape), root)
        along = dict(zip(root.sides, others, strict=True)) | along
    every = tuple(along.get(side, Replicate()) for side in root.sides)
    if parts.is_even(shape, root, every):
        return sharding_for(mesh, given, shape, before)
    return Unequal(root, every)


def layout_of(tensor: Tensor) -> Any:
    """How a tensor lies on a mesh: a sharding, or what says of unequal parts how they lie; None if it lies on none."""
    held = parts.of(tensor)
    return sharding_of(tensor) if held is None else Unequal(held.mesh, held.placements)


@operator(methods=False, public=(), narrow=True, grad="Redistribute")
def _relaid(tensor: Array, *, sharding: Static) -> Array:
    return jax.lax.with_sharding_constraint(tensor, sharding)


def relaid(tensor: Tensor, layout: Layout) -> Tensor:
    """The same values, laid otherwise; gradients go through."""
    if crossing.is_traced(tensor) and tracked.mesh_for(tensor) is not None:
        return crossing.relaid_in_program(tensor, layout)
    if isinstance(layout, Unequal):
        made: Tensor = crossing.Cut.apply(tensor, *layout)
        return made
    held = parts.of(tensor)
    if held is not None and held.mesh.several and held.mesh.grid == layout.mesh:
        wanted = placements_of(layout, tensor.ndim, held.mesh)
        sides = [i for i, (old, new) in enumerate(zip(held.placements, wanted, strict=True)) if old != new]
        new = wanted[sides[0]] if len(sides) == 1 else None
        if isinstance(new, Shard) and wanted.count(new) == 1 and getattr(held.placements[sides[0]], "scatters", False):
            made = crossing.Scatter.apply(tensor, sides[0], new.dim, layout)
            return made
    return _relaid(tensor, sharding=layout)


def whole_of(tensor: Tensor) -> Tensor:
    """The same values on one device; gradients go through. Inside a compiled function, they are on all devices."""
    sharding = sharding_of(tensor)
    if sharding is None:
        return tensor
    if is_between_processes(tensor, sharding):
        return crossing.Whole.apply(tensor, sharding)
    made = relaid(tensor, NamedSharding(sharding.mesh, jax.sharding.PartitionSpec()))
    value = made._storage.value
    if not isinstance(value, jax.core.Tracer):
        first = value.addressable_shards[0].data
        where = next(iter(first.devices()))
        named = isinstance(
            first.sharding, NamedSharding
        )  # of a mesh of one device it is the whole array, which lies on the mesh
        made._storage.value = devices.unbound(first, where) if named or devices.is_free(where) else first
    return made


def _stored(values: Any, layout: Layout) -> Storage:
    return PartsStorage(parts.cut(values, *layout)) if isinstance(layout, Unequal) else laid(values, layout)


def pin(tensor: Tensor, layout: Layout) -> None:
    """Lay a leaf's values in place: the tensor stays the same object, and whatever is written to it is laid so."""
    tensor._repoint(blank(Tensor, _stored(tensor._array, layout)))


def pinned(tensor: Tensor, layout: Layout) -> Tensor:
    """A new leaf with these values, laid so."""
    made: Any = blank(type(tensor), _stored(tensor._array, layout))
    if tensor.requires_grad:
        made.requires_grad_()
    return made


def bytes_per_device(tensor: Tensor) -> int:
    """How many bytes of a tensor's storage the device that holds most of it has."""
    if type(tensor._storage) is PartsStorage:
        return max(part.nbytes for part in tensor._storage.host.held)
    value = tensor._storage.value
    if type(value) is MetaArray:
        return 0
    held: dict[Any, int] = {}
    for shard in value.addressable_shards:
        held[shard.device] = held.get(shard.device, 0) + shard.data.nbytes
    return max(held.values(), default=0)
