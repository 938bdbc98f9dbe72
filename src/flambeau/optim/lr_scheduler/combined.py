"""Schedules made of other schedules."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from ..optimizer import Optimizer
from .base import LRScheduler, _copied, _loaded_parts, _set
from .plateau import ReduceLROnPlateau


class _Several(LRScheduler):
    """A schedule made of others."""

    _schedulers: list[Any]

    def _check(self, schedulers: Sequence[Any], optimizer: Any) -> None:
        name = type(self).__name__
        for i, scheduler in enumerate(schedulers):
            if not hasattr(scheduler, "optimizer"):
                raise TypeError(f"{name} at index {i} should have `optimizer` as its attribute.")
            if isinstance(scheduler, ReduceLROnPlateau):
                raise ValueError(
                    f"{name} does not support `ReduceLROnPlateau` scheduler as it requires additional kwargs to be "
                    f"specified when calling `step`, but got one at index {i} in the given schedulers sequence."
                )
            if scheduler.optimizer is not optimizer:
                raise ValueError(
                    f"{name} expects all schedulers to belong to the same optimizer, but got scheduler "
                    f"{type(scheduler).__name__} at index {i} has {scheduler.optimizer}, which is different from "
                    f"{type(optimizer).__name__}."
                )

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer, with the state dicts of the schedules."""
        state = {key: value for key, value in super().state_dict().items() if key != "_schedulers"}
        state["_schedulers"] = [scheduler.state_dict() for scheduler in self._schedulers]
        return state

    def _check_loaded(self, state_dict: Any) -> None:
        super()._check_loaded(state_dict)
        states = _loaded_parts(state_dict, "_schedulers", len(self._schedulers))
        for scheduler, state in zip(self._schedulers, states, strict=False):
            if hasattr(scheduler, "_check_loaded"):
                scheduler._check_loaded(state)

    def _take(self, state_dict: dict[str, Any]) -> None:
        before = [(thing, dict(vars(thing))) for thing in (self, *self._schedulers)]
        super()._take({key: value for key, value in state_dict.items() if key != "_schedulers"})
        try:
            for scheduler, state in zip(self._schedulers, state_dict["_schedulers"], strict=False):
                scheduler.load_state_dict(state)
        except BaseException:  # a user's own schedule has said no
            for thing, attributes in before:
                vars(thing).clear()
                vars(thing).update(attributes)
            raise


class SequentialLR(_Several):
    """One schedule after the other; the next begins, from its own epoch 0, at each of `milestones`.

    Raises ValueError if there is not one milestone less than schedules, or they are not of this optimizer.
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: list[LRScheduler], milestones: list[int], last_epoch: int = -1
    ) -> None:
        if len(schedulers) < 1:
            raise ValueError("SequentialLR expects at least one scheduler, but got no scheduler.")
        self._check(schedulers, optimizer)
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                "Sequential Schedulers expects number of schedulers provided to be one more than the number of "
                f"milestone points, but got number of schedulers {len(schedulers)} and the number of milestones to be "
                f"equal to {len(milestones)}"
            )
        self._schedulers = list(schedulers)
        self._milestones = milestones
        self.last_epoch = last_epoch + 1
        self.optimizer = optimizer
        for group in optimizer.param_groups:
            _set(group, "lr", group["initial_lr"])
        self.recursive_undo()
        first = self._schedulers[bisect_right(milestones, 0)]
        first._initial_step()
        self._last_lr = first.get_last_lr()

    def recursive_undo(self, sched: Any = None) -> None:
        """Take back the first step that every schedule has made when it was constructed."""
        scheduler = self if sched is None else sched
        if hasattr(scheduler, "_schedulers"):
            for inner in scheduler._schedulers:
                self.recursive_undo(inner)
        elif hasattr(scheduler, "last_epoch"):
            scheduler.last_epoch -= 1

    def step(self) -> None:  # type: ignore[override]
        """Go on by one epoch."""
        self.last_epoch += 1
        index = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[index]
        if index > 0 and self._milestones[index - 1] == self.last_epoch:
            scheduler._update_lr(0)
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()

    def _update_lr(self, epoch: int | None = None) -> None:
        # as a part of another sequence: begin anew
        self.last_epoch: int = epoch or 0
        self._schedulers[0]._update_lr(self.last_epoch)
        self._last_lr = self._schedulers[0].get_last_lr()


class ChainedScheduler(_Several):
    """Several schedules that are stepped together. Raises ValueError for none, or if their optimizers differ."""

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None) -> None:
        if len(schedulers) < 1:
            raise ValueError("ChainedScheduler expects at least one scheduler to be chained, but got no scheduler.")
        optimizer = optimizer or schedulers[0].optimizer
        self._check(schedulers, optimizer)
        self._schedulers = list(schedulers)
        self.optimizer = optimizer  # type: ignore[assignment]
        self._last_lr = [_copied(group["lr"]) for group in self._schedulers[-1].optimizer.param_groups]

    def step(self) -> None:  # type: ignore[override]
        """Go on by one epoch in all of them, in their order."""
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = [_copied(group["lr"]) for group in self._schedulers[-1].optimizer.param_groups]

    def _update_lr(self, epoch: int | None = None) -> None:
        # as a part of a sequence: begin anew
        for scheduler in self._schedulers:
            scheduler._update_lr(epoch)
        self._last_lr = [_copied(group["lr"]) for group in self._schedulers[-1].optimizer.param_groups]
