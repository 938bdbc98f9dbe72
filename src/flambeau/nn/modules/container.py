"""Modules that hold other modules or parameters: in a row, in a list, by key."""

from __future__ import annotations

import itertools
import operator
import warnings
from collections import OrderedDict
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from typing import Any, Self, overload

from ...core.context.grad_mode import state as grad_state
from ...core.context.tracing import structure
from ...core.tensor.tensor import Tensor
from ..parameter import Parameter
from ._members import kind_of
from ._printing import tree
from .module import Module

__all__ = ["Container", "ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "Sequential"]


def _position(index: Any, length: int) -> int:
    """An index counted from the front. TypeError if it is no integer, IndexError if it is out of range."""
    position = operator.index(index)
    if not -length <= position < length:
        raise IndexError(f"index {position} is out of range")
    return position % length


def _changes(module: Module, name: str = "0") -> None:
    """The modules that one holds are about to become others."""
    structure.version += 1
    if grad_state.trace is not None:
        grad_state.trace.keep_table(module, "_modules", name)


def _pairs(values: Any, who: str) -> Iterator[tuple[Any, Any]]:
    """The pairs of an iterable that stands in for a mapping."""
    for i, pair in enumerate(values):
        if not isinstance(pair, Iterable):
            raise TypeError(f"{who} update sequence element #{i} should be Iterable; is {type(pair).__name__}")
        pair = tuple(pair)
        if len(pair) != 2:
            raise ValueError(f"{who} update sequence element #{i} has length {len(pair)}; 2 is required")
        yield pair


def _check_iterable(values: Any, method: str, of: str = "") -> None:
    if not isinstance(values, Iterable) or isinstance(values, Tensor):
        raise TypeError(f"{method} should be called with an iterable{of}, but got {type(values).__name__}")


class Container(Module):
    """Modules by name: an old form of `Module`, as which it warns."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__()
        warnings.warn(
            "`nn.Container` is deprecated. A subclass of `nn.Module` does all that it did.", FutureWarning, stacklevel=2
        )
        for name, module in kwargs.items():
            self.add_module(name, module)


class _Row(Module):
    """Modules in a fixed order, reached by position."""

    def _slice(self, index: slice) -> Self:
        raise NotImplementedError

    def _renumber(self, modules: Iterable[Any]) -> None:
        modules = list(modules)
        _changes(self)
        self._modules.clear()
        self._modules.update((str(i), module) for i, module in enumerate(modules))

    @overload
    def __getitem__(self, index: slice) -> Self: ...
    @overload
    def __getitem__(self, index: int) -> Module: ...
    def __getitem__(self, index: int | slice) -> Module:
        if isinstance(index, slice):
            return self._slice(index)
        return list(self._modules.values())[_position(index, len(self))]

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, list(self._modules)[_position(index, len(self))], module)

    def __delitem__(self, index: int | slice) -> None:
        modules = list(self._modules.values())
        del modules[index if isinstance(index, slice) else _position(index, len(modules))]
        self._renumber(modules)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())  # type: ignore[arg-type]

    def append(self, module: Module) -> Self:
        """Add a module at the end."""
        self.add_module(str(len(self)), module)
        return self

    def pop(self, key: int | slice) -> Module:
        """Take out the module at a position, or several, and return it or them."""
        found = self[key]
        del self[key]
        return found

    def _insert(self, position: int, module: Module) -> None:
        if not isinstance(module, Module):
            raise TypeError(f"{kind_of(module)} is not a Module subclass")
        position = min(position, len(self))
        moved = dict(self._modules)
        for i in range(len(self), position, -1):
            moved[str(i)] = moved[str(i - 1)]  # KeyError for one that has a name of its own
        moved[str(position)] = module
        self.append(module)
        self._modules.update(moved)
        structure.version += 1


class Sequential(_Row):
    """Modules that are called one after the other, each with what the one before it gave.

    Made from modules, or from one OrderedDict that names them.
    """

    def __init__(self, *args: Module | OrderedDict[str, Any]):
        super().__init__()
        if len(args) == 1 and isinstance(args[0], OrderedDict):
            items: Iterable[tuple[Any, Any]] = args[0].items()
        else:
            items = ((str(i), module) for i, module in enumerate(args))
        for name, module in items:
            self.add_module(name, module)

    def forward(self, input: Any) -> Any:
        """The last module's output."""
        for module in self._modules.values():
            input = module(input)
        return input

    def _slice(self, index: slice) -> Self:
        return type(self)(OrderedDict(list(self._modules.items())[index]))

    def insert(self, index: int, module: Module) -> Self:
        """Put a module in front of the one at `index` (or at the end)."""
        length = len(self)
        if not isinstance(module, Module):
            raise AssertionError(f"module should be of type: {Module}, but is {kind_of(module)}")
        if not -length <= index <= length:
            raise IndexError(f"Index out of range: {index}")
        self._insert(index + length if index < 0 else index, module)
        return self

    def extend(self, sequential: Iterable[Module]) -> Self:
        """Add several modules at the end."""
        for module in list(sequential):
            self.append(module)
        return self

    def __add__(self, other: Sequential) -> Sequential:
        _check_sequential(other)
        return Sequential(*self, *other)

    def __iadd__(self, other: Sequential) -> Self:
        _check_sequential(other)
        return self.extend(other)

    def __mul__(self, other: int) -> Sequential:
        return Sequential(*(list(self) * self._times(other)))

    def __rmul__(self, other: int) -> Sequential:
        return self * other

    def __imul__(self, other: int) -> Self:
        return self.extend(list(self) * (self._times(other) - 1))

    def _times(self, factor: Any) -> int:
        if not isinstance(factor, int):
            raise TypeError(f"unsupported operand type(s) for *: {type(self)} and {type(factor)}")
        if factor <= 0:
            raise ValueError(f"Non-positive multiplication factor {factor} for {type(self)}")
        return factor


def _check_sequential(other: Any) -> None:
    if not isinstance(other, Sequential):
        raise ValueError(f"add operator supports only objects of Sequential class, but {type(other)} is given.")


class ModuleList(_Row):
    """Modules in a list; like a Python list, except that the modules are registered."""

    def __init__(self, modules: Iterable[Module] | None = None):
        super().__init__()
        self.extend(() if modules is None else modules)

    def _slice(self, index: slice) -> Self:
        return type(self)(list(self)[index])

    def insert(self, index: int, module: Module) -> None:
        """Put a module in front of the one at `index`."""
        self._insert(index if index >= 0 else max(index + len(self), 0), module)

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add several modules at the end."""
        _check_iterable(modules, "ModuleList.extend")
        for module in list(modules):
            self.append(module)
        return self

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    def __iadd__(self, modules: Iterable[Module]) -> Self:
        return self.extend(modules)

    def __repr__(self) -> str:
        # neighbours that print alike share a line
        children: list[tuple[str, object]] = []
        start = 0
        for text, group in itertools.groupby(map(repr, self)):
            count = len(list(group))
            if count > 1:
                children.append((f"{start}-{start + count - 1}", _Printed(f"{count} x {text}")))
            else:
                children.append((str(start), _Printed(text)))
            start += count
        return tree(self._get_name(), "", children)


class _Printed(str):
    """A text that is its own repr."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class ModuleDict(Module):
    """Modules by key, in the order of insertion; like a Python dict, except that the modules are registered."""

    def __init__(self, modules: Mapping[str, Module] | None = None):
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __contains__(self, key: object) -> bool:
        return key in self._modules

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)

    def __getitem__(self, key: str) -> Module:
        return self._modules[key]

    def __delitem__(self, key: str) -> None:
        _changes(self, key)
        del self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def clear(self) -> None:
        """Take all modules out."""
        _changes(self)
        self._modules.clear()

    def pop(self, key: str) -> Module:
        """Take the module at `key` out and return it."""
        _changes(self, key)
        return self._modules.pop(key)

    def keys(self) -> KeysView[str]:
        """The keys."""
        return self._modules.keys()

    def items(self) -> ItemsView[str, Module]:
        """(key, module) pairs."""
        return self._modules.items()

    def values(self) -> ValuesView[Module]:
        """The modules."""
        return self._modules.values()

    def update(self, modules: Any) -> None:
        """Set the entries of a mapping, or of an iterable of (key, module) pairs."""
        _check_iterable(modules, "ModuleDict.update", " of key/value pairs")
        mapping = isinstance(modules, (Mapping, ModuleDict))
        for key, module in modules.items() if mapping else _pairs(modules, "ModuleDict"):
            self[key] = module


