"""How a call makes what the function made: new containers and objects, with this call's tensors and numbers in them."""

from __future__ import annotations

import enum
from collections import Counter, OrderedDict, defaultdict, deque
from types import BuiltinFunctionType, CellType, FunctionType, MemberDescriptorType, MethodType, ModuleType
from typing import Any

import numpy as np

from ..core.array import devices, dtypes, formats
from ..core.context.tracing import Untraceable
from ..core.dispatch.host_numbers import HostValue
from ..core.tensor.tensor import Tensor
from ..nn.modules.module import Module
from ..optim.optimizer import Optimizer
from .effects import Later
from .guards import tuples
from .guards.places import is_python_class
from .guards.symbols import ATTRIBUTE
from .guards.values import PLAIN

_ATOMS = (
    type, ModuleType, BuiltinFunctionType, enum.Enum, np.generic, np.dtype, dtypes.dtype, devices.device, formats.memory_format, formats.layout,
)  # fmt: skip


class Built:
    """What one call has at hand: its tensors by the numbers of their recipes, its numbers, the objects that it has made."""

    __slots__ = ("call", "memo", "numbers", "tensors")

    def __init__(self, tensors: list[Any], numbers: Any, call: Any):
        self.tensors: list[Any] = tensors
        self.numbers: Any = numbers
        self.call: Any = call  # the arguments as the caller gave them
        self.memo: dict[int, Any] = {}


class Template:
    """`make(built)` gives the object of this call."""

    __slots__ = ()

    def make(self, built: Built) -> Any:
        raise NotImplementedError


class Same(Template):
    """An object that is the same one at each call."""

    __slots__ = ("value",)

    def __init__(self, value: Any):
        self.value: Any = value

    def make(self, built: Built) -> Any:
        return self.value


class OfRecipe(Template):
    __slots__ = ("number",)

    def __init__(self, number: int):
        self.number: int = number

    def make(self, built: Built) -> Any:
        return built.tensors[self.number]


class OfNumber(Template):
    __slots__ = ("number",)

    def __init__(self, number: int):
        self.number: int = number

    def make(self, built: Built) -> Any:
        return built.numbers[self.number]


class OfArgument(Template):
    """A container among the caller's arguments: the way to it from (args, kwargs), as that was before the call changed any."""

    __slots__ = ("path",)

    def __init__(self, path: tuple[Any, ...]):
        self.path: tuple[Any, ...] = path

    def make(self, built: Built) -> Any:
        known = built.memo.get(id(self))
        return self.find(built.call) if known is None else known

    def find(self, call: Any) -> Any:
        value, steps = call, iter(self.path)
        for step in steps:
            value = getattr(value, next(steps)) if step is ATTRIBUTE else value[step]
        return value


class OfLater(Template):
    """What a call gives when the results are put together."""

    __slots__ = ("args", "function")

    def __init__(self, function: Any, args: list[Template]):
        self.function: Any = function
        self.args: list[Template] = args

    def make(self, built: Built) -> Any:
        return self.function(*[arg.make(built) for arg in self.args])


class OfFunction(Template):
    """A function that was made inside, with this call's values in its variables."""

    __slots__ = ("attributes", "cells", "defaults", "function", "keywords")

    def __init__(self, function: FunctionType):
        self.function: FunctionType = function
        self.cells: list[tuple[CellType, bool, Template | None]] = []  # whether it was there before; what it holds
        self.defaults: Any = None
        self.keywords: Any = None
        self.attributes: list[tuple[str, Template]] = []

    def make(self, built: Built) -> Any:
        known = built.memo.get(id(self))
        if known is not None:
            return known
        old = self.function
        cells, empty = [], []
        for cell, was_there, template in self.cells:
            made_cell = cell if was_there else built.memo.get(id(cell))
            if made_cell is None:
                made_cell = built.memo[id(cell)] = CellType()
                empty.append((made_cell, template))
            cells.append(made_cell)
        made = FunctionType(old.__code__, old.__globals__, old.__name__, None, tuple(cells))
        built.memo[id(self)] = made
        for made_cell, template in empty:
            if template is not None:
                made_cell.cell_contents = template.make(built)
        made.__defaults__ = None if self.defaults is None else tuple(t.make(built) for t in self.defaults)
        made.__kwdefaults__ = None if self.keywords is None else {k: t.make(built) for k, t in self.keywords}
        made.__qualname__, made.__doc__, made.__module__ = old.__qualname__, old.__doc__, old.__module__
        made.__annotations__ = old.__annotations__
        made.__dict__.update((name, template.make(built)) for name, template in self.attributes)
        return made


