"""`torch._jit_internal`: the marks that code written for TorchScript carries. Nothing here is compiled to TorchScript."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from typing import Any, Dict, Final, List, Optional, Tuple, TypeVar, Union  # noqa: UP035

from .futures import Future

T = TypeVar("T")
_NOTHING = object()


class FunctionModifiers:
    """The texts by which TorchScript's compiler would know how a function is marked."""

    UNUSED = "unused (ignored and replaced with raising of an exception)"
    IGNORE = "ignore (leave as a call to Python, cannot be torch.jit.save'd)"
    EXPORT = "export (compile this function even if nothing calls it)"
    DEFAULT = "default (compile if called from a exported function / forward)"
    COPY_TO_SCRIPT_WRAPPER = "if this method is not scripted, copy the python method onto the scripted model"
    _DROP = "_drop (function is fully ignored, declaration can be unscriptable)"


def is_scripting() -> bool:
    """Always False: code is never inside a TorchScript compiler."""
    return False


def _mark(fn: Any, modifier: str) -> Any:
    if isinstance(fn, property):
        for accessor in (fn.fget, fn.fset):
            if accessor is not None:
                setattr(accessor, "_torchscript_modifier", modifier)  # noqa: B010
    else:
        fn._torchscript_modifier = modifier
    return fn


def export(fn: T) -> T:
    """The function itself, marked."""
    return _mark(fn, FunctionModifiers.EXPORT)


def unused(fn: T) -> T:
    """The function (or property) itself, marked. It runs when it is called, also in a scripted module."""
    return _mark(fn, FunctionModifiers.UNUSED)


def ignore(drop: Any = False, **kwargs: Any) -> Any:
    """The function itself, marked, with or without arguments to the decorator."""
    if callable(drop):
        return _mark(drop, FunctionModifiers.IGNORE)
    if not isinstance(drop, bool):
        raise RuntimeError(f"Argument to @torch.jit.ignore must be a bool or a function but got {drop}")
    drop = kwargs.pop("drop_on_export", drop)
    return lambda fn: _mark(fn, FunctionModifiers.UNUSED if drop else FunctionModifiers.IGNORE)


def _drop(fn: T) -> T:
    return _mark(fn, FunctionModifiers._DROP)


def _copy_to_script_wrapper(fn: T) -> T:
    """The function itself, marked."""
    return _mark(fn, FunctionModifiers.COPY_TO_SCRIPT_WRAPPER)


def get_torchscript_modifier(fn: Any) -> str:
    """The mark of a function."""
    return getattr(getattr(fn, "__func__", fn), "_torchscript_modifier", FunctionModifiers.DEFAULT)


def copy_torchscript_modifier(orig: Any, new: Any) -> None:
    """Give one function the mark of another."""
    if get_torchscript_modifier(orig) != FunctionModifiers.DEFAULT:
        new._torchscript_modifier = get_torchscript_modifier(orig)


def is_ignored_fn(fn: Any) -> bool:
    """Whether a function is marked as one that TorchScript would not compile."""
    return get_torchscript_modifier(fn) in (
        FunctionModifiers.UNUSED,
        FunctionModifiers.IGNORE,
        FunctionModifiers._DROP,
    )


def should_drop(fn: Any) -> bool:
    """Whether a function is marked as unused."""
    return get_torchscript_modifier(fn) in (FunctionModifiers.UNUSED, FunctionModifiers._DROP)


def _overload(func: T) -> T:
    """The declaration itself: the implementation that follows takes its name, and Python knows no overloads."""
    return func


def _overload_method(func: T) -> T:
    """The declaration itself: see `_overload`."""
    return func


def boolean_dispatch(
    arg_name: str,
    arg_index: int,
    default: bool,
    if_true: Callable[..., Any],
    if_false: Callable[..., Any],
    module_name: str,
    func_name: str,
) -> Callable[..., Any]:
    """A function that calls one of two, by the value of one argument."""

    def fn(*args: Any, **kwargs: Any) -> Any:
        chosen = kwargs.get(arg_name, args[arg_index] if arg_index < len(args) else default)
        return (if_true if chosen else if_false)(*args, **kwargs)

    described = if_true if if_true.__doc__ is not None else if_false
    fn.__doc__ = described.__doc__
    if module_name is not None:
        fn.__module__ = module_name
    if func_name is not None:
        fn.__name__ = func_name
    return fn


