"""`torch.fx.graph`: a program as a list of nodes, and the code that it turns into."""

from __future__ import annotations

import contextlib
import copy
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from ..utils import _pytree as pytree
from . import _python_code
from ._names import _TAKEN
from ._names import IN_PLACE as inplace_methods  # noqa: F401
from ._names import KNOWN as _custom_builtins
from ._names import MAGIC as magic_methods  # noqa: F401
from ._names import REFLECTABLE as reflectable_magic_methods  # noqa: F401
from ._names import Known as _CustomBuiltin
from ._names import Namespace as _Namespace
from ._names import is_from_torch as _is_from_torch  # noqa: F401
from ._names import snake_case as _snake_case
from ._python_code import PythonCode
from ._python_code import StackLine as _ParsedStackTrace  # noqa: F401
from ._python_code import format_target as _format_target  # noqa: F401
from ._python_code import parse_stack_trace as _parse_stack_trace  # noqa: F401
from .node import Argument, Node, Target, _legal_ops, map_arg
from .node import dtype_abbrs as dtype_abbrs

__all__ = ["CodeGen", "Graph", "PythonCode"]

TransformCodeFunc = Callable[[list[str]], list[str]]
_MISSING: Any = object()


_illegal_names: dict[str, Any] = {**_TAKEN, **{name: known.obj for name, known in _custom_builtins.items()}}


def _register_custom_builtin(name: str, import_str: str, obj: Any) -> None:
    """Make a name one that all generated code may use."""
    _custom_builtins[name] = _CustomBuiltin(import_str, obj)


class CodeGen:
    """How a graph turns into a function: its first line, its `return`, and what happens to inputs and outputs."""

    _body_transformer: TransformCodeFunc | None = None
    _func_name = "forward"

    def __init__(self) -> None:
        self._body_transformer = None
        self._func_name = "forward"

    def gen_fn_def(self, free_vars: list[str], maybe_return_annotation: str, *, expanded_def: bool = False) -> str:
        """The function's first line (or lines)."""
        if not free_vars or free_vars[0] != "self":
            free_vars = ["self", *free_vars]
        if expanded_def:
            arguments = "".join(f"\n    {v}," for v in free_vars)
            return f"def {self._func_name}({arguments}\n){maybe_return_annotation}:"
        return f"def {self._func_name}({', '.join(free_vars)}){maybe_return_annotation}:"

    def generate_output(
        self, output_args: Argument, *, descs: Sequence[str] | None = None, repr_fn: Callable[[Any], str] | None = None
    ) -> str:
        """The line that returns the result."""
        return f"return {(repr_fn or repr)(output_args)}"

    def _return_line(self, output_args: Argument, repr_fn: Callable[[Any], str]) -> str:
        if type(self).generate_output is CodeGen.generate_output:
            return self.generate_output(output_args, repr_fn=repr_fn)
        try:
            return self.generate_output(output_args, repr_fn=repr_fn)
        except TypeError:  # a user's class may take the arguments alone
            return self.generate_output(output_args)

    def process_inputs(self, *args: Any) -> Any:
        """What the graph's placeholders get for the caller's arguments."""
        return args

    def process_outputs(self, outputs: Any) -> Any:
        """What the caller gets for the graph's result."""
        return outputs

    def additional_globals(self) -> list[tuple[str, Any]]:
        """More names that the code may use."""
        return []

    def _prepare(self, module: Any) -> None:
        """Give the module what the code reads from it."""

    def _transformed(self, body: list[str]) -> list[str]:
        return self._body_transformer(body) if self._body_transformer else body

    def _gen_python_code(
        self,
        nodes: Iterable[Node],
        root_module: str,
        namespace: _Namespace,
        *,
        record_func: bool = False,
        **options: Any,
    ) -> PythonCode:
        if record_func:
            raise NotImplementedError("record_func: there is no profiler of generated code here")
        return _python_code.Writer(self, nodes, root_module, namespace, _python_code.Options(**options)).write()


