"""A schedule that watches a measured value."""

from __future__ import annotations

import math
from typing import Any, Literal, SupportsFloat, TypeAlias

from ...core.context.telling import warn
from ..optimizer import Optimizer
from .base import EPOCH_DEPRECATION_WARNING, LRScheduler, _check_optimizer, _copied, _set

Mode: TypeAlias = Literal["min", "max"]
ThresholdMode: TypeAlias = Literal["rel", "abs"]


class ReduceLROnPlateau(LRScheduler):
    """Times `factor` when a measured value has not become better for more than `patience` epochs.

    `step` takes the value. Better is lower (`mode="min"`) or higher ("max") than the best by `threshold`, relative
    ("rel") or absolute ("abs"). After a reduction, `cooldown` epochs are not counted. Rates stay above `min_lr`, and
    changes of less than `eps` are not made. Raises ValueError for options out of range.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: Mode = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: ThresholdMode = "rel",
        cooldown: int = 0,
        min_lr: list[float] | float = 0,
        eps: float = 1e-8,
    ) -> None:
        if factor >= 1.0:
            raise ValueError("Factor should be < 1.0.")
        _check_optimizer(optimizer)
        if mode not in ("min", "max"):
            raise ValueError(f"mode {mode} is unknown!")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"threshold mode {threshold_mode} is unknown!")
        self.factor = factor
        self.optimizer = optimizer
        groups = optimizer.param_groups
        if isinstance(min_lr, (list, tuple)):
            if len(min_lr) != len(groups):
                raise ValueError(f"expected {len(groups)} min_lrs, got {len(min_lr)}")
            self.default_min_lr: Any = None
            self.min_lrs: list[float | int] = list(min_lr)
        else:
            self.default_min_lr = min_lr
            self.min_lrs = [min_lr] * len(groups)
        self.patience = patience
        self.cooldown = cooldown
        self.eps = eps
        self.last_epoch = 0
        self._last_lr = [_copied(group["lr"]) for group in groups]
        self.mode_worse: float = math.inf if mode == "min" else -math.inf
        self.mode = mode
        self.threshold = threshold
        self.threshold_mode = threshold_mode
        self._reset()

    def _may_lack(self, name: str) -> bool:
        return name == "default_min_lr" or super()._may_lack(name)

    def _reset(self) -> None:
        self.best: float = self.mode_worse
        self.cooldown_counter: int = 0
        self.num_bad_epochs: int = 0

    def step(self, metrics: SupportsFloat, epoch: int | None = None) -> None:  # type: ignore[override]
        """Take notice of an epoch's value."""
        value = float(metrics)
        if epoch is not None:
            warn(EPOCH_DEPRECATION_WARNING)
        self.last_epoch: int = self.last_epoch + 1 if epoch is None else epoch
        better, cooling = self._is_better(value, self.best), self.in_cooldown
        self.best = value if better else self.best
        self.cooldown_counter -= cooling
        self.num_bad_epochs = 0 if better or cooling else self.num_bad_epochs + 1
        if self.num_bad_epochs > self.patience:
            self._reduce_lr(self.last_epoch)
            self.num_bad_epochs = 0
            self.cooldown_counter = self.cooldown
        self._last_lr = [_copied(group["lr"]) for group in self.optimizer.param_groups]

    def _reduce_lr(self, epoch: int) -> None:
        groups = self.optimizer.param_groups
        if len(groups) != len(self.min_lrs):
            if self.default_min_lr is None:
                raise RuntimeError(
                    f"The number of param groups ({len(groups)}) is not that of the list of min_lrs "
                    f"({len(self.min_lrs)}): give one min_lr for all, or set `min_lrs` when groups are added"
                )
            self.min_lrs = [self.default_min_lr] * len(groups)
        for group, low in zip(groups, self.min_lrs, strict=True):
            old = float(group["lr"])
            new = max(old * self.factor, low)
            if old - new > self.eps:
                _set(group, "lr", new)

    @property
    def in_cooldown(self) -> bool:
        """Whether a reduction was made no more than `cooldown` epochs ago."""
        return self.cooldown_counter > 0

    def _is_better(self, a: float, best: float) -> bool:
        threshold = self.threshold
        if self.mode == "min":
            return a < (best * (1.0 - threshold) if self.threshold_mode == "rel" else best - threshold)
        return a > (best * (threshold + 1.0) if self.threshold_mode == "rel" else best + threshold)
