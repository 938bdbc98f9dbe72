"""`torch.export.exported_program`: a module as a graph of torch's functions, with its parameters."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator
from typing import Any

from ..core.tensor.tensor import Tensor
from ..fx import Graph, GraphModule
from ..nn.modules.module import Module
from ..nn.parameter import Parameter
from ..runtime.absent import refuse as _refuse
from ..utils import _pytree as pytree
from .dynamic_shapes import Dim
from .graph_signature import (
    ConstantArgument,
    ExportGraphSignature,
    InputKind,
    InputSpec,
    OutputKind,
    OutputSpec,
    TensorArgument,
)

__all__ = ["ExportedProgram", "ModuleCallEntry", "ModuleCallSignature"]


@dataclasses.dataclass
class ModuleCallSignature:
    """How a module of the program is called."""

    inputs: list[Any]
    outputs: list[Any]
    in_spec: Any
    out_spec: Any


@dataclasses.dataclass
class ModuleCallEntry:
    """A module of the program."""

    fqn: str
    signature: ModuleCallSignature | None = None


@dataclasses.dataclass
class CallSpec:
    """How the inputs and outputs of a call are put together."""

    in_spec: Any
    out_spec: Any


@dataclasses.dataclass
class Range:
    """The sizes that a dimension may have."""

    lower: int
    upper: int | None

    def __repr__(self) -> str:
        return f"VR[{self.lower}, {'int_oo' if self.upper is None else self.upper}]"


class _Calls:
    """The checks of a call, as a hook before `forward`, and the putting together of its results, as one after it."""

    def __init__(self, program: ExportedProgram):
        self.program = program

    def before(self, module: Any, args: Any, kwargs: Any) -> Any:
        leaves, spec = pytree.tree_flatten((tuple(args), dict(kwargs)))
        if spec != self.program.call_spec.in_spec:
            raise ValueError(
                "Trying to flatten user inputs with exported input tree spec: \n"
                f"{self.program.call_spec.in_spec}\nbut actually got inputs with tree spec of: \n{spec}.\n"
                "Please check that the inputs have the same number and type of args and kwargs as the ones you used when tracing."
            )
        self.program._check(leaves)
        return tuple(leaves), {}

    def after(self, module: Any, args: Any, output: Any) -> Any:
        return pytree.tree_unflatten(list(output), self.program.call_spec.out_spec)


class ExportedProgram:
    """What `torch.export.export` returns: `module()` runs it.

    `graph_module` holds the graph; its nodes call torch's functions and methods (not ATen's operators), and get parameters from the
    module. `run_decompositions()` is the program itself, since there is nothing below these functions.
    """

    def __init__(
        self,
        graph_module: GraphModule,
        graph_signature: ExportGraphSignature,
        example_inputs: Any,
        call_spec: CallSpec,
        dims: list[dict[int, Any]],
    ):
        self.graph_module = graph_module
        self.graph_signature = graph_signature
        self.example_inputs = example_inputs
        self.call_spec = call_spec
        self._dims = dims
        self._recording: Any = None  # what `torch.onnx.export` goes by; not in a file

    @property
    def graph(self) -> Graph:
        """The graph."""
        return self.graph_module.graph

    @property
    def state_dict(self) -> dict[str, Any]:
        """Parameters and persistent buffers, which are the exported module's own."""
        named = dict(self.graph_module.named_parameters()) | dict(self.graph_module.named_buffers())
        kept = (*self.graph_signature.parameters, *self.graph_signature.buffers)
        left_out = self.graph_signature.non_persistent_buffers
        return {name: named[name] for name in kept if name not in left_out}

    @property
    def constants(self) -> dict[str, Tensor]:
        """Tensors that are no parameters, nor in `state_dict`."""
        named = dict(self.graph_module.named_buffers())
        signature = self.graph_signature
        return {name: named[name] for name in (*signature.non_persistent_buffers, *signature.lifted_tensor_constants)}

    tensor_constants = constants

    @property
    def range_constraints(self) -> dict[str, Range]:
        """By the name of a size that may change, which sizes it may have."""
        found = {}
        for dims in self._dims:
            for dim in dims.values():
                name = dim if isinstance(dim, str) else getattr(dim, "__name__", None)
                if name is not None:
                    found[name] = Range(getattr(dim, "min", 0) or 0, getattr(dim, "max", None))
        return found

    @property
    def module_call_graph(self) -> list[ModuleCallEntry]:
        """The program as one module."""
        spec = self.call_spec
        return [ModuleCallEntry("", ModuleCallSignature([], [], spec.in_spec, spec.out_spec))]

    @property
    def dialect(self) -> str:
        """`TRAINING`, as PyTorch calls a program that may still be trained."""
        return "TRAINING"

    def parameters(self) -> Iterator[Parameter]:
        """The parameters."""
        for _, parameter in self.named_parameters():
            yield parameter

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """The parameters with their names."""
        named = dict(self.graph_module.named_parameters())
        for name in self.graph_signature.parameters:
            yield name, named[name]

    def buffers(self) -> Iterator[Tensor]:
        """The buffers."""
        for _, buffer in self.named_buffers():
            yield buffer

    def named_buffers(self) -> Iterator[tuple[str, Tensor]]:
        """The buffers with their names."""
        named = dict(self.graph_module.named_buffers())
        for name in self.graph_signature.buffers:
            yield name, named[name]

    def module(self, check_guards: bool = True) -> GraphModule:
        """A module that runs the graph, with the arguments of the exported one. It has the mode that it was exported in.

        AssertionError at a call if a size is not that of the example and was not said to change.
        """
        made = copy.copy(self.graph_module)
        calls = _Calls(self)
        made.register_forward_pre_hook(calls.before, with_kwargs=True)
        made.register_forward_hook(calls.after)
        for mode in ("train", "eval"):
            made.__dict__[mode] = _refused(mode)
        return made

    def run_decompositions(
        self, decomp_table: Any = None, decompose_custom_triton_ops: bool = False
    ) -> ExportedProgram:
        """The program itself. NotImplementedError for a table, since its operators are ATen's."""
        if decomp_table:
            raise NotImplementedError(
                "ExportedProgram.run_decompositions: the graph's nodes are torch's functions, which a table of ATen operators "
                "does not name; rewrite it with torch.fx.replace_pattern or a torch.fx.Transformer"
            )
        return self

    def validate(self) -> None:
        """Raise what `torch.fx` says of a graph that is not well formed."""
        self.graph.lint()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(
            "Unable to call ExportedProgram directly. You should use `exported_program.module()` instead."
        )

    def __str__(self) -> str:
        code = self.graph_module.print_readable(print_output=False).replace("\n", "\n    ")
        told = str(self.graph_signature).replace("\n", "\n    ")
        return f"ExportedProgram:\n    {code}\nGraph signature: {told}\nRange constraints: {self.range_constraints}\n"

    def _check(self, leaves: list[Any]) -> None:
        examples, _ = pytree.tree_flatten(self.example_inputs)
        sizes: dict[str, int] = {}
        specs = [s for s in self.graph_signature.input_specs if s.kind is InputKind.USER_INPUT]
        for spec, example, leaf, dims in zip(specs, examples, leaves, self._dims, strict=True):
            name = spec.arg.name
            if not isinstance(example, Tensor):
                if example != leaf:
                    raise AssertionError(f"Guard failed: {name} == {example!r}; it was {leaf!r}")
                continue
            if not isinstance(leaf, Tensor) or leaf.ndim != example.ndim:
                raise AssertionError(f"Guard failed: {name} is a tensor of {example.ndim} dimensions")
            if leaf.dtype != example.dtype:
                raise AssertionError(f"Guard failed: {name}.dtype == {example.dtype}")
            for d, (size, expected) in enumerate(zip(leaf.shape, example.shape, strict=True)):
                _check_size(f"{name}.size()[{d}]", size, expected, dims.get(d), sizes)


