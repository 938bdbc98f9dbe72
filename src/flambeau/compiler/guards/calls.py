"""What calls read and write: Python's own functions by name, containers' methods, functions that cannot be looked into."""

from __future__ import annotations

import datetime
import decimal
import functools
import importlib
import operator
import threading
import types
import weakref
from collections import OrderedDict, deque
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

import numpy as np

from ...core.context.grad_mode import state as grad_state
from ...core.dispatch.host_numbers import HostFloat, HostNumber, HostText, HostValue, Strict, plain, settle
from ...core.tensor.tensor import Tensor
from ...nn.modules.module import Module
from .access import attribute, complete_later, imported, in_place, item, iterate, push, store_attribute, store_item
from .code import LIBRARY, kind_of_code
from .foreign import show
from .handed import CALLING, CHANGING, getter, hand_over, settle_places
from .kinds import is_instance, is_subclass
from .modules import is_library_class, layers_run
from .numeric import no_numbers_on_the_way, settle_mixed
from .places import MISSING, Attribute, in_class, is_python_class, own_attributes, shown_by
from .pure import HARMLESS, check_known, touches_files
from .remembering import recall
from .symbols import FRESH, LATER, PENDING, UNKNOWN
from .tables import absent, change_attributes, fields
from .told import RESETTING, TELLING, setting
from .values import is_container

_ANSWERING = frozenset("pop popitem popleft remove sort reverse setdefault rotate __imul__".split())
_COMPLETED = ("extend", "update", "__iadd__")
_TAKES_ONE = frozenset("append appendleft insert add __setitem__ setdefault".split())

_COMPARING = frozenset("index count remove sort update __contains__ __eq__ __ne__ __lt__ __le__ __gt__ __ge__".split())

_VALUES: tuple[Any, ...] = (
    str, bytes, bytearray, int, float, complex, tuple, frozenset, range, slice, type(None), type, np.generic, np.dtype, np.ufunc,
    types.MappingProxyType, type({}.keys()), type({}.values()), type({}.items()), types.GeneratorType, types.CodeType,
    types.CellType,
    datetime.timedelta, datetime.date, datetime.time, decimal.Decimal,
    property, functools.partial, BaseException, super, types.SimpleNamespace, type(NotImplemented),
)  # fmt: skip
_KEEPS_NUMBERS = frozenset(
    "isinstance min max abs sum setattr sorted list tuple zip enumerate map getattr "
    "len hasattr callable any all iter reversed".split()
)


def call(shadow: Any, callee: Any, args: list[Any], kwargs: dict[str, Any]) -> None:
    """Note what a call is about to do, and push what it will give."""

    watcher = shadow.watcher
    if callee is UNKNOWN or callee is FRESH:
        watcher.reads.deep((*args, *kwargs.values()))
        settle((*args, *kwargs.values()))
        shadow.push(UNKNOWN)
        return
    while isinstance(callee, functools.partial):
        args, kwargs = [*callee.args, *args], {**callee.keywords, **kwargs}
        watcher.known(callee)
        if watcher.is_old(callee):
            watcher.reads_of_partial(callee)
        callee = callee.func
    if isinstance(callee, MethodType):
        args, callee = [callee.__self__, *args], callee.__func__
    name = getattr(callee, "__name__", "")
    if touches_files(callee, name):
        watcher.refuse(f"it reads or writes a file ({name}): do that outside, or leave it as it is")
    if name in CALLING and not isinstance(callee, FunctionType):
        given = [*args, *kwargs.values()]
        if isinstance(getattr(callee, "__self__", None), list):
            given.append(callee.__self__)
        for value in (*args, *kwargs.values()):
            if callable(value) and not isinstance(value, Tensor):
                hand_over(shadow, value, given)
                if not isinstance(value, FunctionType) and value not in (operator.add, operator.mul):
                    settle(given)
                else:
                    settle_mixed(given)
    if isinstance(callee, FunctionType):
        _python_function(shadow, callee, args, kwargs)
    elif isinstance(callee, type):
        _class(shadow, callee, args, kwargs)
    elif isinstance(callee, (BuiltinFunctionType, types.MethodWrapperType, types.WrapperDescriptorType, types.MethodDescriptorType,
                             types.ClassMethodDescriptorType)):  # fmt: skip
        _builtin(shadow, callee, args, kwargs)
    else:
        _object(shadow, callee, args, kwargs)


