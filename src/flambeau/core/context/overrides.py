"""Who else may compute a call: classes with `__torch_function__`, and the modes that are on in this thread.

A public function is a *face*: it computes with plain tensors and Python values at once, and asks only arguments of other
types whether they have a say. Functions inside the library call each other without asking.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Iterable
from types import BuiltinFunctionType
from typing import Any, TypeVar, cast

import jax
import numpy as np

from ..array import devices, dtypes, formats
from ..array.size import Size
from .grad_mode import state

_T = TypeVar("_T")
_F = TypeVar("_F", bound=Callable[..., Any])
PASS: Any = object()  # nobody else wants to compute this call

_PLAIN: set[type] = set()
# The tensors that operators take without asking. Empty while any thread has a mode on, so that one look finds both.
plain: set[type] = set()
# Types that never have a say.
_SILENT: set[type] = {
    type(None), bool, int, float, complex, str, bytes, slice, type(...), type, range, dict, Size, np.ndarray,
    *np.sctypeDict.values(), dtypes.dtype, devices.device, formats.layout, formats.memory_format, type(lambda: 0),
}  # fmt: skip


def never_asked(kind: type[_T]) -> type[_T]:
    """Make this class of tensors one with which operators compute at once. Serves as a decorator."""
    _PLAIN.add(kind)
    _SILENT.add(kind)
    if not _modes_on:
        plain.add(kind)
    return kind


def is_plain(kind: type) -> bool:
    """Whether it is a class of tensors with which operators compute at once."""
    return kind in _PLAIN


class Overridden(TypeError):
    """An argument may have a say of its own: whoever made the call has to ask."""


class _Disabled:
    """The `__torch_function__` of classes that have no say: the function runs as if they were plain tensors."""

    __name__ = __qualname__ = "_disabled_torch_function_impl"

    def __call__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        with no_subclasses():
            return func(*args, **(kwargs or {}))


disabled: _Disabled = _Disabled()


class _DispatchDisabled:
    """The `__torch_dispatch__` of tensors themselves: the operator runs as if there were no such classes."""

    __name__ = __qualname__ = "_disabled_torch_dispatch_impl"

    def __call__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        with no_dispatch():
            return func(*args, **(kwargs or {}))


dispatch_disabled: _DispatchDisabled = _DispatchDisabled()
# The classes with a `__torch_dispatch__` of which there have been tensors. While there are none, nobody looks for them.
dispatching: set[type] = set()
# What lets them compute a call, put here by `dispatch/classes.py`: (function, args, kwargs)
by_classes: Callable[[Any, Any, Any], Any] = lambda run, args, kwargs: PASS  # noqa: E731


def computes_itself(kind: type) -> bool:
    """Whether a class of tensors has a `__torch_dispatch__` of its own."""
    return getattr(kind, "__torch_dispatch__", dispatch_disabled) not in (dispatch_disabled, disabled)


def of_a_class(values: Iterable[Any]) -> bool:
    """Whether a class with a `__torch_dispatch__` is to be asked about these values, and is not yet."""
    if not dispatching or state.below_classes:
        return False
    return not dispatching.isdisjoint(map(type, _spread(values)))


def ask_classes(run: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What classes with a `__torch_dispatch__` make of a call; PASS if there is none to ask."""
    return by_classes(run, args, kwargs) if of_a_class((*args, *kwargs.values())) else PASS


class no_dispatch:
    """While inside, classes with a `__torch_dispatch__` are not asked (`torch._C._DisableTorchDispatch`)."""

    def __enter__(self) -> None:
        self.before: bool = state.below_classes
        state.below_classes = True

    def __exit__(self, *exc: object) -> None:
        state.below_classes = self.before


class no_subclasses:
    """While inside, no argument has a say; modes still have (`torch._C.DisableTorchFunctionSubclass`)."""

    def __enter__(self) -> None:
        self.before: bool = state.subclasses
        state.subclasses = False

    def __exit__(self, *exc: object) -> None:
        state.subclasses = self.before


