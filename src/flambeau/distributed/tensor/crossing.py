"""From the whole of a tensor to this process's part and back, and from one way to lie to another, with gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from ...core.array import devices
from ...core.autograd.function import Function
from ...core.context.grad_mode import state as grad_state
from ...core.context.tracing import Untraceable
from ...core.tensor.tensor import Tensor, wrap
from ...processes import groups
from ...processes.crossing import Crossing, cross
from ...processes.patterns import ALL_REDUCE
from ..device_mesh import DeviceMesh, mesh_of
from . import parts, tracked
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


def is_traced(tensor: Tensor) -> bool:
    """Whether it is a value of a function that is being traced."""
    return grad_state.trace is not None and isinstance(tensor._array, jax.core.Tracer)


def _step(
    name: str, body: Any, mesh: DeviceMesh, value: Any, takes: Any, gives: Any, shape: Any, sent: Any = ()
) -> Any:
    """A step between values of a process's own (None) and what lies on a mesh (its spec), in a program of all processes."""
    stands = tracked.standing(mesh)
    lies = [None if spec is None else stands.lies(spec) for spec in (takes, gives)]
    result = jax.ShapeDtypeStruct(tuple(shape), value.dtype)
    step = Crossing(name, lambda part: (body(part),), (lies[0],), (lies[1],), (result,), tuple(sent), stands.grid)
    (made,) = cross(step, [value])
    return made


def _sum_over(mesh: DeviceMesh, placements: Sequence[Placement]) -> Any:
    """Adds up what is a sum along some sides of a mesh."""
    sums = [(side, p.reduce_op) for side, p in zip(mesh.sides, placements, strict=True) if isinstance(p, Partial)]
    if any(op not in ("sum", "avg") for _, op in sums):
        raise Untraceable(f"{placements} of this process's part are neither sums nor means")
    names = tracked.standing(mesh).names
    whole, means = tuple(names[side] for side, _ in sums), tuple(names[side] for side, op in sums if op == "avg")

    def body(part: Any) -> Any:
        total = jax.lax.psum(part, whole) if whole else part
        return total / jax.lax.psum(1, means) if means else total

    return body


def _put_together(value: Any, mesh: DeviceMesh, placements: Sequence[Placement], shape: Sequence[int]) -> Tensor:
    """The whole of each process's part, in a program."""
    if not parts.is_even(shape, mesh, placements):
        raise Untraceable("parts of unequal lengths are put together")
    sharding = parts.sharding_of(shape, mesh, placements)
    sums = [(ALL_REDUCE.name, int(value.size) * value.dtype.itemsize) for p in placements if isinstance(p, Partial)]
    made = _step("from_local", _sum_over(mesh, placements), mesh, value, None, sharding.spec, shape, sums)
    return tracked.mark(wrap(made), mesh, sharding)


def _own_part(value: Any, mesh: DeviceMesh, sharding: NamedSharding, name: str = "to_local") -> Tensor:
    """This process's part, in a program."""
    return wrap(_step(name, lambda part: part, mesh, value, sharding.spec, None, sharding.shard_shape(value.shape)))


def relaid_in_program(tensor: Tensor, layout: Any) -> Tensor:
    """The same values, laid otherwise."""
    if not isinstance(layout, NamedSharding):
        raise Untraceable("a tensor is cut into parts of unequal lengths")
    made: Tensor = Relaid.apply(tensor, layout)
    return tracked.mark(made, mesh_of(layout.mesh), layout)


class Relaid(Function):
    """The same values, laid otherwise by a program of all processes."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, sharding: NamedSharding) -> Any:
        value, mesh = tensor._array, mesh_of(sharding.mesh)
        return wrap(_step("redistribute", lambda part: part, mesh, value, sharding.spec, sharding.spec, value.shape))

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return grads[0], None


class Whole(Function):
    """All of it, as a plain tensor of each process."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, sharding: NamedSharding) -> Any:
        ctx.sharding = sharding
        if is_traced(tensor):
            everywhere = NamedSharding(sharding.mesh, jax.sharding.PartitionSpec())
            return _own_part(tensor._array, mesh_of(sharding.mesh), everywhere, "full_tensor")
        untraced()
        return local(part_of(devices.spread(tensor._array, NamedSharding(sharding.mesh, jax.sharding.PartitionSpec()))))

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        if is_traced(grads[0]):
            mesh = mesh_of(ctx.sharding.mesh)
            return _put_together(grads[0]._array, mesh, (Replicate(),) * mesh.ndim, grads[0].shape), None
        return wrap(devices.spread(grads[0]._array, ctx.sharding)), None


class ToLocal(Function):
    """This process's part. Its gradients are parts that lie as `back` says."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, mesh: DeviceMesh, back: Sequence[Placement]) -> Any:
        ctx.mesh, ctx.back, ctx.shape = mesh, back, tuple(tensor.shape)
        if is_traced(tensor) and (sharding := tracked.sharding_of(tensor)) is not None:
            return _own_part(tensor._array, mesh, sharding)
        untraced()
        held = parts.of(tensor)
        return local(part_of(tensor._array) if held is None else np.asarray(held.part))

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        if is_traced(grads[0]):
            return _put_together(grads[0]._array, ctx.mesh, ctx.back, ctx.shape), None, None
        return parts.tensor(parts.Parts([grads[0]._array], ctx.mesh, ctx.back, ctx.shape)), None, None


class FromLocal(Function):
    """The whole, of these parts."""

    @staticmethod
    def forward(
        ctx: Any, part: Tensor, mesh: DeviceMesh, placements: Sequence[Placement], shape: Sequence[int], back: Any
    ) -> Any:
        ctx.mesh, ctx.back = mesh, back
        if is_traced(part):
            return _put_together(part._array, mesh, placements, shape)
        untraced()
        made = parts.Parts([part._array], mesh, placements, shape)
        if made.keeps and made.even:
            return wrap(assembled(np.asarray(part._array), made.sharding))
        return parts.tensor(made)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        if is_traced(grads[0]):
            sharding = parts.sharding_of(grads[0].shape, ctx.mesh, ctx.back)
            return _own_part(grads[0]._array, ctx.mesh, sharding), None, None, None, None
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
