"""`torch.overrides`: functions that give classes with `__torch_function__`, and modes, a say in what is computed."""

from __future__ import annotations

import contextlib
import functools
import inspect
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from . import nn, ops  # noqa: F401  (they declare the functions)
from .core.context import overrides as _core
from .core.context.grad_mode import state as _state
from .core.context.overrides import (  # noqa: F401
    handle_torch_function,
    has_torch_function,
    has_torch_function_unary,
    has_torch_function_variadic,
)
from .core.dispatch.help import explain_namespace as _explain
from .core.dispatch.operator import namespaces as _namespaces
from .core.tensor.tensor import Tensor

__all__ = [
    "enable_reentrant_dispatch",
    "get_ignored_functions",
    "get_overridable_functions",
    "get_testing_overrides",
    "handle_torch_function",
    "has_torch_function",
    "is_tensor_like",
    "is_tensor_method_or_property",
    "redispatch_function",
    "resolve_name",
    "wrap_torch_function",
]


def _get_overloaded_args(relevant_args: Iterable[Any], get_type_fn: Any = None) -> list[Any]:
    """The arguments with a say, one of each class, in the order in which they are asked."""
    return _core.with_a_say(relevant_args, everyone=True)


def wrap_torch_function(dispatcher: Callable[..., Iterable[Any]]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator that makes a function ask others. `dispatcher` has its signature and returns the arguments to ask."""

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def asking(*args: Any, **kwargs: Any) -> Any:
            relevant = dispatcher(*args, **kwargs)
            if has_torch_function(relevant):
                return handle_torch_function(asking, relevant, *args, **kwargs)
            return function(*args, **kwargs)

        return asking

    return wrap


def redispatch_function(func: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
    """Call a function without asking for this one call; the functions that it calls ask as ever."""
    kwargs = kwargs or {}
    plainly = _core.source(func)
    if plainly is not None:
        return plainly(*args, **kwargs)
    with _core.skipping_once():
        return func(*args, **kwargs)


# --- modes -----------------------------------------------------------------------------------------------------------


class TorchFunctionMode:
    """While entered, sees every public function that this thread calls, also those without tensors.

    `__torch_function__(self, func, types, args=(), kwargs=None)` computes in the function's place. While it runs the mode
    itself is off, so that it may call `func`.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise NotImplementedError

    def __enter__(self) -> Any:
        _core.push(self)
        return self

    def __exit__(self, *exc: object) -> None:
        _core.pop()

    @classmethod
    def push(cls, *args: Any, **kwargs: Any) -> Any:
        """Deprecated: an instance."""
        warnings.warn(f"{cls.__name__}.push() is deprecated: enter `{cls.__name__}()` itself", stacklevel=2)
        return cls(*args, **kwargs)


class BaseTorchFunctionMode(TorchFunctionMode):
    """A mode that changes nothing."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


def _is_torch_function_mode_enabled() -> bool:
    return bool(_state.modes)


def _get_current_function_mode() -> Any:
    return _state.modes[-1] if _state.modes else None


def _get_current_function_mode_stack() -> list[Any]:
    return list(_state.modes)


def _push_mode(mode: Any) -> None:
    _core.push(mode)


def _pop_mode() -> Any:
    return _core.pop()


@contextlib.contextmanager
def _pop_mode_temporarily() -> Iterator[Any]:
    mode = _core.pop()
    try:
        yield mode
    finally:
        _core.push(mode)


@contextlib.contextmanager
def enable_reentrant_dispatch() -> Iterator[None]:
    """Nothing to enable: operators may always call operators."""
    yield


# --- what there is ---------------------------------------------------------------------------------------------------


def is_tensor_like(inp: Any) -> bool:
    """Whether it is a tensor or has a `__torch_function__`."""
    return isinstance(inp, Tensor) or hasattr(inp, "__torch_function__")


def is_tensor_method_or_property(func: Callable[..., Any]) -> bool:
    """Whether a function that a handler was given is a method of Tensor, or reads or writes a property."""
    name = resolve_name(func) or ""
    return func.__name__ == "__get__" or name.startswith("torch.Tensor.")


def resolve_name(f: Callable[..., Any]) -> str | None:
    """The dotted name of a function that a handler was given, such as `'torch.Tensor.add'`; None if it is not known."""
    hash(f)
    return _core.resolve(f)


def get_default_nowrap_functions() -> set[Any]:
    """The properties whose values `Tensor.__torch_function__` leaves plain tensors."""
    return {Tensor.__dict__[name].__get__ for name in ("_base", "grad") if hasattr(Tensor.__dict__[name], "__get__")}


_IGNORED_METHODS = (
    "__init__ __new__ __hash__ __init_subclass__ __subclasshook__ __class__ __setattr__ __getattribute__ __delattr__ __iter__ "
    "__torch_function__ as_subclass _make_subclass __reduce__"
).split()


@functools.lru_cache(None)
def get_ignored_functions() -> set[Any]:
    """Public functions that never ask their arguments: what makes tensors of other things, and settings."""
    functions = [f for table in _namespaces.values() for f in table.values() if callable(f)]
    never = {f for f in functions if getattr(f, "asks_arguments", None) is False or _core.source(f) is None}
    return never | {getattr(Tensor, name) for name in _IGNORED_METHODS if hasattr(Tensor, name)}


@functools.lru_cache(None)
def _overridable() -> tuple[dict[Any, list[Any]], dict[Any, str]]:
    from importlib import import_module

    found: dict[Any, list[Any]] = {}
    package = __name__.rpartition(".")[0]
    for space, table in _namespaces.items():
        home = import_module(package if space == "torch" else f"{package}.{space}")
        listed = [f for f in table.values() if _core.source(f) is not None and f not in get_ignored_functions()]
        if listed:
            found[home] = listed
    own = vars(Tensor).values()
    found[Tensor] = [f for f in own if inspect.isfunction(f) and _core.source(f) is not None]
    for value in own:
        if isinstance(value, _core.attribute):
            found[value] = [value.__get__] + ([value.__set__] if value.plainly.fset else [])
    return found, {f: resolve_name(f) or "" for listed in found.values() for f in listed}


def get_overridable_functions() -> dict[Any, list[Any]]:
    """The functions that ask their arguments, by the namespace that they are in."""
    return defaultdict(list, {home: list(listed) for home, listed in _overridable()[0].items()})


@functools.lru_cache(None)
def get_testing_overrides() -> dict[Any, Callable[..., Any]]:
    """For each function that asks its arguments one of the same signature that returns -1."""
    return {function: _stand_in(function) for function in _overridable()[1]}


def _stand_in(function: Callable[..., Any]) -> Callable[..., Any]:
    def stand_in(*args: Any, **kwargs: Any) -> int:
        return -1

    with contextlib.suppress(TypeError, ValueError):
        stand_in.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    stand_in.__name__ = getattr(function, "__name__", "stand_in")
    return stand_in


_explain(globals(), "torch.overrides")
