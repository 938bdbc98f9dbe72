"""`torch.fx.proxy`: values that write down what is done with them."""

from __future__ import annotations

import dis
import inspect
import operator
import traceback
from collections import OrderedDict
from collections.abc import Callable, Iterator
from types import CodeType, FrameType, TracebackType
from typing import Any, NoReturn

from ..core.array.size import Size
from ..core.context import overrides as _overrides
from ..nn.parameter import Parameter
from ..runtime.absent import refuse as _refuse
from ._names import MAGIC as magic_methods
from ._names import REFLECTABLE as reflectable_magic_methods
from ._names import qualified_name
from .node import Argument, Node, Target, base_types, map_aggregate

__all__ = [
    "Attribute", "GraphAppendingTracer", "ParameterProxy", "Proxy", "Scope", "ScopeContextManager", "TraceError", "TracerBase",
]  # fmt: skip


class TraceError(ValueError):
    """What a program does with its values depends on the values, which are not known while it is traced."""


class Scope:
    """Which module's `forward` runs: its path and its class."""

    def __init__(self, module_path: str, module_type: Any):
        self.module_path = module_path
        self.module_type = module_type


class ScopeContextManager:
    """While entered, the tracer's scope says that it is in another module."""

    def __init__(self, scope: Scope, current_scope: Scope):
        self._scope = scope
        self._before = (scope.module_path, scope.module_type)
        scope.module_path, scope.module_type = current_scope.module_path, current_scope.module_type

    def __enter__(self) -> Scope:
        return self._scope

    def __exit__(self, kind: type | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._scope.module_path, self._scope.module_type = self._before


def assert_fn(x: object) -> None:
    """AssertionError unless it is true: what `assert` becomes where a tracer has `trace_asserts`."""
    assert x


class TracerBase:
    """How nodes and proxies are made. `Tracer` traces modules and functions with it."""

    graph: Any
    record_stack_traces: bool = False
    check_mutable_operations: bool = False
    trace_asserts: bool = False
    proxy_buffer_attributes: bool = False
    traced_func_name: str = "forward"
    scope: Scope
    module_stack: OrderedDict[str, tuple[str, Any]]
    node_name_to_scope: dict[str, tuple[str, Any]]

    def create_node(
        self,
        kind: str,
        target: Target,
        args: tuple[Argument, ...],
        kwargs: dict[str, Argument],
        name: str | None = None,
        type_expr: Any = None,
    ) -> Node:
        """Put a node into the graph. A subclass may look at what is recorded here, or forbid it."""
        if kind == "call_function" and self.check_mutable_operations:
            from .operator_schemas import check_for_mutable_operation

            check_for_mutable_operation(target, args, kwargs)  # type: ignore[arg-type]
        node = self.graph.create_node(kind, target, args, kwargs, name, type_expr)
        if kind in ("call_function", "call_method", "call_module", "get_attr") and self.record_stack_traces:
            node.stack_trace = "".join(traceback.format_list(_user_frames())).strip()
        if hasattr(self, "node_name_to_scope"):
            self.node_name_to_scope[node.name] = (self.scope.module_path, self.scope.module_type)
        if getattr(self, "module_stack", None):
            node.meta["nn_module_stack"] = self.module_stack.copy()
        return node

    def proxy(self, node: Node) -> Proxy:
        """The value that the program sees for a node's result."""
        return Proxy(node, self)

    def create_proxy(
        self,
        kind: str,
        target: Target,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        name: str | None = None,
        type_expr: Any = None,
        proxy_factory_fn: Callable[[Node], Proxy] | None = None,
    ) -> Proxy:
        """A node for a call whose arguments may hold proxies, and the proxy of its result."""
        made_args = self.create_arg(args)
        made_kwargs = self.create_arg(kwargs)
        assert isinstance(made_args, tuple) and isinstance(made_kwargs, dict)
        node = self.create_node(kind, target, made_args, made_kwargs, name, type_expr)
        return proxy_factory_fn(node) if proxy_factory_fn else self.proxy(node)

    def create_arg(self, a: Any) -> Argument:
        """An argument as a node can hold it. NotImplementedError for an object that no graph can hold."""
        if isinstance(a, Proxy):
            return a.node
        if hasattr(a, "__fx_create_arg__"):
            return a.__fx_create_arg__(self)
        if isinstance(a, tuple):
            if hasattr(a, "_fields"):
                return type(a)(*(self.create_arg(value) for value in a))
            return tuple(self.create_arg(value) for value in a)
        if isinstance(a, list):
            return [self.create_arg(value) for value in a]
        if isinstance(a, dict):
            return self._create_dict(a)
        if isinstance(a, slice):
            return slice(self.create_arg(a.start), self.create_arg(a.stop), self.create_arg(a.step))
        if isinstance(a, range):
            return range(self.create_arg(a.start), self.create_arg(a.stop), self.create_arg(a.step))
        if isinstance(a, base_types) or a is None or a is ...:
            return a
        if getattr(type(a), "__dataclass_fields__", None):
            fields = {name: self.create_arg(getattr(a, name)) for name in type(a).__dataclass_fields__}
            return self.create_node("call_function", type(a), (), fields)
        if isinstance(a, Node) or _is_enum(a):
            return a
        raise NotImplementedError(f"argument of type: {type(a)}")

    def _create_dict(self, a: dict[Any, Any]) -> dict[Any, Argument]:
        made = {}
        for key, value in a.items():
            key = key if isinstance(key, str) else self.create_arg(key)

            def refuse(leaf: Any, key: Any = key) -> Any:
                if isinstance(leaf, Node):
                    raise RuntimeError(
                        f"Keys for dictionaries used as an argument cannot contain a Node. Got key: {key}"
                    )
                return leaf

            map_aggregate(key, refuse)
            made[key] = self.create_arg(value)
        return made

    def to_bool(self, obj: Proxy) -> bool:
        """What `bool` of a value is: called where the program branches on it."""
        raise TraceError("symbolically traced variables cannot be used as inputs to control flow")

    def iter(self, obj: Proxy) -> Iterator[Any]:
        """What a loop over a value goes through."""
        raise TraceError(
            "Proxy object cannot be iterated. This can be attempted when the Proxy is used in a loop or as a *args or **kwargs "
            "function argument. See the torch.fx docs on pytorch.org for a more detailed explanation of what types of control "
            "flow can be traced, and check out the Proxy docstring for help troubleshooting Proxy iteration errors"
        )

    def keys(self, obj: Proxy) -> Any:
        """What `keys()` of a value is, as `**value` asks for it."""
        return Attribute(obj, "keys")()


def _is_enum(a: Any) -> bool:
    import enum

    return isinstance(a, enum.Enum)


def _user_frames() -> list[traceback.FrameSummary]:
    """The frames of the program that is traced, from the outside in, without those of this library."""
    frame: FrameType | None = inspect.currentframe()
    found = []
    while frame is not None and not (frame.f_code.co_name == "_run" and frame.f_code.co_filename.endswith(_TRACER)):
        if frame.f_globals.get("__name__", "").partition(".")[0] not in _OURS:
            found.append((frame, frame.f_lineno))
        frame = frame.f_back
    return list(traceback.StackSummary.extract(reversed(found)))  # type: ignore[arg-type]


_OURS = ("torch", __name__.partition(".")[0])
_TRACER = "_symbolic_trace.py"


class GraphAppendingTracer(TracerBase):
    """Puts what is done with proxies at the insert point of a graph."""

    def __init__(self, graph: Any):
        self.graph = graph
        self.scope: Scope = Scope("", None)
        self.module_stack: OrderedDict[str, tuple[str, Any]] = OrderedDict()
        self.node_name_to_scope: dict[str, tuple[str, Any]] = {}


class Proxy:
    """Stands for a value while a program is traced: whatever is done with it becomes a node of the graph.

    Attributes, calls, operators and public functions are recorded. What needs the value itself raises `TraceError` (a branch, a
    loop) or TypeError (`int`, `range`). Unpacking works, since the program says into how many names.
    """

    node: Node
    tracer: TracerBase

    def __init__(self, node: Node, tracer: TracerBase | None = None):
        self.tracer = GraphAppendingTracer(node.graph) if tracer is None else tracer
        self.node = node

    def __repr__(self) -> str:
        return f"Proxy({self.node.name})"

    def __getattr__(self, k: str) -> Attribute:
        if k in ("node", "tracer") or (k.startswith("__array") or k.startswith("__jax") or k == "__fx_create_arg__"):
            raise AttributeError(k)  # of an object that is being made, or is asked whether it is an array
        return Attribute(self, k)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__

    def __setstate__(self, d: dict[str, Any]) -> None:
        self.__dict__ = d

    def __deepcopy__(self, memo: dict[int, Any]) -> Proxy:
        import copy

        made = Proxy.__new__(type(self))
        memo[id(self)] = made
        made.__dict__.update({key: copy.deepcopy(value, memo) for key, value in self.__dict__.items()})
        return made

    def __call__(self, *args: Any, **kwargs: Any) -> Proxy:
        return self.tracer.create_proxy("call_method", "__call__", (self, *args), kwargs)

    def __iter__(self) -> Iterator[Any]:
        if (count := _unpacked(inspect.currentframe().f_back)) is not None:  # type: ignore[union-attr]
            return iter([self[i] for i in range(count)])  # type: ignore[index]
        return self.tracer.iter(self)

    def __abs__(self) -> Proxy:
        return self.tracer.create_proxy("call_function", operator.abs, (self,), {})

    def __bool__(self) -> bool:
        if self.tracer.trace_asserts and _is_asserted(inspect.currentframe().f_back):  # type: ignore[union-attr]
            self.tracer.create_proxy("call_function", assert_fn, (self,), {})
            return True
        return self.tracer.to_bool(self)

    def keys(self) -> Any:
        """The keys of a dict, as `**value` asks for them."""
        return self.tracer.keys(self)

    def __len__(self) -> NoReturn:
        raise RuntimeError(
            "'len' is not supported in symbolic tracing by default. If you want this call to be recorded, please call "
            "torch.fx.wrap('len') at module scope"
        )

    @classmethod
    def __torch_function__(cls, orig_method: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tracers: dict[Any, None] = {}
        map_aggregate((args, kwargs), lambda a: tracers.setdefault(a.tracer) if isinstance(a, Proxy) else a)
        if len(tracers) > 1:
            raise RuntimeError(
                f"Found multiple different tracers {list(tracers)} while trying to trace operations {orig_method}"
            )
        (tracer,) = tracers
        name = _overrides.resolve(orig_method) or ""
        if name.startswith("torch.Tensor.") and name.count(".") == 2:
            return tracer.create_proxy("call_method", name.rpartition(".")[2], args, kwargs)
        called = tracer.graph._target_to_str(qualified_name(orig_method).rpartition(".")[2])
        return tracer.create_proxy("call_function", orig_method, args, kwargs, name=called)


def _unpacked(frame: FrameType | None) -> int | None:
    """Into how many names the instruction that a frame is at unpacks; None for other instructions."""
    if frame is None or frame.f_lasti < 0:
        return None
    instruction = _instructions(frame.f_code).get(frame.f_lasti)
    return instruction.argval if instruction is not None and instruction.opname == "UNPACK_SEQUENCE" else None


def _is_asserted(frame: FrameType | None) -> bool:
    """Whether the truth that a frame asks for decides on an AssertionError alone."""
    if frame is None:
        return False
    skipped = ("CACHE", "NOP", "EXTENDED_ARG")
    coming = [i for i in dis.get_instructions(frame.f_code) if i.offset >= frame.f_lasti and i.opname not in skipped]
    if coming and coming[0].opname in (
        "TO_BOOL",
        "COMPARE_OP",
    ):  # which ask for the truth themselves from Python 3.12 on
        coming = coming[1:]
    if len(coming) < 2 or "JUMP" not in coming[0].opname:
        return False
    return "ASSERTIONERROR" in f"{coming[1].opname}{coming[1].argrepr}".upper().replace("_", "")


def _instructions(code: CodeType) -> dict[int, dis.Instruction]:
    return {i.offset: i for i in dis.get_instructions(code)}


class Attribute(Proxy):
    """An attribute of a proxy: a method if it is called, else a node of its own, made when it is used."""

    def __init__(self, root: Proxy, attr: str):
        self.root = root
        self.attr = attr
        self.tracer: TracerBase = root.tracer
        self._node: Node | None = None

    @property
    def node(self) -> Node:  # type: ignore[override]
        if self._node is None:
            self._node = self.tracer.create_proxy("call_function", getattr, (self.root, self.attr), {}).node
        return self._node

    def __call__(self, *args: Any, **kwargs: Any) -> Proxy:
        return self.tracer.create_proxy("call_method", self.attr, (self.root, *args), kwargs)


class ParameterProxy(Proxy):
    """A proxy of a parameter, whose shape is known."""

    def __init__(self, tracer: TracerBase, node: Node, name: str, param: Parameter):
        super().__init__(node, tracer)
        assert isinstance(param, Parameter)
        self.param = param
        self.name = name

    def __repr__(self) -> str:
        return f"ParameterProxy({self.name})"

    @property
    def shape(self) -> Size:  # type: ignore[override]
        return self.param.shape

    def size(self) -> Size:
        """The parameter's shape."""
        return self.param.size()

    def dim(self) -> int:
        """Its number of dimensions."""
        return self.param.dim()

    @property
    def ndim(self) -> int:  # type: ignore[override]
        return self.param.ndim

    def numel(self) -> int:
        """Its number of elements."""
        return self.param.numel()

    nelement = numel


def _operator_method(name: str) -> Callable[..., Proxy]:
    function = getattr(operator, name)

    def method(*args: Any, **kwargs: Any) -> Proxy:
        return args[0].tracer.create_proxy("call_function", function, args, kwargs)

    return method


def _reflected_method(name: str) -> Callable[..., Proxy]:
    function = getattr(operator, name)

    def method(self: Proxy, rhs: Any) -> Proxy:
        return self.tracer.create_proxy("call_function", function, (rhs, self), {})

    return method


def _define_operators() -> None:
    for name in magic_methods:
        bare = name.strip("_")
        if hasattr(operator, name):
            made = _operator_method(name)
            made.__name__ = made.__qualname__ = f"__{bare}__"
            setattr(Proxy, f"__{bare}__", made)
            if name in reflectable_magic_methods:
                reflected = _reflected_method(name)
                reflected.__name__ = reflected.__qualname__ = f"__r{bare}__"
                setattr(Proxy, f"__r{bare}__", reflected)
    Proxy.__hash__ = object.__hash__  # type: ignore[method-assign]


_define_operators()

_refuse(
    globals(),
    "make_fx and ShapeProp note what values are",
    "MetaProxy ",
)
