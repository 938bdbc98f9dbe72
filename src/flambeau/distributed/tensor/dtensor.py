"""`DTensor`: what a tensor on a mesh has besides what all tensors have."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...core.array import devices
from ...core.array.dtypes import dtype
from ...core.context.grad_mode import no_grad
from ...core.dispatch.operator import namespaces
from ...core.tensor.tensor import Tensor, from_host
from ...nn.parameter import Parameter
from ...ops.making.constants import empty as _empty
from ...ops.making.creation import tensor as _tensor
from ..device_mesh import DeviceMesh, mesh_of
from . import by_parts, crossing, layouts, parts, processes
from .placement_types import Partial, Placement, Replicate, Shard


class _Laid(type(Tensor)):  # type: ignore[misc]
    """Lets every tensor that lies on a mesh count as an instance."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Tensor) and layouts.sharding_of(instance) is not None


class DTensor(Tensor, metaclass=_Laid):
    """What tensors that lie on a mesh of devices are instances of. Their class is `Tensor`, or `Parameter`.

    They are made by `distribute_tensor`, `DTensor.from_local`, and by operators on others of them.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("DTensor(): use distribute_tensor(tensor, device_mesh, placements), or DTensor.from_local")

    @staticmethod
    def from_local(
        local_tensor: Tensor,
        device_mesh: DeviceMesh | None = None,
        placements: Sequence[Placement] | None = None,
        *,
        run_check: bool = False,
        shape: Any = None,
        stride: Any = None,
        grad_placements: Sequence[Placement] | None = None,
    ) -> Tensor:
        """The tensor of which each process has this part, as `placements` say (`Partial` ones are added up at once); gradients go
        through, laid as `grad_placements` say. On a mesh of devices of one process: a tensor that is whole on each; there
        NotImplementedError for other placements, since one process sees all parts at once (`distribute_tensor`).

        ValueError for a `shape` that parts of equal length do not make.
        """
        mesh = the_mesh(device_mesh)
        if mesh.several:
            by_parts.begin()
            if run_check:
                local_tensor = processes.from_first(local_tensor, mesh, 0)
            return _of_parts(local_tensor, mesh, placements, shape, grad_placements)
        given = layouts.checked(mesh, placements, local_tensor.ndim)
        if any(not p.is_replicate() for p in given) and mesh.size() > 1:
            raise NotImplementedError(
                f"DTensor.from_local with {given}: one process has all the parts, not one of them. Give the whole to "
                "distribute_tensor(tensor, device_mesh, placements)"
            )
        _only_forward(grad_placements)
        return layouts.relaid(local_tensor, layouts.sharding_for(mesh, given, local_tensor.shape))


def _of_parts(
    part: Tensor, mesh: DeviceMesh, placements: Sequence[Placement] | None, shape: Any, grad_placements: Any
) -> Tensor:
    given = layouts.checked(mesh, placements, part.ndim, sums=True)
    lengths = list(part.shape)
    for side, placement in enumerate(given):
        if isinstance(placement, Shard):
            lengths[placement.dim] *= mesh.size(side)
    if shape is not None and list(shape) != lengths:
        box = parts.box_of(shape, mesh, given, mesh.get_coordinate() or ())
        if [stop - start for start, stop in box] != list(part.shape):
            raise ValueError(
                f"DTensor.from_local(shape={list(shape)}): this process's part would have the lengths "
                f"{[stop - start for start, stop in box]}, and not {list(part.shape)}: parts are those of torch.chunk"
            )
        lengths = list(shape)
    back = given if grad_placements is None else layouts.checked(mesh, grad_placements, part.ndim, sums=True)
    made: Tensor = crossing.FromLocal.apply(part, mesh, given, tuple(lengths), crossing.without_sums(back))
    return made


def the_mesh(mesh: DeviceMesh | None) -> DeviceMesh:
    """The mesh that was given, or the one whose `with` this is. RuntimeError if there is none."""
    found = mesh if mesh is not None else DeviceMesh.current()
    if found is None:
        raise RuntimeError("No device mesh is currently active! Give device_mesh=, or write `with mesh:` around it")
    layouts.grid_of(found)
    return found


def _only_forward(grad_placements: Any) -> None:
    if grad_placements is not None:
        raise NotImplementedError("grad_placements: XLA decides how gradients lie; call redistribute on them")


class _OfDTensor:
    """A method or attribute that only tensors on a mesh have."""

    def __init__(self, function: Callable[..., Any], attribute: bool = False):
        self.function, self.attribute = function, attribute
        self.name, self.__doc__ = function.__name__, function.__doc__

    def __get__(self, tensor: Tensor | None, owner: type) -> Any:
        if tensor is None:
            return self.function
        if self.name == "full_tensor" and crossing.is_between_processes(tensor):
            return self.function.__get__(tensor, owner)
        if layouts.sharding_of(tensor) is None:
            raise AttributeError(f"{owner.__name__!r} object has no attribute {self.name!r}")
        return self.function(tensor) if self.attribute else self.function.__get__(tensor, owner)


def device_mesh(self: Tensor) -> DeviceMesh:
    """The mesh that it lies on, all sides of it."""
    sharding: Any = layouts.sharding_of(self)
    return mesh_of(sharding.mesh)


def placements(self: Tensor) -> tuple[Placement, ...]:
    """How it lies along each side of its mesh."""
    return layouts.placements_along(self)


def full_tensor(self: Tensor, *, grad_placements: Sequence[Placement] | None = None) -> Tensor:
    """All of it on one device, as a plain tensor; gradients go through."""
    if crossing.is_between_processes(self):
        return crossing.whole_in_program(self)
    sharding: Any = layouts.sharding_of(self)
    if not layouts.is_between_processes(self, sharding):
        _only_forward(grad_placements)
    elif grad_placements is not None:
        whole = layouts.sharding_for(mesh_of(sharding.mesh), None, self.shape)
        return to_local(layouts.relaid(self, whole), grad_placements=grad_placements)
    return layouts.whole_of(self)


def to_local(self: Tensor, *, grad_placements: Sequence[Placement] | None = None) -> Tensor:
    """This process's part, with gradients going through: they lie as `grad_placements` say, or as the tensor does.

    On a mesh of devices of one process, what the first device has of it: all, if it is repeated, with gradients going through;
    else its part, off the tape. There RuntimeError for a part of what was computed from tensors that require grad: a loss of one
    part is not the loss.
    """
    sharding: Any = layouts.sharding_of(self)
    if layouts.is_between_processes(self, sharding):
        mesh = mesh_of(sharding.mesh)
        if grad_placements is None:
            back = crossing.without_sums(layouts.placements_along(self))
        else:
            back = layouts.checked(mesh, grad_placements, self.ndim, sums=True)
        return crossing.ToLocal.apply(self, mesh, back)
    _only_forward(grad_placements)
    if sharding.is_fully_replicated and parts.of(self) is None:
        return layouts.whole_of(self)
    if not self.is_leaf:
        raise RuntimeError(
            "to_local(): one process has all the parts of this tensor, and computing with one of them would give gradients of that "
            "part alone. Compute with the tensor itself, or with full_tensor(); detach() it to look at a part"
        )
    return _tensor(local_values(self))


def local_values(self: Tensor) -> Any:
    """This process's part, or the first device's, as NumPy's array."""
    held = parts.of(self)
    if held is not None:
        return np.asarray(held.part)
    sharding: Any = layouts.sharding_of(self)
    if devices.is_far(sharding):
        return processes.part_of(self._array)
    first = sharding.mesh.devices.flat[0]
    return next(np.asarray(s.data) for s in self._array.addressable_shards if s.device == first)


