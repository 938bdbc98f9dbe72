"""Calling a module with other tensors in place of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...core.tensor.tensor import Tensor
from ..modules.module import Module

__all__ = ["functional_call"]


def functional_call(
    module: Module,
    parameter_and_buffer_dicts: Any,
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """`module(*args, **kwargs)` with the tensors of a dict (or several) in the places that its keys name.

    Tensors that the module holds under several names are replaced under all of them if `tie_weights` is set. With
    `strict`, RuntimeError if the keys are not exactly the module's parameters and buffers. The module is as before
    afterwards; buffers that the call replaced are put into the dict. ValueError if a key is given twice.
    """
    given = _merged(parameter_and_buffer_dicts)
    own = {
        **dict(module.named_parameters(remove_duplicate=False)),
        **dict(module.named_buffers(remove_duplicate=False)),
    }
    for value in given.values():
        if not isinstance(value, Tensor):
            raise TypeError(f"{value} is not an instance of torch.Tensor")
    replaced = _tied(given, own) if tie_weights else dict(given)
    if strict:
        _check_keys(module, given, replaced, own)
    if args is None:
        args = ()
    elif not isinstance(args, tuple):
        args = (args,)
    places = [(path, *_place(module, path), value) for path, value in replaced.items() if path in own]
    for _, table, name, value in places:
        table[name] = value
    try:
        return module(*args, **(kwargs or {}))
    finally:
        for path, table, name, _ in places:
            if path in given and isinstance(parameter_and_buffer_dicts, dict):
                parameter_and_buffer_dicts[path] = table[name]
            table[name] = own[path]


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


def _place(module: Module, path: str) -> tuple[dict[str, Any], str]:
    parent, _, name = path.rpartition(".")
    owner = module.get_submodule(parent)
    return (owner._parameters if name in owner._parameters else owner._buffers), name
