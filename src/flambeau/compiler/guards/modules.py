"""What a program depends on in modules, and in other things that seldom change."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from types import FunctionType, MethodType
from typing import Any

from ...core.context.grad_mode import state as grad_state
from ...core.tensor.tensor import Tensor
from ...nn.modules import _hooks
from ...nn.modules.container import ModuleDict, ModuleList, Sequential
from ...nn.modules.module import _STATE_NAMES, Module
from ...optim import optimizer as _optimizer
from .places import Attribute, Item, Place, in_class
from .values import same

_PLAIN = (bool, int, float, complex, str, bytes, type(None), type)
_OWN = frozenset({__name__.partition(".")[0], "torch"})  # the drop-in's classes say that they are torch's

Ignored = frozenset[tuple[int, str]]


def value_of(value: Any) -> Any:
    """Plain values, and containers of them, as they are; everything else by identity."""
    if isinstance(value, _PLAIN):
        return (type(value), value)
    if isinstance(value, (tuple, list)):
        return (type(value), tuple(value_of(v) for v in value))
    if isinstance(value, dict):
        return (type(value), tuple((k, value_of(v)) for k, v in value.items()))
    return id(value)


def fingerprint(thing: Any, ignored: Ignored = frozenset()) -> Any:
    """Plain attributes of a module by value, everything else (parameters, buffers, submodules, hooks) by identity.

    `ignored` are the attributes and buffers that the program itself replaces: (id of the table, name). Anything else
    than a module tells its fingerprint itself.
    """
    if isinstance(thing, Dependency):
        return thing.fingerprint(ignored)
    own, buffers, parameters = thing.__dict__, thing._buffers, thing._parameters
    seen: list[Any] = [type(thing)]
    names = own if _has_layer_code(_class(thing)) else _STATE_NAMES
    for name in names:
        value = own.get(name)
        if name != "_compiled_call_impl" and not (ignored and (id(own), name) in ignored):
            if ignored and (value is buffers or value is parameters):
                value = _unignored(value, ignored)
            seen.append((name, value_of(value)))
    seen.append(_leaves(thing))
    return seen


@functools.cache
def _has_layer_code(cls: Any) -> bool:
    """Whether code of ours reads the attributes of such modules. What the user's code reads is followed as it runs."""
    ours = [base for base in cls.__mro__ if base.__module__.partition(".")[0] in _OWN]
    return any(issubclass(base, Module) and base not in (Module, Sequential, ModuleList, ModuleDict) for base in ours)


class Held:
    """What modules held at a trace, of what may be an input of later programs: parameters, buffers, and numbers of our layers."""

    def __init__(self, modules: list[Module]):
        tables = [table for module in modules for table in (module._parameters, module._buffers)]
        self.tensors: list[tuple[dict[str, Any], dict[str, Any]]] = [(table, dict(table)) for table in tables if table]
        self.numbers: list[tuple[Module, dict[str, float]]] = [
            (m, numbers) for m in modules if _has_layer_code(_class(m)) and (numbers := _floats(m))
        ]

    def changed_tensors(self) -> dict[Any, Place]:
        """Entries of the tables where another tensor is now."""
        places = [
            Item(table, name)
            for table, before in self.tensors
            for name, tensor in before.items()
            if tensor is not None and table.get(name, tensor) is not tensor and table[name] is not None
        ]
        return {place.key: place for place in places}

    def changed_numbers(self) -> dict[Any, Place]:
        """Attributes of our layers that are other floats now."""
        places = [
            Attribute(module, name)
            for module, before in self.numbers
            for name, number in before.items()
            if type(now := module.__dict__.get(name)) is float and not same(number, now)
        ]
        return {place.key: place for place in places}


def _class(module: Module) -> Any:
    return type(module)


def _floats(module: Module) -> dict[str, float]:
    return {name: value for name, value in module.__dict__.items() if type(value) is float}


def layers_run(function: Any, given: Any) -> None:
    """A method of a layer of ours is called, or given away: its code, which isn't followed, reads the layer's attributes, so that the
    layer is as good as called (`layer.forward(x)`).
    """
    _layer_runs(function, given[0] if given else None)
    for value in (function, *given):
        for part in _held_by(value):
            if isinstance(part, MethodType):
                _layer_runs(part.__func__, part.__self__)


