"""From a recorded graph (see `flambeau.export`) to an ONNX model."""

from __future__ import annotations

import inspect
import operator
from typing import Any

import numpy as np

import onnx

from ..core.context.grad_mode import no_grad
from ..core.tensor.tensor import Tensor
from ..export._export import _repeated
from ..export._recording import Recorder, Recording, name_of
from ..export.exported_program import ExportedProgram
from ..fx import Node
from ..nn.modules.module import Module
from ..overrides import resolve_name
from ..utils import _pytree as pytree
from ..version import __version__
from . import _layers, _shapes  # noqa: F401  (they declare the forms)
from ._compositions import COMPOSED
from ._graph import KINDS, Builder, Size, Unsupported, Value, np_name
from ._pointwise import HANDLERS
from .errors import OnnxExporterError, UnsupportedOperatorError

_SIZES = {operator.add: "add", operator.mul: "mul", operator.floordiv: "floordiv"}


class Converter:
    """Goes through the graph node by node."""

    def __init__(self, program: ExportedProgram, opset: int):
        self.recorded = program._recording
        self.builder = Builder(opset)
        self.results: dict[Node, Any] = {}
        self.stale: dict[Node, str] = {}
        self.inputs: list[tuple[Node, Value]] = []
        self.outputs: list[tuple[Any, Value]] = []

    def run(self, input_names: list[str], output_names: list[str]) -> None:
        """Write every node. UnsupportedOperatorError names the first function that has no form in ONNX."""
        given = iter(input_names)
        self.builder.taken.update(input_names, output_names)
        for node in self.recorded.graph.nodes:
            if node.op == "placeholder":
                self._input(node, given)
            elif node.op == "output":
                self._output(node, output_names)
            elif node.op != "get_attr":
                self._call(node)

    def _input(self, node: Node, given: Any) -> None:
        like = self.recorded.values.get(node)
        if like is not None:
            name = next(given, None)
            if name is None:
                name = self.builder.fresh(str(node.target))
            self.results[node] = self._value(node, name)
            self.inputs.append((node, self.results[node]))

    def _value(self, node: Node, name: str) -> Value:
        self.builder.moving.update((name, d) for d in self.recorded.moving.get(node, ()))
        return Value(name, self.recorded.values[node])

    def _is_fixed(self, node: Node) -> bool:
        """Whether a node has the same value in every run."""
        return not any(argument in self.results for argument in node.all_input_nodes)

    def _argument(self, node: Node) -> Any:
        if node in self.stale:
            raise Unsupported(f"{self.stale[node]} has written into a tensor that is used again under another name")
        if node not in self.results:
            if node not in self.recorded.values:
                raise Unsupported("a constant that is no tensor")
            name = str(node.target) if node.op == "get_attr" else node.name
            return self.builder.tensor(self.recorded.values[node], name)
        return self.results[node]

    def _call(self, node: Node) -> None:
        if self._is_fixed(node):
            return
        if node.target in _SIZES and node not in self.recorded.values:
            left, right = (self.results[a] if isinstance(a, Node) else a for a in node.args)
            self.results[node] = _shapes.arithmetic(self.builder, _SIZES[node.target], left, right)  # type: ignore[index]
            return
        if node.target is operator.getitem and isinstance(self.results.get(node.args[0]), list):  # type: ignore[arg-type]
            name = self.results[node.args[0]][node.args[1]]  # type: ignore[index]
            self.results[node] = name if isinstance(name, list) else self._value(node, name)
            return
        name, shown = _names(node)
        try:
            made = self._converted(node, name)
        except Unsupported as why:
            raise UnsupportedOperatorError(shown, self.builder.opset, None, str(why)) from None
        if isinstance(made, (tuple, list)):
            self.results[node] = list(made)
        else:
            self.results[node] = made if isinstance(made, Size) else self._value(node, made)
        if node.meta.get("writes"):
            self._note_write(node, shown)

    def _converted(self, node: Node, name: str) -> Any:
        handler = HANDLERS.get(name) or HANDLERS.get(name.removesuffix("_") if not name.endswith("__") else name)
        if handler is None and name in COMPOSED:
            return self._composed(node, COMPOSED[name])
        if handler is None:
            raise Unsupported("flambeau has no form of it in ONNX")
        args, kwargs = node.args, dict(node.kwargs)
        if kwargs.get("out", node) is None:
            del kwargs["out"]
        if node.target is getattr:
            args = args[:1]
        args, kwargs = pytree.tree_map(
            lambda a: self._argument(a) if isinstance(a, Node) else self._in_slice(a), (tuple(args), kwargs)
        )
        example = self.recorded.values.get(node)
        if example is None:
            example = self._parts(node)
        try:
            inspect.signature(handler).bind(self.builder, example, *args, **kwargs)
        except TypeError as error:
            raise Unsupported(str(error)) from None
        return handler(self.builder, example, *args, **kwargs)

    def _composed(self, node: Node, function: Any) -> Any:
        """A function that is made of others: those, recorded for the example, are converted in its place."""
        inputs = list(dict.fromkeys(node.all_input_nodes))
        if any(n not in self.recorded.values for n in inputs):
            raise Unsupported("a size as an argument")
        given = [self._argument(n) for n in inputs]
        part = self._recorded(node, function, inputs, 0)
        if any((value.name, d) in self.builder.moving for value in given for d in range(value.ndim)):
            other = self._recorded(node, function, inputs, 1)
            for a, b in zip(part.graph.nodes, other.graph.nodes, strict=True):
                if a in part.values:
                    shapes = zip(part.values[a].shape, other.values[b].shape, strict=True)
                    part.moving[a] = {d for d, (m, n) in enumerate(shapes) if m != n}
        outer, self.recorded = self.recorded, part
        try:
            values = iter(given)
            for inner in part.graph.nodes:
                if inner.op == "placeholder":
                    self.results[inner] = next(values)
                elif inner.op == "output":
                    made = [self._argument(result).name for result in inner.args[0]]  # type: ignore[union-attr]
                elif inner.op != "get_attr":
                    self._call(inner)
        finally:
            self.recorded = outer
        return made if isinstance(part.out_spec, list) else made[0]

    def _recorded(self, node: Node, function: Any, inputs: list[Node], longer: int) -> Recording:
        """What the function calls, for the example or for one whose changing sizes are greater by `longer`."""
        examples = {}
        for n in inputs:
            example = self.recorded.values[n].detach()
            for d in range(example.ndim if longer else 0):
                if (self._argument(n).name, d) in self.builder.moving:
                    example = _repeated(example, d, example.shape[d] + longer)
            examples[n] = example.clone()
        recorder = Recorder(Module())
        for n, example in examples.items():
            recorder.note(example, recorder.graph.placeholder(n.name))
            recorder.computed.add(recorder.nodes[id(example)])
        args, kwargs = pytree.tree_map(
            lambda a: examples[a] if isinstance(a, Node) else a, (tuple(node.args), dict(node.kwargs))
        )
        with no_grad(), recorder:
            try:
                output = function(*args, **kwargs)
            except TypeError as error:
                raise Unsupported(str(error)) from None
        flat = list(output) if isinstance(output, tuple) else [output]
        recorder.graph.output(tuple(recorder.argument(leaf) for leaf in flat))
        return Recording(recorder, flat, flat if isinstance(output, tuple) else None)

    def _in_slice(self, value: Any) -> Any:
        if not isinstance(value, slice):
            return value
        return slice(*(self._argument(p) if isinstance(p, Node) else p for p in (value.start, value.stop, value.step)))

    def _parts(self, node: Node) -> list[Any]:
        """The examples of the tensors of a result that is a tuple."""
        taken = [u for u in node.users if u.target is operator.getitem and u.args[0] is node]
        parts = {u.args[1]: self.recorded.values.get(u) for u in taken if isinstance(u.args[1], int)}
        return [parts.get(i) for i in range(1 + max(parts, default=-1))]

    def _note_write(self, node: Node, shown: str) -> None:
        storage = self.recorded.values[node]._storage
        for other, value in self.recorded.values.items():
            if other is node:
                break
            if isinstance(value, Tensor) and value._storage is storage and other.op != "get_attr":
                self.stale[other] = shown

    def _output(self, node: Node, names: list[str]) -> None:
        for i, result in enumerate(node.args[0]):  # type: ignore[arg-type,union-attr]
            if not isinstance(result, Node):
                if result is None:
                    continue
                raise OnnxExporterError(f"torch.onnx.export: output {i} is {result!r}, and not a tensor")
            try:
                value = self._argument(result)
            except Unsupported as why:
                raise OnnxExporterError(f"torch.onnx.export: output {i}: {why}") from None
            at = len(self.outputs)
            name = names[at] if at < len(names) else self.builder.fresh(f"output_{at}" if at else "output")
            self.builder.nodes.append(onnx.helper.make_node("Identity", [value.name], [name], name=name))
            self.outputs.append((result, Value(name, value.like)))

    def model(self, named: dict[tuple[str, int], str], inputs_too: bool) -> Any:
        """The ONNX model. `named` are the names of sizes that may change."""
        b = self.builder
        used = {name for node in b.nodes for name in node.input}
        initializers = [value for name, value in b.initializers.items() if name in used]
        given = [self._info(node, value, named) for node, value in self.inputs]
        if inputs_too:
            given += [onnx.helper.make_tensor_value_info(i.name, i.data_type, list(i.dims)) for i in initializers]
        results = [self._info(node, value, named) for node, value in self.outputs]
        graph = onnx.helper.make_graph(b.nodes, "main_graph", given, results, initializers)
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", b.opset)], ir_version=10)
        model.producer_name, model.producer_version = "flambeau", __version__
        return model

    def _info(self, node: Any, value: Value, named: dict[tuple[str, int], str]) -> Any:
        moving = self.recorded.moving.get(node, ())
        sizes = [
            named.get((value.name, d), f"{value.name}_dim_{d}") if d in moving else n for d, n in enumerate(value.shape)
        ]
        return onnx.helper.make_tensor_value_info(value.name, KINDS[np_name(value.dtype)], sizes)


def _names(node: Node) -> tuple[str, str]:
    """How a node's function is called in the table, and in full."""
    if node.op == "call_method":
        return str(node.target), f"torch.Tensor.{node.target}"
    if node.target is getattr:
        return str(node.args[1]), f"torch.Tensor.{node.args[1]}"
    if node.target is operator.getitem:
        return "getitem", "torch.Tensor.__getitem__"
    if node.target is operator.setitem:
        return "setitem", "torch.Tensor.__setitem__"
    return name_of(node.target), resolve_name(node.target) or str(node.target)  # type: ignore[arg-type]


def array(value: Any) -> Any:
    """A tensor as NumPy's array, for the runtime."""
    return np.asarray(value.detach()._array) if isinstance(value, Tensor) else np.asarray(value)
