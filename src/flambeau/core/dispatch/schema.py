"""Schemas of operators, `mylib::scale(Tensor x, float by=1.0) -> Tensor`: how they are read, printed and met by a call."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from ..array.devices import device
from ..array.dtypes import dtype
from ..array.formats import layout, memory_format
from ..tensor.tensor import Tensor
from .types import Type, of_schema

_NUMBER = (bool, int, float, complex)


def _is_number(value: Any) -> bool:
    return isinstance(value, _NUMBER) or hasattr(value, "as_input") or _is_number_tensor(value)


def _is_number_tensor(value: Any) -> bool:
    return isinstance(value, Tensor) and value.ndim == 0 and not value.requires_grad


def _is_int(value: Any) -> bool:
    return (hasattr(value, "__index__") and not isinstance(value, (bool, Tensor))) or hasattr(value, "as_input")


def _is_float(value: Any) -> bool:
    return (isinstance(value, (int, float)) and not isinstance(value, bool)) or hasattr(value, "as_input")


def _any(value: Any) -> bool:
    return True


# what is a value of a schema's types
_TYPES: dict[str, Callable[[Any], bool]] = {
    "Tensor": lambda v: isinstance(v, Tensor),
    **dict.fromkeys(("Scalar", "number"), _is_number),
    **dict.fromkeys(("int", "SymInt"), _is_int),
    **dict.fromkeys(("float", "SymFloat"), _is_float),
    **dict.fromkeys(("bool", "SymBool"), lambda v: isinstance(v, bool)),
    "complex": lambda v: isinstance(v, _NUMBER),
    **dict.fromkeys(("str", "Dimname"), lambda v: isinstance(v, str)),
    "ScalarType": lambda v: isinstance(v, (dtype, int)),
    "Layout": lambda v: isinstance(v, (layout, int)),
    "MemoryFormat": lambda v: isinstance(v, (memory_format, int)),
    "Device": lambda v: isinstance(v, (device, str, int)),
    "Generator": lambda v: type(v).__name__ == "Generator",
    **dict.fromkeys("Storage Stream QScheme DeviceIndex ConstQuantizerPtr AnyEnumType Any t NoneType".split(), _any),
}


class SchemaType:
    """The type of an argument or a result: a name, then any number of `[]` and `?`."""

    __module__ = "flambeau"

    def __init__(self, text: str):
        self.text = text
        self.base: str = re.match(r"[A-Za-z_.\d]*", text)[0]  # type: ignore[index]
        self.steps: list[Any] = re.findall(r"\[\d*\]|\?", text[len(self.base) :])

    def described(self, real: bool = False) -> Type:
        """As one of libtorch's types."""
        return of_schema(self.base, self.steps, real)

    def accepts(self, value: Any, steps: int | None = None) -> bool:
        """Whether a call may give this value."""
        steps = len(self.steps) if steps is None else steps
        if steps == 0:
            return _TYPES[self.base](value)
        last = self.steps[steps - 1]
        if last == "?":
            return value is None or self.accepts(value, steps - 1)
        if isinstance(value, (list, tuple)):
            return all(self.accepts(v, steps - 1) for v in value)
        return len(last) > 2 and self.accepts(value, steps - 1)  # `int[2]` takes one number for all

    def __str__(self) -> str:
        """As errors call it: `Optional[int]`, `List[Tensor]`."""
        return self.described().annotation_str

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, SchemaType) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)


class AliasInfo(NamedTuple):
    """What memory an argument or a result shares, and whether it is written to."""

    before_set: frozenset[str]
    after_set: frozenset[str]
    is_write: bool


class Argument(NamedTuple):
    """One argument, or one result, of a schema."""

    declared: SchemaType
    name: str
    default_value: Any
    has_default: bool
    kwarg_only: bool
    alias_info: AliasInfo | None
    text: str

    @property
    def type(self) -> Type:
        """What it may be."""
        return self.declared.described()

    @property
    def real_type(self) -> Type:
        """The same: nothing is symbolic here."""
        return self.declared.described(real=True)

    @property
    def N(self) -> int | None:
        """How many a list has, if the schema says it; else None."""
        held = re.search(r"\[(\d+)\]", self.declared.text)
        return int(held[1]) if held else None

    @property
    def is_write(self) -> bool:
        """Whether it is written to."""
        return self.alias_info is not None and self.alias_info.is_write

    @property
    def is_out(self) -> bool:
        """Whether it is where the result goes."""
        return self.kwarg_only and self.is_write

    def has_default_value(self) -> bool:
        """Whether a call may leave it out."""
        return self.has_default

    def __repr__(self) -> str:
        return f"<torch.Argument {self.text!r}>"


Argument.__module__ = "flambeau"


