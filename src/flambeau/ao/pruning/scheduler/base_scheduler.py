"""What all schedules of sparsity have."""

from __future__ import annotations

import functools
import warnings
from typing import Any

from ..sparsifier.base_sparsifier import BaseSparsifier

__all__ = ["BaseScheduler"]


class BaseScheduler:
    """Sets `sparsity_level` of a sparsifier's groups at each `step()`, to what a subclass's `get_sl()` gives."""

    def __init__(self, sparsifier: BaseSparsifier, last_epoch: int = -1, verbose: bool = False):
        self.sparsifier = sparsifier
        self.base_sl = [group["sparsity_level"] for group in sparsifier.groups]
        self.last_epoch = last_epoch
        self._count_steps()
        self.sparsifier._step_count = 0  # type: ignore[attr-defined]
        self._step_count = 0
        self.verbose = verbose
        self._get_sl_called_within_step = False
        self.step()

    def _count_steps(self) -> None:
        """Have the sparsifier count its steps, so that one that is forgotten can be told."""
        run = self.sparsifier.step
        if getattr(run, "_with_counter", False):
            return

        @functools.wraps(run)
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.sparsifier._step_count += 1  # type: ignore[attr-defined]
            return run(*args, **kwargs)

        counted._with_counter = True  # type: ignore[attr-defined]
        self.sparsifier.step = counted  # type: ignore[method-assign]

    def state_dict(self) -> dict[str, Any]:
        """All but the sparsifier."""
        return {key: value for key, value in self.__dict__.items() if key != "sparsifier"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take what `state_dict` gave."""
        self.__dict__.update(state_dict)

    def get_last_sl(self) -> list[float]:
        """The levels that the last step set."""
        return self._last_sl

    def get_sl(self) -> list[float]:
        """The levels at `last_epoch`, one for each group: a subclass says which."""
        self._warn_outside_of_step()
        raise NotImplementedError(f"{type(self).__name__}.get_sl: a schedule says here which levels the groups get")

    def _warn_outside_of_step(self) -> None:
        if not self._get_sl_called_within_step:
            warnings.warn(
                "To get the last sparsity level computed by the scheduler, please use `get_last_sl()`.", stacklevel=3
            )

    def print_sl(self, is_verbose: bool, group: Any, sl: float, epoch: Any = None) -> None:
        """Print a group's level, where it is asked for."""
        if is_verbose and epoch is None:
            print(f"Adjusting sparsity level of group {group} to {sl:.4e}.")
        elif is_verbose:
            print(f"Epoch {epoch:5d}: adjusting sparsity level of group {group} to {sl:.4e}.")

    def __repr__(self) -> str:
        return f"{type(self).__name__} (\nSparsifier {self.sparsifier}\n    base_sl: {self.base_sl}\n)"

    def step(self, epoch: int | None = None) -> None:
        """Set the next levels. `epoch` is printed only."""
        if self._step_count == 1 and self.sparsifier._step_count < 1:  # type: ignore[attr-defined]
            warnings.warn(
                "Detected call of `scheduler.step()` before `sparsifier.step()`. You have to make sure you run the "
                "sparsifier.step() BEFORE any calls to the scheduler.step().",
                stacklevel=2,
            )
        self._step_count += 1
        self._get_sl_called_within_step = True
        try:
            self.last_epoch += 1
            values = self.get_sl()
        finally:
            self._get_sl_called_within_step = False
        for i, (group, level) in enumerate(zip(self.sparsifier.groups, values, strict=True)):
            group["sparsity_level"] = level
            self.print_sl(self.verbose, i, level, epoch)
        self._last_sl = [group["sparsity_level"] for group in self.sparsifier.groups]

    def _make_sure_a_list(self, var: Any) -> list[Any]:
        """One value for each group."""
        count = len(self.sparsifier.groups)
        if not isinstance(var, (list, tuple)):
            return [var] * count
        if len(var) != count:
            raise ValueError(f"Expected variable of length {count}, but got {len(var)}")
        return list(var)
