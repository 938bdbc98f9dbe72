"""Processes with different numbers of batches: those that are through answer the collectives of the others until all are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np

from ..core.tensor.tensor import from_host
from .collectives import all_reduce
from .groups import ReduceOp, get_rank
from .running import untraced

__all__ = ["Join", "JoinHook", "Joinable"]


class JoinHook:
    """What a process that is through does: `main_hook` for each batch of another, `post_hook` when all are through."""

    def main_hook(self) -> None:
        """Answer the collectives of one iteration."""

    def post_hook(self, is_last_joiner: bool) -> None:
        """Take over the last values. `is_last_joiner` says whether this process was among the last."""


class _Config(NamedTuple):
    enable: bool
    throw: bool
    first: bool


class Joinable(ABC):
    """What takes part: `Join.notify_join_context(self)` comes before its collectives of an iteration."""

    _join_config = _Config(False, False, False)

    @abstractmethod
    def join_hook(self, **kwargs: Any) -> JoinHook:
        """What is done for it by a process that is through."""

    @property
    @abstractmethod
    def join_device(self) -> Any:
        """The device of its collectives."""

    @property
    @abstractmethod
    def join_process_group(self) -> Any:
        """The group of its collectives."""


def agreed(value: Any, op: Any, group: Any) -> list[int]:
    """Numbers of all processes, reduced."""
    untraced("join")
    told = from_host(np.array(value, np.int64))
    all_reduce(told, op, group)
    return told.tolist()  # type: ignore[attr-defined]


class Join:
    """A context in which processes may have different numbers of batches. ValueError without joinables, or if they have several
    groups; with `throw_on_early_termination` RuntimeError in all processes when the first is through.
    """

    def __init__(
        self, joinables: list[Any], enable: bool = True, throw_on_early_termination: bool = False, **kwargs: Any
    ) -> None:
        if not joinables:
            raise ValueError("The join context manager requires at least one joinable")
        self._joinables, self._enable, self._throw = joinables, enable, throw_on_early_termination
        self._hooks = [joinable.join_hook(**kwargs) for joinable in joinables]
        self._group = joinables[0].join_process_group
        if any(joinable.join_process_group is not self._group for joinable in joinables):
            raise ValueError("Using join context manager with multiple process groups")
        for number, joinable in enumerate(joinables):
            joinable._join_config = _Config(enable, throw_on_early_termination, number == 0)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        try:
            if self._enable and kind is None:
                self._answer()
        finally:
            for joinable in self._joinables:
                joinable._join_config = _Config(False, False, False)

    def _answer(self) -> None:
        last = True
        while agreed([0], ReduceOp.SUM, self._group)[0]:
            if self._throw:
                agreed([1], ReduceOp.SUM, self._group)
                raise RuntimeError(f"Rank {get_rank()} exhausted all inputs.")
            last = False
            for hook in self._hooks:
                hook.main_hook()
        for hook in self._hooks:
            hook.post_hook(last)

    @staticmethod
    def notify_join_context(joinable: Joinable) -> int | None:
        """Tell those that are through that an iteration begins; how many processes are in it. None outside of a context, and for all
        joinables but the first."""
        config = joinable._join_config
        if not config.enable or not config.first:
            return None
        group = joinable.join_process_group
        count = agreed([1], ReduceOp.SUM, group)[0]
        if config.throw and agreed([0], ReduceOp.SUM, group)[0]:
            raise RuntimeError("Detected at least one rank that exhausted inputs. Throwing across all ranks.")
        return count
