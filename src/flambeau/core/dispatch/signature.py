"""How a call's arguments are told apart: dynamic values, which XLA gets as inputs, and static ones, which key a program."""

from __future__ import annotations

import inspect
import math
import numbers
import operator
from collections.abc import Callable, Container, Iterable, Mapping
from typing import Any

import numpy as np

from ..array import devices, dtypes
from ..array.size import Size
from ..context.grad_mode import state as grad_state
from ..context.overrides import Overridden, has_say
from ..context.telling import warn
from ..tensor.tensor import Tensor
from .host_numbers import HostNumber
from .limits import looks_large, refuse_beyond
from .misfits import refuse_recorded, takes_count, word_of_number

ARRAY, ARRAYS, SCALAR, FLOAT, STATIC, VARARGS = range(6)


def kind_of(parameter: inspect.Parameter) -> int:
    if not isinstance(parameter.annotation, str):
        raise TypeError(
            f"{parameter}: files with operators need `from __future__ import annotations` and full annotations"
        )
    note = parameter.annotation.replace(" ", "")
    if parameter.kind is parameter.VAR_POSITIONAL:
        return VARARGS
    if note in ("Array", "Array|None"):
        return ARRAY
    if note in ("Arrays", "Arrays|None"):
        return ARRAYS
    if note in ("Scalar", "Scalar|None"):
        return SCALAR
    if note in ("float", "float|None"):
        return FLOAT
    return STATIC


def not_a_tensor(name: str, argument: str, position: int, value: Any) -> TypeError:
    """The error for an argument that should be a tensor."""
    kind = f"numpy.{type(value).__name__}" if isinstance(value, (np.ndarray, np.generic)) else type(value).__name__
    return TypeError(f"{name}(): argument '{argument}' (position {position}) must be Tensor, not {kind}")


class _Missing:
    def __repr__(self) -> str:
        return "<missing>"


MISSING = _Missing()
PYTHON_NUMBERS = frozenset((bool, int, float, complex))
_STATIC_KINDS = frozenset((type(None), str, *PYTHON_NUMBERS))  # that stand for themselves
_BOOLS = {bool}
_UNLIKE = frozenset((type(None), str, int))  # none of which equals one of another of these types


def static(value: Any) -> Any:
    """A hashable stand-in for a static argument."""
    kind = type(value)
    if kind in _STATIC_KINDS or (kind is tuple and _STATIC_KINDS.issuperset(map(type, value))):
        return value
    if isinstance(value, HostNumber):
        return static(value.settle())
    if has_say(value):
        raise Overridden(f"{type(value).__name__} has a say")
    if isinstance(value, dtypes.dtype):
        return value.numpy
    if isinstance(value, (list, Size)):
        return tuple(static(v) for v in value)
    if isinstance(value, tuple):
        return tuple(static(v) for v in value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Tensor):
        if value._array.size != 1:
            raise TypeError(f"expected a Python value here, got a tensor of shape {list(value.shape)}")
        return value._array.item()
    return value


def static_key(value: Any) -> Any:
    """A key part. Numbers come with their type, since 2 == 2.0 == True but they do not compute the same; -0.0 is none of them."""
    if type(value) not in PYTHON_NUMBERS:
        if type(value) is tuple and not _UNLIKE.issuperset(kinds := set(map(type, value))):
            if kinds == _BOOLS:
                return STATIC, value, bool
            return STATIC, value, tuple(static_key(part) for part in value)
        return STATIC, value
    return STATIC, value, "-0.0" if value == 0 and is_negative_zero(value) else type(value)


def is_negative_zero(value: Any) -> bool:
    return type(value) is float and value == 0 and math.copysign(1.0, value) < 0


class NoCount(TypeError):
    """A tensor that PyTorch does not take for an int, which the caller can tell more about."""


