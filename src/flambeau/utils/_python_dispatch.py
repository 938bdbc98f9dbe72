"""`torch.utils._python_dispatch`: modes that see the operators under the public functions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from ..core.context.grad_mode import state as _state

__all__ = ["BaseTorchDispatchMode", "TorchDispatchMode", "is_in_torch_dispatch_mode"]


class TorchDispatchMode:
    """While entered, sees every operator and view that this thread runs.

    `__torch_dispatch__(self, func, types, args=(), kwargs=None)` runs in the operator's place; while it does, the mode
    is off, so that it may call `func`. `func` is flambeau's own operator: `func.__name__` is its name there, and there are
    no ATen overloads. Operators run above the tape: results of `func` are recorded, and the backward pass is not seen.
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise NotImplementedError

    def __enter__(self) -> Any:
        _state.set_dispatch_modes((*_state.dispatch_modes, self))
        return self

    def __exit__(self, *exc: object) -> None:
        _state.set_dispatch_modes(_state.dispatch_modes[:-1])


class BaseTorchDispatchMode(TorchDispatchMode):
    """A mode that changes nothing."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


def is_in_torch_dispatch_mode(include_infra_modes: bool = True) -> bool:
    """Whether a dispatch mode is on in this thread."""
    return bool(_state.dispatch_modes)


def _get_current_dispatch_mode() -> Any:
    return _state.dispatch_modes[-1] if _state.dispatch_modes else None


def _get_current_dispatch_mode_stack() -> list[Any]:
    return list(_state.dispatch_modes)


@contextlib.contextmanager
def _disable_current_modes() -> Iterator[list[Any]]:
    before = _state.dispatch_modes
    _state.set_dispatch_modes(())
    try:
        yield list(before)
    finally:
        _state.set_dispatch_modes(before)
