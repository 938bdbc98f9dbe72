"""Arguments of kinds that PyTorch's own schemas do not name: a tensor for a size, a number for a tensor, a text for either.

PyTorch looks at the kinds of all arguments before it computes; here that is asked where a call has failed, so that the error is
the one about the argument, and once for each combination of kinds where functions would take more than PyTorch does.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from ..array.devices import device
from ..array.dtypes import BOOL, dtype
from ..context.grad_mode import state
from ..context.overrides import PASS, all_silent, ask, has_say, resolve
from ..tensor.tensor import Tensor
from .overloads import OpOverloadPacket, ops
from .schema import Argument, FunctionSchema

# where PyTorch takes a number for a tensor, beside the overloads that name numbers
_NUMBERS_FOR_TENSORS = frozenset(
    name + end
    for name in "add sub mul div divide multiply subtract true_divide floor_divide".split()
    for end in ("", "_")
) | {"copy_"}
_RENAMED = {"axis": "dim", "keepdims": "keepdim", "x": "input"}
# names of what PyTorch has in Python, whose options may be of other kinds than the operators'
in_python: set[str] = set()
_WORDS = {"Scalar": "Number", "SymInt": "int", "ScalarType": "torch.dtype", "SymBool": "bool"}
_COUNTS = ("int", "SymInt")
MOST = 256  # combinations of kinds that are remembered of one function


def _is_index(value: Any) -> bool:
    if isinstance(value, Tensor):
        return value.numel() == 1 and not (value.is_floating_point() or value.is_complex())
    return hasattr(value, "__index__") and not isinstance(value, (bool, np.bool_))


def _is_count(value: Any) -> bool:
    """What PyTorch takes for an `int`, which no graph could hold: of tensors those without dimensions, and no bools."""
    return _is_index(value) and not (isinstance(value, Tensor) and (value.ndim or value.dtype.category == BOOL))


def _is_number(value: Any) -> bool:
    return isinstance(value, (bool, int, float, complex, np.generic)) or (isinstance(value, Tensor) and not value.ndim)


_KINDS: dict[str, Callable[[Any], bool]] = {
    "Tensor": lambda v: isinstance(v, Tensor),
    "Scalar": _is_number,
    "int": _is_count,
    "SymInt": _is_index,
    "float": lambda v: _is_number(v) and not isinstance(v, complex),
    "bool": lambda v: isinstance(v, bool),
    "str": lambda v: isinstance(v, str),
    "ScalarType": lambda v: isinstance(v, (dtype, type)),
    "Device": lambda v: isinstance(v, (device, str, int)),
}


def _is_plain(value: Any) -> bool:
    """Whether it is a value of Python's or NumPy's own whose kind tells all, or a list of such."""
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (bool, int, float, complex, str, np.generic))


def _accepts(argument: Argument, value: Any, steps: int, number: bool) -> bool:
    """Whether PyTorch's parser takes a value for an argument: of its type, or of that with so many of its `[]` and `?`."""
    if hasattr(value, "as_input") or has_say(value):
        return True
    if steps == 0:
        look = _KINDS.get(argument.declared.base)
        return look is None or look(value) or (number and argument.declared.base == "Tensor" and _is_number(value))
    last = argument.declared.steps[steps - 1]
    if value is None and argument.has_default and argument.default_value == []:
        return True
    if last == "?":
        return value is None or _accepts(argument, value, steps - 1, number)
    whole = argument.declared.base in _COUNTS
    if isinstance(value, (list, tuple)):
        return all(_accepts(argument, v, steps - 1, number) or (whole and _is_index(v)) for v in value)
    if isinstance(value, Tensor) and argument.declared.base != "Tensor":
        return not whole or (len(last) > 2 and _is_index(value))
    return len(last) > 2 and _accepts(argument, value, steps - 1, number)


def _tells_all(refused: Argument) -> bool:
    """Whether what was given for an argument, in the place of its default, is wrong whatever else there is."""
    given = refused.default_value
    return _is_plain(given) or (isinstance(given, Tensor) and refused.declared.base in (*_COUNTS, "bool"))


