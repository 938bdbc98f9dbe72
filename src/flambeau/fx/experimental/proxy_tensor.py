"""`torch.fx.experimental.proxy_tensor`: the graph of the ATen operators that a function runs for an example."""

from __future__ import annotations

import collections
import functools
import gc
import inspect
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
from ..graph import Graph, _PyTreeCodeGen, _PyTreeInfo
from ..graph_module import GraphModule
from ..node import Node

__all__ = ["get_proxy_mode", "make_fx"]

_aten = ops.aten
_WRITES = {"aten::native_batch_norm": ("running_mean", "running_var")}  # what schemas do not say
_VALUE = (
    "It appears that you're trying to get value out of a tracing tensor with {} - erroring out! It's likely that this is caused by "
    "data-dependent control flow or similar.  It may be possible to trace this with dynamic shapes; try setting "
    "tracing_mode='symbolic' in your make_fx call."
)


class ProxyTorchDispatchMode(TorchDispatchMode):
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
        self.before: dict[int, Any] = {id(o): o for o in gc.get_objects() if issubclass(type(o), Tensor)}

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
        held = [t for t in self.holding.get(id(array), ()) if t._array is array]
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
        untold = _WRITES.get(schema.name, ())
        targets = [named.get(a.name) for a in schema.arguments if a.is_write or a.name in untold]
        return [(self.nodes[id(t)], t._array) for t in targets if id(t) in self.nodes]

    def constant(self, tensor: Tensor) -> Node:
        """A node that gets a tensor from outside of the function. NotImplementedError for one that was computed unseen."""
        if id(tensor) not in self.before:
            raise NotImplementedError(
                "make_fx: this tensor was computed where no dispatch mode looks: under torch.func.vmap or jvp, by a draw inside of a layer, "
                "or kept for a backward pass and then written over. Trace the function itself, and transform its graph"
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
        node = self._call(func, *given)
        for before, array in written:
            self.alive.append(array)
            self.replaced[id(array)] = before, node
        self._results(node, result)
        return result

    def _call(self, func: Any, args: Any, kwargs: Any = None) -> Node:
        name = getattr(getattr(func, "overloadpacket", func), "__name__", None)
        if isinstance(func, OpOverload) and not self._fits(func, args, kwargs or {}):
            func = OperatorHandle(func.overloadpacket.__name__, self.runs)
        return self.graph.create_node("call_function", func, args, kwargs or {}, name)

    @staticmethod
    def _fits(func: OpOverload, args: Any, kwargs: Any) -> bool:
        """Whether the operator can be called so: some are private ones here, with arguments of their own."""
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


_modes: list[ProxyTorchDispatchMode] = []


def get_proxy_mode() -> ProxyTorchDispatchMode | None:
    """The mode of the `make_fx` that runs, if one does."""
    return _modes[-1] if _modes else None


def _names(function: Any, count: int) -> list[str]:
    """What a function's arguments are called; `arg0` and so on where it takes any."""
    code = getattr(function, "__code__", None)
    if code is None or code.co_flags & (inspect.CO_VARARGS | inspect.CO_VARKEYWORDS):
        return [f"arg{k}" for k in range(count)]
    names = list(code.co_varnames[: code.co_argcount])
    if inspect.ismethod(function):
        names = names[1:]
    if len(names) != count:
        raise RuntimeError(f"Tracing expected {len(names)} arguments but got {count} concrete arguments")
    return names


def make_fx(
    f: Callable[..., Any],
    decomposition_table: dict[Any, Callable[..., Any]] | None = None,
    tracing_mode: str = "real",
    _allow_non_fake_inputs: bool = False,
    *,
    pre_dispatch: bool = False,
    record_module_stack: bool = False,
    _allow_fake_constant: bool = False,
    _error_on_data_dependent_ops: bool = True,
) -> Callable[..., GraphModule]:
    """A function that runs `f` for an example and gives the graph of the ATen operators that ran, as a GraphModule.

    `decomposition_table` says by operator what is computed in its place. Python's branches, sizes and numbers are those of the
    example. RuntimeError where `f` asks for a value; NotImplementedError for `tracing_mode="symbolic"`, `pre_dispatch`,
    `record_module_stack`, and for what dispatch modes do not see (`vmap`, `jvp`, draws inside of layers).
    """
    if tracing_mode not in ("real", "fake", "symbolic"):
        raise AssertionError(f'tracing_mode should be one of "real", "fake", "symbolic", got {tracing_mode}')
    for name, asked in (
        ('tracing_mode="symbolic"', tracing_mode == "symbolic"),
        ("pre_dispatch=True", pre_dispatch),
        ("record_module_stack=True", record_module_stack),
    ):
        if asked:
            raise NotImplementedError(
                f"make_fx({name}): sizes are numbers, and operators are those of ATen; leave it out"
            )

    @functools.wraps(f)
    def traced(*args: Any) -> GraphModule:
        return _traced(f, args, dict(decomposition_table or {}))

    return traced


def _plain(value: Any) -> Any:
    """A result whose named tuples of tensors (`torch.return_types`) are plain ones."""
    if isinstance(value, tuple) and "return_types" in type(value).__module__:
        return tuple(value)
    if type(value) in (tuple, list):
        return type(value)(map(_plain, value))
    return value


def _traced(f: Callable[..., Any], args: tuple[Any, ...], rules: dict[Any, Callable[..., Any]]) -> GraphModule:
    mode = ProxyTorchDispatchMode(rules)
    names = _names(f, len(args))
    structure = pytree.tree_structure(list(args))
    made: dict[str, int] = collections.Counter()
    for name, arg in zip(names, args, strict=True):
        for leaf in pytree.tree_leaves(arg):
            made[name] += 1
            mode.placeholder(f"{name}_{made[name]}", leaf)
    _modes.append(mode)
    try:
        with mode:
            out = f(*args)
        flat, out_structure = pytree.tree_flatten(_plain(out))
        held = [mode.argument(value) for value in flat]
    finally:
        _modes.pop()
    nested = any(isinstance(a, (list, tuple, dict)) for a in args) or isinstance(out, dict)
    mode.graph.output(held if nested else pytree.tree_unflatten(held, out_structure))
    if nested:
        inner = pytree.TreeSpec(list, None, structure.children())
        mode.graph.set_codegen(_PyTreeCodeGen(_PyTreeInfo(names, inner, out_structure)))
    return GraphModule(mode.root, mode.graph, getattr(f, "__name__", type(f).__name__))
