"""Arguments of scripted functions: TorchScript gives numbers the type that the annotation says."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable
from typing import Any, Union

from ..core.tensor.tensor import Tensor

Fit = Callable[[Any], Any]
_NUMBERS = {float: (int,), complex: (int, float), int: ()}  # what turns into each, besides tensors of one number


def _number(kind: type) -> Fit:
    def fit(value: Any) -> Any:
        if isinstance(value, Tensor):
            return kind(value.item()) if value.ndim == 0 else value
        return kind(value) if isinstance(value, _NUMBERS[kind]) else value

    return fit


def _fit(annotation: Any) -> Fit | None:
    """What brings a value to its annotation; None where nothing has to be done."""
    if annotation in _NUMBERS:
        return _number(annotation)
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    parts = [_fit(part) for part in inner]
    if not any(parts):
        return None
    if origin in (Union, types.UnionType):
        one = parts[0] or parts[-1]
        return one if len(inner) == 2 and type(None) in inner else None
    if origin is list:
        return lambda v: list(map(parts[0], v)) if isinstance(v, list | tuple) else v  # type: ignore[arg-type]
    if origin is tuple and ... not in inner:
        return lambda v: (
            tuple(fit(x) if fit else x for fit, x in zip(parts, v, strict=True))
            if isinstance(v, list | tuple) and len(v) == len(parts)
            else v
        )
    if origin is dict and parts[1]:
        return lambda v: {k: parts[1](x) for k, x in v.items()} if type(v) is dict else v  # type: ignore[misc]
    return None


def fitting(
    function: Callable[..., Any],
) -> Callable[[tuple[Any, ...], dict[str, Any]], tuple[Any, dict[str, Any]]] | None:
    """What brings arguments of a call to the types of the function's annotations, defaults too; None if there are none."""
    try:
        kinds = inspect.get_annotations(inspect.unwrap(function), eval_str=True)
        parameters = list(inspect.signature(function).parameters.values())
    except (NameError, TypeError, ValueError, SyntaxError, AttributeError):
        return None
    fits = [_fit(kinds.get(p.name)) for p in parameters]
    if not any(fits):
        return None
    named = {p.name: fit for p, fit in zip(parameters, fits, strict=True) if fit}
    defaults = [
        (i, p.name, named[p.name](p.default))
        for i, p in enumerate(parameters)
        if p.name in named and p.default is not p.empty and p.kind is not p.POSITIONAL_ONLY
    ]

    def fitted(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        given = [fit(x) if fit else x for fit, x in zip(fits, args, strict=False)] + list(args[len(fits) :])
        named_given = {name: named[name](x) if name in named else x for name, x in kwargs.items()}
        for place, name, value in defaults:
            if place >= len(args):
                named_given.setdefault(name, value)
        return given, named_given

    return fitted
