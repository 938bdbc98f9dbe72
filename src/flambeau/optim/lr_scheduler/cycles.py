"""Schedules with cycles: warm restarts, cyclic rates, and the one cycle."""

from __future__ import annotations

import math
import types
from collections.abc import Callable
from typing import Any, ClassVar, Literal

from ...core.dispatch.messages import message
from ..optimizer import Optimizer
from .base import LRScheduler, Rate, _check_attributes, _check_optimizer, _per_group, _set

_STRATEGIES = "'cos' or 'linear'"
_NUMBER = "number of total steps"
_NAMES = ("initial_lr", "max_lr", "min_lr", "base_momentum", "max_momentum")  # of a group, that one cycle goes between


class CosineAnnealingWarmRestarts(LRScheduler):
    """Cosine annealing that starts anew after `T_0` epochs, then after periods that grow by `T_mult` (SGDR, 2017).

    `step` takes fractions of epochs. Raises ValueError for periods that are no positive integers.
    """

    _all_groups = False

    def __init__(
        self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        _check_positive("T_0", T_0)
        if T_mult < 1 or not isinstance(T_mult, int):
            raise ValueError(f"Expected integer T_mult >= 1, but got {T_mult}")
        if not isinstance(eta_min, (float, int)):
            raise ValueError(message("eta_min_is_no_number", value=eta_min, kind=type(eta_min)))
        self.T_0 = T_0
        self.T_i: int = T_0
        self.T_mult = T_mult
        self.eta_min = eta_min
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def _rate(self, lr: Any, index: int) -> Any:
        low = self.eta_min
        return low + (self.base_lrs[index] - low) * (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2

    def step(self, epoch: float | None = None) -> None:
        """Go on by one epoch, or to `epoch`, which may be a fraction. Raises ValueError for a negative one."""
        if epoch is None and self.last_epoch >= 0:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:  # the next period
                self.T_cur %= self.T_i
                self.T_i *= self.T_mult
        else:
            epoch = 0 if epoch is None else epoch
            if epoch < 0:
                raise ValueError(f"Expected non-negative epoch, but got {epoch}")
            self._go_to(epoch)
        self.last_epoch: int = math.floor(epoch) - 1
        self._update_lr()

    def _go_to(self, epoch: float) -> None:
        """Find the period that `epoch` lies in, and how far."""
        first, growth = self.T_0, self.T_mult
        if epoch < first:
            self.T_i, self.T_cur = first, epoch
        elif growth == 1:
            self.T_cur = epoch % first
        else:
            n = int(math.log(epoch / first * (growth - 1) + 1, growth))
            self.T_i = first * growth**n
            self.T_cur = epoch - first * (growth**n - 1) / (growth - 1)


class _Cycle(LRScheduler):
    """A schedule that moves the momentum (or Adam's first beta) against the rate."""

    cycle_momentum: bool
    use_beta1: bool
    _needed: ClassVar[tuple[str, ...]] = ("use_beta1",)  # to cycle the momentum

    def _start_momentum(self, base_momentum: Any, max_momentum: Any, begin: bool) -> tuple[list[Any], list[Any]]:
        optimizer = self.optimizer
        if "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults:
            raise ValueError(message("cycle_momentum_missing") + "; this one has neither: pass cycle_momentum=False")
        self.use_beta1 = "betas" in optimizer.defaults
        lows = _per_group("base_momentum", base_momentum, optimizer)
        highs = _per_group("max_momentum", max_momentum, optimizer)
        if begin:
            for low, high, group in zip(lows, highs, optimizer.param_groups, strict=True):
                self._set_momentum(group, high)
                group["max_momentum"] = high
                group["base_momentum"] = low
        return lows, highs

    def _check_loaded(self, state_dict: Any) -> None:
        super()._check_loaded(state_dict)
        needed = self._needed if dict(state_dict).get("cycle_momentum") else ()
        for name in needed:
            if name not in state_dict and name not in self.__dict__:
                raise KeyError(f"'{name}' is not in the loaded state dict, whose momentum is cycled: is it whole?")

    def _set_momentum(self, group: dict[str, Any], value: Any) -> None:
        if self.use_beta1:
            group["betas"] = (value, *group["betas"][1:])
        else:
            group["momentum"] = value


class CyclicLR(_Cycle):
    """Up from `base_lr` to `max_lr` in `step_size_up` steps and down again, over and over (Smith, 2017).

    `mode` scales the cycles: "triangular" not at all, "triangular2" by halves, "exp_range" by `gamma` to the number of
    steps; `scale_fn` (of the number of the cycle, or of the step with `scale_mode="iterations"`) takes its place. The
    momentum goes the other way. Raises ValueError for a wrong mode, or an optimizer without a momentum to cycle.
    """

    base_momentums: list[Any]
    max_momentums: list[Any]

    _all_groups = False
    _needed = ("use_beta1", "base_momentums", "max_momentums")

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: Literal["triangular", "triangular2", "exp_range"] = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: Literal["cycle", "iterations"] = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.8,
        max_momentum: float | list[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        _check_optimizer(optimizer)
        self.optimizer = optimizer
        lows = _per_group("base_lr", base_lr, optimizer)
        if last_epoch == -1:
            for low, group in zip(lows, optimizer.param_groups, strict=True):
                _set(group, "lr", low)
        self.max_lrs: list[Any] = _per_group("max_lr", max_lr, optimizer)
        up = float(step_size_up)
        self.total_size: float = up + (up if step_size_down is None else float(step_size_down))
        self.step_ratio: float = up / self.total_size
        if mode not in ("triangular", "triangular2", "exp_range") and scale_fn is None:
            raise ValueError("mode is invalid and scale_fn is None")
        self.mode = mode
        self.gamma = gamma
        own = {"triangular": "cycle", "triangular2": "cycle", "exp_range": "iterations"}.get(mode, scale_mode)
        self.scale_mode: str = own if scale_fn is None else scale_mode
        self._scale_fn_custom = scale_fn
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            begin = last_epoch == -1
            self.base_momentums, self.max_momentums = self._start_momentum(base_momentum, max_momentum, begin)
        super().__init__(optimizer, last_epoch)
        self.base_lrs = lows

    def scale_fn(self, x: float) -> float:
        """The factor of the amplitude in the cycle or step `x`."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        if self.mode == "triangular2":
            return 1 / (2.0 ** (x - 1))
        return self.gamma**x if self.mode == "exp_range" else 1.0

    def get_lr(self) -> list[Rate]:
        """The rates for the step `last_epoch`. It sets the momentum along with them."""
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1.0 + self.last_epoch / self.total_size - cycle
        self._height = x / self.step_ratio if x <= self.step_ratio else (x - 1) / (self.step_ratio - 1)
        self._factor = self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        rates = super().get_lr()
        if self.cycle_momentum:
            groups = self.optimizer.param_groups
            for low, high, group in zip(self.base_momentums, self.max_momentums, groups, strict=False):
                self._set_momentum(group, high - (high - low) * self._height * self._factor)
        del self._height, self._factor
        return rates

    def _rate(self, lr: Any, index: int) -> Any:
        base = self.base_lrs[index]
        return base + (self.max_lrs[index] - base) * self._height * self._factor

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer; of a callable object as `scale_fn` its attributes, of a function None."""
        state = super().state_dict()
        function = state.pop("_scale_fn_custom")
        plain = function is None or isinstance(function, types.FunctionType)
        state["_scale_fn_custom"] = None if plain else function.__dict__.copy()
        return state

    def _check_loaded(self, state_dict: Any) -> None:
        super()._check_loaded(state_dict)
        if "_scale_fn_custom" not in state_dict:
            raise KeyError("'_scale_fn_custom' is not in the loaded state dict: is it another schedule's?")
        _check_attributes(self._scale_fn_custom, state_dict.get("_scale_fn_custom"), "what belongs to `scale_fn`")

    def _take(self, state_dict: dict[str, Any]) -> None:
        super()._take({key: value for key, value in state_dict.items() if key != "_scale_fn_custom"})
        attributes = state_dict.get("_scale_fn_custom")
        if attributes is not None:
            self._scale_fn_custom.__dict__.update(attributes)


class OneCycleLR(_Cycle):
    """One cycle (Smith and Topin, 2018): from `max_lr / div_factor` up to `max_lr`, then down to far below the start.

    The rise takes `pct_start` of `total_steps` (or of `epochs` times `steps_per_epoch`); `three_phase` comes back to
    the start before it goes below it. The momentum goes the other way. Step it once a batch; one step too many raises
    ValueError, as do options out of range.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        _check_optimizer(optimizer)
        self.optimizer = optimizer
        if total_steps is not None:
            _check_positive("total_steps", total_steps)
            self.total_steps: int = total_steps
        elif epochs is not None and steps_per_epoch is not None:
            _check_positive("epochs", epochs)
            _check_positive("steps_per_epoch", steps_per_epoch)
            self.total_steps = epochs * steps_per_epoch
        else:
            raise ValueError(message("total_steps_missing"))
        first, last = float(pct_start * self.total_steps) - 1, self.total_steps - 1
        phases: list[tuple[float, str, str, str, str]]
        if three_phase:
            phases = [
                (first, "initial_lr", "max_lr", "max_momentum", "base_momentum"),
                (float(2 * pct_start * self.total_steps) - 2, "max_lr", "initial_lr", "base_momentum", "max_momentum"),
                (last, "initial_lr", "min_lr", "max_momentum", "max_momentum"),
            ]
        else:
            phases = [
                (first, "initial_lr", "max_lr", "max_momentum", "base_momentum"),
                (last, "max_lr", "min_lr", "base_momentum", "max_momentum"),
            ]
        fields = ("end_step", "start_lr", "end_lr", "start_momentum", "end_momentum")
        self._schedule_phases: list[dict[str, Any]] = [dict(zip(fields, phase, strict=True)) for phase in phases]
        if pct_start < 0 or pct_start > 1 or not isinstance(pct_start, float):
            kind = "float"
            raise ValueError(f"Expected {kind} between 0 and 1 pct_start, but got {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be one of {_STRATEGIES}, instead got {anneal_strategy}")
        self._anneal_func_type = anneal_strategy
        highs = _per_group("max_lr", max_lr, optimizer)
        if last_epoch == -1:
            for high, group in zip(highs, optimizer.param_groups, strict=True):
                group["initial_lr"] = high / div_factor
                group["max_lr"] = high
                group["min_lr"] = group["initial_lr"] / final_div_factor
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self._start_momentum(base_momentum, max_momentum, last_epoch == -1)
        super().__init__(optimizer, last_epoch)

    def _check_loaded(self, state_dict: Any) -> None:
        super()._check_loaded(state_dict)
        phases = dict(state_dict).get("_schedule_phases", self._schedule_phases)
        if len(phases) < 2:
            raise IndexError("list index out of range: the loaded '_schedule_phases' should have two or three entries")
        for phase in phases:
            for key, name in phase.items():
                if key != "end_step" and name not in _NAMES:
                    raise KeyError(f"{name!r} of the loaded '_schedule_phases' is no entry of a group: {_NAMES} are")

    def _anneal_func(self, start: Any, end: Any, pct: float) -> Any:
        if self._anneal_func_type == "linear":
            return (end - start) * pct + start
        return end + (start - end) / 2.0 * (math.cos(math.pi * pct) + 1)

    def _rate(self, lr: Any, index: int) -> Any:
        step = self.last_epoch
        if step > self.total_steps:
            raise ValueError(f"Tried to step {step} times. The specified {_NUMBER} is {self.total_steps}")
        start = 0.0
        for phase in self._schedule_phases:
            end = phase["end_step"]
            if step <= end:
                break
            start = end
        else:
            start = self._schedule_phases[-2]["end_step"]
        pct = (step - start) / (end - start)
        group = self.optimizer.param_groups[index]
        if self.cycle_momentum:
            momentum = self._anneal_func(group[phase["start_momentum"]], group[phase["end_momentum"]], pct)
            self._set_momentum(group, momentum)
        return self._anneal_func(group[phase["start_lr"]], group[phase["end_lr"]], pct)


def _check_positive(name: str, value: Any) -> None:
    if value <= 0 or not isinstance(value, int):
        raise ValueError(f"Expected positive integer {name}, but got {value}")