# whose functions ATen's names mean (those of the last three have them with a prefix)
_NAMESPACES = frozenset(("", "Tensor", "functional", "nn.functional", "fft", "linalg", "special"))
_OF_DATA = frozenset(
    f"sparse_{kind}_tensor" for kind in "coo csr csc bsr bsc compressed".split()
)  # tensors or lists of numbers


@functools.cache
def _schemas_of(face: Any) -> tuple[FunctionSchema, ...]:
    """The overloads of a public function; none where its name means another one of ATen's (`sparse.mm`, a window `exponential`)."""
    path = resolve(face.__dict__.get("public", face)) or ""
    space, _, _ = path.removeprefix("torch.").rpartition(".")
    if not path or space not in _NAMESPACES or face.__name__ in _OF_DATA:
        return ()
    return _schemas(face.__name__)


@functools.cache
def _schemas(name: str) -> tuple[FunctionSchema, ...]:
    """The overloads that Python reaches: those that write to `out` are left out, and those of TorchScript for numbers alone."""
    packet = getattr(ops.aten, name, None)
    if not isinstance(packet, OpOverloadPacket):
        return ()
    found = [s for s in packet._schemas.values() if not any(a.is_out for a in s.arguments)]
    give_tensors = [s for s in found if any(r.declared.base == "Tensor" for r in s.returns)]
    return tuple(give_tensors or found)


@functools.cache
def _parameters(face: Any) -> list[inspect.Parameter]:
    function = inspect.unwrap(face, stop=lambda f: hasattr(f, "in_place_of"))
    function = getattr(function, "in_place_of", function)
    return list(inspect.signature(function).parameters.values())


def is_in_python(face: Any) -> bool:
    return face.__name__ in in_python or getattr(face, "in_python", False)


@functools.cache
def _is_method(face: Any) -> bool:
    return (resolve(face.__dict__.get("public", face)) or "torch.Tensor.").startswith("torch.Tensor.")


def _given(face: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]] | None:
    """The arguments by position, sizes that come one by one as a list, and those by name; None where they are too many.

    What PyTorch has in Python has names of its own, by which alone they can be told.
    """
    values: list[Any] = []
    names: list[str] = []
    for i, parameter in enumerate(_parameters(face)):
        if parameter.kind is parameter.VAR_POSITIONAL:
            rest = args[i:]
            listed = rest[0] if len(rest) == 1 and isinstance(rest[0], (list, tuple)) else ()
            if listed and all(isinstance(m, Tensor) for m in listed):
                rest = tuple(listed)  # tensors in a list
            values.append(_Rest(rest))
            names.append(parameter.name)
            args = args[: i + 1]
            break
        if i >= len(args) or parameter.kind is parameter.KEYWORD_ONLY:
            break
        values.append(args[i])
        names.append(parameter.name)
    if len(args) > len(values):
        return None
    named = {_RENAMED.get(name, name): value for name, value in kwargs.items() if name != "out"}
    if is_in_python(face):
        values = [list(v) if isinstance(v, _Rest) else v for v in values]
        return [], dict(zip(names, values, strict=False)) | named
    return values, named


class _Rest(tuple):  # type: ignore[type-arg]
    """What a call gives for `*args`."""


def _positional(schema: FunctionSchema, face: Any) -> list[Argument]:
    """A schema's arguments that come by position; of a method the tensor is the first, wherever the schema has it (`polygamma`)."""
    found = [a for a in schema.arguments if not a.kwarg_only]
    return sorted(found, key=lambda a: a.name != "self") if _is_method(face) else found


