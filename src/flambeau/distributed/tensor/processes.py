"""Tensors cut over several processes: between the whole and this process's own part.

The whole is a `jax.Array` of which this process holds a part; the part is a plain tensor of this process.
"""

from __future__ import annotations

import contextlib
from typing import Any

import jax
import numpy as np

from ...core.context.grad_mode import state as grad_state
from ...core.context.tracing import Untraceable
from ...core.tensor.tensor import Tensor, from_host
from ...processes import collectives
from ...processes.patterns import Pattern
from ...processes.running import functional, operator_of
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


def together(
    group: Any, pattern: Pattern, values: np.ndarray, op: str | None = None, writes: bool = False
) -> np.ndarray:
    """A collective of NumPy's values, outside of programs. `writes`: into tensors that are there, to who counts collectives."""
    with contextlib.nullcontext() if writes else functional():
        operator = operator_of(pattern)
    exchange, said = group.exchange, {"dtype": values.dtype.name, "shape": list(values.shape)}
    told = {**said, "op": op}
    pending = exchange.begin(lambda: exchange.together(pattern, values, told, op, operator=operator), wait=True)
    if pending.error is not None:
        raise pending.error
    return np.asarray(pending.value)


def from_first(tensor: Tensor, mesh: DeviceMesh, source: int | None) -> Tensor:
    """The values that the first process along each side has, or that of number `source`; this process's own for None."""
    if source is None or tensor.is_meta:
        return tensor
    made = tensor.detach().clone()
    for dim in range(mesh.ndim):
        collectives.broadcast(made, group=mesh.get_group(dim), group_src=source)
    return made
