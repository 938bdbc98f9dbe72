"""How a layer's parameters are cut, and how what goes in and comes out lies."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

import jax

from ....core.tensor.tensor import Tensor
from ....nn.modules.linear import Linear
from ....nn.modules.module import Module
from ....nn.modules.sparse import Embedding
from ...device_mesh import DeviceMesh
from .. import layouts
from ..dtensor import distribute_parameter
from ..placement_types import Placement, Replicate, Shard

Layouts = Placement | Sequence[Placement | None] | None


class ParallelStyle:
    """What is done with a module: `_apply(module, mesh)`."""

    src_data_rank: int | None = 0

    def _apply(self, module: Module, device_mesh: DeviceMesh) -> Module:
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def lie(value: Any, placement: Placement | None, mesh: DeviceMesh) -> Any:
    """A tensor laid so along the sides of `mesh`, as it was along others. What is no tensor, or has no placement, as it is.

    While a function is traced, nobody knows how a value will lie: what is not to be cut is left to XLA then.
    """
    if placement is None or not isinstance(value, Tensor):
        return value
    before = layouts.known_sharding_of(value)
    sharding = layouts.sharding_for(mesh, [placement] * mesh.ndim, value.shape, before)
    if isinstance(value._array, jax.core.Tracer):
        free = jax.sharding.PartitionSpec.UNCONSTRAINED
        entries = (*sharding.spec, *[None] * (value.ndim - len(sharding.spec)))
        spec = jax.sharding.PartitionSpec(*[free if entry is None else entry for entry in entries])
        sharding = jax.sharding.NamedSharding(sharding.mesh, spec)
    return value if before == sharding else layouts.relaid(value, sharding)


def _lie_all(values: Any, placements: Layouts, mesh: DeviceMesh, what: str) -> Any:
    """The same for a value or several, each with its placement. ValueError if there are not as many of both."""
    if not isinstance(values, tuple):
        only = placements[0] if isinstance(placements, (tuple, list)) else placements
        return lie(values, only, mesh)  # type: ignore[arg-type]
    if not isinstance(placements, (tuple, list)):
        placements = (placements, *[None] * (len(values) - 1))  # type: ignore[arg-type]
    if len(placements) != len(values):
        raise ValueError(f"module {what} and {what}_layouts should have same length!")
    return tuple(lie(value, placement, mesh) for value, placement in zip(values, placements, strict=True))


def _before(
    placements: Layouts, by_name: dict[str, Placement] | None, mesh: DeviceMesh, _: Any, args: Any, kwargs: Any
) -> Any:
    named = {name: lie(value, (by_name or {}).get(name), mesh) for name, value in kwargs.items()}
    return (_lie_all(args, placements, mesh, "inputs") if args else args), named


def _after(placements: Layouts, mesh: DeviceMesh, _: Any, args: Any, output: Any) -> Any:
    return _lie_all(output, placements, mesh, "outputs")


def around(module: Module, mesh: DeviceMesh, inputs: Layouts, outputs: Layouts, by_name: Any = None) -> None:
    """Lay what goes into a module and comes out of it."""
    if inputs is not None or by_name:
        module.register_forward_pre_hook(partial(_before, inputs, by_name, mesh), with_kwargs=True)
    if outputs is not None:
        module.register_forward_hook(partial(_after, outputs, mesh))


class _Cut(ParallelStyle):
    """Layers whose weight is cut. `input_layouts` says what a rank's own input is part of, and `use_local_output` whether a
    rank gets its own part: in one process both are the whole tensor, so that neither changes a number.
    """

    cuts: ClassVar[dict[type, dict[str, Placement]]] = {}
    wanted: Placement
    given: Placement

    def __init__(
        self,
        *,
        input_layouts: Placement | None = None,
        output_layouts: Placement | None = None,
        use_local_output: bool = True,
    ) -> None:
        self.input_layouts, self.use_local_output = input_layouts, use_local_output
        self.output_layouts = output_layouts or self.given

    def _apply(self, module: Module, device_mesh: DeviceMesh) -> Module:
        cut = next((cuts for kind, cuts in self.cuts.items() if isinstance(module, kind)), None)
        if cut is None:
            raise NotImplementedError(f"{type(self).__name__} currently only support nn.Linear and nn.Embedding!")
        for name in module._parameters:
            distribute_parameter(module, name, device_mesh, [cut.get(name, Replicate())])
        around(module, device_mesh, self.wanted if isinstance(module, Linear) else Replicate(), self.output_layouts)
        return module


class ColwiseParallel(_Cut):
    """Each device has some of the output features."""

    cuts: ClassVar = {Linear: {"weight": Shard(0), "bias": Shard(0)}, Embedding: {"weight": Shard(1)}}
    wanted, given = Replicate(), Shard(-1)


class RowwiseParallel(_Cut):
    """Each device has some of the input features (of an Embedding: some of its rows)."""

    cuts: ClassVar = {Linear: {"weight": Shard(1)}, Embedding: {"weight": Shard(0)}}
    wanted, given = Shard(-1), Replicate()


class SequenceParallel(ParallelStyle):
    """Whole parameters, and inputs that are cut along the sequence."""

    def __init__(self, *, sequence_dim: int = 1, use_local_output: bool = False) -> None:
        self.sequence_dim, self.use_local_output = sequence_dim, use_local_output

    def _apply(self, module: Module, device_mesh: DeviceMesh) -> Module:
        for name in module._parameters:
            distribute_parameter(module, name, device_mesh, [Replicate()])
        around(module, device_mesh, Shard(self.sequence_dim), None)
        return module


class PrepareModuleInput(ParallelStyle):
    """Lay a module's inputs."""

    def __init__(
        self,
        *,
        input_layouts: Layouts = None,
        desired_input_layouts: Layouts = None,
        input_kwarg_layouts: dict[str, Placement] | None = None,
        desired_input_kwarg_layouts: dict[str, Placement] | None = None,
        use_local_output: bool = False,
    ) -> None:
        if input_layouts is not None and desired_input_layouts is None:
            raise AssertionError("desired module inputs should not be None!")
        self.desired, self.by_name = desired_input_layouts, desired_input_kwarg_layouts

    def _apply(self, module: Module, device_mesh: DeviceMesh) -> Module:
        around(module, device_mesh, self.desired, None, self.by_name)
        return module