def _python_function(shadow: Any, function: FunctionType, args: list[Any], kwargs: dict[str, Any]) -> None:
    if kind_of_code(function.__code__, function.__globals__) == LIBRARY:
        library(shadow, function, args, kwargs)
    elif function is importlib.import_module and args and type(args[0]) is str:
        imported(shadow.watcher, *args[:2])
    elif function is threading.Condition.notify or function is threading.Condition.wait:
        shadow.watcher.refuse("it wakes another thread or waits for one (queues and events do)")
    shadow.push(UNKNOWN)


def _walks(function: Any, args: list[Any]) -> bool:
    """Whether a library's function that is given modules may look through them."""
    return getattr(function, "__name__", "") not in ("__call__", "_call_impl", "forward")


def library(shadow: Any, function: Any, args: list[Any], kwargs: dict[str, Any]) -> None:
    """A library's function: it may look into containers, and compute with numbers that it does not know as inputs."""
    said = function  # by the function itself, if this is a face of it
    while not (hasattr(said, "operator") or hasattr(said, "takes_host_numbers")) and hasattr(said, "__wrapped__"):
        said = said.__wrapped__
    named = getattr(said, "__module__", None), getattr(said, "__name__", None)
    if hasattr(said, "setting") or named in TELLING or named in RESETTING:
        setting(shadow.watcher, said, args, kwargs)
    takes_numbers = getattr(said, "operator", None) is not None
    places = getattr(said, "takes_host_numbers", ())  # positions and names
    walks = _walks(function, args)
    layers_run(function, args)
    for place, value in (*enumerate(args), *kwargs.items()):
        if walks and isinstance(value, Module):
            shadow.watcher.walked(value)
        shadow.watcher.reads.deep(value)
        if isinstance(value, HostText) or (
            place not in places and not (takes_numbers and isinstance(value, HostNumber))
        ):
            settle(value)


def _class(shadow: Any, cls: type, args: list[Any], kwargs: dict[str, Any]) -> None:

    if cls is super:
        shadow.push(_super(shadow, args))
        return
    if cls is type and len(args) == 1:
        _type_of(shadow, args[0])
        return
    if cls in (list, tuple, dict, set, frozenset, deque, OrderedDict, enumerate, zip, reversed, map, filter):
        for value in (*args, *kwargs.values()):
            iterate(shadow, value)
            if cls in (map, filter, dict, OrderedDict):
                shadow.watcher.reads.deep(value)  # functions in C may look into what is in it
        if cls in (enumerate, deque):  # where it starts, how much it may hold
            settle((*args[1:], *kwargs.values()))
    elif cls.__module__ in ("time", "random", "datetime", "threading", "_thread", "socket", "subprocess", "io", "_io"):
        shadow.watcher.refuse(f"it makes a {cls.__module__}.{cls.__qualname__}")
    elif issubclass(cls, weakref.ref) and len(args) > 1 and args[1] is not None:
        shadow.watcher.weak = True
        shadow.watcher.refuse("it makes a weak reference with a callback, which a compiled call would not run")
    elif (
        isinstance(end := in_class(cls, "__del__"), FunctionType)
        and kind_of_code(end.__code__, end.__globals__) != LIBRARY
    ):
        shadow.watcher.weak = True  # what has been read is not to be kept alive either
        shadow.watcher.refuse(f"it makes a {cls.__name__}, whose __del__ a compiled call would not run")
    else:
        if not _is_python(cls) or issubclass(cls, tuple):  # a Size
            no_numbers_on_the_way(shadow, cls, args)
        if cls is str and args:
            show(args[0])
        ours = is_library_class(cls)  # whose code may look what a number is
        for value in (*args, *kwargs.values()):
            if not _is_python(cls) or ours:
                shadow.watcher.reads.deep(value)
            if not _is_python(cls) or (ours and not isinstance(value, HostFloat)):
                settle(value)
    shadow.push(UNKNOWN)


def _is_python(cls: type) -> bool:
    """Whether a class's instances are made by code that can be followed."""
    return isinstance(in_class(cls, "__init__"), FunctionType) or isinstance(
        in_class(cls, "__new__"), (FunctionType, staticmethod)
    )


def _call_method(shadow: Any, callee: Any, args: list[Any]) -> None:
    """An `operator.methodcaller` calls a method of its argument."""
    function, given = callee.__reduce__()[:2]
    kwargs = dict(function.keywords) if isinstance(function, functools.partial) else {}
    name, given = (function.args[0], given) if kwargs else (given[0], given[1:])
    method = attribute(shadow, args[0], name)
    if method is PENDING or method is UNKNOWN:
        shadow.watcher.refuse(f"operator.methodcaller calls {name!r}, which could not be found")
    call(shadow, method, list(given), kwargs)


