"""Parameters cut over the devices of one process (`fully_shard`)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from ...core.array import devices
from ...core.tensor.tensor import Tensor
from ...nn.modules.module import Module
from ..device_mesh import DeviceMesh, init_device_mesh
from ..tensor import layouts
from ..tensor.parallel.styles import lie
from ..tensor.placement_types import Placement, Replicate, Shard
from .api import MixedPrecisionPolicy, OffloadPolicy


def _refused(name: str, instead: str) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"FSDPModule.{name}: {instead}")

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"Refused: {instead}."
    return method


class FSDPModule:
    """What a module also is after `fully_shard`. When parts are put together, and when sent, is for XLA to decide: what
    asks for another order of that changes no number, and is taken.
    """

    def set_is_last_backward(self, is_last_backward: bool) -> None:
        """Taken: nothing is left over from one backward pass to the next."""

    def set_requires_gradient_sync(self, requires_gradient_sync: bool, *, recurse: bool = True) -> None:
        """Taken: a gradient is always that of the whole batch."""

    def set_requires_all_reduce(self, requires_all_reduce: bool, *, recurse: bool = True) -> None:
        """Taken: a gradient is always that of the whole batch."""

    def set_reshard_after_forward(self, reshard_after_forward: bool, recurse: bool = True) -> None:
        """Taken: XLA frees what it has put together when nobody needs it any more."""

    def set_reshard_after_backward(self, reshard_after_backward: bool, *, recurse: bool = True) -> None:
        """Taken: XLA frees what it has put together when nobody needs it any more."""

    def set_modules_to_forward_prefetch(self, modules: list[Any]) -> None:
        """Taken: XLA orders its program."""

    def set_modules_to_backward_prefetch(self, modules: list[Any]) -> None:
        """Taken: XLA orders its program."""

    reshard = _refused("reshard", "parameters are always cut; there is nothing to take apart")
    unshard = _refused("unshard", "parameters are always cut; parameter.full_tensor() is all of one")
    _factor = "gradients are means over the whole batch as the loss says; scale the loss"
    set_gradient_divide_factor = _refused("set_gradient_divide_factor", _factor)
    set_reduce_scatter_divide_factor = _refused("set_reduce_scatter_divide_factor", _factor)
    set_all_reduce_hook = _refused("set_all_reduce_hook", "XLA's collectives take no hooks")
    set_custom_all_gather = _refused("set_custom_all_gather", "XLA places the collectives")
    set_custom_reduce_scatter = _refused("set_custom_reduce_scatter", "XLA places the collectives")


def all_devices() -> DeviceMesh:
    """A mesh with one side of all devices of this process, of the default device's type."""
    kind = devices.get_default_device().type
    return init_device_mesh(kind, (len(devices.jax_devices(kind)),))


def _refuse(mp_policy: Any, offload_policy: Any, reshard: Any, dims: Any) -> None:
    if mp_policy != MixedPrecisionPolicy():
        raise NotImplementedError(
            f"fully_shard(mp_policy={mp_policy}): it is not there yet; use torch.autocast around the forward"
        )
    if type(offload_policy) is not OffloadPolicy:
        raise NotImplementedError(f"fully_shard(offload_policy={offload_policy}): parameters stay on the devices")
    if isinstance(reshard, int) and not isinstance(reshard, bool):
        raise NotImplementedError(
            f"fully_shard(reshard_after_forward={reshard}): cut over all devices, or give a 2-D mesh"
        )
    if dims is not None:
        raise NotImplementedError("fully_shard(dp_mesh_dims=): give those sides of the mesh: mesh=mesh['dp']")


def cut(parameter: Any, mesh: DeviceMesh, wanted: Placement | None = None) -> Placement:
    """Lay a parameter over the last side of the mesh: cut along dimension 0, or along the first that can be cut into equal parts
    if that can't; whole everywhere if none can. Says which.
    """
    before = layouts.sharding_of(parameter)
    around = [Replicate()] * (mesh.ndim - 1)
    for placement in [wanted] if wanted is not None else [*map(Shard, range(parameter.ndim)), Replicate()]:
        try:
            sharding = layouts.sharding_for(mesh, [*around, placement], parameter.shape, before)
        except NotImplementedError:
            if placement is wanted:
                raise
            continue
        layouts.pin(parameter, sharding)
        return placement
    raise AssertionError


def cut_batch(mesh: DeviceMesh, _: Any, args: Any, kwargs: Any) -> Any:
    """A forward hook that cuts what goes in along its first dimension, where that can be."""
    count = math.prod(mesh.shape)

    def one(value: Any) -> Any:
        if not isinstance(value, Tensor) or not value.ndim or value.shape[0] % count:
            return value
        if layouts.known_sharding_of(value) is not None:
            return value
        return lie(value, Shard(0), mesh)

    return tuple(map(one, args)), {name: one(value) for name, value in kwargs.items()}


def cut_inputs(module: Module, mesh: DeviceMesh) -> None:
    """Cut a module's inputs along the batch from now on."""
    module.register_forward_pre_hook(partial(cut_batch, mesh), with_kwargs=True)


_kinds: dict[type, type] = {}


def fully_shard(
    module: Any,
    *,
    mesh: DeviceMesh | None = None,
    reshard_after_forward: bool | int | None = None,
    shard_placement_fn: Callable[[Any], Any] | None = None,
    mp_policy: MixedPrecisionPolicy = MixedPrecisionPolicy(),  # noqa: B008
    offload_policy: OffloadPolicy = OffloadPolicy(),  # noqa: B008
    ignored_params: Iterable[Any] | None = None,
    dp_mesh_dims: Any = None,
) -> Any:
    """Cut a module's parameters (those that are not cut yet) along dimension 0 over the devices of a mesh, its last side.

    Inputs are cut along the batch. The numbers are those of one device. A parameter that can't be cut into equal parts along
    dimension 0 is cut along another, or whole everywhere (`flambeau.parallel.explain` says which). NotImplementedError for mixed
    precision, offloading, and a mesh of processes.
    """
    _refuse(mp_policy, offload_policy, reshard_after_forward, dp_mesh_dims)
    if isinstance(module, (list, tuple)):
        for one in module:
            fully_shard(one, mesh=mesh, shard_placement_fn=shard_placement_fn, ignored_params=ignored_params)
        return module
    mesh = all_devices() if mesh is None else mesh
    layouts.grid_of(mesh)
    if isinstance(module, FSDPModule):
        raise ValueError(f"fully_shard has already been applied to {type(module).__name__}")
    ignored = {id(p) for p in ignored_params or ()}
    within: list[Any] = [part for part in module.modules() if isinstance(part, FSDPModule)]
    held = {id(p) for part in within for p in part.parameters()}
    for parameter in module.parameters():
        if id(parameter) in ignored or id(parameter) in held:
            continue
        if parameter.is_meta:
            raise NotImplementedError("fully_shard of parameters on the meta device: give them values first (to_empty)")
        cut(parameter, mesh, shard_placement_fn(parameter) if shard_placement_fn is not None else None)
    kind = type(module)
    if kind not in _kinds:
        _kinds[kind] = type(f"FSDP{kind.__name__}", (FSDPModule, kind), {})
    module.__class__ = _kinds[kind]
    cut_inputs(module, mesh)
    return module