def _owned(value: Any) -> Any:
    """A tensor becomes a Parameter; anything else stays what it is."""
    return Parameter(value) if isinstance(value, Tensor) and not isinstance(value, Parameter) else value


def _entry(key: Any, value: Any, kind: str) -> str:
    if not isinstance(value, Tensor):
        return f"  ({key}): Object of type: {type(value).__name__}"
    size = "x".join(map(str, value.shape))
    where = f" ({value.device})" if value.device.type != "cpu" else ""
    what = "Parameter" if isinstance(value, Parameter) else "Tensor"
    return f"  ({key}): {what} containing: [{kind} of size {size}{where}]"


class ParameterList(Module):
    """Parameters in a list. Tensors that are put in become Parameters; other objects are kept as they are."""

    def __init__(self, values: Iterable[Any] | None = None):
        super().__init__()
        self._size = 0
        self.extend(() if values is None else values)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(getattr(self, str(i)) for i in range(self._size)[index])
        return getattr(self, str(_position(index, self._size)))

    def __setitem__(self, index: int, param: Any) -> None:
        setattr(self, str(_position(index, self._size)), _owned(param))

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Any]:
        return (getattr(self, str(i)) for i in range(self._size))

    def __iadd__(self, parameters: Iterable[Any]) -> Self:
        return self.extend(parameters)

    def append(self, value: Any) -> Self:
        """Add a value at the end."""
        setattr(self, str(self._size), _owned(value))
        self._size += 1
        return self

    def extend(self, values: Iterable[Any]) -> Self:
        """Add several values at the end."""
        _check_iterable(values, "ParameterList.extend")
        for value in list(values):
            self.append(value)
        return self

    def extra_repr(self) -> str:
        """A line for each value."""
        return "\n".join(_entry(i, v, str(getattr(v, "dtype", ""))) for i, v in enumerate(self))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """There is nothing to call: RuntimeError."""
        raise RuntimeError("ParameterList should not be called.")


