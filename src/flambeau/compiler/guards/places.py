"""Places: where Python keeps a value that compiled code may read or write (an attribute, an item, a closure's variable)."""

from __future__ import annotations

import functools
import gc
import threading
from collections import deque
from collections.abc import Callable
from types import (
    BuiltinFunctionType,
    CellType,
    ClassMethodDescriptorType,
    GetSetDescriptorType,
    MappingProxyType,
    MemberDescriptorType,
    MethodDescriptorType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any

from ...core.tensor import tree
from ...core.tensor.tensor import Tensor

MISSING: Any = type("MISSING", (), {"__repr__": lambda self: "nothing"})()

_OF_C = (MethodDescriptorType, WrapperDescriptorType, ClassMethodDescriptorType)
_dict_of = object.__getattribute__


def own_attributes(owner: Any) -> Any:
    """The `__dict__` of an object, a class or a Python module; an empty one if it has none."""
    if isinstance(owner, type):
        return type.__getattribute__(owner, "__dict__")
    if isinstance(owner, threading.local):
        return owner.__dict__
    try:
        return _dict_of(owner, "__dict__")
    except AttributeError:
        return {}


def shown_by(proxy: MappingProxyType[Any, Any]) -> Any:
    """The dict that a read-only view (`Class.__dict__`, say) shows."""
    return gc.get_referents(proxy)[0]


def in_class(cls: type, name: str) -> Any:
    """What the classes that `cls` inherits from have under a name, as it stands there (no descriptor is called)."""
    for base in cls.__mro__:
        own = type.__getattribute__(base, "__dict__")
        if name in own:
            return own[name]
    return MISSING


def _is_python_class(cls: Any) -> bool:
    """Whether a class statement made a class: code in C knows no more of its instances than Python's code does."""
    if not cls.__flags__ & (1 << 9):  # not on the heap
        return False
    for name, raw in type.__getattribute__(cls, "__dict__").items():
        if isinstance(raw, _OF_C) and getattr(raw, "__objclass__", None) is cls:
            return False
        if name == "__new__" and isinstance(raw, BuiltinFunctionType):
            return False
    return True


is_python_class: Callable[[Any], bool] = functools.lru_cache(maxsize=4096)(_is_python_class)


def is_scope(table: Any) -> bool:
    """Whether a dict holds the globals of a module."""
    return isinstance(table, dict) and "__builtins__" in table and "__name__" in table


class Place:
    """`get()` reads it without running any code of the user's, `put()` writes it (`MISSING`: nothing is there)."""

    __slots__ = ("name", "owner")

    def __init__(self, owner: Any, name: Any = None):
        self.owner: Any = owner
        self.name: Any = name

    @property
    def key(self) -> tuple[str, int, Any]:
        name = self.name
        # tensors as keys (an optimizer's state) are told apart by identity: `==` would compare what they hold
        return type(self).__name__, id(self.owner), name if not isinstance(name, Tensor) else (Tensor, id(name))

    def get(self) -> Any:
        raise NotImplementedError

    def put(self, value: Any) -> None:
        raise NotImplementedError

    def own(self) -> Any:
        """What `put` would replace."""
        return self.get()


class Attribute(Place):
    """An attribute of an object, of a class or of a Python module: what is stored, so a property is itself."""

    __slots__ = ()

    def get(self) -> Any:
        owner, name = self.owner, self.name
        if isinstance(owner, type):
            return in_class(owner, name)
        raw = in_class(type(owner), name)
        if raw is not MISSING and isinstance(raw, (MemberDescriptorType, GetSetDescriptorType)):
            try:
                return raw.__get__(owner, type(owner))
            except AttributeError:
                return MISSING
        if isinstance(raw, property):
            return raw
        return own_attributes(owner).get(name, raw)

    def own(self) -> Any:
        owner, name = self.owner, self.name
        if isinstance(owner, (type, ModuleType)) or isinstance(
            in_class(type(owner), name), (MemberDescriptorType, GetSetDescriptorType)
        ):
            return self.get()
        return own_attributes(owner).get(name, MISSING)

    def put(self, value: Any) -> None:
        owner, name = self.owner, self.name
        if value is MISSING and self.own() is MISSING:
            return  # it was set and deleted since
        if isinstance(owner, type):
            delattr(owner, name) if value is MISSING else type.__setattr__(owner, name, value)
            return
        if isinstance(owner, threading.local):  # each thread has attributes of its own
            own_attributes(owner).pop(name, None) if value is MISSING else own_attributes(owner).update({name: value})
            return
        own = own_attributes(owner)
        slot = isinstance(in_class(type(owner), name), MemberDescriptorType)
        if slot or isinstance(in_class(type(owner), "__setattr__"), WrapperDescriptorType):
            object.__delattr__(owner, name) if value is MISSING else object.__setattr__(owner, name, value)
        elif value is MISSING:
            own.pop(name, None)
        else:
            own[name] = value

    def __str__(self) -> str:
        owner = self.owner
        if isinstance(owner, type):
            return f"{owner.__name__}.{self.name}"
        if isinstance(owner, ModuleType):
            return f"{owner.__name__}.{self.name}"
        return f"the attribute {self.name!r} of a {type(owner).__name__}"


class Own(Attribute):
    """What an object itself has under a name, whatever its class has."""

    __slots__ = ()

    def get(self) -> Any:
        return own_attributes(self.owner).get(self.name, MISSING)


class Table(Place):
    """The `__dict__` that an object has: it may be given another one, and a `threading.local` has one for each thread."""

    __slots__ = ()

    def get(self) -> Any:
        return own_attributes(self.owner)

    def __str__(self) -> str:
        return f"the __dict__ of a {type(self.owner).__name__}"


class Bases(Place):
    """The classes from which a class inherits, in their order."""

    __slots__ = ()

    def get(self) -> Any:
        return self.owner.__mro__

    def __str__(self) -> str:
        return f"what {self.owner.__name__} inherits from"


class Named(Place):
    """What a class is called."""

    __slots__ = ()

    def get(self) -> Any:
        return type.__getattribute__(self.owner, self.name)


class Item(Place):
    """An entry of a dict (globals and a module's tables of parameters are dicts), or an element of a list or deque."""

    __slots__ = ()

    def get(self) -> Any:
        owner, name = self.owner, self.name
        if isinstance(owner, dict):
            return dict.get(owner, name, MISSING)
        try:
            return _kind_of(owner).__getitem__(owner, name)
        except (IndexError, KeyError, TypeError):
            return MISSING

    def put(self, value: Any) -> None:
        owner, name = self.owner, self.name
        if isinstance(owner, dict):
            if value is MISSING:
                if name in owner:
                    dict.__delitem__(owner, name)
            else:
                dict.__setitem__(owner, name, value)
        elif value is MISSING:
            _kind_of(owner).__delitem__(owner, name)
        else:
            _kind_of(owner).__setitem__(owner, name, value)

    def __str__(self) -> str:
        if is_scope(self.owner):
            return f"the global variable {self.name!r} of {self.owner['__name__']}"
        plain = isinstance(self.name, (str, int, float, bytes, type(None)))
        name = repr(self.name) if plain else f"of a {type(self.name).__name__}"
        return f"the entry {name} of a {type(self.owner).__name__}"


def _kind_of(owner: Any) -> Any:
    """The class whose methods look into a container without those that a class of the user's puts before them."""
    return next((kind for kind in (list, deque) if isinstance(owner, kind)), type(owner))


class Length(Place):
    """How much a list or deque holds."""

    __slots__ = ()

    def get(self) -> Any:
        return _kind_of(self.owner).__len__(self.owner)

    def __str__(self) -> str:
        return f"the length of a {type(self.owner).__name__}"


class Cell(Place):
    """A variable of an enclosing function."""

    __slots__ = ()
    owner: CellType

    @property
    def key(self) -> tuple[str, int, Any]:
        return "Cell", id(self.owner), None

    def get(self) -> Any:
        try:
            return self.owner.cell_contents
        except ValueError:
            return MISSING

    def put(self, value: Any) -> None:
        if value is MISSING:
            del self.owner.cell_contents
        else:
            self.owner.cell_contents = value

    def __str__(self) -> str:
        return (
            f"the variable {self.name!r} of an enclosing function"
            if self.name
            else "a variable of an enclosing function"
        )


class TensorAt:
    """The tensor that a place holds at the time of the call (as one of the leaves of what is there, perhaps)."""

    __slots__ = ("number", "place")

    def __init__(self, place: Place, number: int):
        self.place: Place = place
        self.number: int = number

    def find(self) -> Any:
        value = self.place.get()
        return value if isinstance(value, Tensor) else tree.flatten(value)[0][self.number]

    def __call__(self, given: Any) -> Any:
        return self.find()._storage.value
