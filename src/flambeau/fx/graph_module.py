"""`torch.fx.graph_module`: a module whose `forward` is generated from a graph."""

from __future__ import annotations

import copy
import itertools
import linecache
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from ..core.tensor.tensor import Tensor
from ..nn.modules._direct_calls import without_watch
from ..nn.modules.module import Module
from ..nn.parameter import Parameter
from ._imports import format_import_block, run_import_block
from ._names import KNOWN as _custom_builtins  # noqa: F401
from .graph import Graph, PythonCode

__all__ = ["GraphModule", "reduce_deploy_graph_module", "reduce_graph_module", "reduce_package_graph_module"]

FX_GRAPH_MODULE_FILE_PREFIX = "fx_generated_"
# `meta[this]` holds attributes, by name, that copies are to have as well
_USER_PRESERVED_ATTRIBUTES_KEY = "_user_preserved_attributes"
default_tracer: Any = None  # the class with which pickled code is traced again; `_symbolic_trace` hands it down
_numbers = itertools.count()


def _method_from_src(method_name: str, src: str, globals: dict[str, Any], co_fields: Any = None) -> Callable[..., Any]:
    """Run generated code and take the method out of it; tracebacks find its lines."""
    scope = dict(globals)
    file = f"<eval_with_key>.{next(_numbers)}"
    linecache.cache[file] = (len(src), None, src.splitlines(keepends=True), file)
    scope["__name__"] = file
    exec(compile(src, file, "exec", dont_inherit=True), scope)  # or else annotations would be texts, as they are here
    return scope.pop(method_name)


def _forward_from_src(src: str, globals: dict[str, Any], co_fields: Any = None) -> Callable[..., Any]:
    return _method_from_src("forward", src, globals, co_fields)


# --- attributes by their paths ----------------------------------------------------------------------------------------


def _owner(model: Any, target: str) -> tuple[Any, str]:
    *path, name = target.split(".")
    for part in path:
        model = getattr(model, part)
    return model, name


def _copy_attr(from_module: Module, to_module: Module, target: str) -> None:
    """Put what `target` names in one module into another one, with modules in between where they are missing."""
    *path, name = target.split(".")
    for part in path:
        source, there = getattr(from_module, part), getattr(to_module, part, None)
        if source is there:  # the whole branch is shared already
            return
        if there is None:
            there = Module()
            setattr(to_module, part, there)
        from_module, to_module = source, there
    value = getattr(from_module, name)
    if isinstance(value, Tensor) and not isinstance(value, Parameter):
        to_module.register_buffer(name, value, persistent=name not in from_module._non_persistent_buffers_set)
    else:
        setattr(to_module, name, value)


def _assign_attr(from_obj: Any, to_module: Module, target: str) -> None:
    """Put an object at a path in a module."""
    *path, name = target.split(".")
    for part in path:
        there = getattr(to_module, part, None)
        if there is None:
            there = Module()
            setattr(to_module, part, there)
        to_module = there
    if isinstance(from_obj, Tensor) and not isinstance(from_obj, Parameter):
        to_module.register_buffer(name, from_obj)
    else:
        setattr(to_module, name, from_obj)


def _del_attr(model: Module, attr_name: str) -> None:
    owner, name = _owner(model, attr_name)
    delattr(owner, name)


def _has_attr(model: Module, attr_name: str) -> bool:
    for part in attr_name.split("."):
        if not hasattr(model, part):
            return False
        model = getattr(model, part)
    return True


def _get_attr(model: Module, attr_name: str) -> Any:
    return _get_attr_via_attr_list(model, attr_name.split("."))


def _get_attr_via_attr_list(model: Module, attr_list: list[str]) -> Any:
    found: Any = model
    for part in attr_list:
        found = getattr(found, part)
    return found


# --- pickles ----------------------------------------------------------------------------------------------------------


class _CodeOnlyModule(Module):
    def __init__(self, body: dict[str, Any]):
        super().__init__()
        self.__dict__ = body


def reduce_graph_module(body: dict[str, Any], import_block: str) -> Module:
    """A GraphModule from its pickle: the generated code is run, and traced again."""
    scope: dict[str, Any] = {}
    run_import_block(import_block, scope)
    forward = _forward_from_src(body.get("_code") or body["code"], scope)
    return _deserialize_graph_module(forward, body)


def reduce_package_graph_module(importer: Any, body: dict[str, Any], generated_module_name: str) -> Module:
    """The same from an archive of `torch.package`."""
    forward = importer.import_module(generated_module_name).forward
    return _deserialize_graph_module(forward, body)


def reduce_deploy_graph_module(importer: Any, body: dict[str, Any], import_block: str) -> Module:
    """The same for `torch.deploy`."""
    return reduce_graph_module(body, import_block)


