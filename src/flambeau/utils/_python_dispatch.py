"""`torch.utils._python_dispatch`: modes that see the operators under the public functions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from ..core.autograd.seen import note_results as _note_results
from ..core.context.grad_mode import state as _state
from ..core.dispatch.messages import message
from ..core.tensor.tensor import Tensor

__all__ = [
    "BaseTorchDispatchMode",
    "TorchDispatchMode",
    "is_in_torch_dispatch_mode",
    "is_traceable_wrapper_subclass",
    "is_traceable_wrapper_subclass_type",
    "return_and_correct_aliasing",
]


class TorchDispatchMode:
    """While entered, sees every operator, view and factory that this thread runs.

    `__torch_dispatch__(self, func, types, args=(), kwargs=None)` runs in the operator's place; while it does, the mode
    is off, so that it may call `func`. `func` is the OpOverload of that name (`torch.ops.aten.add.Tensor`), or flambeau's own
    operator where PyTorch has none. They are above the tape: results of `func` are recorded. A backward pass
    under a mode runs as operators, too: ATen's where there is a form, else one for each node, called as that is (`TopkBackward0`).
    """

    def __init__(self, _dispatch_key: Any = None):
        pass

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise NotImplementedError

    def __enter__(self) -> Any:
        _state.set_dispatch_modes((*_state.dispatch_modes, self))
        _state.watchers = (*_state.watchers, _note_results)
        return self

    def __exit__(self, *exc: object) -> None:
        if not _state.dispatch_modes:
            raise IndexError("pop from an empty deque: no dispatch mode is on, this one was not entered")
        _state.set_dispatch_modes(_state.dispatch_modes[:-1])
        watchers = list(_state.watchers)
        if _note_results in watchers:
            watchers.reverse()
            watchers.remove(_note_results)
            _state.watchers = tuple(reversed(watchers))


class BaseTorchDispatchMode(TorchDispatchMode):
    """A mode that changes nothing."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


def is_traceable_wrapper_subclass_type(t: type) -> bool:
    """Whether a class of tensors is made of others, by `__tensor_flatten__` and `__tensor_unflatten__`."""
    return (
        issubclass(t, Tensor)
        and t is not Tensor
        and hasattr(t, "__tensor_flatten__")
        and hasattr(t, "__tensor_unflatten__")
    )


def is_traceable_wrapper_subclass(t: object) -> bool:
    """The same of an object's class."""
    return is_traceable_wrapper_subclass_type(type(t))


def return_and_correct_aliasing(func: Any, args: Any, kwargs: Any, out: Any) -> Any:
    """What a `__torch_dispatch__` gives back: for an operator that writes, the argument that it wrote to; else `out`.

    AssertionError if a view is of another class than what it looks into, where that is made of other tensors.
    """
    schema = getattr(func, "_schema", None)
    if schema is None:
        return out
    named = schema.bind(args, kwargs or {}, func.overloadpacket.takes_numbers)
    if schema.is_mutable and len(schema.returns) == 1:
        return next((named[a.name] for a in schema.arguments if a.is_write and a.name in named), out)
    if func.is_view and args and is_traceable_wrapper_subclass(args[0]):
        for made in out if isinstance(out, (list, tuple)) else (out,):
            if type(made) is not type(args[0]):
                raise AssertionError(message("aliasing_of_types", func=func, given=type(args[0]), made=type(made)))
    return out


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
