"""How a layer's parameters are cut, and how what goes in and comes out lies."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, NamedTuple

import jax

from ....core.context.grad_mode import state as grad_state
from ....core.tensor.tensor import Tensor
from ....nn.modules.linear import Linear
from ....nn.modules.module import Module
from ....nn.modules.sparse import Embedding
from ...device_mesh import DeviceMesh
from .. import layouts, parts
from ..dtensor import DTensor, distribute_parameter, to_local
from ..placement_types import Placement, Replicate, Shard

Layouts = Placement | Sequence[Placement | None] | None


class ParallelStyle:
    """What is done with a module: `_apply(module, mesh)`."""

    src_data_rank: int | None = 0

    def _apply(self, module: Module, device_mesh: DeviceMesh) -> Module:
        raise NotImplementedError

    def _said(self) -> dict[str, Any]:
        """What it was made with, as it is printed."""
        return {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value}' for name, value in self._said().items())})"


def _tuple(given: Layouts) -> Any:
    return (given,) if isinstance(given, Placement) else given


def lie(value: Any, placement: Placement | None, mesh: DeviceMesh) -> Any:
    """A tensor laid so along the sides of `mesh`, as it was along others. What is no tensor, or has no placement, as it is.

    While a function is traced, nobody knows how a value will lie: what is not to be cut is left to XLA then.
    """
    if placement is None or not isinstance(value, Tensor):
        return value
    before = layouts.known_sharding_of(value)
    sharding = layouts.layout_for(mesh, [placement] * mesh.ndim, value.shape, before)
    if isinstance(sharding, layouts.Unequal):
        laid_so = before is not None and layouts.placements_along(value) == sharding.placements
        return value if laid_so or grad_state.trace is not None else layouts.relaid(value, sharding)
    if grad_state.trace is not None and not mesh.several and isinstance(value._array, jax.core.Tracer):
        free = jax.sharding.PartitionSpec.UNCONSTRAINED
        entries = (*sharding.spec, *[None] * (value.ndim - len(sharding.spec)))
        spec = jax.sharding.PartitionSpec(*[free if entry is None else entry for entry in entries])
        sharding = jax.sharding.NamedSharding(sharding.mesh, spec)
    return value if before == sharding and parts.of(value) is None else layouts.relaid(value, sharding)


class Laying(NamedTuple):
    """How values are laid: plain tensors of several processes are parts of a whole as `given` says, what is to be had is
    `wanted`, and `local` asks for this process's part of that."""

    mesh: DeviceMesh
    given: Layouts
    wanted: Layouts
    local: bool

    def one(self, value: Any, given: Placement | None, wanted: Placement | None) -> Any:
        """A value. In one process all values are whole, so that only `wanted` says something."""
        if not self.mesh.several:
            return lie(value, wanted, self.mesh)
        if not isinstance(value, Tensor) or (given is None and wanted is None):
            return value
        if not layouts.lies_on_a_mesh(value):
            if given is None:
                return value
            value = DTensor.from_local(value, self.mesh, [given] * self.mesh.ndim)
        value = lie(value, wanted, self.mesh)
        return to_local(value) if self.local else value

    def all(self, values: Any, what: str) -> Any:
        """A value or several, each with its placement. ValueError if there are not as many of both."""
        several = isinstance(values, tuple)
        given, wanted = (_listed(layout, len(values) if several else 1) for layout in (self.given, self.wanted))
        if not several:
            return self.one(values, given[0], wanted[0])
        if len(given) != len(values) or len(wanted) != len(values):
            raise ValueError(f"module {what} and {what[:-1]}_layouts should have same length!")
        return tuple(map(self.one, values, given, wanted))


def _listed(placements: Layouts, count: int) -> list[Placement | None]:
    if isinstance(placements, (tuple, list)):
        return list(placements)
    return [placements, *[None] * (count - 1)]  # type: ignore[list-item]


