"""A dispatch mode that writes down the operators that run, as a graph."""

from __future__ import annotations

import collections
import gc
import operator
from collections.abc import Callable
from typing import Any

from ...core.context.overrides import OperatorHandle
from ...core.dispatch.overloads import OpOverload, ops, running
from ...core.tensor.tensor import Tensor
from ...nn.modules.module import Module
from ...nn.parameter import Parameter
from ...utils import _pytree as pytree
from ...utils._python_dispatch import TorchDispatchMode
from ..graph import Graph
from ..node import Node

_aten = ops.aten
_WRITES = {"aten::native_batch_norm": ("running_mean", "running_var")}  # what schemas do not say
_VALUE = (
    "It appears that you're trying to get value out of a tracing tensor with {} - erroring out! It's likely that this is caused by "
    "data-dependent control flow or similar.  It may be possible to trace this with dynamic shapes; try setting "
    "tracing_mode='symbolic' in your make_fx call."
)


def written_untold(op: OpOverload, args: Any, kwargs: Any) -> list[Any]:
    """What an operator writes to, though its schema does not say so."""
    names = _WRITES.get(op._schema.name, ())
    named = dict(zip((a.name for a in op._schema.arguments), args, strict=False)) | kwargs
    return [named[n] for n in names if named.get("training", True) and named.get(n) is not None]


