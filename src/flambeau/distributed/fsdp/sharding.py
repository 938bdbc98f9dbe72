"""Parameters cut over the devices of one process, or over several processes (`fully_shard`)."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np

from ...core.array import devices
from ...core.context.grad_mode import state as grad_state
from ...core.context.tracing import Untraceable
from ...core.tensor.storage import Storage, laid
from ...core.tensor.tensor import Tensor, blank
from ...nn.modules.module import Module
from ...processes import groups
from ..device_mesh import DeviceMesh, init_device_mesh, mesh_of
from ..tensor import layouts
from ..tensor.parallel.styles import lie
from ..tensor.placement_types import Placement, Replicate, Shard
from ..tensor.processes import assembled, part_of
from .api import MixedPrecisionPolicy, OffloadPolicy
from .gathering import Gather, Gathering, Place, Plan, cast, held_by, outer_of


def _refused(name: str, instead: str) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"FSDPModule.{name}: {instead}")

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"Refused: {instead}."
    return method


def _outside(unit: Unit, name: str) -> None:
    if grad_state.trace is not None and unit.mesh.several:
        raise Untraceable(f"it calls {name} of a sharded module: do that outside")


class UnshardHandle:
    """What `unshard(async_op=True)` gives."""

    def wait(self) -> None:
        """Nothing is left to wait for."""


class Within:
    """Watches the tape while a module's parameters are whole. With `lets_go`, its nodes do not keep these."""

    def __init__(self, unit: Unit, lets_go: bool):
        self.unit, self.gathering = unit, unit.gathering
        self.lets_go: bool = lets_go and unit.gathering is not None

    def __call__(self, node: Any, outputs: Any) -> None:
        if self.lets_go:
            self.gathering(node, outputs)  # type: ignore[misc]

    @contextlib.contextmanager
    def again(self) -> Iterator[None]:
        """The parameters are whole again, for a part of the module that is computed once more in the backward pass."""
        unit, gathering = self.unit, self.gathering
        if gathering is None or unit.held is not None:
            yield
            return
        cut = [owners[0][0]._parameters[owners[0][1]] for owners in unit.owners]
        unit._put([gathering.tensor(i) for i in range(len(cut))])
        try:
            yield
        finally:
            unit._put(cut)


def _own_array(args: Any) -> Any:
    """The first array among a module's arguments that is this process's own; None if there is none."""
    plain = (a for a in args if isinstance(a, Tensor) and type(a._storage) is Storage and not layouts.lies_on_a_mesh(a))
    return next((a._array for a in plain), None)


