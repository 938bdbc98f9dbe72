"""Calling a module with other tensors in place of its own."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...core.tensor.tensor import Tensor
from ..modules.module import Module
from ._named_member_accessor import NamedMemberAccessor

__all__ = ["functional_call"]


def functional_call(
    module: Module,
    parameters_and_buffers: Any,
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """The old name of `func.functional_call`."""
    warnings.warn(
        "`torch.nn.utils.stateless.functional_call` is deprecated: use `torch.func.functional_call` instead.",
        FutureWarning,
        stacklevel=2,
    )
    return call_with(module, parameters_and_buffers, args, kwargs, tie_weights, strict)


def call_with(module: Module, dicts: Any, args: Any, kwargs: Any, tie_weights: bool, strict: bool) -> Any:
    """See `func.functional_call`."""
    given = _merged(dicts)
    if args is None:
        args = ()
    elif not isinstance(args, tuple):
        args = (args,)
    with _reparametrize_module(module, given, tie_weights=tie_weights, strict=strict) as replaced:
        try:
            return module(*args, **(kwargs or {}))
        finally:
            if isinstance(dicts, dict):
                dicts.update((path, replaced.get_tensor(path)) for path in given if replaced.is_own(path))


class _Replaced(NamedMemberAccessor):
    """A module with its own tensors, by path."""

    def __init__(self, module: Module):
        super().__init__(module)
        self.own = dict(self.named_tensors(remove_duplicate=False))

    def is_own(self, path: str) -> bool:
        return path in self.own


@contextlib.contextmanager
def _reparametrize_module(
    module: Module,
    parameters_and_buffers: dict[str, Tensor],
    tie_weights: bool = False,
    strict: bool = False,
    stack_weights: bool = False,
) -> Iterator[_Replaced]:
    """Inside, the module has these tensors in place of its own."""
    accessor = _Replaced(module)
    for value in parameters_and_buffers.values():
        if not isinstance(value, Tensor):
            raise TypeError(f"{value} is not an instance of torch.Tensor")
    replaced = _tied(parameters_and_buffers, accessor.own) if tie_weights else dict(parameters_and_buffers)
    if strict:
        _check_keys(module, parameters_and_buffers, replaced, accessor.own)
    before, _ = accessor.swap_tensors_dict(replaced, allow_missing=True)
    try:
        yield accessor
    finally:
        names = list(before)
        for name in reversed(names) if stack_weights else names:
            accessor.swap_tensor(name, before[name], allow_missing=True)


def _merged(dicts: Any) -> dict[str, Any]:
    if isinstance(dicts, Mapping):
        return dict(dicts)
    if not isinstance(dicts, Sequence) or not all(isinstance(d, Mapping) for d in dicts):
        raise ValueError(
            f"Expected parameter_and_buffer_dicts to be a dict, or a list/tuple of dicts, but got {type(dicts)}"
        )
    keys = [key for d in dicts for key in d]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise ValueError(f"{twice} appeared in multiple dictionaries; behavior of functional call is ambiguous")
    return {key: value for d in dicts for key, value in d.items()}


def _tied(given: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """The given tensors, under all names that the module has for what they replace."""
    names: dict[int, list[str]] = {}
    for path, tensor in own.items():
        names.setdefault(id(tensor), []).append(path)
    replaced = dict(given)
    for path, value in given.items():
        same = names.get(id(own[path]), []) if path in own else []
        if any(given.get(other, value) is not value for other in same):
            keys = sorted(other for other in same if other in given)
            raise ValueError(
                f"functional_call got multiple values for keys {keys}, which are tied. Consider using tie_weights=False"
            )
        replaced.update((other, value) for other in same)
    return replaced


def _check_keys(module: Module, given: dict[str, Any], replaced: dict[str, Any], own: dict[str, Any]) -> None:
    lines = []
    for what, keys in (("Unexpected", given.keys() - own.keys()), ("Missing", own.keys() - replaced.keys())):
        if keys:
            lines.append(f"\n\t{what} key(s): {', '.join(map(repr, sorted(keys)))}.")
    if lines:
        raise RuntimeError(f"Error(s) in reparametrizing for {type(module).__name__}:" + "".join(lines))
