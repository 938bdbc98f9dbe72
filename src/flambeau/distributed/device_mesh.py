"""Processes in a grid with named sides. With one process every side has the length 1."""

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
        self._dim(mesh_dim)
        return groups.default_group()

    def get_all_groups(self) -> list[groups.ProcessGroup]:
        """The groups of all sides."""
        return [groups.default_group() for _ in range(self.ndim)]

    def get_rank(self) -> int:
        """This process's number."""
        return groups.get_rank()

    def get_local_rank(self, mesh_dim: int | str | None = None) -> int:
        """This process's place along a side."""
        self._dim(mesh_dim)
        return 0

    def get_coordinate(self) -> list[int]:
        """This process's places along all sides."""
        return [0] * self.ndim

    def __getitem__(self, mesh_dim_names: str | tuple[str, ...]) -> DeviceMesh:
        names = (mesh_dim_names,) if isinstance(mesh_dim_names, str) else mesh_dim_names
        for name in names:
            self._dim(name)
        return DeviceMesh(self.device_type, self.mesh.reshape((1,) * len(names)), mesh_dim_names=names)

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
