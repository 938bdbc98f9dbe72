"""The old name of tensors on the tape."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from ..core.context.grad_mode import state
from ..core.tensor.tensor import Tensor


class VariableMeta(type):
    """The type of `Variable`: every tensor is one, and calling it gives a tensor."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Tensor)

    def __call__(cls, data: Any = None, requires_grad: bool = False, volatile: bool = False) -> Tensor:
        if not isinstance(data, Tensor):
            if data is not None:
                raise TypeError(f"Variable data has to be a tensor, but got {type(data).__name__}")
            data = Tensor()
        made = data.detach()
        return made.requires_grad_() if requires_grad else made


class _Engine:
    """The engine that runs the tape backwards."""

    @staticmethod
    def queue_callback(callback: Callable[[], Any]) -> None:
        """Call a function at the end of the backward pass that runs now. RuntimeError outside of one."""
        if state.run is None:
            raise RuntimeError("Final callbacks can only be installed during backward pass.")
        state.run.callbacks.append(callback)

    @staticmethod
    def is_checkpoint_valid() -> bool:
        """Whether a checkpointed part could be run again now: not in a pass that looks for given tensors' gradients only."""
        return state.run is None or not state.run.targeted


if TYPE_CHECKING:

    class Variable(Tensor):
        _execution_engine: _Engine

        def __new__(cls, data: Any = None, requires_grad: bool = False, volatile: bool = False) -> Self: ...

else:

    class Variable(metaclass=VariableMeta):
        """The old name for a tensor on the tape: called, it gives `data` itself, requiring grad if asked."""

        _execution_engine = _Engine()


__all__ = ["Variable", "VariableMeta"]
