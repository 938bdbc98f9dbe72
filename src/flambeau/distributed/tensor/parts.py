"""Tensors whose parts JAX has no array for: of unequal lengths (as `torch.chunk` cuts them), or still to be added up (`Partial`).

A process has its own part; on a mesh of devices of one process, each device has one. Whoever asks for the values gets the whole,
which all processes put together at that moment.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from ...core.array import devices, geometry
from ...core.array.meta import MetaArray
from ...core.tensor.storage import PartsStorage
from ...core.tensor.tensor import Tensor, blank
from ...processes.patterns import ALL_GATHER, ALL_REDUCE, REDUCE_SCATTER
from ..device_mesh import DeviceMesh
from .placement_types import Partial, Placement, Shard, _NormPartial
from .processes import NamedSharding, assembled, part_of, together

Lengths = tuple[int, ...]
Box = tuple[tuple[int, int], ...]  # where a part begins and ends, along each dimension


def box_of(shape: Sequence[int], mesh: DeviceMesh, placements: Sequence[Placement], at: Sequence[int]) -> Box:
    """Which part of a tensor the process (or device) at a place of the mesh has."""
    lengths, starts = list(shape), [0] * len(shape)
    for side, (placement, place) in enumerate(zip(placements, at, strict=True)):
        if isinstance(placement, Shard):
            dim = placement.dim
            lengths[dim], start = Shard.local_shard_size_and_offset(lengths[dim], mesh.size(side), place)
            starts[dim] += start
    return tuple((start, start + length) for start, length in zip(starts, lengths, strict=True))


def is_even(shape: Sequence[int], mesh: DeviceMesh, placements: Sequence[Placement]) -> bool:
    """Whether all parts have the same lengths."""
    counts = [1] * len(shape)
    for side, placement in enumerate(placements):
        if isinstance(placement, Shard):
            counts[placement.dim] *= mesh.size(side)
    return not any(n % count for n, count in zip(shape, counts, strict=True))


def sliced(values: Any, box: Box) -> Any:
    """A part of an array."""
    return values[tuple(slice(*ends) for ends in box)]


def reduced(part: np.ndarray, placement: Partial, group: Any) -> np.ndarray:
    """The reduction of all processes' parts along a side."""
    if not isinstance(placement, _NormPartial):
        return together(group, ALL_REDUCE, part, placement.reduce_op.upper())
    p = float(placement.norm_type)
    if np.isinf(p):
        return together(group, ALL_REDUCE, part, "MAX" if p > 0 else "MIN")
    if p == 0:
        return together(group, ALL_REDUCE, part, "SUM")
    return np.asarray(together(group, ALL_REDUCE, part**p, "SUM") ** (1 / p), part.dtype)


def gathered(part: np.ndarray, length: int, dim: int, group: Any) -> np.ndarray:
    """The parts of a dimension of this length, one after the other."""
    n = group.size()
    sizes = [Shard.local_shard_size_and_offset(length, n, place)[0] for place in range(n)]
    room = [(0, sizes[0] - part.shape[d] if d == dim else 0) for d in range(part.ndim)]
    rows = together(group, ALL_GATHER, np.pad(part, room))
    return np.concatenate([row.take(range(size), dim) for row, size in zip(rows, sizes, strict=True)], axis=dim)


def sharding_of(shape: Sequence[int], mesh: DeviceMesh, placements: Sequence[Placement]) -> NamedSharding:
    """How a tensor in equal parts lies; one in unequal parts is whole everywhere."""
    entries: list[tuple[str, ...]] = [()] * len(shape)
    if is_even(shape, mesh, placements):
        for name, placement in zip(mesh.sides, placements, strict=True):
            if isinstance(placement, Shard):
                entries[placement.dim] += (name,)
    return NamedSharding(mesh.grid, jax.sharding.PartitionSpec(*[e or None for e in entries]))


