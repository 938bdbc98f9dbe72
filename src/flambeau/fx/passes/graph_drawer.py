"""`torch.fx.passes.graph_drawer`: a graph as a picture, through the package `pydot`."""

from __future__ import annotations

import importlib
import itertools
import zlib
from typing import Any

from .._names import printed_target
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
        self.dot_graph_shape = dot_graph_shape or "record"
        self._ignore_getattr = ignore_getattr
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
        shown = [n for n in gm.graph.nodes if not (self._ignore_getattr and n.op == "get_attr")]
        for node in shown:
            style = {
                "shape": self.dot_graph_shape,
                "style": '"filled,rounded"',
                "fontcolor": "#000000",
                "fillcolor": _color(node),
            }
            picture.add_node(self._pydot.Node(node.name, label=self._label(gm, node), **style))
        for node, used in itertools.product(shown, shown):
            if used in node.all_input_nodes:
                picture.add_edge(self._pydot.Edge(used.name, node.name))
        return picture

    def _label(self, gm: GraphModule, node: Node) -> str:
        lines = [f"name=%{node.name}", f"op_code={node.op}"]
        if node.op == "call_module":
            called = gm.get_submodule(str(node.target))
            lines.append(type(called).__module__ + "." + type(called).__name__)
            lines += [f"{key}: {getattr(called, key)}" for key in getattr(called, "__constants__", ())]
        else:
            lines.append(f"target={printed_target(node.target)}")
            if self._skip_names and node.op != "output":
                lines += [f"args: {_format_arg(a)}" for a in node.args if not isinstance(a, Node)]
                lines += [f"{k}: {_format_arg(v)}" for k, v in node.kwargs.items() if not isinstance(v, Node)]
        lines.append(f"num_users={len(node.users)}")
        meta = node.meta.get("tensor_meta")
        if isinstance(meta, TensorMetadata):
            lines += [f"dtype={meta.dtype}", f"shape={tuple(meta.shape)}"]
        if self._stack_trace and node.stack_trace:
            lines.append(node.stack_trace.strip().splitlines()[0])
        text = "\\l|".join(_escaped(line) for line in lines)
        return '"{' + text + '\\l}"'


def _color(node: Node) -> str:
    name = printed_target(node.target).encode()
    return _COLORS.get(node.op) or _OTHERS[zlib.crc32(name) % len(_OTHERS)]


def _escaped(text: str) -> str:
    return "".join(f"\\{c}" if c in '{}|<>"' else c for c in text)
