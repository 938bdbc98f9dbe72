"""`torch.cond` in a recorded graph: each branch is a graph of its own, held as a module beside the parameters."""

from __future__ import annotations

from typing import Any

from ..core.tensor.tensor import Tensor
from ..fx import GraphModule, Node
from ..nn.modules.module import Module
from ..utils import _pytree as pytree
from ._recording import Recorder


class Branch(Recorder):
    """Writes a branch's graph. What it takes from outside becomes a further operand, the same for both branches."""

    def __init__(self, outer: Recorder, taken: list[Tensor]):
        super().__init__(outer.module)
        self.names = {}
        self.outer, self.taken = outer, taken
        self.before: set[int] = set()

    def argument(self, value: Any) -> Any:
        if isinstance(value, Tensor) and id(value) not in self.nodes and self._is_outside(value):
            if not any(value is t for t in self.taken):
                self.taken.append(value)
            self._take(value)
        return super().argument(value)

    def _is_outside(self, value: Tensor) -> bool:
        return id(value) in self.outer.nodes or id(value) in self.outer.names or isinstance(self.outer, Branch)

    def _take(self, value: Tensor) -> None:
        first = next(iter(self.graph.nodes), None)
        with self.graph.inserting_before(first):
            node = self.graph.placeholder(f"taken_{len(self.before)}")
        self.before.add(id(value))
        self.note(value, node)
        self.computed.add(node)

    def finish(self, operands: list[Tensor], outputs: list[Any]) -> GraphModule:
        """The branch as a module whose inputs are the operands and then all that was taken."""
        for value in self.taken:
            if id(value) not in self.before:
                self._take(value)
        wanted = [self.nodes[id(t)] for t in (*operands, *self.taken)]
        for node in reversed(wanted):
            first = next(iter(self.graph.nodes))
            if first is not node:
                first.prepend(node)
        self.graph.output(tuple(self.argument(v) for v in outputs))
        self.graph.lint()
        holder = Module()
        for name, constant in self.constants.items():
            holder.register_buffer(name, constant, persistent=False)
        for name, part in self.submodules.items():
            holder.add_module(name, part)
        return GraphModule(holder, self.graph)


def record_cond(outer: Recorder, func: Any, pred: Any, true_fn: Any, false_fn: Any, operands: Any = ()) -> Any:
    """Record `torch.cond`, and give what the branch gives that the example takes.

    RuntimeError if the branches give other structures, shapes or dtypes.
    """
    if not isinstance(pred, Tensor):
        return func(pred, true_fn, false_fn, operands)  # the example's branch, as of Python's own `if`
    leaves, spec = pytree.tree_flatten(tuple(operands))
    taken: list[Tensor] = []
    runs = []
    for function in (true_fn, false_fn):
        branch = Branch(outer, taken)
        inside = [leaf.detach() for leaf in leaves]
        for i, leaf in enumerate(inside):
            node = branch.graph.placeholder(f"arg_{i}")
            branch.note(leaf, node)
            branch.computed.add(node)
        with branch:
            result = function(*pytree.tree_unflatten(inside, spec))
        if any(branch._found_dims(leaf) for leaf in pytree.tree_flatten(result)[0]):
            raise RuntimeError("torch.cond: a branch gives a tensor that is as large as its values decide")
        runs.append((branch, inside, *pytree.tree_flatten(result)))
    (_, _, yes, yes_spec), (_, _, no, no_spec) = runs
    kinds = [[(tuple(v.shape), v.dtype) for v in made if isinstance(v, Tensor)] for made in (yes, no)]
    if yes_spec != no_spec or kinds[0] != kinds[1] or not len(yes) == len(no) == len(kinds[0]):
        raise RuntimeError(f"torch.cond: expected branches with the same structure, shapes and dtypes, got {kinds}")
    modules = [branch.finish(inside, made) for branch, inside, made, _ in runs]
    return _call(
        outer, func, pred, modules, [*leaves, *taken], pytree.tree_unflatten(yes if bool(pred) else no, yes_spec)
    )


def _call(
    outer: Recorder, func: Any, pred: Tensor, modules: list[GraphModule], operands: list[Tensor], result: Any
) -> Any:
    number = len(outer.submodules) // 2
    getters = []
    for name, part in zip((f"true_graph_{number}", f"false_graph_{number}"), modules, strict=True):
        outer.submodules[name] = part
        getters.append(outer.graph.create_node("get_attr", name))
    inputs = tuple(outer.argument(t) for t in operands)
    node: Node = outer.graph.call_function(func, (outer.argument(pred), *getters, inputs))
    outer._name_results(node, tuple(pytree.tree_flatten(result)[0]), True)
    return result


__all__ = ["record_cond"]
