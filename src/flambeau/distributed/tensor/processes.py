"""Tensors cut over several processes: between the whole and this process's own part, with gradients.

The whole is a `jax.Array` of which this process holds a part; the part is a plain tensor of this process.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from ...core.array import devices
from ...core.autograd.function import Function
from ...core.context.grad_mode import state as grad_state
from ...core.context.tracing import Untraceable
from ...core.tensor.tensor import Tensor, from_host, wrap
from ...processes import collectives
from ...processes.groups import ReduceOp
from ..device_mesh import DeviceMesh

NamedSharding = jax.sharding.NamedSharding


def untraced() -> None:
    """What is cut over processes and what is not are no parts of one program."""
    if grad_state.trace is not None:
        raise Untraceable("it goes from tensors cut over several processes to this process's part, or back")


def part_of(value: Any) -> np.ndarray:
    """This process's part."""
    return np.asarray(value.addressable_shards[0].data)


def assembled(part: np.ndarray, sharding: NamedSharding) -> Any:
    """The whole of which this is the process's part."""
    shape = list(part.shape)
    for dim, sides in enumerate(sharding.spec):
        for side in (sides,) if isinstance(sides, str) else sides or ():
            shape[dim] *= sharding.mesh.shape[side]
    (mine,) = sharding.addressable_devices
    return jax.make_array_from_single_device_arrays(tuple(shape), sharding, [jax.device_put(part, mine)])


def local(array: np.ndarray) -> Tensor:
    """A plain tensor of this process."""
    return from_host(np.array(array))


def _gradient(grad: Tensor, sharding: NamedSharding) -> Tensor:
    return wrap(devices.spread(grad._array, sharding))


class Whole(Function):
    """All of it, as a plain tensor of each process."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, sharding: NamedSharding) -> Any:
        untraced()
        ctx.sharding = sharding
        return local(part_of(devices.spread(tensor._array, NamedSharding(sharding.mesh, jax.sharding.PartitionSpec()))))

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return _gradient(grads[0], ctx.sharding), None


class ToLocal(Function):
    """This process's part. `sums` are the groups over which its gradient is still to be added up."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, sharding: NamedSharding, back: NamedSharding, sums: Sequence[Any]) -> Any:
        untraced()
        ctx.sharding, ctx.back, ctx.sums = sharding, back, sums
        return local(part_of(tensor._array))

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        made = assembled(np.asarray(added_up(grads[0], ctx.sums)._array), ctx.back)
        return wrap(devices.spread(made, ctx.sharding)), None, None, None


class FromLocal(Function):
    """The whole, of these parts."""

    @staticmethod
    def forward(ctx: Any, part: Tensor, sharding: NamedSharding, back: NamedSharding, sums: Sequence[Any]) -> Any:
        untraced()
        ctx.back = back
        return wrap(assembled(np.asarray(added_up(part, sums)._array), sharding))

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return local(part_of(devices.spread(grads[0]._array, ctx.back))), None, None, None


def added_up(tensor: Tensor, sums: Sequence[Any]) -> Tensor:
    """What is left to be reduced, reduced: `sums` are pairs of a group and the operation's name."""
    if not sums:
        return tensor
    made = tensor.detach().clone()
    for group, op in sums:
        collectives.all_reduce(made, getattr(ReduceOp, op.upper()), group)
    return made


def from_first(tensor: Tensor, mesh: DeviceMesh, source: int | None) -> Tensor:
    """The values that the first process along each side has, or that of number `source`; this process's own for None."""
    if source is None or tensor.is_meta:
        return tensor
    made = tensor.detach().clone()
    for dim in range(mesh.ndim):
        collectives.broadcast(made, group=mesh.get_group(dim), group_src=source)
    return made