def _placed(values: list[Any], positional: list[Argument], face: Any) -> list[Any]:
    """The values for a schema's first arguments: what comes one by one is a list where the schema has one."""
    if values and isinstance(values[-1], Tensor) and len(values) == len(positional) == 1 + _is_method(face):
        last = positional[-1].declared  # the one argument, which may come so, is a list
        if last.base in _COUNTS and any(step != "?" for step in last.steps):
            return [*values[:-1], values[-1:]]
    if not values or not isinstance(values[-1], _Rest):
        return values
    *before, rest = values
    place = len(before)
    if place < len(positional) and any(step != "?" for step in positional[place].declared.steps):
        # one by one is for methods, and for functions that have nothing before them
        alone = len(rest) == 1 and (not _is_index(rest[0]) or (place and not _is_method(face)))
        return [*before, rest[0] if alone else tuple(rest)] if rest else before
    return [*before, *rest]


def _unfit(schema: FunctionSchema, values: list[Any], named: dict[str, Any], face: Any) -> Argument | bool:
    """The first argument of a kind that a schema does not take; True if there is none, False if the schema is about other
    arguments.
    """
    positional = _positional(schema, face)
    values = _placed(values, positional, face)
    if len(values) > len(positional):
        return False
    given = {a.name: value for a, value in zip(positional, values, strict=False)}
    names = {a.name for a in schema.arguments}
    for name, value in named.items():
        given["self" if name == "input" and name not in names else name] = value
    if set(given) - names:
        return False
    tensors_only, number = is_in_python(face), face.__name__ in _NUMBERS_FOR_TENSORS
    wrong: Argument | None = None
    for argument in schema.arguments:
        if argument.name not in given:
            if not (argument.has_default or tensors_only):
                return False
            continue
        looked_at = wrong is None and (argument.declared.base == "Tensor" or not tensors_only)
        if looked_at and not _accepts(argument, given[argument.name], len(argument.declared.steps), number):
            wrong = argument._replace(default_value=given[argument.name])  # with what was given
    return True if wrong is None else wrong


def misfit(face: Any, args: tuple[Any, ...], kwargs: dict[str, Any], plain_only: bool = False) -> TypeError | None:
    """PyTorch's error for a call whose arguments fit none of the overloads by their kinds; None if they fit, or nothing is known.

    With `plain_only` the argument has to be a number, a text, None or a list of them, or a tensor for an int.
    """
    given = _given(face, args, kwargs) if (schemas := _schemas_of(face)) else None
    if given is None:
        return None
    if (error := _miscounted(face, *given, schemas)) is not None:
        return error
    wrong: list[tuple[FunctionSchema, Argument]] = []
    for schema in schemas:
        found = _unfit(schema, *given, face)
        if found is True:
            return None
        if isinstance(found, Argument):
            wrong.append((schema, found))
    if not wrong or (plain_only and not all(_tells_all(argument) for _, argument in wrong)):
        return None
    return _told(face, given, wrong)


def _miscounted(
    face: Any, values: list[Any], named: dict[str, Any], schemas: tuple[FunctionSchema, ...]
) -> TypeError | None:
    """PyTorch's error for sizes or dimensions that are missing, or come one by one where they have to be a list."""
    place = len(values) - 1
    if place < 1 or not isinstance(rest := values[-1], _Rest) or len(rest) == 1:
        return None
    lists = [(s, p[place]) for s in schemas if len(p := _positional(s, face)) > place]
    lists = [(s, a) for s, a in lists if a.declared.base in _COUNTS and a.declared.steps and not a.has_default]
    if not lists:
        return None
    name, argument = face.__name__, lists[0][1]
    if rest:
        count = f"takes {place + 1} positional arguments but {place + len(rest)} were given"
        return None if _is_method(face) else TypeError(f"{name}() {count}: give `{argument.name}` as one tuple")
    if any(a.name in named for s in schemas for a in s.arguments):
        return None
    if len(schemas) > 1:
        return _told(face, ([], {}), [(s, s.arguments[-1]) for s in schemas])
    return TypeError(f'{name}() missing 1 required positional arguments: "{_called(argument)}"')


