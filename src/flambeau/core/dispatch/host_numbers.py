"""Python numbers that a program takes as inputs: what is computed with them while the function is traced is computed at each call.

While a function is traced, such a number is a `HostFloat`, a `HostInt` or a `LooseInt`. Arithmetic gives another one; a tensor
operator takes it as an input; whoever needs the value itself (a text, a size) makes the program hold for that value only, and a
comparison for its outcome.

An int is first tried as a `LooseInt`, which is a float to Python: `0.9 ** n` asks a subclass of float for its say, but would take
the value of a subclass of int without asking. Whoever needs a true int raises `Strict`, and the trace is made once more.
"""

from __future__ import annotations

import math
import operator
from collections import ChainMap, UserDict, UserList, deque
from collections.abc import Callable, Iterable, MappingView
from typing import Any, TypeVar, cast

import numpy as np

from ..tensor.tensor import Tensor

SCALARS = (
    np.float64, np.float32, np.float16, np.int64, np.int32, np.int16, np.int8, np.uint64, np.uint32, np.uint16, np.uint8,
    np.complex128, np.complex64, complex,
)  # fmt: skip
NUMBERS = frozenset((int, float, *SCALARS))  # the types of what a program may take as an input
_NUMBERS = NUMBERS | {bool}


class Expression:
    """How a call computes a number: `function` of the values of `parts`. `given` are the leaves of the call's arguments."""

    __slots__ = ("function", "parts")

    def __init__(self, function: Callable[..., Any], *parts: Any):
        self.function: Callable[..., Any] = function
        self.parts: tuple[Any, ...] = parts

    def value(self, given: list[Any]) -> Any:
        return self.function(*[part.value(given) for part in self.parts])


class Constant(Expression):
    """A number that was written in the code."""

    __slots__ = ("number",)

    def __init__(self, number: Any):
        self.number: Any = number

    def value(self, given: list[Any]) -> Any:
        return self.number


class Looked(Expression):
    """The number that a place holds at the call."""

    __slots__ = ("place",)

    def __init__(self, place: Any):
        self.place: Any = place

    def value(self, given: list[Any]) -> Any:
        return self.place.get()


class Given(Expression):
    """The number that the caller gives as the leaf `number` of the arguments."""

    __slots__ = ("number",)

    def __init__(self, number: int):
        self.number: int = number

    def value(self, given: list[Any]) -> Any:
        return given[self.number]


_F = TypeVar("_F", bound=Callable[..., Any])


def takes_numbers(*places: int | str) -> Callable[[_F], _F]:
    """Say of a function that its arguments at these positions, or of these names, may be such numbers."""

    def say(function: _F) -> _F:
        function.takes_host_numbers = frozenset(places)  # type: ignore[attr-defined]
        return function

    return say


class HostValue:
    """What a program computes anew at each call. `reads` takes down what the program then depends on."""

    plain: Any
    expression: Expression
    reads: Any

    def settle(self) -> Any:
        """The value itself: the program holds for calls that have the same one here."""
        self.reads.outcome(self.expression, self.plain)
        return self.plain

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: Any) -> Any:
        return self

    def __reduce_ex__(self, protocol: Any) -> Any:
        plain = self.settle()
        return type(plain), (plain,)


_AS_EVER = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}


def _is_usual() -> bool:
    """Whether nobody has said what is to happen to NumPy's errors: where somebody has, a number is a value."""
    return bool(np.geterr() == _AS_EVER)