class Numbers:
    """Numbers that were given lately, as arrays: XLA takes these in a fraction of the time that it needs for Python's own."""

    MOST = 256

    def __init__(self) -> None:
        self.floats: dict[float, Any] = {}
        self.ints: dict[int, Any] = {}

    def array(self, value: Any) -> Any:
        """A float or an int as a weak array; anything else, and all that a program is to see as a constant, as it is."""
        kind = type(value)
        known: dict[Any, Any] = self.floats if kind is float else self.ints
        if (kind is not float and kind is not int) or grad_state.trace is not None or grad_state.transforms:
            return value
        found = known.get(value)
        if found is None:
            if value != value or is_negative_zero(value) or (kind is int and not -(2**63) <= value < 2**63):
                return value
            if len(known) >= self.MOST:
                known.clear()
            found = known[value] = devices.weak(value)
        return value if not value and is_negative_zero(value) else found


numbers_held: Numbers = Numbers()


def number(name: str, argument: str, position: int, value: Any) -> Any:
    """What is given for a `float` parameter, as one of Python's own numbers or a number that is being traced."""
    kind = type(value)
    if kind is float or isinstance(value, HostNumber):
        return value
    if isinstance(value, (Tensor, np.generic)):
        if isinstance(value, Tensor):
            refuse_recorded(name, argument, position, value)
        return number(name, argument, position, static(value))
    if kind is int:
        return value if -(2**63) <= value < 2**63 else float(value)
    if isinstance(value, numbers.Real):
        return float(value)
    if has_say(value):
        raise Overridden(f"{kind.__name__} has a say")
    word = word_of_number(name, argument)
    raise TypeError(f"{name}(): argument '{argument}' (position {position}) must be {word}, not {kind.__name__}")


_TENSORS = frozenset(("input", "bias", "grid"))  # other arguments may be numbers: a momentum, the weight of `lerp`
_REAL = (int, float)
_DECLARED: dict[str, Any] = {
    "int": int, "bool": bool, "str": str, "float": _REAL, "Static[float]": _REAL, "Scalar": numbers.Number,
}  # fmt: skip


_SIMPLE = frozenset((int, bool, str, type(None)))  # equal values of one of these kinds are the same argument
_MOST_PLANS = 64