class Copied(Template):
    """A NumPy array that the function made, off the tensors."""

    __slots__ = ("array",)

    def __init__(self, array: np.ndarray):
        self.array: np.ndarray = array.copy()

    def make(self, built: Built) -> Any:
        return self.array.copy()


class Node(Template):
    """Something with parts: made once in a call, wherever it stands."""

    __slots__ = ("kind", "parts")

    def __init__(self, kind: type):
        self.kind: type = kind
        self.parts: Any = []

    def make(self, built: Built) -> Any:
        made = built.memo.get(id(self))
        if made is None:
            made = self._make(built)
        return made

    def _make(self, built: Built) -> Any:
        raise NotImplementedError


class Tuple(Node):
    __slots__ = ()

    def _make(self, built: Built) -> Any:
        parts = [part.make(built) for part in self.parts]
        if self.kind is tuple:
            made: Any = tuple(parts)
        else:
            made = self.kind(*parts) if hasattr(self.kind, "_fields") else self.kind(parts)
        built.memo[id(self)] = made
        return made


class Container(Node):
    """A list, set, deque, dict or a relative of these, or an instance of a class of the user's, perhaps derived from them."""

    __slots__ = ("attributes", "extra", "slots")

    def __init__(self, kind: type):
        super().__init__(kind)
        self.extra: Any = None
        self.attributes: list[tuple[str, Template]] = []
        self.slots: list[tuple[str, Template]] = []

    def _make(self, built: Built) -> Any:
        kind = self.kind
        made: Any
        if kind is defaultdict:
            made = defaultdict(self.extra)
        elif issubclass(kind, deque):
            made = deque.__new__(kind)
            deque.__init__(made, (), self.extra)
        elif issubclass(kind, OrderedDict):
            made = OrderedDict.__new__(kind)
        elif issubclass(kind, dict):
            made = dict.__new__(kind)
        elif issubclass(kind, list):
            made = list.__new__(kind)
        elif issubclass(kind, set):
            made = set.__new__(kind)
        else:
            made = object.__new__(kind)
        built.memo[id(self)] = made
        if issubclass(kind, OrderedDict):
            for key, value in self.parts:
                OrderedDict.__setitem__(made, key.make(built), value.make(built))
        elif issubclass(kind, dict):
            for key, value in self.parts:
                dict.__setitem__(made, key.make(built), value.make(built))
        elif issubclass(kind, list):
            list.extend(made, [part.make(built) for part in self.parts])
        elif issubclass(kind, set):
            set.update(made, [part.make(built) for part in self.parts])
        elif issubclass(kind, deque):
            deque.extend(made, [part.make(built) for part in self.parts])
        if self.attributes:
            object.__getattribute__(made, "__dict__").update((n, v.make(built)) for n, v in self.attributes)
        for name, value in self.slots:
            object.__setattr__(made, name, value.make(built))
        return made


