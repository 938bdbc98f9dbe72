"""`script`: functions and modules that say they are TorchScript's, and run their Python code."""

from __future__ import annotations

import copy
import functools
import inspect
import io
import pickle
import textwrap
import types
import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from ..core.dispatch.messages import message
from ..nn.modules.module import Module
from . import _state
from ._arguments import fitting
from ._containers import ScriptDict, ScriptList

T = TypeVar("T")
_told = False


class Attribute(NamedTuple):
    """A value with the type that TorchScript would give it: an attribute that is set to it holds the value."""

    value: Any
    type: Any


class ScriptWarning(Warning):
    """What PyTorch says of code that it compiles differently."""


def tell() -> None:
    """Say, once in a process, what `torch.jit` is here."""
    global _told
    if not _told:
        _told = True
        warnings.warn(
            "torch.jit: there is no TorchScript in flambeau. What is scripted or traced runs its Python code as it is, with "
            "control flow, and is not faster for it; use torch.compile for speed. save() writes a program that "
            "torch.jit.load reads without the module's class. This is said once.",
            UserWarning,
            stacklevel=3,
        )


def no_graph(what: str) -> str:
    """What an error says where PyTorch would show TorchScript's own form of the code."""
    return (
        f"{what}: there is no TorchScript graph in flambeau; torch.fx.symbolic_trace gives a graph of torch's operators"
    )


def source(function: Any) -> str:
    """The Python code of a function, or a line that says where it is from."""
    try:
        return textwrap.dedent(inspect.getsource(inspect.unwrap(function)))
    except (OSError, TypeError):
        return f"# the source of {getattr(function, '__qualname__', function)} cannot be read\n"


def _given(value: Any) -> Any:
    """What a function gets for an argument: for a ScriptList its list, which the function may change."""
    return value._plain if isinstance(value, ScriptList | ScriptDict) else value


class ScriptFunction:
    """A scripted or traced function: calling it calls the Python function."""

    def __init__(self, function: Callable[..., Any], example: Any = None):
        functools.update_wrapper(self, function)
        self._function = function
        self._example = example
        self._fitted = fitting(function) if example is None else None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._fitted is not None:
            args, kwargs = self._fitted(args, kwargs)
        return self._function(*map(_given, args), **{name: _given(value) for name, value in kwargs.items()})

    @property
    def name(self) -> str:
        """The function's name."""
        return getattr(self._function, "__name__", type(self._function).__name__)

    @property
    def qualified_name(self) -> str:
        """Its dotted name."""
        return f"__torch__.{getattr(self._function, '__module__', '')}.{self.name}"

    @property
    def code(self) -> str:
        """Its Python source."""
        return source(self._function)

    def save(self, f: Any, _extra_files: Any = None) -> None:
        """Write it to a file that `torch.jit.load` reads (see `torch.jit.save`)."""
        from ._serialization import save

        save(self, f, _extra_files)

    def save_to_buffer(self) -> bytes:
        """The file that `save` writes, as bytes."""
        buffer = io.BytesIO()
        self.save(buffer)
        return buffer.getvalue()

    def __getattr__(self, name: str) -> Any:
        if name in _NOT_HERE:
            raise AttributeError(no_graph(f"'ScriptFunction' object has no attribute {name!r}"))
        raise AttributeError(f"'ScriptFunction' object has no attribute {name!r}")

    def __copy__(self) -> ScriptFunction:
        return self

    def __deepcopy__(self, memo: Any) -> ScriptFunction:
        return self

    def __reduce__(self) -> Any:
        raise pickle.PickleError("ScriptFunction cannot be pickled: its own save(file) writes it, for torch.jit.load")


_NOT_HERE = ("graph", "inlined_graph", "graph_for", "schema", "code_with_constants", "get_debug_state", "define")


class ScriptModule(Module):
    """A module that is scripted or traced, or of a class that is derived from this one. It runs its Python code."""

    original_name: str

    def __init__(self) -> None:
        super().__init__()

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value.value if isinstance(value, Attribute) else value)

    def __getattr__(self, name: str) -> Any:
        if name == "original_name":
            return type(self).__name__
        if name == "code":
            return source(type(self).forward)
        if name in _NOT_HERE:
            raise AttributeError(no_graph(f"'{type(self).__name__}' object has no attribute {name!r}"))
        return super().__getattr__(name)

    def save(self, f: Any, _extra_files: Any = None) -> None:
        """Write it to a file that `torch.jit.load` reads (see `torch.jit.save`)."""
        from ._serialization import save

        save(self, f, _extra_files)

    def save_to_buffer(self, _extra_files: Any = None) -> bytes:
        """The file that `save` writes, as bytes."""
        buffer = io.BytesIO()
        self.save(buffer, _extra_files)
        return buffer.getvalue()

    def extra_repr(self) -> str:
        """The name of the class that was scripted."""
        return f"original_name={self.original_name}" if "original" in vars(type(self)) else ""

    def __reduce_ex__(self, protocol: Any) -> Any:
        cls = vars(type(self)).get("original", type(self))
        told = message("script_without_state", name=f"__torch__.{cls.__module__}.{cls.__qualname__}")
        raise RuntimeError(f"{told} Its own save(file) writes it, for torch.jit.load")

    def __copy__(self) -> Any:
        made = object.__new__(type(self))
        for name, value in vars(self).items():
            made.__dict__[name] = copy.copy(value) if type(value) in (dict, OrderedDict) else value
        return made

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        made = object.__new__(type(self))
        memo[id(self)] = made
        made.__dict__.update({name: copy.deepcopy(value, memo) for name, value in vars(self).items()})
        return made


