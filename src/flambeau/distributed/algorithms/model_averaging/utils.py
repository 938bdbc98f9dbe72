"""Averages of parameters over processes, at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ....core.context.grad_mode import no_grad
from ....core.tensor.tensor import Tensor
from ....processes.buckets import flattened, parts
from ....processes.collectives import all_reduce
from ....processes.groups import chosen, is_member

__all__ = ["average_parameters", "average_parameters_or_parameter_groups", "get_params_to_average"]


def average_parameters(params: Iterable[Tensor], process_group: Any = None) -> None:
    """The mean over a group, in place. Processes that are not in it do nothing."""
    group, held = chosen(process_group), list(params)
    if not is_member(group) or not held:
        return
    flat = flattened(held)
    with no_grad():
        all_reduce(flat.div_(group.size()), group=group)
        for parameter, value in zip(held, parts(flat, held), strict=True):
            parameter.copy_(value)


def get_params_to_average(params: Iterable[Tensor] | Iterable[dict[str, Any]]) -> list[Tensor]:
    """The parameters, or those of an optimizer's groups, that have a gradient. TypeError for something else."""
    found: list[Tensor] = []
    for one in params:
        if not isinstance(one, (Tensor, dict)):
            raise TypeError(f"Parameter input of type {type(one)} is not supported")
        found += [p for p in (one["params"] if isinstance(one, dict) else [one]) if p.grad is not None]
    return found


def average_parameters_or_parameter_groups(
    params: Iterator[Tensor] | Iterable[dict[str, Any]], process_group: Any = None
) -> None:
    """The mean over a group of those parameters that have a gradient, in place."""
    average_parameters(get_params_to_average(params), process_group)