class Describer:
    """Writes templates while a trace is being read. `recipe` and `number` give the numbers of tensors and of host numbers."""

    def __init__(
        self, recipe: Any, number: Any, is_old: Any, arguments: dict[int, Any], looked_up: dict[int, Any], reads: Any
    ):
        self.recipe = recipe
        self.number = number
        self.is_old = is_old
        self.arguments = arguments
        self.looked_up = looked_up  # containers and records that are others at each call, by id
        self.reads = reads
        self.tuples: Any = None  # those that were there before, once there is a first tuple
        self.known: dict[int, tuple[Any, Template]] = {}
        self.places: dict[int, OfArgument] = {}  # the caller's containers that are met, by id
        self.depth: int = 0
        self.recipes: set[int] = set()  # all that were asked for

    def describe(self, value: Any) -> Template:
        if isinstance(value, Tensor):
            number = self.recipe(value)
            self.recipes.add(number)
            return OfRecipe(number)
        if isinstance(value, Later):
            return OfLater(value.function, [self.describe(arg) for arg in value.args])
        if isinstance(value, HostValue):
            return OfNumber(self.number(value.expression))
        kind = type(value)
        if kind in PLAIN or isinstance(value, _ATOMS):
            return Same(value)
        if id(value) in self.arguments:
            if id(value) not in self.places:
                self.places[id(value)] = OfArgument(self.arguments[id(value)][1])
            return self.places[id(value)]
        if isinstance(value, tuple) and (found := self._found(value)) is not None:
            return found
        if isinstance(value, (tuple, frozenset, slice)) and not self._has_parts(value):
            return Same(value)
        if self.is_old(value) and not isinstance(value, tuple):
            if id(value) in self.looked_up:
                raise Untraceable(f"it gives out or keeps a {kind.__name__} of tensors that it takes out of its place")
            return Same(value)
        known = self.known.get(id(value))
        if known is not None:
            return known[1]
        self.depth += 1
        if self.depth > 200:
            raise Untraceable(f"it makes objects nested more than 200 deep ({kind.__name__})")
        try:
            return self._parts(value, kind)
        finally:
            self.depth -= 1

    def _found(self, value: Any) -> Template | None:
        """A tuple that was there before, as a call finds it where it was read."""
        if self.tuples is None:
            self.tuples = tuples.found(self.reads, self.looked_up)
        if id(value) not in self.tuples:
            return None
        if id(value) not in self.known:
            self.known[id(value)] = value, OfNumber(self.number(tuples.taken(self.reads, self.tuples, value)))
        return self.known[id(value)][1]

    def _has_parts(self, value: Any) -> bool:
        if isinstance(value, slice):
            value = (value.start, value.stop, value.step)
        return not all(type(v) in PLAIN or isinstance(v, type) for v in value)

    def _parts(self, value: Any, kind: type) -> Template:
        made: Any
        if isinstance(value, tuple):
            made = self.known.setdefault(id(value), (value, Tuple(kind)))[1]
            made.parts = [self.describe(part) for part in value]
            return made
        if isinstance(value, frozenset):
            made = self.known.setdefault(id(value), (value, Tuple(kind)))[1]
            made.parts = [self.describe(part) for part in value]
            return made
        if isinstance(value, np.ndarray):
            made = self.known.setdefault(id(value), (value, Copied(value)))[1]
            return made
        if isinstance(value, (FunctionType, MethodType)):
            return self._function(value)
        if not self._is_python(kind):
            raise Untraceable(
                f"it gives out or keeps a {kind.__module__}.{kind.__qualname__} made inside, which a call cannot make anew"
            )
        if isinstance(value, (Module, Optimizer)):
            raise Untraceable(f"it makes a {kind.__name__} inside: make modules and optimizers outside")
        made = Container(kind)
        self.known[id(value)] = value, made
        if isinstance(value, dict):
            made.parts = [(self.describe(k), self.describe(v)) for k, v in dict.items(value)]
            made.extra = value.default_factory if isinstance(value, defaultdict) else None
        elif isinstance(value, (list, set, deque)):
            made.parts = [self.describe(part) for part in value]
            made.extra = value.maxlen if isinstance(value, deque) else None
        own = getattr(value, "__dict__", {}) if kind not in (list, dict, set, deque) else {}
        made.attributes = [(name, self.describe(part)) for name, part in own.items()]
        for base in kind.__mro__:
            for name, raw in vars(base).items():
                if isinstance(raw, MemberDescriptorType) and base.__flags__ & (1 << 9):
                    try:
                        made.slots.append((name, self.describe(raw.__get__(value, kind))))
                    except AttributeError:
                        continue
        return made

    def _is_python(self, kind: type) -> bool:
        """Whether instances consist of what can be seen: containers, attributes and slots."""
        if kind in (list, dict, set, deque, OrderedDict, defaultdict, Counter):
            return True
        for base in kind.__mro__:
            if base in (object, list, dict, set, deque, OrderedDict, defaultdict, Counter):
                continue
            if not is_python_class(base):
                return False
        return not hasattr(kind, "__next__") or "__next__" in {
            n for b in kind.__mro__ for n in vars(b) if b.__flags__ & (1 << 9)
        }

    def _function(self, value: Any) -> Template:
        if isinstance(value, MethodType):
            if isinstance(value.__self__, type) or self.is_old(value.__self__):
                return Same(value)
            raise Untraceable(f"it gives out or keeps the method {value.__name__} of an object made inside")
        made = OfFunction(value)
        self.known[id(value)] = value, made
        for cell in value.__closure__ or ():
            was_there = self.is_old(cell)
            held = self.describe(cell.cell_contents) if not was_there and _is_full(cell) else None
            made.cells.append((cell, was_there, held))
        if value.__defaults__ is not None:
            made.defaults = [self.describe(v) for v in value.__defaults__]
        if value.__kwdefaults__ is not None:
            made.keywords = [(k, self.describe(v)) for k, v in value.__kwdefaults__.items()]
        made.attributes = [(name, self.describe(v)) for name, v in value.__dict__.items()]
        return made


def _is_full(cell: CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True
