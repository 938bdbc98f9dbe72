"""Handles to registered hooks."""

from ..core.autograd.engine import RemovableHandle

RemovableHandle.__module__ = __name__  # where PyTorch's pickles look for it

__all__ = ["RemovableHandle"]
