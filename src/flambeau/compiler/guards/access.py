"""Reading and writing attributes and items on behalf of the code that is followed: what is taken down, and the value."""

from __future__ import annotations

import functools
import importlib.util
import operator
import sys
import weakref
from array import array
from collections import Counter, OrderedDict, defaultdict, deque
from types import (
    FunctionType,
    GetSetDescriptorType,
    MappingProxyType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any

import numpy as np

from ...core.dispatch.host_numbers import HostValue, Strict, plain, settle, settle_key
from ...core.tensor.tensor import Tensor
from ...nn.modules.module import Module
from ...runtime.settings import Telling
from .code import LIBRARY, kind_of_code
from .foreign import is_field, look_into, refuse_field
from .keyed import apart
from .modules import is_library_class
from .places import (
    MISSING,
    Attribute,
    Item,
    Named,
    Own,
    Table,
    in_class,
    is_python_class,
    is_scope,
    own_attributes,
    shown_by,
)
from .symbols import FRESH, LATER, PENDING, UNKNOWN
from .told import told_by
from .values import elements, entries, is_buffer, is_container, is_in_c

_PLACE = frozenset("requires_grad is_leaf grad_fn output_nr retains_grad _version _base _is_view".split())
_BUFFERS = (np.ndarray, bytearray, array)
_OF_DICTS = (dict.__setitem__, OrderedDict.__setitem__, dict.__delitem__, OrderedDict.__delitem__)
_GETS = tuple(kind.__getitem__ for kind in (list, dict, deque, OrderedDict, defaultdict, Counter))


# --- attributes ---


def or_unknown(value: Any) -> Any:
    return UNKNOWN if value is MISSING else value


def attribute(shadow: Any, owner: Any, name: str) -> Any:
    """Read an attribute: take down what the program depends on; its value, or UNKNOWN while the user's code computes it."""
    watcher = shadow.watcher
    if owner is UNKNOWN or owner is FRESH:
        if owner is UNKNOWN:
            watcher.refuse(f"it takes {name!r} from a value that could not be followed")
        return PENDING
    if isinstance(owner, weakref.ProxyTypes):
        watcher.refuse("it looks through a weak proxy")
    if isinstance(owner, HostValue):
        if name in ("__class__", "__doc__", "__module__") or not hasattr(owner.plain, name):
            raise Strict(owner.expression, never=True)
        return _bound(owner, name)
    if isinstance(owner, Tensor):
        return _of_tensor(watcher, owner, name)
    if isinstance(owner, Telling):
        told_by(owner, name)
    if isinstance(owner, ModuleType):
        watcher.reads.see(owner)
        return or_unknown(watcher.read(Attribute(owner, name)))
    if isinstance(owner, type):
        watcher.reads.see(owner)
        watcher.reads.bases(owner)
        raw = in_class(owner, name)
        for base in owner.__mro__ if not _is_builtin(owner) else ():
            watcher.reads.see(base)
            if watcher.read(Own(base, name)) is not MISSING:
                break
        if isinstance(raw, FunctionType):
            return raw
        if raw is MISSING:
            for base in type(owner).__mro__:  # type: ignore[attr-defined]
                if name in own_attributes(base):
                    if not _is_builtin(base):
                        watcher.reads.see(base)
                        watcher.read(Own(base, name))
                    elif name in ("__name__", "__qualname__") and not _is_builtin(owner):
                        watcher.read(Named(owner, name))
                    return PENDING if isinstance(own_attributes(base)[name], property) else _bound(owner, name)
        return _bound(owner, name) if raw is not MISSING and not isinstance(raw, property) else PENDING
    if isinstance(owner, super):
        mro = owner.__self_class__.__mro__  # type: ignore[attr-defined]
        for base in mro[mro.index(owner.__thisclass__) + 1 :]:  # type: ignore[attr-defined]
            if not _is_builtin(base):
                watcher.reads.see(base)
                watcher.read(Own(base, name))
            if name in own_attributes(base):
                return PENDING if isinstance(own_attributes(base)[name], property) else _bound(owner, name)
        return UNKNOWN
    if _is_builtin(type(owner)) and not hasattr(owner, "__dict__"):
        return _bound(owner, name)
    return _of_object(shadow, owner, name)


def _of_tensor(watcher: Any, owner: Tensor, name: str) -> Any:
    own = own_attributes(owner)
    if name in own and in_class(type(owner), name) is MISSING:
        if watcher.is_argument(owner):
            watcher.looked_at_attributes = True
            return own[name]
        watcher.known(owner)
        return or_unknown(watcher.read(Attribute(owner, name)))
    raw = in_class(type(owner), name)
    if raw is MISSING and watcher.is_argument(owner):
        watcher.looked_at_attributes = True
    elif raw is MISSING and not watcher.is_traced(owner):
        watcher.known(owner)
        watcher.read(Attribute(owner, name))  # that it is not there
    if name in _PLACE:
        watcher.asked_place(owner, name)
    if raw is MISSING or isinstance(raw, FunctionType):
        watcher.reads.see(type(owner))  # which method it is, now or later
        watcher.read(Attribute(type(owner), name))
    if isinstance(raw, FunctionType):
        return MethodType(raw, owner)
    return PENDING


def _of_object(shadow: Any, owner: Any, name: str) -> Any:
    watcher = shadow.watcher
    cls = type(owner)
    watcher.known(owner) if not is_container(owner) else None
    if watcher.is_old(owner):
        watcher.reads.kind(owner)
    if name == "__dict__":
        found = own_attributes(owner)
        if watcher.is_old(owner):
            watcher.reads.see(found)
            watcher.reads.owners.setdefault(id(found), owner)
            if not _tables(owner):  # a module's attributes are looked at by themselves
                watcher.read(Table(owner))
        if watcher.is_old(owner) or id(owner) in watcher.arguments:
            watcher.attribute_tables[id(found)] = owner
        return found
    if name == "__class__":
        return cls
    raw = in_class(cls, name)
    watcher.reads.see(cls)
    watcher.reads.bases(cls)
    if raw is MISSING or not _is_data_descriptor(raw):
        own = own_attributes(owner)
        if name in own:
            return watcher.read(Attribute(owner, name))
    if raw is MISSING and is_container(owner) and in_class(cls, "__getattr__") in _GETS:
        return item(shadow, owner, name)
    if raw is MISSING:
        tables = _tables(owner)
        for table in tables:
            if name in table:
                if watcher.is_old(owner):
                    watcher.reads.see(table)
                return watcher.read(Item(table, name))
        if watcher.is_old(owner):
            watcher.read(Attribute(owner, name))
        return PENDING  # __getattr__, or an error
    if isinstance(raw, FunctionType):
        if id(owner) not in watcher.writes.away:  # its methods look for themselves
            watcher.read(Attribute(owner, name))
        return MethodType(raw, owner)
    if is_field(raw) and watcher.is_old(owner):
        refuse_field(watcher, owner, name)
    if isinstance(raw, (MemberDescriptorType, GetSetDescriptorType)):
        return or_unknown(watcher.read(Attribute(owner, name)))
    if not _is_builtin(cls) and hasattr(type(raw), "__get__"):
        watcher.read(Attribute(owner, name))
    if isinstance(raw, property):
        return PENDING
    if isinstance(raw, classmethod):
        return MethodType(raw.__func__, cls)
    if isinstance(raw, staticmethod):
        return raw.__func__
    if hasattr(type(raw), "__get__"):
        return _bound(owner, name) if _is_builtin(type(raw)) and not hasattr(raw, "func") else PENDING
    return _of_class(shadow, owner, name)


def _of_class(shadow: Any, owner: Any, name: str) -> Any:
    """A plain value that an object has from its class."""
    watcher = shadow.watcher
    if watcher.is_old(owner):
        watcher.read(Own(owner, name))
    for base in type(owner).__mro__:
        watcher.reads.see(base)
        value = watcher.read(Own(base, name))
        if value is not MISSING:
            return value
    return UNKNOWN


def _tables(owner: Any) -> tuple[Any, ...]:
    own = own_attributes(owner)
    if "_parameters" in own and "_modules" in own and "_buffers" in own:
        return own["_parameters"], own["_modules"], own["_buffers"]
    return ()


def _is_data_descriptor(raw: Any) -> bool:
    return hasattr(type(raw), "__set__")


def _is_builtin(cls: type) -> bool:
    return not is_python_class(cls)


def _bound(owner: Any, name: str) -> Any:
    """What `owner.name` gives, where looking runs no code of the user's."""
    try:
        return getattr(owner, name)
    except Exception:
        return UNKNOWN


def found_in_class(watcher: Any, owner: Any, code: Any) -> None:
    """Note which special method of the user's runs, if this is one: operators, `with` and loops look it up in the class."""
    cls = type(owner)
    for base in cls.__mro__ if is_python_class(cls) else ():
        for name, raw in own_attributes(base).items() if not is_library_class(base) else ():
            if name[:2] == "__" and getattr(raw, "__code__", None) is code:
                watcher.reads.see(cls)
                watcher.read(Attribute(cls, name))


def push(shadow: Any, value: Any) -> None:
    if value is PENDING:
        shadow.push(UNKNOWN)
    else:
        shadow.push(value)


def store_attribute(
    shadow: Any, owner: Any, name: str, value: Any = UNKNOWN, direct: bool = False, deleted: bool = False
) -> None:
    """Note that an attribute is about to be set or deleted (`value`: to what, if that is known)."""
    watcher = shadow.watcher
    if owner is UNKNOWN or owner is FRESH:
        return
    if isinstance(owner, weakref.ProxyTypes):
        watcher.refuse("it writes through a weak proxy")
    if name == "__dict__" and (watcher.is_old(owner) or value is UNKNOWN or watcher.is_old(value)):
        watcher.refuse(f"it gives a {type(owner).__name__} another __dict__")
    if name == "__class__" and watcher.is_old(owner):
        watcher.refuse(f"it gives a {type(owner).__name__} another class")
    if isinstance(owner, Tensor):
        raw = in_class(type(owner), name)
        if raw is MISSING and watcher.is_argument(owner):
            watcher.refuse("it sets an attribute of a tensor that the caller gave")
        if raw is MISSING and not watcher.is_traced(owner):
            watcher.known(owner)
            if deleted:
                watcher.read(Attribute(owner, name))  # whether it is there
            watcher.writes.put(Attribute(owner, name))
        return
    if isinstance(owner, Telling):
        watcher.refuse(f"it changes a setting of the process ({name}): do that outside")
    if deleted and watcher.is_old(owner):
        watcher.read(Attribute(owner, name))  # whether it is there
        _own_entry(watcher, owner, name)
    if isinstance(owner, type):
        if not _is_builtin(owner):
            watcher.writes.put(Own(owner, name))
        return
    if isinstance(owner, ModuleType):
        watcher.writes.put(Attribute(owner, name))
        return
    if id(owner) in watcher.arguments and deleted:
        watcher.writes.mutate(owner, delattr, (name,))
        return
    if id(owner) in watcher.arguments:
        watcher.writes.mutate(owner, setattr, (name, LATER))
        complete_later(shadow, owner, "setattr")
        return
    if in_class(type(owner), "__delattr__" if deleted else "__setattr__") in _OF_DICTS and not direct:
        change = (operator.delitem, ()) if deleted else (operator.setitem, (value,))
        store_item(shadow, owner, name, *change)  # a dict whose entries are its attributes
        return
    watcher.known(owner)
    raw = in_class(type(owner), name)
    computes = hasattr(type(raw), "__set__") and not isinstance(raw, (MemberDescriptorType, GetSetDescriptorType))
    if is_field(raw) and watcher.is_old(owner):
        refuse_field(watcher, owner, name)
    if not watcher.is_old(owner) or computes or _tables(owner):
        return  # a module takes down its attributes itself
    setter = in_class(type(owner), how := "__delattr__" if deleted else "__setattr__")
    if is_python_class(type(owner)) and not is_library_class(type(owner)):
        watcher.reads.see(type(owner))
        watcher.read(Attribute(type(owner), how))
    if direct or isinstance(setter, WrapperDescriptorType) or isinstance(raw, MemberDescriptorType):
        watcher.writes.put(Attribute(owner, name))
    elif isinstance(setter, FunctionType) and kind_of_code(setter.__code__, setter.__globals__) == LIBRARY:
        watcher.refuse(f"it changes a {type(owner).__name__}, which sets its attributes in a way of its own")


def imported(watcher: Any, name: str, package: str | None = None) -> Any:
    """The module that an import finds, which is another one where `sys.modules` has another; UNKNOWN if it has none yet."""
    if name.startswith(".") and package:
        name = importlib.util.resolve_name(name, package)
    watcher.reads.see(sys.modules)
    return or_unknown(watcher.read(Item(sys.modules, name))) if name in sys.modules else UNKNOWN


# --- items ---


def item(shadow: Any, owner: Any, key: Any, *, in_c: bool = False) -> Any:
    """Read an item of a container; `in_c`: its class's own `__getitem__` is not asked (`dict.get`, `super().__getitem__`)."""
    watcher = shadow.watcher
    if isinstance(owner, MappingProxyType):
        owner = shown_by(owner)
        watcher.arrive(owner)
    if key is UNKNOWN or key is FRESH:
        if is_container(owner) and watcher.is_old(owner):
            watcher.reads.content(owner, watcher.writes.before(owner))
        return UNKNOWN
    watcher.reads.deep(key)  # a list of positions, in a tuple perhaps
    if isinstance(owner, tuple):
        settle(key)
        try:
            return owner[plain(key)]
        except Exception:
            return UNKNOWN
    if isinstance(owner, Tensor):
        settle_key(key)
        return PENDING
    if not is_container(owner):
        settle(key)
        look_through(watcher, owner)
        look_into(watcher, owner, "__getitem__")
        return PENDING
    settle(key)
    key = plain(key)
    watcher.asked_which(key)
    if isinstance(owner, _BUFFERS):
        return UNKNOWN
    if not in_c and type(owner).__getitem__ not in _GETS:
        return PENDING
    if id(owner) in watcher.attribute_tables:
        return or_unknown(_own_entry(watcher, watcher.attribute_tables[id(owner)], key))
    if isinstance(owner, dict):
        return _entry(shadow, owner, key)
    if type(key) is int:
        if watcher.is_old(owner) and not watcher.writes.put_last(owner, key):
            if id(owner) in watcher.writes.snapshots and not watcher.writes.is_written(Item(owner, key)):
                watcher.reads.content(owner, watcher.writes.before(owner))
            else:
                return or_unknown(watcher.read(Item(owner, key)))
        return or_unknown(Item(owner, key).get())
    if watcher.is_old(owner):
        watcher.reads.content(owner, watcher.writes.before(owner))
    return UNKNOWN


def _own_entry(watcher: Any, owner: Any, name: Any) -> Any:
    """Read what an object itself has under a name; its class may have something there, too, which would hide that it is gone."""
    place = Attribute(owner, name)
    if type(name) is not str or in_class(type(owner), name) is MISSING:
        return watcher.read(place)
    own = Own(owner, name)
    return own.get() if watcher.writes.is_written(place) else watcher.read(own)


def _entry(shadow: Any, owner: Any, key: Any) -> Any:
    watcher = shadow.watcher
    apart(watcher, owner, key)
    place = Item(owner, key)
    value = place.get()
    makes_up = isinstance(owner, defaultdict) and value is MISSING and id(owner) in watcher.arguments
    if not watcher.is_old(owner) and not makes_up:
        return or_unknown(value)
    if id(owner) in watcher.writes.snapshots and not watcher.writes.is_written(place):
        watcher.reads.place(place, watcher.writes.before(owner).get(key, MISSING))
    else:
        value = watcher.read(place)
    if value is MISSING and isinstance(owner, defaultdict) and owner.default_factory is not None:
        watcher.writes.mutate(owner, operator.setitem, (key, LATER))
        shadow.after = functools.partial(_complete_default, watcher, watcher.writes.log[-1], owner)
        return PENDING
    return or_unknown(value)


def look_for_entry(watcher: Any, owner: Any, key: Any) -> None:
    apart(watcher, owner, key)
    try:
        place = Item(owner, key)
        value = place.get()
    except TypeError:
        return
    if not watcher.writes.is_written(place):
        watcher.reads.place(place, watcher.writes.before(owner).get(key, MISSING) if value is not MISSING else value)


def store_item(shadow: Any, owner: Any, key: Any, function: Any, values: tuple[Any, ...]) -> None:
    """Note that an item is about to be set or deleted."""
    watcher = shadow.watcher
    watcher.reads.deep(key)
    if isinstance(owner, (Tensor, *_BUFFERS)):
        watcher.reads.deep(values)  # code in C takes it apart
    if isinstance(owner, Tensor):
        settle_key(key)
        return
    settle(key)
    key = plain(key)
    given = id(owner) in watcher.arguments
    if isinstance(owner, dict) and (given or watcher.is_old(owner)):
        watcher.asked_which(key)
    look_into(watcher, owner, "__setitem__", "__delitem__")
    if is_container(owner) and not is_in_c(owner, function.__name__):
        return  # the class's own code, which is followed
    if id(owner) in watcher.attribute_tables and id(watcher.attribute_tables[id(owner)]) in watcher.arguments:
        watcher.refuse("it sets attributes of an argument through its __dict__: write argument.name = value")
    if not is_container(owner) or not (given or watcher.is_old(owner)):
        return
    if isinstance(owner, _BUFFERS):
        watcher.refuse(f"it changes a {type(owner).__name__} that was there before")
    if id(owner) in watcher.attribute_tables:
        store_attribute(shadow, watcher.attribute_tables[id(owner)], key, deleted=function is operator.delitem)
        return
    if is_scope(owner):
        watcher.writes.put(Item(owner, key))
        return
    if key is UNKNOWN or key is FRESH:
        if not isinstance(owner, dict) or not values:
            watcher.refuse(f"it changes a {type(owner).__name__} at a place that could not be followed")
        key = LATER
    if not values and isinstance(owner, dict) and key is not LATER and watcher.is_old(owner):
        look_for_entry(watcher, owner, key)  # whether it is there
    values = tuple(LATER if v is FRESH or v is UNKNOWN else v for v in values)
    watcher.writes.mutate(owner, function, (key, *values))
    if key is LATER or any(v is LATER for v in values) or isinstance(key, slice):
        complete_later(shadow, owner, "")


_IN_PLACE = {
    "+=": operator.iadd, "|=": operator.ior, "&=": operator.iand, "-=": operator.isub, "*=": operator.imul, "^=": operator.ixor,
}  # fmt: skip


def in_place(shadow: Any, left: Any, sign: str, right: Any) -> bool:
    """Note that `left += right` or the like is about to change a container. False if it changes none that was there before."""
    watcher = shadow.watcher
    if sign not in _IN_PLACE or not is_container(left) or not (watcher.is_old(left) or id(left) in watcher.arguments):
        return False
    if is_buffer(left):
        watcher.refuse(f"it changes a {type(left).__name__} that was there before")
    if not is_in_c(left, _IN_PLACE[sign].__name__):
        look_into(watcher, left, f"__{_IN_PLACE[sign].__name__}__")
        return False
    iterate(shadow, right)
    watcher.writes.mutate(left, _IN_PLACE[sign], (right,))
    complete_later(shadow, left, sign)
    return True


def iterate(shadow: Any, owner: Any) -> None:
    """Note that all of what a container holds is looked at."""
    watcher = shadow.watcher
    if isinstance(owner, MappingProxyType):
        owner = shown_by(owner)
        watcher.arrive(owner)
    look_through(watcher, owner)
    look_into(watcher, owner, "__iter__", "__getitem__", "__len__")
    if is_container(owner) and watcher.is_old(owner):
        watcher.reads.content(owner, watcher.writes.before(owner))
    elif hasattr(type(owner), "__next__"):
        watcher.taken_from(owner)


def look_through(watcher: Any, owner: Any) -> None:
    """A container of ours (ModuleList, ParameterDict) is looked into by code that is not followed."""
    if isinstance(owner, Module):
        watcher.walked(owner)


_FILLING = frozenset(("add", "update", "__ior__", "|="))


def complete_later(shadow: Any, owner: Any, name: str) -> None:
    """Once the change that was noted last has been made, take down what it has put there."""
    mutation = shadow.watcher.writes.log[-1]
    keyed = name in _FILLING or (mutation.function is operator.setitem and mutation.args[0] is LATER)
    before: Any = 0
    if keyed and isinstance(owner, dict):
        before = dict(entries(owner))
    elif is_container(owner):
        before = set(owner) if keyed and isinstance(owner, set) else len(elements(owner))
    shadow.after = functools.partial(complete, shadow.watcher, mutation, name, before)


def _complete_item(watcher: Any, mutation: Any, before: Any) -> None:
    owner, key = mutation.container, mutation.args[0]
    if isinstance(key, slice) and isinstance(owner, list):
        start, stop, step = key.indices(before)
        if step == 1:
            now = elements(owner)
            mutation.args = (key, now[start : start + len(now) - before + max(stop - start, 0)])
        return
    if key is LATER:
        added = [k for k in owner if k not in before]
        if not added:
            watcher.refuse("it sets an entry of a dict under a name that could not be followed")
        key = added[-1]
        watcher.writes.stored.add(Item(owner, key).key)
    mutation.args = (key, Item(owner, key).get())


def _complete_default(watcher: Any, mutation: Any, before: Any) -> None:
    """A defaultdict has made an entry: what stands there is new, unless its factory is a function that was followed."""
    owner, key = mutation.container, mutation.args[0]
    _complete_item(watcher, mutation, before)
    if isinstance(owner.default_factory, type):
        watcher.made(owner[key])


def _put_entries(owner: Any, changed: dict[Any, Any]) -> None:
    kind = OrderedDict if isinstance(owner, OrderedDict) else dict  # which keeps an order of its own
    for key, value in changed.items():
        kind.__setitem__(owner, key, value)


def _complete_filling(watcher: Any, mutation: Any, before: Any) -> None:
    """Entries or elements were put in. What is as it was may have been put there, too: it has to be so at the next call."""
    owner = mutation.container
    old = watcher.is_old(owner) and id(owner) not in watcher.arguments
    if isinstance(owner, set):
        if old:
            watcher.reads.content(owner, watcher.writes.before(owner))
        mutation.function, mutation.args = set.update, ([v for v in owner if v not in before],)
        return
    named = {key for part in (*mutation.args, mutation.kwargs) if type(part) is dict for key in part}
    followed = all(type(part) is dict for part in mutation.args)
    changed = {k: v for k, v in entries(owner) if k in named or k not in before or before[k] is not v}
    mutation.function, mutation.args, mutation.kwargs = _put_entries, (changed,), {}
    watcher.made(changed)
    if old and not followed:
        for key in before.keys() - changed.keys():
            look_for_entry(watcher, owner, key)


def complete(watcher: Any, mutation: Any, name: str, before: Any) -> None:
    """A change has been made whose arguments were not known: take from the container what it has put there.

    `before`: what it held until then, or of how many things.
    """
    owner = mutation.container
    if mutation.function is setattr:
        mutation.args = (mutation.args[0], Attribute(owner, mutation.args[0]).get())
    elif mutation.function is operator.setitem:
        _complete_item(watcher, mutation, before)
    elif name == "append" and elements(owner):
        mutation.args = (elements(owner)[-1],)
    elif name == "move_to_end" and mutation.args[0] is UNKNOWN and mutation.kwargs.get("last", True) is True:
        mutation.args = (next(reversed(owner)),)
    elif name == "appendleft":
        mutation.args = (elements(owner)[0],)
    elif name == "insert" and isinstance(mutation.args[0], int):
        mutation.args = (mutation.args[0], elements(owner)[mutation.args[0]])
    elif name in ("extend", "__iadd__", "+=") and isinstance(owner, list):
        mutation.function, mutation.args = list.extend, (elements(owner)[before:],)
    elif name in ("extend", "__iadd__", "+=") and isinstance(owner, deque) and owner.maxlen is None:
        mutation.function, mutation.args = deque.extend, (elements(owner)[before:],)
    elif name in _FILLING and isinstance(owner, (dict, set)):
        _complete_filling(watcher, mutation, before)
    else:
        if any(a is UNKNOWN or a is FRESH for a in mutation.args):
            watcher.refuse(f"it changes a {type(owner).__name__} by {name} in a way that could not be followed")
