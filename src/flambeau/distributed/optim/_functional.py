"""Optimizers that are given the gradients: the rules of `torch.optim`, without `.grad`."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from ...core.dispatch.messages import message
from ...core.tensor.tensor import Tensor

# what PyTorch keeps as attributes and not among the defaults
_SWITCHES = ("amsgrad", "centered", "coalesce_grad", "etas", "foreach", "fused", "maximize", "nesterov", "step_sizes")
_NOT_THERE = ("coalesce_grad", "warmup_lr_multiplier", "warmup_num_iters")


class FunctionalOptimizer:
    """One of `torch.optim`'s, that `step` gives the gradients. ValueError for no parameters, and for settings that it refuses."""

    _kind: ClassVar[Callable[..., Any]]
    _settings: ClassVar[dict[str, Any]]  # and their defaults

    def __init__(self, params: list[Tensor], *args: Any, **kwargs: Any):
        named = dict(zip(self._settings, args, strict=False))
        if len(args) > len(self._settings) or named.keys() & kwargs.keys() or kwargs.keys() - self._settings.keys():
            raise TypeError(f"{type(self).__name__}() takes params and {', '.join(self._settings)}")
        asked = {**self._settings, **named, **kwargs}
        warnings.warn(message("functional_optimizer_deprecated"), DeprecationWarning, stacklevel=2)
        empty = asked.pop("_allow_empty_param_list")
        if not params and not empty:
            raise ValueError("optimizer got an empty parameter list")
        for name in ("warmup_lr_multiplier", "warmup_num_iters"):
            if name in asked and asked[name] != self._settings[name]:
                raise NotImplementedError(f"{type(self).__name__}: {name}={asked[name]!r} is not supported")
        for name in _SWITCHES:
            if name in asked:
                setattr(self, name, asked[name])
        self.defaults = {name: value for name, value in asked.items() if name not in _SWITCHES}
        if "betas" in self.defaults:
            self.defaults["beta1"], self.defaults["beta2"] = self.defaults.pop("betas")
        given = {name: value for name, value in asked.items() if name not in (*_NOT_THERE, "foreach", "fused")}
        self._optimizer = type(self)._kind(params or [Tensor([])], **given)
        self.param_group = {"params": params}

    @property
    def state(self) -> Any:
        """What is kept of each parameter."""
        return self._optimizer.state

    def step(self, gradients: Sequence[Tensor | None]) -> None:
        """Change the parameters by their gradients; those whose gradient is None stay. ValueError for another number of them."""
        params = self.param_group["params"]
        if len(gradients) != len(params):
            told = message("functional_optimizer_gradients")
            raise ValueError(f"{told}Params length: {len(params)}. Gradients length: {len(gradients)}")
        self._step(params, gradients)

    def _step(self, params: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> None:
        held = [p.grad for p in params]
        group = self._optimizer.param_groups[0]
        kept, group["params"] = group["params"], list(params)
        try:
            for p, gradient in zip(params, gradients, strict=True):
                p.grad = gradient
            self._optimizer.step()
        finally:
            group["params"] = kept
            for p, before in zip(params, held, strict=True):
                p.grad = before


class ParameterwiseOptimizer(FunctionalOptimizer):
    """One that can also be told to change a single parameter."""

    def step_param(self, param: Tensor, grad: Tensor | None) -> None:
        """Change one parameter by its gradient."""
        self._step([param], [grad])


def signed(kind: Callable[..., Any], **settings: Any) -> Callable[[type], type]:
    """Declare whose rule a class has, and its settings with their defaults, which are its signature."""

    def declare(made: Any) -> Any:
        made._kind, made._settings = staticmethod(kind), {**settings, "_allow_empty_param_list": False}
        names = [inspect.Parameter("params", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
        names += [
            inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=value)
            for name, value in made._settings.items()
        ]
        made.__signature__ = inspect.Signature(names)
        return made

    return declare