class _Plan:
    """How calls are bound whose positional arguments are tensors and static values of certain kinds: by look-ups alone."""

    __slots__ = ("dynamic", "keys", "statics")
    MOST = 256

    def __init__(self, tensors: list[int], others: list[int]):
        self.dynamic: Callable[[tuple[Any, ...]], Any] = _picker(tensors)
        self.statics: Callable[[tuple[Any, ...]], Any] = _picker(others)
        self.keys: dict[Any, tuple[Any, ...]] = {}

    def keep(self, statics: Any, key: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(self.keys) >= self.MOST:
            self.keys.clear()
        self.keys[statics] = key
        return key


def _picker(places: list[int]) -> Callable[[tuple[Any, ...]], Any]:
    """What takes the items at these places out of a tuple, as a tuple."""
    first, count = (places[0], len(places)) if places else (0, 0)
    together = places == list(range(first, first + count))
    return operator.itemgetter(slice(first, first + count)) if together else operator.itemgetter(*places)


def _numbers_apart(leading: tuple[Any, ...], last: tuple[Any, ...]) -> tuple[tuple[Any, ...], list[Any]]:
    """The tensors of a call and its numbers, which all stand before the `last` tensors: one of no dimensions may be a number."""
    places = [i for i, arg in enumerate(leading) if isinstance(arg, Tensor)]
    own = next((i for i in places if leading[i].dim()), places[0] if places else None)
    between = [arg for i, arg in enumerate(leading) if i != own]
    if own is None or any(isinstance(arg, Tensor) and (arg.dim() or arg.requires_grad) for arg in between):
        return (*leading, *last), []
    return (leading[own], *last), between


class Signature:
    """How a call's arguments map to the array function's parameters."""

    def __init__(
        self,
        function: Callable[..., Any],
        options: Callable[..., None] | None = None,
        between: tuple[str, ...] = (),
        exact: tuple[str, ...] = (),
        or_number: dict[str, str] | None = None,
        room: dict[str, str] | None = None,
        whole: tuple[str, ...] = (),
        promotes: bool = False,
    ):
        self.signature: Signature = inspect.signature(function)  # type: ignore[assignment]
        self.options = options
        self.between = between
        self.exact = exact
        self.room: dict[str, str] = room or {}
        self.whole: tuple[str, ...] = (*whole, *exact)
        self.promotes = promotes
        self.parameters: Any = list(self.signature.parameters.values())  # type: ignore[has-type]
        self.kinds: list[int] = [kind_of(p) for p in self.parameters]
        self.names: list[str] = [p.name for p in self.parameters]
        self.index: dict[str, int] = {p.name: i for i, p in enumerate(self.parameters)}
        self.notes: list[str] = [str(p.annotation).replace(" ", "").removesuffix("|None") for p in self.parameters]
        self.takes_none: list[bool] = ["None" in str(p.annotation) for p in self.parameters]
        self.defaults: list[_Missing | Any] = [MISSING if p.default is p.empty else p.default for p in self.parameters]
        self.or_number: dict[int, int] = {self.index[a]: self.index[b] for a, b in (or_number or {}).items()}
        keyword_only = [p.kind is p.KEYWORD_ONLY for p in self.parameters]
        self.positional = keyword_only.index(True) if True in keyword_only else len(self.parameters)
        self.varargs: int | None = self.kinds.index(VARARGS) if VARARGS in self.kinds else None
        if self.varargs is not None:
            self.positional: int = self.varargs  # type: ignore[no-redef]
        self.bounds_tensors: bool = any(self.kinds[self.index[name]] == ARRAY for name in self.room)
        # calls with nothing but positional tensors need no binding: their keys, by the number of arguments
        self.quick: dict[int, Any] = {}
        self.plans: dict[tuple[type, ...], _Plan] = {}  # those of other positional calls, by the arguments' kinds
        self.optional: bool = any(p.annotation == "Array | None" for p in self.parameters)
        # whether a dynamic value's position alone says which parameter's it is
        self.fixed_places: bool = all(
            kind == ARRAY and not none for kind, none in zip(self.kinds[:-1], self.takes_none[:-1], strict=True)
        )
        for count in range(1, len(self.kinds) + 1 if self.varargs is None else 1):
            if count > self.positional or self.kinds[count - 1] != ARRAY or self.bounds_tensors:
                break
            if MISSING not in self.defaults[count:]:
                self.quick[count] = (ARRAY,) * count + tuple(static_key(d) for d in self.defaults[count:])

    def bind(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[list[Any], tuple[Any, ...]]:
        """The dynamic values, and the key that says where they go and what the static ones are."""
        if kwargs:
            return self._bound(name, args, kwargs)
        plan = self.plans.get(tuple(map(type, args)))
        if plan is None:
            return self._planned(name, args)
        statics = plan.statics(args)
        key = plan.keys.get(statics)
        if key is None:
            key = plan.keep(statics, self._bound(name, args, kwargs)[1])
        return plan.dynamic(args), key

    def _planned(self, name: str, args: tuple[Any, ...]) -> tuple[list[Any], tuple[Any, ...]]:
        """The same for arguments of kinds that have no plan yet; they have one next time if they are of simple ones."""
        dynamic, key = self._bound(name, args, {})
        kinds = tuple(map(type, args))
        if self.bounds_tensors or len(args) > self.positional or len(self.plans) >= _MOST_PLANS:
            return dynamic, key
        tensors = [i for i, kind in enumerate(kinds) if self.kinds[i] == ARRAY and issubclass(kind, Tensor)]
        others = [i for i, kind in enumerate(kinds) if self.kinds[i] == STATIC and kind in _SIMPLE]
        if others and len(tensors) + len(others) == len(args) and len(dynamic) == len(tensors):
            self.plans[kinds] = _Plan(tensors, others)
        return dynamic, key

    def _bound(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[list[Any], tuple[Any, ...]]:
        if kwargs or self.or_number or self.varargs is not None or len(args) > self.positional:
            values = self._by_parameter(name, args, kwargs)
        else:
            values = [*args, *self.defaults[len(args) :]]
        dynamic: list[Any] = []
        key_parts: list[Any] = []
        unusual = large = False
        for i, (kind, value) in enumerate(zip(self.kinds, values, strict=True)):
            if value is MISSING:
                raise TypeError(f"{name}() missing 1 required positional argument: '{self.names[i]}'")
            if kind == ARRAY:
                large = large or (self.bounds_tensors and self.names[i] in self.room and looks_large(value))
                if value is None:
                    if not self.takes_none[i]:
                        raise not_a_tensor(name, self.names[i], i + 1, None)
                    key_parts.append((STATIC, None))
                else:
                    dynamic.append(value)
                    key_parts.append(ARRAY)
            elif kind in (STATIC, VARARGS):
                part = static(value)
                if part is not value and isinstance(value, Tensor):
                    self._look_at_tensor(name, i, value)
                key_parts.append(static_key(part))
            elif kind == ARRAYS:
                key_parts.append(self._bind_arrays(name, i, value, dynamic))
            elif value is None or value is self.defaults[i]:
                key_parts.append(static_key(value))
            elif kind == FLOAT:
                unusual = True
                values[i], part = self._bind_float(name, i, value, dynamic)
                key_parts.append(part)
                large = large or looks_large(values[i])
            elif _same(value, self.defaults[i]):
                key_parts.append(static_key(value))
            else:
                if not isinstance(value, (numbers.Number, Tensor, np.generic)):
                    raise TypeError(f"{name}(): argument '{self.names[i]}' must be Number, not {type(value).__name__}")
                if isinstance(value, Tensor):
                    refuse_recorded(name, self.names[i], self._place(i), value)
                if type(value) is complex and not value.imag and self.names[i] not in self.exact:
                    value = values[i] = value.real
                unusual, large = True, large or looks_large(value)
                dynamic.append(value)
                key_parts.append(SCALAR)
        if unusual and self.options is not None:
            self.options(*values)
        if large and self.room:
            refuse_beyond(self.room, self.whole, dict(zip(self.names, values, strict=True)), self.promotes)
        return dynamic, tuple(key_parts)

    def _place(self, i: int) -> int | None:
        """The position of a parameter that may come by position."""
        return i + 1 if i < self.positional else None

    def _look_at_tensor(self, name: str, i: int, value: Tensor) -> None:
        """Raise for a tensor that PyTorch does not take for a number: NoCount for one with dimensions given for an int."""
        refuse_recorded(name, self.names[i], self._place(i), value)
        if value.ndim and not takes_count(name, self.names[i], value):
            raise NoCount(f"{name}(): argument '{self.names[i]}' (position {i + 1}) must be int, not Tensor")

    def _by_parameter(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        """The value of each parameter, its default where none is given."""
        values = list(self.defaults)
        if len(args) > self.positional:
            if self.varargs is None:
                if (now := self._in_todays_order(name, args)) is not None:
                    return self._by_parameter(name, now[0], {**kwargs, **now[1]})
                needed, several = self.defaults[: self.positional].count(MISSING), "s" if self.positional != 1 else ""
                taken = f"from {needed} to {self.positional}" if needed < self.positional else str(self.positional)
                raise TypeError(f"{name}() takes {taken} positional argument{several} but {len(args)} were given")
            extra = args[self.positional :]
            values[self.varargs] = extra[0] if len(extra) == 1 and isinstance(extra[0], (tuple, list)) else extra
            args = args[: self.positional]
        elif self.varargs is not None:
            values[self.varargs] = ()
        values[: len(args)] = args
        for place, number in self.or_number.items():
            if place < len(args) and isinstance(args[place], (numbers.Number, HostNumber)):
                values[place], values[number] = None, args[place]
        for key, value in kwargs.items():
            i = self.index.get(key)
            if i is None:
                i = self.index.get(SYNONYMS.get(key, key))
            if i is None:
                raise TypeError(f"{name}() got an unexpected keyword argument '{key}'")
            if i < len(args):
                raise TypeError(f"{name}() got multiple values for argument '{key}'")
            values[i] = value
        return values

    def _in_todays_order(self, name: str, args: tuple[Any, ...]) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """The tensors, and the numbers by their names, of a call in the form that PyTorch deprecated in 1.5; None for any other.

        The numbers stood `between` the tensors: `add_(alpha, other)`, `addmm(beta, input, alpha, mat1, mat2)`.
        """
        names, count = self.between, self.kinds.count(ARRAY)
        tensors: tuple[Any, ...] = tuple(arg for arg in args if isinstance(arg, Tensor))
        between = [arg for arg in args if isinstance(arg, numbers.Number)]
        if len(tensors) > count > 1:
            tensors, between = _numbers_apart(args[: 1 - count], args[1 - count :])
        if len(args) == 3 and len(between) == count == 2 and names == ("alpha",) and args[0] is tensors[0]:
            tensors, between = (args[0], between.pop()), between  # a number for the other tensor
        elif not all(isinstance(arg, Tensor) for arg in args[1 - count :]):
            return None
        if not names or len(tensors) != count or len(args) != count + len(between) or len(between) > len(names):
            return None
        shown = ", ".join([*(f"Number {word}" for word in names), "..."])
        text = f"This overload of {name} is deprecated: {name}({shown}). Give {' and '.join(names)} by name, after the tensors"
        warn(text)
        return tensors, dict(zip(names, between, strict=False))

    def _bind_arrays(self, name: str, i: int, value: Any, dynamic: list[Any]) -> Any:
        """The key's part for a list of tensors, which join the dynamic values."""
        if value is None:
            return STATIC, None
        if isinstance(value, Tensor) or not isinstance(value, Iterable):
            raise TypeError(
                f"{name}(): argument '{self.names[i]}' must be tuple of Tensors, not {type(value).__name__}"
            )
        if has_say(value):
            raise Overridden(f"{type(value).__name__} has a say")
        members = list(value)
        for position, member in enumerate(members):
            if not isinstance(member, Tensor):
                raise TypeError(
                    f"expected Tensor as element {position} in argument {i}, but got {type(member).__name__}"
                )
        dynamic.extend(members)
        return ARRAYS, len(members)

    def _bind_float(self, name: str, i: int, value: Any, dynamic: list[Any]) -> tuple[Any, Any]:
        """The number for a `float` parameter, and the key's part: static where it is the default or 0, which may be another
        formula; otherwise it joins the dynamic values.
        """
        if type(value) is not float:
            value = number(name, self.names[i], i + 1, value)
        if type(value) in PYTHON_NUMBERS and (value == self.defaults[i] or value == 0 or value is True):
            return value, static_key(value)
        dynamic.append(numbers_held.array(value) if type(value) is float else value)
        return value, FLOAT

    def leading_tensors(self, mixes: bool, numbers: tuple[str, ...] = ()) -> int:
        """How many of the first arguments can't be numbers. Where numbers go with tensors (`mixes`), both of two may be one,
        and those of the names `numbers` anywhere.
        """
        arrays = [kind == ARRAY for kind in self.kinds]
        if mixes:
            return int(arrays[0] and sum(arrays) != 2)
        ends = (not is_array or self.defaults[i] is not MISSING for i, is_array in enumerate(arrays))
        return next((i for i, end in enumerate(ends) if end or self.names[i] in numbers), len(arrays))

    def refuse_kinds(self, name: str, key: tuple[Any, ...]) -> None:
        """Raise for a static value of a kind that its parameter can't be; asked when a program is made, not at each call."""
        for i, part in enumerate(key):
            if self.kinds[i] not in (STATIC, SCALAR, FLOAT) or not isinstance(part, tuple):
                continue
            value, kind = part[1], _DECLARED.get(self.notes[i])
            if kind is None or value is self.defaults[i] or (value is None and self.takes_none[i]):
                continue
            if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
                wanted = "Number" if self.kinds[i] == SCALAR else kind.__name__ if kind is not _REAL else "float"
                place = f" (position {i + 1})" if i < self.positional else ""
                raise TypeError(
                    f"{name}(): argument '{self.names[i]}'{place} must be {wanted}, not {type(value).__name__}"
                )

    def refuse_numbers(self, name: str, key: tuple[Any, ...], flat: tuple[Any, ...]) -> None:
        """Raise for a Python number where a tensor has to be: while a program is traced, where only numbers are weak."""
        position = 0
        for i, part in enumerate(key):
            if part == ARRAY and self.names[i] in _TENSORS and getattr(flat[position], "weak_type", False):
                kind = {"i": int, "f": float, "c": complex}[flat[position].dtype.kind]
                raise not_a_tensor(name, self.names[i], i + 1, kind())
            if isinstance(part, tuple):
                position += part[1] if part[0] == ARRAYS else 0
            else:
                position += 1

    def refusal(self, name: str, key: tuple[Any, ...], dynamic: Iterable[Any], value: Any) -> TypeError:
        """The error for a dynamic value that is neither tensor nor number."""
        parameter, place = self.parameter_at(key, next(i for i, v in enumerate(dynamic) if v is value))
        return not_a_tensor(name, parameter, place + 1, value)

    def parameter_at(self, key: tuple[Any, ...], position: int) -> tuple[str, int]:
        """The parameter, and its place, that has the dynamic value at this position."""
        argument = 0
        for argument, part in enumerate(key):  # noqa: B007 (where it stops)
            position -= part[1] if isinstance(part, tuple) and part[0] == ARRAYS else part in (ARRAY, SCALAR, FLOAT)
            if position < 0:
                break
        return self.names[argument], argument

    def places(self, key: tuple[Any, ...], names: Container[str]) -> dict[int, str]:
        """The positions of the dynamic values of these parameters, and their names."""
        found, position = {}, 0
        for name, part in zip(self.names, key, strict=True):
            count = part[1] if isinstance(part, tuple) and part[0] == ARRAYS else part in (ARRAY, SCALAR, FLOAT)
            if name in names:
                found.update(dict.fromkeys(range(position, position + count), name))
            position += count
        return found


def _same(value: Any, default: Any) -> bool:
    return type(value) is type(default) and value == default and not is_negative_zero(value)


SYNONYMS = {"axis": "dim", "x": "input", "x1": "input", "x2": "other", "keepdims": "keepdim", "input": "A"}


def by_their_names(kwargs: dict[str, Any], names: Container[str]) -> dict[str, Any]:
    """The arguments by name, those that have another of PyTorch's names by the function's own."""
    return {SYNONYMS[k] if k not in names and SYNONYMS.get(k) in names else k: v for k, v in kwargs.items()}


def spread_parameter(parameters: Iterable[inspect.Parameter]) -> str | None:
    """The parameter whose values may come one by one (`*size`): by its name they come as one list."""
    return next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), None)


def spread_out(
    spread: str, parameters: Mapping[str, inspect.Parameter], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments with that of the `spread` parameter in its place, and those before it; as they are if there are some there."""
    before = list(parameters)
    before = before[: before.index(spread)]
    if len(args) > len(before) or any(name not in kwargs for name in before[len(args) :]):
        return args, kwargs
    moved = (*before[len(args) :], spread)
    return (*args, *(kwargs[name] for name in moved)), {k: v for k, v in kwargs.items() if k not in moved}


def unpack(signature: Signature, key: tuple[Any, ...], flat: tuple[Any, ...]) -> tuple[list[Any], list[int], list[int]]:
    """Full argument values; which of the flat ones are tensors' (for promotion), which scalars'."""
    values: list[Any] = []
    arrays: list[int] = []
    scalars: list[int] = []
    position = 0
    for part in key:
        if part == ARRAY:
            arrays.append(position)
            values.append(flat[position])
            position += 1
        elif part == SCALAR:
            scalars.append(position)
            values.append(flat[position])
            position += 1
        elif part == FLOAT:
            values.append(flat[position])
            position += 1
        elif part[0] == ARRAYS:
            arrays.extend(range(position, position + part[1]))
            values.append(tuple(flat[position : position + part[1]]))
            position += part[1]
        else:
            values.append(part[1])
    return values, arrays, scalars
