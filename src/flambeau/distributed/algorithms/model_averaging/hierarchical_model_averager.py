"""Averages over groups of several sizes, the larger ones less often (hierarchical SGD: Lin et al., 2018; Wang et al., 2020)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....processes.groups import chosen, get_world_size, new_subgroups
from .averagers import ModelAverager
from .utils import average_parameters_or_parameter_groups


class HierarchicalModelAverager(ModelAverager):
    """`period_group_size_dict` says {every so many steps: over so many processes}, both growing; a step averages over the largest group
    whose time it is, after the first `warmup_steps`.

    ValueError for sizes that do not grow, do not divide the number of processes, or whose last is not that of the whole group.
    """

    def __init__(
        self, period_group_size_dict: Mapping[int, int] | None = None, warmup_steps: int = 0, process_group: Any = None
    ):
        super().__init__(process_group)
        if not period_group_size_dict:
            raise ValueError("Arg ``period_group_size_dict`` must not be empty.")
        periods, sizes = list(period_group_size_dict), list(period_group_size_dict.values())
        if periods[0] <= 0:
            raise ValueError("The minimum period in arg ``period_group_size_dict`` must be a positive value.")
        if sizes != sorted(set(sizes)) or periods != sorted(set(periods)):
            raise ValueError(f"periods and group sizes must grow together, got {dict(period_group_size_dict)}")
        if warmup_steps < 0:
            raise ValueError("Arg ``warmup_steps`` must be a non-negative number.")
        overall = chosen(process_group)
        if sizes[-1] != overall.size():
            raise ValueError(
                f"The last value in arg ``period_process_group_dict`` {sizes[-1]} must be equal to the size of arg "
                f"``process_group`` {overall.size()}."
            )
        self.warmup_steps = warmup_steps
        self.period_process_group_dict: dict[int, Any] = {
            period: overall if size == get_world_size() else new_subgroups(size)[0]
            for period, size in zip(periods[:-1], sizes[:-1], strict=True)
        }
        self.period_process_group_dict[periods[-1]] = overall

    def average_parameters(self, params: Any) -> None:
        """Average the parameters that have a gradient, if it is time to, and count the step."""
        due = [
            group
            for period, group in self.period_process_group_dict.items()
            if self.step >= self.warmup_steps and (self.step - self.warmup_steps) % period == 0
        ]
        if due:
            average_parameters_or_parameter_groups(params, due[-1])
        self.step += 1
