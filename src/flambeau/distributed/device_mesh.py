"""Processes, or the devices of one process, in a grid with named sides."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from ..core.array import devices
from ..core.dispatch.operator import namespaces
from ..ops.making.creation import as_tensor
from ..ops.making.ranges import arange
from ..processes import groups
from ..processes.rendezvous import has_launcher
from ..processes.stores import HashStore

__all__ = ["DeviceMesh", "init_device_mesh"]


class DeviceMesh:
    """A grid of the numbers of processes or, in one process by itself, of its devices. RuntimeError for more than there are."""

    sides: tuple[str, ...] = ()  # JAX's names of its sides
    root: DeviceMesh  # the mesh of which this is a part, or itself

    def __init__(
        self,
        device_type: str,
        mesh: Any,
        *,
        mesh_dim_names: tuple[str, ...] | None = None,
        backend_override: Any = None,
        _init_backend: bool = True,
        _sides: list[Any] | None = None,
    ) -> None:
        torch = namespaces["torch"]
        self.device_type = device_type
        self.mesh: Any = torch["as_tensor"](mesh, device="cpu").int()
        self.mesh_dim_names: tuple[str, ...] | None = tuple(mesh_dim_names) if mesh_dim_names else None
        self.sides, self.root = self.mesh_dim_names or tuple(f"dim{i}" for i in range(self.mesh.ndim)), self
        self._flattened: dict[str, DeviceMesh] = {}
        if not groups.is_initialized():
            if has_launcher():
                groups.init_process_group()
            else:
                groups.init_process_group("gloo", rank=0, world_size=1, store=HashStore())
        self._devices: Any = None
        several = self.mesh.numel() > 1
        if groups.get_world_size() == 1 and (several or devices.jax_devices(device_type)):
            self._devices = _grid_of_devices(self)
        elif self.mesh.numel() > groups.get_world_size():
            raise RuntimeError(
                f"Mesh should not be bigger than default world size {groups.get_world_size()}, but found "
                f"{self.mesh.numel()} ranks!"
            )

        if self._devices is not None and several:
            self._place: list[int] | None = [0] * self.ndim
            self._groups: list[Any] = [None] * self.ndim
            return
        place = (self.mesh == groups.get_rank()).nonzero().tolist()
        self._place = place[0] if place else None
        self._numbers: Any = self.mesh.numpy()  # the grid may be asked for first while a function is traced
        self._groups = self._sides() if _sides is None else _sides

    @property
    def grid(self) -> jax.sharding.Mesh:
        """JAX's mesh: of devices of this process, or of one for each process."""
        if self._devices is None:
            link = groups.default_group().exchange.link
            assert link is not None
            there = np.array(link.devices(), dtype=object)
            self._grid = getattr(self, "_grid", None) or jax.sharding.Mesh(there[self._numbers], self.sides)
            _grids.setdefault(self._grid, self)
            return self._grid
        return self._devices

    @property
    def several(self) -> bool:
        """Whether it is one of processes."""
        return self._devices is None

    def __deepcopy__(self, memo: dict[int, Any]) -> DeviceMesh:
        return self  # the copy of a model lies on the same devices

    def __reduce__(self) -> Any:
        raise TypeError(
            "cannot pickle a DeviceMesh: its groups belong to the processes that made it. Make one with init_device_mesh where it is read"
        )

    def __copy__(self) -> DeviceMesh:
        return self

    def _sides(self) -> list[Any]:
        """This process's group along each side. All processes make all groups, in the same order."""
        made: list[Any] = []
        for dim in range(self.ndim):
            lines = self.mesh.movedim(dim, -1).reshape(-1, self.mesh.size(dim)).tolist()
            if lines == [list(range(groups.get_world_size()))]:
                made.append(groups.default_group())
                continue
            found = [groups.new_group(line, sort_ranks=False) for line in lines]
            made.append(next((group for group in found if groups.is_member(group)), None))
        return made

    @property
    def ndim(self) -> int:
        """How many sides it has."""
        return self.mesh.ndim

    @property
    def shape(self) -> tuple[int, ...]:
        """Their lengths."""
        return tuple(self.mesh.shape)

    def size(self, mesh_dim: int | None = None) -> int:
        """How many processes it has, or a side's length."""
        return self.mesh.numel() if mesh_dim is None else self.mesh.size(mesh_dim)

    def _dim(self, name: int | str | None) -> int:
        if isinstance(name, str):
            if self.mesh_dim_names is None:
                raise KeyError("No `mesh_dim_names` found.")
            if name not in self.mesh_dim_names:
                raise KeyError(
                    f"Mesh dimension '{name}' does not exist.",
                    f"Available mesh dimensions are: mesh_dim_names={self.mesh_dim_names}",
                )
            return self.mesh_dim_names.index(name)
        return name or 0

    def _which(self) -> tuple[str, str]:
        return (
            f"Found the DeviceMesh have {self.ndim} dimensions",
            "Optional kwarg `mesh_dim` needs to be specified when device_mesh.ndim > 1.",
        )

    def get_group(self, mesh_dim: int | str | None = None) -> groups.ProcessGroup:
        """The group of a side."""
        if self.ndim > 1 and mesh_dim is None:
            raise RuntimeError(
                *self._which(),
                "If you want to get the list of all the ProcessGroups in the DeviceMesh,"
                "please use `get_all_groups()` instead.",
            )
        found = self._groups[self._dim(mesh_dim)]
        if found is None and self._devices is not None:
            raise RuntimeError(
                f"{self} is a mesh of devices of one process, between which there is no group: XLA places the collectives. "
                "Start one process for each with `flambeau launch` to write them yourself"
            )
        if found is None:
            raise RuntimeError(f"rank {groups.get_rank()} is not in the mesh")
        return found

    def get_all_groups(self) -> list[groups.ProcessGroup]:
        """The groups of all sides."""
        return [self.get_group(dim) for dim in range(self.ndim)]

    def get_rank(self) -> int:
        """This process's number."""
        return groups.get_rank()

    def get_local_rank(self, mesh_dim: int | str | None = None) -> int:
        """This process's place along a side."""
        if self.ndim > 1 and mesh_dim is None:
            raise RuntimeError(*self._which())
        if self._place is None:
            raise RuntimeError(f"rank {groups.get_rank()} is not in the mesh")
        return self._place[self._dim(mesh_dim)]

    def get_coordinate(self) -> tuple[int, ...] | None:
        """This process's places along all sides; None if it is not in the mesh."""
        return None if self._place is None else tuple(self._place)

    def __getitem__(self, mesh_dim_names: str | tuple[str, ...]) -> DeviceMesh:
        names = (mesh_dim_names,) if isinstance(mesh_dim_names, str) else mesh_dim_names
        if len(names) == 1 and names[0] in self._flattened:
            return self._flattened[names[0]]
        if not self.mesh_dim_names:
            raise RuntimeError("Cannot slice a DeviceMesh without mesh_dim_names!")
        if not set(names) <= set(self.mesh_dim_names):
            known = [*self.mesh_dim_names, *self._flattened]
            raise KeyError(f"Invalid mesh_dim_names {tuple(names)} specified. Valid mesh_dim_names are {known}.")
        if len(set(names)) != len(names):
            raise RuntimeError(f"Slicing overlapping dim_names {tuple(names)} is not allowed.")
        dims = [self._dim(name) for name in names]
        if self._devices is not None:
            return side_of(self, names, dims)
        if self._place is None:
            raise RuntimeError(f"rank {groups.get_rank()} is not in the mesh")
        at = tuple(slice(None) if dim in dims else self._place[dim] for dim in range(self.ndim))
        part = self.mesh[at]
        part = part.permute([sorted(dims).index(dim) for dim in dims])
        made = DeviceMesh(self.device_type, part, mesh_dim_names=names, _sides=[self._groups[dim] for dim in dims])
        made.root = self.root
        return made

    def _flatten(self, mesh_dim_name: str | None = None) -> DeviceMesh:
        """All sides as one, in the order of the processes; the mesh that this is a part of knows it by its name from then on.

        RuntimeError for sides without names, ValueError for a name that is taken; NotImplementedError for some sides of a mesh of
        devices of one process.
        """
        names = self.mesh_dim_names
        if not names:
            raise RuntimeError("Cannot flatten a DeviceMesh without mesh_dim_names!")
        name, known = mesh_dim_name or "_".join(names), self.root._flattened
        if self.ndim == 1 and name == names[0]:
            return self
        line = self.mesh.flatten()
        if name in (self.root.mesh_dim_names or ()) or (name in known and known[name].mesh.tolist() != line.tolist()):
            raise ValueError(
                f"{name} already exists for submesh of the {self.root}. ",
                f"The mesh_dim_names of submesh and flattened mesh are {names}. "
                "Please specify another valid mesh_dim_name.",
            )
        if name not in known:
            known[name] = self._flat(line, name)
        return known[name]

    def _flat(self, line: Any, name: str) -> DeviceMesh:
        if self._devices is not None:
            if line.numel() != self.root.size():
                raise NotImplementedError(
                    f"DeviceMesh._flatten of some sides of {self.root}, whose devices are one process's"
                )
            return DeviceMesh(self.device_type, line, mesh_dim_names=(name,))
        ranks = line.tolist()
        whole = ranks == list(range(groups.get_world_size()))
        group = groups.default_group() if whole else groups.new_group(ranks, use_local_synchronization=True)
        return DeviceMesh(self.device_type, line, mesh_dim_names=(name,), _sides=[group])

    def _get_root_mesh(self) -> DeviceMesh:
        return self.root

    @staticmethod
    def from_group(
        group: Any,
        device_type: str,
        mesh: Any = None,
        *,
        mesh_dim_names: tuple[str, ...] | None = None,
    ) -> DeviceMesh:
        """A mesh of the processes of a group; or one for each side of `mesh`. ValueError for a mesh that does not fit the group."""
        if isinstance(group, groups.ProcessGroup):
            ranks = list(group.ranks)
            if mesh is not None and as_tensor(mesh).tolist() != ranks:
                raise ValueError(f"Invalid mesh {mesh} for ProcessGroup with ranks {ranks}")
            return DeviceMesh(device_type, ranks, mesh_dim_names=mesh_dim_names, _sides=[group])
        if mesh is None:
            raise ValueError("Must pass mesh if passing multiple ProcessGroups")
        return DeviceMesh(device_type, mesh, mesh_dim_names=mesh_dim_names, _sides=list(group))

    def __enter__(self) -> DeviceMesh:
        _active.append(self)
        return self

    def __exit__(self, *error: object) -> None:
        _active.pop()

    @staticmethod
    def current() -> DeviceMesh | None:
        """The mesh whose `with` this is; None outside of all."""
        return _active[-1] if _active else None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DeviceMesh):
            return NotImplemented
        mine, theirs = (self.device_type, self.mesh_dim_names), (other.device_type, other.mesh_dim_names)
        return mine == theirs and self.mesh.tolist() == other.mesh.tolist()

    def __hash__(self) -> int:
        return hash((self.device_type, self.shape, self.mesh_dim_names))

    def __repr__(self) -> str:
        if self.mesh_dim_names:
            sides = ", ".join(f"{name}={n}" for name, n in zip(self.mesh_dim_names, self.shape, strict=True))
            return f"DeviceMesh(({sides}), '{self.device_type}', stride={self._strides()})"
        return f"DeviceMesh({self.shape}, '{self.device_type}', stride={self._strides()})"

    def _strides(self) -> tuple[Any, ...]:
        """How far the processes of a side lie apart, from the last side on; () for a side of one."""
        return tuple(() if n == 1 else step for n, step in zip(self.shape, self.mesh.stride(), strict=True))


