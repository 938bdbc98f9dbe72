"""Handles to registered hooks."""

from collections.abc import Callable
from typing import Any, TypeVar

from ..core.autograd.engine import RemovableHandle
from ..core.tensor.copying import warn_if_has_hooks
from ..nn.modules._hooks import _BackwardCall

__all__ = ["BackwardHook", "RemovableHandle", "unserializable_hook", "warn_if_has_hooks"]

_Hook = TypeVar("_Hook", bound=Callable[..., Any])


def unserializable_hook(f: _Hook) -> _Hook:
    """Mark a hook on a tensor as one that a pickle may leave behind without a warning. Serves as a decorator."""
    f.__torch_unserializable__ = True  # type: ignore[attr-defined]
    return f


class BackwardHook:
    """The backward hooks of one call of a module, put where its inputs and its outputs are on the tape.

    `user_hooks` get the module and the gradients of inputs and outputs, `user_pre_hooks` the module and those of the outputs.
    """

    def __init__(self, module: Any, user_hooks: list[Any], user_pre_hooks: list[Any]):
        self.module = module
        self.user_hooks = user_hooks
        self.user_pre_hooks = user_pre_hooks
        self._call = _BackwardCall(module, user_hooks, user_pre_hooks)
        self._call.enter(())

    def setup_input_hook(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The inputs, those that require gradients as tensors that the hooks watch."""
        return self._call.enter(args)

    def setup_output_hook(self, args: Any) -> Any:
        """The output (a tensor or a tuple of them) likewise."""
        return self._call.leave(args)
