"""`torch.fx._symbolic_trace`: run a module or function on proxies, and get its graph."""

from __future__ import annotations

import collections
import contextlib
import copy
import inspect
import math
import typing
import warnings
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

from .. import nn
from ..core.tensor.tensor import Tensor
from ..nn.modules.module import Module
from ..nn.parameter import Parameter
from . import graph_module
from ._names import package
from ._patching import Patcher as _Patcher
from ._patching import find_proxy as _find_proxy  # noqa: F401
from ._patching import patch_by_identity, patch_wrapped, wrap
from ._patching import recording_function as _create_wrapped_func  # noqa: F401
from ._patching import recording_method as _create_wrapped_method  # noqa: F401
from ._patching import wrapped_functions as _wrapped_fns_to_patch  # noqa: F401
from ._patching import wrapped_methods as _wrapped_methods_to_patch  # noqa: F401
from .graph import Graph
from .graph_module import GraphModule
from .node import Argument
from .proxy import ParameterProxy, Proxy, Scope, ScopeContextManager, TracerBase

__all__ = ["PH", "ProxyableClassMeta", "Tracer", "is_fx_symbolic_tracing", "is_fx_tracing", "symbolic_trace", "wrap"]

_OURS = ("torch", __name__.partition(".")[0])  # under the drop-in classes say that they are torch's
_proxyable_classes: dict[type, None] = {}
_tracing = 0


def is_fx_tracing() -> bool:
    """Whether a program is being traced now."""
    return _tracing > 0


def is_fx_symbolic_tracing() -> bool:
    """Whether a program is being traced now, and not compiled."""
    return _tracing > 0


class ProxyableClassMeta(type):
    """The metaclass of classes whose making is a node of the graph when it is given proxies."""

    def __init__(cls, name: str, bases: tuple[type, ...], attrs: dict[str, Any]):
        _proxyable_classes.setdefault(cls)
        super().__init__(name, bases, attrs)

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        made: Any = cls.__new__(cls)  # type: ignore[call-overload]
        found: list[Proxy] = []

        def look(value: Any) -> None:
            if isinstance(value, Proxy):
                found.append(value)
            elif isinstance(value, (list, tuple)):
                for item in value:
                    look(item)
            elif isinstance(value, dict):
                look(list(value.values()))

        look([*args, *kwargs.values()])
        if found:
            return found[0].tracer.create_proxy("call_function", cls, args, kwargs)
        made.__init__(*args, **kwargs)
        return made


class PHBase:
    """In `concrete_args`: this part of the argument stays an input."""

    def __repr__(self) -> str:
        return "PH"


PH = PHBase()


class PHWithMeta(PHBase):
    """A `PH` whose attributes become the `meta` of its node."""

    def __init__(self, ph_key: str | None = None):
        super().__init__()
        self.ph_key = ph_key


def _transfer_attrs(fr: Any, to: Any) -> None:
    for name in dir(fr):
        value = getattr(fr, name)
        if not callable(value) and not name.startswith("__") and not hasattr(to, name):
            setattr(to, name, value)


def _assert_is_none(value: Any, msg: str) -> None:
    assert value is None, msg