def _type_of(shadow: Any, value: Any) -> None:

    if isinstance(value, HostValue):
        raise Strict(value.expression, never=True)
    if value is not UNKNOWN:
        shadow.watcher.known(value) if not is_container(value) and not isinstance(value, Tensor) else None
        if shadow.watcher.is_old(value):
            shadow.watcher.reads.kind(value)
        shadow.push(type(value))
        return
    shadow.push(UNKNOWN)


def _super(shadow: Any, args: list[Any]) -> Any:

    try:
        if args:
            return super(*args[:2])
        scope = shadow.frame.f_locals
        return super(scope["__class__"], scope[shadow.code.co_varnames[0]])
    except Exception:
        return UNKNOWN


# --- functions in C ---------------------------------------------------------------------------------------------------


def _builtin(shadow: Any, function: Any, args: list[Any], kwargs: dict[str, Any]) -> None:
    name = function.__name__
    owner = getattr(function, "__self__", None)
    if isinstance(function, (types.MethodDescriptorType, types.WrapperDescriptorType)) and args:
        owner, args = args[0], args[1:]
        if isinstance(function, types.WrapperDescriptorType) and name in (
            "__setattr__",
            "__delattr__",
            "__getattribute__",
        ):
            args, owner = [owner, *args], None
    if isinstance(owner, super):
        owner = owner.__self__  # type: ignore[attr-defined]
    if owner is tuple and name == "__new__":  # of a named tuple: it takes the parts, whatever they are
        _class(shadow, tuple, args[1:], kwargs)
    elif owner is None or isinstance(owner, types.ModuleType):
        _module_function(shadow, function, name, args, kwargs)
    elif isinstance(owner, types.MappingProxyType):
        watcher = shadow.watcher
        watcher.arrive(shown_by(owner))
        _container_method(shadow, shown_by(owner), name, args, kwargs)
    elif isinstance(owner, (list, dict, set, deque, np.ndarray)):
        _container_method(shadow, owner, name, args, kwargs)
    elif name in ("__setattr__", "__delattr__", "__getattribute__"):
        _module_function(
            shadow,
            function,
            {"__setattr__": "setattr", "__delattr__": "delattr"}.get(name, "getattr"),
            [owner, *args],
            kwargs,
        )
    else:
        _method(shadow, owner, name, args, kwargs)


def _module_function(shadow: Any, function: Any, name: str, args: list[Any], kwargs: dict[str, Any]) -> None:
    """A call of a function in C that belongs to a module, or of a method of a class in C taken from the class."""
    watcher = shadow.watcher
    home = getattr(function, "__objclass__", None)
    module = str(getattr(function, "__module__", None) or getattr(home, "__module__", "builtins"))
    if (module, name) in TELLING:
        setting(watcher, function, args, kwargs)
        shadow.push(UNKNOWN)
        return
    check_known(watcher, module, name)
    if (module, name) in HARMLESS:
        shadow.push(UNKNOWN)
        return
    name = {"__setattr__": "setattr", "__delattr__": "delattr", "__getattribute__": "getattr"}.get(name, name)
    if _answered(shadow, function, module, name, args, kwargs):
        return
    if name in ("setattr", "delattr") and len(args) >= 2 and isinstance(args[1], str):
        settle(args[1])
        value = args[2] if len(args) > 2 else UNKNOWN
        direct = function is object.__setattr__ or function is object.__delattr__
        store_attribute(shadow, args[0], plain(args[1]), value, direct, name == "delattr")
    elif name == "dir" and len(args) == 1:
        _whole(shadow, args[0])
        for base in args[0].__mro__ if isinstance(args[0], type) else type(args[0]).__mro__:
            if is_python_class(base):
                watcher.reads.content(shown_by(own_attributes(base)))
    elif name == "next" and args and watcher.is_old(args[0]):
        watcher.refuse("it takes the next value of an iterator that was there before")
    elif name in ("len", "iter", "sum", "min", "max", "sorted", "any", "all", "reversed"):
        for value in (*args, *kwargs.values()):
            iterate(shadow, value)
            if name not in ("len", "iter", "reversed"):  # which compare, add up or ask the parts
                watcher.reads.deep(value)
    elif name not in ("isinstance", "issubclass"):
        for value in (*args, *kwargs.values()):
            watcher.reads.deep(value)
            if module != "numpy" and isinstance(value, np.ndarray) and watcher.is_old(value):
                watcher.reads.content(value)
    elif len(args) == 2:
        (is_instance if name == "isinstance" else is_subclass)(watcher, *args)
    if name in ("repr", "format", "ascii") and args:
        show(args[0])
    if name == "__import__" and args and type(args[0]) is str:
        imported(watcher, args[0].partition(".")[0])
    if name in ("id", "hash") and args:
        watcher.asked_which(args[0])
    if module not in ("builtins", "_operator", "_functools") or name not in _KEEPS_NUMBERS:
        no_numbers_on_the_way(shadow, function, args)
        for value in (*args, *kwargs.values()):
            settle(value)
    if function in (min, max, abs, round, divmod, pow) and any(isinstance(a, HostNumber) for a in args):
        shadow.push(
            function(*args, **kwargs) if not any(a is UNKNOWN for a in args) else UNKNOWN
        )  # what it will give, numbers as they are
        return
    shadow.push(UNKNOWN)