def _counts_by_tensors(face: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether the call hangs on a tensor that stands where an overload has an int: what is in it decides, each time. Where another
    overload takes the same kinds without one (`copy_`), nothing hangs on it.
    """
    if not any(isinstance(value, Tensor) for value in (*args, *kwargs.values())) or not (schemas := _schemas_of(face)):
        return False
    values, named = _given(face, args, kwargs) or ([], kwargs)
    found = False
    for schema in schemas:
        if _has_count_by_tensor(schema, values, named, face):
            found = True
        elif _unfit(schema, values, named, face) is True:
            return False
    return found


def _has_count_by_tensor(schema: FunctionSchema, values: list[Any], named: dict[str, Any], face: Any) -> bool:
    positional = _positional(schema, face)
    given = [*zip(positional, _placed(values, positional, face), strict=False)]
    given += [(a, named[a.name]) for a in schema.arguments if a.name in named]
    counts = [value for a, value in given if a.declared.base in _COUNTS]
    return any(
        isinstance(v, Tensor) for value in counts for v in (value if isinstance(value, (list, tuple)) else [value])
    )


def takes_count(name: str, parameter: str, value: Tensor) -> bool:
    """Whether PyTorch takes a tensor with dimensions for a parameter that is no tensor; True if nothing is known of it."""
    schemas = _schemas(name)
    counts = [(s, a) for s in schemas for a in s.arguments if a.name == parameter and a.declared.base in _COUNTS]
    return not counts or any(
        _accepts(a, value, len(a.declared.steps), False) or (a.declared.steps == ["[]"] and len(s.arguments) == 2)
        for s, a in counts  # a list that is all there is may come one by one
    )


def _arguments_called(name: str, parameter: str) -> list[tuple[int, Argument]]:
    """The arguments of this name, of all overloads, with their positions."""
    return [(i, a) for s in _schemas(name) for i, a in enumerate(s.arguments, 1) if a.name == parameter]


def refuse_recorded(name: str, parameter: str, position: int | None, value: Tensor) -> None:
    """Raise TypeError for a tensor that requires a gradient where PyTorch takes a number alone: the gradient would be lost."""
    if not value.requires_grad:
        return
    found = _arguments_called(name, parameter)
    if any(argument.declared.base == "Tensor" for _, argument in found):
        return
    word = "Number"
    if found:
        place_there, argument = found[0]
        word = _WORDS.get(argument.declared.base, argument.declared.base)
        position = place_there if position is None and not argument.kwarg_only else position
    place = "" if position is None else f" (position {position})"
    raise TypeError(
        f"{name}(): argument '{parameter}'{place} must be {word}, not Tensor: one that requires a gradient is no number, "
        f"since the gradient would be lost; give its .item(), or .detach() it"
    )


def _told(
    face: Any, given: tuple[list[Any], dict[str, Any]], wrong: list[tuple[FunctionSchema, Argument]]
) -> TypeError:
    name, (schema, argument) = face.__name__, wrong[0]
    first = 0 if _is_method(face) else 1  # the number of a function's first argument: a method's self is not counted
    if len(wrong) > 1:
        kinds = ", ".join(
            [_kind(v) for v in given[0][1 - first :]] + [f"{key}={_kind(v)}" for key, v in given[1].items()]
        )
        choices = "".join(
            f"\n * ({', '.join(f'{_word(a)} {_called(a)}' for a in schema.arguments)})" for schema, _ in wrong
        )
        return TypeError(
            f"{name}() received an invalid combination of arguments - got ({kinds}), but expected one of:{choices}\n"
        )
    value = argument.default_value
    place = (
        "" if argument.kwarg_only else f" (position {[a.name for a in schema.arguments].index(argument.name) + first})"
    )
    word = _word(argument)
    if isinstance(value, (list, tuple)) and word.startswith("tuple"):
        i, bad = next((i, v) for i, v in enumerate(value) if not _accepts(argument, v, 0, False))
        if word == "tuple of Tensors":
            at = [a.name for a in schema.arguments].index(argument.name)
            return TypeError(f"expected Tensor as element {i} in argument {at}, but got {_kind(bad)}")
        if i:
            where = f"failed to unpack the object at pos {i + 1} with error"
            return TypeError(
                f"{name}(): argument '{_called(argument)}' {where} \"type must be {word},but got {_kind(bad)}\""
            )
        why = f"must be {word}, but found element of type {_kind(bad)} at pos 0"
        return TypeError(f"{name}(): argument '{_called(argument)}'{place} {why}")
    return TypeError(f"{name}(): argument '{_called(argument)}'{place} must be {_word(argument)}, not {_kind(value)}")


def _kind(value: Any) -> str:
    kind = type(value)
    return f"numpy.{kind.__name__}" if kind.__module__ == "numpy" else kind.__name__


def _called(argument: Argument) -> str:
    return "input" if argument.name == "self" else argument.name


def _word(argument: Argument) -> str:
    word = _WORDS.get(argument.declared.base, argument.declared.base)
    return f"tuple of {word}s" if any(step != "?" for step in argument.declared.steps) else word


@functools.cache
def takes_number(name: str, parameter: str, position: int) -> bool:
    """Whether PyTorch takes a number for a parameter of this function; True if nothing is known of it."""
    schemas = _schemas(name)
    named = [a for s in schemas for a in s.arguments if a.name == parameter]
    named += [s.arguments[position] for s in schemas if position < len(s.arguments)]
    number = name in _NUMBERS_FOR_TENSORS
    return not named or any(_accepts(a, 1, len(a.declared.steps), number) for a in named)


def word_of_number(name: str, parameter: str) -> str:
    """What PyTorch's errors call a parameter that takes a real number: a `Number` may be complex elsewhere."""
    kinds = {argument.declared.base for _, argument in _arguments_called(name, parameter)}
    return _WORDS["Scalar"] if "Scalar" in kinds else "float"


def _says_so(error: Exception) -> bool:
    """Whether an error is already about an argument's kind: a TypeError, or PyTorch's AttributeError raised in its words."""
    return type(error) is TypeError or (type(error) is AttributeError and error.obj is None)


class Known:
    """The combinations of kinds with which a public function has been called, each of which is looked at once."""

    def __init__(self) -> None:
        self.kinds: set[Any] = set()

    def look(self, face: Any, kinds: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Raise TypeError for a combination that PyTorch does not take; remember any other."""
        if (error := misfit(face, args, kwargs, plain_only=True)) is not None:
            raise error
        if len(self.kinds) < MOST and not _counts_by_tensors(face, args, kwargs):
            self.kinds.add(kinds)

    def run(self, face: Any, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What the function gives; TypeError for arguments of kinds that PyTorch does not take."""
        kinds = (*map(type, args), *kwargs, *map(type, kwargs.values())) if kwargs else tuple(map(type, args))
        new = kinds not in self.kinds
        if new and not (last := is_in_python(face)):  # else PyTorch's Python code looks first
            self.look(face, kinds, args, kwargs)
        try:
            made = function(*args, **kwargs)
        except Exception as error:
            self.judge(face, error, args, kwargs)
            raise
        if new and last:
            self.look(face, kinds, args, kwargs)
        return made

    def judge(self, face: Any, error: Exception, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Raise TypeError in an error's place if it is of arguments of kinds that PyTorch does not take."""
        if not _says_so(error) and (unfit := misfit(face, args, kwargs)) is not None:
            raise unfit from None


def judged(function: Callable[..., Any]) -> Callable[..., Any]:
    """A public form of a function that is no operator: others are asked, and arguments looked at, before it runs."""
    known = Known()
    kinds = known.kinds

    @functools.wraps(function)
    def asking(*args: Any, **kwargs: Any) -> Any:
        if (state.around or kwargs or not all_silent(args)) and (found := ask(asking, args, kwargs)) is not PASS:
            return found
        if kwargs or tuple(map(type, args)) not in kinds:
            return known.run(asking, function, args, kwargs)
        try:
            return function(*args)
        except Exception as error:
            known.judge(asking, error, args, kwargs)
            raise

    asking.__dict__.clear()  # the copies of what is said of the function, which may be a face too
    asking.__wrapped__ = function  # type: ignore[attr-defined]
    return asking


__all__ = ["Known", "judged", "misfit", "refuse_recorded", "takes_count", "takes_number", "word_of_number"]