def _grid_of_devices(mesh: DeviceMesh) -> jax.sharding.Mesh:
    """JAX's mesh for a grid of the numbers of this process's devices. RuntimeError if there are not so many."""
    there = devices.jax_devices(mesh.device_type)
    numbers = mesh.mesh.numpy()
    if numbers.max() >= len(there) or numbers.min() < 0:
        raise RuntimeError(
            f"Mesh should not be bigger than default world size {groups.get_world_size()}, but found {mesh.mesh.numel()} ranks! "
            f"This process has {len(there)} {mesh.device_type} devices; start several with `flambeau launch`, or set "
            "XLA_FLAGS=--xla_force_host_platform_device_count=8 before the first import for virtual ones"
        )
    if len(np.unique(numbers)) != numbers.size:
        raise RuntimeError(f"each device can be in a mesh once, got {numbers.tolist()}")
    made = jax.sharding.Mesh(np.array(there, dtype=object)[numbers], mesh.sides)
    _grids.setdefault(made, mesh)
    return made


_active: list[DeviceMesh] = []
_grids: dict[Any, DeviceMesh] = {}


def mesh_of(grid: jax.sharding.Mesh | jax.sharding.AbstractMesh) -> DeviceMesh:
    """The mesh of a grid of JAX's devices: what the first one was called."""
    return _grids[grid]


