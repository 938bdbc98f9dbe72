"""How values lie that a function computes while it is traced, of tensors that are cut over several processes.

They have no layout yet: XLA will decide. What is known is on which mesh they lie, and of those that were laid so, how.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any, NamedTuple

import jax

from ...core.array import devices
from ...core.context.grad_mode import state as grad_state
from ...core.context.tracing import Untraceable
from ...core.tensor.storage import LaidStorage, Storage, cut_over
from ...core.tensor.tensor import Tensor
from ...processes import groups
from ...processes.crossing import Lines
from ...processes.patterns import axes
from ..device_mesh import DeviceMesh, mesh_of

NamedSharding = jax.sharding.NamedSharding
_Spec = jax.sharding.PartitionSpec


class Mark(NamedTuple):
    """What is known of a traced value (which is held, so that its id stays its own)."""

    value: Any
    mesh: DeviceMesh
    sharding: NamedSharding | None


_marks: weakref.WeakKeyDictionary[Any, dict[int, Mark]] = weakref.WeakKeyDictionary()  # by trace


def mark(tensor: Tensor, mesh: DeviceMesh, sharding: NamedSharding | None = None) -> Tensor:
    """Note that a traced tensor lies on a mesh, and how."""
    value = _value(tensor)
    if isinstance(value, jax.core.Tracer):
        _marks.setdefault(grad_state.trace, {})[id(value)] = Mark(value, mesh, sharding)
    return tensor


def _value(tensor: Tensor) -> Any:
    kind = type(tensor._storage)
    return grad_state.trace.read(tensor) if kind is Storage or kind is LaidStorage else None


def _mark_of(tensor: Tensor) -> Mark | None:
    marks = _marks.get(grad_state.trace) if grad_state.trace is not None else None
    return marks.get(id(_value(tensor))) if marks else None


def sharding_of(tensor: Tensor) -> NamedSharding | None:
    """How a traced tensor lies; None where that is not known."""
    found = _mark_of(tensor)
    return found.sharding if found is not None and tensor._view is None else None


def mesh_for(tensor: Tensor) -> DeviceMesh | None:
    """The mesh of processes on which a tensor lies that a traced function computes or finds; None for all others."""
    found = _mark_of(tensor)
    if found is not None:
        return found.mesh
    cut = cut_over(tensor._storage)
    return mesh_of(cut.mesh) if cut is not None and devices.is_far(cut) else None


def mesh_of_any(values: Iterable[Any]) -> DeviceMesh | None:
    """The mesh of the first of these, or of lists of these, that lies on one."""
    for value in values:
        found = None
        if isinstance(value, Tensor):
            found = mesh_for(value)
        elif isinstance(value, (list, tuple)):
            found = mesh_of_any(value)
        if found is not None:
            return found
    return None


def mark_all(made: Any, mesh: DeviceMesh) -> None:
    """Note of an operator's results that they lie on a mesh."""
    if isinstance(made, Tensor):
        if _mark_of(made) is None:
            mark(made, mesh)
    elif isinstance(made, (list, tuple)):
        for one in made:
            mark_all(one, mesh)


class Standing(NamedTuple):
    """A mesh among all processes, in the words of a program of theirs: how these stand, the program's axes for the sides of
    the mesh, the other axes, along which each line of processes has values of its own, and JAX's mesh of this process's line."""

    grid: tuple[int, ...]
    names: dict[str, str]
    own: tuple[str, ...]
    line: jax.sharding.Mesh

    def lies(self, spec: Any) -> Any:
        """How a value lies that has this PartitionSpec on the mesh."""
        entries = [() if e is None else (e,) if isinstance(e, str) else tuple(e) for e in spec]
        words = [tuple(self.names[side] for side in sides) for sides in entries]
        made = _Spec(*[sides or None for sides in words])
        return Lines(self.own, made, NamedSharding(self.line, spec)) if self.own else made


def standing(mesh: DeviceMesh) -> Standing:
    """Raises Untraceable for a mesh that is no side of one of all processes."""
    root, link = mesh.root, groups.default_group().exchange.link
    if link is None or not root.several or list(root.grid.devices.flat) != list(link.devices()):
        raise Untraceable("tensors are cut over a part of the processes")
    names = dict(zip(root.sides, axes(root.ndim), strict=True))
    if not set(mesh.sides) <= set(names):
        raise Untraceable("tensors are cut over a mesh that is no side of another")
    along = {side: names[side] for side in mesh.sides}
    return Standing(tuple(root.shape), along, tuple(n for side, n in names.items() if side not in along), mesh.grid)
