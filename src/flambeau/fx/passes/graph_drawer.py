"""`torch.fx.passes.graph_drawer`: a graph as a picture, through the package `pydot`."""

from __future__ import annotations

import importlib
import zlib
from typing import Any

from .._names import of_torch, printed_target
from .._python_code import parse_stack_trace
from ..graph_module import GraphModule
from ..node import Node, _format_arg
from .shape_prop import TensorMetadata

__all__ = ["FxGraphDrawer"]

_COLORS = {
    "placeholder": '"AliceBlue"', "call_module": "LemonChiffon1", "get_attr": "LightGrey", "output": "PowderBlue",
}  # fmt: skip
_OTHERS = ["CadetBlue1", "Coral", "DarkOliveGreen1", "Khaki1", "LightSkyBlue", "MistyRose1", "PaleGreen", "Thistle1"]


class FxGraphDrawer:
    """Draws a GraphModule: one box for each node. `get_dot_graph()` gives a `pydot.Dot`.

    RuntimeError without the package pydot.
    """

    def __init__(
        self, graph_module: GraphModule, name: str, ignore_getattr: bool = False, ignore_parameters_and_buffers: bool = False,
        skip_node_names_in_args: bool = True, parse_stack_trace: bool = False, dot_graph_shape: str | None = None,
        normalize_args: bool = False,
    ):  # fmt: skip
        try:
            self._pydot: Any = importlib.import_module("pydot")
        except ImportError:
            raise RuntimeError(
                "FXGraphDrawer requires the pydot package to be installed. Please install pydot through your favorite "
                "Python package manager."
            ) from None
        self._name = name
        self.dot_graph_shape: str = dot_graph_shape or "record"
        self._ignore_getattr = ignore_getattr
        self._ignore_parameters_and_buffers = ignore_parameters_and_buffers
        self._normalize_args = normalize_args
        self._skip_names = skip_node_names_in_args
        self._stack_trace = parse_stack_trace
        self._dot_graphs = {name: self._draw(graph_module, name)}
        for child_name, child in graph_module.named_children():
            if isinstance(child, GraphModule):
                self._dot_graphs[f"{name}_{child_name}"] = self._draw(child, f"{name}_{child_name}")

    def get_dot_graph(self, submod_name: str | None = None) -> Any:
        """The picture of the module, or of a GraphModule inside of it."""
        return self._dot_graphs[self._name if submod_name is None else submod_name]

    get_main_dot_graph = get_dot_graph

    def get_submod_dot_graph(self, submod_name: str) -> Any:
        """The picture of a GraphModule inside."""
        return self._dot_graphs[f"{self._name}_{submod_name}"]

    def get_all_dot_graphs(self) -> dict[str, Any]:
        """All of them, by name."""
        return self._dot_graphs

    def _draw(self, gm: GraphModule, name: str) -> Any:
        picture = self._pydot.Dot(name, rankdir="TB")
        style = {"shape": self.dot_graph_shape, "style": '"filled,rounded"', "fontcolor": "#000000"}
        shown = [n for n in gm.graph.nodes if not (self._ignore_getattr and n.op == "get_attr")]
        for node in shown:
            picture.add_node(self._pydot.Node(node.name, label=self._label(gm, node), fillcolor=_color(node), **style))
            if node.op == "call_module" and not self._ignore_parameters_and_buffers:
                self._draw_members(picture, gm, node, style)
        for node in shown:
            for used in node.all_input_nodes:
                if used in shown:
                    picture.add_edge(self._pydot.Edge(used.name, node.name))
        return picture

    def _draw_members(self, picture: Any, gm: GraphModule, node: Node, style: dict[str, str]) -> None:
        """A box for each parameter and buffer of the layer that a node calls."""
        called = gm.get_submodule(str(node.target))
        for kind, members in (("get_parameter", called.named_parameters()), ("get_buffer", called.named_buffers())):
            for own, tensor in members:
                label = _record([f"{node.name}.{own}", f"op_code={kind}", f"{tensor.dtype}{list(tensor.shape)}"])
                picture.add_node(self._pydot.Node(f"{node.name}.{own}", label=label, fillcolor="Salmon", **style))
                picture.add_edge(self._pydot.Edge(f"{node.name}.{own}", node.name))

    def _label(self, gm: GraphModule, node: Node) -> str:
        lines = [f"name=%{node.name}", f"op_code={node.op}"]
        if node.op == "call_module":
            called = gm.get_submodule(str(node.target))
            lines += [of_torch(type(called).__module__) + "." + type(called).__name__, called.extra_repr()]
        else:
            lines.append(f"target={printed_target(node.target)}")
            if self._skip_names and node.op != "output":
                lines += self._arguments(gm, node)
        lines.append(f"num_users={len(node.users)}")
        meta = node.meta.get("tensor_meta")
        if isinstance(meta, TensorMetadata):
            lines += [f"{field}={getattr(meta, field)}" for field in ("dtype", "shape", "requires_grad", "stride")]
        if self._stack_trace and node.stack_trace:
            line = parse_stack_trace(node.stack_trace)
            lines.append(line.get_summary_str() if line else "")
        return _record([line for line in lines if line])

    def _arguments(self, gm: GraphModule, node: Node) -> list[str]:
        """The arguments that are no nodes; by keyword, with all defaults, if `normalize_args` asks for it."""
        found = node.normalized_arguments(gm, normalize_to_only_use_kwargs=True) if self._normalize_args else None
        args, kwargs = (found.args, found.kwargs) if found else (node.args, node.kwargs)
        shown = [f"args: {_format_arg(a)}" for a in args if not isinstance(a, Node)]
        return shown + [f"{key}: {_format_arg(v)}" for key, v in kwargs.items() if not isinstance(v, Node)]


def _record(lines: list[str]) -> str:
    return '"{' + "\\l|".join(_escaped(line) for line in lines) + '\\l}"'


def _color(node: Node) -> str:
    name = printed_target(node.target).encode()
    return _COLORS.get(node.op) or _OTHERS[zlib.crc32(name) % len(_OTHERS)]


def _escaped(text: str) -> str:
    return "".join(f"\\{c}" if c in '{}|<>"' else c for c in text)