def redistribute(
    self: Tensor,
    device_mesh: DeviceMesh | None = None,
    placements: Sequence[Placement] | None = None,
    *,
    async_op: bool = False,
    forward_dtype: dtype | None = None,
    backward_dtype: dtype | None = None,
) -> Tensor:
    """The same values, laid as these placements say; gradients go through. NotImplementedError for another mesh's devices, and
    for what is not there (`Partial`, `forward_dtype`, `backward_dtype`).
    """
    sharding: Any = layouts.sharding_of(self)
    mesh = mesh_of(sharding.mesh) if device_mesh is None else device_mesh
    if placements is None:
        raise RuntimeError("placements is needed for redistribute!")
    if parts.of(self) is not None and mesh == self.device_mesh and tuple(placements) == tuple(self.placements):
        return self.view(self.shape)
    for placement in placements:
        if isinstance(placement, Partial):
            raise RuntimeError(
                f"Can not redistribute from {', '.join(map(str, self.placements))} to {placement}, redistributing to Partial is for "
                "internal use only!"
            )
    if layouts.grid_of(mesh) != sharding.mesh:
        raise NotImplementedError(
            "redistribute to another mesh's devices: distribute_tensor(x.full_tensor(), mesh, placements)"
        )
    if forward_dtype is not None or backward_dtype is not None:
        raise NotImplementedError("redistribute(forward_dtype=, backward_dtype=): convert with .to() before or after")
    return layouts.relaid(self, layouts.layout_for(mesh, placements, self.shape, sharding))


