"""Schemas from the annotations of Python functions: `torch.library.infer_schema`."""

from __future__ import annotations

import collections.abc
import inspect
import typing
from collections.abc import Callable, Iterable
from typing import Any, Optional, Union

from .._symbols import SymInt
from ..core.array.devices import device
from ..core.array.dtypes import dtype
from ..core.array.formats import layout, memory_format
from ..core.tensor.tensor import Tensor

UNKNOWN = "unknown"


def _parameter_types() -> dict[Any, str]:
    found: dict[Any, str] = {}

    def lists(kind: Any, name: str) -> None:
        for sequence in (typing.Sequence, typing.List, collections.abc.Sequence, list):  # noqa: UP006
            found[sequence[kind]] = f"{name}[]"  # type: ignore[index]

    found[Tensor] = "Tensor"
    found[SymInt] = "SymInt"
    found[Optional[Tensor]] = "Tensor?"
    lists(Tensor, "Tensor")
    lists(Optional[Tensor], "Tensor?")
    for kind, name in ((int, "SymInt"), (float, "float"), (bool, "bool")):
        found[kind] = name
        found[Optional[kind]] = f"{name}?"
        lists(kind, name)
        for sequence in (typing.Sequence, typing.List, collections.abc.Sequence, list):  # noqa: UP006
            found[Optional[sequence[kind]]] = f"{name}[]?"  # type: ignore[index]
    others: tuple[tuple[Any, str], ...] = (
        (str, "str"), (Union[int, float, bool], "Scalar"), (dtype, "ScalarType"), (device, "Device"), (layout, "Layout"),
        (memory_format, "MemoryFormat"),
    )  # fmt: skip
    for kind, name in others:
        found[kind] = name
        found[Optional[kind]] = f"{name}?"
    lists(Union[int, float, bool], "Scalar")
    return found


PARAMETERS = _parameter_types()
RETURNS: dict[Any, str] = {
    Tensor: "Tensor", typing.List[Tensor]: "Tensor[]", list[Tensor]: "Tensor[]", int: "SymInt", float: "float",  # noqa: UP006
    bool: "bool", Union[int, float, bool]: "Scalar",
}  # fmt: skip


def infer_schema(prototype_function: Callable[..., Any], /, *, mutates_args: Any, op_name: str | None = None) -> str:
    """The schema of a function whose parameters and results are annotated.

    `mutates_args` names the tensors that it writes to, or is "unknown": then all of them may be. Raises ValueError for what
    has no annotation, or one that no schema has a type for.
    """
    signature = inspect.signature(prototype_function)

    def refuse(what: str) -> typing.NoReturn:
        raise ValueError(f"infer_schema(func): {what} Got func with signature {signature})")

    written: Any = ()
    parameters, seen = [], set()
    keyword = False
    for i, (name, parameter) in enumerate(signature.parameters.items()):
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            refuse("We do not support positional-only args, varargs, or varkwargs.")
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword:
            keyword = True
            parameters.append("*")
        if parameter.annotation is parameter.empty:
            refuse(f"Parameter {name} must have a type annotation.")
        kind = _resolved(parameter.annotation, prototype_function, refuse)
        text = _type_of(kind, name, refuse)
        written = _names_of(mutates_args)
        if (written == UNKNOWN and text.startswith("Tensor")) or (written != UNKNOWN and name in written):
            if not text.startswith("Tensor"):
                refuse(f"Parameter {name} is in mutable_args but only Tensors or collections of Tensors can be mutated")
            text = text.replace("Tensor", f"Tensor(a{i}!)", 1)
        seen.add(name)
        parameters.append(f"{text} {name}{_default(parameter, name, refuse)}")
    if written != UNKNOWN and (strange := set(written) - seen):
        refuse(
            f"{strange} in mutates_args were not found in the custom op's signature. mutates_args should contain the names of "
            "all args that the custom op mutates, or just the string 'unknown' if you don't know."
        )
    if signature.return_annotation is signature.empty:
        refuse("No return type annotation was provided. Please add one.")
    returned = _return_type(_resolved(signature.return_annotation, prototype_function, refuse), refuse)
    return f"{op_name or ''}({', '.join(parameters)}) -> {returned}"


def _names_of(mutates_args: Any) -> Any:
    if isinstance(mutates_args, str):
        if mutates_args != UNKNOWN:
            raise ValueError(
                "mutates_args must either be a sequence of the names of the arguments that are mutated or the string "
                "'unknown'. "
            )
        return UNKNOWN
    return list(mutates_args) if isinstance(mutates_args, Iterable) else mutates_args


def _resolved(annotation: Any, function: Any, refuse: Callable[[str], Any]) -> Any:
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, getattr(function, "__globals__", {}))
    except Exception:
        refuse(f"Unsupported type annotation {annotation}. It is not a type.")


def _known(kind: Any, table: dict[Any, str]) -> str | None:
    try:
        if kind in table:
            return table[kind]
    except TypeError:
        return None
    return None


def _type_of(kind: Any, name: str, refuse: Callable[[str], Any]) -> str:
    found = _known(kind, PARAMETERS)
    if found is None:
        text = f"Parameter {name} has unsupported type {kind}. "
        if typing.get_origin(kind) is tuple:
            inner = typing.get_args(kind)
            text += "We do not support Tuple inputs in schema. As a workaround, please try to use List instead. "
            if len(set(inner)) == 1:
                text += f"For example, list[{getattr(inner[0], '__name__', inner[0])}]."
            text = text.rstrip() + "\n\n"
        refuse(f"{text}The valid types are: {PARAMETERS.keys()}.")
    return typing.cast(str, found)


def _default(parameter: inspect.Parameter, name: str, refuse: Callable[[str], Any]) -> str:
    value = parameter.default
    if value is parameter.empty:
        return ""
    if value is None or isinstance(value, (bool, int, float)):
        return f"={value}"
    if isinstance(value, str):
        return f'="{value}"'
    if isinstance(value, (dtype, layout, memory_format)):
        return "=" + str(value).removeprefix("torch.")
    if isinstance(value, device):
        return f'="{value}"'
    refuse(
        f"Parameter {name} has an unsupported default value type {type(value)}. Please file an issue on GitHub so we can "
        "prioritize this."
    )
    return ""


def _return_type(annotation: Any, refuse: Callable[[str], Any]) -> str:
    if annotation is None or annotation is type(None):
        return "()"
    origin = typing.get_origin(annotation)
    if origin is not tuple:
        found = _known(annotation, RETURNS)
        if found is None:
            refuse(f"Return has unsupported type {annotation}. The valid types are: {RETURNS}.")
        return typing.cast(str, found)
    parts = []
    for inner in typing.get_args(annotation):
        found = _known(inner, RETURNS)
        if found is None:
            refuse(f"Return has unsupported type {annotation}. The valid types are: {RETURNS}.")
        parts.append(typing.cast(str, found))
    return f"({', '.join(parts)})"


__all__ = ["infer_schema"]
