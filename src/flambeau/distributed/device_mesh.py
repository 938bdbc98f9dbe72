"""Processes in a grid with named sides."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..core.dispatch.operator import namespaces
from ..processes import groups
from ..processes.stores import HashStore

__all__ = ["DeviceMesh", "init_device_mesh"]


class DeviceMesh:
    """A grid of the numbers of processes. RuntimeError for a grid of more than there are."""

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
        self.mesh = torch["as_tensor"](mesh).long()
        self.mesh_dim_names = tuple(mesh_dim_names) if mesh_dim_names else None
        if not groups.is_initialized():
            groups.init_process_group("gloo", rank=0, world_size=1, store=HashStore())
        if self.mesh.numel() > groups.get_world_size():
            raise RuntimeError(
                f"Mesh should not be bigger than default world size {groups.get_world_size()}, but found "
                f"{self.mesh.numel()} ranks!"
            )

        place = (self.mesh == groups.get_rank()).nonzero().tolist()
        self._place: list[int] | None = place[0] if place else None
        self._groups = self._sides() if _sides is None else _sides

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
            if self.mesh_dim_names is None or name not in self.mesh_dim_names:
                raise KeyError(
                    f"Mesh dimension '{name}' does not exist. Available mesh dimensions are: {self.mesh_dim_names}"
                )
            return self.mesh_dim_names.index(name)
        return name or 0

    def get_group(self, mesh_dim: int | str | None = None) -> groups.ProcessGroup:
        """The group of a side."""
        if self.ndim > 1 and mesh_dim is None:
            raise RuntimeError(
                f"Found the DeviceMesh have {self.ndim} dimensions. Optional kwarg `mesh_dim` needs to be specified when "
                "device_mesh.ndim > 1."
            )
        found = self._groups[self._dim(mesh_dim)]
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
            raise RuntimeError(
                f"Found the DeviceMesh have {self.ndim} dimensions. Optional kwarg `mesh_dim` needs to be specified when "
                "device_mesh.ndim > 1."
            )
        if self._place is None:
            raise RuntimeError(f"rank {groups.get_rank()} is not in the mesh")
        return self._place[self._dim(mesh_dim)]

    def get_coordinate(self) -> list[int] | None:
        """This process's places along all sides; None if it is not in the mesh."""
        return None if self._place is None else list(self._place)

    def __getitem__(self, mesh_dim_names: str | tuple[str, ...]) -> DeviceMesh:
        names = (mesh_dim_names,) if isinstance(mesh_dim_names, str) else mesh_dim_names
        dims = [self._dim(name) for name in names]
        if self._place is None:
            raise RuntimeError(f"rank {groups.get_rank()} is not in the mesh")
        at = tuple(slice(None) if dim in dims else self._place[dim] for dim in range(self.ndim))
        part = self.mesh[at]
        part = part.permute([sorted(dims).index(dim) for dim in dims])
        return DeviceMesh(self.device_type, part, mesh_dim_names=names, _sides=[self._groups[dim] for dim in dims])

    def __enter__(self) -> DeviceMesh:
        return self

    def __exit__(self, *error: object) -> None:
        return None

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
            return f"DeviceMesh(({sides}), '{self.device_type}', stride={self.mesh.stride()})"
        return f"DeviceMesh({self.shape}, '{self.device_type}', stride={self.mesh.stride()})"


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
            f"Device type with index is not supported but got {device_type}. If you maintained a 'torch.device' object, it's "
            "recommended to pass in 'device.type'."
        )
    ranks = namespaces["torch"]["arange"](math.prod(mesh_shape)).view(tuple(mesh_shape))
    return DeviceMesh(device_type, ranks, mesh_dim_names=mesh_dim_names)