def _split(text: str) -> Iterator[str]:
    """The parts between commas outside of brackets and quotes."""
    depth, start, quoted = 0, 0, False
    for i, letter in enumerate(text):
        if letter == '"':
            quoted = not quoted
        elif quoted:
            continue
        elif letter in "([":
            depth += 1
        elif letter in ")]":
            depth -= 1
        elif letter == "," and depth == 0:
            yield text[start:i].strip()
            start = i + 1
    if text[start:].strip():
        yield text[start:].strip()


_ARGUMENT = re.compile(
    r"(?P<base>Dict\(.*?\)|__torch__[\w.]*|\w+)(?P<early>(?:\[\d*\])*)(?P<alias>\([^)]*\)|\s*!)?(?P<steps>(?:\[\d*\]|\?)*)"
    r"(?:\s+(?P<name>\w+))?(?:\s*=\s*(?P<default>.+))?$"
)


def _default(text: str) -> Any:
    text = text.strip()
    known = {"None": None, "True": True, "False": False, "Mean": 1, "contiguous_format": None}
    if text in known:
        return known[text]
    if text[:1] in "\"'":
        return text[1:-1]
    if text.startswith("["):
        return [_default(t) for t in _split(text[1:-1])]
    for kind in (int, float, complex):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def _shown_default(base: str, steps: str, text: str) -> str:
    value = _default(text)
    if isinstance(value, float) and not steps.endswith("]"):
        shown = f"{value:.17g}"
        return shown if set(shown) & set(".en") else shown + "."
    return f'"{value}"' if text[:1] == "'" else text


def _argument(text: str, keyword: bool, whole: str, fresh: Iterator[int]) -> Argument:
    found = _ARGUMENT.match(text)
    if found is None:
        raise RuntimeError(f"expected an argument such as 'Tensor x' but found '{text}' here:\n{whole}")
    base, steps = found["base"], found["early"] + found["steps"]
    if base not in _TYPES and not base.startswith(("Dict", "__torch__")):
        at = whole.find(text)
        raise RuntimeError(
            f"\nunknown type specifier. Common valid schema types include Tensor, SymInt, int, float, bool, Scalar: got "
            f"'{base}'\n{whole}\n{' ' * at}{'~' * len(base)} <--- HERE\n"
        )
    alias, held = None, found["alias"] or ""
    if held.strip() == "!":  # written to, and a set of memory of its own, which has a number for a name
        held = f"(${next(fresh)}! -> )"
    if held:
        before, arrow, after = held.strip("()").partition("->")
        names = frozenset(before.replace("!", "").replace("|", " ").split())
        later = frozenset(after.replace("!", "").replace("|", " ").split()) if arrow else names
        alias = AliasInfo(names, later, "!" in before)
    default = found["default"]
    shown = f"{base}{found['early']}{held}{found['steps']}" + (f" {found['name']}" if found["name"] else "")
    if default is not None:
        shown += f"={_shown_default(base, steps, default)}"
    return Argument(
        SchemaType(base + steps),
        found["name"] or "",
        None if default is None else _default(default),
        default is not None,
        keyword,
        alias,
        shown,
    )