def _answered(shadow: Any, function: Any, module: str, name: str, args: list[Any], kwargs: dict[str, Any]) -> bool:
    """Whether a call is one whose result, or what it changes, is known: then it is done with."""
    watcher = shadow.watcher
    if name in ("getattr", "hasattr") and len(args) >= 2 and isinstance(args[1], str):
        settle(args[1])
        value = attribute(shadow, args[0], plain(args[1]))
        if name == "hasattr":
            shadow.push(UNKNOWN)
        elif value is UNKNOWN or (value is MISSING and len(args) > 2):
            shadow.push(args[2] if len(args) > 2 else UNKNOWN)
        else:
            push(shadow, value)
    elif module == "_operator" and args and _operator(shadow, name, args):
        pass
    elif module in ("_heapq", "_bisect") and args and isinstance(args[0], list):
        iterate(shadow, args[0])
        watcher.reads.deep(tuple(args))
        if (module == "_heapq" or name.startswith("insort")) and (
            watcher.is_old(args[0]) or id(args[0]) in watcher.arguments
        ):
            if any(a is UNKNOWN or a is FRESH for a in args):
                watcher.refuse(f"it changes a list by {name} in a way that could not be followed")
            watcher.writes.mutate(args[0], function, args[1:], kwargs)
        shadow.push(UNKNOWN)
    elif name == "_count_elements" and len(args) == 2:
        _count(shadow, *args)
    elif name == "vars" and len(args) == 1:
        push(shadow, attribute(shadow, args[0], "__dict__"))
    elif name == "globals" and not args:
        watcher.reads.see(shadow.frame.f_globals)
        shadow.push(shadow.frame.f_globals)
    else:
        return False
    return True


def _count(shadow: Any, counter: Any, counted: Any) -> None:
    """What a Counter's `update` and its making call."""
    watcher = shadow.watcher
    iterate(shadow, counted)
    watcher.reads.deep(counted)
    if watcher.is_old(counter) or id(counter) in watcher.arguments:
        iterate(shadow, counter)
        watcher.writes.mutate(counter, dict.update, (LATER,))
        complete_later(shadow, counter, "update")
    shadow.push(UNKNOWN)


_OPERATORS = {"iadd": "+=", "iconcat": "+=", "ior": "|=", "iand": "&=", "isub": "-=", "imul": "*=", "ixor": "^="}


def _operator(shadow: Any, name: str, args: list[Any]) -> bool:
    """`operator.getitem` and its like do what an instruction does. False for those that only compute."""
    if name == "getitem" and len(args) == 2:
        push(shadow, item(shadow, *args))
    elif name in ("setitem", "delitem") and len(args) == (3 if name == "setitem" else 2):
        store_item(shadow, args[0], args[1], getattr(operator, name), tuple(args[2:]))
        shadow.push(UNKNOWN)
    elif name in _OPERATORS and len(args) == 2 and in_place(shadow, args[0], _OPERATORS[name], args[1]):
        shadow.push(UNKNOWN)
    else:
        return False
    return True