def _spec(self: Tensor) -> DTensorSpec:
    """Its mesh, placements and shape."""
    return DTensorSpec(device_mesh(self), placements(self), self.shape, self.dtype)


def _local_tensor(self: Tensor) -> Tensor:
    """This process's part, off the tape."""
    return to_local(self.detach())


class DTensorSpec(NamedTuple):
    """What is known of a tensor on a mesh without its values."""

    mesh: DeviceMesh
    placements: tuple[Placement, ...]
    shape: Any
    dtype: dtype

    @property
    def device_mesh(self) -> DeviceMesh:
        return self.mesh

    @property
    def ndim(self) -> int:
        return len(self.shape)


for _method in (full_tensor, to_local, redistribute):
    setattr(Tensor, _method.__name__, _OfDTensor(_method))
for _attribute in (device_mesh, placements, _spec, _local_tensor):
    setattr(Tensor, _attribute.__name__, _OfDTensor(_attribute, attribute=True))

_plain_repr: Any = Tensor.__repr__


def _repr(self: Tensor, *, tensor_contents: Any = None) -> str:
    """That of PyTorch's DTensor for a tensor that is cut; one that is whole everywhere is printed as it is."""
    sharding: Any = layouts.sharding_of(self)
    whole = sharding is None or (sharding.is_fully_replicated and not devices.is_far(sharding))
    if whole and parts.of(self) is None:
        return _plain_repr(self, tensor_contents=tensor_contents)
    local = _empty(tuple(self.shape), device="meta") if self.is_meta else from_host(local_values(self))
    mesh = mesh_of(sharding.mesh)
    laid = layouts.placements_along(self)
    return f"DTensor(local_tensor={local}, device_mesh={mesh}, placements={laid})"


Tensor.__repr__ = _repr  # type: ignore[assignment, method-assign]
_plain_parameter: Any = Parameter.__repr__


def _parameter_repr(self: Any) -> str:
    """A parameter that is cut is printed as any DTensor."""
    shown = _repr(self)
    return shown if shown.startswith("DTensor(") else str(_plain_parameter(self))


Parameter.__repr__ = _parameter_repr  # type: ignore[method-assign]


def distribute_tensor(
    tensor: Tensor,
    device_mesh: DeviceMesh | None = None,
    placements: Sequence[Placement] | None = None,
    *,
    src_data_rank: int | None = 0,
) -> Any:
    """A new leaf with the values of `tensor`, cut over the devices of a mesh as `placements` say (repeated, if None), in the parts
    of `torch.chunk`. In several processes the values are those of the first (`src_data_rank`); with None each takes its part of its
    own. `Partial` parts, in several processes, add up to the values.

    RuntimeError for a tensor that was computed from others; ValueError for one that lies on the mesh otherwise; AssertionError,
    RuntimeError and NotImplementedError for placements that can't be.
    """
    mesh = the_mesh(device_mesh)
    if not tensor.is_leaf:
        raise RuntimeError("`distribute_tensor` should be used to distribute leaf tensors! but found non-leaf tensor!")
    before: Any = layouts.sharding_of(tensor)
    if before is not None and mesh_of(before.mesh) == mesh:
        there, asked = layouts.placements_along(tensor), layouts.checked(mesh, placements, tensor.ndim)
        if there != asked:
            raise ValueError(
                f"Cannot distribute a DTensor with placements {there} to a different placements {list(asked)}. do you want to call "
                "`redistribute` instead?"
            )
        return tensor
    if mesh.several and before is None and any(isinstance(p, Partial) for p in placements or ()):
        by_parts.begin()
        tensor = processes.from_first(tensor, mesh, src_data_rank).requires_grad_(tensor.requires_grad)
        return _summands(tensor, mesh, layouts.checked(mesh, placements, tensor.ndim, sums=True))
    sharding = layouts.layout_for(mesh, placements, tensor.shape, before)
    if before is None and mesh.several:
        by_parts.begin()
        tensor = processes.from_first(tensor, mesh, src_data_rank).requires_grad_(tensor.requires_grad)
    return layouts.pinned(tensor, sharding)