class _PyTreeInfo(NamedTuple):
    """The parameters' names, and how arguments and result are built."""

    orig_args: list[str]
    in_spec: pytree.TreeSpec
    out_spec: pytree.TreeSpec | None


class _PyTreeCodeGen(CodeGen):
    """Takes arguments apart on the way in, and puts the result together on the way out."""

    def __init__(self, pytree_info: _PyTreeInfo):
        super().__init__()
        self.pytree_info = pytree_info

    def process_inputs(self, *inputs: Any) -> Any:
        return pytree.arg_tree_leaves(*inputs)

    def process_outputs(self, out: Any) -> Any:
        if self.pytree_info is None or self.pytree_info.out_spec is None:
            return out
        if not isinstance(out, (list, tuple)):
            out = [out]
        return pytree.tree_unflatten(out, self.pytree_info.out_spec)

    def gen_fn_def(self, free_vars: list[str], maybe_return_annotation: str, *, expanded_def: bool = False) -> str:
        names = list(self.pytree_info.orig_args)
        named = names if names and names[0] == "self" else ["self", *names]
        head = super().gen_fn_def(named, maybe_return_annotation, expanded_def=expanded_def)
        if not free_vars:
            return head
        typed = [v for v in free_vars if ":" in v]
        bare = [v.split(":")[0].split("=")[0].strip() for v in free_vars]
        given = ", ".join(n for n in names if n != "self")
        spec = "self._in_spec"
        lines = f"\n    {', '.join(bare)}, = fx_pytree.tree_flatten_spec([{given}], {spec})"
        if typed:
            lines += f"\n    {'; '.join(v.split('=')[0].strip() for v in typed)}"
        return head + lines

    def generate_output(
        self, output_args: Any, *, descs: Sequence[str] | None = None, repr_fn: Callable[[Any], str] | None = None
    ) -> str:
        if self.pytree_info is None or self.pytree_info.out_spec is None:
            return super().generate_output(output_args, repr_fn=repr_fn)
        if not isinstance(output_args, (list, tuple)):
            output_args = [output_args]
        return f"return pytree.tree_unflatten({(repr_fn or repr)(output_args)}, self._out_spec)"

    def _prepare(self, module: Any) -> None:
        module._in_spec = self.pytree_info.in_spec
        module._out_spec = self.pytree_info.out_spec


class _InsertPoint:
    """While entered, new nodes are put elsewhere."""

    orig_insert: Callable[..., Any]

    def __init__(self, graph: Graph, new_insert: Callable[[Node], None]):
        self.graph = graph
        self.orig_insert, graph._insert = graph._insert, new_insert

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc: Any) -> None:
        self.graph._insert = self.orig_insert


class _node_list:
    """The nodes of a graph, in order; what is put in or taken out meanwhile is seen."""

    def __init__(self, graph: Graph, direction: str = "_next"):
        self.graph = graph
        self.direction = direction

    def __len__(self) -> int:
        return self.graph._len

    def __iter__(self) -> Iterator[Node]:
        root = self.graph._root
        node = getattr(root, self.direction)
        while node is not root:
            if not node._erased:
                yield node
            node = getattr(node, self.direction)

    def __reversed__(self) -> _node_list:
        return _node_list(self.graph, "_prev" if self.direction == "_next" else "_next")