class HostNumber(HostValue):
    """What `HostInt` and `HostFloat` share."""

    input: Any

    @property
    def whole(self) -> bool:
        """Whether it is an int of Python's own or of NumPy's."""
        return isinstance(self.plain, (int, np.integer))

    def settle(self) -> Any:
        """The value itself: the program holds for calls that have the same one here."""
        if isinstance(self, LooseInt):
            raise Strict(self.expression)
        return super().settle()

    def looked_at(self, function: Callable[[Any], Any]) -> Any:
        """What a function finds in the number: the program holds for calls where it finds the same."""
        found = function(self.plain)
        self.reads.outcome(Expression(function, self.expression), found)
        return found

    def into(self, function: Callable[[Any], Any]) -> Any:
        """The number that a function makes of this one, at each call."""
        return computed(function, (self,), self.reads)

    def as_input(self) -> Any:
        """A traced value that is this number at each call."""
        if self.input is None:
            self.input = self.reads.input(self)
        return self.input

    def parts(self, function: Callable[[Any], tuple[int, ...] | None]) -> list[Any] | None:
        """What a function makes of the number at each call, as traced values; None if it makes None, also at each call."""
        made = function(self.plain)
        self.reads.outcome(Expression(lambda x: function(x) is None, self.expression), made is None)
        if made is None:
            return None
        each = [Expression(lambda x, i=i: function(x)[i], self.expression) for i in range(len(made))]  # type: ignore[index,misc]
        return [_host_int(n, e, self.reads).as_input() for n, e in zip(made, each, strict=True)]

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        """`np.cos(n)` of numbers is another number; with arrays, NumPy gets the value itself."""
        if method == "__call__" and not options and _is_usual() and all(is_scalar(value) for value in inputs):
            made = ufunc(*map(plain, inputs))
            if type(made) in NUMBERS:
                return lift(made, Expression(ufunc, *map(expression_of, inputs)), self.reads)
        for value in (*inputs, *options.values()):
            settle(value)
        return getattr(ufunc, method)(*map(plain, inputs), **{name: plain(value) for name, value in options.items()})


class HostInt(HostNumber, int):
    """An int of which the program knows where it comes from."""


class HostFloat(HostNumber, float):
    """A float of which the program knows where it comes from."""


class LooseInt(HostNumber, float):
    """An int of which the program knows where it comes from, in code that only computes with it."""


class HostScalar(HostNumber):
    """A scalar of NumPy's, or a complex number, of which the program knows where it comes from.

    To `isinstance` it is one, by its `__class__`; NumPy's code in C, which would read their memory, asks it for an array.
    """

    __class__ = property(lambda self: type(self.plain))  # type: ignore[assignment]

    def as_input(self) -> Any:
        """A traced value that is this number, as one of Python's own, at each call."""
        return super().as_input() if type(self.plain) is complex else self.into(_item).as_input()

    @takes_numbers(0)
    def item(self, *args: Any) -> Any:
        """Python's own number."""
        return self.into(_item) if not args else self.settle().item(*args)

    @takes_numbers(0)
    def astype(self, dtype: Any, *args: Any, **options: Any) -> Any:
        """The number as one of another type."""
        settle((dtype, args, options))
        return self.into(lambda number: number.astype(dtype, *args, **options))

    @takes_numbers(0)
    def conjugate(self) -> Any:
        """The complex conjugate."""
        return self.into(lambda number: number.conjugate())

    conj = conjugate
    real = property(lambda self: self.into(lambda number: number.real))
    imag = property(lambda self: self.into(lambda number: number.imag))


class _Bare:
    """What has no memory of its own for its value."""

    def __new__(cls, value: Any) -> Any:
        return object.__new__(cls)


def _item(number: Any) -> Any:
    return number.item()


class HostText(HostValue, str):
    """A text that is made of such numbers. To a function in C it is the text of the trace, so it is settled before one gets it."""


class HostKey(HostValue):
    """A tuple of such numbers and texts as the key of a container. No code of the user's sees it."""

    def __init__(self, parts: tuple[Any, ...], reads: Any):
        self.plain: Any = tuple(map(plain, parts))
        self.expression: Expression = Expression(lambda *values: values, *map(expression_of, parts))
        self.reads: Any = reads


class Strict(BaseException):
    """Somebody needs a true int where a `LooseInt` is, or (`never`) nothing but Python's own number will do."""

    def __init__(self, expression: Expression, never: bool = False):
        super().__init__()
        self.expression = expression
        self.never = never