class RecursiveScriptModule(ScriptModule):
    """What `script` makes of a module, and `load` of a file: of a class that is derived from this one and the module's."""


@functools.cache
def class_of(kind: type, original: type) -> type:
    """The class of a scripted (or traced) module whose class was `original`."""
    traced = not issubclass(kind, RecursiveScriptModule)

    def body(space: dict[str, Any]) -> None:
        space.update(__module__=original.__module__, __doc__=original.__doc__, __qualname__=name, original=original)
        space.update(original_name=original.__name__, extra_repr=ScriptModule.extra_repr)
        space.update(_get_name=lambda self: name, __repr__=Module.__repr__, __str__=Module.__repr__)

    name = original.__name__ if traced else "RecursiveScriptModule"
    return types.new_class(name, (kind, original), exec_body=body)


def converted(module: Module, change: Callable[[type], type], memo: dict[int, Module] | None = None) -> Module:
    """The same modules, with the same parameters and hooks, as objects of other classes."""
    memo = {} if memo is None else memo
    if id(module) in memo:
        return memo[id(module)]
    new: Any = object.__new__(change(type(module)))
    memo[id(module)] = new
    for key, value in vars(module).items():
        held = value.value if isinstance(value, Attribute) else value
        new.__dict__[key] = type(held)(held) if type(held) in (dict, OrderedDict) and key.startswith("_") else held
    for name, child in module._modules.items():
        if child is not None:
            new._modules[name] = converted(child, change, memo)
    for key, value in vars(module).items():
        if isinstance(value, types.MethodType) and id(value.__self__) in memo:
            new.__dict__[key] = types.MethodType(value.__func__, memo[id(value.__self__)])
    return new


def as_script(module: Module, kind: type = RecursiveScriptModule) -> Any:
    """A module and those in it as scripted ones."""
    return converted(module, lambda cls: class_of(kind, _plain(cls)))


def as_plain(module: Module) -> Module:
    """What `as_script` was given, with the parameters of now."""
    return converted(module, _plain)


def _plain(cls: type) -> type:
    return vars(cls).get("original", cls) if issubclass(cls, ScriptModule) else cls


def script(
    obj: Any,
    optimize: None = None,
    _frames_up: int = 0,
    _rcb: Callable[[str], Any] | None = None,
    example_inputs: Any = None,
) -> Any:
    """A function or module that says it is TorchScript's, and runs its Python code.

    A module shares its parameters and buffers with what is returned; whether it trains is each one's own. Classes come back as
    they are, lists and dictionaries as a copy whose values keep their type. TypeError for what PyTorch does not script.
    """
    if optimize is not None:
        warnings.warn(
            "`optimize` is deprecated and has no effect. Use `with torch.jit.optimized_execution()` instead",
            FutureWarning,
            stacklevel=2,
        )
    if not _state._enabled or isinstance(obj, (ScriptModule, ScriptFunction)):
        return obj
    if isinstance(obj, Module):
        tell()
        prepare = getattr(obj, "__prepare_scriptable__", None)
        return as_script(prepare() if prepare is not None else obj)
    if isinstance(obj, (dict, list)):
        return (ScriptDict if isinstance(obj, dict) else ScriptList)(obj)
    if inspect.isclass(obj):
        if issubclass(obj, Module):
            raise RuntimeError(
                f"Type '{obj}' cannot be compiled since it inherits from nn.Module, pass an instance instead"
            )
        return obj
    if inspect.isfunction(obj) or inspect.ismethod(obj):
        tell()
        return ScriptFunction(obj)
    if inspect.isbuiltin(obj) or not callable(obj) or type(obj).__module__ == "builtins":
        raise TypeError(f"{type(obj)} is a built-in class")
    tell()
    return ScriptFunction(type(obj).__call__.__get__(obj))


def script_method(fn: T) -> T:
    """The method itself."""
    return fn


def interface(obj: T) -> T:
    """The class itself, which is to have methods without bodies. RuntimeError for anything else."""
    if not inspect.isclass(obj):
        raise RuntimeError("interface must be applied to a class")
    return obj
