"""`torch.fx.operator_schemas`: arguments of calls, by the signatures of what is called."""

from __future__ import annotations

import inspect
import numbers
import typing
from collections.abc import Callable
from typing import Any, NamedTuple

from ..core.array.dtypes import dtype
from ..nn.modules.module import Module
from ._names import qualified_name

__all__ = [
    "ArgsKwargsPair", "check_for_mutable_operation", "create_type_hint", "get_signature_for_torch_op", "normalize_function",
    "normalize_module", "type_matches",
]  # fmt: skip


class ArgsKwargsPair(NamedTuple):
    """Positional and keyword arguments of a call."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def check_for_mutable_operation(target: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """RuntimeError for a function of torch's that writes into its arguments (`relu_`, `out=`)."""
    name = getattr(target, "__name__", "")
    if not (getattr(target, "__module__", None) or "").startswith((__name__.partition(".")[0], "torch")):
        return
    if (name.endswith("_") and not name.endswith("__")) or kwargs.get("out") is not None:
        raise RuntimeError(
            f"Tried to trace mutable operation {qualified_name(target)}. "
            "FX only supports functional code, so operations that mutate operands in-place (e.g. via `out` arguments) "
            "are not supported"
        )


def get_signature_for_torch_op(op: Callable[..., Any], return_schemas: bool = False) -> Any:
    """The signatures of a public function that gives a result of its own (no `out`), as a list of one; None where Python knows none.

    There are no schemas here.
    """
    try:
        signature = inspect.signature(op)
        found = [signature.replace(parameters=[p for p in signature.parameters.values() if p.name != "out"])]
    except (TypeError, ValueError):
        found = None  # type: ignore[assignment]
    return (found, None) if return_schemas else found


def create_type_hint(x: Any) -> Any:
    """The type of a list's or tuple's elements as a typing generic; anything else as it is."""
    if not isinstance(x, (list, tuple)):
        return x
    if not x:
        return list[Any] if isinstance(x, list) else tuple[Any, ...]
    kinds = {type(v) if not isinstance(v, type) else v for v in x}
    kind: Any = kinds.pop() if len(kinds) == 1 else Any
    return list[kind] if isinstance(x, list) else tuple[kind, ...]


def type_matches(signature_type: Any, argument_type: Any) -> bool:
    """Whether an argument of one type may be given for a parameter of another."""
    if signature_type is argument_type or signature_type in (Any, inspect.Parameter.empty):
        return True
    options = typing.get_args(signature_type)
    if typing.get_origin(signature_type) is typing.Union or type(signature_type).__name__ == "UnionType":
        return any(type_matches(option, argument_type) for option in options)
    if signature_type is numbers.Number and argument_type in (int, float):
        return True
    if signature_type is int and argument_type is dtype:
        return True
    if inspect.isclass(argument_type) and inspect.isclass(signature_type):
        return issubclass(argument_type, signature_type)
    return bool(typing.get_origin(signature_type) is typing.get_origin(argument_type) is list)


def normalize_function(
    target: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any] | None = None,
    arg_types: tuple[Any, ...] | None = None,
    kwarg_types: dict[str, Any] | None = None,
    normalize_to_only_use_kwargs: bool = False,
) -> ArgsKwargsPair | None:
    """A call's arguments with all defaults, by the function's signature; None if they do not fit, or it has none."""
    found = get_signature_for_torch_op(target)
    if found is None:
        return None
    (signature,) = found
    return _by_signature(signature, args, kwargs or {}, normalize_to_only_use_kwargs)


def normalize_module(
    root: Module, target: str, args: tuple[Any, ...], kwargs: dict[str, Any] | None = None,
    normalize_to_only_use_kwargs: bool = False,
) -> ArgsKwargsPair | None:  # fmt: skip
    """The same for a call of a submodule. RuntimeError if there is none of that name."""
    try:
        module = root.get_submodule(target)
    except AttributeError:
        raise RuntimeError(
            f"Tried to normalize node with target {target} but root did not have module of that name!"
        ) from None
    signature = inspect.signature(type(module).forward)
    parameters = list(signature.parameters.values())[1:]
    return _by_signature(signature.replace(parameters=parameters), args, kwargs or {}, normalize_to_only_use_kwargs)


def _by_signature(
    signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any], only_kwargs: bool
) -> ArgsKwargsPair | None:
    kinds = {p.kind for p in signature.parameters.values()}
    if kinds - {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}:
        # a positional-only parameter is one that has no name of its own to be called by
        if kinds - {
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            inspect.Parameter.KEYWORD_ONLY,
            inspect.Parameter.POSITIONAL_ONLY,
        }:
            return None
        if list(signature.parameters) != ["input", "from", "to"]:
            return None
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError:
        return None
    bound.apply_defaults()
    made_args: list[Any] = []
    made_kwargs: dict[str, Any] = {}
    for i, (name, value) in enumerate(bound.arguments.items()):
        if not only_kwargs and i < len(args):
            made_args.append(value)
        else:
            made_kwargs[name] = value
    return ArgsKwargsPair(tuple(made_args), made_kwargs)