def sources(expression: Expression) -> list[Expression]:
    """The places and arguments from which a number is computed."""
    if isinstance(expression, (Looked, Given)):
        return [expression]
    if isinstance(expression, Constant):
        return []
    return [source for part in expression.parts for source in sources(part)]


def _host_int(value: int, expression: Expression, reads: Any) -> HostInt:
    made: HostInt = _made(HostInt, value, expression, reads)
    return made


def as_int(number: Any) -> int:
    """`operator.index`, which leaves an int that may be an input as it is."""
    number = as_key(number)
    return number if isinstance(number, HostInt) else operator.index(number)


def as_key(key: Any) -> Any:
    """NumPy's integer as the int that it is to whoever counts with it; anything else as it is."""
    if isinstance(key, HostScalar) and isinstance(key, np.integer):
        return _host_int(int(key.plain), Expression(int, key.expression), key.reads)
    return key


def settle_key(key: Any) -> None:
    """Settle what a tensor is indexed with, but for the ints that may be inputs: those that stand alone, bound slices, or are all
    that a list has.
    """
    if type(key) is tuple:
        for part in key:
            settle_key(part)
    elif type(key) is list and all(type(plain(part)) is int for part in key):
        pass  # it becomes a tensor
    elif type(key) is slice:
        settle(key.step)
        settle_key(key.start)
        settle_key(key.stop)
    elif isinstance(key, LooseInt):
        key.settle()  # a true int is needed
    elif not isinstance(as_key(key), HostInt):
        settle(key)


def lift(value: Any, expression: Expression, reads: Any) -> Any:
    """The number `value` as one that is computed by `expression`; anything else than an int or float is settled."""
    if not sources(expression):
        return value
    kind: Any = _KINDS.get(type(value))
    if type(value) is int:
        kind = LooseInt if reads.is_loose(expression) and abs(value) < 2**53 else HostInt
    if kind is None:
        reads.outcome(expression, value)
        return value
    return _made(kind, value, expression, reads)


def computed(function: Callable[..., Any], parts: tuple[Any, ...], reads: Any) -> Any:
    """What a function makes of numbers, at each call. Where it raises, which the code may handle, the program holds for calls where
    it raises the same.
    """
    values, expressions = tuple(map(plain, parts)), tuple(map(expression_of, parts))
    try:
        made = function(*values)
    except Exception as error:
        reads.outcome(Expression(lambda *values: _raised(function, values), *expressions), _told(error))
        raise
    return lift(made, Expression(function, *expressions), reads)


def _raised(function: Callable[..., Any], values: tuple[Any, ...]) -> str | None:
    try:
        function(*values)
    except Exception as error:
        return _told(error)
    return None


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _made(kind: Any, value: Any, expression: Expression, reads: Any) -> Any:
    made = kind.__new__(kind, value)
    made.plain, made.expression, made.reads, made.input = value, expression, reads, None
    return made


def lift_text(value: str, expression: Expression, reads: Any) -> Any:
    """The text `value` as one that is computed by `expression`."""
    made = HostText.__new__(HostText, value)
    made.plain, made.expression, made.reads = value, expression, reads
    return made


def asks_nobody(value: Any) -> bool:
    """Whether a value is a number that takes other numbers' values without asking them for their say."""
    return type(value) in _KINDS


def constant(value: Any, reads: Any) -> Any:
    """Such a number from the code as one that asks."""
    return _made(_KINDS[type(value)], value, Constant(value), reads)


def is_scalar(value: Any) -> bool:
    """Whether a value is a number that another one may be computed from."""
    return type(value) in _NUMBERS or isinstance(value, HostNumber)


def plain(value: Any) -> Any:
    """A number, or a text, as Python's own."""
    return value.plain if isinstance(value, HostValue) else value


def expression_of(value: Any) -> Expression:
    return value.expression if isinstance(value, HostValue) else Constant(value)