class Tracer(TracerBase):
    """Traces modules and functions. What is traced, and how, is changed in a subclass.

    `is_leaf_module` says which modules stay whole; `call_module`, `create_arg`, `create_proxy`, `to_bool`, `iter`, `keys` say how the
    rest is recorded. Functions of `autowrap_modules` and `autowrap_functions` are never traced into.
    """

    def __init__(
        self,
        autowrap_modules: tuple[ModuleType, ...] = (math,),
        autowrap_functions: tuple[Callable[..., Any], ...] = (),
        param_shapes_constant: bool = False,
    ):
        super().__init__()
        self._autowrap_function_ids: set[int] = {
            id(value)
            for module in autowrap_modules
            for name, value in vars(module).items()
            if not name.startswith("_") and callable(value)
        } | {id(f) for f in autowrap_functions}
        self._autowrap_search: list[ModuleType] = list(autowrap_modules)
        self.param_shapes_constant = param_shapes_constant
        self.submodule_paths: dict[Module, str] | None = None
        self.root_module_name: str = ""
        self.scope: Scope = Scope("", None)
        self.module_stack: Any = collections.OrderedDict()
        self.num_calls: dict[str, int] = {}
        self.node_name_to_scope: dict[str, tuple[str, Any]] = {}

    _concrete_count = 0  # placeholders made for one argument of `concrete_args`

    # --- what a subclass may change -----------------------------------------------------------------------------------

    def get_fresh_qualname(self, prefix: str) -> str:
        """A name of an attribute that the root has not, such as `_tensor_constant0`."""
        number = 0
        while hasattr(self.root, f"{prefix}{number}"):
            number += 1
        return f"{prefix}{number}"

    def create_arg(self, a: Any) -> Argument:
        """An argument as a node can hold it: parameters, buffers, constants and modules become nodes that get them."""
        if isinstance(a, Parameter):
            for name, parameter in self.root.named_parameters():
                if a is parameter:
                    return self.create_node("get_attr", name, (), {})
            raise NameError("parameter is not a member of this module")
        if isinstance(a, Tensor):
            for name, buffer in self.root.named_buffers():
                if a is buffer:
                    return self.create_node("get_attr", name, (), {})
            return self.create_node("get_attr", self._constant_name(a), (), {})
        if isinstance(a, Module):
            for name, module in self.root.named_modules():
                if a is module:
                    return self.create_node("get_attr", name, (), {})
        if isinstance(a, tuple) and hasattr(a, "_fields"):
            return self.create_node("call_function", type(a), tuple(self.create_arg(value) for value in a), {})
        if type(a) in _proxyable_classes:
            name = self.get_fresh_qualname(f"_{type(a).__name__}_constant_")
            setattr(self.root, name, a)
            return self.create_node("get_attr", name, (), {})
        return super().create_arg(a)

    def _constant_name(self, a: Tensor) -> str:
        name = self.tensor_attrs.get(id(a), (None, None))[0]
        if name is None:
            name = self.get_fresh_qualname("_tensor_constant")
            self.tensor_attrs[id(a)] = (name, a)
            setattr(self.root, name, a)
        return name

    def is_leaf_module(self, m: Module, module_qualified_name: str) -> bool:
        """Whether calls of a module are single nodes; so it is for the layers of `torch.nn` but `Sequential`."""
        package, _, rest = m.__module__.partition(".")
        return package in _OURS and (rest == "nn" or rest.startswith("nn.")) and not isinstance(m, nn.Sequential)

    def path_of_module(self, mod: Module) -> str:
        """A module's path from the root. NameError if it is not under it."""
        if self.submodule_paths:
            path = self.submodule_paths.get(mod)
            if path is None:
                raise NameError("module is not installed as a submodule")
            return path
        for name, module in self.root.named_modules():
            if mod is module:
                return name
        raise NameError("module is not installed as a submodule")

    def call_module(self, m: Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What a call of a submodule gives: a node of its own for a leaf, else what its `forward` gives."""
        path = self.path_of_module(m)
        with ScopeContextManager(self.scope, Scope(path, type(m))) as scope:
            count = self.num_calls.get(path, 0)
            key = f"{scope.module_path}@{count}" if count > 0 else scope.module_path
            self.module_stack[key] = (scope.module_path, scope.module_type)
            self.num_calls[path] = count + 1
            try:
                if self.is_leaf_module(m, path):
                    return self.create_proxy("call_module", path, args, kwargs)
                return forward(*args, **kwargs)
            finally:
                self.module_stack.pop(key, None)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """What an attribute of a module is while it is traced: a proxy for a parameter."""
        if isinstance(attr_val, Parameter):
            return self._proxy_of(attr_val, self.root.named_parameters(), parameter_proxy_cache)
        if self.proxy_buffer_attributes and isinstance(attr_val, Tensor):
            return self._proxy_of(attr_val, self.root.named_buffers(), parameter_proxy_cache)
        return attr_val

    def _proxy_of(self, value: Any, named: Iterator[tuple[str, Any]], cache: dict[str, Any]) -> Any:
        for name, known in named:
            if value is known:
                if name not in cache:
                    extra: dict[str, Any] = {}  # a subclass's `create_proxy` may not know of it
                    if self.param_shapes_constant and isinstance(value, Parameter):
                        extra["proxy_factory_fn"] = lambda node, name=name: ParameterProxy(self, node, name, value)
                    cache[name] = self.create_proxy("get_attr", name, (), {}, **extra)
                return cache[name]
        return value

    # --- inputs -------------------------------------------------------------------------------------------------------

    def create_args_for_root(
        self,
        root_fn: Callable[..., Any],
        is_module: bool,
        concrete_args: dict[str, Any] | tuple[Any, ...] | None = None,
    ) -> tuple[Callable[..., Any], list[Any]]:
        """The function to call and its arguments: a placeholder for each parameter, or its value in `concrete_args`."""
        plain = inspect.unwrap(root_fn)
        code = plain.__code__
        count = code.co_argcount + code.co_kwonlyargcount
        names = list(code.co_varnames)
        args: list[Any] = [self.root] if is_module else []
        if is_module and count == 0:
            raise RuntimeError("``self`` argument cannot be part of *args expansion!")
        first = len(args)
        if isinstance(concrete_args, tuple):
            expected = count - first
            if len(concrete_args) != expected:
                raise RuntimeError(
                    f"Tracing expected {expected} arguments but got {len(concrete_args)} concrete arguments"
                )
            concrete_args = dict(zip(names[first:count], concrete_args, strict=True))
        signature = inspect.signature(plain)
        for name in names[first:count]:
            args.append(self._placeholder(name, concrete_args, signature, plain))
        keyword_only = names[code.co_argcount : count]
        if (concrete_args or code.co_flags & (inspect.CO_VARARGS | inspect.CO_VARKEYWORDS)) or keyword_only:
            at = count
            if code.co_flags & inspect.CO_VARARGS:
                args.append(self._placeholder(f"*{names[at]}", {}, signature, plain))
                at += 1
            if code.co_flags & inspect.CO_VARKEYWORDS:
                args.append(self._placeholder(f"**{names[at]}", {}, signature, plain))
            root_fn = _flat_signature(plain)
        return self._with_structures(root_fn, args, concrete_args, names[first:count])

    def _with_structures(
        self, root_fn: Callable[..., Any], args: list[Any], concrete_args: dict[str, Any] | None, names: list[str]
    ) -> tuple[Callable[..., Any], list[Any]]:
        """Take arguments that are structures (`PH` in lists and dicts) apart: each leaf is an input."""
        if concrete_args is None or not any(isinstance(v, (dict, list, tuple)) for v in concrete_args.values()):
            return root_fn, args
        from ._structures import flattened

        function, leaves, codegen = flattened(root_fn, args, names)
        self.graph._codegen = codegen
        return function, leaves

    def _placeholder(self, name: str, concrete_args: Any, signature: inspect.Signature, function: Any) -> Any:
        bare = name.lstrip("*")
        if concrete_args is not None and name in concrete_args:
            return self._concrete(name, concrete_args[name], signature)
        if name.startswith("*"):
            default: tuple[Any, ...] = ()
        else:
            parameter = signature.parameters[bare]
            default = () if parameter.default is inspect.Parameter.empty else (parameter.default,)
        return self.create_proxy("placeholder", name, default, {}, type_expr=_annotations(function).get(bare))

    def _concrete(self, name: str, value: Any, signature: inspect.Signature) -> Any:
        self._concrete_count = 0
        if isinstance(value, (dict, list, tuple)):
            from ._structures import map_leaves

            return map_leaves(lambda leaf: self._concrete_leaf(name, leaf, ()), value)
        default = signature.parameters[name].default
        return self._concrete_leaf(name, value, () if default is inspect.Parameter.empty else (default,))

    def _concrete_leaf(self, name: str, value: Any, default: tuple[Any, ...]) -> Any:
        self._concrete_count += 1
        if isinstance(value, PHBase):
            made = self.create_proxy("placeholder", f"{name}_{self._concrete_count}", default, {})
            if value is not PH:
                _transfer_attrs(value, made.node)
            return made
        made = self.create_proxy("placeholder", f"{name}_{self._concrete_count}", default, {})
        changed = f"{name} has been specialized to have value {value} but got another value"
        if isinstance(value, (bool, int, float, str)) and not isinstance(value, Tensor):
            package()._assert(made == value, changed)
        elif value is None:
            self.create_proxy("call_function", _assert_is_none, (made, changed), {})
        else:
            warnings.warn(
                f"Was not able to add assertion to guarantee correct input {name} to specialized function. It is up to the user "
                "to make sure that your inputs match the inputs you specialized the function with.",
                stacklevel=4,
            )
        return value

    # --- the trace ----------------------------------------------------------------------------------------------------

    def trace(self, root: Module | Callable[..., Any], concrete_args: dict[str, Any] | None = None) -> Graph:
        """The graph of a module's `forward` (or of a function). `concrete_args` are arguments that are fixed to a value.

        Raises `TraceError` where the program looks into a value.
        """
        global _tracing
        _tracing += 1
        try:
            fn = self._begin(root)
            function, args = self.create_args_for_root(fn, isinstance(root, Module), concrete_args)
            self._run(fn, function, args)
        finally:
            _tracing -= 1
        return self.graph

    def _begin(self, root: Module | Callable[..., Any]) -> Callable[..., Any]:
        if isinstance(root, Module):
            self.root: Module = root
            assert hasattr(type(root), self.traced_func_name), (
                f"traced_func_name={self.traced_func_name} doesn't exist in {type(root).__name__}"
            )
            fn = getattr(type(root), self.traced_func_name)
            self.root_module_name = root._get_name()
            self.submodule_paths = {module: name for name, module in root.named_modules()}
        else:
            self.root = Module()
            fn = root
        assert isinstance(fn, FunctionType), f"Expected FunctionType, got {type(fn)}"
        self.graph: Any = Graph(tracer_cls=getattr(self, "__class__", None))
        if hasattr(fn, "__code__"):
            self.graph._co_fields = {
                "co_name": fn.__code__.co_name,
                "co_filename": fn.__code__.co_filename,
                "co_firstlineno": fn.__code__.co_firstlineno,
            }
        self.tensor_attrs: dict[int, tuple[str, Tensor]] = {}
        self._note_tensors(self.root, [])
        return fn

    def _note_tensors(self, module: Module, path: list[str]) -> None:
        for name, value in vars(module).items():
            if isinstance(value, Tensor):
                self.tensor_attrs[id(value)] = (".".join([*path, name]), value)
        for name, child in module.named_children():
            self._note_tensors(child, [*path, name])

    def _run(self, fn: Any, function: Callable[..., Any], args: list[Any]) -> None:
        cache: dict[str, Any] = {}
        plain_getattr, plain_call = Module.__getattr__, Module.__call__

        def module_getattr(mod: Any, attr: str) -> Any:
            return self.getattr(attr, plain_getattr(mod, attr), cache)

        def module_call(mod: Any, *args: Any, **kwargs: Any) -> Any:
            def forward(*args: Any, **kwargs: Any) -> Any:
                return plain_call(mod, *args, **kwargs)

            patch_by_identity(
                patcher, getattr(getattr(mod, "forward", mod), "__globals__", {}), self._autowrap_function_ids
            )
            return self.call_module(mod, forward, args, kwargs)

        with _Patcher() as patcher:
            patcher.patch_method(Module, "__getattr__", module_getattr, deduplicate=False)
            patcher.patch_method(Module, "__call__", module_call, deduplicate=False)
            patch_wrapped(patcher)
            patch_by_identity(patcher, fn.__globals__, self._autowrap_function_ids)
            for module in self._autowrap_search:
                patch_by_identity(patcher, module.__dict__, self._autowrap_function_ids)
            result = self.create_arg(function(*args))
            self.create_node("output", "output", (result,), {}, type_expr=_returned(fn))
        self.submodule_paths = None

    def __deepcopy__(self, memo: dict[int, Any]) -> Tracer:
        made = Tracer.__new__(type(self))
        memo[id(self)] = made
        for name, value in self.__dict__.items():
            made.__dict__[name] = value if name == "_autowrap_search" else copy.deepcopy(value, memo)
        return made


def _annotations(fn: Any) -> dict[str, Any]:
    """A function's annotations; flambeau's own are written as texts, and `Any` says nothing."""
    found = getattr(fn, "__annotations__", None) or {}
    if (getattr(fn, "__module__", None) or "").partition(".")[0] not in _OURS:
        return found
    with contextlib.suppress(NameError, TypeError, AttributeError):
        found = typing.get_type_hints(fn)
    return {name: kind for name, kind in found.items() if kind is not Any and not isinstance(kind, str)}


def _returned(fn: Any) -> Any:
    """The annotation of the result. It is left out where the signature is written anew, without what only keywords give."""
    inner = getattr(fn, "__func__", fn)
    anew = getattr(inner, "__code__", None) is not None and (
        inner.__code__.co_kwonlyargcount or inner.__code__.co_flags & (inspect.CO_VARARGS | inspect.CO_VARKEYWORDS)
    )
    return None if anew else _annotations(fn).get("return")


def _flat_signature(fn: Any) -> FunctionType:
    """The function with `*args`, `**kwargs` and keyword-only parameters as ordinary ones, which take one proxy each."""
    code: CodeType = fn.__code__
    count = code.co_argcount + code.co_kwonlyargcount
    count += bool(code.co_flags & inspect.CO_VARARGS) + bool(code.co_flags & inspect.CO_VARKEYWORDS)
    flags = code.co_flags & ~(inspect.CO_VARARGS | inspect.CO_VARKEYWORDS)
    flat = code.replace(co_argcount=count, co_posonlyargcount=0, co_kwonlyargcount=0, co_flags=flags)
    return FunctionType(flat, fn.__globals__, fn.__name__, fn.__defaults__, fn.__closure__)


graph_module.default_tracer = Tracer


@contextlib.contextmanager
def _new_patcher() -> Iterator[_Patcher]:
    with _Patcher() as patcher:
        yield patcher


def symbolic_trace(
    root: Module | Callable[..., Any], concrete_args: dict[str, Any] | tuple[Any, ...] | None = None
) -> GraphModule:
    """The `GraphModule` of a module or function: its `forward` is run once on proxies.

    `concrete_args` fixes arguments to values, so that the program may branch on them; `PH` in a structure leaves a part an input.
    """
    tracer = Tracer()
    graph = tracer.trace(root, concrete_args)  # type: ignore[arg-type]
    name = root._get_name() if isinstance(root, Module) else root.__name__
    return _make_graph_module(tracer.root, graph, name)


def _make_graph_module(*args: Any, **kwargs: Any) -> GraphModule:
    from ._lazy_graph_module import _make_graph_module as make

    return make(*args, **kwargs)