def _deserialize_graph_module(forward: Any, body: dict[str, Any], graph_module_cls: Any = None) -> Module:
    module = _CodeOnlyModule(body)
    cls = type("CodeOnlyModule", (_CodeOnlyModule,), {"forward": forward})
    module.__class__ = cls
    made_by = body.get("_tracer_cls") or default_tracer
    kept = _user_attributes(body)

    class KeepModules(made_by):  # type: ignore[valid-type, misc]
        proxy_buffer_attributes = True  # or what writes to a buffer would be done now, and be gone from the graph

        def is_leaf_module(self, m: Module, module_qualified_name: str) -> bool:
            return True

    graph = KeepModules().trace(module, **(body.get("_tracer_extras") or {}))
    graph._tracer_cls = made_by
    made = (graph_module_cls or GraphModule)(module, graph)
    made.__dict__.update({key: value for key, value in kept.items() if key not in made.__dict__})
    return made


def _user_attributes(body: dict[str, Any]) -> dict[str, Any]:
    return {
        key: value for key, value in body.items() if key not in ("_graph", "_code", "_lineno_map", "_prologue_start")
    }


# --- calls ------------------------------------------------------------------------------------------------------------


class _WrappedCall:
    """`__call__` of a class of one GraphModule: an error gets a note that shows the generated line."""

    def __init__(self, cls: type, cls_call: Any):
        self.cls = cls
        self.cls_call = cls_call

    @staticmethod
    def _generate_error_message(file: str, line: int) -> str:
        lines = linecache.getlines(file)
        before = "".join(lines[max(0, line - 3) : line])
        return (
            f"Call using an FX-traced Module, line {line} of the traced Module's generated forward function:\n{before}"
            f"    ~~~~~~~~~~~~~~~~~~~~~~~~~~~ <--- HERE\n{''.join(lines[line : line + 2])}"
        )

    def __call__(self, obj: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            if self.cls_call is not None:
                return self.cls_call(obj, *args, **kwargs)
            return super(self.cls, obj).__call__(*args, **kwargs)  # type: ignore[misc, arg-type]
        except Exception as error:
            at = _generated_line(error.__traceback__)
            if at and not any("FX-traced Module" in note for note in getattr(error, "__notes__", ())):
                error.add_note(self._generate_error_message(*at))
            raise


def _generated_line(tb: TracebackType | None) -> tuple[str, int] | None:
    found = None
    while tb is not None:
        file = tb.tb_frame.f_code.co_filename
        if file.startswith("<eval_with_key>"):
            found = file, tb.tb_lineno
        tb = tb.tb_next
    return found


class GraphModule(Module):
    """A module that computes what a `Graph` says. Assigning `graph` (or `recompile()` after changes) generates `forward` anew.

    `root` is the module, or a dict of paths, that holds what the graph's `get_attr` and `call_module` nodes name; no more than that
    is taken over.
    """

    _graph: Graph
    _code: str

    def __new__(cls, *args: Any, **kwargs: Any) -> GraphModule:
        for known in cls.__mro__:  # each instance has a class of its own, whose `forward` is its code
            if "_is_of_one_graph" in known.__dict__:
                cls = known.__bases__[0]
                break

        class GraphModuleImpl(cls):  # type: ignore[valid-type, misc]
            _is_of_one_graph = True

        return super().__new__(GraphModuleImpl)

    def __init__(self, root: Module | dict[str, Any], graph: Graph, class_name: str = "GraphModule"):
        super().__init__()
        self.__class__.__name__ = class_name
        if isinstance(root, Module):
            self.training: bool = getattr(root, "training", self.training)
            for node in graph.nodes:
                if node.op in ("get_attr", "call_module"):
                    assert isinstance(node.target, str)
                    _copy_attr(root, self, node.target)
        elif isinstance(root, dict):
            targets: list[str] = []
            for node in graph.nodes:
                if node.op in ("get_attr", "call_module"):
                    assert isinstance(node.target, str)
                    if node.target not in root:
                        raise RuntimeError(
                            f"Node {node} referenced target {node.target} but that target was not provided in ``root``!"
                        )
                    targets.append(node.target)
            for target in sorted(targets, key=lambda t: t.count(".")):  # a module comes before what lies in it
                _assign_attr(root[target], self, target)
        else:
            raise RuntimeError(f"Unsupported type {root} passed for root!")
        self.graph = graph
        self._tracer_cls = None
        if graph._tracer_cls and "<locals>" not in graph._tracer_cls.__qualname__:
            self._tracer_cls = graph._tracer_cls
        self._tracer_extras = graph._tracer_extras or {}
        self.meta: dict[str, Any] = {}
        self._replace_hooks: list[Callable[..., Any]] = []
        self._create_node_hooks: list[Callable[..., Any]] = []
        self._erase_node_hooks: list[Callable[..., Any]] = []
        self._deepcopy_hooks: list[Callable[..., Any]] = []

    @property
    def graph(self) -> Graph:
        """The graph; after changes of it `recompile()` has to be called."""
        return self._graph

    @graph.setter
    def graph(self, g: Graph) -> None:
        assert isinstance(g, Graph), f"Expected a Graph instance, but got {type(g)}"
        self.__dict__["_graph"] = g
        g.owning_module = self
        self.recompile()

    # --- submodules ---------------------------------------------------------------------------------------------------

    def add_submodule(self, target: str, m: Module) -> bool:
        """Put a module at a path, with empty modules where there are none yet. False if something else is in the way."""
        *path, name = target.split(".")
        owner: Module = self
        for part in path:
            there = getattr(owner, part, None)
            if there is None:
                there = Module()
                setattr(owner, part, there)
            if not isinstance(there, Module):
                return False
            owner = there
        owner.add_module(name, m)
        return True

    def delete_submodule(self, target: str) -> bool:
        """Remove the module at a path. False if there is none."""
        *path, name = target.split(".")
        owner: Any = self
        for part in path:
            owner = getattr(owner, part, None)
            if not isinstance(owner, Module):
                return False
        if not isinstance(getattr(owner, name, None), Module):
            return False
        delattr(owner, name)
        return True

    def delete_all_unused_submodules(self) -> None:
        """Remove the modules that no node calls, nor anything inside of which a node uses."""
        used: set[str] = set()
        for node in self.graph.nodes:
            if node.op not in ("call_module", "get_attr"):
                continue
            assert isinstance(node.target, str)
            parts = node.target.split(".")
            used.update(".".join(parts[: i + 1]) for i in range(len(parts)))
            if node.op == "call_module":
                try:
                    called = self.get_submodule(node.target)
                except AttributeError:  # a node without its module is no reason to keep one
                    continue
                used.update(f"{node.target}.{name}" for name, _ in called.named_modules() if name)
        for name, _ in list(self.named_modules()):
            if name and name not in used:
                self.delete_submodule(name)

    # --- code ---------------------------------------------------------------------------------------------------------

    @property
    def code(self) -> str:
        """The generated code."""
        if not hasattr(self, "_code"):
            raise RuntimeError(
                "Code has not been generated! Please report a bug to PyTorch: a GraphModule generates it when `graph` is assigned"
            )
        return self._code

    def recompile(self) -> PythonCode:
        """Generate `forward` from the graph as it is now."""
        made = self._graph.python_code(root_module="self")
        self.__dict__["_code"] = made.src
        self.__dict__["_lineno_map"] = made._lineno_map
        self.__dict__["_prologue_start"] = made._prologue_start
        self._graph._codegen._prepare(self)
        cls = type(self)
        cls.forward = _forward_from_src(made.src, made.globals)  # type: ignore[method-assign]
        own = cls.__dict__.get("__call__")
        if "_wrapped_call" not in cls.__dict__:
            cls._wrapped_call = _WrappedCall(cls, own)  # type: ignore[attr-defined]

            def call_wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
                return cls._wrapped_call(self, *args, **kwargs)  # type: ignore[attr-defined]

            cls.__call__ = call_wrapped  # type: ignore[method-assign]
        return made

    def _recompile_submodules(self) -> list[PythonCode]:
        return [module.recompile() for module in self.children() if isinstance(module, GraphModule)]

    def print_readable(
        self,
        print_output: bool = True,
        include_stride: bool = False,
        include_device: bool = False,
        colored: bool = False,
        *,
        fast_sympy_print: bool = False,
        expanded_def: bool = False,
        additional_meta: list[str] | None = None,
    ) -> str:
        """The code as a class, with those of GraphModules inside of it, with shapes and the lines it comes from where known."""
        text = _print_readable(
            self, self._get_name(), include_stride=include_stride, include_device=include_device, colored=colored,
            expanded_def=expanded_def, additional_meta=additional_meta,
        )  # fmt: skip
        if print_output:
            print(text)
        return text

    def __str__(self) -> str:
        note = "# To see more debug info, please use `graph_module.print_readable()`"
        return f"{super().__str__()}\n{self._code}\n{note}"

    def to_folder(self, folder: str | os.PathLike[str], module_name: str = "FxModule") -> None:
        """Write the module as a Python package: its code, its state, and the children that no text can make as files."""
        from ._folder import to_folder

        to_folder(self, Path(folder), module_name)

    # --- copies -------------------------------------------------------------------------------------------------------

    def _without_graph(self) -> tuple[dict[str, Any], str]:
        body = self.__dict__.copy()
        made = self._graph.python_code("self")
        body["_code"] = made.src
        del body["_graph"]
        return body, format_import_block(made.globals)

    def __reduce__(self) -> tuple[Any, ...]:
        return (reduce_graph_module, self._without_graph())

    def __reduce_package__(self, exporter: Any) -> tuple[Any, ...]:
        body, imports = self._without_graph()
        name = f"fx-generated._{exporter.get_unique_id()}"
        exporter.save_source_string(name, imports + body["_code"])
        return (reduce_package_graph_module, (body, name))

    def _deepcopy_init(self) -> Callable[..., Any]:
        return GraphModule.__init__

    def __deepcopy__(self, memo: dict[int, Any]) -> GraphModule:
        made = type(self).__new__(type(self))
        memo[id(self)] = made
        copied = _CodeOnlyModule(copy.deepcopy(without_watch(self.__dict__), memo))
        self._deepcopy_init()(made, copied, copied.__dict__["_graph"])
        kept = (
            "_state_dict_hooks", "_load_state_dict_pre_hooks", "_load_state_dict_post_hooks", "_forward_hooks",
            "_forward_hooks_with_kwargs", "_forward_hooks_always_called", "_forward_pre_hooks", "_forward_pre_hooks_with_kwargs",
            "_backward_hooks", "_backward_pre_hooks", "_replace_hooks", "_create_node_hooks", "_erase_node_hooks",
            "_deepcopy_hooks", "_tracer_cls", "_tracer_extras",
        )  # fmt: skip
        for name in kept:
            if name in copied.__dict__:
                made.__dict__[name] = copied.__dict__[name]
        made.meta = copy.deepcopy(getattr(self, "meta", {}), memo)
        for name, value in made.meta.get(_USER_PRESERVED_ATTRIBUTES_KEY, {}).items():
            setattr(made, name, value)
        for hook in made._deepcopy_hooks:
            hook(made)
        return made

    def __copy__(self) -> GraphModule:
        made = GraphModule(self, self.graph)
        made.meta = getattr(self, "meta", {})
        return made

    def _replicate_for_data_parallel(self) -> GraphModule:
        made = self.__copy__()
        made._is_replica = True  # type: ignore[attr-defined]
        return made

    # --- hooks on changes of the graph --------------------------------------------------------------------------------

    @contextmanager
    def _set_replace_hook(self, f: Callable[..., Any]) -> Iterator[None]:
        self._register_replace_node_hook(f)
        try:
            yield
        finally:
            self._unregister_replace_node_hook(f)

    def _register_replace_node_hook(self, f: Callable[..., Any]) -> None:
        assert callable(f), "node_replace hook must be a callable."
        self._replace_hooks.append(f)

    def _unregister_replace_node_hook(self, f: Callable[..., Any]) -> None:
        self._replace_hooks.remove(f)

    def _register_create_node_hook(self, f: Callable[..., Any]) -> None:
        assert callable(f), "create_node hook must be a callable."
        self._create_node_hooks.append(f)

    def _unregister_create_node_hook(self, f: Callable[..., Any]) -> None:
        self._create_node_hooks.remove(f)

    def _register_erase_node_hook(self, f: Callable[..., Any]) -> None:
        assert callable(f), "erase_node hook must be a callable."
        self._erase_node_hooks.append(f)

    def _unregister_erase_node_hook(self, f: Callable[..., Any]) -> None:
        self._erase_node_hooks.remove(f)

    def _register_deepcopy_hook(self, f: Callable[..., Any]) -> None:
        assert callable(f), "deepcopy hook must be a callable."
        self._deepcopy_hooks.append(f)

    def _unregister_deepcopy_hook(self, f: Callable[..., Any]) -> None:
        self._deepcopy_hooks.remove(f)


def _print_readable(module: Module, module_name: str, **options: Any) -> str:
    graph = getattr(module, "graph", None)
    assert isinstance(graph, Graph), "print_readable must be used on a module with a graph"
    code = graph.python_code("self", verbose=True, **options).src.lstrip("(\n)")
    inside = [""]
    for name, child in module.named_children():
        if hasattr(child, "graph"):
            inside.append(_print_readable(child, name, **options))
    text = f"class {module_name}(torch.nn.Module):\n{_indented(code)}{_indented(chr(10).join(inside))}"
    return re.sub(r"[ \t]+$", "", text, flags=re.M)


def _indented(text: str) -> str:
    first, *rest = text.split("\n")
    return "\n".join(["    " + first if first else first, *(("    " + line) for line in rest)])
