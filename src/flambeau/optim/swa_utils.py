"""Averages of a model's weights: stochastic weight averaging and exponential moving averages."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from copy import deepcopy
from typing import Any, Literal

import jax
import numpy as np

from ..core.context.grad_mode import no_grad
from ..core.dispatch.help import explain_namespace as _explain
from ..core.dispatch.help import explain_own_methods as _explain_methods
from ..core.dispatch.messages import message
from ..core.tensor.tensor import Tensor, wrap
from ..nn.modules.batchnorm import _BatchNorm
from ..nn.modules.module import Module
from ..ops.indexing.masking import where
from .lr_scheduler import LRScheduler
from .lr_scheduler.base import _per_group
from .optimizer import Optimizer
from .optimizer import _group_tensors as _group_tensors_by_device_and_dtype  # noqa: F401 (packages import it from here)

__all__ = [
    "SWALR",
    "AveragedModel",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]

_STRATEGIES = "'cos' or 'linear'"


@jax.jit
def _blended(averages: list[Any], currents: list[Any], weight: Any) -> list[Any]:
    """Each average moved towards the current value; whole numbers are rounded towards 0, as PyTorch does."""
    result = []
    for average, current in zip(averages, currents, strict=True):
        wide = average if jax.numpy.issubdtype(average.dtype, jax.numpy.inexact) else average.astype(weight.dtype)
        moved = wide + (current.astype(wide.dtype) - wide) * weight.astype(wide.dtype)
        result.append(moved.astype(average.dtype))
    return result


def _blend(averages: Iterable[Tensor], currents: Iterable[Tensor], weight: Any) -> None:
    averages = list(averages)
    weight = jax.numpy.asarray(weight, np.float64)
    values = _blended([a._array for a in averages], [c._array for c in currents], weight)
    for average, value in zip(averages, values, strict=True):
        average._write(value)


def _check_decay(decay: float) -> None:
    if decay < 0.0 or decay > 1.0:
        raise ValueError(f"Invalid decay value {decay} provided. Please provide a value in [0,1] range.")


def get_ema_multi_avg_fn(decay: float = 0.999) -> Callable[..., None]:
    """A function of two lists of tensors that moves the first ones, in place, to their exponential moving average."""
    _check_decay(decay)

    def ema_update(ema_param_list: Any, current_param_list: Any, _: Any = None) -> None:
        _blend(ema_param_list, current_param_list, 1 - decay)

    return ema_update


def get_swa_multi_avg_fn() -> Callable[..., None]:
    """A function of two lists of tensors that takes the second ones, in place, into the first ones' plain average."""

    def swa_update(averaged_param_list: Any, current_param_list: Any, num_averaged: Any) -> None:
        count = num_averaged._array if isinstance(num_averaged, Tensor) else np.float64(num_averaged)
        weight = 1 / (count.astype(np.float64) + 1)
        # a count that is a tensor gives PyTorch a float32 weight
        weight = weight.astype(np.float32) if isinstance(num_averaged, Tensor) else weight
        _blend(averaged_param_list, current_param_list, weight)

    return swa_update


def get_ema_avg_fn(decay: float = 0.999) -> Callable[..., Tensor]:
    """A function of two tensors that gives the exponential moving average of the first with the second."""
    _check_decay(decay)

    @no_grad()
    def ema_update(ema_param: Any, current_param: Any, num_averaged: Any = None) -> Tensor:
        return decay * ema_param + (1 - decay) * current_param

    return ema_update


def get_swa_avg_fn() -> Callable[..., Tensor]:
    """A function of two tensors that gives the plain average of the first, a mean of `num_averaged`, and the second."""

    @no_grad()
    def swa_update(averaged_param: Any, current_param: Any, num_averaged: Any) -> Tensor:
        return averaged_param + (current_param - averaged_param) / (num_averaged + 1)

    return swa_update


