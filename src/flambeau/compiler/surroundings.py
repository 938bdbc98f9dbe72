"""The thread's modes that a traced function runs in, and may not leave otherwise than it found them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..core.array import devices, dtypes
from ..core.context.grad_mode import state
from ..core.context.tracing import Untraceable
from ..core.tape import taking


class Surroundings(NamedTuple):
    """What operators ask beside their arguments. What all programs hold for is in the key of a call (`held_for`)."""

    grad: bool
    inference: bool
    autocast: Any
    default_dtype: Any
    default_device: Any
    watchers: tuple[Any, ...]
    anomaly: Any
    modes: tuple[Any, ...]
    numpy_errors: dict[str, Any]

    @classmethod
    def now(cls) -> Surroundings:
        return cls(
            state.grad, state.inference, state.autocast, dtypes.get_default_dtype(), devices.get_default_device(),
            state.watchers, state.anomaly, (*state.modes, *state.dispatch_modes), {**np.geterr()},
        )  # fmt: skip

    def check(self) -> None:
        """Raises Untraceable if the function has left another mode: each call would have to."""
        for name, before, after in zip(self._fields, self, Surroundings.now(), strict=True):
            if before is not after and before != after:
                raise Untraceable(f"it changes the {name.replace('_', ' ')} mode and leaves it so: do that outside")

    def put_back(self) -> None:
        state.grad, state.inference, state.autocast = self.grad, self.inference, self.autocast
        state.watchers, state.anomaly = self.watchers, self.anomaly
        np.seterr(**self.numpy_errors)
        dtypes.set_default_dtype(self.default_dtype)
        if devices.get_default_device() != self.default_device:
            devices.set_default_device(self.default_device)


def held_for() -> tuple[Any, ...]:
    """What a program holds for: grad mode, default dtype, autocast, inference mode, default device, what leaves were told."""
    return state.grad, dtypes._default, state.autocast, state.inference, devices.get_default_device(), taking.asked


def is_watched() -> bool:
    """Whether somebody looks at the nodes of the tape, of which a program has none. Checkpoints do without."""
    return not all(getattr(w, "takes_programs", False) for w in state.watchers)


__all__ = ["Surroundings", "held_for", "is_watched"]