def _before(laying: Laying, by_name: dict[str, tuple[Any, Any]], _: Any, args: Any, kwargs: Any) -> Any:
    named = {name: laying.one(value, *by_name.get(name, (None, None))) for name, value in kwargs.items()}
    return (laying.all(args, "inputs") if args else args), named


def _after(laying: Laying, _: Any, args: Any, output: Any) -> Any:
    return laying.all(output, "outputs")


def _own_part(_: Any, args: Any, output: Any) -> Any:
    """A forward hook that gives this process's part, however the output lies."""
    return to_local(output) if isinstance(output, Tensor) and layouts.lies_on_a_mesh(output) else output


def lay_inputs(module: Module, laying: Laying, by_name: dict[str, tuple[Any, Any]] | None = None) -> None:
    """Lay what goes into a module, positional and by name."""
    module.register_forward_pre_hook(partial(_before, laying, by_name or {}), with_kwargs=True)


def lay_outputs(module: Module, laying: Laying) -> None:
    """Lay what comes out of a module."""
    module.register_forward_hook(partial(_after, laying))


class _Cut(ParallelStyle):
    """Layers whose weight is cut. `input_layouts` says what a process's plain input is part of, and `use_local_output` whether a
    process gets its own part of the output as a plain tensor: in one process both are the whole, so that neither changes a number.
    """

    input_layouts: Placement
    use_local_output: bool

    cuts: ClassVar[dict[type, dict[str, Placement]]] = {}
    taken: Placement
    wanted: Placement
    given: Placement

    def __init__(
        self,
        *,
        input_layouts: Placement | None = None,
        output_layouts: Placement | None = None,
        use_local_output: bool = True,
    ) -> None:
        self.input_layouts, self.use_local_output = input_layouts or self.taken, use_local_output
        self.output_layouts: Placement = output_layouts or self.given

    def _said(self) -> dict[str, Any]:
        names = ("input_layouts", "output_layouts")
        return {name: (getattr(self, name),) for name in names} | {"use_local_output": self.use_local_output}

    def _apply(self, module: Module, device_mesh: DeviceMesh) -> Module:
        cut = next((cuts for kind, cuts in self.cuts.items() if isinstance(module, kind)), None)
        if cut is None:
            raise NotImplementedError(f"{type(self).__name__} currently only support nn.Linear and nn.Embedding!")
        for name in module._parameters:
            distribute_parameter(module, name, device_mesh, [cut.get(name, Replicate())], self.src_data_rank)
        wanted = self.wanted if isinstance(module, Linear) else Replicate()
        taken = self.input_layouts if isinstance(module, Linear) or self.taken != self.input_layouts else Replicate()
        lay_inputs(module, Laying(device_mesh, taken, wanted, False))
        lay_outputs(module, Laying(device_mesh, None, self.output_layouts, self.use_local_output))
        return module


class ColwiseParallel(_Cut):
    """Each device has some of the output features."""

    cuts: ClassVar = {Linear: {"weight": Shard(0), "bias": Shard(0)}, Embedding: {"weight": Shard(1)}}
    taken: Replicate = Replicate()
    wanted: Replicate = Replicate()
    given: Shard = Shard(-1)


class RowwiseParallel(_Cut):
    """Each device has some of the input features (of an Embedding: some of its rows)."""

    cuts: ClassVar = {Linear: {"weight": Shard(1)}, Embedding: {"weight": Shard(0)}}
    taken: Shard = Shard(-1)
    wanted: Shard = Shard(-1)
    given: Replicate = Replicate()


class SequenceParallel(ParallelStyle):
    """Whole parameters, and inputs that are cut along the sequence."""

    def __init__(self, *, sequence_dim: int = 1, use_local_output: bool = False) -> None:
        self.sequence_dim = sequence_dim
        self.use_local_output = use_local_output

    def _said(self) -> dict[str, Any]:
        return {"sequence_dim": self.sequence_dim, "use_local_output": self.use_local_output}

    def _apply(self, module: Module, device_mesh: DeviceMesh) -> Module:
        for name in module._parameters:
            distribute_parameter(module, name, device_mesh, [Replicate()], self.src_data_rank)
        cut = Shard(self.sequence_dim)
        lay_inputs(module, Laying(device_mesh, cut, cut, False))
        if self.use_local_output and device_mesh.several:
            module.register_forward_hook(_own_part)
        return module