def _summands(tensor: Tensor, mesh: DeviceMesh, given: Sequence[Placement]) -> Any:
    """A leaf whose parts add up to the values: equal ones."""
    held = parts.cut(tensor._array, mesh, given)
    count = math.prod(mesh.size(i) for i, p in enumerate(given) if isinstance(p, Partial) and p.reduce_op == "sum")
    part = held.part if count == 1 else (held.part / count).astype(held.dtype)
    made = parts.tensor(parts.Parts([part], mesh, given, held.shape), type(tensor))
    return made.requires_grad_() if tensor.requires_grad else made


def distribute_parameter(
    module: Any, name: str, mesh: DeviceMesh, placements: Sequence[Placement], source: int | None = 0
) -> None:
    """Lay a module's parameter or buffer in place: whoever holds it (an optimizer) goes on with it. In several processes the values
    are those of the process of number `source`; with None each takes its part of its own.
    """
    tensor = getattr(module, name)
    if tensor is not None:
        before = layouts.sharding_of(tensor)
        sharding = layouts.layout_for(mesh, placements, tensor.shape, before)
        if before is None and mesh.several:
            by_parts.begin()
            with no_grad():
                tensor.copy_(processes.from_first(tensor, mesh, source))
        layouts.pin(tensor, sharding)


def distribute_module(
    module: Any,
    device_mesh: DeviceMesh | None = None,
    partition_fn: Callable[[str, Any, DeviceMesh], None] | None = None,
    input_fn: Callable[..., Any] | None = None,
    output_fn: Callable[..., Any] | None = None,
) -> Any:
    """Lay a module's parameters and buffers on a mesh: as `partition_fn(name, module, mesh)` does it for each module, the rest
    repeated. `input_fn(module, inputs, mesh)` and `output_fn(module, outputs, mesh)` run around its forward.
    """
    mesh = the_mesh(device_mesh)
    for name, part in module.named_modules():
        if partition_fn is not None:
            partition_fn(name, part, mesh)
    everywhere = [Replicate()] * mesh.ndim
    for part in module.modules():
        for name, tensor in (*part._parameters.items(), *part._buffers.items()):
            if tensor is not None and layouts.sharding_of(tensor) is None:
                distribute_parameter(part, name, mesh, everywhere)
    if input_fn is not None:
        module.register_forward_pre_hook(lambda m, inputs: input_fn(m, inputs, mesh))
    if output_fn is not None:
        module.register_forward_hook(lambda m, inputs, outputs: output_fn(m, outputs, mesh))
    return module


def _maker(name: str) -> Callable[..., Any]:
    def make(
        *size: Any, device_mesh: DeviceMesh | None = None, placements: Sequence[Placement] | None = None, **options: Any
    ) -> Any:
        made = namespaces["torch"][name](*size, **options)
        return distribute_tensor(made, device_mesh, placements)

    make.__name__ = make.__qualname__ = name
    make.__doc__ = f"`torch.{name}`, laid on a mesh as `placements` say."
    return make


empty: Callable[..., Tensor] = _maker("empty")
full: Callable[..., Tensor] = _maker("full")
ones: Callable[..., Tensor] = _maker("ones")
rand: Callable[..., Tensor] = _maker("rand")
randn: Callable[..., Tensor] = _maker("randn")
zeros: Callable[..., Tensor] = _maker("zeros")
