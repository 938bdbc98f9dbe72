"""What all schedules share."""

from __future__ import annotations

import functools
import numbers
import weakref
from collections.abc import Callable
from typing import Any, ClassVar

from ...core.context.telling import warn
from ...core.context.tracing import recorder, refuse_in_trace
from ...core.dispatch.messages import message
from ...core.tensor.sparse import is_sparse
from ...core.tensor.tensor import Tensor
from ..optimizer import Optimizer

EPOCH_DEPRECATION_WARNING = message("scheduler_epoch")
_TOO_EARLY = "Detected call of `lr_scheduler.step()` before `optimizer.step()`."
_ORDER_URL = "See more details at https://pytorch.org/docs/stable/optim.html#how-to-adjust-learning-rate"

_PACKAGE = __name__[: __name__.index(".optim.") + len(".optim.")]
_BY_GROUP = ("base_lrs", "max_lrs", "base_momentums", "max_momentums")

Rate = float | Tensor


def _copied(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value


def _set(group: dict[str, Any], name: str, value: Any) -> None:
    """Give a group's option a new value; a tensor stays the same tensor."""
    if isinstance(group[name], Tensor):
        group[name].fill_(value.reshape(()) if isinstance(value, Tensor) else value)
    else:
        group[name] = value


def _loaded_parts(state_dict: Any, name: str, there: int) -> list[Any]:
    """What a schedule's parts are to take over. Raises KeyError if there is nothing, IndexError if it is too much."""
    if name not in state_dict:
        raise KeyError(f"'{name}' is not in the loaded state dict: is it another schedule's?")
    parts = list(state_dict[name])
    if len(parts) > there:
        raise IndexError(
            f"list index out of range: the loaded state dict has {len(parts)} entries in '{name}', and this schedule "
            f"has {there}"
        )
    return parts


def _is_alike(new: Any, old: Any) -> bool:
    """Whether a piece of state may take another's place: numbers that of numbers, texts of texts, lists of lists."""
    if isinstance(old, (int, float)):
        if isinstance(new, Tensor):
            return new.numel() == 1 and not new.dtype.is_complex and not is_sparse(new)
        return isinstance(new, numbers.Real)
    if isinstance(old, str):
        return isinstance(new, str)
    if isinstance(old, dict):
        names = old if all(isinstance(key, str) for key in old) else ()  # milestones are keys, not names
        return isinstance(new, dict) and all(key in new and _is_alike(new[key], old[key]) for key in names)
    if isinstance(old, (list, tuple)):
        return isinstance(new, (list, tuple)) and all(_is_alike(a, b) for a, b in zip(new, old, strict=False))
    return True


def _check_attributes(thing: Any, attributes: Any, what: str) -> None:
    if attributes is not None:
        dict(attributes)
        if not hasattr(thing, "__dict__"):
            raise AttributeError(f"{type(thing).__name__!r} object has no attribute '__dict__' to load {what} into")


def _per_group(name: str, value: Any, optimizer: Optimizer) -> list[Any]:
    """One value for each group. Raises ValueError for a list of another length."""
    groups = optimizer.param_groups
    if not isinstance(value, (list, tuple)):
        return [value] * len(groups)
    if len(value) != len(groups):
        owner = "optimizer"
        raise ValueError(
            f"{name} must have the same length as {owner}.param_groups. {name} has {len(value)} values, "
            f"param_groups has {len(groups)}."
        )
    return list(value)


def _check_optimizer(optimizer: Any) -> None:
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")


def _note_steps(optimizer: Optimizer) -> None:
    """Have the optimizer remember (`_opt_called`) that it was stepped."""
    step = optimizer.step
    if hasattr(step, "_wrapped_by_lr_sched"):
        return
    owner, function = weakref.ref(optimizer), getattr(step, "__func__", None)

    @functools.wraps(function or step)
    def noted(*args: Any, **kwargs: Any) -> Any:
        self: Any = owner()
        self._opt_called = True
        return step(*args, **kwargs) if function is None else function(self, *args, **kwargs)

    if function is not None:
        del step  # it would keep the optimizer alive
    noted._wrapped_by_lr_sched = True  # type: ignore[attr-defined]
    optimizer.step = noted  # type: ignore[method-assign]


def _after_the_run(step: Callable[..., Any]) -> Callable[..., Any]:
    """A schedule's `step`, which a compiled function makes after its run: it computes with Python's numbers."""

    @functools.wraps(step)
    def stepped(self: Any, *args: Any, **kwargs: Any) -> Any:
        trace = recorder()
        if trace is None or self._is_initial:
            return step(self, *args, **kwargs)
        return trace.defer(stepped, (self, *args), kwargs, [self, *self.optimizer.param_groups])

    stepped._deferred = True  # type: ignore[attr-defined]
    stepped.takes_host_numbers = frozenset((1, 2, "epoch", "metrics"))  # type: ignore[attr-defined]
    return stepped


class LRScheduler:
    """The base of schedules. A subclass gives `get_lr`, the list of the groups' next rates.

    `last_epoch=-1` starts anew, with the groups' present rates as `initial_lr`; another value resumes, and needs groups
    that have an `initial_lr` (KeyError otherwise). Call `step()` after the optimizer's.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        step = cls.__dict__.get("step")
        if callable(step) and not hasattr(step, "_deferred"):
            cls.step = _after_the_run(step)  # type: ignore[method-assign]

    _get_lr_called_within_step = False
    _is_initial = False
    _all_groups: ClassVar[bool] = True  # whether the rule also applies to groups added after the schedule was made

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        _check_optimizer(optimizer)
        self.optimizer = optimizer
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", _copied(group["lr"]))
            elif "initial_lr" not in group:
                raise KeyError(message("initial_lr_missing", i=i))
        self.base_lrs: list[Any] = [_copied(group["initial_lr"]) for group in optimizer.param_groups]
        self.last_epoch: int = last_epoch
        _note_steps(optimizer)
        self._initial_step()

    def _initial_step(self) -> None:
        """Apply the first rate; the first call of `step` by the user is the second one."""
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer."""
        refuse_in_trace("looks at all of a schedule's state (state_dict)")
        return {key: value for key, value in self.__dict__.items() if key != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` gave. KeyError, IndexError or TypeError if it can't be; nothing is changed then."""
        self._check_loaded(state_dict)
        self._take(state_dict)

    def _check_loaded(self, state_dict: Any) -> None:
        """Raises if not all of a state dict can be taken over."""
        held = self.__dict__
        for name, value in dict(state_dict).items():
            if name == "optimizer" or callable(getattr(type(self), str(name), None)):
                raise TypeError(f"'{name}' in the loaded state dict is no piece of a schedule's state")
            if name in held and not (value is None and self._may_lack(name)) and not _is_alike(value, held[name]):
                raise TypeError(
                    f"'{name}' of {type(self).__name__} can't be {value!r}, as the loaded state dict has it: it is "
                    f"{held[name]!r} here"
                )
            there = held[name] if name in _BY_GROUP and not self._all_groups and name in held else None
            if there is not None and len(value) != len(there):
                raise ValueError(
                    f"'{name}' in the loaded state dict has {len(value)} entries, and this {type(self).__name__} has "
                    f"{len(there)} groups"
                )

    def _may_lack(self, name: str) -> bool:
        """Whether a piece of state may be None: one that a user's class has put there."""
        known = ("last_epoch", "base_lrs", "_step_count", "_last_lr", "_is_initial", "_get_lr_called_within_step")
        return name not in known and not type(self).__module__.startswith(_PACKAGE)

    def _take(self, state_dict: dict[str, Any]) -> None:
        self.__dict__.update(state_dict)

    def get_last_lr(self) -> list[Rate]:
        """The rates of the groups as this schedule last set them."""
        trace = recorder()
        if trace is not None:
            if (rates := trace.later(self, type(self).get_last_lr)) is not None:
                return rates
            trace.guard(lambda: list(self._last_lr), "a schedule has set other rates")
        return [_copied(lr) for lr in self._last_lr]

    def get_lr(self) -> list[Rate]:
        """The rates for the epoch `last_epoch`, from the present ones. `get_last_lr` is the one to look with."""
        if type(self)._rate is LRScheduler._rate:
            raise NotImplementedError(f"{type(self).__name__} does not define get_lr()")
        if not self._get_lr_called_within_step:
            warn("To get the last learning rate computed by the scheduler, please use `get_last_lr()`.")
        groups = self.optimizer.param_groups
        if not self._all_groups:
            groups = groups[: len(self.base_lrs)]
        return [_copied(self._rate(group["lr"], i)) for i, group in enumerate(groups)]

    def _rate(self, lr: Any, index: int) -> Any:
        """The rate that follows `lr` in the group `index`."""
        raise NotImplementedError

    @_after_the_run
    def step(self, epoch: int | None = None) -> None:
        """Go on by one epoch. With `epoch` (deprecated), go there, by the closed form where there is one."""
        if self._step_count == 1:
            if not hasattr(self.optimizer.step, "_wrapped_by_lr_sched"):
                warn(
                    "Seems like `optimizer.step()` has been overridden after learning rate scheduler initialization. "
                    f"Please, make sure to call `optimizer.step()` before `lr_scheduler.step()`. {_ORDER_URL}"
                )
            elif not getattr(self.optimizer, "_opt_called", False):
                warn(
                    f"{_TOO_EARLY} In PyTorch 1.1.0 and later, you should call them in the opposite order: "
                    "`optimizer.step()` before `lr_scheduler.step()`.  Failure to do this will result in "
                    f"PyTorch skipping the first value of the learning rate schedule. {_ORDER_URL}"
                )
        self._step_count += 1
        if epoch is not None:
            warn(EPOCH_DEPRECATION_WARNING)
        self._update_lr(epoch)

    def _update_lr(self, epoch: int | None = None) -> None:
        self._get_lr_called_within_step = True
        try:
            self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
            closed = getattr(self, "_get_closed_form_lr", None)
            rates = self.get_lr() if epoch is None or closed is None else closed()
        finally:
            self._get_lr_called_within_step = False
        for group, lr in zip(self.optimizer.param_groups, rates, strict=False):
            _set(group, "lr", lr)
        self._last_lr: list[Rate] = [_copied(group["lr"]) for group in self.optimizer.param_groups]


class _LRScheduler(LRScheduler):
    """The old name, a class of its own as in PyTorch: for schedules of users that derive from it."""


class _ClosedForm(LRScheduler):
    """A schedule whose rate is also known as a function of the epoch, `_at(base)`."""

    def _at(self, base: Any) -> Any:
        raise NotImplementedError

    def _get_closed_form_lr(self) -> list[Rate]:
        return [self._at(base) for base in self.base_lrs]