def _check_size(what: str, size: int, expected: int, dim: Any, sizes: dict[str, int]) -> None:
    if dim is None:
        if size != expected:
            raise AssertionError(f"Guard failed: {what} == {expected}")
        return
    low, high = getattr(dim, "min", None), getattr(dim, "max", None)
    if low is not None and low > 2 and size < low:  # 2 is what a Dim has that says nothing
        raise AssertionError(f"Guard failed: {what} >= {low}")
    if high is not None and size > high:
        raise AssertionError(f"Guard failed: {what} <= {high}")
    name, at, rest = dim if isinstance(dim, str) else None, size, 0
    if isinstance(dim, Dim):
        factor, offset = dim._line
        name, (at, rest) = dim.root.__name__, divmod(size - offset, factor)
    if rest or (name is not None and sizes.setdefault(name, at) != at):
        told = dim if isinstance(dim, str) else dim.__name__
        raise AssertionError(
            f"Guard failed: {what} == {told}, where {name} is {sizes.get(str(name), 'a whole number')}; it was {size}"
        )


def _refused(mode: str) -> Any:
    def refuse(*_: Any) -> Any:
        raise NotImplementedError(f"Calling {mode}() is not supported yet.")

    return refuse


def signature(
    module: Module, graph: Graph, used: dict[str, Tensor], arguments: list[tuple[str, Any]]
) -> ExportGraphSignature:
    """What the inputs and outputs of a recorded graph are; `used` are the constants that were found in the code."""
    inputs = []
    for name, _ in module.named_parameters():
        inputs.append(InputSpec(InputKind.PARAMETER, TensorArgument(f"p_{name.replace('.', '_')}"), name))
    for owner, part in module.named_modules():
        for key, buffer in part._buffers.items():
            if buffer is not None:
                name = f"{owner}.{key}" if owner else key
                kept = key not in part._non_persistent_buffers_set
                inputs.append(InputSpec(InputKind.BUFFER, TensorArgument(f"b_{name.replace('.', '_')}"), name, kept))
    for name in used:
        inputs.append(InputSpec(InputKind.CONSTANT_TENSOR, TensorArgument(f"c_{name}"), name))
    for name, value in arguments:
        argument = TensorArgument(name) if isinstance(value, Tensor) else ConstantArgument(name, value)
        inputs.append(InputSpec(InputKind.USER_INPUT, argument, None))
    (result,) = next(node for node in graph.nodes if node.op == "output").args
    outputs = []
    for value in result:  # type: ignore[union-attr]
        named = getattr(value, "name", None)
        outputs.append(
            OutputSpec(OutputKind.USER_OUTPUT, TensorArgument(named) if named else ConstantArgument("", value))
        )
    return ExportGraphSignature(inputs, outputs)


_refuse(
    globals(),
    "ExportedProgram.run_decompositions takes a table of one's own",
    "default_decompositions ",
)