class nobody:
    """While inside, neither arguments nor modes have a say (`torch._C.DisableTorchFunction`)."""

    def __enter__(self) -> None:
        self.before: tuple[bool, tuple[Any, ...]] = state.subclasses, state.modes
        state.subclasses = False
        state.set_modes(())

    def __exit__(self, *exc: object) -> None:
        state.subclasses = self.before[0]
        state.set_modes(self.before[1])


class skipping_once:
    """While inside, the first `has_torch_function` finds nobody (`redispatch_function`)."""

    def __enter__(self) -> None:
        state.skip_once = True

    def __exit__(self, *exc: object) -> None:
        state.skip_once = False


def skips_once() -> bool:
    """Whether this question is the one to be skipped."""
    skips, state.skip_once = state.skip_once, False
    return skips


# --- modes -----------------------------------------------------------------------------------------------------------

_modes_on = 0
_lock = threading.Lock()


def _count(change: int) -> None:
    global _modes_on
    with _lock:
        _modes_on += change
        if _modes_on:
            plain.clear()
        else:
            plain.update(_PLAIN)


def push(mode: Any) -> None:
    """Put a mode over those of this thread."""
    _count(1)
    state.set_modes((*state.modes, mode))


def pop() -> Any:
    """Take the last mode away; RuntimeError if there is none."""
    if not state.modes:
        raise RuntimeError("trying to pop from empty mode stack")
    mode = state.modes[-1]
    state.set_modes(state.modes[:-1])
    _count(-1)
    return mode


# --- asking ----------------------------------------------------------------------------------------------------------


def has_say(value: Any) -> bool:
    """Whether a value's class has a `__torch_function__` of its own that is in force now, or is to be asked about operators."""
    return has_function(value) or (type(value) in dispatching and not state.below_classes)


def has_function(value: Any) -> bool:
    """Whether a value's class has a `__torch_function__` of its own that is in force now."""
    kind = type(value)
    if kind in _SILENT or not state.subclasses:
        return False
    return getattr(kind, "__torch_function__", disabled) is not disabled


def with_a_say(values: Iterable[Any], everyone: bool = False) -> list[Any]:
    """The values that have a say, one of each class, in the order in which they are asked.

    Subclasses come before their superclasses, otherwise it goes from left to right. `everyone`: plain tensors too.
    """
    found: list[Any] = []
    for value in values:
        kind = type(value)
        if (kind in _SILENT and not (everyone and hasattr(kind, "__torch_function__"))) or kind in map(type, found):
            continue
        if getattr(kind, "__torch_function__", disabled) is not disabled:
            place = next((i for i, other in enumerate(found) if issubclass(kind, type(other))), len(found))
            found.insert(place, value)
    return found


def _spread(values: Iterable[Any]) -> Iterable[Any]:
    for value in values:
        if isinstance(value, (list, tuple)) and type(value) is not Size:
            yield from value
        else:
            yield value


