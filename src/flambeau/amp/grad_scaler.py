"""Scaling the loss, so that small gradients do not vanish in half precision."""

from __future__ import annotations

import warnings
from enum import Enum
from typing import Any

import jax
import numpy as np

from .. import cuda
from ..core.context.grad_mode import no_grad
from ..core.context.grad_mode import state as grad_state
from ..core.context.tracing import host_value
from ..core.dispatch.messages import message
from ..core.tensor.tensor import Tensor, wrap
from ..ops.elementwise.elementary import isfinite
from ..runtime.settings import asks_setting

__all__ = ["GradScaler", "OptState"]


class OptState(Enum):
    """What a scaler has done with an optimizer since the last update."""

    READY = 0
    UNSCALED = 1
    STEPPED = 2


class GradScaler:
    """Multiplies the loss by a scale and divides the gradients by it before the optimizer's step.

    A step whose gradients have an inf or nan is left out, and `update()` multiplies the scale by `backoff_factor`; after
    `growth_interval` good steps in a row it is multiplied by `growth_factor`. Disabled, or for a GPU that is not there,
    it passes everything through.
    """

    def __init__(
        self, device: str = "cuda", init_scale: float = 65536.0, growth_factor: float = 2.0,
        backoff_factor: float = 0.5, growth_interval: int = 2000, enabled: bool = True,
    ) -> None:  # fmt: skip
        if enabled and device == "cuda" and not cuda.is_available():
            warnings.warn(message("scaler_without_cuda"), stacklevel=2)
            enabled = False
        if enabled and growth_factor <= 1.0:
            raise AssertionError("The growth factor must be > 1.0.")
        if enabled and backoff_factor >= 1.0:
            raise AssertionError("The backoff factor must be < 1.0.")
        self._device, self._enabled = device, enabled
        self._value, self._growth_factor = float(init_scale), growth_factor
        self._backoff_factor, self._growth_interval = backoff_factor, growth_interval
        self._good_steps = 0
        self._scale: Tensor | None = None  # made when it is first used
        self._stages: dict[int, str] = {}  # by optimizer: "unscaled" or "stepped", since the last update
        self._bad: dict[int, bool] = {}  # by optimizer: whether an inf or nan was found

    def _get_growth_tracker(self) -> int:
        """How many good steps there were in a row."""
        return self._good_steps if self._enabled else 0

    def _get_scale_async(self) -> Tensor | None:
        """The scale as a tensor; None before its first use."""
        return self._scale

    @property
    def _per_optimizer_states(self) -> dict[int, dict[str, Any]]:
        """By the id of each optimizer it was used with: its stage, and whether an inf or nan was found."""
        return {
            key: {"stage": OptState[stage.upper()], "found_inf": self._bad.get(key, False)}
            for key, stage in self._stages.items()
        }

    def _used(self, action: str) -> Tensor:
        if self._scale is None:
            raise AssertionError(
                f"Attempted {action} but _scale is None.  This may indicate your script did not use "
                "scaler.scale(loss or outputs) earlier in the iteration."
            )
        return self._scale

    def _set(self, value: float) -> None:
        self._value = value
        with jax.ensure_compile_time_eval():
            self._scale = wrap(jax.device_put(np.float32(value)))

    def scale(self, outputs: Any) -> Any:
        """A tensor, or tensors in lists and tuples, times the scale."""
        if not self._enabled:
            return outputs
        if self._scale is None:
            self._set(self._value)
        if isinstance(outputs, Tensor):
            if grad_state.trace is not None:  # the scale of each call
                return outputs * wrap(host_value(lambda: np.float32(self._value)))
            return outputs * self._scale.to(outputs.device)  # type: ignore[union-attr]
        if isinstance(outputs, (list, tuple)):
            made = [self.scale(o) for o in outputs]
            return type(outputs)(*made) if hasattr(outputs, "_fields") else type(outputs)(made)
        raise ValueError(f"scale() takes a Tensor, or an iterable of them, not {type(outputs).__name__}")

    def unscale_(self, optimizer: Any) -> None:
        """Divide the gradients of the optimizer's parameters by the scale, say to clip them. Once before each step."""
        if not self._enabled:
            return
        self._used("unscale_")
        stage = self._stages.get(id(optimizer))
        if stage == "unscaled":
            raise RuntimeError(
                "unscale_() has already been called on this optimizer; call update() before the next one"
            )
        if stage == "stepped":
            raise RuntimeError("unscale_() is being called after step().")
        gradients = [p.grad for g in optimizer.param_groups for p in g["params"] if p.grad is not None]
        with no_grad():
            finite = [isfinite(g).all() for g in gradients]
            for gradient in gradients:
                gradient.mul_(1.0 / self._value)
            self._bad[id(optimizer)] = not all(bool(f) for f in finite)
        if not gradients:
            raise AssertionError("No inf checks were recorded for this optimizer.")
        self._stages[id(optimizer)] = "unscaled"

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """`optimizer.step(...)`, unless its gradients have an inf or nan; they are unscaled first if they are not yet."""
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError(
                "a GradScaler can't step an optimizer with a closure: the closure's gradients would not be unscaled"
            )
        self._used("step")
        stage = self._stages.get(id(optimizer))
        if stage == "stepped":
            raise RuntimeError("step() has already been called on this optimizer; call update() before the next one")
        if stage is None:
            self.unscale_(optimizer)
        self._stages[id(optimizer)] = "stepped"
        return None if self._bad[id(optimizer)] else optimizer.step(*args, **kwargs)

    def update(self, new_scale: Any = None) -> None:
        """Set the scale for the next iteration: from what the steps met, or `new_scale`."""
        if not self._enabled:
            return
        self._used("update")
        if new_scale is not None:
            self._set(float(new_scale))
        else:
            if not self._bad:
                raise AssertionError("No inf checks were recorded prior to update.")
            if any(self._bad.values()):
                self._good_steps = 0
                self._set(self._value * self._backoff_factor)
            else:
                self._good_steps += 1
                if self._good_steps == self._growth_interval:
                    self._good_steps = 0
                    self._set(self._value * self._growth_factor)
        self._stages, self._bad = {}, {}

    def get_scale(self) -> float:
        """The scale; 1.0 if disabled."""
        return self._value if self._enabled else 1.0

    @asks_setting
    def is_enabled(self) -> bool:
        """Whether it scales at all."""
        return self._enabled

    def state_dict(self) -> dict[str, Any]:
        """The scale and its rules; empty if disabled."""
        if not self._enabled:
            return {}
        return {
            "scale": self._value,
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._good_steps,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict()` gave. RuntimeError for an empty one, KeyError for another; nothing is changed then."""
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError(
                "The source state dict is empty, possibly because it was saved from a disabled instance of GradScaler."
            )
        names = ("growth_factor", "backoff_factor", "growth_interval", "_growth_tracker", "scale")
        for name in names:
            if name not in state_dict:
                raise KeyError(f"'{name}' is not in the loaded state dict: it is no GradScaler's")
        growth, backoff, interval, tracker, scale = (state_dict[name] for name in names)
        value, _, _, _ = (
            float(scale),
            growth + 0.0,
            backoff + 0.0,
            interval + tracker + 0,
        )  # what may go wrong does so here
        self._value, self._growth_factor, self._backoff_factor = value, growth, backoff
        self._growth_interval, self._good_steps = interval, tracker
        if self._scale is not None:
            self._set(self._value)

    @asks_setting
    def get_growth_factor(self) -> float:
        """What the scale is multiplied by after enough good steps."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Set what the scale is multiplied by after enough good steps."""
        self._growth_factor = new_factor

    @asks_setting
    def get_backoff_factor(self) -> float:
        """What the scale is multiplied by after an inf or nan."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Set what the scale is multiplied by after an inf or nan."""
        self._backoff_factor = new_factor

    @asks_setting
    def get_growth_interval(self) -> int:
        """How many good steps in a row make the scale grow."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Set how many good steps in a row make the scale grow."""
        self._growth_interval = new_interval
