"""Averages over groups of several sizes, the larger ones less often (hierarchical SGD: Lin et al., 2018; Wang et al., 2020)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....core.dispatch.messages import message
from ....processes.groups import chosen, get_world_size, new_subgroups
from .averagers import ModelAverager
from .utils import average_parameters_or_parameter_groups


class HierarchicalModelAverager(ModelAverager):
    """`period_group_size_dict` says {every so many steps: over so many processes}. A step, counted from the first, averages over the
    last group of those whose time it is; none of the first `warmup_steps` does.

    ValueError if the first period is below 1, the last size is not that of the whole group, or one does not divide it.
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
        overall = chosen(process_group)
        if sizes[-1] != overall.size():
            raise ValueError(message("averager_of_fewer", size=sizes[-1], overall=overall.size()))
        if warmup_steps < 0:
            raise ValueError("Arg ``warmup_steps`` must be a non-negative number.")
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
            if self.step >= self.warmup_steps and self.step % period == 0
        ]
        if due:
            average_parameters_or_parameter_groups(params, due[-1])
        self.step += 1
