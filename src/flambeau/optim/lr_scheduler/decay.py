"""Schedules that follow from the epoch alone, most of them step by step from the rate before."""

from __future__ import annotations

import math
import types
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from ..optimizer import Optimizer
from .base import LRScheduler, _check_attributes, _ClosedForm, _loaded_parts


class _Lambdas(LRScheduler):
    """A schedule with a function of the epoch for each group. Callable objects are saved, functions are not."""

    _all_groups = False

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | list[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        self.optimizer = optimizer
        groups = len(optimizer.param_groups)
        if isinstance(lr_lambda, (list, tuple)):
            if len(lr_lambda) != groups:
                raise ValueError(f"Expected {groups} lr_lambdas, but got {len(lr_lambda)}")
            self.lr_lambdas: list[Any] = list(lr_lambda)
        else:
            self.lr_lambdas = [lr_lambda] * groups
        self._check_lambdas()
        super().__init__(optimizer, last_epoch)

    def _check_lambdas(self) -> None:
        """Raise TypeError for what is no function."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "__init__" not in cls.__dict__ and cls.__module__ == __name__:  # one of its own, whose errors have its name
            init = _Lambdas.__init__
            made = types.FunctionType(init.__code__, init.__globals__, "__init__", init.__defaults__, init.__closure__)
            made.__qualname__, made.__annotations__ = f"{cls.__name__}.__init__", init.__annotations__
            cls.__init__ = made  # type: ignore[method-assign]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer; of callable objects their attributes, of functions None."""
        state = super().state_dict()
        del state["lr_lambdas"]
        state["lr_lambdas"] = [
            None if isinstance(function, types.FunctionType) else function.__dict__.copy()
            for function in self.lr_lambdas
        ]
        return state

    def _check_loaded(self, state_dict: Any) -> None:
        super()._check_loaded(state_dict)
        parts = _loaded_parts(state_dict, "lr_lambdas", len(self.lr_lambdas))
        for function, attributes in zip(self.lr_lambdas, parts, strict=False):
            _check_attributes(function, attributes, "what belongs to a function of the rate")

    def _take(self, state_dict: dict[str, Any]) -> None:
        super()._take({key: value for key, value in state_dict.items() if key != "lr_lambdas"})
        for function, attributes in zip(self.lr_lambdas, state_dict["lr_lambdas"], strict=False):
            if attributes is not None:
                function.__dict__.update(attributes)


class LambdaLR(_Lambdas):
    """The initial rate times a function of the epoch, `lr_lambda(epoch)`, or a list with one per group."""

    def _rate(self, lr: Any, index: int) -> Any:
        return self.base_lrs[index] * self.lr_lambdas[index](self.last_epoch)


class MultiplicativeLR(_Lambdas):
    """The previous rate times a function of the epoch, `lr_lambda(epoch)`, or a list with one per group."""

    def _check_lambdas(self) -> None:
        for function in self.lr_lambdas:
            if not callable(function):
                raise TypeError(f"lr_lambda should be a function, but got {type(function).__name__}")

    def _rate(self, lr: Any, index: int) -> Any:
        return lr if self._is_initial else lr * self.lr_lambdas[index](self.last_epoch)


class StepLR(_ClosedForm):
    """Times `gamma` every `step_size` epochs."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def _rate(self, lr: Any, index: int) -> Any:
        return lr if self.last_epoch == 0 or self.last_epoch % self.step_size else lr * self.gamma

    def _at(self, base: Any) -> Any:
        return base * self.gamma ** (self.last_epoch // self.step_size)


class MultiStepLR(_ClosedForm):
    """Times `gamma` at each of the epochs `milestones`, as often as it is named there."""

    def __init__(
        self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.milestones: Counter[int] = Counter(milestones)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def _rate(self, lr: Any, index: int) -> Any:
        return lr * self.gamma ** self.milestones[self.last_epoch] if self.last_epoch in self.milestones else lr

    def _at(self, base: Any) -> Any:
        return base * self.gamma ** bisect_right(sorted(self.milestones.elements()), self.last_epoch)


class ConstantLR(_ClosedForm):
    """Times `factor` for the first `total_iters` epochs. Raises ValueError for a factor outside of 0 to 1."""

    def __init__(
        self, optimizer: Optimizer, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1
    ) -> None:
        if factor > 1.0 or factor < 0:
            raise ValueError(f"Constant multiplicative factor expected to be between 0 and 1. (got {factor})")
        self.factor = factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def _rate(self, lr: Any, index: int) -> Any:
        if self.last_epoch == 0:
            return lr * self.factor
        return lr * (1.0 / self.factor) if self.last_epoch == self.total_iters else lr

    def _at(self, base: Any) -> Any:
        return base * (self.factor + (self.last_epoch >= self.total_iters) * (1 - self.factor))


class LinearLR(_ClosedForm):
    """A factor that goes in a line from `start_factor` to `end_factor` in `total_iters` epochs.

    Raises ValueError for factors outside of 0 to 1, or a start of 0.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 < start_factor <= 1:
            wanted = "greater than 0 and less or equal to 1."
            raise ValueError(f"Starting multiplicative factor expected to be {wanted} (got {start_factor})")
        if not 0 <= end_factor <= 1:
            wanted = "between 0 and 1."
            raise ValueError(f"Ending multiplicative factor expected to be {wanted} (got {end_factor})")
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def _rate(self, lr: Any, index: int) -> Any:
        if self.last_epoch == 0:
            return lr * self.start_factor
        if self._is_initial or self.last_epoch > self.total_iters:
            return lr
        rise = self.end_factor - self.start_factor
        return lr * (1.0 + rise / (self.total_iters * self.start_factor + (self.last_epoch - 1) * rise))

    def _at(self, base: Any) -> Any:
        rise = self.end_factor - self.start_factor
        return base * (self.start_factor + rise * min(self.total_iters, self.last_epoch) / self.total_iters)


class ExponentialLR(_ClosedForm):
    """Times `gamma` every epoch."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def _rate(self, lr: Any, index: int) -> Any:
        return lr if self._is_initial else lr * self.gamma

    def _at(self, base: Any) -> Any:
        return base * self.gamma**self.last_epoch


class PolynomialLR(_ClosedForm):
    """The initial rate times (1 - epoch / total_iters) to the `power`; 0 from then on."""

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1) -> None:
        self.total_iters = total_iters
        self.power = power
        super().__init__(optimizer, last_epoch)

    def _rate(self, lr: Any, index: int) -> Any:
        if self._is_initial or self.last_epoch > self.total_iters:
            return lr
        left = 1.0 - self.last_epoch / self.total_iters
        return lr * (left / (1.0 - (self.last_epoch - 1) / self.total_iters)) ** self.power

    def _at(self, base: Any) -> Any:
        return base * (1.0 - min(self.total_iters, self.last_epoch) / self.total_iters) ** self.power


class CosineAnnealingLR(_ClosedForm):
    """Down to `eta_min` along half a cosine in `T_max` epochs, then up again (Loshchilov and Hutter, 2017)."""

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def _rate(self, lr: Any, index: int) -> Any:
        epoch, low = self.last_epoch, self.eta_min
        if self._is_initial:
            return lr
        if self._step_count == 1 and epoch > 0:  # resumed
            return low + (self.base_lrs[index] - low) * (1 + math.cos(epoch * math.pi / self.T_max)) / 2
        if (epoch - 1 - self.T_max) % (2 * self.T_max) == 0:  # away from the minimum, where the ratio below is 0/0
            return lr + (self.base_lrs[index] - low) * (1 - math.cos(math.pi / self.T_max)) / 2
        now = 1 + math.cos(math.pi * epoch / self.T_max)
        return now / (1 + math.cos(math.pi * (epoch - 1) / self.T_max)) * (lr - low) + low

    def _at(self, base: Any) -> Any:
        low = self.eta_min
        return low + (base - low) * (1 + math.cos(math.pi * self.last_epoch / self.T_max)) / 2