class Unit:
    """The parameters that a `fully_shard`ed module has to itself, by the modules and names that hold them.

    In several processes they are gathered before its forward and cut again after it; with mixed precision, cast.
    """

    def __init__(self, mesh: DeviceMesh, policy: MixedPrecisionPolicy, again: bool | None):
        self.mesh = mesh
        self.policy = policy
        self.again = again  # whether to gather again in the backward pass; None: unless it is the outermost module
        self.owners: list[list[tuple[Any, str]]] = []
        self.places: list[Place] = []
        self.factor: float | None = None
        self.held: list[Any] | None = None  # the cut ones, while the whole ones are in their place
        self.gathering: Gathering | None = None
        self.before_it: list[Any] = []  # who watched the tape before the forward pass
        self.trace: Any = None  # in which the whole ones were put there

    def _settings(self) -> Any:
        return self.factor, self.held is None

    def unshard(self, after: Any = None) -> None:
        """Put the whole parameters in the place of the cut ones; in a program, when the array `after` is there."""
        trace = grad_state.trace
        if self.held is not None or not self.owners:
            if self.held is not None and trace is not None and self.trace is not trace:
                raise Untraceable("it calls a module whose parameters `unshard` has made whole before")
            return
        if trace is not None:
            trace.guard(self._settings, "a sharded module divides gradients by another number, or was made whole")
        cut = [owners[0][0]._parameters[owners[0][1]] for owners in self.owners]
        if self.mesh.several:
            plan = Plan(self.mesh, self.policy, self.places, self.factor)
            self.gathering = Gathering(plan, [held_by(parameter) for parameter in cut])
            self.gathering.after = after
            whole: Any = Gather.apply(plan, self.gathering, *cut)
            self.gathering.edges = [tensor._edge for tensor in whole]
        elif self.policy.param_dtype is not None:
            whole = cast(cut, self.policy.param_dtype)
        else:
            return
        self._put(whole)
        self.held, self.trace = cut, grad_state.trace

    def reshard(self) -> None:
        """Put the cut parameters back."""
        if self.held is not None:
            if grad_state.trace is not None and self.trace is not grad_state.trace:
                return  # a trace ends that was refused since they are whole
            self._put(self.held)
            self.held = self.trace = None
        if self.gathering is not None:
            self.gathering.end()
            self.gathering = None

    def _put(self, parameters: Any) -> None:
        for owners, parameter in zip(self.owners, parameters, strict=True):
            for owner, name in owners:
                if grad_state.trace is not None:
                    grad_state.trace.lend(owner._parameters, name)
                owner._parameters[name] = parameter

    def before(self, _: Any, args: Any, kwargs: Any) -> Any:
        """A forward hook."""
        outermost = not any(isinstance(watch, Within) for watch in grad_state.watchers)
        again = not outermost if self.again is None else self.again
        self.unshard(_own_array(args) if again and grad_state.trace is not None else None)
        self.before_it.append(grad_state.watchers)
        grad_state.watchers = (*grad_state.watchers, Within(self, again))
        if self.policy.cast_forward_inputs and self.policy.param_dtype is not None:
            return cast(args, self.policy.param_dtype), cast(kwargs, self.policy.param_dtype)
        return None

    def after(self, _: Any, args: Any, output: Any) -> Any:
        """A forward hook, called also where forward has raised."""
        if self.before_it:
            grad_state.watchers = self.before_it.pop()
        self.reshard()
        return output if self.policy.output_dtype is None else cast(output, self.policy.output_dtype)


class FSDPModule:
    """What a module also is after `fully_shard`. What asks for another order of gathering and sending changes no number,
    and is taken.
    """

    _unit: Unit

    def __deepcopy__(self, memo: Any) -> Any:
        raise AssertionError("FSDP does not support deepcopy. Please use state dict for serialization.")

    def set_is_last_backward(self, is_last_backward: bool) -> None:
        """Taken: nothing is left over from one backward pass to the next."""

    def set_requires_gradient_sync(self, requires_gradient_sync: bool, *, recurse: bool = True) -> None:
        """Taken: each backward pass averages its gradients, and the sum of means is the mean of sums."""

    def set_requires_all_reduce(self, requires_all_reduce: bool, *, recurse: bool = True) -> None:
        """Taken: each backward pass averages its gradients, and the sum of means is the mean of sums."""

    def set_reshard_after_forward(self, reshard_after_forward: bool, recurse: bool = True) -> None:
        """Whether the whole parameters are given back after the forward pass, and gathered again in the backward pass."""
        for part in self.modules() if recurse else [self]:  # type: ignore[attr-defined]
            if isinstance(part, FSDPModule):
                part._unit.again = bool(reshard_after_forward)

    def set_reshard_after_backward(self, reshard_after_backward: bool, *, recurse: bool = True) -> None:
        """Taken: parameters are cut again after each forward pass."""

    def set_modules_to_forward_prefetch(self, modules: list[Any]) -> None:
        """Taken: it changes no number."""

    def set_modules_to_backward_prefetch(self, modules: list[Any]) -> None:
        """Taken: it changes no number."""

    def set_unshard_in_backward(self, unshard_in_backward: bool) -> None:
        """Taken: the backward pass gathers what it needs."""

    def set_post_optim_event(self, event: Any) -> None:
        """Taken: there are no streams to wait for."""

    def unshard(self, async_op: bool = False) -> UnshardHandle | None:
        """Put the whole parameters of this module (not of others that are sharded within) in the place of the cut ones, until
        `reshard` or the end of the next forward pass."""
        _outside(self._unit, "unshard")
        self._unit.unshard()
        return UnshardHandle() if async_op else None

    def reshard(self) -> None:
        """Put the cut parameters back."""
        _outside(self._unit, "reshard")
        self._unit.reshard()

    def set_gradient_divide_factor(self, factor: float) -> None:
        """Divide sums of gradients by this and not by the number of processes. NotImplementedError in one process."""
        if not self._unit.mesh.several:
            raise NotImplementedError(
                "FSDPModule.set_gradient_divide_factor: gradients are means over the whole batch as the loss says; scale the loss"
            )
        _outside(self._unit, "set_gradient_divide_factor")
        self._unit.factor = float(factor)

    set_reduce_scatter_divide_factor = set_gradient_divide_factor
    _hooks = "gradients are averaged by one plain collective, which takes no hooks"
    set_all_reduce_hook: Callable[..., Any] = _refused("set_all_reduce_hook", _hooks)
    set_custom_all_gather: Callable[..., Any] = _refused("set_custom_all_gather", _hooks)
    set_custom_reduce_scatter: Callable[..., Any] = _refused("set_custom_reduce_scatter", _hooks)