# objects of Python's own classes that hold values in attributes
KEPT_IN_ATTRIBUTES: tuple[Any, ...] = (UserDict, UserList, ChainMap)
_HOLDING: tuple[Any, ...] = (list, set, frozenset, deque)


def settle(value: Any) -> None:
    """Settle all such numbers and texts in a value that somebody is about to look into."""
    if isinstance(value, HostValue):
        value.settle()
    elif isinstance(value, tuple):
        for part in tuple.__iter__(value):
            settle(part)
    elif isinstance(value, _HOLDING):  # a class of the user's too, whatever it makes of `__iter__`
        for part in next(kind for kind in _HOLDING if isinstance(value, kind)).__iter__(value):
            settle(part)
    elif isinstance(value, dict):
        for key, part in dict.items(value):
            settle(key)
            settle(part)
    elif isinstance(value, MappingView):  # a dict's, or one of Python's own that looks into another object
        settle(getattr(value, "_mapping", None) or list(cast("Iterable[Any]", value)))
    elif isinstance(value, KEPT_IN_ATTRIBUTES):
        settle(vars(value))
    elif type(value) is slice:
        settle((value.start, value.stop, value.step))


def _is_negative(number: Any) -> bool:
    return bool(number < 0)


def _computes_as_ever(*numbers: Any) -> bool:
    return not any(isinstance(plain(number), np.generic) for number in numbers) or _is_usual()


def _binary(function: Callable[..., Any], swapped: bool) -> Any:
    def method(self: Any, other: Any, *rest: Any) -> Any:
        if rest and rest[0] is not None:
            return function(self.settle(), plain(other), *map(plain, rest))
        if isinstance(other, Tensor):
            return NotImplemented
        if not is_scalar(other) or not _computes_as_ever(self, other):
            value, other = self.settle(), other.settle() if isinstance(other, HostNumber) else other
            return function(other, value) if swapped else function(value, other)
        pair = (other, self) if swapped else (self, other)
        if function is pow and isinstance(pair[1], HostNumber) and type(pair[1].plain) is int:
            pair[1].looked_at(_is_negative)  # then an int's power is a float
        return computed(function, pair, self.reads)

    return method


def _unary(function: Callable[..., Any]) -> Any:
    def method(self: Any, *rest: Any) -> Any:
        if not _computes_as_ever(self):
            return function(self.settle(), *map(plain, rest))
        return computed(function, (self, *rest), self.reads)

    return method


def _compared(function: Callable[..., Any]) -> Any:
    def method(self: Any, other: Any) -> Any:
        if isinstance(other, Tensor):
            return NotImplemented
        if not is_scalar(other):
            return function(self.settle(), other)
        outcome = function(self.plain, plain(other))
        self.reads.outcome(Expression(function, self.expression, expression_of(other)), outcome)
        return outcome

    return method


def _settled(name: str) -> Any:
    def method(self: Any, *rest: Any, **named: Any) -> Any:
        settle((rest, named))
        return getattr(self.settle(), name)(*map(plain, rest), **named)

    return method


def _text_compared(function: Callable[..., Any]) -> Any:
    def method(self: Any, other: Any) -> Any:
        if not isinstance(other, str):
            return NotImplemented
        outcome = function(self.plain, plain(other))
        self.reads.outcome(Expression(function, self.expression, expression_of(other)), outcome)
        return outcome

    return method


def _joined(swapped: bool) -> Any:
    def method(self: Any, other: Any) -> Any:
        if not isinstance(other, str):
            return NotImplemented
        pair = (other, self) if swapped else (self, other)
        text = operator.add(*map(plain, pair))
        return lift_text(text, Expression(operator.add, *map(expression_of, pair)), self.reads)

    return method


def _truth(self: Any) -> bool:
    outcome = bool(self.plain)
    self.reads.outcome(Expression(bool, self.expression), outcome)
    return outcome


def _quotient(number: Any, by: Any) -> Any:
    return divmod(number, by)[0]  # whose errors have other words than those of `//`


def _rest(number: Any, by: Any) -> Any:
    return divmod(number, by)[1]


