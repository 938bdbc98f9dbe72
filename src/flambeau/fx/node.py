"""`torch.fx.node`: one step of a graph, and what may stand among its arguments."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from ..core.array.devices import device
from ..core.array.dtypes import DTYPES, dtype
from ..core.array.formats import layout, memory_format
from ..core.tensor.tensor import Tensor
from ._names import package, printed_target, qualified_name, type_repr
from .immutable_collections import immutable_dict, immutable_list

__all__ = ["Node", "has_side_effect", "map_aggregate", "map_arg"]

BaseArgumentTypes: tuple[type, ...] = (str, int, float, bool, complex, dtype, Tensor, device, memory_format, layout)
base_types = BaseArgumentTypes
Target = Callable[..., Any] | str
Argument = Any

_legal_ops = dict.fromkeys(["placeholder", "call_method", "call_module", "call_function", "get_attr", "output", "root"])
_side_effectful_functions: set[Any] = {operator.setitem}
_get_qualified_name = qualified_name
_type_repr = type_repr


def has_side_effect(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Say that calls of a function are not to be removed, even if nobody uses their results. Serves as a decorator."""
    _side_effectful_functions.add(fn)
    return fn


def map_arg(a: Any, fn: Callable[[Node], Any]) -> Any:
    """An argument with `fn(node)` in the place of every node in it."""
    assert callable(fn), "torch.fx.map_arg(a, fn): fn must be a callable"
    return map_aggregate(a, lambda value: fn(value) if isinstance(value, Node) else value)


def map_aggregate(a: Any, fn: Callable[[Any], Any]) -> Any:
    """An argument with `fn(leaf)` in the place of every leaf of its tuples, lists, dicts and slices."""
    if isinstance(a, tuple):
        items = [map_aggregate(value, fn) for value in a]
        if not hasattr(a, "_fields"):
            return tuple(items)
        return a if all(new is old for new, old in zip(items, a, strict=True)) else type(a)(*items)
    if isinstance(a, list):
        return immutable_list([map_aggregate(value, fn) for value in a])
    if isinstance(a, dict):
        return immutable_dict([(key, map_aggregate(value, fn)) for key, value in a.items()])
    if isinstance(a, slice):
        return slice(map_aggregate(a.start, fn), map_aggregate(a.stop, fn), map_aggregate(a.step, fn))
    return fn(a)


def _format_arg(arg: Any, max_list_len: float = float("inf")) -> str:
    """An argument as it stands in a printed graph: `%x` for a node, text without quotes."""
    if isinstance(arg, (list, tuple)):
        shown = [_format_arg(value) for i, value in enumerate(arg) if i < max_list_len]
        if len(arg) > len(shown):
            shown.append(f"...[total_len={len(arg)}]")
        if isinstance(arg, list):
            return f"[{', '.join(shown)}]"
        return f"({shown[0]},)" if len(shown) == 1 else f"({', '.join(shown)})"
    if isinstance(arg, dict):
        return "{" + ", ".join(f"{key}: {_format_arg(value)}" for key, value in arg.items()) + "}"
    return f"%{arg}" if isinstance(arg, Node) else str(arg)