def all_devices() -> DeviceMesh:
    """A mesh with one side of all processes, or of all devices of one, of the default device's type."""
    kind = devices.get_default_device().type
    kind = "cpu" if kind == "meta" else kind  # where a model is made that has no values yet
    if groups.is_initialized() and groups.get_world_size() > 1:
        return init_device_mesh(kind, (groups.get_world_size(),))
    return init_device_mesh(kind, (len(devices.jax_devices(kind)),))


def _refuse(mesh: DeviceMesh, mp_policy: Any, offload_policy: Any, reshard: Any, dims: Any) -> None:
    if mp_policy.reduce_dtype not in (None, mp_policy.param_dtype) and not mesh.several:
        raise NotImplementedError(
            f"fully_shard(mp_policy={mp_policy}): in one process XLA adds gradients up in the dtype that is computed in; leave "
            "reduce_dtype out"
        )
    if type(offload_policy) is not OffloadPolicy and mesh.device_type != "cpu":
        raise NotImplementedError(f"fully_shard(offload_policy={offload_policy}): parameters stay on the devices")
    if dims is not None:
        raise NotImplementedError("fully_shard(dp_mesh_dims=): give those sides of the mesh: mesh=mesh['dp']")
    if isinstance(reshard, int) and not isinstance(reshard, bool) and mesh.size(mesh.ndim - 1) % reshard:
        raise ValueError(
            f"shard_mesh_size ({mesh.size(mesh.ndim - 1)}) must be a multiple of reshard_after_forward={reshard}"
        )


def _inner(parameter: Any, mesh: DeviceMesh) -> Any:
    """How a parameter lies already on another part of the same mesh of processes; None if it does not."""
    before: Any = layouts.sharding_of(parameter)
    if before is None or not mesh.several or before.mesh == mesh.grid:
        return None
    if mesh.ndim != 1 or mesh.sides[0] in before.mesh.axis_names or mesh.root is mesh:
        raise NotImplementedError(
            f"fully_shard over {mesh} of a parameter that lies on {mesh_of(before.mesh)}: both have to be sides of one mesh, "
            "mesh['dp'] and mesh['tp']"
        )
    return before


def _cut_once_more(parameter: Any, mesh: DeviceMesh, inner: Any, wanted: Any) -> Placement:
    value, n = parameter._array, mesh.size()
    lengths = inner.shard_shape(tuple(parameter.shape))
    dims = [wanted.dim % parameter.ndim] if wanted is not None else range(parameter.ndim)
    dim = next((d for d in dims if lengths[d] % n == 0), None)
    if dim is None and wanted is not None:
        raise NotImplementedError(
            f"dimension {wanted.dim} of a part of shape {list(lengths)} can't be cut into {n} equal parts"
        )
    outer = outer_of(inner, mesh, dim)
    if not parameter.is_meta:
        part = part_of(value)
        mine = part if dim is None else np.split(part, n, axis=dim)[mesh.get_local_rank()]
        value = assembled(mine, outer)
    parameter._repoint(blank(Tensor, laid(value, outer)))
    return Replicate() if dim is None else Shard(dim)


def _as_torch_cuts(placement: Shard, shape: Any, n: int) -> Shard:
    dim = placement.dim % len(shape)
    if dim and shape[dim] % n:
        raise NotImplementedError(f"FSDP does not support uneven sharding on dim {dim}: {shape} (world size: {n})")
    return Shard(dim)


