"""A network's modules and what flows between them, as the graph that TensorBoard shows.

A node is a call of a module that has no modules within; its inputs are the calls that made its tensors. What is computed
between modules is not shown.
"""

from __future__ import annotations

from typing import Any

from tensorboard.compat.proto.attr_value_pb2 import AttrValue
from tensorboard.compat.proto.config_pb2 import RunMetadata
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.compat.proto.node_def_pb2 import NodeDef
from tensorboard.compat.proto.step_stats_pb2 import DeviceStepStats, StepStats
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.versions_pb2 import VersionDef

from ...core.context.grad_mode import no_grad
from ...core.tensor.tensor import Tensor
from ...core.tensor.tree import flatten


def _shape_of(value: Any) -> AttrValue:
    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=int(size)) for size in value.shape])
    return AttrValue(list=AttrValue.ListValue(shape=[shape]))


class _Recording:
    def __init__(self, model: Any):
        self.nodes: list[NodeDef] = []
        self.made_by: dict[int, str] = {}
        self.kept: list[Any] = []  # so that no tensor's number is given to another
        self.names: dict[str, int] = {}
        self.top = type(model).__name__
        self.paths = {id(module): path for path, module in model.named_modules()}

    def name(self, module: Any) -> str:
        path = self.paths.get(id(module), "")
        parts = [self.top, *(part for part in path.split(".") if part)]
        name = "/".join([*parts[:-1], f"{type(module).__name__}[{parts[-1]}]"]) if path else self.top
        count = self.names[name] = self.names.get(name, 0) + 1
        return name if count == 1 else f"{name}_{count}"

    def add(self, name: str, kind: str, inputs: list[str], text: str, value: Any) -> None:
        attributes = {"attr": AttrValue(s=text.encode())}
        if isinstance(value, Tensor):
            attributes["_output_shapes"] = _shape_of(value)
        self.nodes.append(NodeDef(name=name, op=kind, input=inputs, attr=attributes))

    def sources(self, values: Any) -> list[str]:
        found = [self.made_by[id(t)] for t in flatten(values)[0] if isinstance(t, Tensor) and id(t) in self.made_by]
        return list(dict.fromkeys(found))

    def given(self, values: Any, name: str) -> None:
        for value in flatten(values)[0]:
            if isinstance(value, Tensor):
                self.made_by[id(value)] = name
                self.kept.append(value)

    def called(self, module: Any, args: Any, kwargs: Any, output: Any) -> None:
        if any(True for _ in module.children()):
            return
        name = self.name(module)
        first = next((t for t in flatten(output)[0] if isinstance(t, Tensor)), None)
        self.add(name, type(module).__name__, self.sources([args, kwargs]), module.extra_repr(), first)
        self.given(output, name)


def graph(model: Any, args: Any, verbose: bool = False) -> tuple[GraphDef, RunMetadata]:
    """The graph of one run of a module, which is in evaluation mode meanwhile, and the device of the run. TypeError for what is no module."""
    if not hasattr(model, "named_modules"):
        raise TypeError(f"add_graph needs a module, but got {type(model).__name__}")
    inputs = args if isinstance(args, tuple) else (args,)
    recording = _Recording(model)
    for i, value in enumerate(inputs):
        name = "input" if len(inputs) == 1 else f"input/{i}"
        recording.add(name, "IO Node", [], "", value)
        recording.given(value, name)
    modes = {module: module.training for module in model.modules()}
    hooks = [module.register_forward_hook(recording.called, with_kwargs=True) for module in modes]
    try:
        model.eval()
        with no_grad():
            output = model(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in modes.items():
            module.training = mode
    first = next((t for t in flatten(output)[0] if isinstance(t, Tensor)), None)
    recording.add("output", "IO Node", recording.sources(output), "", first)
    if verbose:
        print("\n".join(f"{node.name}: {node.op}({', '.join(node.input)})" for node in recording.nodes))
    run = RunMetadata(step_stats=StepStats(dev_stats=[DeviceStepStats(device="/device:CPU:0")]))
    return GraphDef(node=recording.nodes, versions=VersionDef(producer=22)), run
