"""`torch._guards`: what is being traced, if anything. Functions are traced by JAX, which has no guards to ask about."""

from __future__ import annotations

from typing import Any

__all__ = ["CompileContext", "TracingContext", "active_fake_mode", "detect_fake_mode"]


class TracingContext:
    """What Dynamo knows while it traces: it is not here, so there never is one."""

    @staticmethod
    def try_get() -> None:
        """None."""

    @staticmethod
    def get() -> TracingContext:
        """RuntimeError: there is none."""
        raise RuntimeError("TracingContext.get() must be called within an ongoing trace.")


class CompileContext:
    """What Dynamo compiles: as TracingContext."""

    @staticmethod
    def try_get() -> None:
        """None."""

    @staticmethod
    def current_compile_id() -> None:
        """None."""


def active_fake_mode() -> Any:
    """None: fake tensors are tensors on the meta device here, without a mode that would be on."""
    return None


def detect_fake_mode(inputs: Any = None) -> Any:
    """The mode of a fake tensor among `inputs` (nested), or None."""
    from .utils._pytree import tree_leaves

    for leaf in tree_leaves(inputs):
        mode = getattr(leaf, "fake_mode", None)
        if mode is not None:
            return mode
    return None