def cut(parameter: Any, mesh: DeviceMesh, wanted: Placement | None = None) -> Placement:
    """Lay a parameter over the last side of the mesh, and say how: cut along dimension 0 (a number is whole everywhere). In one
    process, along the first dimension that can be cut into equal parts; whole everywhere if none can.
    """
    inner = _inner(parameter, mesh)
    if inner is not None:
        return _cut_once_more(parameter, mesh, inner, wanted)
    before = layouts.sharding_of(parameter)
    around = [Replicate()] * (mesh.ndim - 1)
    if mesh.several:
        made = wanted or (Shard(0) if parameter.ndim else Replicate())
        if isinstance(made, Shard):
            made = _as_torch_cuts(made, parameter.shape, mesh.size(mesh.ndim - 1))
        layouts.pin(parameter, layouts.layout_for(mesh, [*around, made], parameter.shape, before))
        return made
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

    In one process, inputs are cut along the batch, and the numbers are those of one device. In several, each process computes with
    its own batch and the whole parameters of one module at a time, and gradients are means over the processes; a mesh of two sides
    repeats along the first. With `reshard_after_forward` the whole parameters are given back after the forward pass, and gathered
    again in the backward pass (None: except those of the outermost module). Parts are `torch.chunk`'s in several processes. In one, a
    parameter that can't be cut into equal parts along dimension 0 is cut along another, or whole everywhere
    (`flambeau.parallel.explain` says which). NotImplementedError if `shard_placement_fn` asks for unequal parts of another dimension.
    """
    if isinstance(module, (list, tuple)):
        for one in module:
            fully_shard(
                one, mesh=mesh, reshard_after_forward=reshard_after_forward, shard_placement_fn=shard_placement_fn,
                mp_policy=mp_policy, offload_policy=offload_policy, ignored_params=ignored_params,
            )  # fmt: skip
        return module
    mesh = all_devices() if mesh is None else mesh
    _refuse(mesh, mp_policy, offload_policy, reshard_after_forward, dp_mesh_dims)
    layouts.grid_of(mesh)
    if isinstance(module, FSDPModule):
        raise ValueError(f"fully_shard has already been applied to {type(module).__name__}")
    again = None if reshard_after_forward is None else bool(reshard_after_forward)
    attach(module, mesh, mp_policy, {id(p) for p in ignored_params or ()}, shard_placement_fn, again)
    kind = type(module)
    if kind not in _kinds:
        _kinds[kind] = type(f"FSDP{kind.__name__}", (FSDPModule, kind), {})
    module.__class__ = _kinds[kind]
    return module


def attach(
    module: Any, mesh: DeviceMesh, policy: MixedPrecisionPolicy, ignored: set[int], placement_of: Callable[[Any], Any] | None,
    again: bool | None = None,
) -> Unit:  # fmt: skip
    """Cut a module's parameters, and have its forward gather them; its backward pass, too, if `again` (see `Unit`)."""
    unit = Unit(mesh, policy, again)
    _take(unit, module, ignored, placement_of)
    object.__setattr__(module, "_unit", unit)
    if not mesh.several:
        cut_inputs(module, mesh)
    if mesh.several or policy != MixedPrecisionPolicy():
        module.register_forward_pre_hook(unit.before, with_kwargs=True)
        module.register_forward_hook(unit.after, always_call=True)
    return unit


def _take(unit: Unit, module: Any, ignored: set[int], placement_of: Callable[[Any], Any] | None) -> None:
    """Cut the parameters of a module that no sharded module within has."""
    within: list[Any] = [part for part in module.modules() if "_unit" in vars(part)]
    held = {id(p) for part in within for p in part.parameters()} | ignored
    owners: dict[int, list[tuple[Any, str]]] = {}
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None and id(parameter) not in held:
                owners.setdefault(id(parameter), []).append((part, name))
    for found in owners.values():
        owner, name = found[0]
        parameter = owner._parameters[name]
        inner = _inner(parameter, unit.mesh)
        placement = cut(parameter, unit.mesh, None if placement_of is None else placement_of(parameter))
        shape = tuple(parameter.shape)
        dim = placement.dim if isinstance(placement, Shard) else None
        within_it = shape if inner is None else inner.shard_shape(shape)
        length = 0 if dim is None else within_it[dim]
        unit.owners.append(found)
        unit.places.append(Place(layouts.layout_of(parameter), inner, dim, length))