def _container_method(shadow: Any, owner: Any, name: str, args: list[Any], kwargs: dict[str, Any]) -> None:
    watcher = shadow.watcher
    kind = next(k for k in CHANGING if isinstance(owner, k))
    changing = name in CHANGING[kind]
    settle_places(kind, name, args, kwargs)
    if args and (kind in (dict, set) or name in ("index", "count", "remove", "__contains__")):
        watcher.asked_which(args[0])
    if name in _COMPARING:
        watcher.reads.deep((owner, *args))
    old = watcher.is_old(owner)
    if changing and id(watcher.attribute_tables.get(id(owner))) in watcher.arguments:
        watcher.refuse("it sets attributes of an argument through its __dict__: write argument.name = value")
    if not old and not (changing and id(owner) in watcher.arguments):
        for value in (*args, *kwargs.values()) if name not in _TAKES_ONE else ():
            iterate(shadow, value)
            watcher.reads.deep(value)
        shadow.push(UNKNOWN)
        return
    if id(owner) in watcher.attribute_tables and changing:
        change_attributes(shadow, watcher.attribute_tables[id(owner)], owner, name, args, kwargs)
        return
    if kind is np.ndarray:
        if changing:
            watcher.refuse("it changes a NumPy array that was there before")
        shadow.push(UNKNOWN)
        return
    if not changing:
        if kind is dict and name in ("get", "__getitem__") and args and args[0] is not UNKNOWN:
            there = dict.__contains__(owner, args[0]) or name == "__getitem__"
            push(shadow, item(shadow, owner, args[0], in_c=True) if there else absent(shadow, owner, args))
            return
        iterate(shadow, owner)
        for value in args:
            settle(value)
        shadow.push(UNKNOWN)
        return
    if name in _ANSWERING:
        if kind is dict and name in ("pop", "setdefault") and args and args[0] is not UNKNOWN and args[0] is not FRESH:
            item(shadow, owner, args[0], in_c=True) if args[0] in owner else absent(shadow, owner, args)
        else:
            iterate(shadow, owner)
        if name == "setdefault" and args[0] in owner:
            shadow.push(UNKNOWN)
            return
    for value in (*args, *kwargs.values()):
        if name not in _TAKES_ONE:
            iterate(shadow, value)
    _change(shadow, owner, name, args, kwargs)
    shadow.push(UNKNOWN)


def _change(shadow: Any, owner: Any, name: str, args: list[Any], kwargs: dict[str, Any]) -> None:
    watcher = shadow.watcher
    kind = next(k for k in CHANGING if isinstance(owner, k))
    if name in ("setdefault", "__setitem__") and args:
        known = args[0] is not UNKNOWN and args[0] is not FRESH
        key = plain(args[0]) if known else LATER
        watcher.writes.mutate(owner, operator.setitem, (key, args[1] if len(args) > 1 else None))
        if not known:
            args = [UNKNOWN, *args[1:]]
    elif name == "__delitem__" and kind is not dict:
        watcher.writes.mutate(owner, operator.delitem, args)
    elif name == "pop" and kind is set and len(owner) > 1:
        watcher.refuse(
            "it pops an element of a set that was there before: which one that is depends on all that was done to the set"
        )
    elif name == "__init__":
        watcher.refuse(f"it calls __init__ of a {type(owner).__name__} that was there before")
    elif name == "__delitem__" or (name == "pop" and kind is dict):
        if args[0] is UNKNOWN:
            watcher.refuse("it takes an entry out of a dict under a name that could not be followed")
        if args[0] in owner:
            watcher.writes.mutate(owner, operator.delitem, (plain(args[0]),))
    else:
        function = getattr(type(owner), name)
        if not isinstance(function, (types.MethodDescriptorType, types.WrapperDescriptorType)):
            function = getattr(kind, name)
        watcher.writes.mutate(owner, function, args, kwargs)
    if any(a is UNKNOWN or a is FRESH for a in (*args, *kwargs.values())) or name in _COMPLETED:
        complete_later(shadow, owner, name)


