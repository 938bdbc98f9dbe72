"""How a tensor came about, read off the tape when something has failed: the operators before it and their shapes."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from ...core.tape.nodes import AccumulateGrad, OperatorNode, ViewNode
from ...core.tape.several import ViewsNode
from ...core.tensor.tensor import Tensor

_LONGEST = 10
_COMPILED = "compiled_function"


class Step(NamedTuple):
    """An operator, the shape of what it gave, and the parameters that it took."""

    operator: str
    shape: tuple[int, ...] | None
    leaves: tuple[Any, ...]


def steps_to(tensor: Tensor) -> list[Step]:
    """The operators on the way to a tensor, the first one first; along the first argument where several came together.

    The first step is what the way began with, without a name. Empty if the tape knows nothing of the tensor.
    """
    edge = tensor._tape_edge()
    shape: tuple[int, ...] | None = tuple(tensor.shape)
    steps: list[Step] = []
    while edge is not None and type(edge[0]) is not AccumulateGrad and len(steps) < 200:
        name, leaves, edge, before = _read(edge[0])
        steps.append(Step(name, shape, leaves))
        shape = before
    if steps:
        steps.append(Step("", shape, ()))
    return steps[::-1]


def _read(node: Any) -> tuple[str, tuple[Any, ...], Any, tuple[int, ...] | None]:
    """A node's name, the leaves that it took, and the edge and shape of its first other argument."""
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", re.sub(r"Backward\d*$", "", node.label)).lower()
    if isinstance(node, (ViewNode, ViewsNode)):
        return name, (), node.edges[0], tuple(node.shape)
    leaves = []
    following = None
    before = None
    saved = node.saved if isinstance(node, OperatorNode) else None
    if isinstance(node, OperatorNode):
        name = node.program.name.removesuffix("_plain")
    for place, edge in zip(getattr(node, "wanted", range(len(node.edges))), node.edges, strict=False):
        if edge is None:
            continue
        if type(edge[0]) is AccumulateGrad:
            leaves.append(edge[0].leaf())
        elif following is None:
            following = edge
            before = None if saved is None else getattr(saved[place], "shape", None)
    if following is None and saved is not None and 0 not in node.wanted:
        before = getattr(saved[0], "shape", None)  # what came from outside
    return name, tuple(leaves), following, before


def shown(steps: list[Step], root: Any) -> list[tuple[str, str]]:
    """(what, shape) for the last steps; parameters are named by their modules in `root`."""
    owners = {id(p): name.rpartition(".")[0] for name, p in root.named_parameters(remove_duplicate=False)}
    lines = []
    for step in steps:
        what = step.operator or "input"
        took = dict.fromkeys(owners[id(leaf)] for leaf in step.leaves if id(leaf) in owners)
        if took and what == _COMPILED:  # many layers in one, and others without parameters among them
            what = f"compiled: {', '.join([*took][:3])}, ..."
        elif took:
            owner = next(iter(took))
            kind = type(root.get_submodule(owner)).__name__
            what = f"{owner} ({kind})" if owner else kind
        lines.append((what, "?" if step.shape is None else str(list(step.shape))))
    if len(lines) > _LONGEST:
        left_out = len(lines) - _LONGEST
        lines = [lines[0], (f"... {left_out} more", ""), *lines[left_out + 1 :]]
    return lines
