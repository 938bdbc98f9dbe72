"""`torch.fx.passes.splitter_base`: cut a graph into what a backend can take and what it can't, in as few pieces as possible."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..graph_module import GraphModule
from ..node import Node
from ._node_events import NodeEvent, NodeEventTracker
from .operator_support import OperatorSupportBase
from .shape_prop import ShapeProp
from .split_utils import split_by_tags
from .tools_common import CALLABLE_NODE_OPS, get_node_target, is_node_output_tensor

__all__ = [
    "FxNetAccNodesFinder",
    "FxNetSplitterInternalError",
    "NodeEvent",
    "NodeEventTracker",
    "SplitResult",
    "Subgraph",
    "generate_inputs_for_submodules",
]


class FxNetSplitterInternalError(Exception):
    """The graph can't be put into an order of pieces."""


@dataclass
class Subgraph:
    """A piece: nodes that the backend takes (`is_acc`), or nodes that it doesn't."""

    is_acc: bool
    nodes: list[Node]
    device_ordinal: int | None = None


class SplitResult(NamedTuple):
    """The module in pieces, the inputs of each, and how the names of those begin that the backend does not take."""

    split_module: GraphModule
    submodule_inputs: dict[str, Any]
    non_acc_submodule_prefix: str


def generate_inputs_for_submodules(
    model: Any, inputs: Sequence[Any], target_submodules: Iterable[str], deepcopy: bool = False
) -> dict[str, Any]:
    """What each of these submodules is called with while the model runs on `inputs`."""
    found: dict[str, Any] = {}
    names = {module: name for name, module in model.named_modules()}

    def note(module: Any, given: Any) -> None:
        found[names[module]] = copy.deepcopy(given) if deepcopy else given

    wanted = set(target_submodules)
    handles = [module.register_forward_pre_hook(note) for module, name in names.items() if name in wanted]
    try:
        model(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    return found


class FxNetAccNodesFinder:
    """The nodes that the backend can take. Unless `allow_non_tensor`, what is no tensor does not go between them and others."""

    def __init__(self, module: GraphModule, operator_support: OperatorSupportBase, allow_non_tensor: bool):
        self.module = module
        self.operator_support = operator_support
        self.allow_non_tensor = allow_non_tensor

    def __call__(self) -> set[Node]:
        submodules = dict(self.module.named_modules())
        nodes = [n for n in self.module.graph.nodes if n.op in CALLABLE_NODE_OPS]
        self.acc_nodes = {n for n in nodes if self.operator_support.is_node_supported(submodules, n)}
        if not self.allow_non_tensor:
            while crossing := self._crossing():
                self.acc_nodes -= crossing
        return self.acc_nodes

    def _crossing(self) -> set[Node]:
        """Nodes of the backend's that give to others, or take from them, something that is no tensor."""
        gives = {
            n for n in self.acc_nodes if not is_node_output_tensor(n) and any(u not in self.acc_nodes for u in n.users)
        }
        takes = {
            n
            for n in self.acc_nodes
            for i in n.all_input_nodes
            if i.op in CALLABLE_NODE_OPS and i not in self.acc_nodes and not is_node_output_tensor(i)
        }
        return gives | takes


@dataclass
class _SplitterSettingBase:
    """`min_acc_module_size`: smaller pieces are not worth it. `skip_fusion`: nodes need not be together because something that is no
    tensor goes between them. `max_acc_splits` is not looked at, as in PyTorch."""

    min_acc_module_size: int = 1
    skip_fusion: bool = False
    allow_non_tensor: bool = False
    max_acc_splits: int = -1
    move_non_tensor_nodes_on_boundary: bool = False


class _SplitterBase:
    """Cuts a GraphModule, which it runs on `sample_input` to learn the types of its values.

    Called, gives a GraphModule of submodules `_run_on_acc_0`, `_run_on_cpu_1`, ... in the order in which they run.
    """

    def __init__(
        self, module: GraphModule, sample_input: Sequence[Any], operator_support: OperatorSupportBase,
        settings: _SplitterSettingBase, non_acc_submodule_name: str = "_run_on_cpu_", return_tuple: bool = False,
        nodes_finder: FxNetAccNodesFinder | None = None,
    ) -> None:  # fmt: skip
        if settings.move_non_tensor_nodes_on_boundary:
            raise NotImplementedError(
                "splitter_base: move_non_tensor_nodes_on_boundary=True is not there; leave it False"
            )
        self.module = module
        ShapeProp(module).propagate(*sample_input)
        self.settings = settings
        self.operator_support = operator_support
        self.sample_input = sample_input
        self.non_acc_submodule_name = non_acc_submodule_name
        self._return_tuple = return_tuple
        finder = nodes_finder or FxNetAccNodesFinder(module, operator_support, settings.allow_non_tensor)
        self.acc_nodes: set[Node] = finder()
        self.fusions: dict[Node, set[Node]] = {} if settings.skip_fusion else self._bound()
        self.tags: list[str] = []

    def _bound(self) -> dict[Node, set[Node]]:
        """For each node of the backend's that shares something that is no tensor with others: all of them, itself, too."""
        groups: dict[Node, set[Node]] = {}
        for node in self.acc_nodes:
            for user in node.users if not is_node_output_tensor(node) else ():
                if user in self.acc_nodes:
                    joined = groups.get(node, {node}) | groups.get(user, {user})
                    groups.update(dict.fromkeys(joined, joined))
        return groups

    def find_deps(self) -> dict[Node, set[Node]]:
        """The calls on whose results each call waits, with those of the nodes that it is bound to."""
        calls = [n for n in self.module.graph.nodes if n.op in CALLABLE_NODE_OPS]
        deps = {n: {i for i in n.all_input_nodes if i.op in CALLABLE_NODE_OPS} for n in calls}
        for node, group in self.fusions.items():
            deps[node] = {d for member in group for d in deps[member]} - (group - deps[node])
        return deps

    def put_nodes_into_subgraphs(self) -> list[Subgraph]:
        """Pieces in the order in which they run: of one kind as long as there is a node of it that waits for nothing."""
        deps = self.find_deps()
        waiting = list(deps)
        done: set[Node] = set()
        is_acc = not any(not deps[n] and n not in self.acc_nodes for n in waiting)
        made: list[Subgraph] = []
        empty = 0
        while waiting:
            nodes = list(self._ready(waiting, deps, done, is_acc))
            empty = 0 if nodes else empty + 1
            if empty == 2:
                raise FxNetSplitterInternalError("Couldn't create subgraphs: the nodes wait for each other")
            if nodes:
                made.append(Subgraph(is_acc, nodes))
            is_acc = not is_acc
        return made

    def _ready(self, waiting: list[Node], deps: Any, done: set[Node], is_acc: bool) -> Iterator[Node]:
        found = True
        while found:
            found = False
            for node in list(waiting):
                if (node in self.acc_nodes) is is_acc and deps[node] <= done:
                    waiting.remove(node)
                    done.add(node)
                    found = True
                    yield node

    def remove_small_acc_subgraphs(self, subgraphs: list[Subgraph]) -> list[Subgraph]:
        """Pieces that the backend could take, but which have too few nodes, join their neighbours."""
        made: list[Subgraph] = []
        for piece in subgraphs:
            worth = piece.is_acc and len(piece.nodes) >= self.settings.min_acc_module_size
            if piece.is_acc and not worth:
                print(
                    "Eliminating acc subgraph because it's smaller than the threshold: "
                    f"{len(piece.nodes)} < {self.settings.min_acc_module_size}"
                )
            if made and not worth and not made[-1].is_acc:
                made[-1].nodes.extend(piece.nodes)
            else:
                made.append(Subgraph(worth, list(piece.nodes)))
        return made

    def tag(self, subgraphs: list[Subgraph]) -> None:
        """Give each node the name of its piece."""
        self.tags = []
        for i, piece in enumerate(subgraphs):
            name = f"_run_on_acc_{i}" if piece.is_acc else f"{self.non_acc_submodule_name}{i}"
            self.tags.append(name)
            for node in piece.nodes:
                node.tag = name  # type: ignore[attr-defined]

    def split(self) -> GraphModule:
        """The module in its pieces, once they have names."""
        return split_by_tags(self.module, self.tags, return_tuple=self._return_tuple)

    def __call__(self) -> GraphModule:
        pieces = self.remove_small_acc_subgraphs(self.put_nodes_into_subgraphs())
        taken = sum(piece.is_acc for piece in pieces)
        print(f"Got {taken} acc subgraphs and {len(pieces) - taken} non-acc subgraphs")
        self.tag(pieces)
        return self.split()

    def generate_split_results(self) -> SplitResult:
        """The module in pieces, with what each piece is called with for the sample."""
        made = self()
        names = [name for name, _ in made.named_children()]
        return SplitResult(
            made, generate_inputs_for_submodules(made, self.sample_input, names), self.non_acc_submodule_name
        )

    def node_support_preview(self) -> str:
        """What the graph calls, by whether the backend takes it, as text, which is printed, too."""
        submodules = dict(self.module.named_modules())
        lines = []
        for wanted, title in ((True, "Supported"), (False, "Unsupported")):
            calls = [n for n in self.module.graph.nodes if n.op in CALLABLE_NODE_OPS]
            named = [get_node_target(submodules, n) for n in calls if (n in self.acc_nodes) is wanted]
            lines += [f"{title} node types in the model:", *dict.fromkeys(named), ""]
        text = "\n".join(lines)
        print(text)
        return text