def side_of(mesh: DeviceMesh, names: tuple[str, ...], dims: list[int]) -> DeviceMesh:
    """Some sides of a mesh of devices. What is cut along them is repeated along the others: it stays one grid."""
    at = tuple(slice(None) if dim in dims else 0 for dim in range(mesh.ndim))
    made = object.__new__(DeviceMesh)
    made.root, made._flattened = mesh.root, {}
    made.device_type, made.mesh_dim_names, made.sides = (
        mesh.device_type,
        tuple(names),
        tuple(mesh.sides[d] for d in dims),
    )
    made.mesh = mesh.mesh[at].permute([sorted(dims).index(dim) for dim in dims])
    made._devices, made._place, made._groups = mesh._devices, [0] * len(dims), [mesh._groups[d] for d in dims]
    return made


def init_device_mesh(
    device_type: str,
    mesh_shape: Sequence[int],
    *,
    mesh_dim_names: tuple[str, ...] | None = None,
    backend_override: Any = None,
) -> DeviceMesh:
    """The processes in a grid of these sides. RuntimeError for more than there are, or for names that do not fit."""
    if mesh_dim_names is not None:
        if len(set(mesh_dim_names)) != len(mesh_dim_names):
            raise RuntimeError(
                f"Each mesh_dim_name must be unique. Found repeated mesh_dim_name in mesh_dim_names {mesh_dim_names}"
            )
        if len(mesh_shape) != len(mesh_dim_names):
            raise RuntimeError(
                f"mesh_shape and mesh_dim_names should have same length! Found len(mesh_dim_names): {len(mesh_dim_names)} and "
                f"len(mesh_shape):{len(mesh_shape)}."
            )
    if device_type and not device_type.isalpha():
        raise RuntimeError(
            f"Device type with index is not supported but got {device_type}. ",
            "If you maintained a 'torch.device' object, it's recommended to pass in 'device.type'.",
        )
    ranks = arange(math.prod(mesh_shape), device="cpu").view(tuple(mesh_shape))
    return DeviceMesh(device_type, ranks, mesh_dim_names=mesh_dim_names)