def _divided(swapped: bool) -> Any:
    quotient, rest = _binary(_quotient, swapped), _binary(_rest, swapped)

    def method(self: Any, other: Any) -> Any:
        if is_scalar(other):
            return quotient(self, other), rest(self, other)
        return (other // self, other % self) if swapped else (self // other, self % other)

    return method


_BINARY = {name: pow if name == "pow" else getattr(operator, name) for name in (
    "add sub mul truediv floordiv mod pow lshift rshift and_ or_ xor".split()
)}  # fmt: skip
_UNARY: dict[str, Callable[..., Any]] = {"neg": operator.neg, "pos": operator.pos, "abs": abs, "round": round,
          "trunc": math.trunc, "floor": math.floor, "ceil": math.ceil}  # fmt: skip
_OF_THE_CLASS = frozenset(
    "__class__ __new__ __init__ __init_subclass__ __subclasshook__ __getattribute__ __setattr__ __delattr__ __doc__ __copy__ "
    "__deepcopy__ __reduce_ex__ __reduce__ __class_getitem__ maketrans".split()
)
_OF_THE_TYPE = frozenset("dtype shape ndim size itemsize nbytes strides".split())


def _asks(cls: type, kind: type) -> None:
    """Have the numbers of a class do what those of `kind` do: arithmetic gives another number, and the rest looks at the value."""
    given: dict[str, Any] = {"__bool__": _truth}
    if hasattr(kind, "__divmod__"):
        given |= {"__divmod__": _divided(swapped=False), "__rdivmod__": _divided(swapped=True)}
    for name, function in _BINARY.items():
        short = name.rstrip("_")
        if hasattr(kind, f"__{short}__"):
            given[f"__{short}__"] = _binary(function, swapped=False)
            given[f"__r{short}__"] = _binary(function, swapped=True)
    given |= {f"__{name}__": _compared(getattr(operator, name)) for name in "eq ne lt le gt ge".split()}
    given |= {f"__{name}__": _unary(function) for name, function in _UNARY.items() if hasattr(kind, f"__{name}__")}
    for name in set(dir(kind)) - _OF_THE_CLASS - set(given) - set(vars(HostScalar)) - set(vars(HostNumber)):
        if name.startswith("__array_") and name != "__array__":
            continue  # NumPy is to ask for `__array__`, not for memory
        given[name] = _settled(name) if callable(getattr(kind, name)) else _looked_up(name)
    if not issubclass(cls, HostScalar):
        given |= {"real": property(lambda self: self), "imag": property(lambda self: type(self.plain)(0))}
        given["conjugate"] = _settled("conjugate")
    for name, what in given.items():
        setattr(cls, name, what)


def _looked_up(name: str) -> Any:
    """An attribute of a number: the program holds for its value, if its type does not say what the attribute is."""
    return property(lambda self: getattr(self.plain if name in _OF_THE_TYPE else self.settle(), name))


_KINDS: dict[type, Any] = {float: HostFloat}
_kind: type
for _kind in SCALARS:
    _base: type = HostFloat if _kind is np.float64 else complex if _kind is complex else _Bare
    _KINDS[_kind] = type(f"Host_{_kind.__name__}", (HostScalar, _base), {})
_asks(HostInt, int)
_asks(LooseInt, int)
for _kind in _KINDS:
    _asks(_KINDS[_kind], _kind)
for _class in (HostInt, LooseInt):
    setattr(_class, "numerator", property(lambda self: self))  # noqa: B010
    setattr(_class, "denominator", 1)  # noqa: B010
for _name in set(dir(str)) - _OF_THE_CLASS:
    setattr(HostText, _name, _settled(_name))
for _name in "eq ne lt le gt ge".split():
    setattr(HostText, f"__{_name}__", _text_compared(getattr(operator, _name)))
setattr(HostText, "__add__", _joined(swapped=False))  # noqa: B010
setattr(HostText, "__radd__", _joined(swapped=True))  # noqa: B010
