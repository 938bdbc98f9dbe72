"""Storages, under torch's module path."""

from .core.tensor.memory import UntypedStorage
from .core.tensor.typed_memory import TypedStorage

__all__ = ["TypedStorage", "UntypedStorage"]