class ParameterDict(Module):
    """Parameters by key. Tensors that are put in become Parameters; other objects are kept as they are.

    Keys are in the order of insertion; those of a plain dict are sorted first, as in PyTorch.
    """

    def __init__(self, parameters: Any = None):
        super().__init__()
        self._keys = dict[str, None]()  # in the order in which they came
        if parameters is not None:
            self.update(parameters)

    def _attribute(self, key: Any) -> str:
        if not isinstance(key, str):
            raise TypeError(
                f"Index given to ParameterDict cannot be used as a key as it is not a string (type is '{kind_of(key)}')."
            )
        return key

    def __getitem__(self, key: str) -> Any:
        return getattr(self, self._attribute(key))

    def __setitem__(self, key: str, value: Any) -> None:
        name = self._attribute(key)
        if name not in self._keys and name in self.__dict__:
            raise KeyError(f"attribute '{name}' already exists")
        if name not in self._keys:
            _changes(self, name)
        setattr(self, name, _owned(value))
        self._keys[name] = None

    def __delitem__(self, key: str) -> None:
        if key in self._keys:
            _changes(self, key)
        del self._keys[key]
        delattr(self, key)

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __reversed__(self) -> Iterator[str]:
        return reversed(self._keys)

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def copy(self) -> ParameterDict:
        """Another ParameterDict with the same parameters."""
        return ParameterDict(OrderedDict(self.items()))

    def get(self, key: str, default: Any = None) -> Any:
        """The value at `key`, or `default` if there is none."""
        return self[key] if key in self._keys else default

    def setdefault(self, key: str, default: Any = None) -> Any:
        """The value at `key`, which is set to `default` if there is none."""
        if key not in self:
            self[key] = default
        return self[key]

    def clear(self) -> None:
        """Take all values out."""
        for key in list(self._keys):
            del self[key]

    def pop(self, key: str) -> Any:
        """Take the value at `key` out and return it."""
        value = self[key]
        del self[key]
        return value

    def popitem(self) -> tuple[str, Any]:
        """Take out what was put in last. KeyError if there is nothing."""
        if not self._keys:
            raise KeyError("popitem(): dictionary is empty")
        key = next(reversed(self._keys))
        return key, self.pop(key)

    def fromkeys(self, keys: Iterable[str], default: Any = None) -> ParameterDict:
        """A new ParameterDict with the same value at every key."""
        return ParameterDict((key, default) for key in keys)

    def keys(self) -> KeysView[str]:
        """The keys."""
        return self._keys.keys()

    def items(self) -> Iterator[tuple[str, Any]]:
        """(key, value) pairs."""
        return ((key, self[key]) for key in self._keys)

    def values(self) -> Iterator[Any]:
        """The values."""
        return (self[key] for key in self._keys)

    def update(self, parameters: Any) -> None:
        """Set the entries of a mapping, or of an iterable of (key, value) pairs."""
        _check_iterable(parameters, "ParametersDict.update", " of key/value pairs")
        if isinstance(parameters, (OrderedDict, ParameterDict)):
            pairs = iter(parameters.items())
        elif isinstance(parameters, Mapping):
            pairs = iter(sorted(parameters.items()))
        else:
            pairs = _pairs(parameters, "ParameterDict")
        for key, value in pairs:
            self[key] = value

    def extra_repr(self) -> str:
        """A line for each value."""
        return "\n".join(_entry(k, v, kind_of(v)) for k, v in self.items())

    def __call__(self, input: Any) -> Any:
        """There is nothing to call: RuntimeError."""
        raise RuntimeError("ParameterDict should not be called.")

    def __or__(self, other: Any) -> ParameterDict:
        made = self.copy()
        made.update(other)
        return made

    def __ror__(self, other: Any) -> Any:
        made = other.copy()
        made.update(self)
        return made

    def __ior__(self, other: Any) -> Self:
        self.update(other)
        return self
