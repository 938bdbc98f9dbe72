"""Several modules, each with its own inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...core.tensor.tensor import Tensor
from ..modules.module import Module

__all__ = ["get_a_var", "parallel_apply"]


def parallel_apply(
    modules: Sequence[Module],
    inputs: Sequence[Any],
    kwargs_tup: Sequence[dict[str, Any]] | None = None,
    devices: Sequence[Any] | None = None,
) -> list[Any]:
    """The results of `modules[i](*inputs[i], **kwargs_tup[i])`; an input that is no list or tuple is the only argument.

    They are called one after the other: XLA works on a GPU while the next one is called. `devices` says where the
    inputs lie, which flambeau sees for itself. Raises AssertionError if these are not equally many.
    """
    named = [{}] * len(modules) if kwargs_tup is None else kwargs_tup
    for what, given in (("inputs", inputs), ("keyword arguments", named), ("devices", devices)):
        if given is not None and len(given) != len(modules):
            raise AssertionError(
                f"The number of modules {len(modules)} is not equal to the number of {what} {len(given)}"
            )
    return [
        module(*(given if isinstance(given, (list, tuple)) else (given,)), **options)
        for module, given, options in zip(modules, inputs, named, strict=True)
    ]


def get_a_var(obj: Any) -> Tensor | None:
    """The first tensor in nested lists, tuples and dicts; None without any."""
    if isinstance(obj, Tensor):
        return obj
    if isinstance(obj, dict):
        obj = obj.items()
    elif not isinstance(obj, (list, tuple)):
        return None
    return next((found for part in obj if (found := get_a_var(part)) is not None), None)