class Node:
    """One step of a `Graph`: what it calls (`op`, `target`), with which arguments, and who uses its result (`users`).

    `op` is one of `placeholder`, `get_attr`, `call_function`, `call_method`, `call_module`, `output`. Nodes stand in a linked
    list, in the order in which they run. `args` and `kwargs` are immutable: assign new ones.
    """

    graph: Any
    name: str
    op: str
    meta: dict[str, Any]

    def __init__(
        self,
        graph: Any,
        name: str,
        op: str,
        target: Target,
        args: tuple[Argument, ...],
        kwargs: dict[str, Argument],
        return_type: Any = None,
    ):
        if op == "call_function":
            if not callable(target):
                raise ValueError(
                    f"Node [graph = {graph}, name = '{name}'] target {target} has type {_kind(target)} but a Callable is expected"
                )
        elif op in _legal_ops and op != "root" and not isinstance(target, str):
            raise ValueError(
                f"Node [graph = {graph}, name = '{name}'] target {target} has type {_kind(target)} but a str is expected"
            )
        self.graph = graph
        self.name = name
        self.op = op
        self.target = target
        self.type = return_type
        self.users: dict[Node, None] = {}
        self.meta = {}
        self._input_nodes: dict[Node, None] = {}
        self._args: tuple[Argument, ...] = ()
        self._kwargs: dict[str, Argument] = immutable_dict()
        self._repr_fn: Callable[[Node], str] | None = None
        self._prev: Node = self
        self._next: Node = self
        self._erased = False
        self._set_arguments(args, kwargs)

    # --- place in the list --------------------------------------------------------------------------------------------

    @property
    def next(self) -> Node:
        """The node that runs after this one."""
        return self._next

    @property
    def prev(self) -> Node:
        """The node that runs before this one."""
        return self._prev

    def _remove_from_list(self) -> None:
        self._prev._next, self._next._prev = self._next, self._prev
        self.graph._moved()

    def prepend(self, x: Node) -> None:
        """Move node `x` to the place in front of this one."""
        assert self.graph == x.graph, "Attempting to move a Node into a different Graph"
        if self is x:
            return
        x._remove_from_list()
        before = self._prev
        before._next, x._prev = x, before
        x._next, self._prev = self, x

    def append(self, x: Node) -> None:
        """Move node `x` to the place behind this one."""
        self._next.prepend(x)

    def _position(self) -> int:
        return self.graph._positions()[self]

    _sort_key = property(lambda self: (self._position(),))

    def __lt__(self, other: Node) -> bool:
        return self._position() < other._position()

    def __gt__(self, other: Node) -> bool:
        return self._position() > other._position()

    def __le__(self, other: Node) -> bool:
        return self is other or self < other

    def __ge__(self, other: Node) -> bool:
        return self is other or self > other

    # --- arguments ----------------------------------------------------------------------------------------------------

    @property
    def args(self) -> tuple[Argument, ...]:
        """The positional arguments; nodes stand for their results."""
        return self._args

    @args.setter
    def args(self, a: tuple[Argument, ...]) -> None:
        self._set_arguments(a, self._kwargs)

    @property
    def kwargs(self) -> dict[str, Argument]:
        """The keyword arguments."""
        return self._kwargs

    @kwargs.setter
    def kwargs(self, k: dict[str, Argument]) -> None:
        self._set_arguments(self._args, k)

    def _set_arguments(self, args: tuple[Argument, ...], kwargs: Mapping[str, Argument]) -> None:
        for used in self._input_nodes:
            used.users.pop(self, None)
        self._input_nodes = {}

        def note(node: Node) -> Node:
            self._input_nodes.setdefault(node)
            node.users.setdefault(self)
            return node

        self._args = map_arg(tuple(args), note)
        self._kwargs = map_arg(dict(kwargs), note)

    _update_args_kwargs = _set_arguments

    @property
    def all_input_nodes(self) -> list[Node]:
        """The nodes among the arguments, each once."""
        return list(self._input_nodes)

    def update_arg(self, idx: int, arg: Argument) -> None:
        """Put another positional argument in a place."""
        args = list(self.args)
        args[idx] = arg
        self.args = tuple(args)

    def insert_arg(self, idx: int, arg: Argument) -> None:
        """Put one more positional argument in front of place `idx`."""
        assert 0 <= idx <= len(self.args), "insert_args index must be between 0 and len(self.args)"
        self.args = (*self.args[:idx], arg, *self.args[idx:])

    def update_kwarg(self, key: str, arg: Argument) -> None:
        """Give a keyword argument."""
        self.kwargs = {**self.kwargs, key: arg}

    # --- users --------------------------------------------------------------------------------------------------------

    def replace_all_uses_with(
        self,
        replace_with: Node,
        delete_user_cb: Callable[[Node], bool] | None = None,
        *,
        propagate_meta: bool = False,
    ) -> list[Node]:
        """Let every user (for which `delete_user_cb` is true) use another node; returns those that did use this one."""
        if propagate_meta:
            assert len(replace_with.meta) == 0, (
                "Called node.replace_all_uses_with(replace_with, propagate_meta=True), "
                "but replace_with already has .meta keys"
            )
            replace_with.meta.update(self.meta)
        changed = []
        for user in list(self.users):
            if delete_user_cb is not None and not delete_user_cb(user):
                continue
            changed.append(user)
            user._tell_replaced(self, replace_with)
            user.replace_input_with(self, replace_with)
        return changed

    def _tell_replaced(self, old: Node, new: Node) -> None:
        module = self.graph.owning_module
        for hook in getattr(module, "_replace_hooks", ()):
            hook(old=old, new=new.name, user=self)

    def replace_input_with(self, old_input: Node, new_input: Node) -> None:
        """Use `new_input` wherever `old_input` is an argument."""

        def swap(node: Node) -> Node:
            return new_input if node is old_input else node

        self._set_arguments(map_arg(self.args, swap), map_arg(self.kwargs, swap))

    def is_impure(self, impure_random: bool = True) -> bool:
        """Whether the node does something besides its result (or is an input or the output), and so has to stay."""
        if self.op in ("placeholder", "output"):
            return True
        if self.op == "call_function":
            drawn = impure_random and getattr(self.target, "__name__", None) in _DRAWS and _from_torch(self.target)
            return drawn or self.target in _side_effectful_functions or self.target in _assertions()
        if self.op == "call_module":
            module = self.graph.owning_module
            assert module is not None, "self.graph.owning_module not set for purity check"
            called = module.get_submodule(str(self.target))
            assert called is not None, f"Did not find expected submodule target {self.target}"
            return getattr(called, "_is_impure", False)
        return False

    # --- how it looks -------------------------------------------------------------------------------------------------

    @property
    def stack_trace(self) -> str | None:
        """Where the call stands in the program that was traced, if that was recorded."""
        return self.meta.get("stack_trace")

    @stack_trace.setter
    def stack_trace(self, trace: str | None) -> None:
        self.meta["stack_trace"] = trace

    def __repr__(self) -> str:
        return self._repr_fn(self) if self._repr_fn else self.name

    def _pretty_print_target(self, target: Any) -> str:
        return printed_target(target)

    def format_node(
        self,
        placeholder_names: list[str] | None = None,
        maybe_return_typename: list[str] | None = None,
        *,
        include_tensor_metadata: bool = False,
    ) -> str | None:
        """The node's line in a printed graph. The lists, where given, collect inputs' names and the output's type instead."""
        typed = f"{type_repr(self.type)} " if self.type else ""
        start = f"%{self.name} : {typed}{self._metadata() if include_tensor_metadata else ''}[num_users={len(self.users)}] ="
        if self.op == "placeholder":
            assert isinstance(self.target, str)
            if placeholder_names is not None:
                placeholder_names.append(f"{self.target} : {type_repr(self.type)}" if self.type else self.target)
            default = f"(default={self.args[0]})" if self.args else ""
            return f"{start} {self.op}[target={self.target}]{default}"
        if self.op == "get_attr":
            return f"{start} {self.op}[target={printed_target(self.target)}]"
        if self.op == "output":
            if self.type and maybe_return_typename:
                maybe_return_typename[0] = f" -> {type_repr(self.type)}"
            return f"return {self.args[0]}"
        arguments = f"(args = {_format_arg(self.args)}, kwargs = {_format_arg(self.kwargs)})"
        return f"{start} {self.op}[target={printed_target(self.target)}]{arguments}"

    def _metadata(self) -> str:
        value: Any = self.meta.get("val")
        if not hasattr(value, "shape") or not hasattr(value, "dtype"):
            return ""
        return f"{dtype_abbrs.get(value.dtype, value.dtype)}[{', '.join(map(str, value.shape))}]"

    def normalized_arguments(
        self,
        root: Any,
        arg_types: tuple[Any, ...] | None = None,
        kwarg_types: dict[str, Any] | None = None,
        normalize_to_only_use_kwargs: bool = False,
    ) -> Any:
        """The arguments with keywords by the signature of what is called; None where there is no telling."""
        from .operator_schemas import normalize_function, normalize_module

        if self.op == "call_function":
            return normalize_function(
                self.target, self.args, self.kwargs, arg_types, kwarg_types, normalize_to_only_use_kwargs  # type: ignore[arg-type]
            )  # fmt: skip
        if self.op == "call_module":
            return normalize_module(root, str(self.target), self.args, self.kwargs, normalize_to_only_use_kwargs)
        return None

    def _rename(self, candidate: str) -> None:
        if candidate == self.name:
            return
        self.name = self.graph._graph_namespace.create_name(candidate, None)
        self.graph._graph_namespace._rename_object(self, self.name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("op", "target") and "target" in self.__dict__ and self.graph is not None:
            self.graph._moved()
        object.__setattr__(self, name, value)


_DRAWS = "bernoulli multinomial normal poisson rand rand_like randint randint_like randn randn_like randperm".split()


def _kind(target: Any) -> str:
    return type_repr(type(target))


def _assertions() -> list[Any]:
    return [getattr(package(), name, None) for name in ("_assert", "_assert_async")]


def _from_torch(function: Any) -> bool:
    return qualified_name(function).partition(".")[0] == "torch"


_ABBREVIATED = {
    "uint8": "u8", "int8": "i8", "int16": "i16", "int32": "i32", "int64": "i64", "float16": "f16", "float32": "f32",
    "float64": "f64", "bfloat16": "bf16", "bool": "b8", "complex64": "c64", "complex128": "c128",
}  # fmt: skip


dtype_abbrs: dict[dtype, str] = {d: _ABBREVIATED[d.name] for d in DTYPES if d.name in _ABBREVIATED}