class AveragedModel(Module):
    """A copy of a model, `module`, whose parameters are averages of those that `update_parameters` was given.

    The average is the plain one (Izmailov et al., 2018), or that of `avg_fn(average, current, n)` for each tensor, or
    of `multi_avg_fn(averages, currents, n)`, which changes the list in place. Buffers are copied, or averaged as well
    with `use_buffers`. The count `n_averaged` is a buffer.
    """

    n_averaged: Tensor

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Callable[..., Tensor] | None = None,
        multi_avg_fn: Callable[..., None] | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError(message("avg_fn_twice"))
        self.module: Module = deepcopy(model)
        count = wrap(jax.device_put(np.zeros((), np.int64)))
        if device is not None:
            self.module = self.module.to(device)
            count = count.to(device)
        self.register_buffer("n_averaged", count)
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The averaged model's result."""
        return self.module(*args, **kwargs)

    def _averaged(self, model: Module) -> list[Tensor]:
        tensors = itertools.chain(model.parameters(), model.buffers()) if self.use_buffers else model.parameters()
        return [tensor.detach() for tensor in tensors]

    def _move(self, averages: list[Tensor], currents: list[Tensor]) -> None:
        if self.avg_fn is not None:
            for average, current in zip(averages, currents, strict=True):
                average.copy_(self.avg_fn(average, current, self.n_averaged))  # type: ignore[attr-defined]
        elif self.multi_avg_fn is not None:
            self.multi_avg_fn(averages, currents, self.n_averaged)
        else:
            _blend(averages, currents, 1 / (self.n_averaged._array.astype(np.float64) + 1))

    def update_parameters(self, model: Module) -> None:
        """Take the model's present values into the averages."""
        averages = self._averaged(self.module)
        currents = [c.to(a.device) for a, c in zip(averages, self._averaged(model), strict=False)]
        first: Any = self.n_averaged == 0
        unknown = isinstance(first._array, jax.core.Tracer)  # in a compiled step: both are computed
        if unknown or not first:
            self._move(averages, currents)
        if unknown or first:
            for average, current in zip(averages, currents, strict=True):
                average.copy_(where(first, current, average) if unknown else current)  # type: ignore[attr-defined]
        if not self.use_buffers:
            for average, current in zip(self.module.buffers(), model.buffers(), strict=False):
                average.detach().copy_(current.detach())
        self.n_averaged += 1


def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Measure the running statistics of the model's batch norms anew, in one pass over the batches of `loader`.

    A batch is the input, or a list or tuple that begins with it.
    """
    norms = {module: module.momentum for module in model.modules() if isinstance(module, _BatchNorm)}
    if not norms:
        return
    was_training = model.training
    model.train()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over the batches
    with no_grad():
        for batch in loader:
            x = batch[0] if isinstance(batch, (list, tuple)) else batch
            model(x if device is None else x.to(device))
    for norm, momentum in norms.items():
        norm.momentum = momentum
    model.train(was_training)


class SWALR(LRScheduler):
    """From the present rate to `swa_lr` (a number, or a list of one per group) in `anneal_epochs`, then constant.

    The way there is a cosine or a line. Raises ValueError for a list of the wrong length or other bad options.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | list[float],
        anneal_epochs: int = 10,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        last_epoch: int = -1,
    ) -> None:
        for lr, group in zip(_per_group("swa_lr", swa_lr, optimizer), optimizer.param_groups, strict=True):
            group["swa_lr"] = lr
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be one of {_STRATEGIES}, instead got {anneal_strategy}")
        self._anneal_strategy = anneal_strategy
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(message("anneal_epochs_negative", epochs=anneal_epochs))
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    def anneal_func(self, t: float) -> float:
        """The share of `swa_lr` in the rate after the part `t` of the way."""
        return t if self._anneal_strategy == "linear" else (1 - math.cos(math.pi * t)) / 2

    def _rate(self, lr: Any, index: int) -> Any:
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        final = self.optimizer.param_groups[index]["swa_lr"]
        before = self.anneal_func(max(0, min(1, (step - 1) / max(1, self.anneal_epochs))))
        now = self.anneal_func(max(0, min(1, step / max(1, self.anneal_epochs))))
        start = final if before == 1 else (lr - before * final) / (1 - before)
        return final * now + start * (1 - now)


_explain(globals(), "torch.optim.swa_utils")
_explain_methods([AveragedModel, SWALR], "torch.optim.swa_utils")