class Graph:
    """A program as a list of `Node`s: `placeholder`s first, then calls, then one `output`.

    Nodes are made by the methods of their kinds and put at the end, or where `inserting_before` and `inserting_after` say.
    """

    def __init__(
        self,
        owning_module: Any = None,
        tracer_cls: Any = None,
        tracer_extras: dict[str, Any] | None = None,
    ):
        self._root: Node = Node(self, "", "root", "", (), {})
        self._used_names: dict[str, int] = {}
        self._insert: Callable[[Node], None] = self._root.prepend
        self._len = 0
        self._order: dict[Node, int] | None = None
        self._graph_namespace = _Namespace()
        self._owning_module = owning_module
        self._tracer_cls = tracer_cls
        self._tracer_extras = tracer_extras
        self._codegen = CodeGen()
        self._co_fields: dict[str, Any] = {}

    @property
    def owning_module(self) -> Any:
        """The GraphModule whose graph this is."""
        return self._owning_module

    @owning_module.setter
    def owning_module(self, mod: Any) -> None:
        self._owning_module = mod

    @property
    def nodes(self) -> _node_list:
        """All nodes, in the order in which they run; `reversed` works."""
        return _node_list(self)

    def _moved(self) -> None:
        self._order = None

    def _positions(self) -> dict[Node, int]:
        if self._order is None:
            self._order = {node: i for i, node in enumerate(self.nodes)}
        return self._order

    def output_node(self) -> Node:
        """The node that returns the result; StopIteration if there is none."""
        node = next(iter(reversed(self.nodes)), None)
        if node is None:
            raise StopIteration
        assert node.op == "output", f"Expected output node, got op={node.op}"
        return node

    def find_nodes(self, *, op: str, target: Target | None = None, sort: bool = True) -> list[Node]:
        """The nodes of a kind with a target, which may be left out for all kinds but `call_function`."""
        assert op != "call_function" or target is not None, "target must not be None for call_function op"
        return [n for n in self.nodes if n.op == op and (target is None or n.target == target)]

    # --- copies -------------------------------------------------------------------------------------------------------

    def graph_copy(self, g: Graph, val_map: dict[Node, Node], return_output_node: bool = False) -> Any:
        """Copy all nodes of `g` to here but its output, whose argument is returned in this graph's terms.

        `val_map` holds what stands here for nodes of `g`, and takes up the new ones.
        """
        for node in g.nodes:
            if node in val_map:
                continue
            if node.op == "output":
                result = map_arg(node.args[0], val_map.__getitem__)
                return (result, node) if return_output_node else result
            val_map[node] = self.node_copy(node, val_map.__getitem__)
        return None

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Graph:
        memo = {} if memo is None else memo
        made = Graph(tracer_cls=self._tracer_cls)
        memo[id(self)] = made
        places: dict[Node, Node] = {}
        found = made.graph_copy(self, places, return_output_node=True)
        made._codegen = copy.deepcopy(self._codegen)
        if found is not None:
            value, old = found
            output = made.output(value, type_expr=getattr(old, "type", None))
            output.meta = copy.copy(old.meta)
        memo.update({id(old): new for old, new in places.items()})
        return made

    def node_copy(self, node: Node, arg_transform: Callable[[Node], Argument] = lambda x: x) -> Node:
        """A copy of a node of any graph at the end of this one; `arg_transform` says what stands here for its inputs."""
        args = map_arg(node.args, arg_transform)
        kwargs = map_arg(node.kwargs, arg_transform)
        made = self.create_node(node.op, node.target, args, kwargs, node.name, node.type)
        made.meta = copy.copy(node.meta)
        return made

    # --- making nodes -------------------------------------------------------------------------------------------------

    def create_node(
        self,
        op: str,
        target: Target,
        args: tuple[Argument, ...] | None = None,
        kwargs: dict[str, Argument] | None = None,
        name: str | None = None,
        type_expr: Any = None,
    ) -> Node:
        """Make a node and put it at the insert point. Its name is `name`, or follows from the target, with a number if taken."""
        assert op in _legal_ops, f"op {op!r} is not in _legal_ops"
        args = () if args is None else args
        kwargs = {} if kwargs is None else kwargs
        assert isinstance(args, tuple), f"args must be a {tuple.__name__}, got {type(args)}"
        assert isinstance(kwargs, dict), f"kwargs must be a {dict.__name__}, got {type(kwargs)}"
        unique = self._graph_namespace.create_name(name or self._target_to_str(target), None)
        node = Node(self, unique, op, target, args, kwargs, type_expr)
        for hook in getattr(self.owning_module, "_create_node_hooks", ()):
            hook(node)
        self._graph_namespace.associate_name_with_obj(unique, node)
        self._insert(node)
        self._moved()
        self._len += 1
        return node

    def placeholder(self, name: str, type_expr: Any = None, default_value: Any = _MISSING) -> Node:
        """An input; its default value is an argument of the node."""
        args = () if default_value is _MISSING else (default_value,)
        return self.create_node("placeholder", name, args=args, type_expr=type_expr)

    def get_attr(self, qualified_name: str, type_expr: Any = None) -> Node:
        """The value of an attribute of the module, such as `encoder.weight`."""
        if (root := self.owning_module) is not None and not _has_attribute(root, qualified_name):
            warnings.warn(
                "Attempted to insert a get_attr Node with no underlying reference in the owning GraphModule! "
                "Call GraphModule.add_submodule to add the necessary submodule, GraphModule.add_parameter to add "
                "the necessary Parameter, or nn.Module.register_buffer to add the necessary buffer",
                stacklevel=2,
            )
        return self.create_node("get_attr", qualified_name, type_expr=type_expr)

    def call_module(
        self,
        module_name: str,
        args: tuple[Argument, ...] | None = None,
        kwargs: dict[str, Argument] | None = None,
        type_expr: Any = None,
    ) -> Node:
        """A call of a submodule."""
        if self.owning_module is not None and self.owning_module.get_submodule(module_name) is None:
            warnings.warn(
                "Attempted to insert a call_module Node with no underlying reference in the owning GraphModule! "
                "Call GraphModule.add_submodule to add the necessary submodule",
                stacklevel=2,
            )
        return self.create_node("call_module", module_name, args, kwargs, type_expr=type_expr)

    def call_method(
        self,
        method_name: str,
        args: tuple[Argument, ...] | None = None,
        kwargs: dict[str, Argument] | None = None,
        type_expr: Any = None,
    ) -> Node:
        """A call of a method of the first argument."""
        return self.create_node("call_method", method_name, args, kwargs, type_expr=type_expr)

    def call_function(
        self,
        the_function: Callable[..., Any],
        args: tuple[Argument, ...] | None = None,
        kwargs: dict[str, Argument] | None = None,
        type_expr: Any = None,
        name: str | None = None,
    ) -> Node:
        """A call of a function."""
        return self.create_node("call_function", the_function, args, kwargs, name=name, type_expr=type_expr)

    def output(self, result: Argument, type_expr: Any = None) -> Node:
        """What the program returns."""
        return self.create_node("output", "output", (result,), type_expr=type_expr)

    def _target_to_str(self, target: Target) -> str:
        name = target if isinstance(target, str) else getattr(target, "__name__", type(target).__name__)
        if name.startswith("__") and name.endswith("__"):
            name = name[2:-2]
        return _snake_case(name)

    def erase_node(self, to_erase: Node) -> None:
        """Take a node out. RuntimeError if somebody uses it."""
        if to_erase.users:
            raise RuntimeError(
                f"Tried to erase Node {to_erase} but it still had {len(to_erase.users)} users in the graph: {to_erase.users}!"
            )
        if to_erase.graph != self:
            raise RuntimeError(f"Attempting to remove {to_erase} from wrong graph!")
        if to_erase._erased:
            warnings.warn(f"erase_node({to_erase}) on an already erased node", stacklevel=2)
            return
        for hook in getattr(self.owning_module, "_erase_node_hooks", ()):
            hook(to_erase)
        to_erase._remove_from_list()
        to_erase._erased = True
        self._len -= 1
        to_erase._set_arguments((), {})

    def inserting_before(self, n: Node | None = None) -> _InsertPoint:
        """A context in which new nodes stand in front of `n`; without one, at the beginning."""
        if n is None:
            return self.inserting_after(self._root)
        assert n.graph == self, "Node to insert before is not in graph."
        return _InsertPoint(self, n.prepend)

    def inserting_after(self, n: Node | None = None) -> _InsertPoint:
        """A context in which new nodes stand right behind `n`; without one, at the end."""
        if n is None:
            return self.inserting_before(self._root)
        assert n.graph == self, "Node to insert after is not in graph."
        return _InsertPoint(self, n.append)

    # --- code ---------------------------------------------------------------------------------------------------------

    def process_inputs(self, *args: Any) -> Any:
        """What the placeholders get for the caller's arguments."""
        return self._codegen.process_inputs(*args)

    def process_outputs(self, out: Any) -> Any:
        """What the caller gets for the result."""
        return self._codegen.process_outputs(out)

    def python_code(self, root_module: str, **options: Any) -> PythonCode:
        """The code of a method of `root_module` (the name of a variable) that does what the graph does.

        `verbose` adds lines of the traced program and tensors' shapes as comments; `include_stride`, `include_device`,
        `colored` and `expanded_def` say more of how.
        """
        namespace = _Namespace()
        with self._named_by(namespace):
            return self._codegen._gen_python_code(self.nodes, root_module, namespace, **options)

    @contextlib.contextmanager
    def _named_by(self, namespace: _Namespace) -> Iterator[None]:
        """While entered, nodes show names that no global name has."""
        before = [(node, node._repr_fn) for node in self.nodes]
        for node, _ in before:
            node._repr_fn = lambda n: namespace.create_name(n.name, n)
        try:
            yield
        finally:
            for node, shown in before:
                node._repr_fn = shown

    def set_codegen(self, codegen: CodeGen) -> None:
        """Use another way to generate code."""
        self._codegen = codegen

    @contextlib.contextmanager
    def _restoring(self, before: TransformCodeFunc | None) -> Iterator[None]:
        try:
            yield
        finally:
            self._codegen._body_transformer = before

    def on_generate_code(
        self, make_transformer: Callable[[TransformCodeFunc | None], TransformCodeFunc]
    ) -> contextlib.AbstractContextManager[None]:
        """Let a function change the lines of generated code: `make_transformer` gets the one so far (or None), gives the new one.

        As a context manager it puts the old one back at the end.
        """
        before = self._codegen._body_transformer
        self._codegen._body_transformer = make_transformer(before)
        return self._restoring(before)

    def __str__(self) -> str:
        return "".join(["graph():", *(f"\n    {node.format_node()}" for node in self.nodes)])

    def print_tabular(self) -> None:
        """Print the nodes as a table. ImportError without the package `tabulate`."""
        try:
            from tabulate import tabulate  # type: ignore[import-untyped]
        except ImportError:
            print(
                "`print_tabular` relies on the library `tabulate`, which could not be found on this machine. "
                "Run `pip install tabulate` to install the library."
            )
            raise
        rows = [[n.op, n.name, n.target, n.args, n.kwargs] for n in self.nodes]
        print(tabulate(rows, headers=["opcode", "name", "target", "args", "kwargs"]))

    # --- checks and cleaning ------------------------------------------------------------------------------------------

    def lint(self) -> None:
        """Raise RuntimeError if the graph is no program: a value used before it is made, a name twice, a target that is not there."""
        from ._lint import lint

        lint(self)

    def eliminate_dead_code(self, is_impure_node: Callable[[Node], bool] | None = None) -> bool:
        """Remove nodes that nobody uses and that do nothing else (`Node.is_impure`); returns whether there were any."""
        self.lint()
        before = len(self.nodes)
        for node in reversed(self.nodes):
            impure = is_impure_node(node) if is_impure_node is not None else node.is_impure()
            if not impure and not node.users:
                self.erase_node(node)
        changed = len(self.nodes) < before
        if self.owning_module is not None:
            for child in self.owning_module.children():
                if isinstance(getattr(child, "graph", None), Graph):
                    changed = child.graph.eliminate_dead_code(is_impure_node) or changed
        return changed

    def _clear_nodes(self) -> None:
        for node in list(self.nodes):
            node._input_nodes, node.users = {}, {}
        self._root._prev = self._root._next = self._root
        self._len = 0
        self._moved()


def _has_attribute(root: Any, target: str) -> bool:
    for name in target.split("."):
        if not hasattr(root, name):
            return False
        root = getattr(root, name)
    return True