def ask(face: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What a mode or an argument makes of the call; PASS if there is none to ask."""
    if not state.modes and (
        not (state.subclasses or dispatching) or (all_silent(args) and all_silent(kwargs.values()))
    ):
        return PASS
    about = face.__dict__
    values = list(_spread((*args, *kwargs.values()))) if about.get("asks_arguments", True) else []
    found = with_a_say(values) if state.subclasses else []
    if not found and not state.modes:
        return ask_classes(face, args, kwargs)
    public, in_python = about.get("public", face), about.get("in_python", False)
    if about.get("spreads") and len(args) == 2 and isinstance(args[1], (list, tuple)):
        args = (args[0], *args[1])
    if in_python:
        args, kwargs = _by_keyword(public, args, kwargs)
        if state.subclasses:
            found = with_a_say(values, everyone=True)
    return dispatch(public, found, args, kwargs if kwargs or in_python else None, in_python)


def _by_keyword(public: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The call with every argument that has a default given by keyword; as it is if it does not fit the signature."""
    try:
        signature = inspect.signature(public)
        bound = signature.bind(*args, **kwargs)
    except (TypeError, ValueError):
        return args, kwargs
    bound.apply_defaults()
    needed, options = [], {}
    for name, value in bound.arguments.items():
        parameter = signature.parameters[name]
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            return args, kwargs
        if parameter.default is parameter.empty and parameter.kind is not parameter.KEYWORD_ONLY:
            needed.append(value)
        else:
            options[name] = value
    return tuple(needed), options


def dispatch(
    public: Any, found: list[Any], args: tuple[Any, ...], kwargs: dict[str, Any] | None, in_python: bool = True
) -> Any:
    """Let the innermost mode, then those with a say, compute the call. TypeError if none of them can.

    `in_python` says that PyTorch has the function in Python: it words the error otherwise.
    """
    types = tuple(map(type, found))
    modes = state.modes
    if modes:
        mode = modes[-1]
        state.set_modes(modes[:-1])
        try:
            result = mode.__torch_function__(public, types, args, kwargs)
        finally:
            state.set_modes(modes)
        if result is not NotImplemented:
            return result
    for value in found:
        result = value.__torch_function__(public, types, args, kwargs)
        if result is not NotImplemented:
            return result
    raise _nobody_computes(resolve(public), types, modes[-1:], in_python)


def _nobody_computes(name: str | None, types: tuple[type, ...], mode: tuple[Any, ...], in_python: bool) -> TypeError:
    if in_python:
        among = f" nor in mode {mode[0]}" if mode else ""
        text = f"no implementation found for '{name}' on types that implement __torch_function__: {list(types)}{among}"
    else:
        asked = [f"  - mode object {m!r}" for m in mode] + [f"  - tensor subclass {kind!r}" for kind in types]
        text = f"Multiple dispatch failed for '{name}'; all __torch_function__ handlers returned NotImplemented:\n\n"
        text += "\n".join(asked)
    error = TypeError(text)
    error.left_to_others = True  # type: ignore[attr-defined]
    return error


def resolve(function: Any) -> str | None:
    """A public function's dotted name under torch, such as 'torch.Tensor.add'; None for any other object."""
    owner = getattr(function, "__self__", None)
    if isinstance(owner, attribute):
        return f"torch.Tensor.{owner.__name__}.{function.__name__}"
    try:
        return _public_names.get(function)
    except TypeError:
        return None


_public_names: dict[Any, str] = {}


def name_public(function: Any, name: str, instead: bool = False) -> None:
    """Remember under which name a face is public; the first stays, unless this one comes `instead`."""
    if instead or function not in _public_names:
        _public_names[function] = name


# --- under the public functions --------------------------------------------------------------------------------------


class OperatorHandle:
    """What a dispatch mode is given for the operator that runs: its name, and a way to run it."""

    def __init__(self, name: str, run: Callable[..., Any]):
        self.__name__ = self.__qualname__ = name
        self._run = run

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._run(*args, **kwargs)

    def name(self) -> str:
        """The operator's name with its namespace."""
        return f"flambeau::{self.__name__}"

    def __repr__(self) -> str:
        return f"<operator {self.name()}>"

    def __str__(self) -> str:
        return f"flambeau.{self.__name__}"


# --- faces -----------------------------------------------------------------------------------------------------------

_makers: dict[Any, Callable[[], Callable[..., Any]]] = {}
_sources: dict[Any, Any] = {}  # face -> the function that it is of


_unseen: set[Any] = set()


def unseen(function: _F) -> _F:
    """Say that nobody is asked about calls of this function, modes neither. Serves as a decorator, under that of composites."""
    _unseen.add(function)
    return function


def is_unseen(function: Any) -> bool:
    return function in _unseen


def made_by(function: Callable[..., Any], maker: Callable[[], Callable[..., Any]]) -> None:
    """Say how to make a face of a function that asks by itself, more cheaply than `guarded` does."""
    _makers[function] = maker


def face(function: Any, name: str, otherwise: Callable[..., Any] | None = None) -> Any:
    """A public form of a function, with an identity of its own, that asks before it computes.

    `otherwise` makes it where the function has not said how (see `made_by`); if it is not given, `guarded` does.
    """
    if not callable(function) or isinstance(function, type) or not hasattr(function, "__code__") or function in _unseen:
        return function
    maker = _makers.get(function)
    made = maker() if maker else (otherwise or guarded)(function)
    made.__name__ = made.__qualname__ = name
    face_of(function, made)
    if maker:
        _makers[made] = maker
    return made


def published(function: _F, module: str, in_python: bool = True) -> _F:
    """The face under which a function is public in `module`."""
    made: Any = face(function, function.__name__)
    made.in_python = in_python
    name_public(made, f"{module}.{function.__name__}")
    made.__module__ = "flambeau" + module.removeprefix("torch")
    return cast(_F, made)


def face_of(function: Any, made: Any) -> None:
    """Say that `made` is a face of this function."""
    _sources[made] = _sources.get(function, function)


def source(made: Any) -> Any:
    """The function that a face is of, which asks nobody; None for any other object."""
    if isinstance(owner := getattr(made, "__self__", None), attribute):
        return getattr(owner.plainly, made.__name__)
    return _sources.get(made)


def guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with a look at its arguments' types before it runs."""

    @functools.wraps(function)
    def asking(*args: Any, **kwargs: Any) -> Any:
        if state.around or kwargs or not all_silent(args):
            found = ask(asking, args, kwargs)
            if found is not PASS:
                return found
        return function(*args, **kwargs)

    asking.__dict__.clear()  # the copies of what is said of the function, which may be a face too
    asking.__wrapped__ = function  # type: ignore[attr-defined]
    return asking


def guarded_method(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same for a method of tensors, which is quicker."""

    @functools.wraps(function)
    def asking(self: Any, *args: Any, **kwargs: Any) -> Any:
        if type(self) in plain:  # then no mode is on
            if not args and not kwargs:
                return function(self)
            if not kwargs and all_silent(args):
                return function(self, *args)
        found = ask(asking, (self, *args), kwargs)
        return function(self, *args, **kwargs) if found is PASS else found

    asking.__dict__.clear()
    asking.__wrapped__ = function  # type: ignore[attr-defined]
    return asking


def guarded_index(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same for `x[key]`, which is quicker still."""

    def asking(self: Any, key: Any) -> Any:
        if type(self) in plain and (type(key) in _SILENT or (type(key) is tuple and all_silent(key))):
            return function(self, key)
        found = ask(asking, (self, key), {})
        return function(self, key) if found is PASS else found

    return asking


def all_silent(values: Iterable[Any]) -> bool:
    """Whether it is plain from their types that none of the values has a say."""
    for value in values:  # noqa: SIM110 (all() with a generator takes three times as long)
        if type(value) not in _SILENT:
            return False
    return True


_UNDELETED = {
    "data": "Deleting tensor data is not allowed. Delete tensor instead!",
    "requires_grad": "requires_grad must be a bool",
}


def silent_after_a_tensor(values: tuple[Any, ...]) -> bool:
    """The same, where the first value is to be a plain tensor besides."""
    if not values or type(values[0]) not in plain:
        return False
    for value in values:  # noqa: SIM110 (as above)
        if type(value) not in _SILENT:
            return False
    return True


class attribute(property):
    """A property of tensors that asks a subclass, or a mode, before it answers."""

    def __init__(self, name: str, plainly: property):
        self.plainly = plainly
        get, write, delete = plainly.fget, plainly.fset, plainly.fdel
        own = self

        def getter(tensor: Any) -> Any:
            if type(tensor) in plain or (found := _ask_attribute(own.__get__, (tensor,))) is PASS:
                return get(tensor)  # type: ignore[misc]
            return found

        def setter(tensor: Any, value: Any) -> None:
            if type(tensor) in plain or _ask_attribute(own.__set__, (tensor, value)) is PASS:
                if write is None:
                    raise AttributeError(f"attribute '{name}' of 'torch._C.TensorBase' objects is not writable")
                write(tensor, value)

        def deleter(tensor: Any) -> None:
            if type(tensor) in plain or _ask_attribute(own.__delete__, (tensor,)) is PASS:
                if delete is None:
                    if name in _UNDELETED:
                        raise RuntimeError(_UNDELETED[name])
                    raise AttributeError(f"attribute '{name}' of 'torch._C.TensorBase' objects is not writable")
                delete(tensor)

        super().__init__(getter, setter, deleter, plainly.__doc__)
        self.__name__ = name


def _ask_attribute(public: Any, args: tuple[Any, ...]) -> Any:
    found = with_a_say(args[:1], everyone=bool(state.modes)) if state.subclasses else []
    if not state.modes and not found:
        return ask_classes(public, args, {})
    return dispatch(public, found, args, None, False)


def guard_class(cls: Any, keep: frozenset[str]) -> None:
    """Make faces of all methods and properties of a class that are public and not faces yet, but for those to `keep`."""
    for name, value in list(vars(cls).items()):
        if name in keep or (name.startswith("_") and not name.startswith("__") and name not in ("_version",)):
            continue
        if type(value) is property:
            setattr(cls, name, attribute(name, value))
        elif callable(value) and hasattr(value, "__code__") and value not in _sources:
            made = guarded_index(value) if name == "__getitem__" else guarded_method(value)
            face_of(value, made)
            made.__name__ = name
            made.__qualname__ = f"Tensor.{name}"
            made.__module__ = "flambeau._tensor"  # where PyTorch has its class of tensors
            setattr(cls, name, made)
            name_public(made, f"torch.Tensor.{name}")


# --- questions of a user's functions ---------------------------------------------------------------------------------


def has_torch_function(relevant_args: Iterable[Any]) -> bool:
    """Whether a mode is on, or one of these arguments has a `__torch_function__` that is in force."""
    if skips_once():
        return False
    return bool(state.modes) or any(map(has_function, relevant_args))


def has_torch_function_unary(obj: Any) -> bool:
    """`has_torch_function` of one argument."""
    return has_torch_function((obj,))


def has_torch_function_variadic(*relevant_args: Any) -> bool:
    """`has_torch_function` of these arguments."""
    return has_torch_function(relevant_args)


def handle_torch_function(
    public_api: Callable[..., Any], relevant_args: Iterable[Any], *args: Any, **kwargs: Any
) -> Any:
    """What the modes and the arguments with a say make of the call `public_api(*args, **kwargs)`.

    Raises TypeError if all of them return NotImplemented.
    """
    return dispatch(public_api, with_a_say(relevant_args, everyone=True), args, kwargs)


_SILENT.update((jax.Array, type(jax.numpy)))


def refuse_pytorchs(func: Any) -> None:
    """Raise TypeError for a function of PyTorch's own: compiled, as none of ours is that asks others, or from a module of torch's."""
    home = getattr(getattr(func, "__globals__", {}).get("__spec__"), "name", "")
    if isinstance(func, BuiltinFunctionType) or home.partition(".")[0] == "torch":
        raise TypeError(
            f"{func.__name__}(): a function of PyTorch's own got a flambeau.Tensor: call flambeau's function of that name, or "
            "hand over the values (torch.from_numpy(x.numpy()), torch.from_dlpack(x))"
        )


__all__ = [
    "PASS", "Overridden", "all_silent", "ask", "attribute", "disabled", "dispatch", "face", "guard_class", "guarded",
    "handle_torch_function", "has_say", "has_torch_function", "has_torch_function_unary", "has_torch_function_variadic",
    "made_by", "name_public", "never_asked", "no_subclasses", "nobody", "plain", "pop", "push", "refuse_pytorchs", "resolve", "with_a_say",
]  # fmt: skip