class FunctionSchema:
    """An operator's name, its arguments and its results."""

    __module__ = "flambeau"

    def __init__(self, name: str, overload_name: str, arguments: list[Argument], returns: list[Argument], text: str):
        self.name = name
        self.overload_name = overload_name
        self.arguments = arguments
        self.returns = returns
        self._text = text

    @property
    def is_mutable(self) -> bool:
        """Whether the operator writes to an argument."""
        return any(a.is_write for a in self.arguments)

    def _is_view_op(self) -> bool:
        return any(a.alias_info and not a.is_write for a in self.arguments)

    def __str__(self) -> str:
        return self._text

    __repr__ = __str__

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, FunctionSchema) and str(other) == str(self)

    def __hash__(self) -> int:
        return hash(self._text)

    # --- a call ---------------------------------------------------------------------------------------------------

    def bind(self, args: Sequence[Any], kwargs: dict[str, Any], numbers: bool = False) -> dict[str, Any]:
        """The arguments that a call gives, by name. RuntimeError if they do not fit.

        With `numbers` a number will do for a tensor.
        """
        bare, told = self.name, f"Declaration: {self}"
        positional = [a for a in self.arguments if not a.kwarg_only]
        given = len(args) + len(kwargs)
        if len(args) > len(positional) and len(positional) < len(self.arguments):
            raise RuntimeError(
                f"{bare}() takes {len(positional)} positional argument(s) but {len(args)} was/were given.  {told}"
            )
        if given > len(self.arguments):
            raise RuntimeError(
                f"{bare}() expected at most {len(self.arguments)} argument(s) but received {given} argument(s). {told}"
            )
        bound: dict[str, Any] = {}
        left = dict(kwargs)
        for i, argument in enumerate(self.arguments):
            name = argument.name
            if i < len(args):
                value = args[i]
            elif name in left:
                value = left.pop(name)
            elif argument.has_default:
                continue
            else:
                raise RuntimeError(f"{bare}() is missing value for argument '{name}'. {told}")
            number = numbers and isinstance(value, _NUMBER) and argument.declared.text == "Tensor"
            if not number and not argument.declared.accepts(value):
                raise RuntimeError(self._mismatch(i, argument, value))
            bound[name] = value
        if left:
            raise RuntimeError(f"Unknown keyword argument '{next(iter(left))}' for operator '{bare}'. Schema: {self}")
        return bound

    def _mismatch(self, position: int, argument: Argument, value: Any) -> str:
        kind = type(value).__name__
        if argument.declared.text == "Tensor" or argument.declared.base == "Tensor":
            why = f"Unable to cast {value} to Tensor"
        elif str(argument.declared) == "number":
            why = f"Cannot cast {value} to number"
        else:
            why = f"Unable to cast Python instance of type {type(value)} to {argument.declared}"
        return (
            f"{self.name}() Expected a value of type '{argument.declared}' for argument '{argument.name}' but instead found type "
            f"'{kind}'.\nPosition: {position}\nValue: {value!r}\nDeclaration: {self}\nCast error details: {why}"
        )

    def canonical(
        self, args: Sequence[Any], kwargs: dict[str, Any], numbers: bool = False
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """A call's arguments as PyTorch hands them on: lists as lists, defaults at the end left out. RuntimeError as `bind`."""
        bound = self.bind(args, kwargs, numbers)
        positional: list[Any] = []
        named: dict[str, Any] = {}
        kept = 0
        for argument in self.arguments:
            value = bound.get(argument.name, argument.default_value)
            lists = [step for step in argument.declared.steps if step != "?"]
            if lists and value is not None:
                size = int(lists[-1][1:-1] or 1) if not isinstance(value, (tuple, list)) else 0
                value = [value] * size if size else list(value)
            usual = argument.has_default and _equal(value, argument.default_value)
            if not argument.kwarg_only:
                positional.append(value)
                kept = kept if usual else len(positional)
            elif not usual and value is not None:
                named[argument.name] = value
        return tuple(positional[:kept]), named

    def filled(self, bound: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Positional and keyword arguments of a call, with the defaults."""
        args = [bound.get(a.name, a.default_value) for a in self.arguments if not a.kwarg_only]
        return args, {a.name: bound.get(a.name, a.default_value) for a in self.arguments if a.kwarg_only}


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        return False
    if isinstance(a, list) and not isinstance(b, list):
        return all(_equal(v, b) for v in a)
    return a is b or (type(a) in (int, float, bool, str, list) and type(b) is not dtype and bool(a == b))


@functools.lru_cache(4096)
def parse(text: str, namespace: str = "") -> FunctionSchema:
    """Read a schema; RuntimeError if it is none. `namespace` is that of a name that has none itself."""
    text = text.strip()
    name, opened, rest = text.partition("(")
    if not text or (opened and not rest):
        raise RuntimeError(f"expected ident but found 'eof' here:\n{text}")
    if not opened:
        raise RuntimeError("Tried to parse a function schema but only the operator name was given")
    inner, arrow, returned = _closed(rest, text)
    if not arrow:
        raise RuntimeError(f"expected -> but found 'eof' here:\n{text}")
    if not returned:
        raise RuntimeError(f"expected ident but found 'eof' here:\n{text}")
    qualified = name if "::" in name or not namespace else f"{namespace}::{name}"
    base, _, overload = qualified.strip().partition(".")
    arguments, keyword, fresh = [], False, itertools.count()
    for part in _split(inner):
        if part == "*":
            keyword = True
        elif part != "...":
            arguments.append(_argument(part, keyword, text, fresh))
    listed = returned.startswith("(") and returned.endswith(")")
    parts = [part for part in _split(returned[1:-1] if listed else returned) if part != "..."]
    returns = [_argument(part, False, text, fresh) for part in parts]
    shown: list[str] = []
    for argument in arguments:
        if not argument.name:
            raise RuntimeError(f"expected ident but found ')' here: the argument '{argument.text}' has no name\n{text}")
        if argument.kwarg_only and "*" not in shown:
            shown.append("*")
        shown.append(argument.text)
    results = ", ".join(r.text for r in returns)
    results = results if len(returns) == 1 and not listed else f"({results})"
    whole = f"{base}{'.' + overload if overload else ''}({', '.join(shown)}) -> {results}"
    return FunctionSchema(base, overload, arguments, returns, whole)


def _closed(rest: str, text: str) -> tuple[str, str, str]:
    """What is before the bracket that closes the arguments, the arrow, and what is behind it."""
    depth, quoted = 1, False
    for i, letter in enumerate(rest):
        quoted ^= letter == '"'
        depth += 0 if quoted else (letter in "([") - (letter in ")]")
        if depth == 0:
            _, arrow, returned = rest[i + 1 :].partition("->")
            return rest[:i], arrow, returned.strip()
    raise RuntimeError(f"expected ) but found 'eof' here:\n{text}")


__all__ = ["Argument", "FunctionSchema", "parse"]
