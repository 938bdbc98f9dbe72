"""An optimizer that works on other parameters for a while."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..core.tensor.tensor import Tensor
from .optimizer import Optimizer

__all__ = ["swap_in_optimizer_params_and_state"]

_NAME = "swap_in_optimizer_params_and_state"


@contextmanager
def swap_in_optimizer_params_and_state(
    optimizer: Optimizer, swapin_parameters: dict[str, Tensor], swapin_optim_state: dict[str, Any]
) -> Iterator[None]:
    """While inside, `optimizer` has these parameters (in the order of its own), and this state and these groups.

    `swapin_optim_state` is what `state_dict()` gives; its tensors are written to in place, nothing else of it changes.
    Raises RuntimeError if the optimizer has no state yet, or if numbers of groups or parameters differ.
    """
    if not optimizer.state:
        raise RuntimeError(f"{_NAME} requires initialized optimizer state.")
    groups, states = swapin_optim_state.get("param_groups"), swapin_optim_state.get("state")
    if not isinstance(states, dict):
        raise RuntimeError(
            f"{_NAME} requires swapin_optim_state['state'] to be a dict mapping packed parameter ids to "
            f"per-param state dicts, got {type(states).__name__}."
        )
    if groups is None or len(groups) != len(optimizer.param_groups):
        raise RuntimeError("swapin_optim_state has a different number of parameter groups than the live optimizer.")
    given = list(swapin_parameters.values())
    numbers = [n for group in groups for n in group["params"]]
    sizes = [[len(group["params"]) for group in each] for each in (groups, optimizer.param_groups)]
    if sizes[0] != sizes[1] or len(given) < len(numbers):
        raise RuntimeError(f"{_NAME} requires the explicit parameter state to match optimizer.param_groups ordering.")
    by_number = dict(zip(numbers, given, strict=False))
    before = optimizer.param_groups, optimizer.state
    optimizer.param_groups = [{**group, "params": [by_number[n] for n in group["params"]]} for group in groups]
    optimizer.state = defaultdict(dict, {by_number[n]: dict(state) for n, state in states.items() if n in by_number})
    try:
        yield
    finally:
        optimizer.param_groups, optimizer.state = before