class PrepareModuleInput(ParallelStyle):
    """Lay a module's inputs."""

    named: dict[str, Placement]
    wanted: dict[str, Placement]

    def __init__(
        self, *, input_layouts: Layouts = None, desired_input_layouts: Layouts = None,
        input_kwarg_layouts: dict[str, Placement] | None = None,
        desired_input_kwarg_layouts: dict[str, Placement] | None = None, use_local_output: bool = False,
    ) -> None:  # fmt: skip
        if input_layouts is not None and desired_input_layouts is None:
            raise AssertionError("desired module inputs should not be None!")
        self.given = input_layouts
        self.desired = desired_input_layouts
        self.local = use_local_output
        named, wanted = input_kwarg_layouts or {}, desired_input_kwarg_layouts or {}
        self.named, self.wanted = named, wanted
        self.by_name: dict[str, tuple[Placement | None, Placement | None]] = {
            name: (named.get(name), wanted.get(name)) for name in {**named, **wanted}
        }

    def _said(self) -> dict[str, Any]:
        by_place = {"input_layouts": _tuple(self.given), "desired_input_layouts": _tuple(self.desired)}
        by_name = {"input_kwarg_layouts": self.named, "desired_input_kwarg_layouts": self.wanted}
        return by_place | by_name | {"use_local_output": self.local}

    def _apply(self, module: Module, device_mesh: DeviceMesh) -> Module:
        lay_inputs(module, Laying(device_mesh, self.given, self.desired, self.local), self.by_name)
        return module


class PrepareModuleOutput(ParallelStyle):
    """Lay a module's outputs."""

    def __init__(
        self, *, output_layouts: Layouts, desired_output_layouts: Layouts, use_local_output: bool = True
    ) -> None:
        self.given = output_layouts
        self.desired = desired_output_layouts
        self.local = use_local_output

    def _said(self) -> dict[str, Any]:
        by_place = {"output_layouts": _tuple(self.given), "desired_output_layouts": _tuple(self.desired)}
        return by_place | {"use_local_output": self.local}

    def _apply(self, module: Module, device_mesh: DeviceMesh) -> Module:
        lay_outputs(module, Laying(device_mesh, self.given, self.desired, self.local))
        return module


class PrepareModuleInputOutput(ParallelStyle):
    """Lay a module's inputs and outputs."""

    def __init__(
        self, *, input_layouts: Layouts = None, desired_input_layouts: Layouts = None,
        input_kwarg_layouts: dict[str, Placement] | None = None,
        desired_input_kwarg_layouts: dict[str, Placement] | None = None, use_local_input: bool = False,
        output_layouts: Layouts, desired_output_layouts: Layouts, use_local_output: bool = True,
    ) -> None:  # fmt: skip
        self.before: PrepareModuleInput = PrepareModuleInput(
            input_layouts=input_layouts,
            desired_input_layouts=desired_input_layouts,
            input_kwarg_layouts=input_kwarg_layouts,
            desired_input_kwarg_layouts=desired_input_kwarg_layouts,
            use_local_output=use_local_input,
        )
        self.after: PrepareModuleOutput = PrepareModuleOutput(
            output_layouts=output_layouts,
            desired_output_layouts=desired_output_layouts,
            use_local_output=use_local_output,
        )

    def _said(self) -> dict[str, Any]:
        said = self.before._said()
        local = said.pop("use_local_output")
        return {**said, "use_local_input": local, **self.after._said()}

    def _apply(self, module: Module, device_mesh: DeviceMesh) -> Module:
        return self.after._apply(self.before._apply(module, device_mesh), device_mesh)