class BroadcastingListCls:
    """In an annotation `BroadcastingListN[int]`: one value, or N of them."""

    def __getitem__(self, types: Any) -> None:
        return


BroadcastingList1 = BroadcastingListCls()
BroadcastingList2 = BroadcastingListCls()
BroadcastingList3 = BroadcastingListCls()
BroadcastingList4 = BroadcastingListCls()
BroadcastingList5 = BroadcastingListCls()
BroadcastingList6 = BroadcastingListCls()


def _qualified_name(obj: Any, mangle_name: bool = True) -> str:
    """The dotted name by which TorchScript would know a class or function; `__torch__` stands before it."""
    if hasattr(obj, "_jit_override_qualname"):
        return obj._jit_override_qualname
    module = obj.__module__ if obj.__module__ != "__main__" else "__torch__"
    name = getattr(obj, "__qualname__", obj.__name__).replace("<locals>.", "")
    if mangle_name and not module.startswith("__torch__"):
        module = f"__torch__.{module}"
    return f"{module}.{name}"


# --- annotations that are looked at with values ----------------------------------------------------------------------


def get_origin(target_type: Any) -> Any:
    """As `typing.get_origin`."""
    return typing.get_origin(target_type)


def get_args(target_type: Any) -> Any:
    """As `typing.get_args`."""
    return typing.get_args(target_type)


def is_tuple(ann: Any) -> bool:
    """Whether an annotation is `tuple[...]`."""
    return ann is not Tuple and typing.get_origin(ann) is tuple  # noqa: UP006


def is_list(ann: Any) -> bool:
    """Whether an annotation is `list[...]`."""
    return ann is not List and typing.get_origin(ann) is list  # noqa: UP006


def is_dict(ann: Any) -> bool:
    """Whether an annotation is `dict[..., ...]`."""
    return ann is not Dict and typing.get_origin(ann) is dict  # noqa: UP006


def is_union(ann: Any) -> bool:
    """Whether an annotation is a union."""
    return typing.get_origin(ann) in (Union, types.UnionType)


def is_optional(ann: Any) -> bool:
    """Whether an annotation is a union with None."""
    return is_union(ann) and type(None) in typing.get_args(ann)


def is_future(ann: Any) -> bool:
    """Whether an annotation is `Future[...]`."""
    return typing.get_origin(ann) is Future


def is_final(ann: Any) -> bool:
    """Whether an annotation is `Final[...]`."""
    return typing.get_origin(ann) is Final


def _isinstance(obj: Any, target_type: Any) -> bool:
    """Whether a value, and what is in it if it is a container, is of an annotated type (or of one of a tuple of them)."""
    if isinstance(target_type, tuple):
        return any(_isinstance(obj, kind) for kind in target_type)
    if target_type in (list, tuple, dict, List, Tuple, Dict, Optional):  # noqa: UP006
        name = getattr(target_type, "__name__", str(target_type))
        raise RuntimeError(
            f"Attempted to use {name} without a contained type. Please add a contained type, e.g. {name}[int]"
        )
    origin, inside = typing.get_origin(target_type), typing.get_args(target_type)
    if origin is None:
        return isinstance(obj, target_type)
    if is_union(target_type):
        return any(_isinstance(obj, kind) for kind in inside)
    if not isinstance(obj, origin):
        return False
    if origin is list:
        return all(_isinstance(item, inside[0]) for item in obj)
    if origin is dict:
        return all(_isinstance(k, inside[0]) and _isinstance(v, inside[1]) for k, v in obj.items())
    if origin is tuple:
        if len(inside) == 2 and inside[1] is Ellipsis:
            return all(_isinstance(item, inside[0]) for item in obj)
        if inside == ((),):
            inside = ()
        return len(obj) == len(inside) and all(_isinstance(o, k) for o, k in zip(obj, inside, strict=True))
    return True