class Parts:
    """Parts of a tensor, and how they lie: `held` is this process's, or those of all devices in the order of the mesh."""

    def __init__(self, held: Sequence[Any], mesh: DeviceMesh, placements: Sequence[Placement], shape: Sequence[int]):
        self.held, self.mesh, self.placements, self.shape = tuple(held), mesh, tuple(placements), tuple(shape)
        self.dtype: np.dtype = np.dtype(held[0].dtype)
        self.even: bool = is_even(self.shape, mesh, self.placements)
        self.keeps: bool = not any(isinstance(p, Partial) for p in self.placements)
        self._whole: Any = None

    @property
    def part(self) -> Any:
        """This process's part, or the first device's."""
        return self.held[0]

    @property
    def box(self) -> Box:
        """Where that lies."""
        return box_of(self.shape, self.mesh, self.placements, self.mesh.get_coordinate() or ())

    @property
    def sharding(self) -> NamedSharding:
        """How the whole lies, once it is put together."""
        return sharding_of(self.shape, self.mesh, self.placements)

    @property
    def device(self) -> devices.device:
        """Where the parts lie."""
        return devices.META if type(self.part) is MetaArray else devices.device(self.mesh.device_type)

    def whole(self) -> Any:
        """All of it, as an array on the mesh. All processes ask for it at once. It is kept as long as somebody has it."""
        found = None if self._whole is None else self._whole()
        if found is None:
            if type(self.part) is MetaArray:
                return MetaArray(self.shape, self.dtype)
            with jax.ensure_compile_time_eval():  # values are an input of a trace, and no constant in it
                found = self._joined() if self.mesh.several else self._put_together()
            self._whole = weakref.ref(found)
        return found

    def _joined(self) -> Any:
        part, lengths = np.asarray(self.part), []
        ends = list(self.shape)
        for side, placement in enumerate(self.placements):  # how long each cut dimension was before the cut
            dim = placement.dim if isinstance(placement, Shard) else -1
            lengths.append(ends[dim] if dim >= 0 else 0)
            if dim >= 0:
                place = self.mesh.get_local_rank(side)
                ends[dim] = Shard.local_shard_size_and_offset(ends[dim], self.mesh.size(side), place)[0]
        for side in reversed(range(self.mesh.ndim)):
            placement = self.placements[side]
            if isinstance(placement, Partial):
                part = reduced(part, placement, self.mesh.get_group(side))
            elif isinstance(placement, Shard) and not self.even:
                part = gathered(part, lengths[side], placement.dim, self.mesh.get_group(side))
        return assembled(part, self.sharding)

    def _put_together(self) -> Any:
        found = np.empty(self.shape, self.dtype)
        for at, part in zip(np.ndindex(*self.mesh.shape), self.held, strict=True):
            sliced(found, box_of(self.shape, self.mesh, self.placements, at))[...] = np.asarray(part)
        return jax.device_put(found, self.sharding)

    # --- in a program of all processes --------------------------------------------------------------------------------

    @property
    def padding(self) -> tuple[int, int] | None:
        """The one dimension that is cut, and how long it is with zeros behind, so that all parts are of one length; None if there is
        no such dimension."""
        cut = [p for p in self.placements if isinstance(p, Shard)]
        if len(cut) != 1 or not self.keeps or type(self.part) is MetaArray:
            return None
        n = self.mesh.size(self.placements.index(cut[0]))
        return cut[0].dim, -(-self.shape[cut[0].dim] // n) * n

    @property
    def padded_sharding(self) -> NamedSharding:
        """How the padded whole lies."""
        entries = [p.dim if isinstance(p, Shard) else None for p in self.placements]
        by_dim = {dim: side for dim, side in zip(entries, self.mesh.sides, strict=True) if dim is not None}
        return NamedSharding(self.mesh.grid, jax.sharding.PartitionSpec(*map(by_dim.get, range(len(self.shape)))))

    def padded(self) -> Any:
        """The padded whole, of which each process holds its part."""
        assert self.padding is not None
        sharding = self.padded_sharding
        dim, length = self.padding
        part, room = np.asarray(self.part), length // sharding.mesh.shape[sharding.spec[dim]]
        return assembled(np.pad(part, [(0, room - n if d == dim else 0) for d, n in enumerate(part.shape)]), sharding)

    def of_padded(self, array: Any) -> Parts:
        """The parts of another padded whole that lies so."""
        part = array.addressable_shards[0].data
        return self.with_one(
            devices.from_numpy(np.array(sliced(np.asarray(part), tuple((0, b - a) for a, b in self.box))))
        )

    def stand_in(self) -> Any:
        """An array with the shape and place of the whole, for a trace, which looks at no values."""
        if type(self.part) is MetaArray or not self.mesh.several:
            return self.whole()
        sharding = NamedSharding(self.mesh.grid, jax.sharding.PartitionSpec())
        with jax.ensure_compile_time_eval():
            return assembled(np.zeros(self.shape, self.dtype), sharding)

    @property
    def one(self) -> Any:
        """The values that this process has, if it has one part and that is no sum to be made; else None."""
        return self.part if self.mesh.several and self.keeps else None

    def twin(self) -> Parts:
        """The same parts, for another storage: arrays that two hold are not written over."""
        return Parts(list(self.held), self.mesh, self.placements, self.shape)

    def with_one(self, value: Any) -> Parts:
        """The same with other values in this process's part. All processes do it."""
        return Parts([value], self.mesh, self.placements, self.shape)

    def lies_as(self, other: Parts) -> bool:
        """Whether the parts are those of the same places."""
        return (self.mesh.grid, self.placements, self.shape) == (other.mesh.grid, other.placements, other.shape)

    def cut(self, value: Any) -> Parts | None:
        """The parts of other values of this shape, which lie so; None where sums are to be made: those are not cut."""
        if isinstance(value, Parts):
            return value
        return cut(value, self.mesh, self.placements) if self.keeps else None


def cut(value: Any, mesh: DeviceMesh, placements: Sequence[Placement]) -> Parts:
    """Parts of values that are the same in all processes, or lie on the mesh."""
    shape = tuple(value.shape)
    if type(value) is MetaArray:
        box = box_of(shape, mesh, placements, mesh.get_coordinate() or ())
        return Parts([MetaArray([b - a for a, b in box], value.dtype)], mesh, placements, shape)
    if isinstance(value, jax.Array) and devices.is_far(value.sharding):
        lies: Any = value.sharding
        if (
            mesh.several
            and is_even(shape, mesh, placements)
            and lies.is_equivalent_to(sharding_of(shape, mesh, placements), len(shape))
        ):  # each process has its part: nothing is to be gathered
            return Parts([devices.from_numpy(part_of(value))], mesh, placements, shape)
        value = devices.spread(value, NamedSharding(lies.mesh, jax.sharding.PartitionSpec()))
        value = value.addressable_shards[0].data
    value = np.asarray(value)
    if mesh.several:
        box = box_of(shape, mesh, placements, mesh.get_coordinate() or ())
        return Parts([devices.from_numpy(np.array(sliced(value, box)))], mesh, placements, shape)
    places = zip(np.ndindex(*mesh.shape), mesh.grid.devices.flat, strict=True)
    held = [
        jax.device_put(np.array(sliced(value, box_of(shape, mesh, placements, at))), device) for at, device in places
    ]
    return Parts(held, mesh, placements, shape)


def scattered(parts: Parts, side: int, dim: int) -> np.ndarray:
    """This process's equal part along a dimension of the sum (or mean) over a side."""
    group, placement = parts.mesh.get_group(side), parts.placements[side]
    assert isinstance(placement, Partial)
    rows = np.stack(np.split(np.asarray(parts.part), group.size(), axis=dim))
    return together(group, REDUCE_SCATTER, rows, placement.reduce_op.upper())


def of(tensor: Tensor) -> Parts | None:
    """The parts of a tensor; None for one that lies otherwise. Looks into sums that are still to be made are such, too."""
    storage = tensor._storage
    if type(storage) is not PartsStorage:
        return None
    parts: Parts = storage.host
    if tensor._view is None:
        return parts
    if any(isinstance(p, Shard) for p in parts.placements):
        return _seen(parts, tensor._view)
    part = geometry.read(parts.part, tensor._view)  # a look moves elements, so that it may come before the sum
    return Parts([part], parts.mesh, parts.placements, tuple(tensor._view.shape))


def _seen(parts: Parts, view: geometry.Geometry) -> Parts | None:
    """The parts of a look that has each dimension that is cut as it is, among others and perhaps in another order; None for any
    other look."""
    cut = sorted({p.dim for p in parts.placements if isinstance(p, Shard)})
    steps, whole = geometry.whole(parts.shape).strides, parts.shape
    found: dict[int, int] = {}
    for dim in cut:
        pair = whole[dim], steps[dim]
        found[dim] = next((i for i, seen in enumerate(zip(view.shape, view.strides, strict=True)) if seen == pair), -1)
        if found[dim] < 0 or whole[dim] < 2 or not isinstance(view.offset, int):
            return None
    rest = [
        (n, step)
        for i, (n, step) in enumerate(zip(view.shape, view.strides, strict=True))
        if n > 1 and i not in found.values()
    ]
    if view.bits is not None or len({*found.values()}) < len(cut) or not _apart(view.offset, rest, cut, whole, steps):
        return None
    laid = [Shard(found[p.dim]) if isinstance(p, Shard) else p for p in parts.placements]
    places = [parts.mesh.get_coordinate() or ()] if parts.mesh.several else list(np.ndindex(*parts.mesh.shape))
    made = []
    for part, at in zip(parts.held, places, strict=True):
        lengths = tuple(b - a for a, b in box_of(view.shape, parts.mesh, laid, at))
        own = geometry.whole(tuple(part.shape)).strides
        if any(lengths[i] != part.shape[dim] for dim, i in found.items()):
            return None
        strides = tuple(_carried(step, steps, own) for step in view.strides)
        made.append(geometry.read(part, geometry.Geometry(lengths, strides, _carried(view.offset, steps, own))))
    return Parts(made, parts.mesh, laid, tuple(view.shape))


def _carried(position: int, steps: Sequence[int], own: Sequence[int]) -> int:
    """A distance between elements of the whole as one between those of a part."""
    made = 0
    for step, mine in zip(steps, own, strict=True):
        count, position = divmod(position, step)
        made += count * mine
    return made


def _apart(offset: int, rest: Sequence[tuple[int, int]], cut: Sequence[int], whole: Lengths, steps: Lengths) -> bool:
    """Whether the other dimensions of a look keep clear of those that are cut: the elements that they show first, last and between
    lie at the beginning of these."""
    for dim in cut:
        step, end = steps[dim], steps[dim] * whole[dim]
        inner = [(n, s) for n, s in rest if s < end]
        if any(s >= step or s < 0 for _, s in inner) or any(s % end for n, s in rest if s >= end):
            return False
        if offset % end + sum((n - 1) * s for n, s in inner) >= step:
            return False
    return True


def tensor(parts: Parts, kind: type = Tensor) -> Any:
    """A tensor of these parts."""
    return blank(kind, PartsStorage(parts))


def abstract(value: Any) -> Any:
    """What a value is to a trace: its shape and dtype if it is a tensor or an array."""
    if isinstance(value, Tensor):
        return jax.ShapeDtypeStruct(tuple(value.shape), value._np_dtype)
    return jax.ShapeDtypeStruct(value.shape, value.dtype) if hasattr(value, "shape") else value
