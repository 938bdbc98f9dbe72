"""From the whole of a tensor to this process's part and back, and from one way to lie to another, with gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from ...core.array import devices
from ...core.autograd.function import Function
from ...core.context.grad_mode import state as grad_state
from ...core.tensor.tensor import Tensor, wrap
from ...processes import groups
from ...processes.crossing import Crossing, cross
from ..device_mesh import DeviceMesh
from . import parts
from .placement_types import Partial, Placement, Replicate
from .processes import NamedSharding, assembled, local, part_of, untraced


def without_sums(placements: Sequence[Placement]) -> tuple[Placement, ...]:
    """How gradients lie: what is given as a sum has the gradient of the sum, in each process."""
    return tuple(Replicate() if isinstance(p, Partial) else p for p in placements)


def _part(array: Any, mesh: DeviceMesh, placements: Sequence[Placement]) -> np.ndarray:
    """This process's part of values on the mesh."""
    return np.asarray(parts.cut(array, mesh, placements).part)


def is_between_processes(tensor: Tensor) -> bool:
    """Whether what is being traced may be a program of several processes, of which this is a value off the tape."""
    trace = grad_state.trace is not None and groups.is_initialized() and groups.get_world_size() > 1
    return trace and isinstance(tensor._array, jax.core.Tracer) and not (grad_state.grad and tensor.requires_grad)


def whole_in_program(tensor: Tensor) -> Tensor:
    """All of it, as a value of each process's own, in a function that is being traced."""
    value: Any = tensor._array
    result = jax.ShapeDtypeStruct(value.shape, value.dtype)
    specs = (jax.sharding.PartitionSpec(),)
    (made,) = cross(Crossing("full_tensor", lambda whole: (whole,), specs, (None,), (result,), ()), [value])
    return wrap(made)


class Whole(Function):
    """All of it, as a plain tensor of each process."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, sharding: NamedSharding) -> Any:
        untraced()
        ctx.sharding = sharding
        return local(part_of(devices.spread(tensor._array, NamedSharding(sharding.mesh, jax.sharding.PartitionSpec()))))

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return wrap(devices.spread(grads[0]._array, ctx.sharding)), None


class ToLocal(Function):
    """This process's part. Its gradients are parts that lie as `back` says."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, mesh: DeviceMesh, back: Sequence[Placement]) -> Any:
        untraced()
        ctx.mesh, ctx.back, ctx.shape = mesh, back, tuple(tensor.shape)
        held = parts.of(tensor)
        return local(part_of(tensor._array) if held is None else np.asarray(held.part))

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return parts.tensor(parts.Parts([grads[0]._array], ctx.mesh, ctx.back, ctx.shape)), None, None


class FromLocal(Function):
    """The whole, of these parts."""

    @staticmethod
    def forward(
        ctx: Any, part: Tensor, mesh: DeviceMesh, placements: Sequence[Placement], shape: Sequence[int], back: Any
    ) -> Any:
        untraced()
        ctx.mesh, ctx.back = mesh, back
        made = parts.Parts([part._array], mesh, placements, shape)
        if made.keeps and made.even:
            return wrap(assembled(np.asarray(part._array), made.sharding))
        return parts.tensor(made)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return local(_part(grads[0]._array, ctx.mesh, ctx.back)), None, None, None, None


class Cut(Function):
    """The same values in unequal parts."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, mesh: DeviceMesh, placements: Sequence[Placement]) -> Any:
        return parts.tensor(parts.cut(tensor._array, mesh, placements))

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return grads[0], None, None


class Scatter(Function):
    """Sums along one side of a mesh, made and cut into equal parts at once."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, side: int, dim: int, sharding: NamedSharding) -> Any:
        held = parts.of(tensor)
        assert held is not None
        return wrap(assembled(parts.scattered(held, side, dim), sharding))

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return grads[0], None, None, None
