"""What the core asks of whoever runs a function under one of JAX's transforms (torch.func's regions, pure functions)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class TransformedCall(Protocol):
    """`grad_mode.state.transforms` is the innermost one of a thread."""

    differentiates: bool  # whether values have derivatives of JAX's in it, which detach() has to take away
    stays_open: bool = False  # whether what was made inside is used from outside, too: a level of forward_ad

    def before_write(self, tensor: Any) -> None:
        """A tensor is about to be written to."""

    def before_grad(self, leaf: Any, array: Any) -> Any:
        """A gradient is about to arrive in a leaf's `.grad`: the array that is kept there. May raise RuntimeError."""

    def host_value(self, draw: Callable[[], Any]) -> Any:
        """A value that the host makes, such as a random draw; RuntimeError if there can be none."""

    def apply(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A call of an autograd.Function."""

    def concrete(self, array: Any) -> Any:
        """A value that Python code wants to look at."""

    def dual_parts(self, tensor: Any) -> Any:
        """A tensor's values and its derivative, as two tensors, if the level of forward_ad has given it one; else None."""
        return None

    def unchecked(self) -> None:
        """An operator has values that it would have to look at, and can't; may raise."""
        return None