class PrepareModuleOutput(ParallelStyle):
    """Lay a module's outputs."""

    def __init__(
        self, *, output_layouts: Layouts, desired_output_layouts: Layouts, use_local_output: bool = True
    ) -> None:
        self.desired = desired_output_layouts

    def _apply(self, module: Module, device_mesh: DeviceMesh) -> Module:
        around(module, device_mesh, None, self.desired)
        return module


class PrepareModuleInputOutput(ParallelStyle):
    """Lay a module's inputs and outputs."""

    def __init__(
        self,
        *,
        input_layouts: Layouts = None,
        desired_input_layouts: Layouts = None,
        input_kwarg_layouts: dict[str, Placement] | None = None,
        desired_input_kwarg_layouts: dict[str, Placement] | None = None,
        use_local_input: bool = False,
        output_layouts: Layouts,
        desired_output_layouts: Layouts,
        use_local_output: bool = True,
    ) -> None:
        self.before = PrepareModuleInput(
            input_layouts=input_layouts,
            desired_input_layouts=desired_input_layouts,
            input_kwarg_layouts=input_kwarg_layouts,
            desired_input_kwarg_layouts=desired_input_kwarg_layouts,
        )
        self.after = PrepareModuleOutput(output_layouts=output_layouts, desired_output_layouts=desired_output_layouts)

    def _apply(self, module: Module, device_mesh: DeviceMesh) -> Module:
        return self.after._apply(self.before._apply(module, device_mesh), device_mesh)
