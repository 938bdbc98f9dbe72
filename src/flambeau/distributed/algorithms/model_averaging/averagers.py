"""Averages of parameters over processes, every so many steps (Post-local SGD: Lin et al., 2018)."""

from __future__ import annotations

import abc
from typing import Any

from ....processes.groups import chosen
from .utils import average_parameters_or_parameter_groups

__all__ = ["ModelAverager", "PeriodicModelAverager"]


class ModelAverager(abc.ABC):
    """Averages parameters over a group; `step` counts the calls."""

    def __init__(self, process_group: Any = None):
        self.process_group: Any = chosen(process_group)
        self.step = 0

    @abc.abstractmethod
    def average_parameters(self, params: Any) -> None:
        """Average the parameters if it is time to."""
        raise NotImplementedError


class PeriodicModelAverager(ModelAverager):
    """Averages every `period` steps, after the first `warmup_steps`. ValueError for a period below 1 or negative steps."""

    def __init__(self, period: int, warmup_steps: int = 0, process_group: Any = None):
        super().__init__(process_group)
        if warmup_steps < 0:
            raise ValueError("Arg ``warmup_steps`` must be a non-negative number.")
        if period < 1:
            raise ValueError("Arg ``period`` must be a positive value.")
        self.period, self.warmup_steps = period, warmup_steps

    def average_parameters(self, params: Any) -> None:
        """Average the parameters, or those of an optimizer's groups, that have a gradient, and count the step."""
        if self.step >= self.warmup_steps and (self.step - self.warmup_steps) % self.period == 0:
            average_parameters_or_parameter_groups(params, self.process_group)
        self.step += 1