def _held_by(value: Any, depth: int = 0) -> Iterator[Any]:
    """A value, and what a function of ours that was made around it has kept (`vmap(layer.forward)`)."""
    yield value
    closure = value.__closure__ if isinstance(value, FunctionType) else None
    if closure and depth < 8 and value.__globals__.get("__name__", "").partition(".")[0] in _OWN:
        for cell in closure:
            with contextlib.suppress(ValueError):  # an empty one
                yield from _held_by(cell.cell_contents, depth + 1)


def unwrapped(candidate: Any) -> list[Any]:
    """A callable, and what it stands for."""
    found, seen = [candidate], 0
    while found and seen < 20:
        seen += 1
        last = found[-1]
        if isinstance(last, functools.partial):
            found.append(last.func)
        elif isinstance(last, (FunctionType, MethodType)) or last is None or isinstance(last, (type, Tensor)):
            break
        elif isinstance(last, (list, tuple)) and len(last) < 50:
            return [*found, *(part for part in last if callable(part))]
        else:
            call = in_class(type(last), "__call__")
            if isinstance(call, FunctionType) and not isinstance(last, Module):
                found.append(MethodType(call, last))
            break
    return found


def _layer_runs(function: Any, module: Any) -> None:
    name = getattr(function, "__name__", "__init__")
    if not isinstance(module, Module) or name == "__init__":
        return
    layers = (base for base in _class(module).__mro__ if base is not Module and is_library_class(base))
    if any(name in vars(base) for base in layers if issubclass(base, Module)):
        grad_state.trace.modules[module] = None


def tables_of(module: Module) -> list[dict[Any, Any]]:
    """Its dicts of parameters, buffers, modules and hooks."""
    own = module.__dict__
    return [table for name in _STATE_NAMES if isinstance(table := own.get(name), dict)]


def _unignored(table: dict[str, Any], ignored: Ignored) -> dict[str, Any]:
    return {k: v for k, v in table.items() if (id(table), k) not in ignored}


def _leaves(module: Any) -> list[Any]:
    return [p is not None and tensor_hooks(p) for p in module._parameters.values()]


def tensor_hooks(tensor: Any) -> Any:
    """The numbers of the hooks on a tensor's place on the tape; None if it has no such place."""
    edge = tensor._tape_edge()
    if edge is None:
        return None
    node = edge[0]
    before = node.pre_hooks and [(n, *hooks) for n, hooks in node.pre_hooks.items() if hooks]
    return before or (), tuple(getattr(node, "done_hooks", None) or ()), tuple(node.post_hooks or ())


class Dependency:
    """Something that a program depends on, and what of it."""

    def __init__(self, what: Any = None):
        self.what = what

    def fingerprint(self, ignored: Ignored) -> Any:
        raise NotImplementedError


class Parts(Dependency):
    """A module that the function reaches through without calling it: what it consists of, its mode, and what is called where its state
    is asked for or loaded.
    """

    HOOKS = ("_state_dict_hooks", "_state_dict_pre_hooks", "_load_state_dict_pre_hooks", "_load_state_dict_post_hooks")

    def fingerprint(self, ignored: Ignored) -> Any:
        module = self.what
        tables = _unignored(module._parameters, ignored), _unignored(module._buffers, ignored), module._modules
        hooks = [value_of(module.__dict__.get(name)) for name in self.HOOKS]
        return module.__dict__.get("training"), [value_of(table) for table in tables], hooks, _leaves(module)


class Leaf(Dependency):
    """A tensor that collects a gradient: its hooks."""

    def fingerprint(self, ignored: Ignored) -> Any:
        return tensor_hooks(self.what)


class Groups(Dependency):
    """An optimizer's hooks, and the parameters of its groups."""

    def fingerprint(self, ignored: Ignored) -> Any:
        optimizer = self.what
        groups = [tuple(map(id, group["params"])) for group in optimizer.param_groups]
        return groups, [
            [*table]
            for name, table in vars(optimizer).items()
            if name.startswith("_optimizer_") and name.endswith("_hooks")
        ]


class GlobalHooks(Dependency):
    """The hooks of all modules and of all optimizers."""

    def fingerprint(self, ignored: Ignored) -> Any:
        tables = (
            _hooks.global_call_hooks,
            _optimizer._global_optimizer_pre_hooks,
            _optimizer._global_optimizer_post_hooks,
        )
        return [tuple(table) for table in tables]


def is_library_class(cls: type) -> bool:
    """Whether a class is one of ours."""
    name = cls.__module__
    package, _, path = name.partition(".")
    return package in _OWN and not path.startswith(("utils.data", "distributions"))  # which are followed
