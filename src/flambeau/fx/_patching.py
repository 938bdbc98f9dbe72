"""Functions that are replaced while a program is traced: those that `wrap` names, and calls and attributes of modules."""

from __future__ import annotations

import builtins
import functools
import inspect
from collections.abc import Callable
from typing import Any

from .node import map_aggregate
from .proxy import Proxy

# (id of a module's globals, name) -> the globals: what `wrap` was called with
wrapped_functions: dict[tuple[int, str], dict[str, Any]] = {}
wrapped_methods: list[tuple[type, str]] = []
_MISSING: Any = object()


class Patcher:
    """Puts replacements into dicts of globals and classes, and takes them back at the end."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []
        self.visited: set[int] = set()

    def patch(self, frame_dict: dict[str, Any], name: str, new_fn: Any, deduplicate: bool = True) -> None:
        """Replace a global name; once, unless told otherwise."""
        if deduplicate and getattr(frame_dict.get(name), "_fx_already_patched", False):
            return
        new_fn._fx_already_patched = deduplicate
        before = frame_dict.get(name, _MISSING)
        frame_dict[name] = new_fn

        def undo() -> None:
            if before is _MISSING:
                del frame_dict[name]
            else:
                frame_dict[name] = before

        self._undo.append(undo)

    def patch_method(self, cls: type, name: str, new_fn: Any, deduplicate: bool = True) -> None:
        """Replace an attribute of a class."""
        before = getattr(cls, name)
        if deduplicate and getattr(before, "_fx_already_patched", False):
            return
        new_fn._fx_already_patched = deduplicate
        setattr(cls, name, new_fn)
        self._undo.append(lambda: setattr(cls, name, before))

    def visit_once(self, thing: Any) -> bool:
        """True for an object that was not asked about before."""
        fresh = id(thing) not in self.visited
        self.visited.add(id(thing))
        return fresh

    def __enter__(self) -> Patcher:
        return self

    def __exit__(self, *exc: Any) -> None:
        while self._undo:
            self._undo.pop()()


def find_proxy(*objects: Any) -> Proxy | None:
    """The first proxy in tuples, lists and dicts; None if there is none."""
    found: list[Proxy] = []

    def look(value: Any) -> Any:
        if isinstance(value, Proxy):
            found.append(value)
        return value

    map_aggregate(objects, look)
    return found[0] if found else None


def recording_function(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which becomes one node when it is called with proxies."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        proxy = find_proxy(args, kwargs)
        if proxy is None:
            return function(*args, **kwargs)
        made = proxy.tracer.create_proxy("call_function", function, args, kwargs)
        made.node.meta["is_wrapped"] = True
        return made

    return wrapped


def recording_method(cls: type, name: str) -> Callable[..., Any]:
    """The same for a method."""
    method = getattr(cls, name)

    @functools.wraps(method)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        proxy = find_proxy(args, kwargs)
        return proxy.tracer.create_proxy("call_method", name, args, kwargs) if proxy else method(*args, **kwargs)

    return wrapped


def patch_wrapped(patcher: Patcher) -> None:
    """Replace all that `wrap` was called with."""
    for (_, name), frame_dict in list(wrapped_functions.items()):
        function = frame_dict.get(name, _MISSING)
        if function is _MISSING:
            function = getattr(builtins, name)
        patcher.patch(frame_dict, name, recording_function(function))
    for cls, name in wrapped_methods:
        patcher.patch_method(cls, name, recording_method(cls, name))


def patch_by_identity(patcher: Patcher, frame_dict: dict[str, Any], function_ids: set[int]) -> None:
    """Replace the functions with these ids among the globals of a module, whatever they are called there."""
    if patcher.visit_once(frame_dict):
        for name, value in list(frame_dict.items()):
            if not name.startswith("_") and callable(value) and id(value) in function_ids:
                patcher.patch(frame_dict, name, recording_function(value))


def wrap(fn_or_name: str | Callable[..., Any]) -> str | Callable[..., Any]:
    """Say at the top of a module that calls of a function are single nodes, and that nobody traces into it.

    Takes the name of a global function or builtin (`wrap("len")`), or serves as a decorator. Raises RuntimeError for anything
    else, NotImplementedError when called inside a function.
    """
    if not callable(fn_or_name) and not isinstance(fn_or_name, str):
        raise RuntimeError("Unsupported type for global function! Must be either a callable or string name")
    if callable(fn_or_name):
        assert not isinstance(fn_or_name, str)
        name = fn_or_name.__name__
    else:
        name = fn_or_name
    frame = inspect.currentframe()
    assert frame is not None and frame.f_back is not None
    caller = frame.f_back
    if caller.f_code.co_name != "<module>":
        raise NotImplementedError("wrap must be called at the top level of a module")
    wrapped_functions[id(caller.f_globals), name] = caller.f_globals
    return fn_or_name