class OperatorGraph(TorchDispatchMode):
    """Writes each operator that runs while it is entered into a graph."""

    def __init__(self, rules: dict[Any, Callable[..., Any]]):
        super().__init__()
        self.graph: Graph = Graph()
        self.root: Module = Module()
        self.rules = rules
        self.nodes: dict[int, Any] = {}
        self.holding: dict[int, list[Tensor]] = {}  # by the id of an array, the tensors that have held it
        self.replaced: dict[
            int, tuple[Node, Node]
        ] = {}  # by the id of an array, whose values a write has replaced, and the write
        self.alive: list[Any] = []
        self.runs: Any = None  # what computes the operator that is asked about
        self.constants: dict[str, int] = collections.Counter()
        self.before: dict[int, Any] = self._outside()

    def _outside(self) -> dict[int, Any]:
        """The tensors that there are before anything runs."""
        return {id(o): o for o in gc.get_objects() if issubclass(type(o), Tensor)}

    def knows(self, tensor: Tensor) -> bool:
        """Whether a tensor has a node here, or can get one."""
        array = tensor._array
        held = any(t._array is array for t in self.holding.get(id(array), ()))
        return id(tensor) in self.nodes or held or id(array) in self.replaced or id(tensor) in self.before

    def placeholder(self, name: str, value: Any) -> None:
        """An input of the function."""
        node = self.graph.placeholder(name)
        node.meta["val"] = value
        if isinstance(value, Tensor):
            self._note(value, node)

    def _note(self, tensor: Tensor, node: Node) -> None:
        self.nodes[id(tensor)] = node
        array = tensor._array
        self.holding.setdefault(id(array), []).append(tensor)
        self.alive.append((tensor, array))
        node.meta["val"] = tensor

    def _of_equal(self, tensor: Tensor) -> Node | None:
        """The node of a tensor that holds the very same values: of one that the tape has kept in an unseen place."""
        array = tensor._array
        held = [t for t in self.holding.get(id(array), ()) if t._array is array and id(t) in self.nodes]
        if held:
            return self.nodes[id(held[0])]
        if id(array) not in self.replaced:
            return None
        before, write = self.replaced.pop(id(array))
        with self.graph.inserting_before(write):
            copy = self.graph.call_function(_aten.clone.default, (before,))
        self._note(tensor, copy)
        return copy

    def _written(self, func: Any, args: Any, kwargs: Any) -> list[tuple[Node, Any]]:
        """The nodes of the tensors that an operator writes to, and what these hold before."""
        schema = getattr(func, "_schema", None)
        if schema is None or not (schema.is_mutable or schema.name in _WRITES):
            return []
        named = schema.bind(args, kwargs, func.overloadpacket.takes_numbers)
        targets = [named.get(a.name) for a in schema.arguments if a.is_write] + written_untold(func, args, kwargs)
        return [(self.nodes[id(t)], t._array) for t in targets if id(t) in self.nodes]

    def forget(self, after: Node | None) -> None:
        """Take out the nodes that were made after this one."""
        gone = []
        for node in reversed(list(self.graph.nodes)):
            if node is after:
                break
            self.graph.erase_node(node)
            gone.append(node)
        self.nodes = {key: node for key, node in self.nodes.items() if node not in gone}

    def constant(self, tensor: Tensor) -> Node:
        """A node that gets a tensor from outside of the function. NotImplementedError for one that was computed unseen."""
        if not self.knows(tensor):
            raise NotImplementedError(
                "make_fx: this tensor was computed where no dispatch mode looks: by a draw inside of a layer, a rule for vmap of an "
                "autograd.Function, or kept for a backward pass and then written over. Trace the function without it"
            )
        kind = "_param_constant" if isinstance(tensor, Parameter) else "_tensor_constant"
        return self._attribute(kind, tensor)

    def _attribute(self, kind: str, tensor: Tensor) -> Node:
        name = f"{kind}{self.constants[kind]}"
        self.constants[kind] += 1
        setattr(self.root, name, tensor)
        node = self.graph.get_attr(name)
        self._note(tensor, node)
        return node

    def argument(self, value: Any) -> Any:
        """An argument as a node holds it."""
        if isinstance(value, Tensor):
            return self.nodes.get(id(value)) or self._of_equal(value) or self.constant(value)
        if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
            return type(value)(self.argument(v) for v in value)
        return value

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        self.runs = running.seen and running.seen[1]
        if func is _aten._local_scalar_dense.default:
            raise RuntimeError(_VALUE.format(func))
        if func is _aten.lift_fresh.default:
            return self._fresh(func, args, kwargs)
        if func in self.rules:
            with self:
                return self.rules[func](*args, **kwargs)
        given = self.argument(tuple(args)), {k: self.argument(v) for k, v in kwargs.items()}
        written = self._written(func, args, kwargs)
        result = func(*args, **kwargs)
        node = self._call(func, *given, result)
        for before, array in written:
            self.alive.append(array)
            self.replaced[id(array)] = before, node
        self._results(node, result)
        return result

    def _call(self, func: Any, args: Any, kwargs: Any = None, result: Any = None) -> Node:
        name = getattr(getattr(func, "overloadpacket", func), "__name__", None)
        if isinstance(func, OpOverload) and not self._fits(func, args, kwargs or {}, result):
            func = OperatorHandle(func.overloadpacket.__name__, self.runs)
        return self.graph.create_node("call_function", func, args, kwargs or {}, name)

    @staticmethod
    def _fits(func: OpOverload, args: Any, kwargs: Any, result: Any) -> bool:
        """Whether the operator can be called so: some are private ones here, with arguments of their own."""
        returns = func._schema.returns
        if isinstance(result, (tuple, list)) and not returns[0].declared.steps and len(returns) != len(result):
            return False
        try:
            given, named = pytree.tree_map(lambda v: v.meta["val"] if isinstance(v, Node) else v, (args, kwargs))
            func._schema.bind(given, named, True)
        except RuntimeError:
            return False
        return True

    def _fresh(self, func: Any, args: Any, kwargs: Any) -> Any:
        result = func(*args, **kwargs)
        if len(args) == 1 and isinstance(args[0], Tensor) and id(args[0]) in self.nodes:
            node = self.nodes[id(args[0])]
        else:
            node = self._attribute("_tensor_constant", result.clone())
        self._results(self._call(_aten.lift_fresh_copy.default, (node,)), result)
        return result

    def _results(self, node: Node, result: Any) -> None:
        if isinstance(result, Tensor):
            self._note(result, node)
        elif isinstance(result, (tuple, list)):
            node.meta["val"] = result
            for place, part in enumerate(result):
                if isinstance(part, Tensor):
                    self._note(part, self.graph.call_function(operator.getitem, (node, place)))
