"""From a recorded graph (see `flambeau.export`) to an ONNX model."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Iterator
from typing import Any

import numpy as np

import onnx

from .._higher_order_ops.cond import cond
from ..core.array.dtypes import bool as bool_
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
from . import _choosing, _indexing, _layer_compositions, _layers, _named, _shapes  # noqa: F401  (they declare the forms)
from ._compositions import COMPOSED
from ._graph import KINDS, Builder, Size, Unsupported, Value, np_name
from ._pointwise import HANDLERS
from .errors import OnnxExporterError, UnsupportedOperatorError

_PLAIN = ("empty", "zeros", "ones", "full", "arange", "eye", "tensor")  # what gives the same each time
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
        self.plain: dict[Node, Tensor] = {}
        self.at = 0
        self.writes = _writes(self.recorded)

    def run(self, input_names: list[str], output_names: list[str]) -> None:
        """Write every node. UnsupportedOperatorError names the first function that has no form in ONNX."""
        given = iter(input_names)
        self.builder.taken.update(input_names, output_names)
        for at, node in enumerate(self.recorded.graph.nodes):
            self.at = at
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
        found = node.meta.get("found", frozenset())
        if found:
            self.recorded.moving[node] = {*self.recorded.moving.get(node, ()), *found}
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
            return self.builder.tensor(self._constant(node), name)
        return self.results[node]

    def _constant(self, node: Node) -> Tensor:
        """A tensor of the example as it is at this place of the graph: what is written into it later is not in it yet."""
        tensor = self.recorded.values[node]
        at = self.writes.get(id(tensor._storage), [])
        if not any(i >= self.at for i in at):
            return tensor
        if at[0] < self.at or node.op == "get_attr" or node.all_input_nodes or _names(node)[0] not in _PLAIN:
            raise Unsupported("a constant into which something is written later: begin with a .clone() of it")
        if node not in self.plain:
            self.plain[node] = node.target(*node.args, **node.kwargs)  # type: ignore[operator]
        return self.plain[node]

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
        if name == "setitem" and self._gives_back(node):
            self.stale.pop(node.args[0], None)  # type: ignore[arg-type]
        try:
            made = self._if(node) if node.target is cond else self._converted(node, name)
        except Unsupported as why:
            raise UnsupportedOperatorError(shown, self.builder.opset, None, str(why)) from None
        if name == "setitem":
            self._rewritten(node.args[0], made, shown)  # type: ignore[arg-type]
            return
        if isinstance(made, (tuple, list)):
            self.results[node] = list(made)
        else:
            self.results[node] = made if isinstance(made, Size) else self._value(node, made)
        if node.meta.get("writes"):
            self._note_write(node, shown)

    def _rewritten(self, node: Node, made: str, shown: str) -> None:
        """From here on a node's tensor is what was made of it by writing into a part; its other names are stale."""
        self.results[node] = self._value(node, made)
        self.stale.pop(node, None)
        storage = self.recorded.values[node]._storage
        for other, value in self.recorded.values.items():
            if other is not node and isinstance(value, Tensor) and value._storage is storage and other in self.results:
                self.stale[other] = shown

    def _gives_back(self, node: Node) -> bool:
        """Whether this is the end of `x[index] += ...`: all that was written since `x[index]` was taken is in what is set."""
        into, index, value = node.args
        writes = 0
        while isinstance(value, Node) and value.meta.get("writes"):
            value, writes = value.args[0], writes + 1
        if not isinstance(value, Node) or value.target is not operator.getitem or value.args != (into, index):
            return False
        taken = list(self.recorded.graph.nodes).index(value)
        storage = self.recorded.values[into]._storage  # type: ignore[index]
        return writes == sum(taken < at < self.at for at in self.writes.get(id(storage), ()))

    def _if(self, node: Node) -> list[str]:
        """`torch.cond`: each branch, recorded for the example, as a graph that sees the names of the outer one."""
        pred, *names, operands = node.args
        inputs = list(dict.fromkeys(a for a in operands if isinstance(a, Node)))  # type: ignore[union-attr]
        branches = []
        for name in names:
            module = self.recorded.submodules[str(name.target)]  # type: ignore[union-attr]
            outer, self.builder.nodes = self.builder.nodes, []
            try:
                made = self._composed(module, inputs, (tuple(operands), {}))  # type: ignore[arg-type]
                results = [self.builder.node("Identity", [value.name]) for value in made]
                infos = [
                    onnx.helper.make_tensor_value_info(result, KINDS[np_name(value.dtype)], [None] * value.ndim)
                    for result, value in zip(results, made, strict=True)
                ]
                branches.append(onnx.helper.make_graph(self.builder.nodes, str(name.target), [], infos))  # type: ignore[union-attr]
            finally:
                self.builder.nodes = outer
        condition = self.builder.cast(self._argument(pred), bool_)  # type: ignore[arg-type]
        given = self.builder.node("If", [condition], len(results), then_branch=branches[0], else_branch=branches[1])
        return [given] if isinstance(given, str) else given

    def _converted(self, node: Node, name: str) -> Any:
        if name not in HANDLERS and name not in COMPOSED:
            name = _plain(name)
        handler = HANDLERS.get(name)
        if handler is None and name in COMPOSED:
            inputs = list(dict.fromkeys(node.all_input_nodes))
            made = self._composed(COMPOSED[name], inputs, (tuple(node.args), dict(node.kwargs)))
            return (
                made[0].name if isinstance(self.recorded.values.get(node), Tensor) else [value.name for value in made]
            )
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

    def _composed(self, function: Any, inputs: list[Node], called: tuple[Any, Any]) -> list[Value]:
        """A function that is made of others: those, recorded for the example, are converted in its place."""
        if any(n not in self.recorded.values for n in inputs):
            raise Unsupported("a size as an argument")
        given = [self._argument(n) for n in inputs]
        part = self._recorded(function, inputs, called, 0)
        if any((value.name, d) in self.builder.moving for value in given for d in range(value.ndim)):
            other = self._recorded(function, inputs, called, 1)
            _compare(part, other)
            for a, b in zip(part.graph.nodes, other.graph.nodes, strict=True):
                if a in part.values:
                    shapes = zip(part.values[a].shape, other.values[b].shape, strict=True)
                    part.moving[a] = {d for d, (m, n) in enumerate(shapes) if m != n}
        outer = self.recorded, self.at, self.writes
        self.recorded, self.writes = part, _writes(part)
        try:
            values = iter(given)
            for at, inner in enumerate(part.graph.nodes):
                self.at = at
                if inner.op == "placeholder":
                    self.results[inner] = next(values)
                elif inner.op == "output":
                    return [self._argument(result) for result in inner.args[0]]  # type: ignore[union-attr]
                elif inner.op != "get_attr":
                    self._call(inner)
        finally:
            self.recorded, self.at, self.writes = outer
        return []

    def _recorded(self, function: Any, inputs: list[Node], called: tuple[Any, Any], longer: int) -> Recording:
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
        args, kwargs = pytree.tree_map(lambda a: examples[a] if isinstance(a, Node) else a, called)
        with no_grad(), recorder:
            try:
                output = function(*args, **kwargs)
            except (TypeError, RuntimeError) as error:
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
        used = set(_taken_by(b.nodes))
        initializers = [value for name, value in b.initializers.items() if name in used]
        given = [self._info(node, value, named) for node, value in self.inputs]
        if inputs_too:
            given += [onnx.helper.make_tensor_value_info(i.name, i.data_type, list(i.dims)) for i in initializers]
        results = [self._info(node, value, named) for node, value in self.outputs]
        graph = onnx.helper.make_graph(b.nodes, "main_graph", given, results, initializers)
        imports = [onnx.helper.make_opsetid(*one) for one in {**b.domains, "": b.opset}.items()]
        model = onnx.helper.make_model(graph, opset_imports=imports, ir_version=10)
        model.producer_name, model.producer_version = "flambeau", __version__
        return model

    def _info(self, node: Any, value: Value, named: dict[tuple[str, int], str]) -> Any:
        moving = self.recorded.moving.get(node, ())
        sizes = [
            named.get((value.name, d), f"{value.name}_dim_{d}") if d in moving else n for d, n in enumerate(value.shape)
        ]
        return onnx.helper.make_tensor_value_info(value.name, KINDS[np_name(value.dtype)], sizes)