def _method(shadow: Any, owner: Any, name: str, args: list[Any], kwargs: dict[str, Any]) -> None:
    """A method in C of something else than a container."""
    watcher = shadow.watcher
    if type(owner) is slice or isinstance(owner, HostValue):
        settle(owner)
    allowed = isinstance(owner, _VALUES) or type(owner).__module__.partition(".")[0] in (
        "re",
        "jaxlib",
        "builtins",
        "jax",
        "_thread",
    )
    if isinstance(owner, type):
        module = owner.__module__
        allowed = module not in ("datetime", "time", "random", "uuid", "decimal") and not module.startswith(
            "numpy.random"
        )
    elif (
        type(owner).__module__ in ("random", "_random", "_io", "io", "socket")
        or type(owner).__module__.startswith("numpy.random")
        or (not allowed and not is_python_class(type(owner)))
    ):
        allowed = False
    elif not allowed:
        allowed = True  # a method that a class of the user's inherits from `object`
    if not allowed:
        what = (
            f"{type(owner).__module__}.{type(owner).__name__}.{name}"
            if not isinstance(owner, type)
            else f"{owner.__name__}.{name}"
        )
        watcher.refuse(f"it calls {what}, of which nobody can see what it does")
    if type(owner).__module__ == "_thread" and (name == "locked" or (name == "acquire" and (args or kwargs))):
        watcher.refuse("it asks whether another thread holds a lock")
    if hasattr(type(owner), "__next__") and name in ("__next__", "send") and watcher.is_old(owner):
        watcher.refuse("it takes the next value of an iterator that was there before")
    if isinstance(owner, type) and name == "__subclasses__":
        grad_state.trace.guard(lambda: tuple(type.__subclasses__(owner)), f"{owner.__name__} has other subclasses now")
    if isinstance(owner, str) and name in ("format", "format_map"):
        fields(shadow, owner, args, kwargs if name == "format" or not args else args[0])
    if name in ("__reduce_ex__", "__reduce__", "__getstate__", "__dir__"):
        _whole(shadow, owner)
    watcher.reads.deep(owner)  # of a tuple
    for value in (*args, *kwargs.values()):
        watcher.reads.deep(value)
        settle(value)
    shadow.push(UNKNOWN)


def _whole(shadow: Any, owner: Any) -> None:
    """Code in C takes all attributes of an object."""
    watcher = shadow.watcher
    if isinstance(owner, (Tensor, type, types.ModuleType)):
        return
    watcher.known(owner) if not is_container(owner) else None
    if not watcher.is_old(owner):
        return
    own = own_attributes(owner)
    if own:
        watcher.reads.see(own)
        watcher.reads.owners.setdefault(id(own), owner)
        watcher.attribute_tables[id(own)] = owner
        watcher.reads.content(own, watcher.writes.before(own))
    for base in type(owner).__mro__ if is_python_class(type(owner)) else ():
        for name, raw in own_attributes(base).items():
            if isinstance(raw, types.MemberDescriptorType):
                watcher.read(Attribute(owner, name))
    if is_container(owner):
        iterate(shadow, owner)


def _object(shadow: Any, callee: Any, args: list[Any], kwargs: dict[str, Any]) -> None:
    """An object that can be called."""

    watcher = shadow.watcher
    if isinstance(callee, weakref.ref):
        watcher.weak = True
        watcher.refuse("it looks through a weak reference, and a program would keep the object alive")
    if isinstance(callee, (operator.attrgetter, operator.itemgetter)):
        shadow.push(getter(shadow, callee, args))
        return
    if isinstance(callee, operator.methodcaller):
        _call_method(shadow, callee, args)
        return
    if "numpy.random" in str(getattr(callee, "__module__", "")) or "numpy.random" in type(callee).__module__:
        watcher.refuse(f"it draws from NumPy's random numbers ({getattr(callee, '__name__', callee)})")
    raw = in_class(type(callee), "__call__")
    if isinstance(raw, FunctionType):
        watcher.known(callee)
        if watcher.is_old(callee):
            watcher.reads.kind(callee)
            if kind_of_code(raw.__code__, raw.__globals__) != LIBRARY:
                watcher.reads.see(type(callee))
                watcher.read(Attribute(type(callee), "__call__"))
        if kind_of_code(raw.__code__, raw.__globals__) == LIBRARY and not isinstance(callee, Tensor):
            library(shadow, callee, args, kwargs)
        shadow.push(UNKNOWN)
        return
    if isinstance(callee, np.ufunc) or type(callee).__module__.partition(".")[0] in (
        "numpy",
        "jaxlib",
        "jax",
        "functools",
        "operator",
    ):
        for value in (*args, *kwargs.values()):
            watcher.reads.deep(value)
            if not (isinstance(callee, np.ufunc) and isinstance(value, HostNumber)):  # which asks it itself
                settle(value)
        if isinstance(callee, functools._lru_cache_wrapper):
            recall(watcher, callee, args, kwargs)
        shadow.push(UNKNOWN)
        return
    if type(callee).__flags__ & (1 << 9):
        watcher.reads.deep((*args, *kwargs.values()))
        settle((*args, *kwargs.values()))
        shadow.push(UNKNOWN)
        return
    watcher.refuse(f"it calls a {type(callee).__name__}, of which nobody can see what it does")


__all__ = ["call", "library"]
