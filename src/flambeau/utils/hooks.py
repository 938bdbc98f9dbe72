"""Handles to registered hooks."""

from ..core.autograd.engine import RemovableHandle

__all__ = ["RemovableHandle"]