def _compare(part: Recording, other: Recording) -> None:
    """Unsupported if what a function is made of depends on sizes that a run decides: they would stand in the model as numbers."""
    graphs = list(part.graph.nodes), list(other.graph.nodes)
    place = {node: at for graph in graphs for at, node in enumerate(graph)}
    given: set[Node] = set()

    def told(node: Node) -> Any:
        arguments = pytree.tree_map(
            lambda a: ("node", place[a]) if isinstance(a, Node) else repr(a), (node.args, node.kwargs)
        )
        return node.op, node.target, arguments

    same = len(graphs[0]) == len(graphs[1])
    for a, b in zip(*graphs, strict=False):
        if a.op == "placeholder" or any(n in given for n in a.all_input_nodes):
            given.add(a)
        elif a in part.values:  # the same in every run
            same = same and b in other.values and np.array_equal(array(part.values[a]), array(other.values[b]))
        same = same and told(a) == told(b)
    if not same:
        raise Unsupported("it is made of numbers that depend on a size that may change")


def _plain(name: str) -> str:
    """The function whose values one gives that works in place, or makes a copy of a view."""
    name = name if name.endswith("__") else name.removesuffix("_")
    return name if name in HANDLERS or name in COMPOSED else name.removesuffix("_copy").removeprefix("unsafe_")


def _taken_by(nodes: Any) -> Iterator[str]:
    """The names that nodes take, those of their branches among them."""
    for node in nodes:
        yield from node.input
        for attribute in node.attribute:
            yield from _taken_by(attribute.g.node)


def _writes(recorded: Recording) -> dict[int, list[int]]:
    """At which nodes something is written into a storage, by its identity."""
    found: dict[int, list[int]] = {}
    for i, node in enumerate(recorded.graph.nodes):
        into = node.args[0] if node.target is operator.setitem else node if node.meta.get("writes") else None
        if into in recorded.values:
            found.setdefault(id(recorded.values[into]._storage), []).append(i)
    return found


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
    if node.target is cond:
        return "torch.cond", "torch.cond"
    return name_of(node.target), resolve_name(node.target) or str(node.target)  # type: ignore[arg-type]


def array(value: Any) -> Any:
    """A tensor as NumPy's array, for the runtime."""
    return np.asarray(value.detach()._array) if isinstance(value, Tensor) else np.asarray(value)
